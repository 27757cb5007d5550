"""What an error or a warning says of a value: its repr, but short, and of a value that has none as well."""

import inspect
import reprlib
import sys
import warnings
from types import FunctionType, MethodType
from typing import Any

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlong = 60
_short.maxtuple = _short.maxlist = _short.maxdict = 10


def shown(value: Any) -> str:
    """*value* for a message: whatever it is, this takes no time to speak of and raises nothing of its own."""
    try:
        return _short.repr(value)
    except Exception:  # an int of more digits than Python writes, a class that only looks like a list
        return f"<{type(value).__name__}>"


def warn_of_coroutine(fn: Any) -> None:
    """If *fn* is one, a warning at the line outside of this package that is about to make a job of it."""
    code = getattr(fn, "__code__", None) if isinstance(fn, (FunctionType, MethodType)) else None
    if code is None or not code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("ringpool."):
        frame, level = frame.f_back, level + 1
    warnings.warn(
        f"{shown(fn)} is a coroutine function: calling it in a worker only makes a coroutine that nobody awaits",
        RuntimeWarning,
        stacklevel=level,
    )
