"""
The ring, the shelf and the parking on schedules that a seed chooses: see schedule.hpp.

Built only for the tests (RINGPOOL_STRESS=scheduled).
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from libcpp cimport bool
from libcpp.vector cimport vector

from ringpool._core._rig cimport Plan, Took, rig_close, rig_consume, rig_end, rig_open, rig_produce
from ringpool._core.layout cimport FOREVER, NOW, Core, Worker, relax


cdef extern from "schedule.hpp" namespace "ringpool" nogil:
    cdef cppclass Schedule:
        void begin(uint64_t seed, uint64_t length)
        void add(void (*body)(void*) noexcept nogil, void* argument)
        bool run() noexcept
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
    Worker* worker
    uint64_t producer
    int* producing              # how many producers have not ended
    Took took


cdef void _produce(void* part) noexcept nogil:
    cdef Part* me = <Part*>part
    me.took.n = rig_produce(me.core, me.producer, me.plan)
    me.producing[0] -= 1


cdef void _consume(void* part) noexcept nogil:
    cdef Part* me = <Part*>part
    rig_consume(me.core, me.worker, me.plan, &me.took)


cdef void _close_early(void* part) noexcept nogil:
    rig_close((<Part*>part).core)


cdef void _close_at_the_end(void* part) noexcept nogil:
    while (<Part*>part).producing[0]:
        relax()
    rig_close((<Part*>part).core)


def run(
    uint64_t seed, uint64_t capacity, int producers, int workers, uint64_t n, uint64_t keys, bint ready,
    bint give_up, bint close_early, bint meet,
):
    """
    One run: (ended, steps, accepted by each producer, (taken, broken) by each worker, history).

    Args:
        keys: 0, or how many; then every other number has one, and waits on the shelf.
        ready: the dispatch.
        give_up: producers that wait for room may give up at any point.
        close_early: the close races with the puts; else it follows them.
        meet: jobs wait for each other, as many as there are workers; with
            neither *keys* nor *give_up* nor *close_early*.

    History: (what, item, begin, end) of each put, take and run. Not for
    several threads at once.
    """
    cdef vector[Part] parts
    cdef Plan plan
    cdef Part part
    cdef int i, producing = producers
    cdef bint ended
    cdef Core* core = rig_open(capacity, ready, 2)
    if core == NULL:
        raise MemoryError
    core.shelf.workers = workers
    plan.n = n
    plan.keys = keys
    plan.meeting = workers if meet else 0
    plan.jobs = producers * n
    plan.started = 0
    plan.deadline = NOW if give_up else FOREVER
    memset(&part, 0, sizeof(part))
    part.core = core
    part.plan = &plan
    part.producing = &producing
    parts.resize(producers + workers, part)
    history().clear()
    schedule().begin(seed, 40 * producers * (n + 2))
    for i in range(producers):
        parts[i].producer = i
        schedule().add(_produce, &parts[i])
    for i in range(workers):
        parts[producers + i].worker = new Worker()
        parts[producers + i].worker.number = i
        schedule().add(_consume, &parts[producers + i])
    schedule().add(_close_early if close_early else _close_at_the_end, &part)
    with nogil:
        ended = schedule().run()
    steps = schedule().taken()
    accepted = [parts[i].took.n for i in range(producers)]
    taken = [(parts[producers + i].took.n, parts[producers + i].took.broken) for i in range(workers)]
    events = [(event.what, event.item, event.begin, event.end) for event in history()]
    schedule().begin(0, 1)              # ends fibers that stand still
    for i in range(workers):
        del parts[producers + i].worker
    rig_end(core)
    return ended, steps, accepted, taken, events
