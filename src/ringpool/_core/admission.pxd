# Admission: the way of every job into the queue.  Either a job is accepted and
# its future returned, or an error is raised and no trace of the job is left.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from ringpool._core.engine cimport Engine
from ringpool._core.future cimport INLINE, OWNED, PENDING, FutureBase
from ringpool._core.layout cimport FOREVER, NOW, Core, Waiter
from ringpool._core.parking cimport gate_enter, gate_leave, gate_wake_all, job_put, sleep_until_woken
from ringpool._core.python cimport (
    Py_DECREF,
    Py_XDECREF,
    PyContext_CopyCurrent,
    PyMem_Malloc,
    PyTuple_GET_SIZE,
    context_is_empty,
    context_of,
    current_thread_state,
    give,
    is_callable,
    is_coroutine_function,
    new_untracked,
    track_early,
)
from ringpool._core.record cimport recycler
from ringpool._core.ring cimport CLOSED, FULL, NO_MEMORY, PUT, Put, ring_is_closed, ring_length, ring_put
from ringpool._core.worker cimport hire, on_worker_of


cdef inline int check_callable(PyObject* fn) except -1:
    if not is_callable(fn):
        raise TypeError(f"fn must be callable, got {<object>fn!r}")
    if is_coroutine_function(fn):
        _warn_coroutine(<object>fn)
    return 0


cdef inline object _warn_coroutine(object fn):
    import warnings

    warnings.warn(
        f"{fn!r} is a coroutine function: calling it in a worker only makes a coroutine that nobody awaits",
        RuntimeWarning,
        stacklevel=1,
    )


cdef inline PyObject* make_job(Core* core, PyObject* const* call, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    # call: fn, then the arguments, nargs of both together, then the values of
    # kwnames.  The record comes with two references: the ring's and the caller's.
    cdef PyObject* fn = call[0]
    cdef PyObject* job
    cdef PyObject* context = NULL
    cdef PyObject** slots
    cdef size_t n = nargs - 1, i
    if kwnames != NULL:
        n += PyTuple_GET_SIZE(kwnames)
    if core.copies_context and not context_is_empty(context_of(current_thread_state())):
        context = PyContext_CopyCurrent()
    job = new_untracked(core.future_type, &recycler)
    if job == NULL:
        Py_XDECREF(context)
        raise MemoryError
    (<FutureBase>job).context = context
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
    track_early(job)
    give(job)
    return job


cdef inline Put put_now(Core* core, PyObject* job) noexcept:
    if reader_lags(core) and not ring_is_closed(&core.ring):
        return FULL
    return ring_put(&core.ring, job)


cdef inline bint reader_lags(Core* core) noexcept:
    # Then it holds producers back: what it has not read counts as not done.
    return core.reading.relaxed() and ring_length(&core.finished) >= core.keep.relaxed()


cdef inline Put put_when_room(Core* core, PyObject* job, int64_t deadline) except? NO_MEMORY:
    cdef Waiter waiter
    cdef Put put
    cdef int woken = 1
    cdef bint mine = on_worker_of(core)        # a worker of this queue waits for itself and its peers
    if mine:
        core.stuck.add(1)
    try:
        while True:
            gate_enter(&core.room, &waiter)
            put = put_now(core, job)
            # The last worker that could make room may not wait for it.
            if put != FULL or not woken or (
                mine and core.stuck.load() >= core.reserved.load() and not reader_lags(core)
            ):
                gate_leave(&core.room, &waiter)
                if put == PUT and core.stuck.load():
                    gate_wake_all(&core.room)   # it may be that last one who still waits, and for nothing now
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


cdef inline PyObject* admit(Engine self, PyObject* const* call, Py_ssize_t nargs, PyObject* kwnames, int64_t deadline) except NULL:
    # The way of every job into the queue.  Either the job is accepted and its
    # future returned, or an error is raised and no trace of the job is left.
    cdef Core* core = self.core
    if core == NULL:
        raise RuntimeError(f"{type(self).__name__}.__init__() was not called")
    if nargs < 1:
        raise TypeError("submit() missing 1 required positional argument: 'fn'")
    check_callable(call[0])
    if core.started.relaxed() >= core.max_workers:
        return enter(self, core, call, nargs, kwnames, deadline)
    core.coming.add(1)
    try:
        hire(core, self._worker_initializer, self._threads, self._thread_name_prefix)
        return enter(self, core, call, nargs, kwnames, deadline)
    finally:
        core.coming.sub(1)


cdef inline PyObject* enter(
    Engine self, Core* core, PyObject* const* call, Py_ssize_t nargs, PyObject* kwnames, int64_t deadline
) except NULL:
    cdef Put put
    cdef PyObject* job = make_job(core, call, nargs, kwnames)
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
