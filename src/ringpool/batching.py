"""Micro-batching: single submits collected into one call of a function that takes a list."""

import contextvars
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import CancelledError, InvalidStateError, wait
from concurrent.futures.thread import BrokenThreadPool
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from ringpool import checks, lifecycle
from ringpool._core.engine import Engine
from ringpool._core.here import current_future
from ringpool._core.plan import end_running, make_up, serve, serve_all
from ringpool._core.timekeeper import call_at, keep_time, now
from ringpool.checks import shown
from ringpool.errors import QueueFull, QueueStopped
from ringpool.future import Future

Item = TypeVar("Item")
T = TypeVar("T")

RETRY_S = 0.01  # seconds after which a batch that is due is offered to a full queue again
STOP_CHECK_S = 1.0  # seconds after which waiting items learn at the latest that their queue was stopped
FORKED = "the process was forked while this item waited: it goes on in the parent only"

# By id, since valuerefs() is a copy that nobody can change under us.
_batchers: "weakref.WeakValueDictionary[int, Batcher[Any, Any]]" = weakref.WeakValueDictionary()


class Entry(NamedTuple):
    item: Any
    future: Future[Any]
    due: float  # seconds, monotonic: when it must go off at the latest


class Batcher(Generic[Item, T]):
    """
    Collects single items into lists, and calls ``fn(list)`` as one job of the queue.

    Args:
        queue: where the calls run; several batchers may share it.
        fn: gets a list of 1 to *max_size* items and returns a sequence with one
            result for each, in order. A result that is an exception is raised
            for its item alone; what *fn* raises is raised for every item, after
            the last attempt where the queue has a *retry*: each gets all of them.
        max_size: items at which a batch goes off; at least 1.
        max_wait: seconds after its first item at which it goes off otherwise;
            finite; 0: as soon as the helper thread gets to it.

    ::

        with Batcher(queue, insert_many, max_size=100, max_wait=0.01) as batcher:
            future = batcher.submit(row)

    Leaving the block sends what waits and waits for every result; leaving it on
    an exception cancels the items that wait.

    Accepted means resolved: a future that :meth:`submit` returned ends in a
    result, an exception or cancelled. Items that still wait when their queue is
    stopped end with QueueStopped, within a second or *max_wait* if that is less;
    close the batcher before the queue to have them run. What waits at
    interpreter exit is run (where CPython starts no thread any more then, as
    3.12, by a queue that has a worker already; else it ends with RuntimeError).
    In a forked child, what was not finished fails with BrokenThreadPool, and the
    batcher starts over.

    A batch that is due while the queue is full stays open, takes items up to
    *max_size*, and is offered again every 10 ms. Then the submit that fills it
    waits for room: backpressure.

    *fn* runs in an empty :mod:`contextvars` context: its items come from many.
    A job of the same queue may wait for its item: another worker runs the batch
    meanwhile. Every method is safe from any thread, callback and signal handler.
    """

    def __init__(self, queue: Engine, fn: Callable[[list[Item]], Sequence[T]], max_size: int, max_wait: float):
        if not isinstance(queue, Engine) or not hasattr(queue, "try_submit"):
            raise TypeError(f"queue must be a WorkerQueue, got {shown(queue)}")
        if not callable(fn):
            raise TypeError(f"fn must be callable, got {shown(fn)}")
        checks.not_awaited("fn", fn)
        seconds = checks.duration("max_wait", max_wait)
        if seconds is None:
            raise ValueError(f"max_wait must be a finite number of seconds, got {shown(max_wait)}")
        self._queue: Any = queue
        self._fn = fn
        self._max_size = checks.whole_number("max_size", max_size, least=1)
        self._max_wait = seconds
        self._start_over()
        self._closed = False
        _batchers[id(self)] = self

    def _start_over(self):
        self._waiting: list[Entry] = []
        self._under_way: set[Batch] = set()  # cut off, and not resolved
        # Keeps other threads out of a cut; not what a signal handler or a
        # destructor does on top of its holder, so whoever changes something under
        # it looks at it once more.
        self._door = threading.RLock()
        self._armed = False  # will the timekeeper call _tick?

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return (
            f"<{type(self).__name__} of {self._fn!r} {state}, {len(self._waiting)} of {self._max_size} items waiting>"
        )

    # ---- items -------------------------------------------------------------------

    def submit(self, item: Item) -> Future[T]:
        """
        Add *item* to the batch and return the future of its result.

        Waits only while the queue is full and this item fills the batch. Until
        the batch starts, the future can be cancelled: the item then keeps its
        place but is not passed to *fn*.

        Raises:
            QueueStopped: the batcher is closed, or the queue was stopped. (An
                item that was accepted just before learns that by its future.)
            QueueFull: in a job of the same queue, where waiting for room would
                deadlock.

        After an error *item* was not accepted; the other items of its batch end
        with QueueStopped, or wait on.
        """
        future: Future[T] = Future()
        serve(self._queue, future)
        entry = Entry(item, future, time.monotonic() + self._max_wait)
        if self._queue._closed:
            raise self._queue._refusal()
        with self._door:
            if self._closed:
                raise QueueStopped("the batcher takes no more items: it was closed")
            self._waiting.append(entry)
        if len(self._waiting) >= self._max_size or self._closed:
            self._send(entry)
        if self._waiting and not self._armed:
            try:
                self._arm()
            except RuntimeError:  # no thread can be started: nobody would send it later
                self._send(None)
        return future

    def flush(self) -> None:
        """
        Send what waits now, in batches of *max_size* at most; does not wait for results.

        Waits while the queue is full. In a job of the same queue it raises
        QueueFull where that would deadlock; the items then wait on. Of a stopped
        queue, the items end with QueueStopped.
        """
        for _ in range(-(-len(self._waiting) // self._max_size)):
            self._send(None)

    def close(self) -> None:
        """
        Refuse new items, send what waits, and wait until every item has its result.

        May be called again. Raises as :meth:`flush`. In a job of the same queue
        it needs other workers, if a batch is running.
        """
        with self._door:
            self._closed = True
        while self._waiting:
            self.flush()
        for batch in self._under_way.copy():
            batch.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not None:
            for entry in self._waiting.copy():
                entry.future.cancel()
        self.close()

    # ---- sending -----------------------------------------------------------------

    def _send(self, mine):
        # A batch to the queue, waiting for room; *mine* is the item whose submit
        # this is, and sends full batches only. After an error *mine* was not
        # accepted, unless it is in another batch.
        batch = Batch(self._queue, self._under_way)
        try:
            if self._cut(batch, 1 if mine is None or self._closed else self._max_size):
                self._submit(batch, self._queue.submit)
        except QueueStopped as error:
            every = len(batch.entries)
            batch.entries = [entry for entry in batch.entries if entry is not mine]
            batch.fail(error.with_traceback(None))
            if len(batch.entries) < every:
                raise
        except BaseException:
            # A signal handler may have raised after the queue took the job: then
            # an item is in two batches, and the first to start it has it.
            self._take_back(batch, mine)
            raise
        finally:
            del batch  # as in _tick

    def _cut(self, batch, least):
        self._under_way.add(batch)
        with self._door:
            if len(self._waiting) >= least:
                # No handler can run between these two lines: there is no call.
                batch.entries = self._waiting[: self._max_size]
                del self._waiting[: self._max_size]
        if not batch.entries:
            self._under_way.discard(batch)
        return batch.entries

    def _submit(self, batch, submit):
        # The queue copies the context of whoever submits; here it is nobody's.
        try:
            batch.watch(contextvars.Context().run(submit, batch.run, self._fn))
        finally:
            make_up(self._queue)  # jobs that wait for its items may keep every worker

    def _take_back(self, batch, mine):
        try:
            with self._door:
                self._waiting[:0] = [entry for entry in batch.entries if entry is not mine]
        except MemoryError as error:
            batch.fail(error)  # in no list any more
            raise
        self._under_way.discard(batch)
        with suppress(RuntimeError):  # the next submit arms
            self._arm()

    def _arm(self):
        with self._door:
            if self._armed or not self._waiting:
                return
            self._armed = True
        try:
            self._look_at(self._next_look())
        except BaseException:
            self._armed = False  # should it call nevertheless, that does no harm
            raise

    def _look_at(self, when):
        # In this order: a timekeeper that is about to end looks at its timers last.
        call_at(self._queue, now() + int((when - time.monotonic()) * 1e9), self._look)
        keep_time(self._queue)

    def _look(self):
        when = self._tick()
        if when is not None:
            self._look_at(when)

    def _next_look(self):
        try:
            return min(self._waiting[0].due, time.monotonic() + STOP_CHECK_S)
        except IndexError:
            return time.monotonic()

    def _tick(self):
        # On the timekeeper's thread, which must not wait.
        stopped = self._queue._closed
        while self._waiting and (stopped or self._is_due()):
            batch = Batch(self._queue, self._under_way)
            try:
                if self._cut(batch, 1):
                    self._submit(batch, self._queue.try_submit)
            except QueueFull:
                self._take_back(batch, None)
                return time.monotonic() + RETRY_S
            except Exception as error:
                batch.fail(error.with_traceback(None))  # whose frames have the items, whose futures have it
        with self._door:
            self._armed = False
            if not self._waiting:
                return None
            self._armed = True
        return self._next_look()

    def _is_due(self):
        try:
            return len(self._waiting) >= self._max_size or self._waiting[0].due <= time.monotonic()
        except IndexError:
            return False


class Batch:
    """Items that go into one call; each of its futures ends here, whatever becomes of the call."""

    def __init__(self, queue: Any, under_way: "set[Batch]"):
        self._queue = queue
        self.entries: list[Entry] = []
        self.job: Future[Any] | None = None  # once the queue has accepted it
        self._under_way = under_way
        self._started: list[Entry] | None = None  # by its first attempt

    def run(self, fn):
        """The job: call *fn* and give everyone their own; after an error they stay started, for another attempt."""
        if self._started is None:
            self._started = [entry for entry in self.entries if _start(entry.future)]
        started = [entry for entry in self._started if not entry.future.done()]
        try:
            if started:
                if (job := current_future()) is not None:
                    serve_all([entry.future for entry in started], job)
                    del job
                self._share(started, _checked(fn, fn([entry.item for entry in started]), len(started)))
            self._under_way.discard(self)
        except BaseException:
            if self.job is None and (job := current_future()) is not None:
                self.watch(job)  # whoever submitted it did not come to that
                del job
            raise
        finally:
            del self, started  # the error's traceback refers to this frame: it must not refer back to the error

    def watch(self, job):
        """Have *job*, in which this runs, end the items with it."""
        job.add_done_callback(self.end)
        self.job = job

    def end(self, job):
        """Called when the job is done, also when it never ran."""
        entries = self.entries if self._started is None else self._started  # others may be in two batches
        if job.cancelled():
            for entry in entries:
                entry.future.cancel()
            self._fail(entries, CancelledError())
        elif job.exception() is not None:
            self._fail(entries, job.exception())
        self._under_way.discard(self)

    def fail(self, error):
        """Give *error* to everyone who has nothing else yet."""
        self._fail(self.entries, error)
        self._under_way.discard(self)

    def wait(self):
        with suppress(CancelledError):
            if self.job is not None:
                self.job.exception()  # in a job of the same queue this runs it
        # Not by their errors, which whoever has the items is to look at.
        wait([entry.future for entry in self.entries if not entry.future.done()])

    def _share(self, entries, results):
        for entry, result in zip(entries, results, strict=True):
            if isinstance(result, BaseException):
                self._raise(entry.future, result, self._queue._settings.unread)
            else:
                with suppress(InvalidStateError):  # settled by hand; the first one counts
                    entry.future.set_result(result)

    def _fail(self, entries, error):
        report = _Once(self._queue._settings.unread)
        for entry in entries:
            if not entry.future.done() or _start(entry.future):
                self._raise(entry.future, error, report)

    def _raise(self, future, error, report):
        if isinstance(error, (CancelledError, BrokenThreadPool)):  # no failure of a call
            with suppress(InvalidStateError):
                future.set_exception(error)
        else:
            future._on_error = report
            end_running(self._queue, future, error)


class _Once:
    """What reports an error that many items share, and that none of those who have them has looked at."""

    __slots__ = ("_first", "_report")

    def __init__(self, report):
        self._report = report
        self._first = threading.Lock()  # taken by the first that is dropped

    def __call__(self, error):
        if self._first.acquire(False):
            self._report(error)


def _start(future):
    # False: it was cancelled, of which those that wait() hear now; or somebody
    # else has started it, or settled it by hand.
    if future._state not in ("PENDING", "CANCELLED"):
        return False
    try:
        return future.set_running_or_notify_cancel()
    except RuntimeError:
        return False


def _checked(fn, results, n):
    if results is None or isinstance(results, (str, bytes, bytearray, Mapping, Set)) or not hasattr(results, "__len__"):
        kind = type(results).__name__
        raise TypeError(f"{shown(fn)} must return a sequence with one result for each item, got {kind}")
    results = list(results)
    if len(results) != n:
        raise ValueError(f"{shown(fn)} must return one result for each item: got {len(results)} for {n} items")
    return results


# ---- exit and fork ------------------------------------------------------------------


def _alive():
    return [batcher for reference in _batchers.valuerefs() if (batcher := reference()) is not None]


def _flush_all():
    for batcher in _alive():
        with suppress(Exception):  # then the timekeeper tries, and tells the items
            batcher.flush()


def _start_over_all():
    for batcher in _alive():
        waiting, under_way = batcher._waiting, batcher._under_way.copy()
        batcher._start_over()
        left = Batch(batcher._queue, set())
        left.entries = waiting
        for batch in (*under_way, left):
            batch.fail(BrokenThreadPool(FORKED))


# After lifecycle's hook, so before it: the last one that is registered is called first.
assert lifecycle
threading._register_atexit(_flush_all)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over_all)
