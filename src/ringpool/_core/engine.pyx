"""The engine: admission, the workers' threads, lifecycle, counters. The protocol: README.md."""

import contextvars
import sys
import threading
import warnings
from collections import namedtuple
from concurrent.futures.thread import BrokenThreadPool

from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject, PyTypeObject, traverseproc, visitproc
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from ringpool._core.future cimport (
    FAILED,
    FINISHED,
    INLINE,
    OWNED,
    PENDING,
    PHASE,
    RUNNING,
    FutureBase,
    future_lock,
    future_settle,
    future_start,
    future_unlock,
)
from ringpool._core.layout cimport (
    CLOSED_BIT,
    FOREVER,
    NOW,
    Core,
    Objects,
    Ring,
    Waiter,
    Worker,
    here,
    name_this_thread,
    object_put,
    roster_put,
    roster_remove,
)
from ringpool._core.parking cimport (
    deadline_of,
    gate_enter,
    gate_leave,
    gate_wake_all,
    gate_wake_one,
    job_put,
    sleep_until_woken,
    wake_all,
)
from ringpool._core.python cimport (
    METH_FASTCALL,
    METH_KEYWORDS,
    Py_DECREF,
    Py_INCREF,
    PyCallable_Check,
    PyContext_CopyCurrent,
    PyMem_Malloc,
    PyCFunction,
    PyMethodDef,
    PyTuple_GET_SIZE,
    add_method,
    context_is_empty,
    current_context,
    give,
    is_coroutine_function,
    new_untracked,
    track,
)
from ringpool._core.ring cimport (
    CLOSED,
    FULL,
    NO_MEMORY,
    PUT,
    Put,
    ring_accepted,
    ring_close,
    ring_free,
    ring_is_closed,
    ring_length,
    ring_open,
    ring_put,
    ring_take,
)
from ringpool._core.worker cimport deliver, enter_fresh_context, fresh_context, leave_context, run_started, tell_if_quiet, unfinished, work

from ringpool._core.future import set_run_here

INITIALIZER_FAILED = "A thread initializer failed, the thread pool is not usable anymore"

Counts = namedtuple(
    "Counts",
    "queued in_flight workers idle accepted succeeded failed cancelled withdrawn rejected forgotten",
)

# Workers start in an empty context, where the interpreter would copy that of
# whoever happened to start them and keep it for the thread's life.
_THREAD_OPTIONS = {"context": contextvars.Context()} if sys.version_info >= (3, 14) else {}

cdef extern from "Python.h":
    int Py_EnterRecursiveCall(const char*) except -1
    void Py_LeaveRecursiveCall() noexcept

cdef enum:
    NEW, ALIVE, ABANDONED       # a Worker's phase


# ---- the core's life -------------------------------------------------------------

cdef Core* core_new(uint32_t max_workers, uint64_t capacity, uint64_t keep, bint copies_context, object future_type) except NULL:
    cdef Core* core = new Core()
    if not ring_open(&core.ring, capacity) or not ring_open(&core.finished, 0):
        ring_free(&core.ring)
        del core
        raise MemoryError
    core.max_workers = max_workers
    core.keep.set(keep)
    core.copies_context = copies_context
    core.future_type = <PyTypeObject*>future_type
    Py_INCREF(<PyObject*>future_type)
    core.references.store(1)
    return core


cdef void core_release(Core* core) noexcept:
    # The last one out: everybody else has gone, so the ring is drained.
    cdef PyObject* job
    cdef size_t i
    if core.references.sub(1) != 1:
        return
    while True:
        job = <PyObject*>ring_take(&core.finished)
        if job == NULL:
            break
        Py_DECREF(job)
    for i in range(core.roster.size()):
        del core.roster[i]
    ring_free(&core.ring)
    ring_free(&core.finished)
    Py_DECREF(<PyObject*>core.future_type)
    del core


cdef void core_close(Core* core) noexcept:
    ring_close(&core.ring)
    wake_all(&core.idlers)
    gate_wake_all(&core.room)
    tell_if_quiet(core)


# ---- one worker's thread ------------------------------------------------------------

cdef class WorkerMain:
    """What a worker's thread runs; refers to the core and not to the pool object."""

    cdef Core* core
    cdef Worker* worker
    cdef object initializer
    cdef object safe_point

    def __cinit__(self):
        self.core = NULL

    def __dealloc__(self):
        if self.core != NULL:
            core_release(self.core)

    def __call__(self):
        cdef uint32_t expected = NEW
        if not self.worker.phase.cas(expected, ALIVE):
            return                          # whoever started the thread gave up on it
        thread = threading.current_thread()
        name = _short_name(thread.name)
        name_this_thread(name)
        self.worker.ident = thread.ident
        here().core = self.core
        here().worker = self.worker
        initializer, self.initializer = self.initializer, None
        del thread, name
        try:
            if initializer is not None and not initializer():
                _break(self.core)
            del initializer
            if self.core.copies_context:
                fresh_context()
            work(self.core, self.worker, self.safe_point)
        finally:
            here().core = NULL
            here().worker = NULL
            self.core.gone.add(1)
            gate_wake_all(&self.core.quiet)


def _safe_point():
    """Entering a Python function serves what the interpreter wants of a thread."""


cdef bytes _short_name(str name):
    # The system keeps 15 bytes; the worker's number says more than the middle.
    cdef bytes raw = name.encode("utf-8", "replace").replace(b"\0", b"")
    if len(raw) <= 15:
        return raw
    number = b"_" + raw.rpartition(b"_")[2] if b"_" in raw else b""
    if len(number) > 7:
        number = b""
    return raw[:15 - len(number)] + number


cdef _break(Core* core):
    # An initializer failed: refuse what comes, resolve what is queued.
    core.broken.store(1)
    core_close(core)
    _resolve_queued(core, INITIALIZER_FAILED)


cdef _resolve_queued(Core* core, broken_message):
    # Everything still in the ring: cancelled, or failed with BrokenThreadPool.
    cdef PyObject* job
    while True:
        job = <PyObject*>ring_take(&core.ring)
        if job == NULL:
            break
        try:
            if broken_message is None:
                (<object>job).cancel()
            else:
                _fail(<FutureBase>job, BrokenThreadPool(broken_message))
        finally:
            core.unrun.tombstones.sub(1)
            deliver(core, job)
            core.removed.add(1)
    gate_wake_all(&core.room)
    tell_if_quiet(core)


cdef _fail(FutureBase job, exception):
    cdef PyObject* error = <PyObject*>exception
    Py_INCREF(error)
    if not future_settle(job, 1 << PENDING | 1 << RUNNING, FINISHED | FAILED, error):
        Py_DECREF(error)


# ---- admission ------------------------------------------------------------------------

cdef PyObject* make_job(Core* core, PyObject* const* call, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    # call: fn, then the arguments, nargs of both together, then the values of
    # kwnames.  The record comes with two references: the ring's and the caller's.
    cdef PyObject* fn = call[0]
    cdef PyObject* job
    cdef PyObject* context
    cdef PyObject** slots
    cdef size_t n = nargs - 1, i
    if not PyCallable_Check(fn):
        raise TypeError(f"fn must be callable, got {<object>fn!r}")
    if is_coroutine_function(fn):
        _warn_coroutine(<object>fn)
    if kwnames != NULL:
        n += PyTuple_GET_SIZE(kwnames)
    job = new_untracked(core.future_type)
    if job == NULL:
        raise MemoryError
    slots = (<FutureBase>job).call
    if n > INLINE:
        slots = <PyObject**>PyMem_Malloc((n + 1) * sizeof(PyObject*))
        if slots == NULL:
            Py_DECREF(job)
            raise MemoryError
        slots[0] = NULL
        (<FutureBase>job).call[1] = <PyObject*>slots
    for i in range(1, n + 1):
        give(call[i])
        slots[i] = call[i]
    give(fn)
    (<FutureBase>job).call[0] = fn
    (<FutureBase>job).nargs = n
    if kwnames != NULL:
        give(kwnames)
        (<FutureBase>job).kwnames = kwnames
    (<FutureBase>job).state.set(OWNED | PENDING)
    (<FutureBase>job).unrun = &core.unrun
    if core.copies_context:
        context = current_context()
        if not context_is_empty(context):
            (<FutureBase>job).context = PyContext_CopyCurrent()
            if (<FutureBase>job).context == NULL:
                Py_DECREF(job)
                raise
    give(job)
    return job


cdef _warn_coroutine(fn):
    warnings.warn(
        f"{fn!r} is a coroutine function: calling it in a worker only makes a coroutine that nobody awaits",
        RuntimeWarning,
        stacklevel=1,
    )


cdef PyObject* admit(Engine self, PyObject* const* call, Py_ssize_t nargs, PyObject* kwnames, int64_t deadline) except NULL:
    # The way of every job into the queue.  Either the job is accepted and its
    # future returned, or an error is raised and no trace of the job is left.
    cdef Core* core = self.core
    cdef PyObject* job
    cdef Put put
    if core == NULL:
        raise RuntimeError(f"{type(self).__name__}.__init__() was not called")
    if nargs < 1:
        raise TypeError("submit() missing 1 required positional argument: 'fn'")
    if core.started.relaxed() < core.max_workers:
        ensure_worker(self, core)
    job = make_job(core, call, nargs, kwnames)
    put = put_now(core, job)
    if put == PUT:
        job_put(&core.idlers)
        return job
    try:
        if put == FULL and deadline != NOW:
            put = put_when_room(core, job, deadline)
        if put == PUT:
            job_put(&core.idlers)
            return job
        core.rejected.add(1)
        if put == CLOSED:
            raise self._refusal()
        if put == FULL:
            raise self._full(deadline == FOREVER)
        raise MemoryError
    except:
        Py_DECREF(job)
        Py_DECREF(job)
        raise


cdef inline Put put_now(Core* core, PyObject* job) noexcept:
    # A reader who lags holds producers back: what he has not read counts as
    # not done.
    if core.reading.relaxed() and ring_length(&core.finished) >= core.keep.relaxed() and not ring_is_closed(&core.ring):
        return FULL
    return ring_put(&core.ring, job)


cdef Put put_when_room(Core* core, PyObject* job, int64_t deadline) except? NO_MEMORY:
    cdef Waiter waiter
    cdef Put put
    cdef int woken = 1
    cdef bint mine = here().core == core        # a worker of this queue waits for itself and its peers
    try:
        if mine and core.stuck.add(1) + 1 >= core.started.load():
            # The last worker that could make room may not wait for it.
            return put_now(core, job)
        while True:
            gate_enter(&core.room, &waiter)
            put = put_now(core, job)
            if put != FULL or not woken:
                gate_leave(&core.room, &waiter)
                return put
            try:
                woken = sleep_until_woken(&waiter, deadline)
            except:
                gate_leave(&core.room, &waiter)
                raise
            if not woken:
                gate_leave(&core.room, &waiter)
    finally:
        if mine:
            core.stuck.sub(1)


cdef int ensure_worker(Engine self, Core* core) except -1:
    # The thread first, then the job: if no thread can be started and there is
    # none, the error leaves no trace of the job; if there is one, it will do.
    cdef uint32_t reserved = core.reserved.load()
    cdef Worker* worker
    cdef WorkerMain main
    cdef uint32_t expected = NEW
    while True:
        if reserved >= core.max_workers or unfinished(core) < reserved or ring_is_closed(&core.ring):
            return 0
        if core.reserved.cas(reserved, reserved + 1):
            break
    worker = new Worker()
    main = WorkerMain()
    main.core = core
    core.references.add(1)
    main.worker = worker
    main.initializer = self.initializer
    main.safe_point = _safe_point
    thread = None
    try:
        if not roster_put(core, worker):
            raise MemoryError
        thread = threading.Thread(
            target=main, name=f"{self._thread_name_prefix}_{reserved}", daemon=False, **_THREAD_OPTIONS
        )
        self._threads.add(thread)
        thread.start()
    except BaseException as error:
        if worker.phase.cas(expected, ABANDONED):
            self._threads.discard(thread)
            roster_remove(core, worker)
            core.reserved.sub(1)
            gate_wake_all(&core.quiet)
            if core.started.load() and isinstance(error, Exception):
                return 0
            raise
        core.started.add(1)
        raise
    core.started.add(1)
    return 0


cdef PyObject* _submit(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    return admit(<Engine>self, args, nargs, kwnames, FOREVER)


cdef PyObject* _try_submit(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    return admit(<Engine>self, args, nargs, kwnames, NOW)


cdef PyObject* _submit_within(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    if nargs < 1:
        raise TypeError("submit_within() missing 2 required positional arguments: 'seconds' and 'fn'")
    return admit(<Engine>self, args + 1, nargs - 1, kwnames, deadline_of(<object>args[0]))


# ---- the pool object -------------------------------------------------------------------

cdef class Engine:
    """
    The native half of both faces; not to be used on its own.

    A face passes checked values, names its errors in ``_refusal`` (closed) and
    ``_full``, and gives the rest its public names.
    """

    def __cinit__(self, *args, **kwargs):
        self.core = NULL
        self._threads = set()

    def __init__(
        self, future_type, uint32_t max_workers, uint64_t capacity, uint64_t keep, bint copies_context,
        str thread_name_prefix, initializer,
    ):
        if self.core != NULL:
            raise RuntimeError(f"{type(self).__name__}.__init__() was called twice")
        self.future_type = future_type
        self._thread_name_prefix = thread_name_prefix
        self.initializer = initializer
        self.core = core_new(max_workers, capacity, keep, copies_context, future_type)

    def __dealloc__(self):
        # Dropped without a stop: what was accepted is still run.
        if self.core != NULL:
            self.core.keep.store(0)
            core_close(self.core)
            core_release(self.core)

    # ---- lifecycle ------------------------------------------------------------------

    def _close(self):
        """Refuse new jobs and let the workers drain; safe from anywhere, any number of times."""
        core_close(_core(self))

    def _cancel_queued(self):
        """Cancel every job that has not started."""
        _resolve_queued(_core(self), None)

    def _ask_to_stop(self):
        """Tell running jobs, through :func:`stop_asked`, to end soon."""
        _core(self).stop_asked.store(1)

    def _wait_until_quiet(self, timeout, bint workers_too):
        """
        Wait until nothing accepted is unfinished, and the workers have ended if asked for.

        False when *timeout* passed first. The threads are joined, so that
        nothing of them is left when this returns True.
        """
        cdef Core* core = _core(self)
        cdef Waiter waiter
        cdef int64_t deadline = deadline_of(timeout)
        cdef int woken = 1
        while not is_quiet(core, workers_too):
            if not woken:
                return False
            gate_enter(&core.quiet, &waiter)
            if is_quiet(core, workers_too):
                gate_leave(&core.quiet, &waiter)
                break
            try:
                woken = sleep_until_woken(&waiter, deadline)
            except:
                gate_leave(&core.quiet, &waiter)
                raise
            if not woken:
                gate_leave(&core.quiet, &waiter)
        if workers_too:
            for thread in list(self._threads):
                if thread.ident is not None:
                    thread.join()
        return True

    def _after_fork(self):
        """
        In a forked child: start over with no workers, and fail what was pending.

        The old core is left alone for ever: threads that exist in the parent
        only may have left its locks in any state.
        """
        cdef Core* old = self.core
        cdef PyObject* job
        cdef size_t i
        if old == NULL:
            return
        self.core = core_new(
            old.max_workers, old.ring.limit if old.ring.bounded else 0, old.keep.load(), old.copies_context,
            self.future_type,
        )
        if ring_is_closed(&old.ring):
            ring_close(&self.core.ring)
        self._threads.clear()
        old.ring.tail.set_bits(CLOSED_BIT)
        if old.ring.lock.try_lock():
            old.ring.lock.unlock()
        else:
            old.ring.overflowing.store(0)
        while True:
            job = <PyObject*>ring_take(&old.ring)
            if job == NULL:
                break
            _fail_after_fork(<FutureBase>job)
            Py_DECREF(job)
        # What a thread of the parent's had claimed and not published never comes.
        old.ring.head.store(old.ring.tail.load() & ~CLOSED_BIT)
        for i in range(old.roster.size()):
            job = old.roster[i].current.load()
            if job != NULL and old.roster[i] != here().worker:
                _fail_after_fork(<FutureBase>job)

    # ---- finished futures --------------------------------------------------------------

    def _start_reading(self):
        """From now on finished futures wait for their reader; how many were forgotten before."""
        cdef Core* core = _core(self)
        core.reading.store(1)
        return core.forgotten.load()

    def _next_finished(self):
        """The next finished future; None when closed and everything accepted was handed out."""
        cdef Core* core = _core(self)
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
                return future

    # ---- looking in ------------------------------------------------------------------------

    def _withdraw(self):
        """Take the oldest job that has not started out of the queue, unresolved; None when there is none."""
        cdef Core* core = _core(self)
        cdef PyObject* job
        cdef uint32_t state
        while True:
            job = <PyObject*>ring_take(&core.ring)
            if job == NULL:
                return None
            gate_wake_one(&core.room)
            state = future_lock(<FutureBase>job)
            if state & PHASE == PENDING:
                (<FutureBase>job).unrun = NULL
                core.withdrawn.add(1)
            else:
                core.unrun.tombstones.sub(1)
            future_unlock(<FutureBase>job, state)
            if state & PHASE == PENDING:
                core.removed.add(1)
                track(job)
                future = <object>job
                Py_DECREF(job)
                tell_if_quiet(core)
                return future
            deliver(core, job)
            core.removed.add(1)

    def _running(self):
        """(thread ident, future) of every job that is being run."""
        cdef Core* core = _core(self)
        cdef Objects jobs
        cdef vector[unsigned long] idents
        cdef PyObject* job
        cdef size_t i
        idents.reserve(core.max_workers)
        core.inspection.lock()
        core.inspecting.store(1)
        core.roster_lock.lock()
        for i in range(core.roster.size()):
            job = core.roster[i].current.load()     # pairs with run_started: not dropped while we inspect
            if job != NULL and object_put(&jobs, job):
                Py_INCREF(job)
                idents.push_back(core.roster[i].ident)
        core.roster_lock.unlock()
        core.inspecting.store(0)
        core.inspection.unlock()
        found = []
        for i in range(jobs.size()):
            found.append((idents[i], <object>jobs[i]))
            Py_DECREF(jobs[i])
        return found

    def _counts(self):
        """
        One snapshot, as Counts.

        What is done is read before what was accepted, and queued is what
        remains, so that the parts always add up to accepted.
        """
        cdef Core* core = _core(self)
        cdef uint64_t succeeded = 0, failed = 0, started = 0
        cdef uint64_t accepted, resolved, in_flight
        cdef size_t i
        core.roster_lock.lock()
        for i in range(core.roster.size()):
            succeeded += core.roster[i].succeeded.read()
            failed += core.roster[i].failed.read()
        for i in range(core.roster.size()):
            started += core.roster[i].started.read()
        core.roster_lock.unlock()
        in_flight = started - succeeded - failed
        succeeded += core.unrun.succeeded.load()
        failed += core.unrun.failed.load()
        cancelled = core.unrun.cancelled.load()
        withdrawn = core.withdrawn.load()
        accepted = ring_accepted(&core.ring)
        resolved = succeeded + failed + <uint64_t>cancelled + <uint64_t>withdrawn
        return Counts(
            accepted - resolved - in_flight, in_flight, core.started.load() - core.gone.load(), core.idlers.count.load(),
            accepted, succeeded, failed, cancelled, withdrawn, core.rejected.load(), core.forgotten.load(),
        )

    @property
    def _max_workers(self):
        return _core(self).max_workers

    @property
    def _closed(self):
        return self.core != NULL and ring_is_closed(&self.core.ring)

    @property
    def _is_broken(self):
        return self.core != NULL and self.core.broken.load() != 0


cdef bint is_quiet(Core* core, bint workers_too) noexcept:
    return unfinished(core) == 0 and not (workers_too and core.reserved.load() - core.gone.load())


cdef PyObject* _take_finished(Core* core) noexcept:
    cdef PyObject* job = <PyObject*>ring_take(&core.finished)
    if job != NULL:
        gate_wake_one(&core.room)
    return job


cdef _fail_after_fork(FutureBase job):
    # Whoever waited for it is a thread of the parent's.
    if job.extension != NULL:
        job.extension.gate.first = NULL
        job.extension.gate.last = NULL
        job.extension.gate.count.store(0)
        if job.extension.condition != NULL:
            (<object>job.extension.condition)._at_fork_reinit()
            (<object>job.extension.waiters).clear()
    _fail(job, BrokenThreadPool("the process was forked while this job was pending: it goes on in the parent only"))


cdef Core* _core(Engine self) except NULL:
    if self.core == NULL:
        raise RuntimeError(f"{type(self).__name__}.__init__() was not called")
    return self.core


# ---- from inside a job --------------------------------------------------------------------

def current_future():
    """The future of the job that the calling thread is running, or None."""
    cdef PyObject* job = NULL
    if here().worker != NULL:
        job = here().worker.current.relaxed()
    return <object>job if job != NULL else None


def stop_asked():
    """Was the pool that runs the calling thread's job told to stop now?"""
    return here().core != NULL and here().core.stop_asked.load() != 0


def _run_here(FutureBase job):
    # A worker that waits for a job of its own pool runs it in place: the last
    # one awake may not sleep until a job is done that nobody could start.
    cdef Core* core = here().core
    if core == NULL or job.unrun != &core.unrun:
        return
    Py_EnterRecursiveCall(" while a job waits for a job")
    try:
        if not future_start(job):
            return
        core.unrun.tombstones.add(1)
        if core.copies_context:
            enter_fresh_context()
        run_started(core, here().worker, job)
        if core.copies_context:
            leave_context()
    finally:
        Py_LeaveRecursiveCall()


set_run_here(_run_here)


# ---- the collector ---------------------------------------------------------------------------
#
# A queued job is no garbage: a worker will run it, whoever else has gone.  So
# the queue itself is a root, and what the pool object owns are the finished
# futures that wait for a reader.

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


cdef void _prepare(PyTypeObject* type) except *:
    global inherited_traverse
    inherited_traverse = type.tp_traverse
    type.tp_traverse = <traverseproc><void*>_traverse
    _add(type, &SUBMIT, "submit", b"submit", <void*>_submit, SUBMIT_DOC)
    _add(type, &TRY_SUBMIT, "_try_submit", b"try_submit", <void*>_try_submit, TRY_SUBMIT_DOC)
    _add(type, &SUBMIT_WITHIN, "_submit_within", b"submit_within", <void*>_submit_within, SUBMIT_WITHIN_DOC)


cdef PyMethodDef SUBMIT, TRY_SUBMIT, SUBMIT_WITHIN


cdef _add(PyTypeObject* type, PyMethodDef* method, str attribute, bytes name, void* function, bytes doc):
    _kept.append(name)
    _kept.append(doc)
    method.ml_name = name
    method.ml_meth = <PyCFunction>function
    method.ml_flags = METH_FASTCALL | METH_KEYWORDS
    method.ml_doc = doc
    add_method(type, attribute, method)


_kept = []              # the C strings of the methods above

SUBMIT_DOC = b"""submit($self, fn, /, *args, **kwargs)
--

Queue ``fn(*args, **kwargs)`` and return its :class:`ringpool.Future`.

While a bounded queue is full this waits for room, without limit; an executor
has no bound. Every keyword belongs to the job.

Raises:
    RuntimeError: stopped or shut down (of a queue: QueueStopped). Not queued.
    TypeError: fn is not callable. Not queued.
    QueueFull: called in a job of this very queue while it is full and every
        other worker waits for room too: waiting would deadlock. Not queued.

Safe from any thread, from jobs, callbacks, destructors and signal handlers.
"""

TRY_SUBMIT_DOC = b"""try_submit($self, fn, /, *args, **kwargs)
--

As :meth:`submit`, but never waits: raises QueueFull when there is no room.
"""

SUBMIT_WITHIN_DOC = b"""submit_within($self, seconds, fn, /, *args, **kwargs)
--

As :meth:`submit`, but waits at most *seconds* for room; None: without limit.

The limit is a positional argument in front of *fn*, because every keyword
belongs to the job: no name of ours can collide with one of its own.

Raises:
    QueueFull: no room within *seconds*. Not queued.
"""

_prepare(<PyTypeObject*>Engine)
