"""
What a queue asks before it starts a job, where jobs may only start so often.

That is a function without arguments. It returns None or True: start one now,
it has been counted; or seconds: not before, and nothing was counted. The queue
asks again then. It must not wait, and not be a coroutine function.
"""

import contextlib
import inspect
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ringpool import checks
from ringpool.checks import shown

RateLimit = Callable[[], float | timedelta | bool | None]

# Seconds to the next question when a limiter refused and says that it would not now: it has changed
# its mind meanwhile, or another thread held its lock. Less would have a worker spin.
_AGAIN = 0.001


def as_seconds(answer: Any) -> float:
    """
    What a rate limit answered, as seconds until a job may start; 0.0: now.

    None, True, and numbers of 0 or less mean now; a number of seconds or a
    timedelta: not before. The result is at most 2**31 - 1.

    Raises TypeError for anything else: for False, which does not say when, and
    for a coroutine; ValueError for NaN and infinity. Costs a tenth of a microsecond
    for None, and one for seconds.
    """
    if answer is None or answer is True:
        return 0.0
    if answer is False:
        raise TypeError(
            "rate_limit must return None or True for now, or the seconds to wait; got False, which does not say when"
        )
    seconds = checks.seconds_of(answer)
    if seconds is not None:
        return seconds
    checks.ordinary("rate_limit", answer)
    if isinstance(answer, float):
        raise ValueError(f"rate_limit must return a finite number of seconds, got {shown(answer)}")
    raise TypeError(f"rate_limit must return None or True for now, or the seconds to wait; got {shown(answer)}")


def limits(limiter: Any, item: Any, *identifiers: str) -> RateLimit:
    """
    A rate limit from the ``limits`` package: ``rate.limits(MovingWindowRateLimiter(storage), parse("10/second"))``.

    Args:
        limiter: one of ``limits.strategies``; not those of ``limits.aio``.
        item: a ``RateLimitItem``, from ``limits.parse`` for example.
        identifiers: what else the limit is counted by, in that package's sense.

    A job that is refused waits until the time at which the package says the
    window gives way, by the clock of :func:`time.time`, and then asks again.
    A fixed window counts refusals as well, until it ends.

    Raises TypeError that names the argument. As safe from threads as the
    limiter's storage is, and as dear: about 10 microseconds in memory.
    """
    for name in ("hit", "get_window_stats"):
        method = getattr(limiter, name, None)
        if not callable(method) or inspect.iscoroutinefunction(method):
            kind = "one of limits.strategies, which are not to be awaited"
            raise TypeError(f"limiter must be {kind}, got {shown(limiter)}")
    if isinstance(item, str) or not hasattr(item, "get_expiry"):
        raise TypeError(f'item must be a RateLimitItem, as limits.parse("10/second") returns, got {shown(item)}')

    def ask() -> float | None:
        if limiter.hit(item, *identifiers):
            return None
        return max(limiter.get_window_stats(item, *identifiers)[0] - time.time(), _AGAIN)

    return ask


def pyrate(limiter: Any, name: str = "ringpool") -> RateLimit:
    """
    A rate limit from the ``pyrate-limiter`` package, version 4 or newer: ``rate.pyrate(Limiter(Rate(10, 1000)))``.

    Args:
        limiter: a ``pyrate_limiter.Limiter`` whose buckets are not to be awaited.
        name: the item's name, which chooses the bucket where there are several.

    A job that is refused waits for as long as its bucket says, and then asks again.

    Raises TypeError that names the argument; the function that it returns
    raises TypeError when a bucket turns out to be one for asyncio. As safe from
    threads as the limiter is, and as dear: some 30 microseconds in memory.
    """
    try:
        usable = "blocking" in inspect.signature(limiter.try_acquire).parameters
        factory = limiter.bucket_factory
        locks = limiter.lock if isinstance(limiter.lock, tuple) else (limiter.lock,)
    except (AttributeError, TypeError, ValueError):
        usable = False
    if not usable:
        raise TypeError(f"limiter must be a pyrate_limiter.Limiter of version 4 or newer, got {shown(limiter)}")
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {shown(name)}")

    def now_or_never(value: Any) -> Any:
        checks.ordinary("limiter", value)
        return value

    def ask() -> float | None:
        # What it refuses is noted in the bucket, and gone when it lets the next one in.
        with contextlib.ExitStack() as stack:
            for lock in locks:
                if not lock.acquire(False):
                    return _AGAIN
                stack.callback(lock.release)
            if now_or_never(limiter.try_acquire(name, blocking=False)):
                return None
            item = now_or_never(factory.wrap_item(name))
            milliseconds = now_or_never(now_or_never(factory.get(item)).waiting(item))
        return max(milliseconds / 1000, _AGAIN)

    return ask
