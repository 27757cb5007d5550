"""
The ring, the shelf, the parking and the job's word on schedules that a seed chooses: see schedule.hpp.

Built only for the tests (RINGPOOL_STRESS=scheduled).
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset
from libcpp.vector cimport vector

from ringpool._core._rig cimport End, rig_close, rig_keep_time, rig_meddle, rig_produce
from ringpool._core._rig_jobs cimport SET_RESULT, Seen
from ringpool._core._rig_plan cimport Plan, Took, rig_books, rig_end, rig_jobs, rig_open, spare_threads
from ringpool._core._rig_work cimport rig_spare, rig_work
from ringpool._core.layout cimport FOREVER, NOW, Core, Worker, relax, roster_put


cdef extern from "schedule.hpp" namespace "ringpool" nogil:
    cdef cppclass Schedule:
        void begin(uint64_t seed, uint64_t length)
        void add(void (*body)(void*) noexcept nogil, void* argument)
        bint run() noexcept
        uint64_t taken() noexcept
    Schedule& schedule() noexcept

cdef extern from "rig.hpp" namespace "ringpool":
    cdef cppclass Event:
        int what
        uint64_t item, begin, end
    vector[Event]& history() nogil

cdef struct Part:               # what one fiber is and has done
    Core* core
    Plan* plan
    Worker* worker              # of a meddler, as which it runs a job itself
    uint64_t number             # among those of its kind
    int* producing              # how many producers have not ended
    End how
    vector[Seen]* seen
    Took took


cdef void _produce(void* part) noexcept nogil:
    cdef Part* me = <Part*>part
    me.took.n = rig_produce(me.core, me.number, me.plan)
    me.producing[0] -= 1


cdef void _consume(void* part) noexcept nogil:
    cdef Part* me = <Part*>part
    rig_work(me.core, me.worker, me.plan, &me.took)


cdef void _spare(void* part) noexcept nogil:
    cdef Part* me = <Part*>part
    rig_spare(me.core, me.worker, me.plan, &me.took)


cdef void _meddle(void* part) noexcept nogil:
    cdef Part* me = <Part*>part
    rig_meddle(me.core, me.worker, me.number, me.plan, me.seen)


cdef void _keep_time(void* part) noexcept nogil:
    rig_keep_time((<Part*>part).core, (<Part*>part).plan)


cdef void _close_early(void* part) noexcept nogil:
    cdef Part* me = <Part*>part
    rig_close(me.core, me.how, me.plan)


cdef void _close_at_the_end(void* part) noexcept nogil:
    while (<Part*>part).producing[0]:
        relax()
    _close_early(part)


def run(
    uint64_t seed, uint64_t capacity, int producers, int workers, uint64_t n, uint64_t keys, bint ready,
    bint give_up, bint close_early, bint meet, int meddlers, bint planned, uint64_t again, int64_t delay,
    uint64_t holds, bint sleeps, bint by_hand, End how, uint64_t lanes, uint64_t levels,
    bint elastic, int64_t idle_ns, bint waits, uint32_t spares, bint fails,
):
    """
    One run: (ended, steps, accepted by each producer, (taken, broken) by each worker and spare, history, jobs, books, seen).

    Args:
        keys: 0, or how many; then every other number has one, and waits on the shelf.
        ready: the dispatch.
        give_up: producers that wait for room may give up at any point.
        close_early: the close races with the puts; else it follows them.
        meet: jobs wait for each other, as many as there are workers; with nothing that may keep one of them
            from being run.
        meddlers: threads that do something with each job.
        planned: every other number waits on the shelf.
        again, delay: attempts before the last and ns before each, at the most, of those; then there is a timekeeper.
        holds: how often one of those is put back when it is taken, and nothing starts for a while, at the most; too.
        sleeps: some jobs sleep until they are asked to end.
        by_hand: meddlers settle some.
        lanes, levels: of those, as many as there may be.
        elastic, idle_ns: workers are hired, and leave after so long without a job, or when meddlers want fewer.
        waits, spares: some jobs wait for others, and so many spares may make up for that.
        fails: now and then a thread cannot be started.
        how: to end, as stop(), stop_now(), the exit of the interpreter, or by cancelling each job.

    History: (what, item, begin, end) of each put, take and run, and of what jobs' words went through. Jobs, books
    and seen (by meddlers: item, state, outcome): see rig_jobs() and rig_books(). Not for several threads at once.
    """
    cdef vector[Part] parts
    cdef vector[Seen] seen
    cdef Plan plan
    cdef Part part
    cdef Part* one
    cdef int i, spare, producing = producers
    cdef bint ended
    cdef Core* core
    memset(&plan, 0, sizeof(plan))
    plan.seed = seed
    plan.n = n
    plan.producers = producers
    plan.meddlers = meddlers
    plan.keys = keys
    plan.planned = planned or keys
    plan.again = again
    plan.delay = delay
    plan.meeting = workers if meet else 0
    plan.deadline = NOW if give_up else FOREVER
    plan.holds = holds
    plan.sleeps = sleeps
    plan.lanes = lanes
    plan.levels = levels
    plan.acts = SET_RESULT + by_hand
    plan.elastic = elastic
    plan.idle_ns = idle_ns
    plan.waits = waits
    plan.spares = spares
    plan.fails = fails
    plan.told = again or delay or holds or elastic or waits
    core = rig_open(capacity, ready, 2, workers, &plan)
    memset(&part, 0, sizeof(part))
    part.core = core
    part.plan = &plan
    part.producing = &producing
    part.how = how
    part.seen = &seen
    spare = spare_threads(&plan)
    parts.resize(producers + workers + spare + meddlers, part)
    history().clear()
    schedule().begin(seed, 40 * producers * (n + 2) * (1 + meddlers))
    for i in range(producers):
        parts[i].number = i
        schedule().add(_produce, &parts[i])
    for i in range(workers + spare + meddlers):
        one = &parts[producers + i]
        one.worker = new Worker()
        if not roster_put(core, one.worker):
            raise MemoryError
        one.number = i if i < workers + spare else i - workers - spare
        one.worker.number = i if i < workers + spare else -1
        schedule().add(_consume if i < workers else _spare if i < workers + spare else _meddle, one)
    if plan.told:
        schedule().add(_keep_time, &part)
    schedule().add(_close_early if close_early else _close_at_the_end, &part)
    with nogil:
        ended = schedule().run()
    steps = schedule().taken()
    accepted = [parts[i].took.n for i in range(producers)]
    taken = [(parts[producers + i].took.n, parts[producers + i].took.broken) for i in range(workers + spare)]
    events = [(event.what, event.item, event.begin, event.end) for event in history()]
    outcomes = [(one_seen.item, one_seen.state, one_seen.outcome) for one_seen in seen]
    schedule().begin(0, 1)              # ends fibers that stand still
    found = ended, steps, accepted, taken, events, rig_jobs(core, &plan), rig_books(core) if ended else {}, outcomes
    for i in range(workers + spare + meddlers):
        del parts[producers + i].worker
    rig_end(core, &plan)
    return found
