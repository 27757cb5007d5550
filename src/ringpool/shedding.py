"""Which queued jobs to give up when they wait too long, so that the others need not."""

import math
from typing import Any, Protocol

from ringpool import checks


class Shedder(Protocol):
    """What *shed* of a queue may be."""

    def should_drop(self, wait_s: float, now_s: float, last: bool, /) -> Any:
        """As :meth:`CoDel.should_drop`; called by one thread at a time."""


class CoDel:
    """
    Controlled delay: drops now and then a job, when even the shortest wait is too long.

    A burst makes jobs wait, and goes by; a queue that is fed faster than it is
    emptied makes all of them wait, and does not. The law tells one from the
    other by the least wait within *interval*: while that stays at *target* or
    more, it drops one job, the next after ``interval / sqrt(2)``, then after
    ``interval / sqrt(3)``, …, until a wait is below *target* again.

    Drops are meant to be noticed: by producers that slow down. Those that do not
    are met by ever more drops, ``1 / (2 * interval ** 2)`` a second more with each
    second; a large overload of that kind needs a short *interval*, or a bound.

    Args:
        target: seconds that a job may wait for long; greater than 0.
        interval: seconds for which every wait must have reached *target* before
            the first job is dropped; at least *target*. Some ten times the
            *target*, and more than producers take to notice that jobs are dropped.

    Each accepts a timedelta. Raises TypeError or ValueError that names the argument.

    Its user holds a lock of his own: :meth:`should_drop` is called by one thread
    at a time, in the order in which jobs leave the queue, and takes no lock. It
    costs about a quarter of a microsecond, and memory for five numbers.

    Source: Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012, as
    in the pseudocode of RFC 8289, section 5: for each job that leaves the queue
    it decides what the routine there decides for a packet, with the wait as its
    sojourn time and *last* as its test for less than a packet in the queue.
    """

    # The state. The RFC's first_above_time_, dropping_, count_, lastcount_ and drop_next_, and one of our own:
    #   _due       when the waits will have been too long for a whole interval; None: the last was not
    #   _dropping  are jobs being dropped?
    #   _count     dropped since _dropping began, and what was carried over from the time before
    #   _last      _count when _dropping began
    #   _next      when the next job is to be dropped, while _dropping; then: when it was, or would have been
    #   _owed      _next is still when the last one was dropped: a job that shows that _dropping
    #              ends must not move it, so it moves when the next job comes

    __slots__ = ("_count", "_dropping", "_due", "_interval", "_last", "_next", "_owed", "_target")

    def __init__(self, target: float = 0.1, interval: float = 1.0):
        self._target = checks.number("target", target, positive=True)
        self._interval = checks.number("interval", interval, positive=True)
        if self._interval < self._target:
            raise ValueError(f"interval must be at least target, which is {self._target:g}, got {self._interval:g}")
        self._due: float | None = None
        self._dropping = self._owed = False
        self._count = self._last = 0
        self._next = -math.inf

    def __repr__(self) -> str:
        state = f"dropping, {self._count} so far" if self._dropping else "not dropping"
        return f"<CoDel target={self._target:g} interval={self._interval:g}: {state}>"

    @property
    def target(self) -> float:
        """Seconds that a job may wait for long."""
        return self._target

    @property
    def interval(self) -> float:
        """Seconds for which every wait must have reached :attr:`target` before the first job is dropped."""
        return self._interval

    @property
    def dropping(self) -> bool:
        """Are jobs being dropped, as of the last call?"""
        return self._dropping

    @property
    def count(self) -> int:
        """The law's n in ``interval / sqrt(n)``: how hard it presses, as of the last call."""
        return self._count

    def should_drop(self, wait_s: float, now_s: float, last: bool = False) -> bool:
        """
        Is the job that leaves the queue to be dropped? True: give it up, and ask again for the next.

        Args:
            wait_s: seconds that it has been queued.
            now_s: now, in seconds of a clock that does not go back; the same
                one in every call.
            last: does it leave the queue empty? Such a job is never dropped,
                for it holds nobody up, and its wait says that all is well.
        """
        try:
            late = self._too_long(wait_s, now_s, last)
        except TypeError:  # of no cost until then
            checks.number("wait_s", wait_s)
            checks.number("now_s", now_s)
            raise
        if not late:
            self._dropping = False
            return False
        if not self._dropping:
            self._begin(now_s)
            return True
        if self._owed:
            self._next += self._interval / math.sqrt(self._count)
            self._owed = False
        if now_s < self._next:
            return False
        self._count += 1
        self._owed = True
        return True

    def _too_long(self, wait_s: float, now_s: float, last: bool) -> bool:
        if wait_s < self._target or last:
            self._due = None
            return False
        if self._due is None:
            self._due = now_s + self._interval
            return False
        return now_s >= self._due

    def _begin(self, now_s: float) -> None:
        """Start where the last time left off, if that was less than 16 intervals ago: it was not hard enough."""
        more = self._count - self._last
        recently = now_s - self._next < 16 * self._interval
        self._count = more if more > 1 and recently else 1
        self._last = self._count
        self._next = now_s + self._interval / math.sqrt(self._count)
        self._dropping = True
        self._owed = False
