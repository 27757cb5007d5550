# The worker's half of a job's way: take, run, settle, deliver; and sleep.
#
# Everything here runs attached.  The thread detaches in one place only, to
# sleep; the GIL is never given up between two jobs except to a thread that asks
# for it at a safe point.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from ringpool._core.core cimport deliver, tell_if_quiet
from ringpool._core.future cimport FutureBase, future_run_callbacks, future_start
from ringpool._core.layout cimport Core, Here, Worker, now_ns, relax
from ringpool._core.parking cimport gate_wake_all, list_idle, unlist_idle, wake_all
from ringpool._core.python cimport Py_DECREF, interpreter_calls
from ringpool._core.planned cimport run_planned
from ringpool._core.ring cimport ring_is_closed, ring_is_drained
from ringpool._core.room cimport room_made
from ringpool._core.run cimport run_started
from ringpool._core.seats cimport leave_drained, leave_seat, may_idle_until, take_seat
from ringpool._core.shelf cimport all_taken, has_drained, let_go_if_drained, take_next, tell_workers, work_ready

cdef enum:
    SAFE_POINT_JOBS = 64        # jobs between two safe points where the interpreter's wish cannot be seen


cdef inline void run_taken(Core* core, Worker* me, PyObject* job) noexcept:
    # A job fresh from the queue, whose reference the caller owns.
    if core.planned.relaxed() and me.place.job != NULL:
        run_planned(core, me, job)
        return
    room_made(core)
    if not future_start(<FutureBase>job):
        core.unrun.tombstones.sub(1)
        deliver(core, job)
    else:
        if run_started(core, me, <FutureBase>job, True):
            future_run_callbacks(<FutureBase>job)
        Py_DECREF(job)
    me.taken.bump()


cdef inline PyObject* take(Core* core, Worker* me) noexcept:
    if not core.ready or me.inbox.job == NULL:
        return take_next(core, &me.place)
    me.place = me.inbox
    me.inbox.job = NULL
    return me.place.job


cdef inline bint work(Core* core, Worker* me, object safe_point) noexcept:
    # From the first look at the queue until it is closed and drained; True: left
    # before that, its seat given up.  Steps W1 to W3, F1 and F2 of parking.pxd.
    cdef PyObject* job
    cdef bint closed, left = False
    cdef uint32_t jobs = 0
    core.idlers.searching.add(1)
    while True:
        closed = ring_is_closed(&core.ring)     # before the look: else the last job could slip in between
        job = take(core, me)
        if job != NULL:
            if core.idlers.searching.sub(1) == 1 and work_ready(core):
                tell_workers(core)
                me.holds = job                  # while Python code runs, which may fork
                make_up_meanwhile()             # those who made nobody, since we were looking, saw no more than this job
                me.holds = NULL
            while job != NULL:
                run_taken(core, me, job)
                jobs += 1
                if interpreter_calls(me.thread) or jobs % SAFE_POINT_JOBS == 0:
                    call_quietly(safe_point)
                if core.elastic.relaxed() and leave_seat(core, core.max_workers.load()):
                    left = True
                    break
                job = take(core, me)
            core.idlers.searching.add(1)
            if left:
                break
            continue
        if closed:
            if all_taken(core) and leave_drained(core):
                wake_all(&core.idlers)          # who waited for a key or a time: nothing comes any more
                break
            if not ring_is_drained(&core.ring):
                relax()                         # a producer has claimed its position and is not done
                continue
        list_idle(&core.idlers, me)
        if has_something_to_do(core) and unlist_idle(&core.idlers, me):
            continue
        if core.planned.relaxed() and core.shelf.waiting.load():
            make_up_before_sleep()              # once listed, so that who begins to wait sees us, or we see him
        tell_if_quiet(core)
        if park_idle(core, me):
            continue
        if leave_seat(core, core.max_workers.load()) or leave_seat(core, core.min_workers.load()):
            left = not work_ready(core) or not take_seat(core)
            if left:
                break
    if left:
        let_go_if_drained(core)                 # it had the last job, for which somebody has stayed
    # The last to look passes on what came meanwhile.
    if core.idlers.searching.sub(1) == 1 and work_ready(core):
        tell_workers(core)
    tell_if_quiet(core)
    return left


cdef inline bint has_something_to_do(Core* core) noexcept:
    return work_ready(core) or has_drained(core)


cdef inline bint park_idle(Core* core, Worker* me) noexcept:
    # True: woken, and counted as searching.  False: idle for too long, likewise counted.
    cdef int64_t until = may_idle_until(core)
    cdef int64_t woke
    cdef bint woken
    me.asleep.set(now_ns())
    with nogil:
        woken = me.parker.park_until(until, &me.patience if me.answered else NULL)
        woke = now_ns()                         # until it has the GIL again, others may put more
    me.slept_ns.set(me.slept_ns.relaxed() + woke - me.asleep.relaxed())
    me.fresh.set(woke)                          # while a worker sleeps, what is put wakes it
    me.asleep.set(0)
    me.spins.release(me.patience.looks)
    me.spin_hits.release(me.patience.hits)
    if woken:
        return True
    if unlist_idle(&core.idlers, me):
        return False
    with nogil:
        me.parker.park(NULL)                    # somebody was faster: the token is coming
    return True


cdef inline void work_as_spare(Core* core, Worker* me, object safe_point) noexcept:
    # Until the queue is empty.  Never a searcher, so no producer relies on it.
    cdef PyObject* job = take_next(core, &me.place)
    while job != NULL:
        run_taken(core, me, job)
        call_quietly(safe_point)
        job = take_next(core, &me.place)
    tell_if_quiet(core)


cdef inline void call_quietly(object function) noexcept:
    try:
        function()
    except BaseException:
        pass


cdef int hire(Core* core, object initializer, object finalizer, set threads, object name) except -1
cdef hire_for_queued(Core* core, initializer, finalizer, set threads, name)
cdef bint hire_spare(FutureBase job) except -1
cdef int wait_for_others() except -1
cdef tell_of_no_spare()
cdef bint make_up_for_waits(Core* core, initializer, finalizer, set threads, prefix) noexcept
cdef void make_up_before_sleep() noexcept
cdef void make_up_meanwhile() noexcept
