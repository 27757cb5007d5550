"""A job on its way: attempts, time limits, and what becomes of it; made only for jobs that ask for any of it."""

import math
import threading
from concurrent.futures import CancelledError
from functools import partial
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from ringpool import tallies
from ringpool._core import plan as core
from ringpool._core.counts import count
from ringpool._core.here import current_future
from ringpool._core.timekeeper import call_at, call_off, now
from ringpool.errors import JobExpired, JobTimeout
from ringpool.future import Future
from ringpool.job import Job
from ringpool.retry import describe, keep_errors

if TYPE_CHECKING:
    from ringpool.worker_queue import WorkerQueue


_SOON_NS = 1_000_000


class Again(int):
    """What an attempt returns that is not to be the last: nanoseconds until the next."""


class Attempt:
    """
    One call of the function, and who decides how it ended.

    Two marks, each for the first who takes it: the attempt that has come to an
    end, or a time limit that has passed. A limit writes what the attempt is to
    read before it takes a mark.
    """

    __slots__ = ("error", "intime", "late", "replaces", "token")

    def __init__(self):
        self.intime = threading.Lock()
        """Taken by a limit: the attempt ends in *late*, whatever it returns or raises."""
        self.late: JobTimeout | None = None
        """For ``current_job().cancelled``, and as the attempt's error."""
        self.token = threading.Lock()
        """Taken by a limit: the job ends in *error*, now, and the function goes on."""
        self.error: BaseException | None = None
        self.replaces = False


class Plan:
    """
    The function of a planned job's record: each call is an attempt.

    It refers to its queue, which therefore lives as long as such a job is
    waiting. Moved by one thread at a time, the one that has the job, except
    for the marks of its :class:`Attempt`.
    """

    __slots__ = (
        "attempt", "began", "deadline", "errors", "expires", "job", "key", "queue", "retry", "running", "slept",
        "timeout", "until", "waits_since", "went_elsewhere",
    )  # fmt: skip

    def __init__(self, queue: "WorkerQueue", job: Job[Any]):
        settings = queue._settings
        self.queue = queue
        self.job = job
        self.key = None if job.key is None else settings.keys.number(job.key)
        self.retry = settings.retry if job.retry is None else settings.budgeted(job.retry)
        self.timeout = job.timeout if job.timeout is not None else settings.timeout
        if self.timeout == math.inf:
            self.timeout = None
        self.deadline = None if job.deadline is None else now() + int(job.deadline * 1e9)
        self.expires = None if job.expires_in is None else now() + int(job.expires_in * 1e9)
        self.attempt = 0
        self.running: Attempt | None = None
        self.until: int | None = None
        self.errors: list[str] = []
        self.began = 0
        self.slept = 0.0
        self.waits_since = 0
        self.went_elsewhere = False  # to another queue, which has made a plan of its own

    @property
    def timed(self) -> bool:
        """Does anything in it need a clock?"""
        return bool(
            self.retry or self.timeout is not None or self.deadline is not None or self.expires is not None
            or self.job.delay
        )  # fmt: skip

    @property
    def limits(self) -> tuple[bool, bool]:
        """May time alone end it before it starts, and while it runs?"""
        return (
            self.expires is not None or self.deadline is not None,
            self.timeout is not None or self.deadline is not None,
        )

    # ---- from submit to start -----------------------------------------------------

    def watch(self, future: Future[Any]) -> None:
        """After the job was queued: have it ended in time, its timers with it, and *on_done* told."""
        settings = self.queue._settings
        try:
            if self.expires is not None:
                self._call_at(future, self.expires, self._expire)
            if self.deadline is not None:
                self._call_at(future, self.deadline, self._miss_deadline)
            if "on_done" in settings.hooks:
                future.add_done_callback(settings.done)
            if "on_error" in settings.hooks:
                future._on_error = settings.unread  # which its end looks for
        except BaseException:  # no memory, or a signal handler raised: submit raises too, so it is not to run
            future.cancel()
            raise

    def _call_at(self, future, due, call):
        timer = call_at(self.queue, due, partial(call, future))
        future.add_done_callback(partial(_call_off, self.queue, timer))

    def verdict(self, waited: float) -> Any:
        """May it start? None: yes; a float: nothing may for so many seconds; else (expired, the error to end in)."""
        if self.attempt == 0 and self.expires is not None and now() >= self.expires:
            return True, self._expired()
        return self.queue._settings.verdict(self.queue, self.job, waited if self.attempt == 0 else None)

    def given_up(self, future: Future[Any], expired: bool) -> None:
        """The verdict has ended it."""
        if not expired:
            count(self.queue, tallies.SHED)
        self.queue._settings.dropped(future)

    def _expire(self, future):
        if self.attempt == 0 and core.end_unstarted(self.queue, future, self._expired(), True):
            self.queue._settings.dropped(future)

    def _expired(self):
        return JobExpired(f"{self.job.title} did not start within {self.job.expires_in:g} s")

    def _miss_deadline(self, future):
        started = self.attempt > 0
        error = JobTimeout(f"{self.job.title} was not done within {self.job.deadline:g} s of its submission")
        keep_errors(self.errors, error)
        if core.end_unstarted(self.queue, future, error, not started):
            if not started:
                self.queue._settings.dropped(future)
        elif not future.done() and not self._overrun(future, self.running, error):
            # between its start and its first line, or between its last and its way back: look again
            call_at(self.queue, now() + _SOON_NS, partial(self._miss_deadline, future))

    # ---- an attempt ---------------------------------------------------------------

    def __call__(self) -> Any:
        settings, job = self.queue._settings, self.job
        future = current_future()
        assert future is not None  # this is a worker
        self.attempt += 1
        if self.attempt == 1:
            self.began = monotonic_ns()
            if self.retry is not None and self.retry.budget is not None:
                self.retry.budget.deposit()
        else:
            self.slept += (monotonic_ns() - self.waits_since) * 1e-9
            if self.queue._stops_now or future._asked:
                refused = CancelledError("it was asked to end before it was tried again")
                keep_errors(self.errors, refused)
                raise refused
        self.running = attempt = Attempt()
        timer = None
        self.until = self.deadline
        if self.timeout is not None:
            due = now() + int(self.timeout * 1e9)
            timer = call_at(self.queue, due, partial(self._time_out, future, attempt, self.attempt))
            self.until = due if self.deadline is None else min(due, self.deadline)
            if self.retry is not None and self.deadline is None:
                core.repeats(future, self._is_sure_to_retry())
        settings.call("on_start", future)
        error: BaseException | None = None
        result = None
        try:
            result = job.fn(*job.args, **job.kwargs)
        except BaseException as raised:
            error = raised
        if timer is not None:
            call_off(self.queue, timer)
        try:
            if not attempt.token.acquire(False):
                assert attempt.error is not None  # written before the token was taken
                core.end_running(self.queue, future, attempt.error)
                core.lateness_ends(self.queue, attempt.replaces)
                raise attempt.error
            if not attempt.intime.acquire(False):
                late = attempt.late
                late.__cause__ = error  # type: ignore[union-attr]
                error = late
                del late
            return result if error is None else self._try_again(future, error)
        finally:
            # The error's traceback refers to this frame, and whatever it refers to must not refer back to the error,
            # or both would live until the collector comes, and so would the report of an error that nobody reads.
            del self, job, future, attempt, error

    def _try_again(self, future, error):
        delay = None
        try:
            if self.retry is not None and not future._asked and not self.queue._stops_now:
                elapsed = (monotonic_ns() - self.began) * 1e-9
                try:
                    delay = self.retry.delay_after(self.attempt, error, elapsed=elapsed, slept=self.slept)
                except BaseException as broken:
                    broken.__context__ = error
                    keep_errors(self.errors, broken)
                    raise
            if delay is not None and self.deadline is not None and now() + delay * 1e9 >= self.deadline:
                delay = None
            if delay is None:
                keep_errors(self.errors, error)
                raise error
            self.errors.append(describe(self.attempt, error))
            self.queue._settings.call("on_retry", future, error, delay)
            self.waits_since = monotonic_ns()
            self.running = None
            return Again(delay * 1e9)
        finally:
            del self, future, error  # as above

    # ---- on the timekeeper ----------------------------------------------------------

    def _time_out(self, future, attempt, number):
        error: BaseException = JobTimeout(
            f"attempt {number} of {self.job.title} was not done within {self.timeout:g} s"
        )
        try:
            again = self._would_retry(number, error)
        except BaseException as broken:
            broken.__context__ = error
            error, again = broken, False
        if not again:
            keep_errors(self.errors, error)
            self._overrun(future, attempt, error)
        elif not attempt.token.locked():
            attempt.late = error
            if attempt.intime.acquire(False):
                count(self.queue, tallies.TIMED_OUT)
                core.wake_sleepers(self.queue)  # as soon as the attempt has come to an end, there is another

    def _overrun(self, future, attempt, error):
        # True: the job ends in *error*, now.
        if attempt is None or attempt.token.locked():
            return False
        attempt.error = error
        attempt.replaces = core.lateness_begins(self.queue)
        if not attempt.token.acquire(False):
            core.lateness_ends(self.queue, attempt.replaces)
            return False
        attempt.late = error
        if attempt.intime.acquire(False):
            count(self.queue, tallies.TIMED_OUT)
        core.end_running(self.queue, future, error)
        core.wake_sleepers(self.queue)
        return True

    def _is_sure_to_retry(self):
        # After this attempt, should its time be up: without asking any function.
        retry, kinds = self.retry, (type, tuple, type(None))
        asks = retry.retry is not None or not all(isinstance(errors, kinds) for errors in (retry.on, retry.give_up))
        return not asks and self._would_retry(self.attempt, JobTimeout("its time is up"))

    def _would_retry(self, number, error):
        retry = self.retry
        return retry is not None and retry.takes(number, error) and (self.deadline is None or now() < self.deadline)

    @property
    def late(self) -> bool:
        """Is the time of the attempt that runs up?"""
        attempt = self.running
        return attempt is not None and attempt.late is not None

    # ---- for current_job() -----------------------------------------------------------

    def remaining(self) -> float | None:
        """Seconds until the attempt's or the job's time is up, 0 afterwards; None: no limit."""
        return None if self.until is None else max(0.0, (self.until - now()) * 1e-9)


def _call_off(queue, timer, future):
    call_off(queue, timer)
