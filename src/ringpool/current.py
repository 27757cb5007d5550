"""What a job, and a worker, can ask about itself."""

import threading
import time
from concurrent.futures import CancelledError
from typing import Any

from ringpool import checks
from ringpool._core import here, worker
from ringpool._core import plan as core
from ringpool.future import Future
from ringpool.plan import Plan


class CurrentJob:
    """The job that the calling thread is running; from :func:`current_job`."""

    __slots__ = ("_plan", "_stop_flag", "future")

    def __init__(self, future: Future[Any], stop_flag: here.StopFlag, plan: Plan | None):
        self.future = future
        """The job's own future. Waiting for it in the job would never end."""
        self._stop_flag = stop_flag
        self._plan = plan

    @property
    def cancelled(self) -> bool:
        """
        Is the job wanted no more? A long job looks here now and then, and returns early.

        True once the queue was told to stop now, ``future.cancel()`` was
        called, or the attempt's or the job's time is up. A helper thread that
        the job gave this object to may look as well.
        """
        return bool(self._stop_flag) or self.future._asked or (self._plan is not None and self._plan.late)

    def check(self) -> None:
        """Raise :class:`concurrent.futures.CancelledError` if :attr:`cancelled`."""
        if self.cancelled:
            raise CancelledError("the job was asked to end")

    def sleep(self, seconds: float) -> None:
        """
        Sleep for *seconds*; raise CancelledError as soon as the job is :attr:`cancelled`.

        To be called on the job's own thread only, else RuntimeError; the
        interpreter's signal handlers run as in :func:`time.sleep`.
        """
        if seconds is None:
            raise TypeError("seconds must be a number of seconds, got None")
        limit = checks.duration("seconds", seconds)
        if here.current_future() is not self.future:
            raise RuntimeError("a job sleeps on its own thread, and while it runs")
        until = time.monotonic() + (9e9 if limit is None else limit)
        while True:
            self.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            core.sleep_in_job(left, self.future, self)

    def remaining(self) -> float | None:
        """Seconds until the attempt's *timeout* or the job's *deadline*, 0 afterwards; None: neither."""
        return None if self._plan is None else self._plan.remaining()

    @property
    def attempt(self) -> int:
        """Which attempt this is; the first is 1."""
        return 1 if self._plan is None else self._plan.attempt

    @property
    def name(self) -> str | None:
        """What the job was called in ``Job(name=)``, or its function; None for a plain call."""
        return None if self._plan is None else self._plan.job.title


def current_job() -> CurrentJob | None:
    """The job that the calling thread is running; None outside of any job. Costs no lock."""
    future = here.current_future()
    flag = here.current_stop_flag()
    if future is None or flag is None:
        return None
    return CurrentJob(future, flag, core.current_plan())


class CurrentWorker:
    """The worker that the calling thread is; from :func:`current_worker`."""

    __slots__ = ("name", "number", "state")

    def __init__(self, name: str, number: int, state: Any):
        self.name = name
        """Of its thread."""
        self.number = number
        """From 0; no two workers of a queue have the same at a time."""
        self.state = state
        """What ``worker_init`` returned on this thread; None without one."""


def current_worker() -> CurrentWorker | None:
    """The worker that the calling thread is; None on any other."""
    number = core.worker_number()
    if number is None:
        return None
    return CurrentWorker(threading.current_thread().name, number, here.current_state())


class WorkerState:
    """Makes each worker's state, and releases it, on the worker's thread."""

    __slots__ = ("_exit", "_init")

    def __init__(self, init: Any, exit: Any):
        self._init = init
        self._exit = exit

    def begin(self) -> bool:
        """Before the first job. False, after a log entry: the queue is of no use."""
        try:
            here.keep_state(self._init() if self._init is not None else None)
        except BaseException:
            worker.logger.critical("exception in worker_init: the queue takes no more jobs", exc_info=True)
            return False
        return True

    def end(self) -> None:
        """After the last job, also where worker_init failed not; what worker_exit raises is logged."""
        try:
            state = here.give_up_state()
        except LookupError:
            return
        if self._exit is not None:
            try:
                self._exit(state)
            except BaseException:
                worker.logger.exception("exception in worker_exit")
