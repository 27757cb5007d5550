"""A bound on retries that many jobs share, so that a server in trouble is not met with a storm."""

import time
from collections.abc import Callable
from datetime import timedelta
from threading import get_ident
from typing import Any, Protocol, TypeVar

from ringpool import checks
from ringpool.checks import shown

T = TypeVar("T")

_RETRY = 1_000_000  # units of one retry: a ratio is kept to a millionth, and sums are exact
_SLICES = 10  # of the window; what happened in one of them is forgotten at once


class Budget(Protocol):
    """What *budget* of a Retry may be."""

    def deposit(self) -> Any:
        """As :meth:`RetryBudget.deposit`."""

    def try_withdraw(self) -> Any:
        """As :meth:`RetryBudget.try_withdraw`."""


class RetryBudget:
    """
    Allows a share of the jobs to be retried, and a few retries more.

    The law: within *per* seconds at most *minimum* retries, and *ratio* more
    for each first attempt in the same time. The window moves in steps of a
    tenth of *per*, and is so much shorter at times.

    Args:
        ratio: retries earned by one first attempt, 0 to 1000; 0.1 lets one
            job in ten be retried. Kept to a millionth.
        minimum: retries in *per* seconds that nothing has to be earned for, 0
            or greater: so that a queue with few jobs retries at all.
        per: seconds until a first attempt, and a retry, is forgotten; 0.001 or
            more. A timedelta is accepted as well.
        clock: what tells the time in seconds and never goes back; for tests.

    Raises TypeError or ValueError that names the argument.

    One budget may be shared by several queues, and should be by those that
    call the same server. Safe from any thread, signal handler and destructor,
    on free-threaded builds as well: it holds no lock, and nobody ever waits.
    A deposit costs some 0.5 microseconds and a withdrawal some 5, more with
    many threads; the memory is a few numbers for each thread and eight bytes
    for each retry within *per* seconds.

    Source: Finagle's ``RetryBudget`` (a token bucket whose tokens expire;
    https://finagle.github.io/blog/2016/02/08/retry-budgets), with *minimum* in
    place of its minimum per second times its time to live.
    """

    # _first: slice -> {thread: first attempts}; a thread writes its own number only,
    # so that none is lost. A deposit by a signal handler that has interrupted a
    # deposit of its thread is: one earns a little less.
    # _taken: slice -> list with one item for each retry. Its append, pop and len are
    # atomic on every build, which makes it the counter that int += 1 is not.

    __slots__ = ("_clock", "_earned", "_first", "_minimum", "_per", "_ratio", "_taken")

    def __init__(
        self,
        ratio: float = 0.1,
        minimum: int = 10,
        per: float | timedelta = 10.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._ratio = checks.number("ratio", ratio, most=1000.0)
        self._minimum = checks.whole_number("minimum", minimum, least=0)
        self._per = checks.number("per", per, least=0.001)
        if not callable(clock):
            raise TypeError(f"clock must be a callable that returns seconds, got {shown(clock)}")
        self._clock = clock
        self._earned = round(self._ratio * _RETRY)
        if not self._earned and not self._minimum:
            raise ValueError("ratio or minimum must be greater than 0, or nothing would ever be retried")
        self._first: dict[int, dict[int, int]] = {}
        self._taken: dict[int, list[None]] = {}

    def __repr__(self) -> str:
        return f"RetryBudget(ratio={self._ratio:g}, minimum={self._minimum}, per={self._per:g})"

    @property
    def ratio(self) -> float:
        """Retries earned by one first attempt."""
        return self._ratio

    @property
    def minimum(self) -> int:
        """Retries in :attr:`per` seconds that nothing has to be earned for."""
        return self._minimum

    @property
    def per(self) -> float:
        """Seconds until a first attempt, and a retry, is forgotten."""
        return self._per

    @property
    def balance(self) -> int:
        """Retries that would be allowed now, were nothing deposited meanwhile; a guess while threads use it."""
        return max(0, self._left(self._slice()) // _RETRY)

    def deposit(self) -> None:
        """Count one first attempt. Call it once for each job, not for its retries."""
        now = self._slice()
        here = self._first.get(now)
        if here is None:
            here = _opened(self._first, now, {})
        me = get_ident()
        here[me] = here.get(me, 0) + 1

    def try_withdraw(self) -> bool:
        """
        Count one retry, if the budget allows it; False, and nothing counted, if it does not. Never waits.

        Never allows more than the law does. Of threads that ask for the last
        retry at the same moment it may be that none gets it.
        """
        now = self._slice()
        here = self._taken.get(now)
        if here is None:
            here = _opened(self._taken, now, [])
        # Counted first and looked at afterwards: of two that do so at the same
        # time, one at least sees the other's.
        here.append(None)
        if self._left(now) >= 0:
            return True
        here.pop()
        return False

    def _slice(self) -> int:
        return int(self._clock() * _SLICES / self._per)

    def _left(self, now: int) -> int:
        """Units that are not taken."""
        first = taken = 0
        for k in range(now + 1 - _SLICES, now + 1):
            first += sum(self._first.get(k, _NOTHING).copy().values())  # a copy, for threads may come to it
            taken += len(self._taken.get(k, ()))
        return (self._minimum - taken) * _RETRY + first * self._earned


_NOTHING: dict[int, int] = {}


def _opened(slices: dict[int, T], now: int, empty: T) -> T:
    """The entry for a slice that has just begun, whoever was first to make it; what the window has left, goes."""
    for k in list(slices):
        if k <= now - 2 * _SLICES:  # twice the window, for threads whose look at the clock is old
            slices.pop(k, None)
    return slices.setdefault(now, empty)
