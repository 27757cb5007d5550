"""The worker queue: bounded, with backpressure, results as they finish, and an end that drains."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, overload

from ringpool import checks, choosing, lifecycle, mapping, observing, overflow, tallies, watchdog
from ringpool._core import plan as core
from ringpool._core.counts import count
from ringpool._core.engine import Engine
from ringpool._core.results import BatchResults
from ringpool._core.submit import give_methods
from ringpool._core.timekeeper import keep_time, now
from ringpool.batching import Batcher
from ringpool.checks import shown
from ringpool.choosing import WorkerView
from ringpool.current import WorkerState
from ringpool.deadlocks import MAX_SPARES
from ringpool.errors import QueueFull, QueueStopped
from ringpool.future import Future
from ringpool.group import JobGroup
from ringpool.job import Job, as_job
from ringpool.lanes import Lane, as_tuples
from ringpool.plan import Again, Plan
from ringpool.racing import race
from ringpool.results import Results
from ringpool.retry import Retry
from ringpool.settings import HOOKS, Settings
from ringpool.shedding import Shedder
from ringpool.signals import DEFAULT as DEFAULT_SIGNALS
from ringpool.signals import SignalHandlers, install_signal_handlers
from ringpool.stats import RunningJob, Stats, StopReport, Times

if TYPE_CHECKING:
    from ringpool._core.awaited import AwaitedJob

P = ParamSpec("P")
T = TypeVar("T")


class WorkerQueue(Engine):
    """
    A bounded queue of jobs and the workers that run them.

    Args:
        workers: threads at the most; started as jobs need them.
        capacity: jobs that may be queued, those not due yet included and those
            that run not. When that many are, *overflow* says what happens. A
            plain call that was cancelled keeps its place until a worker comes by.
        name: of the queue, in errors and, before ``_0``, ``_1``, …, of its
            threads; None: ``WorkerQueue-0`` and so on.
        context: ``"copy"`` runs each job in a copy of the submitter's
            :mod:`contextvars` context; None in the worker's own.
        keep_results: finished futures kept for :meth:`results` while nobody
            reads them; None: *capacity* + *workers*, so that a queue filled
            once can be read whole; 0: none, and no results().
        order: ``"fifo"``, or ``"lifo"``: of jobs of one level the newest first,
            and no ageing.
        ageing: later jobs that may pass a waiting one for each level that they
            are above it; None: 16 times *capacity*.
        lanes: names and :class:`Lane` s; None: a single one.
        dispatch: ``"shared"``: a worker that is free takes the next job;
            ``"ready"``: each job is given to one chosen idle worker, or waits
            for the first that becomes idle.
        choose: of *dispatch* ``"ready"``, which idle worker a job would like;
            any other will do when that one is busy: ``"any"``; ``"affinity"``:
            jobs of one key the same; or a function of the Job and a tuple of
            all workers, as :class:`WorkerView` s, that returns a number of one,
            or None.
        overflow: when the queue is full: ``"block"`` the submitter until there
            is room, or ``Block(seconds)``; ``"raise"`` QueueFull; ``"return"``
            a future that carries it; ``"caller_runs"`` the job (one with a key
            or a delay, of a lane with *max_workers*, or of a queue with
            *rate_limit*, raises); ``"drop_newest"``; ``"drop_oldest"`` of the
            lane's lowest level; another WorkerQueue, which gets the job; or a
            function of queue and Job that returns one of these. Dropped futures
            end in JobDropped. Applies to submit(); the others say themselves.
        min_workers: threads that stay however long they are idle; None: all.
        idle_timeout: seconds without a job after which one beyond
            *min_workers* leaves; None: never.
        worker_init: called without arguments on each worker's thread before
            its first job; what it returns is ``current_worker().state``. When
            it raises, the queue takes no more jobs, and those queued end in
            BrokenThreadPool.
        worker_exit: called with that state on the thread after its last job. A
            queue that one of these two refers to does not end by being dropped.
        retry, timeout: for jobs that do not say; see :class:`Job`.
        max_late: workers started, at the most, in place of those whose job's
            time was up before the job was done; None: as many as *workers*.
        max_spares: workers more, at the most, in place of those whose job
            waits for another of this queue; None: 256.
        shed: a :class:`CoDel`, or another with its should_drop(), that drops
            jobs while all of them wait too long.
        rate_limit: called before each job; returns None or True, or the
            seconds for which no job may start.
        sample: of each thread's plain jobs every so-manieth has its wait and
            its run timed, those with a plan always; 1: all; 0: none.
        report_unread: log the error of a failed job, when its future is
            dropped, if nobody has looked at it.
        stuck_after: seconds, 0.001 or more, after which a running job is
            logged, once, with the stack of its thread (where there is a GIL);
            None: never.
        on_start, on_done, on_drop: called with the future, on the thread at
            hand; on_retry: with future, error, and seconds until the next
            attempt. What they raise is logged.
        on_error: called, in place of that log, with the error that nobody has
            looked at, on the thread that drops the future. It must not wait.

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
        order: Literal["fifo", "lifo"] = "fifo",
        ageing: int | None = None,
        lanes: dict[str, Lane] | None = None,
        dispatch: Literal["shared", "ready"] = "shared",
        choose: Literal["any", "affinity"] | Callable[[Job[Any], tuple[WorkerView, ...]], int | None] = "any",
        overflow: "overflow.Policy" = "block",
        min_workers: int | None = None,
        idle_timeout: float | None = None,
        worker_init: Callable[[], Any] | None = None,
        worker_exit: Callable[[Any], Any] | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        max_late: int | None = None,
        max_spares: int | None = None,
        shed: Shedder | None = None,
        rate_limit: Callable[[], Any] | None = None,
        sample: int = 64,
        report_unread: bool = True,
        stuck_after: float | None = None,
        on_start: Callable[[Future[Any]], Any] | None = None,
        on_done: Callable[[Future[Any]], Any] | None = None,
        on_retry: Callable[[Future[Any], BaseException, float], Any] | None = None,
        on_drop: Callable[[Future[Any]], Any] | None = None,
        on_error: Callable[[BaseException], Any] | None = None,
    ):
        workers = checks.whole_number("workers", workers, least=1)
        capacity = checks.whole_number("capacity", capacity, least=1)
        keep = capacity + workers
        if keep_results is not None:
            keep = checks.whole_number("keep_results", keep_results, least=0)
        if name is not None:
            checks.thread_name("name", name)
        checks.context(context)
        checks.one_of("order", order, ("fifo", "lifo"))
        checks.one_of("dispatch", dispatch, ("shared", "ready"))
        choosing.check(choose, dispatch)
        ageing = 16 * capacity if ageing is None else checks.whole_number("ageing", ageing, least=1)
        least = checks.min_workers(min_workers, workers)
        idle = checks.duration("idle_timeout", idle_timeout)
        spares = MAX_SPARES if max_spares is None else checks.whole_number("max_spares", max_spares, least=0)
        late = workers if max_late is None else checks.whole_number("max_late", max_late, least=0)
        sample = checks.whole_number("sample", sample, least=0)
        settings = Settings(
            retry=retry, timeout=timeout, lanes=lanes, overflow=_overflow_check(overflow), choose=choose,
            shed=shed, rate_limit=rate_limit, stuck_after=stuck_after,
            hooks=dict(zip(HOOKS, (on_start, on_done, on_retry, on_drop, on_error))),
        )  # fmt: skip
        settings.check_reserves(workers)
        checks.function("worker_init", worker_init)
        checks.function("worker_exit", worker_exit)
        state = WorkerState(worker_init, worker_exit) if worker_init is not None or worker_exit is not None else None
        name = name or f"WorkerQueue-{WorkerQueue._counter()}"
        Engine.__init__(
            self,
            future_type=Future,
            max_workers=workers,
            capacity=capacity,
            keep=keep,
            copies_context=context == "copy",
            thread_name_prefix=name,
            initializer=None if state is None else state.begin,
            finalizer=None if state is None else state.end,
            max_spares=spares,
        )
        self._settings = settings
        core.configure(
            self,
            planned=lanes is not None or order == "lifo" or dispatch == "ready" or settings.plans_all,
            lifo=order == "lifo",
            ageing=ageing,
            ready=dispatch == "ready",
            decides=overflow != "block",
            plans_all=settings.plans_all,
            watched=True,
            lanes=as_tuples(settings.lanes),
            min_workers=least,
            idle_ns=-1 if idle is None else int(idle * 1e9),
            late_limit=late,
            sample=sample,
            reports=bool(report_unread) or on_error is not None,
            again=Again,
        )
        lifecycle.watch(self)
        if settings.stuck_after is not None:
            watchdog.watch(self, settings.stuck_after)

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

    # ---- submit ------------------------------------------------------------------

    def submit_later(self, delay: float, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """
        Submit ``fn(*args, **kwargs)``, not to be started before *delay* seconds have passed.

        It takes its place in the queue from now on; see *delay* of :class:`Job`.
        A subclass's own ``submit`` is not called.
        """
        return self._submit_planned(Job(fn, *args, kwargs=kwargs, delay=delay), (), {}, -1)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        buffersize: int | None = None,
        ordered: bool = True,
    ) -> Iterator[T]:
        """
        Results of ``fn(*args)`` for ``args in zip(*iterables)``, in that order.

        Args:
            timeout: seconds from this call for each result to be there, or
                TimeoutError; None: no limit.
            buffersize: items whose results have not been read, at the most;
                None: *capacity*. So any input can be endless.
            ordered: False: results as they come, and no item waits to be read
                behind a slower one.

        As :meth:`ThreadPoolExecutor.map`: items cost no job each, and the
        counters count the jobs that run them, at most one a worker. Each item is
        a job of its own when not *ordered*, and in a queue with a retry, a timeout,
        shedding, a rate limit, hooks or a watchdog. Full, it waits for room,
        whatever *overflow* says.
        """
        checks.function_and_inputs(fn, iterables)
        ahead = mapping.window(buffersize) or self._capacity
        limit = checks.seconds("timeout", timeout)
        waits = self._submits_itself()
        if ordered and waits and not self._settings.maps_by_job:
            return BatchResults(self, fn, iterables, limit, ahead)
        return mapping.one_by_one(self, fn, iterables, limit, ahead, waits, ordered)

    @overload
    def run(self, job: Job[T], /) -> "AwaitedJob[T]": ...
    @overload
    def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "AwaitedJob[T]": ...
    def run(self, fn: Any, /, *args: Any, **kwargs: Any) -> "AwaitedJob[Any]":
        """
        Submit ``fn(*args, **kwargs)`` and return an awaitable for the running asyncio loop.

        As :meth:`ThreadPoolExecutor.run`. A full queue would hold up the loop,
        so this never waits: QueueFull, as try_submit().
        """
        from ringpool import awaiting  # asyncio takes as long to import as all of this

        return awaiting.run(self.try_submit, fn, args, kwargs)

    @overload
    async def submit_async(self, job: Job[T], /) -> "AwaitedJob[T]": ...
    @overload
    async def submit_async(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "AwaitedJob[T]": ...
    async def submit_async(self, fn: Any, /, *args: Any, **kwargs: Any) -> "AwaitedJob[Any]":
        """
        As :meth:`run`, but a full queue is waited for, and its awaitable is what awaiting this returns.

        So ``await queue.submit_async(fn, x)`` goes on when the job is queued.
        The loop is not held up: a thread waits in place of all tasks that do,
        while there are any; first come, first served. When the waiting task is
        cancelled, the job is not queued. Raises QueueStopped when the queue is
        stopped meanwhile; *overflow* has no say.
        """
        from ringpool import awaiting

        return await awaiting.submit(self, fn, args, kwargs)

    def group(self) -> JobGroup:
        """Jobs that are waited for and fail together: a :class:`JobGroup`, to be used with ``with``."""
        return JobGroup(self)

    def race(self, *calls: Callable[[], T] | Job[T]) -> T:
        """The result of the first of *calls* that succeeds: :func:`ringpool.race`."""
        return race(self, *calls)

    def batch(self, fn: Callable[[list[Any]], Sequence[T]], max_size: int, max_wait: float) -> "Batcher[Any, T]":
        """Collect single items into calls of ``fn(list)``: a :class:`Batcher`."""
        return Batcher(self, fn, max_size, max_wait)

    def install_signal_handlers(self, signals: Iterable[int] = DEFAULT_SIGNALS) -> SignalHandlers:
        """Let the first of *signals* drain this queue and the second stop it now: :class:`SignalHandlers`."""
        return install_signal_handlers(self, signals)

    def _submit_planned(self, fn, args, kwargs, deadline):
        # Called by the core for a Job, and for every job of a queue that plans all.
        job = as_job(fn, args, kwargs)
        settings = self._settings
        lane = settings.lane_number(job.lane)
        prefers = choosing.preferred(self, job)
        plan = Plan(self, job)
        if (plan.timed or settings.timed) and not self._closed:
            keep_time(self)
        future = core.submit_planned(
            self, plan, job.priority, lane, None if plan.key is None else plan.key.value,
            now() + int(job.delay * 1e9) if job.delay else 0,
            settings.judges or plan.expires is not None, prefers, deadline, *plan.limits,
        )  # fmt: skip
        if not plan.went_elsewhere:
            plan.watch(future)
        return future

    def _with_item(self, job, item):
        # Called by the core for each item of a submit_many() whose function is none.
        if not isinstance(job, Job):
            raise TypeError(f"fn must be callable or a Job, got {shown(job)}")
        return job.with_item(item)

    def reprioritise(self, future: Future[Any], priority: int) -> bool:
        """Change the priority of a job that waits; False: it does not, any more. Some 10 ns for each job queued."""
        if not isinstance(future, Future):
            raise TypeError(f"future must be one that submit() returned, got {shown(future)}")
        return core.change_level(self, future, checks.level("priority", priority))

    def resize(self, workers: int, min_workers: int | None = None) -> None:
        """
        Change the number of workers while they work.

        Missing ones are started as jobs wait; those too many leave after the
        job that they run. *min_workers* stay however idle; None: all.
        """
        workers = checks.whole_number("workers", workers, least=1)
        least = checks.min_workers(min_workers, workers)
        self._settings.check_reserves(workers)
        count(self, tallies.RESIZED)
        core.resize(self, workers, least)

    # ---- results ---------------------------------------------------------------

    def results(self) -> Results:
        """
        Iterate over futures in the order in which they finished.

        Ends when the queue is stopped and everything accepted has been handed
        out, so do not read it to the end in a job of this queue. Every future
        comes out once: iterators from several calls, in several threads, share
        them. A cancelled plain call comes out when a worker, or stop_now(),
        gets to its place, a late job when its function has ended; one that
        *overflow* kept out of the queue does not.

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
                passed, queued jobs go on being run, and the report lists
                them: follow with stop_now() to cancel them, or with wait().

        Inside a job of this queue it does not wait: a job cannot see its own
        end. May be called any number of times.
        """
        timeout = checks.seconds("timeout", timeout)
        self._close()
        self._wait_until_quiet(timeout, True)
        return observing.report(self)

    def stop_now(self) -> StopReport:
        """
        Refuse new jobs, cancel what has not started, ask running jobs to stop; does not wait.

        Running jobs see it as ``current_job().cancelled``; nothing interrupts
        them. Returns a :class:`StopReport`, which lists what this call has
        cancelled; follow with :meth:`wait`.
        """
        cancelled: list[Future[Any]] = []
        self._close()
        self._ask_to_stop()
        self._cancel_queued(cancelled)
        return observing.report(self, cancelled)

    def wait(self, timeout: float | None = None) -> bool:
        """
        Wait until no accepted job is unfinished, and of a stopped queue until its workers have ended.

        Returns False when *timeout* seconds passed first; None: no limit.
        Inside a job of this queue it does not wait but only tells.
        """
        return self._wait_until_quiet(checks.seconds("timeout", timeout), self._closed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self.stop_now()
        self.stop()

    # ---- observe -------------------------------------------------------------------

    def running(self, *, stacks: bool = False) -> tuple[RunningJob, ...]:
        """The jobs that run, the longest first; with *stacks*, and where there is a GIL, what their threads are at."""
        return observing.running(self, stacks)

    def stats(self) -> Stats:
        """One consistent :class:`Stats`; costs 6 to 30 µs, by machine and number of workers."""
        return observing.snapshot(self)

    def times(self) -> Times:
        """How long jobs waited and ran: :class:`Times` of those that were sampled; costs 0.1 to 0.3 ms."""
        return observing.times(self)

    # ---- what the engine asks of a face ------------------------------------------

    def _refusal(self) -> QueueStopped:
        why = "the interpreter is exiting" if lifecycle.exiting() else "it was stopped"
        if self._is_broken:
            why = "worker_init failed"
        return QueueStopped(f"{self.name} takes no more jobs: {why}")

    def _when_full(self, future):
        return overflow.apply(self._settings.overflow, self, future, WorkerQueue)

    def _full(self, without_limit: bool) -> QueueFull:
        return overflow.full(self, without_limit)


def _overflow_check(value):
    return overflow.check(value, WorkerQueue)


give_methods(WorkerQueue, "submit", "try_submit", "submit_within")
