"""The handle of a job."""

from concurrent import futures
from typing import TypeVar

from ringpool._core.future import FutureBase
from ringpool._core.record import adopt

T = TypeVar("T")


class Future(FutureBase, futures.Future[T]):
    """
    A :class:`concurrent.futures.Future`, and at the same time the job's record.

    Works with everything that takes one: ``wait``, ``as_completed``, asyncio.
    Two things differ, both for the better. Cancelling a queued job tells
    whoever waits for it at once, and not when a worker gets to it. And
    ``result()`` on a worker, for a job of the same pool that has not started,
    runs that job in place, where the standard library's would deadlock.

    Timeouts are seconds on the monotonic clock; None and infinity wait for
    ever, 0 and less look once, NaN is a ValueError. Every method is safe from
    any thread.
    """

    __slots__ = ()


adopt(Future)
