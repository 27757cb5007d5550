"""A wait inside of a job for another job of the same pool: run in place, made up for, or refused."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.future cimport (
    PENDING,
    PHASE,
    FutureBase,
    extension_of,
    future_lock,
    future_run_callbacks,
    future_start,
    future_unlock,
    is_planned,
)
from ringpool._core.layout cimport Core, Held, Here, Worker, roster_put, roster_retire
from ringpool._core.python cimport Py_DECREF, Py_XINCREF, current_thread_state
from ringpool._core.run cimport run_in_fresh_context
from ringpool._core.worker cimport calling_thread, hire_spare, may_run_here, seat_of_this_thread, works_for

from ringpool._core.future import set_worker_hooks

cdef extern from "Python.h":
    int Py_EnterRecursiveCall(const char*) except -1
    void Py_LeaveRecursiveCall() noexcept


def before_wait(FutureBase job, bint forever):
    """
    Called by a thread before it waits for a job, *forever* or for a time: runs
    that job in place where the wait could not end, unless somebody else has
    started it, or sees to it that a worker is left for it; true: who waits is to
    say when that is over. Raises DeadlockError where nobody could start it.

    That is on a worker of the same pool, and in a signal handler that stands on
    top of a submit which is starting the pool's first worker.
    """
    cdef Here* here = calling_thread()
    cdef Core* core = here.core if here.core != NULL else here.hiring
    cdef Worker* me = here.worker
    if core == NULL or job.unrun != &core.unrun or not may_run_here(core):
        return False
    if is_planned(job):
        # Its key, its lane and its back-off are the shelf's business.
        if forever and _has_key_of(me, job):
            _refuse_to_wait(job, False)
        if not works_for(core):
            return False
        try:
            if forever and not _begin_wait(core, me, job):
                _refuse_to_wait(job, True)
            hire_spare(job)
        except BaseException:
            after_wait()
            raise
        return True
    Py_EnterRecursiveCall(" while a job waits for a job")
    try:
        if me == NULL:
            me = new Worker()
            if not roster_put(core, me):
                del me
                raise MemoryError
            me.thread = current_thread_state()
        if future_start(job):
            core.unrun.tombstones.add(1)
            if run_in_fresh_context(core, me, job):
                future_run_callbacks(job)
        if here.worker == NULL:
            roster_retire(core, me)
    finally:
        Py_LeaveRecursiveCall()
    return False


cdef bint _has_key_of(Worker* me, FutureBase job) noexcept:
    # Does a job that stands on this worker's stack hold the key behind which `job`
    # waits?
    cdef Held* held = me.held if me != NULL and extension_of(job).wish.keyed else NULL
    while held != NULL:
        if held.place.keyed and held.place.key == extension_of(job).wish.key:
            return True
        held = held.outer
    return False


cdef bint _begin_wait(Core* core, Worker* me, FutureBase job) noexcept:
    # A wait without limit.  False: it would not end, since its lane is full of jobs
    # that wait for jobs of that lane.  What they wait for is seen to be pending under
    # the lock under which they say that they wait no more.
    cdef uint32_t still = 0
    cdef uint32_t most
    cdef Held* held = me.held
    cdef size_t i
    core.roster_lock.lock()
    me.waits_for = <PyObject*>job
    me.waits_lane = extension_of(job).wish.lane
    me.waits_places = 0
    while held != NULL:
        me.waits_places += held.place.lane == me.waits_lane
        held = held.outer
    most = core.shelf.lanes[me.waits_lane].most
    for i in range(core.roster.size()):
        if core.roster[i].waits_for != NULL and core.roster[i].waits_lane == me.waits_lane:
            if (<FutureBase>core.roster[i].waits_for).state.load() & PHASE == PENDING:
                still += core.roster[i].waits_places
    core.roster_lock.unlock()
    return still < most


def after_wait():
    """Called by a worker after a wait for which before_wait returned true."""
    cdef Core* core = calling_thread().core
    core.roster_lock.lock()
    calling_thread().worker.waits_for = NULL
    seat_of_this_thread().waits_in = NULL
    core.roster_lock.unlock()


cdef _refuse_to_wait(FutureBase job, bint full):
    # Its plan says so, and how.
    cdef uint32_t state = future_lock(job)
    cdef PyObject* plan = job.fn if state & PHASE == PENDING else NULL
    Py_XINCREF(plan)
    future_unlock(job, state)
    if plan == NULL:
        return
    waited_for = <object>plan
    Py_DECREF(plan)
    waited_for.refuse_wait(full)


def before_a_foreign_wait(FutureBase job):
    """Called by a thread before it waits for a job in the standard library's way."""
    hire_spare(job)


set_worker_hooks(before_wait, after_wait, before_a_foreign_wait)
