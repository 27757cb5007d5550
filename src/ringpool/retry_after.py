"""How long a server asked to wait, read from the error that its answer became."""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from ringpool import checks


def asked_delay(error: BaseException) -> float | None:
    """
    Seconds that *error* says to wait before the next attempt; None: it says nothing that can be read.

    Looks, in this order, at

    1. ``error.retry_after``: a number of seconds, a timedelta, or a text like 2;
    2. the header ``Retry-After`` of ``error.response.headers`` (requests, httpx);
    3. the same of ``error.headers`` (urllib, aiohttp).

    A header is seconds or an HTTP date (RFC 9110, section 10.2.3), which is
    compared with this machine's clock. The first that can be read counts. A
    time that has passed is 0, one of more than 68 years is 68 years; NaN,
    infinity and what is no time count as not said.

    Nothing that a property of a foreign error raises comes out of here. Safe
    from any thread; half a microsecond where there is nothing to read.
    """
    seconds = _seconds(_attribute(error, "retry_after"))
    for holder in (_attribute(error, "response"), error):
        if seconds is None and holder is not None:
            seconds = _seconds(_header(_attribute(holder, "headers")))
    return seconds


def _attribute(thing: Any, name: str) -> Any:
    try:
        return getattr(thing, name, None)
    except Exception:  # a property of a class that nobody here knows
        return None


def _header(headers: Any) -> Any:
    if headers is None:
        return None
    for name in ("Retry-After", "retry-after"):  # a plain dict tells them apart
        try:
            value = headers.get(name)
        except Exception:  # a list of pairs, a mapping that is broken
            return None
        if value is not None:
            return value
    return None


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return checks.seconds_of(value)
    try:
        return checks.seconds_of(float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:  # "-0000": UTC without saying whose
            date = date.replace(tzinfo=UTC)
        return checks.seconds_of(date.timestamp() - time.time())
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
