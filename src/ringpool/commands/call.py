"""What a run calls for each line, and how what came of it is written down."""

import importlib
import inspect
import json
import time

from ringpool.commands.trouble import CannotRun, message_of


def function_named(name):
    """The callable that MODULE:FUNCTION means."""
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise CannotRun(f"what to call must look like MODULE:FUNCTION, got {name!r}")
    try:
        function = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except ImportError as error:
        raise CannotRun(f"cannot import {module_name}: {message_of(error)}") from None
    except BaseException as error:
        raise CannotRun(f"cannot import {module_name}: {type(error).__name__}: {message_of(error)}") from None
    for part in path.split("."):
        try:
            function = getattr(function, part)
        except Exception:
            raise CannotRun(f"there is no {path} in {module_name}") from None
    if not callable(function):
        raise CannotRun(f"{name} cannot be called: it is of type {type(function).__name__}")
    if inspect.iscoroutinefunction(function):
        raise CannotRun(f"{name} is a coroutine function: a call only makes a coroutine that nobody awaits")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise CannotRun(f"{name} is a generator function: a call only makes a generator that nobody reads")
    return function


class Failed(Exception):
    """How the job of a line fails; its arguments are what job_of's would have returned."""


def job_of(function):
    """The job of one line: calls *function*, and returns the line's index and what came of it as a line of JSON."""
    clock = time.perf_counter

    def job(index, line):
        start = clock()
        try:
            result = function(line)
            seconds = clock() - start
            written = express(result)
            return index, f'{{"input": {quote(line)}, "ok": true, "result": {written}, "seconds": {seconds:.9f}}}\n'
        except BaseException as error:  # SystemExit, too, ends the call and not the run
            seconds = clock() - start
            written = f'{{"type": {quote(type(error).__name__)}, "message": {quote(message_of(error))}}}'
        # Raised out here, it holds on to neither the error nor the frames it came from.
        raise Failed(index, f'{{"input": {quote(line)}, "ok": false, "error": {written}, "seconds": {seconds:.9f}}}\n')

    return job


quote = json.encoder.encode_basestring_ascii
encode = json.JSONEncoder(allow_nan=False).encode

# For one of these the encoder takes longer than all else that is done for a line.
ENCODERS = {str: quote, int: int.__repr__, bool: {False: "false", True: "true"}.get, type(None): lambda none: "null"}


def express(result):
    try:
        return ENCODERS.get(type(result), encode)(result)
    except Exception:
        try:
            return quote(repr(result))
        except Exception as error:
            return quote(f"<{type(result).__name__}, whose repr raised {type(error).__name__}>")
