"""A group of jobs that are waited for, and fail, together."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from ringpool._core.engine import Engine
from ringpool.checks import shown
from ringpool.future import Future
from ringpool.job import Job
from ringpool.progress import Progress
from ringpool.racing import error_of, first_success, raise_together

P = ParamSpec("P")
T = TypeVar("T")


class GroupClosed(RuntimeError):
    """The group takes no more jobs; this one was not accepted and will not run."""

    def __init__(self, message: str, group: "JobGroup"):
        super().__init__(message)
        self.group = group
        """The group that refused."""


class JobGroup:
    """
    Jobs of one queue that do not outlive a block of code.

    Args:
        queue: where the jobs run; several groups may share it.

    ::

        with JobGroup(queue) as group:
            for url in urls:
                group.submit(fetch, url)
        pages = list(group.results())

    Leaving the block waits for every job of the group. The first job that fails
    cancels the rest: what has not started never will, what runs is asked to
    stop (:func:`ringpool.current_job`) and waited for; and leaving the block
    raises an ExceptionGroup of all errors, in the order of submission. An
    exception in the body does the same and comes first in that group. It is a
    BaseExceptionGroup where one of the errors is no Exception; KeyboardInterrupt
    and SystemExit, of the body or of a job, come out bare.

    A job that was cancelled, by whomever, or that raised CancelledError is no
    failure, and a refusal by this very group (:class:`GroupClosed`) is none
    either: both follow from something else. A CancelledError or GroupClosed
    that ends the body comes out only if nothing has failed.

    Ctrl-C while the block is being left cancels the rest and goes on waiting
    for what runs; where the rest had been cancelled before, it leaves at once.
    So does every exception that a signal handler raises.

    Every method is safe from any thread and from jobs, also from those of the
    group itself, and works in a job of the same queue. The group keeps the
    futures of all its jobs.
    """

    def __init__(self, queue: Engine):
        if isinstance(queue, type) or not callable(getattr(queue, "submit", None)):
            raise TypeError(f"queue must be a WorkerQueue, got {shown(queue)}")
        self._queue = queue
        self._jobs: list[Future[Any]] = []  # of submit(), in order
        self._racers: set[Future[Any]] = set()  # of race(), which may fail
        self._progress = Progress(self._look)  # of both
        self._arriving: set[object] = set()  # submissions that have not come back: the end waits for them
        self._state = "not entered"  # then "open", "left", and in between "closing", which may yet be "open"
        self._closing = threading.RLock()
        self._cancelled = False

    def __repr__(self) -> str:
        jobs = self._progress.jobs.copy()
        finished = sum(job.done() for job in jobs)
        state = "cancelled" if self._cancelled and self._state == "open" else self._state
        return f"<{type(self).__name__} {state}, {finished} of {len(jobs)} jobs finished>"

    @property
    def cancelled(self) -> bool:
        """Has a job failed, the body raised, or :meth:`cancel` been called? A long body looks here."""
        return self._cancelled

    # ---- jobs ------------------------------------------------------------------

    @overload
    def submit(self, job: Job[T], /) -> Future[T]: ...
    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        As the queue's ``submit``, for a job of this group; waits while the queue is full.

        A job of the group may submit further ones: they are waited for too.
        So is a submission by any other thread that began before the end. (Where
        the block is in a job of the same queue, do not let the body end while
        another thread waits in here for room: with no other worker nobody makes
        any.) When the group is cancelled in the meantime the future comes back
        cancelled, or its job asked to stop.

        Raises:
            GroupClosed: the block is not entered or left, or the group cancelled.
            QueueStopped, QueueFull, TypeError: from the queue's ``submit``.
        """
        return self._admit(self._jobs.append, fn, *args, **kwargs)

    def race(self, *calls: Callable[[], T] | Job[T]) -> T:
        """
        Run *calls* as jobs of this group and return the result of the first that succeeds.

        The others are cancelled, and those that run are waited for when the
        block is left, not here. A call that fails does not fail the group; when
        every one failed this raises an ExceptionGroup. Not in :meth:`results`
        and :meth:`as_completed`. The rest is as :func:`ringpool.race`; and
        GroupClosed as :meth:`submit`.
        """
        return first_success(lambda call: self._admit(self._racers.add, call), calls)

    def cancel(self) -> None:
        """Cancel what has not started, ask what runs to stop, refuse more; not an error, and does not wait."""
        self._cancelled = True
        # Who submits lists the job before he looks at the mark: one of us cancels it.
        for job in self._progress.jobs.copy():
            job.cancel()

    def _admit(self, enlist, fn, /, *args, **kwargs):
        arrival = object()
        self._arriving.add(arrival)  # before the look at the state: see _wait_and_close
        try:
            if self._cancelled or self._state != "open":
                self._refuse()
            job = self._queue.submit(fn, *args, **kwargs)
            try:
                enlist(job)
                self._progress.add(job)
            except BaseException:
                job.cancel()  # no memory: nobody waits for it
                raise
        finally:
            self._arriving.discard(arrival)
            self._progress.ring()
        if self._cancelled:
            job.cancel()
        return job

    def _refuse(self):
        with self._closing:
            if self._cancelled:
                raise GroupClosed("the group takes no more jobs: it was cancelled", self)
            if self._state not in ("open", "closing"):
                raise GroupClosed(f"the group takes no more jobs: it was {self._state}", self)

    def _look(self, job):
        if self._cancelled or job in self._racers:
            return
        error = error_of(job)
        if error is not None and self._is_failure(error):
            self.cancel()

    def _is_failure(self, error):
        return not (isinstance(error, CancelledError) or (isinstance(error, GroupClosed) and error.group is self))

    # ---- results -----------------------------------------------------------------

    def results(self) -> Iterator[Any]:
        """
        The result of each submitted job, in the order of submission, as they come.

        Waits for each; raises what the job raised, or CancelledError. Includes
        jobs that are submitted while it is read. In the block or after it.
        """
        position = 0
        while position < len(self._jobs):
            yield self._jobs[position].result()
            position += 1

    def as_completed(self) -> Iterator[Future[Any]]:
        """
        The future of each submitted job, as they finish, are cancelled or fail.

        Includes jobs that are submitted while it is read and ends when none is
        unfinished. Several iterators yield every job each. In the block or after it.
        """
        return (job for job in self._progress.as_completed() if job not in self._racers)

    # ---- the block ---------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._state != "not entered":
            raise RuntimeError("a JobGroup can be entered once only")
        self._state = "open"
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_value is not None:
            self.cancel()
        interruption = None
        try:
            self._wait_and_close()
        except BaseException as error:  # a signal handler's
            if self._cancelled:
                raise
            interruption = error
            self.cancel()
            self._wait_and_close()
        finally:
            self._state = "left"
        self._progress.close()
        errors = [] if interruption is None else [interruption]
        # By identity: the body may raise what a job raised, from its result().
        errors += {
            id(error): error
            for error in (exc_value, *map(error_of, self._jobs))
            if error is not None and self._is_failure(error)
        }.values()
        try:
            if errors:
                raise_together("errors in a group of jobs", errors)
        finally:
            # Their tracebacks refer to this frame, which must not refer back to them.
            del self, exc_value, traceback, interruption, errors

    def _wait_and_close(self):
        # Who submits is listed in `arriving` before he looks at the state, and we
        # set the state before we look there: one of us sees the other. He who
        # finds us closing waits until we have decided. A signal handler on top of
        # us does not wait, so we look twice.
        while True:
            known = self._progress.wait_for_all()
            if self._arriving.copy():
                self._progress.sleep_while_all(self._arriving.copy)
                continue
            with self._closing:
                self._state = "closing"
                if self._is_quiet(known):
                    self._state = "left"
                    if self._is_quiet(known):
                        return
                self._state = "open"

    def _is_quiet(self, known):
        return not self._arriving.copy() and len(self._progress.jobs) == known
