"""A job on its way: attempts, time limits, and what becomes of it; made only for jobs that ask for any of it."""

import threading
from concurrent.futures import CancelledError
from functools import partial
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from ringpool import tallies
from ringpool._core import plan as core
from ringpool._core.timekeeper import call_at, call_off, now
from ringpool._core.worker import Again, current_future
from ringpool.errors import JobExpired, JobTimeout
from ringpool.future import Future
from ringpool.job import Job
from ringpool.retry import describe, keep_errors

if TYPE_CHECKING:
    from ringpool.worker_queue import WorkerQueue


class Plan:
    """
    The function of a planned job's record: each call is an attempt.

    It refers to its queue, which therefore lives as long as such a job is
    waiting. Moved by one thread at a time, the one that has the job, except
    for the attempt's token: whoever takes it, the attempt that ends or the
    time limit that passes, decides how the attempt ended.
    """

    __slots__ = (
        "attempt", "began", "deadline", "errors", "expires", "job", "late", "queue", "replaces", "retry", "slept",
        "spilled", "timeout", "token", "until", "waits_since",
    )  # fmt: skip

    def __init__(self, queue: "WorkerQueue", job: Job[Any]):
        settings = queue._settings
        self.queue = queue
        self.job = job
        self.retry = job.retry if job.retry is not None else settings.retry
        self.timeout = job.timeout if job.timeout is not None else settings.timeout
        self.deadline = None if job.deadline is None else now() + int(job.deadline * 1e9)
        self.expires = None if job.expires_in is None else now() + int(job.expires_in * 1e9)
        self.spilled = False  # to another queue, which has a plan of its own for it
        self.attempt = 0
        self.late: JobTimeout | None = None
        self.replaces: bool | None = None
        self.until: int | None = None
        self.errors: list[str] = []
        self.began = 0
        self.slept = 0.0
        self.waits_since = 0
        self.token: threading.Lock | None = None

    @property
    def timed(self) -> bool:
        """Does anything in it need a clock?"""
        return bool(
            self.retry or self.timeout is not None or self.deadline is not None or self.expires is not None
            or self.job.delay
        )  # fmt: skip

    # ---- from submit to start -----------------------------------------------------

    def watch(self, future: Future[Any]) -> None:
        """After the job was queued: have it ended in time, and its timers with it."""
        if self.job.delay or self.retry:
            future.add_done_callback(self._hasten)
        for due, call in ((self.expires, self._expire), (self.deadline, self._miss_deadline)):
            if due is not None:
                timer = call_at(self.queue, due, partial(call, future))
                future.add_done_callback(partial(_call_off, self.queue, timer))

    def verdict(self, waited: float) -> Any:
        """May it start? None: yes; a float: nothing may for so many seconds; else (expired, the error to end in)."""
        if self.attempt == 0 and self.expires is not None and now() >= self.expires:
            return True, self._expired()
        return self.queue._settings.verdict(self.queue, self.job, waited)

    def _expire(self, future):
        if self.attempt == 0 and core.end_unstarted(future, self._expired(), True):
            self.queue._settings.dropped(future)

    def _expired(self):
        return JobExpired(f"{self.job.title} did not start within {self.job.expires_in:g} s")

    def _miss_deadline(self, future):
        error = JobTimeout(f"{self.job.title} was not done within {self.job.deadline:g} s of its submission")
        keep_errors(self.errors, error)
        if core.end_unstarted(future, error, self.attempt == 0):
            self.queue._settings.dropped(future)
        else:
            self._overrun(future, self.token, error)

    def _hasten(self, future):
        # Ended before it was due: its place is to be cleared now, not then. In an attempt, it has none.
        if self.token is None:
            core.make_due(self.queue, future)

    # ---- an attempt ---------------------------------------------------------------

    def __call__(self) -> Any:
        settings, job = self.queue._settings, self.job
        future = current_future()
        assert future is not None  # this is a worker
        self.attempt += 1
        self.late = self.replaces = None
        self.token = token = threading.Lock()
        if self.attempt == 1:
            self.began = monotonic_ns()
            if self.retry is not None and self.retry.budget is not None:
                self.retry.budget.deposit()
        else:
            self.slept += (monotonic_ns() - self.waits_since) * 1e-9
        if self.attempt > 1 and self.queue._stops_now:
            raise CancelledError("the queue was told to stop now")
        timer = None
        self.until = self.deadline
        if self.timeout is not None:
            due = now() + int(self.timeout * 1e9)
            timer = call_at(self.queue, due, partial(self._time_out, future, token))
            self.until = due if self.deadline is None else min(due, self.deadline)
        settings.call("on_start", future)
        error: BaseException | None = None
        result = None
        try:
            result = job.fn(*job.args, **job.kwargs)
        except BaseException as raised:
            error = raised
        if timer is not None:
            call_off(self.queue, timer)
        if not token.acquire(False):  # the time limit came first
            late = self.late
            assert late is not None  # written before the token was taken
            if self.replaces is not None:
                core.end_running(future, late)
                core.lateness_ends(self.queue, self.replaces)
                raise late
            late.__cause__ = error
            error = late
        try:
            if error is None:
                return result
            return self._try_again(future, error)
        finally:
            del error

    def _try_again(self, future, error):
        delay = None
        if self.retry is not None and not future._asked and not self.queue._stops_now:
            elapsed = (monotonic_ns() - self.began) * 1e-9
            delay = self.retry.delay_after(self.attempt, error, elapsed=elapsed, slept=self.slept)
        if delay is not None and self.deadline is not None and now() + delay * 1e9 >= self.deadline:
            delay = None
        if delay is None:
            keep_errors(self.errors, error)
            raise error
        self.errors.append(describe(self.attempt, error))
        self.queue._settings.call("on_retry", future, error, delay)
        self.waits_since = monotonic_ns()
        self.token = None
        return Again(int(delay * 1e9))

    # ---- on the timekeeper ----------------------------------------------------------

    def _time_out(self, future, token):
        error = self._timed_out()
        if not self._would_retry(error):
            keep_errors(self.errors, error)
            self._overrun(future, token, error)
            return
        self.late = error
        if token.acquire(False):
            core.count(self.queue, tallies.TIMED_OUT)
            core.wake_sleepers(self.queue)  # as soon as the attempt has come to an end, there is another

    def _overrun(self, future, token, error):
        # What the attempt reads when it finds the token taken is written first.
        if token is None or token.locked():
            return
        self.late = error
        self.replaces = core.lateness_begins(self.queue)
        if not token.acquire(False):
            replaces, self.replaces = self.replaces, None  # the next attempt is not late
            core.lateness_ends(self.queue, replaces)
            return
        core.count(self.queue, tallies.TIMED_OUT)
        core.end_running(future, error)
        core.wake_sleepers(self.queue)

    def _would_retry(self, error):
        retry = self.retry
        return (
            retry is not None
            and (retry.attempts is None or self.attempt < retry.attempts)
            and retry.takes(self.attempt, error)
            and (self.deadline is None or now() < self.deadline)
        )

    def _timed_out(self):
        return JobTimeout(f"attempt {self.attempt} of {self.job.title} was not done within {self.timeout:g} s")

    # ---- for current_job() -----------------------------------------------------------

    def remaining(self) -> float | None:
        """Seconds until the attempt's or the job's time is up, 0 afterwards; None: no limit."""
        return None if self.until is None else max(0.0, (self.until - now()) * 1e-9)


def _call_off(queue, timer, future):
    call_off(queue, timer)
