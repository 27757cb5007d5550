"""The engine: the native half of both faces. The protocol: README.md."""

import threading
from collections import namedtuple
from concurrent.futures.thread import BrokenThreadPool
from types import BuiltinMethodType

from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringpool._core.admission cimport admit, check_callable
from ringpool._core.core cimport (
    core_close,
    core_new,
    core_release,
    deliver,
    forget_finished,
    is_quiet,
    tell_if_quiet,
    unfinished,
)
from ringpool._core.future cimport (
    FutureBase,
    extension_of,
    future_arguments,
    future_lock,
    future_run_callbacks,
    future_unlock,
)
from ringpool._core.here cimport is_hiring_for, on_worker_of, this_worker
from ringpool._core.jobword cimport PENDING, PHASE
from ringpool._core.layout cimport (
    CLOSED_BIT,
    FOREVER,
    Core,
    Extension,
    Objects,
    Resolving,
    Ring,
    Standing,
    Waiter,
    Worker,
    gate_begin_anew,
    object_put,
)
from ringpool._core.parking cimport deadline_of, gate_enter, gate_leave, gate_wake_all, sleep_until_woken
from ringpool._core.python cimport Py_DECREF, Py_INCREF, Py_XDECREF, Py_XINCREF, track_late
from ringpool._core.ring cimport ring_close, ring_is_closed, ring_take
from ringpool._core.room cimport room_made, room_wake_all
from ringpool._core.shelf cimport ANY, configure_like, take_unstarted, unlock_after_fork
from ringpool._core.resolve cimport fail, resolve, resolve_later, resolve_queued

import ringpool._core.waiting                   # what a worker does before it waits in a job
from ringpool._core.shown import shown
from ringpool._core.worker import FORKED


# ---- the pool object -------------------------------------------------------------------

cdef int was_not_made(Engine self) except -1:
    raise RuntimeError(f"{type(self).__name__}.__init__() was not called")


cdef class Engine:
    """
    The native half of both faces; not to be used on its own.

    A face passes checked values, names its errors in ``_refusal`` (closed) and
    ``_full``, and gives the rest its public names. It sets no attribute of its
    own on the pool: while that has no dictionary, the interpreter finds
    ``pool.submit`` without looking into one.
    """

    def __cinit__(self, *args, **kwargs):
        self.core = NULL
        self._threads = set()

    def __init__(
        self, future_type, uint32_t max_workers, uint64_t capacity, uint64_t keep, bint copies_context,
        str thread_name_prefix, initializer, finalizer=None, uint32_t max_spares=0,
    ):
        if self.core != NULL:
            raise RuntimeError(f"{type(self).__name__}.__init__() was called twice")
        self.future_type = future_type
        self._thread_name_prefix = thread_name_prefix
        self._worker_initializer = initializer
        self._worker_finalizer = finalizer
        self.core = core_new(max_workers, capacity, keep, copies_context, future_type)
        self.core.max_spares = max_spares

    def __dealloc__(self):
        # Dropped without a stop: what was accepted is still run, and nobody is
        # left to read what has finished.
        if self.core != NULL:
            self.core.keep.store(0)
            core_close(self.core)
            forget_finished(self.core)
            core_release(self.core)

    def __reduce__(self):
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def _submits_itself(self):
        """Is submit the native one, and its own? Else map() and the like go through it."""
        submit = self.submit
        return isinstance(submit, BuiltinMethodType) and submit.__self__ is self

    # ---- many at once -----------------------------------------------------------------

    def submit_many(self, fn, iterable):
        """
        Submit ``fn(item)`` for every item and return the futures, in order.

        One call for all of them: an item costs what its job costs and no call
        of a method. (A submit that a subclass or an instance overrides is
        called for every item.) Of a queue, *fn* may be a :class:`ringpool.Job`:
        the item comes after the arguments that it has. Reads *iterable* only as fast as the queue
        takes its jobs.

        What can be refused is refused before the first job. When *iterable* raises, or the queue stops in between, that error comes
        out and those of its jobs that have not started are cancelled.
        """
        cdef PyObject* call[2]
        cdef PyObject* job
        submit = self.submit
        cdef bint native = self._submits_itself()
        cdef bint takes_jobs = core_of_pool(self).takes_jobs and not callable(fn)
        futures = []
        future = None
        if takes_jobs:
            self._with_item(fn, None)           # is it a Job?
        else:
            check_callable(<PyObject*>fn)
        try:
            iterator = iter(iterable)
        except TypeError as error:
            raise TypeError(f"iterable must be an iterable of items, got {shown(iterable)}") from error
        call[0] = <PyObject*>fn
        try:
            for item in iterator:
                if takes_jobs:
                    future = submit(self._with_item(fn, item))
                elif native:
                    call[1] = <PyObject*>item
                    job = admit(self, call, 2, NULL, FOREVER)
                    future = <object>job
                    Py_DECREF(job)
                else:
                    future = submit(fn, item)
                futures.append(future)
        except BaseException:
            if future is not None:
                future.cancel()                 # there may have been no memory to list it
            for future in futures:
                future.cancel()
            raise
        return futures

    # ---- lifecycle ------------------------------------------------------------------

    def _close(self):
        """Refuse new jobs and let the workers drain; safe from anywhere, any number of times."""
        core_close(core_of_pool(self))

    def _cancel_queued(self, list cancelled=None):
        """Cancel every job that has not started; their futures are put into *cancelled*, unless that is None."""
        resolve_queued(core_of_pool(self), None, cancelled)

    def _cancel_later(self):
        """Cancel every job that is not due yet, and wait for no time from now on."""
        resolve_later(core_of_pool(self))

    def _ask_to_stop(self):
        """Tell running jobs, through their :class:`StopFlag`, to end soon."""
        core_of_pool(self).stop_asked.store(1)
        gate_wake_all(&core_of_pool(self).sleepers)

    @property
    def _stops_now(self):
        return core_of_pool(self).stop_asked.load() != 0 or core_of_pool(self).hurried.load() != 0

    def _wait_until_quiet(self, timeout, bint workers_too):
        """
        Wait until nothing accepted is unfinished, and the workers have ended if asked for.

        False when *timeout* passed first. The threads are joined, so that
        nothing of them is left when this returns True. On a worker of this
        very pool it only tells: a job cannot see its own end.
        """
        cdef Core* core = core_of_pool(self)
        cdef Waiter waiter
        cdef int64_t deadline = deadline_of(timeout)
        cdef int woken = 1
        cdef bint hiring = is_hiring_for(core)
        if on_worker_of(core):
            return is_quiet(core, workers_too, hiring)
        while True:
            while not is_quiet(core, workers_too, hiring):
                if not woken:
                    return False
                gate_enter(&core.quiet, &waiter)
                if is_quiet(core, workers_too, hiring):
                    gate_leave(&core.quiet, &waiter)
                    break
                try:
                    woken = sleep_until_woken(&waiter, deadline)
                except:
                    gate_leave(&core.quiet, &waiter)
                    raise
                if not woken:
                    gate_leave(&core.quiet, &waiter)
            if not workers_too or not _join(self._threads):
                return True                     # else one that has left may have hired another at its very end

    def _after_fork(self):
        """
        In a forked child: start over with no workers, and fail what was pending.

        The old core is left alone for ever: threads that exist in the parent
        only may have left its locks in any state.
        """
        cdef Core* old = self.core
        cdef PyObject* job
        cdef Resolving* one
        cdef size_t i
        if old == NULL:
            return
        self.core = core_new(
            old.max_workers.load(), old.ring.limit if old.ring.bounded else 0, old.keep.load(), old.copies_context,
            self.future_type,
        )
        configure_like(self.core, old)
        if ring_is_closed(&old.ring):
            ring_close(&self.core.ring)
        self._threads.clear()
        old.forked.store(1)
        gate_begin_anew(&old.mapping)
        old.purges.add(1)
        old.ring.tail.set_bits(CLOSED_BIT)
        if old.ring.lock.try_lock():
            old.ring.lock.unlock()
        else:
            old.ring.overflowing.store(0)
        unlock_after_fork(old)
        job = take_unstarted(old, ANY)
        while job != NULL:
            _fail_after_fork(<FutureBase>job)
            Py_DECREF(job)
            job = take_unstarted(old, ANY)
        # What a thread of the parent's had claimed and not published never comes.
        old.ring.head.store(old.ring.tail.load() & ~CLOSED_BIT)
        one = old.resolving
        while one != NULL:
            _fail_after_fork(<FutureBase>one.job)
            one = one.next
        for i in range(old.roster.size()):
            if old.roster[i] != this_worker():
                _fail_with_its_worker(old.roster[i])

    # ---- finished futures --------------------------------------------------------------

    def _start_reading(self):
        """From now on finished futures wait for their reader, unless some were forgotten before: how many."""
        cdef Core* core = core_of_pool(self)
        cdef uint64_t forgotten
        core.forgetting.lock()
        forgotten = core.forgotten.load()
        if forgotten == 0:
            core.reading.store(1)
        core.forgetting.unlock()
        return forgotten

    def _next_finished(self):
        """The next finished future; None when closed and everything accepted was handed out."""
        cdef Core* core = core_of_pool(self)
        cdef Waiter waiter
        cdef PyObject* job
        while True:
            job = _take_finished(core)
            if job == NULL and ring_is_closed(&core.ring) and unfinished(core) == 0:
                job = _take_finished(core)      # what came before the last one was done
                if job == NULL:
                    return None
            if job == NULL:
                gate_enter(&core.readers, &waiter)
                job = _take_finished(core)
                if job != NULL or (ring_is_closed(&core.ring) and unfinished(core) == 0):
                    gate_leave(&core.readers, &waiter)
                else:
                    try:
                        sleep_until_woken(&waiter, FOREVER)
                    except:
                        gate_leave(&core.readers, &waiter)
                        raise
            if job != NULL:
                future = <object>job
                Py_DECREF(job)
                if not future.done():           # delivered by a worker that is just about to settle it
                    try:
                        future.exception()
                    except:
                        Py_INCREF(job)
                        deliver(core, job)
                        raise
                return future

    # ---- looking in ------------------------------------------------------------------------

    def _withdraw(self):
        """
        Take the oldest job that has not started out of the queue, unresolved.

        Returns (future, fn, args, kwargs); None when there is none.
        """
        cdef Core* core = core_of_pool(self)
        cdef PyObject* job
        cdef uint32_t state
        cdef Objects call
        while True:
            job = <PyObject*>ring_take(&core.ring)
            if job == NULL:
                tell_if_quiet(core)
                return None
            room_made(core)
            state = future_lock(<FutureBase>job)
            if state & PHASE == PENDING and not _copy_call(<FutureBase>job, call):
                future_unlock(<FutureBase>job, state)
                resolve(core, job, None)
                raise MemoryError
            if state & PHASE == PENDING:
                (<FutureBase>job).unrun = NULL
                core.withdrawn.add(1)
            else:
                core.unrun.tombstones.sub(1)
            future_unlock(<FutureBase>job, state)
            if state & PHASE == PENDING:
                core.removed.add(1)
                track_late(job)
                future = <object>job
                Py_DECREF(job)
                tell_if_quiet(core)
                return future, *_call_as_objects(call)
            deliver(core, job)
            core.removed.add(1)

    @property
    def _max_workers(self):
        """Without those in place of workers whose job is late."""
        return core_of_pool(self).max_workers.load() - core_of_pool(self).replacing.load()

    @property
    def _capacity(self):
        """Jobs that may be queued; None: no bound."""
        cdef Core* core = core_of_pool(self)
        return core.ring.limit if core.ring.bounded else None

    @property
    def _keep(self):
        """Finished futures kept for a reader."""
        return core_of_pool(self).keep.load()

    @property
    def _closed(self):
        return self.core != NULL and ring_is_closed(&self.core.ring)

    @property
    def _is_broken(self):
        return self.core != NULL and self.core.broken.load() != 0


cdef PyObject* _take_finished(Core* core) noexcept:
    cdef PyObject* job = <PyObject*>ring_take(&core.finished)
    if job != NULL and core.stuck.load():
        room_wake_all(core)     # a worker that waits for the reader must look again, whoever takes the room
    elif job != NULL:
        room_made(core)
    return job


cdef bint _copy_call(FutureBase job, Objects& call) noexcept:
    # Under the job's lock, since whoever cancels it drops what it holds: kwnames,
    # fn, arguments, each with a reference.  NULL for no kwnames.  False: no memory.
    cdef PyObject** arguments = future_arguments(job)
    cdef uint32_t i
    cdef bint complete = object_put(&call, job.call[0]) and object_put(&call, job.fn)
    for i in range(job.nargs):
        complete = complete and object_put(&call, arguments[i])
    if not complete:
        call.clear()
    for i in range(call.size()):
        Py_XINCREF(call[i])
    return complete


def call_of(FutureBase future not None):
    """(fn, args, kwargs) of a job that has not started; None: it has."""
    cdef Objects call
    cdef bint complete = True
    cdef uint32_t state = future_lock(future)
    cdef bint waits = state & PHASE == PENDING
    if waits:
        complete = _copy_call(future, call)
    future_unlock(future, state)
    if not complete:
        raise MemoryError
    return _call_as_objects(call) if waits else None


cdef _call_as_objects(Objects& call):
    names = <object>call[0] if call[0] != NULL else ()
    values = [<object>call[i] for i in range(1, call.size())]
    for i in range(call.size()):
        Py_XDECREF(call[i])
    positional = len(values) - len(names)
    return values[0], tuple(values[1:positional]), dict(zip(names, values[positional:]))


cdef _fail_with_its_worker(Worker* gone):
    # Whatever a worker of the parent's had taken: it runs it, perhaps in place of others, asks whether it may start,
    # tells of its end, or has not looked yet.
    cdef PyObject* job = gone.current.load()
    cdef const Standing* place = gone.below
    if job != NULL:
        _fail_after_fork(<FutureBase>job)
    while place != NULL:
        _fail_after_fork(<FutureBase>place.job)
        place = place.outer
    if gone.judges != NULL:
        _fail_after_fork(<FutureBase>gone.judges)
    if gone.holds != NULL:
        _fail_after_fork(<FutureBase>gone.holds)
    job = gone.inbox.job
    if job != NULL:
        gone.inbox.job = NULL
        _fail_after_fork(<FutureBase>job)
        Py_DECREF(job)


cdef bint _join(set threads) except -1:
    # Whether there was any.  Not itself: a destructor at a worker's very end may get here.
    cdef bint any_was = False
    for thread in list(threads):
        if thread.is_alive() and thread.ident != threading.get_ident():
            thread.join()
            any_was = True
    return any_was


cdef _fail_after_fork(FutureBase job):
    # Whoever waited for it is a thread of the parent's.
    cdef Extension* extension = extension_of(job)
    if extension != NULL:
        gate_begin_anew(&extension.gate)
        if extension.condition != NULL:
            (<object>extension.condition)._at_fork_reinit()
            (<object>extension.waiters).clear()
    fail(job, BrokenThreadPool(FORKED))
    future_run_callbacks(job)


# ---- the collector ---------------------------------------------------------------------------
#
# A queued job is no garbage: a worker will run it, whoever else has gone.  So the queue itself is a
# root, and what the pool object owns are the finished futures that wait for a reader.

cdef traverseproc inherited_traverse


cdef int _traverse(Engine self, visitproc visit, void* arg) noexcept:
    cdef int stop = inherited_traverse(<PyObject*>self, visit, arg)
    cdef Ring* ring
    cdef uint64_t position, tail
    cdef size_t i
    if self.core == NULL:
        return stop
    ring = &self.core.finished
    position = ring.head.load()
    tail = ring.tail.load()
    while not stop and position != tail:
        stop = visit(<PyObject*>ring.slots[position & ring.mask].item, arg)
        position += 1
    for i in range(ring.overflow.size()):
        if not stop:
            stop = visit(<PyObject*>ring.overflow[i], arg)
    return stop


cdef void _see_finished(PyTypeObject* type) noexcept:
    global inherited_traverse
    inherited_traverse = type.tp_traverse
    type.tp_traverse = <traverseproc><void*>_traverse


_see_finished(<PyTypeObject*>Engine)
