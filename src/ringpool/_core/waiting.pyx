"""A wait inside of a job: for a job of the same pool run in place or made up for, and refused if it could never end."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.deadlock cimport (
    CYCLE,
    LANE_IS_FULL,
    MAY_END,
    Verdict,
    begin_wait,
    end_wait,
    look_for_workers,
)
from ringpool._core.future cimport (
    FutureBase,
    extension_of,
    future_lock,
    future_run_callbacks,
    future_start,
    future_unlock,
    is_planned,
)
from ringpool._core.here cimport (
    calling_thread,
    keeps_time_of,
    may_run_here,
    run_on_top,
    run_planned_on_top,
    seat_of_this_thread,
    works_for,
)
from ringpool._core.jobword cimport CANCELLED, PENDING, PHASE, RUNNING
from ringpool._core.layout cimport Core, Here, Objects, Standing, Worker, now_ns, object_put, roster_put, roster_retire
from ringpool._core.python cimport Py_DECREF, Py_XDECREF, Py_XINCREF, current_thread_state
from ringpool._core.shelf cimport take_nested
from ringpool._core.spares cimport end_to_wait
from ringpool._core.worker cimport hire_spare, tell_of_no_spare, wait_for_others

from ringpool._core.future import set_worker_hooks

cdef extern from "Python.h":
    int Py_EnterRecursiveCall(const char*) except -1
    void Py_LeaveRecursiveCall() noexcept

cdef enum:
    DEEPEST = 32        # jobs with a plan that run in place of each other: then a spare goes on, with a stack of its own

cdef object refusal = None


def refuse_waits_with(function):
    """
    *function* makes the error of a wait that could never end: of "cycle", "lane", "workers" or "clock" and a list.

    Of a cycle it is who waits for the next, to one that was there before. Behind
    a None stands who holds the key of the one before it, behind two who holds a
    place in its lane. Else it is who waits, and for what. Each is the function of
    a job, or says what it is.
    """
    global refusal
    refusal = function


def before_wait(FutureBase job, bint forever, list among=None):
    """
    Called by a thread before it waits for a job, *forever* or for a time: runs
    that job in place where the wait could not end, unless somebody else has
    started it, or sees to it that a worker is left for it; true: who waits is to
    say when that is over. Raises DeadlockError where that could never be.
    *among*: any of these would end the wait, and the caller keeps the list; of an
    empty one, of too many to say which. One of several is run in place only where
    nobody else could, since meanwhile the end of another would not be heard of.

    To run it is for a worker of the same pool, and for a signal handler that
    stands on top of a submit which is starting the pool's first worker.
    """
    cdef Here* here = calling_thread()
    cdef Core* core = here.core if here.core != NULL else here.hiring
    cdef bint works
    cdef bint several
    cdef bint alone
    cdef Verdict verdict = MAY_END
    cdef Objects others
    cdef Objects path
    if core == NULL:
        return False
    if forever and among is None and keeps_time_of(core) and _is_to_come(core, job):
        raise refusal("clock", [_function_of(job)])
    works = works_for(core)
    several = among is not None and (not among or _are_several(job, among, others))
    if not several and _run_here(core, here, job, works, forever):
        return False
    if here.worker == NULL or not (forever or works):
        return False
    forever = forever and not (several and others.size() == 0)
    try:
        if forever:
            verdict = begin_wait(core, here, job, others, works, &path)
        alone = verdict == MAY_END and works and not hire_spare(job)
        if alone and several:
            end_wait(here)
            if _run_one_here(core, here, job, others, works, forever):
                after_wait()
                return False
            if forever:
                verdict = begin_wait(core, here, job, others, works, &path)
            # Of what ran here and is to be tried again, a wait may have ended this one, for who counts those that wait.
            alone = verdict == MAY_END and not hire_spare(job)
        if alone and forever:
            verdict = look_for_workers(core, here, &path)
        if alone and verdict == MAY_END and _is_pending(job):
            tell_of_no_spare()
        if verdict != MAY_END:
            if several and _run_one_here(core, here, job, others, works, forever):
                _let_go(path)
                after_wait()
                return False
            _refuse(verdict, path)
    except BaseException:
        after_wait()
        raise
    return True


cdef bint _are_several(FutureBase job, list among, Objects& others) except -1:
    # Puts those beside the job into others: also one that has ended, of which who waits is about to hear.
    cdef FutureBase other
    for other in among:
        if other is not job and not object_put(&others, <PyObject*>other):
            raise MemoryError
    return others.size() > 0


cdef bint _run_here(Core* core, Here* here, FutureBase job, bint works, bint forever) except -1:
    if job.unrun != &core.unrun or not may_run_here(core) or not _is_pending(job):
        return False
    if not is_planned(job):
        return _run_in_place(core, here, job)
    return works and forever and _run_planned_in_place(core, here, job)


cdef bint _run_one_here(
    Core* core, Here* here, FutureBase job, Objects& others, bint works, bint forever
) except -1:
    cdef size_t i
    if _run_here(core, here, job, works, forever):
        return True
    for i in range(others.size()):
        if _run_here(core, here, <FutureBase>others[i], works, forever):
            return True
    return False


cdef bint _is_to_come(Core* core, FutureBase job) noexcept:
    # Only the timekeeper makes it due.
    return job.unrun == &core.unrun and _is_pending(job) and is_planned(job) and (
        extension_of(job).wish.due > now_ns()
    )


cdef bint _is_pending(FutureBase job) noexcept:
    return job.state.load() & PHASE == PENDING


cdef bint _run_in_place(Core* core, Here* here, FutureBase job) except -1:
    # False: somebody else has started it.
    cdef Worker* me = here.worker
    cdef bint started
    Py_EnterRecursiveCall(" while a job waits for a job")
    try:
        if me == NULL:
            me = new Worker()
            if not roster_put(core, me):
                del me
                raise MemoryError
            me.thread = current_thread_state()
        started = future_start(job)
        if started:
            core.unrun.tombstones.add(1)
            if run_on_top(core, me, job):
                future_run_callbacks(job)
        if here.worker == NULL:
            roster_retire(core, me)
    finally:
        Py_LeaveRecursiveCall()
    return started


cdef bint _run_planned_in_place(Core* core, Here* here, FutureBase job) except -1:
    # False: it may not start yet, somebody else has started it, it is to be tried again, or its time limit is to end
    # this wait too.
    cdef uint32_t depth = 0
    cdef const Standing* place = here.standing
    while place != NULL:
        depth += 1
        place = place.outer
    if extension_of(job).limited or depth >= DEEPEST:
        return False
    Py_EnterRecursiveCall(" while a job waits for a job")
    try:
        while take_nested(core, <PyObject*>job, &extension_of(job).wish, &here.worker.place):
            run_planned_on_top(core, here.worker, <PyObject*>job)
    finally:
        Py_LeaveRecursiveCall()
    return job.state.load() & PHASE >= CANCELLED


cdef int _refuse(Verdict verdict, Objects& path) except -1:
    # Takes over the references in path.
    functions = [None if path[i] == NULL else _function_of(<FutureBase>path[i]) for i in range(path.size())]
    _let_go(path)
    if verdict == CYCLE:
        raise refusal("cycle", functions)
    raise refusal("lane" if verdict == LANE_IS_FULL else "workers", functions)


cdef void _let_go(Objects& path) noexcept:
    cdef size_t i
    for i in range(path.size()):
        Py_XDECREF(path[i])
    path.clear()


cdef object _function_of(FutureBase job):
    # What it calls, its plan if it has one; of a job that has ended, itself.
    cdef uint32_t state
    if extension_of(job) != NULL and extension_of(job).served_by != NULL:
        return "an item of a batch"
    state = future_lock(job)
    cdef PyObject* function = job.fn if state & PHASE <= RUNNING else NULL
    Py_XINCREF(function)
    future_unlock(job, state)
    if function == NULL:
        return job
    found = <object>function
    Py_DECREF(function)
    return found


def before_item_wait():
    """Called by a thread before it waits for an item of a map that somebody else runs; true: as before_wait."""
    cdef Core* core = calling_thread().core
    if core == NULL or not works_for(core):
        return False
    try:
        wait_for_others()
    except BaseException:
        after_wait()
        raise
    return True


def after_wait():
    """Called by a thread after a wait for which before_wait returned true."""
    cdef Here* here = calling_thread()
    end_wait(here)
    if works_for(here.core):
        end_to_wait(here.core, seat_of_this_thread())


def before_a_foreign_wait(FutureBase job):
    """
    Called by a thread before it waits for a job in the standard library's way, each time that it asks for what that
    takes: also when it gives back the job's condition, so a thread that cannot be started is no error here.
    """
    cdef bint hired = False
    try:
        hired = hire_spare(job)
    except Exception:
        pass
    if not hired:
        tell_of_no_spare()


set_worker_hooks(before_wait, after_wait, before_a_foreign_wait)
