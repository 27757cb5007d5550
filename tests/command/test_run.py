"""``python -m ringpool run``: one line in, one line out, and what cannot be run."""

import json
import os
import re
import signal
import sys

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and a shell as POSIX has them")

TIMEOUT_S = 30


# ---- one line in, one line out ---------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that takes any bytes for a name")
def test_files_by_name_have_their_sizes_taken(run, tmp_path):
    """The command of the README; a file name may be any bytes."""
    sizes = {"plain": 3, os.fsdecode(b"caf\xe9 \xff"): 5, "caf\u00e9\r": 7}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
    names = b"".join(os.fsencode(name) + (b"\r\n" if name.endswith("\r") else b"\n") for name in sizes)

    status, lines, err = run("os.path:getsize", text=names)

    assert (status, err) == (0, "")
    assert {line["input"]: line["result"] for line in lines} == sizes


def test_a_result_has_exactly_these_fields(run):
    status, [line], _ = run("jobs:nap", text=b"0.05\n")

    assert status == 0
    assert list(line) == ["input", "ok", "result", "seconds"]
    assert (line["input"], line["ok"], line["result"]) == ("0.05", True, None)
    assert 0.05 <= line["seconds"] < TIMEOUT_S


@pytest.mark.parametrize(
    "error", ["ValueError('no\\u00ef')", "SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()"]
)
def test_an_exception_fails_its_line_and_not_the_run(run, error):
    status, lines, err = run("jobs:error", "--workers", "1", text=f"{error}\n{error}".encode())

    raised = eval(error)
    assert (status, err) == (1, "imported\n")
    assert [list(line) for line in lines] == [["input", "ok", "error", "seconds"]] * 2
    assert [line["error"] for line in lines] == [{"type": type(raised).__name__, "message": str(raised)}] * 2
    assert [line["ok"] for line in lines] == [False, False]


def test_one_failure_among_good_results_makes_the_status_1(run):
    status, lines, _ = run("builtins:int", text=b"1\nx\n3\n")

    assert status == 1
    assert sorted(line["ok"] for line in lines) == [False, True, True]


def test_a_result_that_json_cannot_express_is_written_as_its_repr(run):
    expected = {
        "{'a': [1, 2.5, None, True, 'x']}": {"a": [1, 2.5, None, True, "x"]},
        "False": False,
        "None": None,
        "'\\udc80\\n\\x00'": "\udc80\n\x00",
        "10**30": 10**30,
        "(1, 2)": [1, 2],
        "b'x'": "b'x'",
        "nan": "nan",
        "[1, nan]": "[1, nan]",
        "{(1, 2): 3}": "{(1, 2): 3}",
        "Unspeakable": "<class 'jobs.Unspeakable'>",
        "(lambda x: x.append(x) or x)([])": "[[...]]",
    }

    status, lines, _ = run("jobs:value", text="\n".join(expected).encode())

    assert status == 0
    assert {line["input"]: line["result"] for line in lines} == expected
    assert all(line["ok"] for line in lines)


@pytest.mark.parametrize(("function", "line"), [("value", "Unspeakable()"), ("error", "Unspeakable()")])
def test_a_result_or_an_error_that_cannot_be_told_fails_its_line(run, function, line):
    status, [line], _ = run(f"jobs:{function}", text=line.encode())

    assert status == 1
    assert line["error"]["type"] == {"value": "KeyboardInterrupt", "error": "Unspeakable"}[function]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\r\nb\n\nc\rd\r", ["a", "b", "", "c\rd\r"]),
        (b"\x00\xff \xc3\xa9\xc2\x85\n", ["\x00\udcff \u00e9\x85"]),
        (b"x" * 300_000 + b"\ny", ["x" * 300_000, "y"]),
    ],
    ids=["nothing", "no newline", "line endings", "bytes", "long"],
)
def test_lines_arrive_without_their_endings_and_otherwise_whole(run, text, lines):
    status, written, err = run("os:fsencode", "--ordered", text=text)

    assert (status, err) == (0, "")
    assert [line["input"] for line in written] == lines
    assert [line["result"] for line in written] == [repr(os.fsencode(line)) for line in lines]


def test_results_come_as_the_calls_finish(run):
    """The second is done before its worker takes the last, and only then the first can be."""
    status, lines, _ = run("jobs:first_waits_for_last", "--workers", "2", text=b"first\nsecond\nlast\n")

    assert status == 0
    assert lines[0]["input"] == "second"
    assert sorted(line["input"] for line in lines) == ["first", "last", "second"]


def test_ordered_results_come_in_the_order_of_the_input(run):
    inputs = ["first", *map(str, range(200)), "last"]

    status, lines, _ = run("jobs:first_waits_for_last", "--ordered", text="\n".join(inputs).encode())

    assert status == 0
    assert [line["input"] for line in lines] == inputs


@pytest.mark.parametrize("order", [[], ["--ordered"]], ids=["any order", "ordered"])
def test_a_result_is_written_at_once_when_no_other_is_ready(start, order):
    """Whoever talks to the command line by line must not wait for a buffer to fill."""
    process = start("run", "builtins:len", *order)
    for text in ("a", "bb", "ccc"):
        process.feed(f"{text}\n".encode())
        assert json.loads(process.stdout.readline())["result"] == len(text)


def test_a_file_is_read_and_a_dash_is_stdin(run, tmp_path):
    (tmp_path / "input").write_bytes(b"from the file")

    assert run("builtins:str", "input", text=b"from stdin")[1][0]["input"] == "from the file"
    assert run("builtins:str", "-", text=b"from stdin")[1][0]["input"] == "from stdin"


@pytest.mark.parametrize("place", range(3))
def test_options_may_stand_anywhere(run, tmp_path, place):
    """argparse takes one between the positional arguments only from 3.13.1 on."""
    (tmp_path / "input").write_bytes(b"from the file")
    arguments = ["builtins:str", "input"]
    arguments[place:place] = ["--workers", "2"]

    status, [line], err = run(*arguments)

    assert (status, line["result"], err) == (0, "from the file", "")


@pytest.mark.parametrize("name", ["os.path:basename", "os:path.basename"])
def test_module_and_function_may_be_dotted(run, name):
    assert run(name, text=b"a/b")[1][0]["result"] == "b"


@posix
def test_what_calls_print_is_not_among_the_results_and_what_they_read_is_not_input(start):
    """A child that reads stdin, as ssh does, would eat the lines that are still to come."""
    process = start("run", "jobs:shell")
    for text in ("a", "b"):
        process.feed(f"{text}\n".encode())
        line = json.loads(process.stdout.readline())
        assert (line["input"], line["result"]) == (text, 0)

    assert process.finish(b"") == (0, [], "imported\n" + 2 * "printed\nfrom a child\n")


@posix
def test_what_calls_print_is_not_among_the_results_without_a_stderr(start):
    """Neither what they print nor what their children do; it goes nowhere."""
    status, lines, _ = start("run", "jobs:shell", closed=2).finish(b"a\nb\n")

    assert status == 0
    assert sorted((line["input"], line["result"]) for line in lines) == [("a", 0), ("b", 0)]


def test_a_result_whose_repr_raises_is_told_by_its_type(run):
    """An int with too many digits for the interpreter to write it."""
    status, [line], _ = run("jobs:value", text=b"10**10000")

    assert (status, line["ok"]) == (0, True)
    assert line["result"] == "<int, whose repr raised ValueError>"


# ---- what cannot be run ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch:f"], "cannot import nosuch: No module named 'nosuch'"),
        (["lacking:f"], "cannot import lacking: No module named 'nosuch'"),
        (["raising:f"], "cannot import raising: ValueError: on two lines"),
        (["leaving:f"], "cannot import leaving: SystemExit: 3"),
        (["broken:f"], "cannot import broken: SyntaxError"),
        (["os:nosuch"], "there is no nosuch in os"),
        (["os:path.nosuch"], "there is no path.nosuch in os"),
        (["os:sep"], "os:sep cannot be called: it is of type str"),
        (["jobs:coroutine"], "jobs:coroutine is a coroutine function"),
        (["jobs:generator"], "jobs:generator is a generator function"),
        (["jobs:async_generator"], "jobs:async_generator is a generator function"),
        (["os.path.getsize"], "must look like MODULE:FUNCTION, got 'os.path.getsize'"),
        ([":f"], "must look like MODULE:FUNCTION, got ':f'"),
        (["os:"], "must look like MODULE:FUNCTION, got 'os:'"),
        (["builtins:len", "nosuch"], "cannot read nosuch: No such file or directory"),
        (["builtins:len", "."], "cannot read .: "),
        (["--workers", "0", "builtins:len"], "workers must be greater than 0, got 0"),
        (["--workers", "many", "builtins:len"], "workers must be a whole number, got 'many'"),
        (["--capacity", "-1", "builtins:len"], "capacity must be greater than 0, got -1"),
        (["--capacity", "1.5", "builtins:len"], "capacity must be a whole number, got '1.5'"),
        (["--capacity", f"{2**31}", "builtins:len"], "capacity must be at most 2147483647, got 2147483648"),
        ([], "the following arguments are required: MODULE:FUNCTION"),
        (["builtins:len", "-", "more"], "unrecognized arguments: more"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_told_in_one_line_before_anything_is_read(run, tmp_path, arguments, message):
    (tmp_path / "lacking.py").write_text("import nosuch")
    (tmp_path / "raising.py").write_text("raise ValueError('on two\\nlines')")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)")
    (tmp_path / "broken.py").write_text("def f(:")
    (tmp_path / "input").write_bytes(b"line\n")
    with open(tmp_path / "input", "rb", buffering=0) as stdin:
        status, lines, err = run(*arguments, stdin=stdin)
        read = os.lseek(stdin.fileno(), 0, os.SEEK_CUR)

    [line] = err.removeprefix("imported\n").splitlines()
    assert (status, lines, read) == (2, [], 0)
    assert line.startswith("ringpool: ")
    assert message in line


@posix
@pytest.mark.parametrize(("fd", "message"), [(0, "read stdin"), (1, "write to stdout")])
def test_a_closed_standard_stream_is_told_in_one_line(start, fd, message):
    process = start("run", "builtins:len", closed=fd)

    assert process.finish() == (2, [], f"ringpool: cannot {message}: it is closed\n")


@posix
def test_an_interrupted_import_is_told_in_one_line(start, tmp_path):
    (tmp_path / "slow.py").write_text("import time\nprint('here')\nwhile True: time.sleep(0.01)")
    process = start("run", "slow:f")
    process.expect("here")

    process.send_signal(signal.SIGINT)

    assert process.finish() == (130, [], "ringpool: interrupted\n")


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that opens and cannot be read")
def test_an_input_that_breaks_is_told_after_the_results(run):
    status, lines, err = run("builtins:len", "/proc/self/mem")

    assert (status, lines, err) == (2, [], "ringpool: gave up reading: Input/output error\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is full")
def test_an_output_that_is_full_ends_the_run(start):
    with open("/dev/full", "wb") as full:
        process = start("run", "builtins:len", stdout=full)
    process.feed(b"x\n")

    assert process.finish() == (2, [], "ringpool: cannot write to stdout: No space left on device\n")


# ---- about -------------------------------------------------------------------------------------


def test_the_version_and_the_help_are_told(start):
    def told(*arguments):
        out, err = start(*arguments).communicate(timeout=TIMEOUT_S)
        assert err == b""
        return out.decode()

    assert re.fullmatch(r"ringpool \S.*\n", told("--version"))
    assert "run" in told("--help")
    assert "repr" in told("run", "--help")


def test_no_command_is_told_in_one_line(start):
    assert start().communicate(timeout=TIMEOUT_S)[1] == (
        b"ringpool: the following arguments are required: COMMAND (see python -m ringpool --help)\n"
    )
