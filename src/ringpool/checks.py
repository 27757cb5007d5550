"""What an argument may be, said at the call that got it."""

import inspect
import operator
from collections.abc import Iterable
from datetime import timedelta
from math import isfinite
from typing import Any

from ringpool._core.shown import shown

_MOST = 2**31 - 1
LONGEST = float(2**31 - 1)  # seconds, 68 years: as nanoseconds it still fits 64 bits when added to a clock


def whole_number(name, value, least):
    """*value* as an int from *least* to 2**31 - 1; else TypeError or ValueError with *name* in it."""
    try:
        number = operator.index(value)
    except TypeError:
        if isinstance(value, float) and value != value:
            raise ValueError(f"{name} must be a whole number, got NaN") from None
        raise TypeError(f"{name} must be a whole number, got {shown(value)}") from None
    if number < least:
        limit = f"greater than {least - 1}" if least else "0 or greater"
        raise ValueError(f"{name} must be {limit}, got {shown(number)}")
    if number > _MOST:
        raise ValueError(f"{name} must be at most {_MOST}, got {shown(number)}")
    return number


def thread_name(name, value):
    """*value* as part of a thread's name."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {shown(value)}")
    if "\0" in value:
        raise ValueError(f"{name} must not contain a NUL character")
    return value


def context(value):
    """How a job gets its contextvars."""
    if value is not None and value != "copy":
        raise ValueError(f'context must be "copy" or None, got {shown(value)}')


def seconds(name, value):
    """*value* as a time limit, where None means no limit and what is below zero means zero."""
    if value is None:
        return None
    try:
        if isinstance(value, (str, bytes, bytearray)):
            raise TypeError
        limit = float(value)
    except OverflowError:
        return None if value > 0 else 0.0
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number of seconds or None, got {shown(value)}") from None
    if limit != limit:
        raise ValueError(f"{name} must not be NaN")
    return max(limit, 0.0)


def level(name, value):
    """*value* as a priority."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {shown(value)}") from None
    if not -1000 <= number <= 1000:
        raise ValueError(f"{name} must be from -1000 to 1000, got {shown(number)}")
    return number


def min_workers(value, workers):
    """*value* as how many of *workers* stay; None: all."""
    least = workers if value is None else whole_number("min_workers", value, least=1)
    if least > workers:
        raise ValueError(f"min_workers must be at most workers ({workers}), got {least}")
    return least


def duration(name, value):
    """*value* as seconds from now, 0 or more; None stays None, and what is beyond all clocks becomes None."""
    if value is None:
        return None
    limit = seconds(name, value)
    if limit is not None and value < 0:
        raise ValueError(f"{name} must be 0 or greater, got {shown(value)}")
    return None if limit is None or limit > 9e9 else limit


def function(name, value):
    """*value* as a hook: something to call whose result is not to be awaited, or None."""
    if value is None:
        return None
    if not callable(value):
        raise TypeError(f"{name} must be callable or None, got {shown(value)}")
    return not_awaited(name, value)


def one_of(name, value, allowed):
    """*value*, if it is one of the names *allowed*."""
    if not isinstance(value, str) or value not in allowed:
        names = ", ".join(f'"{one}"' for one in allowed)
        raise ValueError(f"{name} must be one of {names}, got {shown(value)}")
    return value


def hashable(name, value):
    """*value*, if it can be a key."""
    try:
        hash(value)
    except TypeError:
        raise TypeError(f"{name} must be hashable, got {shown(value)}") from None
    return value


def function_and_inputs(fn, iterables):
    """What a map gets, looked at before it begins with any of it."""
    if not callable(fn):
        raise TypeError(f"fn must be callable, got {shown(fn)}")
    for one in iterables:
        if not isinstance(one, Iterable) and not hasattr(type(one), "__getitem__"):
            raise TypeError(f"iterables must be iterables, got {shown(one)}")


def not_awaited(name, value):
    """*value*, something to call; TypeError if what it returns is to be awaited, which nobody here does."""
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__):
        raise TypeError(f"{name} must be an ordinary function, not one to be awaited, got {shown(value)}")
    return value


def number(name: str, value: Any, *, least: float = 0.0, most: float = LONGEST, positive: bool = False) -> float:
    """
    *value* as a float from *least* to *most*, or above zero where *positive*.

    A :class:`datetime.timedelta` counts in seconds. Raises TypeError for what
    is no number (a bool is none) and ValueError outside the limits, each with
    *name* and what is allowed in it.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    allowed = f"greater than 0 and at most {most:.10g}" if positive else f"from {least:g} to {most:.10g}"
    try:
        if isinstance(value, (bool, str, bytes, bytearray)):
            raise TypeError
        result = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {shown(value)}") from None
    if not least <= result <= most or (positive and not result):  # false for NaN as well
        raise ValueError(f"{name} must be {allowed}, got {shown(value)}")
    return result


def seconds_of(value: Any) -> float | None:
    """*value* as seconds from 0 to :data:`LONGEST`, the nearest of the two outside; None if it is no time."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, (bool, str, bytes, bytearray)):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        seconds = LONGEST if value > 0 else 0.0
    except (TypeError, ValueError):
        return None
    if not isfinite(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST)


def ordinary(name: str, value: Any) -> Any:
    """*value* that a function given as *name* has returned; TypeError if it is to be awaited."""
    if hasattr(value, "__await__"):
        close = getattr(value, "close", None)
        if close is not None:
            close()  # or Python warns of a coroutine that nobody awaited
        raise TypeError(f"{name} must be an ordinary function: it returned {type(value).__name__}, to be awaited")
    return value
