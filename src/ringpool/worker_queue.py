"""The worker queue: bounded, with backpressure, results as they finish, and an end that drains."""

import itertools
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, Self

from ringpool import checks, lifecycle
from ringpool._core.engine import Engine
from ringpool._core.submit import give_methods
from ringpool.errors import QueueFull, QueueStopped
from ringpool.future import Future
from ringpool.stats import RunningJob, Stats, StopReport


class WorkerQueue(Engine):
    """
    A bounded queue of jobs and the workers that run them.

    Args:
        workers: threads at the most; started as jobs need them.
        capacity: jobs that may be queued, not counting those that run. When
            that many are, ``submit`` waits: backpressure. A cancelled job
            keeps its place until a worker comes by.
        name: of the queue, in errors and, before ``_0``, ``_1``, …, of its
            threads; None: ``WorkerQueue-0`` and so on.
        context: ``"copy"`` runs each job in a copy of the submitter's
            :mod:`contextvars` context; None in the worker's own.
        keep_results: finished futures kept for :meth:`results` while nobody
            reads them; None: *capacity* + *workers*, so that a queue filled
            once can be read whole; 0: none, and no results().

    ::

        with WorkerQueue(workers=8, capacity=1024) as queue:
            future = queue.submit(fetch, url)

    Leaving the block drains: everything accepted has been run. Leaving it on
    an exception cancels what has not started, asks running jobs to stop
    (:func:`ringpool.current_job`), and waits for them.

    Accepted means resolved: a future that ``submit`` returned ends in exactly
    one of result, exception, cancelled. A queue dropped without a stop drains.

    Every method is safe from any thread, from a job, from a callback and from
    a signal handler; those that wait let signal handlers run within 100 ms.
    """

    _counter = itertools.count().__next__

    def __init__(
        self,
        workers: int,
        capacity: int,
        *,
        name: str | None = None,
        context: Literal["copy"] | None = "copy",
        keep_results: int | None = None,
    ):
        workers = checks.whole_number("workers", workers, least=1)
        capacity = checks.whole_number("capacity", capacity, least=1)
        keep = capacity + workers
        if keep_results is not None:
            keep = checks.whole_number("keep_results", keep_results, least=0)
        if name is not None:
            checks.thread_name("name", name)
        checks.context(context)
        name = name or f"WorkerQueue-{WorkerQueue._counter()}"
        Engine.__init__(
            self,
            future_type=Future,
            max_workers=workers,
            capacity=capacity,
            keep=keep,
            copies_context=context == "copy",
            thread_name_prefix=name,
            initializer=None,
        )
        lifecycle.watch(self)

    def __repr__(self) -> str:
        if self._thread_name_prefix is None:
            return f"<{type(self).__name__} that was not made>"
        stats = self.stats()
        state = "stopped" if self._closed else "open"
        return (
            f"<{type(self).__name__} {self.name!r} {state}, {stats.queued}/{stats.capacity} queued, "
            f"{stats.in_flight} in flight>"
        )

    @property
    def name(self) -> str:
        """In errors and in the names of the threads."""
        return self._thread_name_prefix or ""

    @property
    def capacity(self) -> int:
        """Jobs that may be queued at a time."""
        return self._capacity

    # ---- results ---------------------------------------------------------------

    def results(self) -> "Results":
        """
        Iterate over futures in the order in which they finished.

        Ends when the queue is stopped and everything accepted has been handed
        out, so do not read it to the end in a job of this queue. Every future
        comes out once: iterators from several calls, in several threads, share
        them. A cancelled one comes out when a worker, or stop_now(), gets to
        its place.

        Memory stays bounded on either side of the first call. Before it, the
        last *keep_results* finished futures are kept and older ones forgotten;
        a call that comes too late for some raises RuntimeError. From then on
        nothing is forgotten: while *keep_results* futures wait for a reader,
        ``submit`` waits (``try_submit`` raises QueueFull), workers never do,
        and at most *keep_results* + *capacity* + *workers* futures wait for it.
        So read in another thread than the one that submits.
        """
        if not self._keep:
            raise RuntimeError("this queue keeps no results: it was made with keep_results=0")
        forgotten = self._start_reading()
        if forgotten:
            raise RuntimeError(
                f"results() came too late: {forgotten} finished futures were forgotten already; "
                f"call it earlier or make the queue with a larger keep_results than {self._keep}"
            )
        return Results(self)

    # ---- stop --------------------------------------------------------------------

    def stop(self, timeout: float | None = None) -> StopReport:
        """
        Refuse new jobs, run what was accepted, and wait for it; return a :class:`StopReport`.

        Producers that wait in ``submit`` are released with QueueStopped.

        Args:
            timeout: seconds to wait; None: until all is done. When it has
                passed, queued jobs go on being run: follow with stop_now() to
                cancel them, or with wait().

        Inside a job of this queue it does not wait: a job cannot see its own
        end. May be called any number of times.
        """
        timeout = checks.seconds("timeout", timeout)
        self._close()
        self._wait_until_quiet(timeout, True)
        return self._report()

    def stop_now(self) -> StopReport:
        """
        Refuse new jobs, cancel what has not started, ask running jobs to stop; does not wait.

        Running jobs see it as ``current_job().cancelled``; nothing interrupts
        them. Returns a :class:`StopReport`; follow with :meth:`wait`.
        """
        self._close()
        self._ask_to_stop()
        self._cancel_queued()
        return self._report()

    def wait(self, timeout: float | None = None) -> bool:
        """
        Wait until no accepted job is unfinished, and of a stopped queue until its workers have ended.

        Returns False when *timeout* seconds passed first; None: no limit.
        Inside a job of this queue it does not wait but only tells.
        """
        return self._wait_until_quiet(checks.seconds("timeout", timeout), self._closed)

    def _report(self) -> StopReport:
        names = {thread.ident: thread.name for thread in list(self._threads)}
        running = tuple(RunningJob(future, names.get(ident, "?")) for ident, future in self._running())
        counts = self._counts()
        return StopReport(
            done=counts.succeeded + counts.failed,
            cancelled=counts.cancelled,
            not_started=counts.queued,
            running=running,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self.stop_now()
        self.stop()

    # ---- observe -------------------------------------------------------------------

    def stats(self) -> Stats:
        """One consistent :class:`Stats`; costs a few loads for each worker."""
        counts = self._counts()
        return Stats(
            capacity=self._capacity,
            queued=counts.queued,
            in_flight=counts.in_flight,
            workers=counts.workers,
            idle=counts.idle,
            accepted=counts.accepted,
            succeeded=counts.succeeded,
            failed=counts.failed,
            cancelled=counts.cancelled,
            rejected=counts.rejected,
            forgotten=counts.forgotten,
        )

    # ---- what the engine asks of a face ------------------------------------------

    def _refusal(self) -> QueueStopped:
        why = "the interpreter is exiting" if lifecycle.exiting() else "it was stopped"
        return QueueStopped(f"{self.name} takes no more jobs: {why}")

    def _full(self, in_job: bool) -> QueueFull:
        if in_job:
            return QueueFull(f"{self.name} is full, and all its workers wait for room in it: waiting would deadlock")
        return QueueFull(f"{self.name} is full: {self._capacity} jobs queued or their results unread")


give_methods(WorkerQueue, "submit", "try_submit", "submit_within")


class Results(Iterator[Future[Any]]):
    """Iterator over the finished futures of one queue; any number of them share one stream."""

    def __init__(self, queue: WorkerQueue):
        self._queue = queue

    def __next__(self) -> Future[Any]:
        future = self._queue._next_finished()
        if future is None:
            raise StopIteration
        return future
