# A started job: call it, settle it, deliver it.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from ringpool._core.core cimport deliver
from ringpool._core.future cimport (
    FutureBase,
    extension_of,
    future_arguments,
    future_drop_call,
    future_put_back,
    future_settle_loudly,
    future_settle_quietly,
)
from ringpool._core.layout cimport Core, Extension, Worker, coarse_now_ns, now_ns
from ringpool._core.python cimport (
    Py_DECREF,
    Py_INCREF,
    PyErr_Clear,
    Py_XDECREF,
    PyContext_Enter,
    PyContext_Exit,
    PyContext_New,
    PyLong_AsLongLong,
    PyTuple_GET_SIZE,
    call,
    context_is_empty,
    context_of,
    current_thread_state,
    give,
    take_exception,
)


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
    cdef Extension* extension
    cdef int64_t timed = 0
    if job.call[0] != NULL:
        positional -= PyTuple_GET_SIZE(job.call[0])
    me.started.bump()
    if core.watched:
        me.began.set(coarse_now_ns())
        extension = extension_of(job)
        if extension != NULL and extension.sampled:
            timed = now_ns()
            me.waits.note(timed - extension.wish.since)
            if delivers and extension.wish.since > me.fresh.relaxed():
                me.fresh.set(extension.wish.since)      # it came out of the queue in its turn
    me.current.release(<PyObject*>job)
    if context != NULL and PyContext_Enter(context) != 0:
        outcome = NULL
    else:
        outcome = call(me.thread, job.fn, future_arguments(job), positional, job.call[0])
    if timed:
        me.runs.note(now_ns() - timed)
    if outcome == NULL:
        failed = core.failed_flags
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
    if core.planned.relaxed() and outcome.ob_type == core.again_type:
        me.delay = PyLong_AsLongLong(outcome)
        Py_DECREF(outcome)
        if future_put_back(job, &me.again):
            return False
        me.delay = -1               # somebody settled it by hand
        outcome = <PyObject*>None
        Py_INCREF(outcome)
    if failed:
        me.failed.bump()
    else:
        me.succeeded.bump()
    if delivers and core.keep.relaxed():
        me.holds = <PyObject*>job       # what it lets go of may run Python code, which may fork
        # Before anybody can see the result: who has seen it and then lets
        # another job go gets them from results() in that order.
        give(<PyObject*>job)
        deliver(core, <PyObject*>job)
        me.holds = NULL
    watched = not future_settle_quietly(job, outcome, failed)
    me.answered = watched
    if watched:
        me.holds = <PyObject*>job
        future_settle_loudly(job, outcome, failed)
        me.holds = NULL
    future_drop_call(job)
    return watched


cdef inline bint enter_fresh_context() noexcept:
    # False: no memory for one.
    cdef PyObject* own = PyContext_New()
    if own == NULL or PyContext_Enter(own) != 0:
        PyErr_Clear()
    else:
        Py_DECREF(own)
        return True
    Py_XDECREF(own)
    return False


cdef inline void leave_context() noexcept:
    cdef PyObject* own = context_of(current_thread_state())
    if own != NULL:
        Py_INCREF(own)              # the thread's is the only reference, and Exit still looks at it
        if PyContext_Exit(own) != 0:
            PyErr_Clear()           # the thread's first one, which nobody has entered: there was no memory for another
        Py_DECREF(own)


cdef inline void fresh_context() noexcept:
    leave_context()
    enter_fresh_context()


cdef inline bint run_in_fresh_context(Core* core, Worker* me, FutureBase job) noexcept:
    # As run_started, on a thread that is in the middle of something else.
    cdef bint entered = core.copies_context and enter_fresh_context()
    cdef bint watched = run_started(core, me, job, False)
    if entered:
        leave_context()
    return watched
