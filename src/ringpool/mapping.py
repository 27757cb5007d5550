"""A map whose items are jobs of their own, for pools whose submit does more than the core's."""

import itertools
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ringpool.future import Future
from ringpool.progress import Window, seconds_until


def window(buffersize: Any) -> int | None:
    """*buffersize* as a number of items; the errors are the standard library's."""
    if buffersize is None:
        return None
    if not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    return min(buffersize, sys.maxsize)


def one_by_one(
    pool: Any,
    fn: Callable[..., Any],
    iterables: Iterable[Iterable[Any]],
    timeout: float | None,
    buffersize: int | None,
    waits: bool = False,
    ordered: bool = True,
) -> Iterator[Any]:
    """
    Submit each item; results in order, or, if not *ordered*, as they come.

    *buffersize* items are ahead of the reader at the most; None: all. *waits*: for room, whatever the pool's submit
    would do when there is none.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    calls = zip(*iterables)
    ahead: deque[Future[Any]] | Window = deque() if ordered else Window()
    try:
        for args in itertools.islice(calls, buffersize):
            ahead.append(_submit(pool, waits, fn, args))
    except BaseException:
        _cancel_all(ahead)
        raise
    refill = None if buffersize is None else _Refill(weakref.ref(pool), waits, fn, calls)
    return _results(ahead, refill, deadline)


def _submit(pool, waits, fn, args):
    return pool.submit_within(None, fn, *args) if waits else pool.submit(fn, *args)


class _Refill:
    """Submits the next call of a map; holds the executor weakly, as the standard library does."""

    def __init__(self, executor, waits, fn, calls):
        self._executor = executor
        self._waits = waits
        self._fn = fn
        self._calls = calls

    def __call__(self, ahead):
        executor = self._executor()
        if executor is not None:
            for args in itertools.islice(self._calls, 1):
                ahead.append(_submit(executor, self._waits, self._fn, args))


def _results(ahead, refill, deadline):
    try:
        while ahead:
            result = _result_or_cancel(_next_of(ahead, deadline), deadline)
            if refill is not None:
                refill(ahead)
            yield result
            del result
    finally:
        _cancel_all(ahead)


def _next_of(ahead, deadline):
    return ahead.popleft() if isinstance(ahead, deque) else ahead.take(deadline)


def _result_or_cancel(future, deadline):
    try:
        try:
            return future.result(seconds_until(deadline))
        finally:
            future.cancel()
    finally:
        del future  # an exception's traceback must not hold the future that holds the exception


def _cancel_all(futures):
    for future in futures:
        future.cancel()
