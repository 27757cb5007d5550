"""The drop-in face: change the import, keep the program."""

import functools
import itertools
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from ringpool import checks, lifecycle, mapping
from ringpool._core.batch import Batch
from ringpool._core.counts import counts
from ringpool._core.engine import Engine
from ringpool._core.results import BatchResults
from ringpool._core.submit import give_methods
from ringpool._core.worker import INITIALIZER_FAILED
from ringpool.checks import shown
from ringpool.deadlocks import MAX_SPARES
from ringpool.future import Future

if TYPE_CHECKING:
    from ringpool._core.awaited import AwaitedJob

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("concurrent.futures")  # where users of the standard library look

_available_cpus = getattr(os, "process_cpu_count", os.cpu_count)


class ThreadPoolExecutor(Engine, futures.ThreadPoolExecutor):
    """
    :class:`concurrent.futures.ThreadPoolExecutor` on ringpool's engine.

    Args:
        max_workers: threads at the most; None: ``min(32, cpus + 4)``. They are
            started as jobs need them, and reused.
        thread_name_prefix: name of the threads, before ``_0``, ``_1``, …
        initializer: called with *initargs* on each new thread; when it raises,
            the pool is broken and every pending job fails with BrokenThreadPool.
            Each thread refers to it while it lives: a pool that it refers to
            ends by shutdown() only, not by being dropped.
        context: ``"copy"`` runs each job in a copy of the submitter's
            :mod:`contextvars` context; None runs it in the worker's own, where
            one job sees what another has set, as the standard library does.

    The queue has no bound: see :class:`ringpool.WorkerQueue` for one that has.
    """

    _counter = itertools.count().__next__

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        context: Literal["copy"] | None = "copy",
    ):
        if max_workers is None:
            max_workers = min(32, (_available_cpus() or 1) + 4)
        max_workers = checks.whole_number("max_workers", max_workers, least=1)
        checks.thread_name("thread_name_prefix", thread_name_prefix)
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be a callable, got {shown(initializer)}")
        try:
            initargs = tuple(initargs)
        except TypeError:
            raise TypeError(f"initargs must be an iterable, got {shown(initargs)}") from None
        checks.context(context)
        Engine.__init__(
            self,
            future_type=Future,
            max_workers=max_workers,
            capacity=0,
            keep=0,
            copies_context=context == "copy",
            thread_name_prefix=thread_name_prefix or f"ThreadPoolExecutor-{ThreadPoolExecutor._counter()}",
            initializer=None if initializer is None else Initializer(initializer, initargs),
            max_spares=MAX_SPARES,
        )
        lifecycle.watch(self)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        ordered: bool = True,
    ) -> Iterator[T]:
        """
        Results of ``fn(*args)`` for ``args in zip(*iterables)``, in that order.

        Args:
            timeout: seconds from this call for each result to be there, or
                TimeoutError; None: no limit.
            chunksize: accepted as the standard library's, and ignored.
            buffersize: jobs submitted ahead of the result that is read next,
                so that an endless input can be mapped; None: all at once.
            ordered: False: results as they come; each item is a job of its own.

        Items cost no job and no future each; the workers take them from the map
        one by one, each in a copy of this caller's context; the numbers of a
        range are made only then. (A submit that a subclass or an instance
        overrides is called for every item.) The iterator
        ends with the first error. What has not started by then is cancelled, also
        when an input iterable raises, or the iterator is dropped or closed after
        reading has begun; dropped unread it cancels nothing.
        """
        checks.function_and_inputs(fn, iterables)
        buffersize = mapping.window(buffersize)
        timeout = checks.seconds("timeout", timeout)
        if ordered and self._submits_itself():
            return BatchResults(self, fn, iterables, timeout, buffersize)
        return mapping.one_by_one(self, fn, iterables, timeout, buffersize, ordered=ordered)

    def run(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "AwaitedJob[T]":
        """
        Submit ``fn(*args, **kwargs)`` and return an awaitable for the running asyncio loop.

        ``await pool.run(fn, x)`` is ``await loop.run_in_executor(pool, fn, x)`` at a
        fraction of its cost: jobs that finish while the loop is busy reach it in
        one wake-up. Cancelling the awaitable cancels a job that has not started;
        a job cancelled otherwise cancels its awaitable. Any number of loops, in
        any threads, may use one pool.

        Raises:
            RuntimeError: no loop runs in this thread, or the pool is shut down.
                Not queued.
        """
        return _awaiting().run(self.submit, fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """
        Refuse new jobs; what is queued still runs, or is cancelled with *cancel_futures*.

        With *wait*, return when the workers have ended; on a worker of this
        pool return at once, since it cannot see its own end. Any thread may
        call this, any number of times, also from a job, a callback or a signal
        handler.
        """
        wait, cancel_futures = bool(wait), bool(cancel_futures)  # what these raise, they raise now
        self._close()
        if cancel_futures:
            self._cancel_queued()
        if wait:
            self._wait_until_quiet(None, True)

    def _refusal(self) -> RuntimeError:
        if self._broken:
            return BrokenThreadPool(self._broken)
        when = "interpreter shutdown" if lifecycle.exiting() else "shutdown"
        return RuntimeError(f"cannot schedule new futures after {when}")

    # ---- private names of the standard library's that others read ------------

    @property
    def _broken(self):
        return INITIALIZER_FAILED if self._is_broken else False

    @property
    def _initializer(self):
        return self._worker_initializer and self._worker_initializer.fn

    @property
    def _initargs(self):
        return self._worker_initializer.args if self._worker_initializer else ()

    @property
    def _shutdown(self):
        return self._closed

    @functools.cached_property
    def _shutdown_lock(self):
        return threading.Lock()  # guards nothing: there is no state that it could

    @property
    def _work_queue(self):
        return WorkQueueView(self)

    @property
    def _idle_semaphore(self):
        return SemaphoreView(self)


give_methods(ThreadPoolExecutor, "submit", "_call_in_place")


@functools.cache
def _awaiting():
    # asyncio takes longer to import than all of ringpool, and most programs have no use for it
    from ringpool import awaiting

    return awaiting


class Initializer:
    """Runs a user's initializer on a new worker; False when it raised."""

    def __init__(self, fn, args):
        self.fn = fn
        self.args = args

    def __call__(self):
        try:
            self.fn(*self.args)
        except BaseException:
            logger.critical("Exception in initializer:", exc_info=True)
            return False
        return True


class WorkQueueView:
    """``executor._work_queue``: what metrics and drains of others call on it."""

    def __init__(self, engine):
        self._engine = engine

    def qsize(self):
        return counts(self._engine).queued

    def empty(self):
        return self.qsize() == 0

    def get(self, block=True, timeout=None):
        """The oldest job that has not started, taken out of the pool: it stays pending."""
        if block:
            raise NotImplementedError("the workers take the jobs; only get(block=False) may compete with them")
        withdrawn = self._engine._withdraw()
        if withdrawn is None:
            raise queue.Empty
        item = WorkItemView(*withdrawn)
        if isinstance(item.fn, Batch):
            item.future.add_done_callback(item.fn.abandon)
        return item

    def get_nowait(self):
        return self.get(block=False)

    def put(self, item, block=True, timeout=None):
        """Accepts the None with which others wake the standard library's workers, and does nothing."""
        if item is not None:
            raise NotImplementedError("jobs enter through submit()")


class WorkItemView:
    """A withdrawn job under the names of both generations of the standard library's work items."""

    def __init__(self, future, fn, args, kwargs):
        self.future = future
        self.fn, self.args, self.kwargs = self.task = fn, args, kwargs


class SemaphoreView:
    """``executor._idle_semaphore``: its value is the number of idle workers."""

    def __init__(self, engine):
        self._engine = engine

    @property
    def _value(self):
        return counts(self._engine).idle
