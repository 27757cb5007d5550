"""What a WorkerQueue was made with, beside what the core knows."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ringpool import checks, rate
from ringpool._core.counts import waiting
from ringpool._core.record import log_unread
from ringpool.checks import shown
from ringpool.errors import JobDropped
from ringpool.keys import Keys
from ringpool.lanes import Lane
from ringpool.retry import Retry
from ringpool.shedding import Shedder

logger = logging.getLogger("ringpool")

HOOKS = ("on_start", "on_done", "on_retry", "on_drop", "on_error")


class Settings:
    """Checked arguments; read by every thread, changed by none."""

    __slots__ = (
        "_judging", "choose", "hooks", "keys", "lanes", "overflow", "rate_limit", "retry", "shed", "stuck_after",
        "timeout",
    )  # fmt: skip

    def __init__(
        self,
        *,
        retry: Retry | None,
        timeout: float | None,
        lanes: dict[str, Lane] | None,
        overflow: Any,
        choose: Any,
        shed: Shedder | None,
        rate_limit: Callable[[], Any] | None,
        stuck_after: float | None,
        hooks: dict[str, Callable[..., Any] | None],
    ):
        if retry is not None and not isinstance(retry, Retry):
            raise TypeError(f"retry must be a Retry or None, got {shown(retry)}")
        if shed is not None and (isinstance(shed, type) or not callable(getattr(shed, "should_drop", None))):
            raise TypeError(f"shed must be a CoDel or None, got {shown(shed)}")
        self.retry = retry
        self.timeout = checks.duration("timeout", timeout)
        self.lanes = _lanes(lanes)
        self.overflow = overflow
        self.choose = choose
        self.shed = shed
        self.rate_limit = checks.function("rate_limit", rate_limit)
        self.stuck_after = checks.duration("stuck_after", stuck_after)
        if self.stuck_after is not None and self.stuck_after < 0.001:
            raise ValueError(f"stuck_after must be at least 0.001, got {shown(stuck_after)}")
        self.hooks = {name: checks.function(name, hook) for name, hook in hooks.items() if hook is not None}
        self.keys = Keys()  # which alone changes: those in use
        self._judging = threading.Lock()

    @property
    def plans_all(self) -> bool:
        """Does every job need a plan?"""
        return bool(
            self.retry or self.timeout is not None or self.shed or self.rate_limit or self.hooks
            or self.choose != "any"
        )  # fmt: skip

    @property
    def maps_by_job(self) -> bool:
        """Is each item of a map a job of its own? The watchdog would take one job that runs them all for stuck."""
        return self.plans_all or self.stuck_after is not None

    @property
    def judges(self) -> bool:
        """Is each job judged before it starts?"""
        return self.shed is not None or self.rate_limit is not None

    @property
    def timed(self) -> bool:
        """Is the timekeeper needed from the first job on?"""
        return self.rate_limit is not None

    def budgeted(self, retry: Retry) -> Retry:
        """*retry*, of a job; without a budget of its own it draws on that of the queue's, as all its other jobs do."""
        return retry if self.retry is None else retry.with_budget(self.retry.budget)

    def lane_number(self, name: str | None) -> int:
        """Of the lane called *name*; None: the first."""
        if name is None:
            return 0
        for number, one in enumerate(self.lanes):
            if one == name:
                return number
        names = ", ".join(repr(one) for one in self.lanes if one is not None) or "none"
        raise ValueError(f"lane must be one of the queue's, which are {names}; got {shown(name)}")

    def check_reserves(self, workers: int) -> None:
        """Raise ValueError when there are so few workers that a lane could never start a job."""
        reserves = [lane.reserve for lane in self.lanes.values()]
        least = sum(reserves) + (0 in reserves)
        if workers < least:
            others = ", and one for lanes that reserve none" if 0 in reserves else ""
            raise ValueError(f"workers must be at least {least}: what the lanes reserve{others}; got {workers}")

    def verdict(self, queue: Any, job: Any, waited: float | None) -> Any:
        """
        What :meth:`ringpool.plan.Plan.verdict` says, as far as the queue has a say.

        *waited*: seconds; None: it has run before, and is not shed any more.
        """
        if self.shed is not None and waited is not None and self._judging.acquire(False):
            try:
                drop = self.shed.should_drop(waited, time.monotonic(), waiting(queue) == 0)
            finally:
                self._judging.release()
            if drop:
                return False, JobDropped(f"{job.title} was shed: it had waited {waited:.3g} s, as others before it")
        if self.rate_limit is not None:
            seconds = rate.as_seconds(self.rate_limit())
            if seconds > 0:
                return float(seconds)
        return None

    # ---- hooks --------------------------------------------------------------------

    def call(self, hook: str, *args: Any) -> None:
        """Call a hook, if there is one; what it raises is logged."""
        function = self.hooks.get(hook)
        if function is None:
            return
        try:
            function(*args)
        except BaseException:  # also one that means to end the thread, which is not the hook's
            with suppress(BaseException):  # a handler of the user's; nothing is left to tell it to
                logger.exception("exception in %s", hook)

    def done(self, future: Any) -> None:
        """As a callback of a future."""
        self.call("on_done", future)

    def unread(self, error: BaseException) -> None:
        """A job has failed, and its future is gone without anybody having looked at its error."""
        if "on_error" in self.hooks:
            self.call("on_error", error)
        else:
            log_unread(type(error).__name__, error)

    def dropped(self, future: Any) -> None:
        """A job ended without having been started, and was not cancelled."""
        if not future.cancelled():
            self.call("on_drop", future)


def _lanes(lanes: dict[str, Lane] | None) -> dict[str | None, Lane]:
    if lanes is None:
        return {None: Lane()}
    if not isinstance(lanes, dict) or not lanes:
        raise TypeError(f"lanes must be a dict of names and Lanes, not empty, got {shown(lanes)}")
    for name, lane in lanes.items():
        if not isinstance(name, str) or not isinstance(lane, Lane):
            raise TypeError(f"lanes must be a dict of names and Lanes, got {shown(name)}: {shown(lane)}")
    return {name: lane for name, lane in lanes.items()}
