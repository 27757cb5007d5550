# The rig's workers, and the spares that make up for those that wait: how they are hired,
# what they run, when they leave; as worker.pyx and worker.pxd have it.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringpool._core._rig_jobs cimport (
    ACCEPTED,
    NOTHING_READY,
    PRODUCERS,
    RAN,
    SHELF_TAKEN,
    TAKEN,
    Job,
    begins,
    drawn,
    ends,
    job_attempt,
    job_end_unstarted,
    job_start,
    job_take_out_if_ended,
    job_wait,
    meets,
)
from ringpool._core._rig_plan cimport Plan, Took, index_of, item_of, job_of
from ringpool._core.core cimport tell_if_quiet
from ringpool._core.jobword cimport CANCELLED_AND_NOTIFIED, has_ended
from ringpool._core.layout cimport FOREVER, Core, Entry, Patience, Waiter, Word, Worker, relax
from ringpool._core.parking cimport (
    gate_enter,
    gate_leave,
    gate_wake_all,
    list_idle,
    unlist_idle,
    wake_all,
)
from ringpool._core.ring cimport ring_is_closed, ring_is_drained
from ringpool._core.room cimport room_made
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
    all_taken,
    allow_workers,
    has_drained,
    let_go_if_drained,
    shelf_come_again,
    shelf_put_back,
    shelf_put_down,
    take_nested,
    take_next,
    tell_workers,
    work_ready,
)
from ringpool._core.spares cimport (
    FOR_ALL,
    ITS_OWN,
    NO_MORE,
    Relief,
    end_to_wait,
    give_up_spares,
    most_spares,
    relieve,
    reserve_spares,
    spare_may_leave,
)

cdef enum Wait:             # of a job for another
    FOR_LONG                # our own, without a limit: the other one is run in place, if it may
    IN_TIME                 # with one
    FOREIGN                 # the standard library's, which does not tell of its end

cdef enum:
    HOLD_NS = 1000
    WAITS = 1 << 26         # of what is drawn


# ---- hiring ---------------------------------------------------------------------

cdef inline bint rig_hire(Core* core, Plan* plan) noexcept nogil:
    # As hire; False: no thread can be started, and there is none.
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
    return hiring != RESERVED or _offer(core, plan) or core.started.load()


cdef inline bint _offer(Core* core, Plan* plan) noexcept nogil:
    # As _hire_one, of a seat that was reserved.
    if plan.vacancies.starts():
        plan.vacancies.offer()
        return True
    core.reserved.sub(1)
    gate_wake_all(&core.quiet)
    gate_wake_all(&core.hired)
    return False


cdef inline void rig_hire_for_queued(Core* core, Plan* plan) noexcept nogil:
    # As the function of that name.
    cdef uint32_t before = core.reserved.load() + 1
    while before != core.reserved.load():
        before = core.reserved.load()
        if reserve_seat(core, False, False) == RESERVED and not _offer(core, plan):
            return


cdef inline bint rig_make_up(Core* core, Plan* plan) noexcept nogil:
    # As make_up_for_waits.
    cdef uint32_t reserved = reserve_spares(core)
    cdef bint started = True
    while reserved and started:
        reserved -= 1
        started = _start_spare(core, plan, NULL)
    if reserved:
        give_up_spares(core, reserved)
    return started


cdef inline void _make_up_at_last(Core* core, Plan* plan) noexcept nogil:
    # As the function of that name.
    while not rig_make_up(core, plan):
        relax()


cdef inline bint _start_spare(Core* core, Plan* plan, Word[uint32_t]* has_spare) noexcept nogil:
    # As the function of that name.
    allow_workers(core, 0, 0, 0)
    if plan.spare_vacancies.starts():
        plan.reliefs.put(has_spare)
        plan.spare_vacancies.offer()
        return True
    if has_spare != NULL:
        has_spare.store(0)
    give_up_spares(core, 1)
    gate_wake_all(&core.quiet)
    return False


cdef inline void rig_work(Core* core, Worker* me, Plan* plan, Took* took) noexcept nogil:
    # As WorkerMain, of one worker after another.
    if not plan.elastic:
        rig_consume(core, me, plan, took)
        _make_up_at_last(core, plan)
        plan.spare_vacancies.hires_no_more()
        return
    while plan.vacancies.take():
        if take_seat(core) and not rig_consume(core, me, plan, took):
            core.gone.add(1)
            _make_up_at_last(core, plan)
            gate_wake_all(&core.quiet)
            break
        core.reserved.sub(1)
        if work_ready(core):
            rig_hire_for_queued(core, plan)
        _make_up_at_last(core, plan)
        gate_wake_all(&core.quiet)
    plan.spare_vacancies.hires_no_more()


cdef inline void rig_spare(Core* core, Worker* me, Plan* plan, Took* took) noexcept nogil:
    # Likewise, of one spare after another.
    cdef Word[uint32_t]* has_spare
    while plan.spare_vacancies.take():
        has_spare = plan.reliefs.take()
        _work_as_spare(core, me, plan, took)
        while not spare_may_leave(core, has_spare):
            _work_as_spare(core, me, plan, took)
        give_up_spares(core, 1)
        _make_up_at_last(core, plan)
        gate_wake_all(&core.quiet)
        plan.spare_vacancies.hires_no_more()


cdef inline void _work_as_spare(Core* core, Worker* me, Plan* plan, Took* took) noexcept nogil:
    # As the function of that name in worker.pxd.
    cdef uint64_t item = _noted_take(core, me)
    while item:
        _run(core, me, item, plan, took)
        item = _noted_take(core, me)
    if plan.told:
        tell_if_quiet(core)


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
    room_made(core)
    if not job_start(job, item, begin):
        core.unrun.tombstones.sub(1)
    else:
        begin = begins()
        if plan.meeting:
            meets(plan.started, plan.meeting, plan.n * plan.producers)
        if plan.waits:
            _wait_in_job(core, me, item, plan, took)
        delay = job_attempt(job, core, me, item)
        ends(begin, RAN, item)
    if delay >= 0:
        shelf_put_down(core, &place, True)
        place.nested = False
        if not shelf_come_again(core, &place, delay, &job.word):
            rig_resolve(core, job, item)
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


cdef inline void _wait_in_job(Core* core, Worker* me, uint64_t item, Plan* plan, Took* took) noexcept nogil:
    # For a job that was put later, if it is there; as before_wait, hire_spare and _sleep_until_done.
    cdef uint64_t i = index_of(plan, item)
    cdef uint64_t behind = plan.n * plan.producers - i - 1
    cdef uint64_t other = i + 1 + drawn(plan.seed, WAITS + 2 * i, behind) if behind else 0
    cdef Wait how = <Wait>drawn(plan.seed, WAITS + 2 * i + 1, FOREIGN + 1)
    cdef Job* job
    cdef Relief relief
    cdef PyObject* before = me.current.relaxed()
    if other == 0 or plan.job[other].known.load() != ACCEPTED:
        return
    job = &plan.job[other]
    other = item_of(plan, other)
    me.current.release(<PyObject*>item)
    if how == FOR_LONG and _ran_in_place(core, me, job, other, plan, took):
        me.current.store(before)
        return
    relief = relieve(core, me, plan.reliefs.of(me.number), &job.word, True)
    if relief == FOR_ALL:
        if not rig_make_up(core, plan) or core.spares.load() >= most_spares(core):
            relief = NO_MORE
    elif relief == ITS_OWN and not _start_spare(core, plan, plan.reliefs.of(me.number)):
        relief = NO_MORE
    if relief != NO_MORE:                       # else it does not wait
        job_wait(job, other, FOREVER, NULL)
    if how != FOREIGN or relief == NO_MORE:
        end_to_wait(core, me)
    me.current.store(before)


cdef inline bint _ran_in_place(
    Core* core, Worker* me, Job* job, uint64_t item, Plan* plan, Took* took
) noexcept nogil:
    # As _run_in_place and _run_planned_in_place.
    cdef uint64_t begin = begins()
    if job.planned:
        while take_nested(core, <PyObject*>item, &job.extension.wish, &me.place):
            ends(begin, TAKEN, item)
            _run(core, me, item, plan, took)
            begin = begins()
        return has_ended(job.word.load())
    if not job_start(job, item, begin):
        return False
    core.unrun.tombstones.add(1)
    begin = begins()
    _wait_in_job(core, me, item, plan, took)
    job_attempt(job, core, me, item)
    ends(begin, RAN, item)
    return True


cdef inline void rig_resolve(Core* core, Job* job, uint64_t item) noexcept nogil:
    # As resolve().
    job_end_unstarted(job, item, CANCELLED_AND_NOTIFIED)
    core.unrun.tombstones.sub(1)
    core.removed.add(1)
    room_made(core)


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
                if plan.waits:
                    rig_make_up(core, plan)
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
        if plan.waits and core.planned.relaxed() and core.shelf.waiting.load():
            _make_up_at_last(core, plan)
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
