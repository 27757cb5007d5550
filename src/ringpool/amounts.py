"""Times and ratios as arguments: finite floats within stated limits, refused by name."""

from datetime import timedelta
from math import isfinite
from typing import Any

LONGEST = float(2**31 - 1)  # seconds, 68 years: as nanoseconds it still fits 64 bits when added to a clock


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
        raise ValueError(f"{name} must be {allowed}, got {value!r}") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not least <= result <= most or (positive and not result):  # false for NaN as well
        raise ValueError(f"{name} must be {allowed}, got {value!r}")
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
