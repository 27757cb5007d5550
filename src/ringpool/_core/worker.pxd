# The worker's half of a job's way: take, run, settle, deliver; and sleep.
#
# Everything here runs attached.  The thread detaches in one place only, to
# sleep; the GIL is never given up between two jobs except to a thread that asks
# for it at a safe point.

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.core cimport deliver, tell_if_quiet
from ringpool._core.future cimport (
    FAILED,
    FutureBase,
    future_arguments,
    future_drop_call,
    future_run_callbacks,
    future_settle_loudly,
    future_settle_quietly,
    future_start,
)
from ringpool._core.layout cimport Core, Worker, relax
from ringpool._core.parking cimport gate_wake_one, list_idle, unlist_idle, wake_one
from ringpool._core.python cimport (
    Py_DECREF,
    Py_INCREF,
    PyContext_Enter,
    PyContext_Exit,
    PyContext_New,
    PyTuple_GET_SIZE,
    call,
    context_is_empty,
    context_of,
    current_thread_state,
    give,
    interpreter_calls,
    take_exception,
)
from ringpool._core.ring cimport ring_is_closed, ring_is_drained, ring_ready, ring_take

cdef enum:
    SAFE_POINT_JOBS = 64        # jobs between two safe points where the interpreter's wish cannot be seen


cdef inline bint run_started(Core* core, Worker* me, FutureBase job, bint delivers) noexcept:
    # The caller owns a reference to job, holds it until this returns, and has
    # moved it to RUNNING.  True: there may be callbacks, which the caller runs.
    cdef PyObject* before = me.current.relaxed()
    cdef PyObject* outcome
    cdef PyObject* context = job.context
    cdef PyObject* own
    cdef uint32_t failed = 0
    cdef size_t positional = job.nargs
    cdef bint watched
    if job.kwnames != NULL:
        positional -= PyTuple_GET_SIZE(job.kwnames)
    me.started.bump()
    me.current.release(<PyObject*>job)
    if context != NULL and PyContext_Enter(context) != 0:
        outcome = NULL
    else:
        outcome = call(me.thread, job.call[0], future_arguments(job), positional, job.kwnames)
    if outcome == NULL:
        failed = FAILED
        outcome = take_exception()
    if context != NULL:
        PyContext_Exit(context)
    elif core.copies_context:
        own = context_of(me.thread)
        if not context_is_empty(own):       # the next job must not see what this one set
            fresh_context()
    # Seen by whoever inspects the workers: the reference may be dropped only
    # after nobody can have found it here.  Pairs with inspect().
    me.current.store(before)
    if core.inspecting.load():
        core.inspection.lock()
        core.inspection.unlock()
    if failed:
        me.failed.bump()
    else:
        me.succeeded.bump()
    if delivers and core.keep.relaxed():
        # Before anybody can see the result: who has seen it and then lets
        # another job go gets them from results() in that order.
        give(<PyObject*>job)
        deliver(core, <PyObject*>job)
    watched = not future_settle_quietly(job, outcome, failed)
    me.answered = watched
    if watched:
        future_settle_loudly(job, outcome, failed)
    future_drop_call(job)
    return watched


cdef inline void run_taken(Core* core, Worker* me, PyObject* job) noexcept:
    # A job fresh from the ring, whose reference the caller owns.
    gate_wake_one(&core.room)
    if not future_start(<FutureBase>job):
        core.unrun.tombstones.sub(1)
        deliver(core, job)
    else:
        if run_started(core, me, <FutureBase>job, True):
            future_run_callbacks(<FutureBase>job)
        Py_DECREF(job)
    me.taken.bump()


cdef inline void enter_fresh_context() noexcept:
    cdef PyObject* own = PyContext_New()
    if own != NULL:
        PyContext_Enter(own)
        Py_DECREF(own)


cdef inline void leave_context() noexcept:
    cdef PyObject* own = context_of(current_thread_state())
    if own != NULL:
        Py_INCREF(own)              # the thread's is the only reference, and Exit still looks at it
        PyContext_Exit(own)
        Py_DECREF(own)


cdef inline void fresh_context() noexcept:
    leave_context()
    enter_fresh_context()


cdef inline void work(Core* core, Worker* me, object safe_point) noexcept:
    # From the first look at the ring until the ring is closed and drained.
    # Steps W1 to W3, F1 and F2 of parking.pxd.
    cdef PyObject* job
    cdef bint closed
    cdef uint32_t jobs = 0
    core.idlers.searching.add(1)
    while True:
        closed = ring_is_closed(&core.ring)     # before the look: else the last job could slip in between
        job = <PyObject*>ring_take(&core.ring)
        if job != NULL:
            if core.idlers.searching.sub(1) == 1 and ring_ready(&core.ring):
                wake_one(&core.idlers)
            while job != NULL:
                run_taken(core, me, job)
                jobs += 1
                if interpreter_calls(me.thread) or jobs % SAFE_POINT_JOBS == 0:
                    call_quietly(safe_point)
                job = <PyObject*>ring_take(&core.ring)
            core.idlers.searching.add(1)
            continue
        if closed:
            if ring_is_drained(&core.ring):
                break
            relax()                             # a producer has claimed its position and is not done
            continue
        list_idle(&core.idlers, me)
        if (ring_ready(&core.ring) or ring_is_closed(&core.ring)) and unlist_idle(&core.idlers, me):
            continue
        tell_if_quiet(core)
        with nogil:
            me.parker.park(&me.patience if me.answered else NULL)
    core.idlers.searching.sub(1)
    tell_if_quiet(core)


cdef inline void work_as_spare(Core* core, Worker* me, object safe_point) noexcept:
    # Until the ring is empty.  Never a searcher, so no producer relies on it.
    cdef PyObject* job = <PyObject*>ring_take(&core.ring)
    while job != NULL:
        run_taken(core, me, job)
        call_quietly(safe_point)
        job = <PyObject*>ring_take(&core.ring)
    tell_if_quiet(core)


cdef inline void call_quietly(object function) noexcept:
    try:
        function()
    except BaseException:
        pass


cdef class StopFlag:
    cdef Core* core

cdef int hire(Core* core, object initializer, set threads, object name) except -1
cdef bint on_worker_of(Core* core) noexcept
cdef bint is_hiring_for(Core* core) noexcept
cdef bint may_run_here(Core* core) noexcept
cdef Worker* this_worker() noexcept
cdef resolve_queued(Core* core, broken_message)
cdef bint fail(FutureBase job, exception) except -1
