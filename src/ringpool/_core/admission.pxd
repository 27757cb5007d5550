# Admission: the way of every job into the queue.  Either a job is accepted and
# its future returned, or an error is raised and no trace of the job is left.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from ringpool._core.deadlock cimport begin_wait_for_room, end_wait
from ringpool._core.engine cimport Engine, core_of_pool
from ringpool._core.future cimport INLINE, FutureBase, extension_of, future_extension
from ringpool._core.here cimport calling_thread, keeps_time_of, works_for
from ringpool._core.jobword cimport OWNED, PENDING
from ringpool._core.layout cimport FOREVER, NOW, PATIENT, Core, Entry, Waiter, is_sample, now_ns
from ringpool._core.python cimport (
    Py_DECREF,
    Py_INCREF,
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
from ringpool._core.resolve cimport sweep
from ringpool._core.ring cimport CLOSED, FULL, NO_MEMORY, PUT, Put, ring_is_closed
from ringpool._core.room cimport (
    reader_lags,
    room_enter,
    room_give_up_turn,
    room_leave,
    room_pass_on,
    room_sleep,
    room_wake_all,
)
from ringpool._core.shelf cimport queue_put, tell_workers
from ringpool._core.worker cimport hire, hire_for_queued, make_up_meanwhile


cdef inline str _shown(object value):
    from ringpool._core.shown import shown

    return shown(value)


cdef inline int check_callable(PyObject* fn) except -1:
    if not is_callable(fn):
        raise TypeError(f"fn must be callable, got {_shown(<object>fn)}")
    if is_coroutine_function(fn):
        _warn_coroutine(<object>fn)
    return 0


cdef inline object _warn_coroutine(object fn):
    from ringpool._core.shown import warn_of_coroutine

    warn_of_coroutine(fn)


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
    slots = (<FutureBase>job).call
    if n > INLINE:
        slots = <PyObject**>PyMem_Malloc((n + 1) * sizeof(PyObject*))
        if slots == NULL:
            Py_XDECREF(context)
            Py_DECREF(job)
            raise MemoryError
        slots[0] = NULL
        (<FutureBase>job).call[1] = <PyObject*>slots
    for i in range(1, n + 1):
        give(call[i])
        slots[i] = call[i]
    give(fn)
    (<FutureBase>job).fn = fn
    (<FutureBase>job).context = context
    (<FutureBase>job).nargs = n
    if kwnames != NULL:
        give(kwnames)
        (<FutureBase>job).call[0] = kwnames
    (<FutureBase>job).state.set(OWNED | PENDING)
    (<FutureBase>job).unrun = &core.unrun
    track_early(job)
    give(job)
    return job


cdef inline PyObject* sampled(PyObject* job) except NULL:
    # It has its wait and its run timed.
    try:
        future_extension(<FutureBase>job).sampled = True
    except:
        Py_DECREF(job)
        Py_DECREF(job)
        raise
    extension_of(<FutureBase>job).wish.since = now_ns()
    return job


cdef inline PyObject* make_sampled(Core* core, PyObject* const* call, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    cdef PyObject* job = make_job(core, call, nargs, kwnames)
    return sampled(job) if core.sample and is_sample(core) else job


cdef inline Put put_now(Core* core, PyObject* job, Entry* wish, bint in_turn) noexcept:
    if reader_lags(core) and not ring_is_closed(&core.ring):
        return FULL
    # Producers that wait for room come first.
    if core.queueing.relaxed() and not in_turn and not ring_is_closed(&core.ring):
        return FULL
    return queue_put(core, job, wish)


cdef inline bint is_withdrawn() noexcept:
    # Has whoever the calling thread submits for lost interest?
    return calling_thread().withdrawn != NULL and calling_thread().withdrawn.load() != 0


cdef inline bint _others_make_room(Core* core, bint forever) noexcept:
    # While a worker waits for it, which counts in `stuck`: some may wait for jobs, and a spare runs what is queued.
    if core.stuck.load() >= core.reserved.load():
        return False
    make_up_meanwhile()
    return not forever or begin_wait_for_room(core, calling_thread())


cdef inline Put put_when_room(Core* core, PyObject* job, Entry* wish, int64_t deadline) except? NO_MEMORY:
    # In the order in which they came here (room.pxd).  A newcomer may be faster than who was woken, or
    # every put would be a switch of threads; but only once: then newcomers wait.
    cdef Waiter waiter
    cdef Put put = FULL
    cdef bint woken = False, in_time = True, turn
    cdef bint in_vain = False                  # it was its turn, and somebody else had taken the room
    cdef bint slept = False
    cdef bint refused = False
    cdef bint mine = works_for(core)           # a worker of this queue waits for itself and its peers
    if keeps_time_of(core):
        return FULL                            # room may be made by what it alone makes due
    if deadline == PATIENT:
        deadline = FOREVER
    if mine:
        core.stuck.add(1)
    try:
        while True:
            if is_withdrawn():
                if woken:
                    room_give_up_turn(core)
                return FULL
            turn = room_enter(core, &waiter, woken)
            put = put_now(core, job, wish, True) if turn or ring_is_closed(&core.ring) else FULL
            if put == FULL and woken and turn and not in_vain:
                in_vain = True
                core.queueing.add(1)
            # The last worker that could make room may not wait for it.
            if put == FULL and in_time and mine and not reader_lags(core) and not _others_make_room(
                core, deadline == FOREVER
            ):
                refused = True
                put = put_now(core, job, wish, True)    # whoever's turn it is
            if put != FULL or refused or not in_time:
                if room_leave(core, &waiter):
                    room_give_up_turn(core)
                if put == PUT and core.stuck.load():
                    room_wake_all(core)         # it may be that last one who still waits, and for nothing now
                if not in_time and put == FULL:
                    core.block_timed_out.add(1)
                return put
            if not slept:
                slept = True
                core.blocked.add(1)
            woken = room_sleep(core, &waiter, deadline)
            in_time = woken or deadline == FOREVER or now_ns() < deadline
    finally:
        if in_vain:
            core.queueing.sub(1)
        room_pass_on(core)                      # who waited for nothing but our turn
        if mine:
            core.stuck.sub(1)
            end_wait(calling_thread())


cdef inline PyObject* admit(Engine self, PyObject* const* call, Py_ssize_t nargs, PyObject* kwnames, int64_t deadline) except NULL:
    # The way of every job into the queue.  Either the job is accepted and its
    # future returned, or an error is raised and no trace of the job is left.
    cdef Core* core = core_of_pool(self)
    if nargs < 1:
        raise TypeError("submit() missing 1 required positional argument: 'fn'")
    if core.plans_all or not is_callable(call[0]):
        if core.takes_jobs:
            return plan(self, call, nargs, kwnames, deadline)
        check_callable(call[0])
    if is_coroutine_function(call[0]):
        _warn_coroutine(<object>call[0])
    if core.started.relaxed() >= core.max_workers.relaxed() and not core.elastic.relaxed():
        return enter(self, core, make_sampled(core, call, nargs, kwnames), NULL, deadline)
    return enter_and_hire(self, core, make_sampled(core, call, nargs, kwnames), NULL, deadline)


cdef inline PyObject* plan(
    Engine self, PyObject* const* call, Py_ssize_t nargs, PyObject* kwnames, int64_t deadline
) except NULL:
    # For a queue whose jobs all have a plan: the face makes it.
    cdef Py_ssize_t i, n = nargs
    args = []
    kwargs = {}
    for i in range(1, nargs):
        args.append(<object>call[i])
    if kwnames != NULL:
        for name in <tuple>kwnames:
            kwargs[name] = <object>call[n]
            n += 1
    future = self._submit_planned(<object>call[0], tuple(args), kwargs, deadline)
    Py_INCREF(<PyObject*>future)
    return <PyObject*>future


cdef inline PyObject* enter_and_hire(Engine self, Core* core, PyObject* job, Entry* wish, int64_t deadline) except NULL:
    # While workers may still be hired.  Takes over both references to job.
    cdef bint hired = False
    core.coming.add(1)
    try:
        hire(core, self._worker_initializer, self._worker_finalizer, self._threads, self._thread_name_prefix)
        hired = True
        return enter(self, core, job, wish, deadline)
    finally:
        core.coming.sub(1)
        if not hired:
            Py_DECREF(job)
            Py_DECREF(job)
        elif core.elastic.relaxed():
            # A worker that we relied on may have left before it saw the job.
            hire_for_queued(
                core, self._worker_initializer, self._worker_finalizer, self._threads, self._thread_name_prefix
            )


cdef inline PyObject* enter(Engine self, Core* core, PyObject* job, Entry* wish, int64_t deadline) except NULL:
    # Takes over both references to job: the queue's and the one that is returned.
    cdef Put put = put_now(core, job, wish, False)
    if put == PUT:
        tell_workers(core)
        return job
    if put == FULL and core.unrun.tombstones.load() and (core.planned.load() or works_for(core)) and sweep(core):
        # Where jobs have no order of their own the next worker clears them away; a
        # job that submits may be what keeps that worker.
        put = put_now(core, job, wish, False)
    if put == FULL and deadline == FOREVER and core.decides:
        future = <object>job
        Py_DECREF(job)              # the queue's, which has none
        Py_DECREF(job)
        outcome = self._when_full(future)
        Py_INCREF(<PyObject*>outcome)
        return <PyObject*>outcome
    try:
        if put == FULL and deadline != NOW:
            put = put_when_room(core, job, wish, deadline)
        if put == PUT:
            tell_workers(core)
            return job
        if put != FULL or calling_thread().withdrawn == NULL:    # else it will be tried again
            core.rejected.add(1)
        if put == CLOSED:
            raise self._refusal()
        if put == FULL:
            raise self._full(deadline < 0)
        raise MemoryError
    except:
        Py_DECREF(job)
        Py_DECREF(job)
        raise
