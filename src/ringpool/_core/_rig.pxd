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
    NOTHING_READY,
    PRODUCERS,
    QUIET,
    RAN,
    RUN_HERE,
    SHELF_SHUT,
    SHELF_TAKEN,
    STOP_ASKED,
    TAKEN,
    TURNED_AWAY,
    Act,
    Job,
    Seen,
    begins,
    drawn,
    ends,
    job_attempt,
    job_cancel,
    job_end_unstarted,
    job_meet,
    job_start,
    job_take_out_if_ended,
    make_known,
    meets,
    until_known,
)
from ringpool._core._rig_plan cimport Plan, Took, item_of, job_of
from ringpool._core.core cimport core_close, purge_begin, purge_end, purge_next, tell_if_quiet, unfinished
from ringpool._core.jobword cimport CANCELLED_AND_NOTIFIED
from ringpool._core.layout cimport Core, Entry, Patience, Waiter, Worker, now_ns, relax
from ringpool._core.parking cimport (
    gate_enter,
    gate_leave,
    gate_wake_all,
    gate_wake_one,
    list_idle,
    unlist_idle,
    wake_all,
)
from ringpool._core.ring cimport FULL, PUT, Put, ring_is_closed, ring_is_drained
from ringpool._core.seats cimport (
    NOBODY_YET,
    RESERVED,
    Hiring,
    leave_drained,
    leave_seat,
    may_idle_until,
    reserve_seat,
    take_seat,
)
from ringpool._core.shelf cimport (
    LATER,
    all_taken,
    allow_workers,
    has_drained,
    let_go_if_drained,
    queue_put,
    shelf_come_again,
    shelf_make_due,
    shelf_next_due,
    shelf_put_back,
    shelf_put_down,
    take_next,
    take_unstarted,
    tell_workers,
    work_ready,
)

cdef enum End:
    CLOSE, STOP_NOW, EXIT, CANCEL_ALL   # EXIT: as when the interpreter ends, nothing waits for a time any more

cdef enum:
    HOLD_NS = 1000
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
                _hire(core, plan)
            put = _put(core, item, _wish(core, job, number, plan), plan.deadline)
            if put == PUT:
                tell_workers(core)
                accepted += 1
            if plan.elastic:
                core.coming.sub(1)
                _hire_for_queued(core, plan)
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
    cdef bint in_time = True
    cdef Put put = _noted_put(core, item, wish)
    while put == FULL and in_time:
        gate_enter(&core.room, &waiter)
        put = _noted_put(core, item, wish)
        if put == FULL:
            in_time = waiter.parker.park_until(deadline, &patience)
        if put != FULL or not in_time:
            gate_leave(&core.room, &waiter)
    return put


cdef inline Put _noted_put(Core* core, uint64_t item, Entry* wish) noexcept nogil:
    cdef uint64_t begin = begins()
    cdef Put put = queue_put(core, <PyObject*>item, wish)
    ends(begin, put, item)
    return put


# ---- hiring ---------------------------------------------------------------------

cdef inline void _hire(Core* core, Plan* plan) noexcept nogil:
    # As hire.
    cdef Waiter waiter
    cdef Patience patience
    cdef Hiring hiring = reserve_seat(core, True, False)
    while hiring == NOBODY_YET:
        gate_enter(&core.hired, &waiter)
        if core.started.load() or not core.reserved.load():
            gate_leave(&core.hired, &waiter)
        else:
            waiter.parker.park(&patience)
        hiring = reserve_seat(core, True, False)
    if hiring == RESERVED:
        plan.vacancies.offer()


cdef inline void _hire_for_queued(Core* core, Plan* plan) noexcept nogil:
    # As the function of that name.
    cdef uint32_t before = core.reserved.load() + 1
    while before != core.reserved.load():
        before = core.reserved.load()
        if reserve_seat(core, False, False) == RESERVED:
            plan.vacancies.offer()


cdef inline void _resize(Core* core, Plan* plan, uint64_t what) noexcept nogil:
    cdef uint32_t workers = plan.least + drawn(plan.seed, 2 * what, plan.workers - plan.least + 1)
    allow_workers(core, 0, workers, 1 + drawn(plan.seed, 2 * what + 1, workers))
    wake_all(&core.idlers)
    _hire_for_queued(core, plan)


cdef inline void rig_work(Core* core, Worker* me, Plan* plan, Took* took) noexcept nogil:
    # As WorkerMain, of one worker after another.
    if not plan.elastic:
        rig_consume(core, me, plan, took)
        return
    while plan.vacancies.take():
        if take_seat(core) and not rig_consume(core, me, plan, took):
            core.gone.add(1)
            gate_wake_all(&core.quiet)
            return
        core.reserved.sub(1)
        if work_ready(core):
            _hire_for_queued(core, plan)
        gate_wake_all(&core.quiet)


# ---- workers -------------------------------------------------------------------

cdef inline uint64_t _noted_take(Core* core, Worker* me) noexcept nogil:
    cdef uint64_t begin = begins()
    cdef uint64_t item
    if core.ready and me.inbox.job != NULL:
        me.place = me.inbox
        me.inbox.job = NULL
        item = <uint64_t>me.place.job
    else:
        item = <uint64_t>take_next(core, &me.place)
        if me.place.job != NULL:
            ends(begin, SHELF_TAKEN, item)
    ends(begin, TAKEN if item else NOTHING_READY, item)
    return item


cdef inline void _run(Core* core, Worker* me, uint64_t item, Plan* plan, Took* took) noexcept nogil:
    # As run_taken and run_planned.
    cdef uint64_t begin = begins()
    cdef uint64_t number = (item - 1) // PRODUCERS
    cdef uint64_t producer = (item - 1) % PRODUCERS
    cdef Job* job = job_of(plan, item)
    cdef Entry place = me.place
    cdef bint from_shelf = place.job != NULL
    cdef int64_t delay = -1
    me.place.job = NULL
    if place.judged:
        if job.held < job.holds:
            job.held += 1
            if shelf_put_back(core, &place, HOLD_NS):
                job_take_out_if_ended(job, core, item)
                return
        core.shelf.judging.sub(1)
    if from_shelf and core.stop_asked.load():
        job_end_unstarted(job, item, CANCELLED_AND_NOTIFIED)
    gate_wake_one(&core.room)
    if not job_start(job, item, begin):
        core.unrun.tombstones.sub(1)
    else:
        begin = begins()
        if plan.meeting:
            meets(plan.started, plan.meeting, plan.n * plan.producers)
        delay = job_attempt(job, core, me, item)
        ends(begin, RAN, item)
    if delay >= 0:
        shelf_put_down(core, &place, True)
        if not shelf_come_again(core, &place, delay, &job.word):
            _resolve(core, job, item)
        else:
            job_take_out_if_ended(job, core, item)
        return
    if number < took.next_of[producer]:
        took.broken += 1
    took.next_of[producer] = number + 1
    took.n += 1
    took.total += number
    if from_shelf:
        shelf_put_down(core, &place, False)
    me.taken.bump()


cdef inline void _resolve(Core* core, Job* job, uint64_t item) noexcept nogil:
    # As resolve().
    job_end_unstarted(job, item, CANCELLED_AND_NOTIFIED)
    core.unrun.tombstones.sub(1)
    core.removed.add(1)
    gate_wake_one(&core.room)


cdef inline bint rig_consume(Core* core, Worker* me, Plan* plan, Took* took) noexcept nogil:
    # As work() in worker.pxd: until closed and drained, or, True, it has left before.
    cdef uint64_t item
    cdef bint closed, left = False
    core.idlers.searching.add(1)
    while True:
        closed = ring_is_closed(&core.ring)
        item = _noted_take(core, me)
        if item:
            if core.idlers.searching.sub(1) == 1 and work_ready(core):
                tell_workers(core)
            while item:
                _run(core, me, item, plan, took)
                if core.elastic.relaxed() and leave_seat(core, core.max_workers.load()):
                    left = True
                    break
                item = _noted_take(core, me)
            core.idlers.searching.add(1)
            if left:
                break
            continue
        if closed:
            if all_taken(core) and leave_drained(core):
                wake_all(&core.idlers)
                break
            if not ring_is_drained(&core.ring):
                relax()
                continue
        list_idle(&core.idlers, me)
        if _has_something_to_do(core) and unlist_idle(&core.idlers, me):
            continue
        if plan.told:
            tell_if_quiet(core)
        if _park_idle(core, me):
            continue
        if leave_seat(core, core.max_workers.load()) or leave_seat(core, core.min_workers.load()):
            left = not work_ready(core) or not take_seat(core)
            if left:
                break
    if left:
        let_go_if_drained(core)
    if core.idlers.searching.sub(1) == 1 and work_ready(core):
        tell_workers(core)
    if plan.told:
        tell_if_quiet(core)
    return left


cdef inline bint _park_idle(Core* core, Worker* me) noexcept nogil:
    # As park_idle.
    if me.parker.park_until(may_idle_until(core), &me.patience):
        return True
    if unlist_idle(&core.idlers, me):
        return False
    me.parker.park(&me.patience)
    return True


cdef inline bint _has_something_to_do(Core* core) noexcept nogil:
    return work_ready(core) or has_drained(core)


# ---- others ----------------------------------------------------------------------

cdef inline void rig_keep_time(Core* core, Plan* plan) noexcept nogil:
    # As _keep() of the timekeeper.
    cdef bint closed
    cdef int64_t due
    cdef Patience patience
    while True:
        closed = ring_is_closed(&core.ring)
        shelf_make_due(core, now_ns())
        if core.elastic.load() and work_ready(core):
            _hire_for_queued(core, plan)
        due = shelf_next_due(core)
        if closed and unfinished(core) == 0:
            break
        core.clock.parker.park_until(due, &patience)
    plan.vacancies.hires_no_more()


cdef inline void rig_meddle(Core* core, Worker* me, uint64_t number, Plan* plan, vector[Seen]* seen) noexcept nogil:
    # Does something with each job in turn.  Runs none where somebody waits for the end: a worker that does
    # so stands in another job, which has not ended.
    cdef uint64_t i, item
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
        _resolve(core, job_of(plan, item), item)
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
