# A queue of numbers with its producers, workers, timekeeper and end, as the engine has
# them and without an interpreter: what _stress.pyx runs on threads and _scheduled.pyx
# on schedules that a seed chooses.  A job is number * PRODUCERS + producer + 1 in
# place of a pointer; what else it is stands in _rig_jobs.pxd, and so does what
# meddlers, threads that the queue knows nothing of, do with it.

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from ringpool._core._rig_jobs cimport (
    ACCEPTED,
    PRODUCERS,
    QUIET,
    RUN_HERE,
    SHELF_SHUT,
    STOP_ASKED,
    TAKEN,
    TURNED_AWAY,
    Act,
    Job,
    Seen,
    begins,
    drawn,
    ends,
    job_cancel,
    job_meet,
    make_known,
    until_known,
)
from ringpool._core._rig_plan cimport Plan, item_of, job_of
from ringpool._core._rig_work cimport rig_hire, rig_hire_for_queued, rig_make_up, rig_resolve
from ringpool._core.core cimport core_close, purge_begin, purge_end, purge_next, unfinished
from ringpool._core.layout cimport SOON_NS, Core, Entry, Patience, Waiter, Worker, now_ns
from ringpool._core.parking cimport gate_enter, gate_leave, gate_wake_all, wake_all
from ringpool._core.ring cimport FULL, PUT, Put, ring_is_closed
from ringpool._core.room cimport room_enter, room_give_up_turn, room_leave, room_pass_on
from ringpool._core.shelf cimport (
    LATER,
    allow_workers,
    queue_put,
    shelf_make_due,
    shelf_next_due,
    take_unstarted,
    tell_workers,
    work_ready,
)

cdef enum End:
    CLOSE, STOP_NOW, EXIT, CANCEL_ALL   # EXIT: as when the interpreter ends, nothing waits for a time any more

cdef enum:
    RESIZES = 1 << 24       # of what is drawn


# ---- producers -----------------------------------------------------------------

cdef inline uint64_t rig_produce(Core* core, uint64_t producer, Plan* plan) noexcept nogil:
    # How many were accepted before the queue closed.
    cdef uint64_t number, item, accepted = 0
    cdef Job* job
    cdef Put put = PUT
    for number in range(plan.n):
        item = number * PRODUCERS + producer + 1
        job = job_of(plan, item)
        if put == PUT or put == FULL:
            if plan.elastic:
                core.coming.add(1)              # as enter_and_hire
                if not rig_hire(core, plan):
                    core.coming.sub(1)
                    make_known(job, TURNED_AWAY)
                    continue
            put = _put(core, item, _wish(core, job, number, plan), plan.deadline)
            if put == PUT:
                tell_workers(core)
                accepted += 1
            if plan.elastic:
                core.coming.sub(1)
                rig_hire_for_queued(core, plan)
        make_known(job, ACCEPTED if put == PUT else TURNED_AWAY)
    plan.vacancies.hires_no_more()
    return accepted


cdef inline Entry* _wish(Core* core, Job* job, uint64_t number, Plan* plan) noexcept nogil:
    cdef Entry* wish = &job.extension.wish
    if not job.planned:
        return NULL
    wish.keyed = plan.keys != 0
    if wish.keyed:
        wish.key = number % plan.keys
        wish.prefers = <int32_t>wish.key
    wish.judged = job.holds != 0
    if job.delay and not job.again:
        wish.due = now_ns() + job.delay
    core.planned.store(1)
    return wish


cdef inline Put _put(Core* core, uint64_t item, Entry* wish, int64_t deadline) noexcept nogil:
    cdef Waiter waiter
    cdef Patience patience          # not the thread's: the sanitizer does not see who frees that
    cdef bint woken = False, in_time = True
    cdef Put put = _noted_put(core, item, wish)
    if put != FULL:
        return put
    while put == FULL and in_time:
        if room_enter(core, &waiter, woken) or ring_is_closed(&core.ring):
            put = _noted_put(core, item, wish)
        if put == FULL:
            woken = waiter.parker.park_until(deadline, &patience) or room_leave(core, &waiter)
            in_time = woken
    if put != FULL and room_leave(core, &waiter):
        room_give_up_turn(core)
    room_pass_on(core)
    return put


cdef inline Put _noted_put(Core* core, uint64_t item, Entry* wish) noexcept nogil:
    cdef uint64_t begin = begins()
    cdef Put put = queue_put(core, <PyObject*>item, wish)
    ends(begin, put, item)
    return put


# ---- others ----------------------------------------------------------------------

cdef inline void rig_keep_time(Core* core, Plan* plan) noexcept nogil:
    # As _keep() of the timekeeper.
    cdef bint closed, made_up
    cdef int64_t due
    cdef Patience patience
    while True:
        closed = ring_is_closed(&core.ring)
        shelf_make_due(core, now_ns())
        if core.elastic.load() and work_ready(core):
            rig_hire_for_queued(core, plan)
        made_up = not plan.waits or rig_make_up(core, plan)
        due = shelf_next_due(core) if made_up else now_ns() + SOON_NS
        if closed and unfinished(core) == 0:
            break
        core.clock.parker.park_until(due, &patience)
    plan.vacancies.hires_no_more()
    plan.spare_vacancies.hires_no_more()


cdef inline void _resize(Core* core, Plan* plan, uint64_t what) noexcept nogil:
    cdef uint32_t workers = plan.least + drawn(plan.seed, 2 * what, plan.workers - plan.least + 1)
    allow_workers(core, 0, workers, 1 + drawn(plan.seed, 2 * what + 1, workers))
    wake_all(&core.idlers)
    rig_hire_for_queued(core, plan)


cdef inline void rig_meddle(Core* core, Worker* me, uint64_t number, Plan* plan, vector[Seen]* seen) noexcept nogil:
    # Does something with each job in turn.  Runs none where somebody waits for the end: a worker that does
    # so stands in another job, which has not ended.
    cdef uint64_t i
    cdef Job* job
    cdef Act act
    for i in range(plan.n * plan.producers):
        job = &plan.job[i]
        if plan.elastic and drawn(plan.seed, RESIZES + (i + 1) * 64 + number, 3) == 0:
            _resize(core, plan, 2 * RESIZES + (i + 1) * 64 + number)
        act = <Act>drawn(plan.seed, (i + 1) * 64 + number, plan.acts)
        if until_known(job) == ACCEPTED and not (act == RUN_HERE and plan.told):
            job_meet(job, core, me, item_of(plan, i), act, number, seen)
    plan.vacancies.hires_no_more()


cdef inline void rig_close(Core* core, End how, Plan* plan) noexcept nogil:
    # As stop(), stop_now(), the exit of the interpreter, or cancel() of each job; and as wait().
    cdef uint64_t item, begin
    core_close(core)
    begin = begins()
    if how == STOP_NOW:
        core.stop_asked.store(1)
        ends(begin, STOP_ASKED, 0)
        gate_wake_all(&core.sleepers)
        begin = begins()
        purge_begin(core)
        ends(begin, SHELF_SHUT, 0)
        item = _take_to_resolve(core, how)
    elif how == EXIT:
        core.hurried.store(1)
        item = _take_to_resolve(core, how)
    else:
        item = 0
        if how == CANCEL_ALL:
            _cancel_all(core, plan)
    while item:
        rig_resolve(core, job_of(plan, item), item)
        item = _take_to_resolve(core, how)
    if how == STOP_NOW or how == EXIT:
        purge_end(core)
    if plan.told:
        _wait_until_quiet(core)
    plan.vacancies.hires_no_more()


cdef inline void _cancel_all(Core* core, Plan* plan) noexcept nogil:
    cdef uint64_t i
    for i in range(plan.n * plan.producers):
        if until_known(&plan.job[i]) == ACCEPTED:
            job_cancel(&plan.job[i], item_of(plan, i))


cdef inline void _wait_until_quiet(Core* core) noexcept nogil:
    # As the pool's method of that name.
    cdef Waiter waiter
    cdef Patience patience
    while unfinished(core):
        gate_enter(&core.quiet, &waiter)
        if unfinished(core) == 0:
            gate_leave(&core.quiet, &waiter)
            break
        waiter.parker.park(&patience)
    ends(begins(), QUIET, 0)


cdef inline uint64_t _take_to_resolve(Core* core, End how) noexcept nogil:
    cdef uint64_t begin = begins()
    cdef uint64_t item = <uint64_t>(purge_next(core) if how == STOP_NOW else take_unstarted(core, LATER))
    if item:
        ends(begin, TAKEN, item)
    return item
