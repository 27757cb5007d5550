"""Bad command lines: one line says what is wrong with which argument, and nothing has been run."""

import threading

import pytest

from ringpool.__main__ import main
from ringpool.commands.call import function_named
from ringpool.commands.trouble import CannotRun

LINES = {
    "nothing": ("", "COMMAND"),
    "no such command": ("ran builtins:len", "COMMAND"),
    "no function": ("run", "MODULE:FUNCTION"),
    "too many": ("run builtins:len a b", "unrecognized arguments: b"),
    "no such option": ("run builtins:len --threads 2", "--threads"),
    "workers 0": ("run builtins:len --workers 0", "--workers: workers must be greater than 0, got 0"),
    "workers -1": ("run builtins:len --workers=-1", "--workers: workers must be greater than 0, got -1"),
    "workers text": ("run builtins:len --workers many", "--workers: workers must be a whole number, got 'many'"),
    "workers float": ("run builtins:len --workers 1.5", "--workers: workers must be a whole number"),
    "workers nan": ("run builtins:len --workers nan", "--workers: workers must be a whole number"),
    "workers 2**63": (f"run builtins:len --workers {2**63}", "--workers: workers must be at most 2147483647"),
    "workers 10**400": (f"run builtins:len --workers {10**400}", "--workers: workers must be at most 2147483647"),
    "workers long": ("run builtins:len --workers " + "9" * 5000, "--workers: workers must be a whole number"),
    "workers nothing": ("run builtins:len --workers", "--workers"),
    "capacity 0": ("run builtins:len --capacity 0", "--capacity: capacity must be greater than 0, got 0"),
    "capacity text": ("run builtins:len --capacity x", "--capacity: capacity must be a whole number, got 'x'"),
    "capacity twice": ("run builtins:len --capacity 1 --capacity -", "--capacity: capacity must be a whole number"),
    "ordered value": ("run builtins:len --ordered=yes", "--ordered"),
    "bench argument": ("bench fast", "unrecognized arguments: fast"),
    "bench json": ("bench --json", "--json"),
    "bench option": ("bench --turns 3", "--turns"),
}


@pytest.mark.parametrize(("line", "words"), LINES.values(), ids=LINES)
def test_a_bad_command_line_is_refused_in_one_line(line, words, capsys, measured):
    """With the status for what could not run."""
    threads = threading.active_count()
    assert measured(lambda: main(line.split()), SystemExit) == "2"
    out, err = capsys.readouterr()
    lines = set(err.splitlines())  # each try says the same
    assert (out, len(lines), threading.active_count()) == ("", 1, threads)
    assert words in err and err.startswith("ringpool: ")


FUNCTIONS = {
    "empty": ("", "MODULE:FUNCTION"),
    "no colon": ("builtins.len", "MODULE:FUNCTION"),
    "no module": (":len", "MODULE:FUNCTION"),
    "no function": ("builtins:", "MODULE:FUNCTION"),
    "no such module": ("no_such_module_here:f", "cannot import no_such_module_here"),
    "relative": (".x:f", "cannot import .x"),
    "a path": ("a/b.py:f", "cannot import a/b.py"),
    "no such function": ("builtins:no_such", "there is no no_such in builtins"),
    "inside nothing": ("builtins:len.no.such", "there is no len.no.such in builtins"),
    "two colons": ("builtins:len:str", "there is no len:str in builtins"),
    "empty part": ("os:path..join", "there is no path..join in os"),
    "no callable": ("math:pi", "math:pi cannot be called"),
    "a module": ("os:path", "os:path cannot be called"),
    "coroutine": ("asyncio:sleep", "asyncio:sleep is a coroutine function"),
    "generator": ("ast:walk", "ast:walk is a generator function"),
}


@pytest.mark.parametrize(("name", "words"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_what_cannot_be_called_for_each_line_is_refused_by_name(name, words, measured):
    """Before any line has been read."""
    assert words in measured(lambda: function_named(name), CannotRun)
