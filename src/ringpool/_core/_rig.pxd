# A queue of numbers with its producers, workers and close, as the engine has them
# and without an interpreter: what _stress.pyx runs on threads and _scheduled.pyx
# on schedules that a seed chooses.  A job is number * PRODUCERS + producer + 1 in
# place of a pointer.

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint64_t

from ringpool._core.layout cimport Core, Entry, Patience, Waiter, Worker, relax
from ringpool._core.parking cimport gate_enter, gate_leave, gate_wake_all, gate_wake_one, list_idle, unlist_idle, wake_all
from ringpool._core.ring cimport FULL, PUT, Put, ring_close, ring_free, ring_is_closed, ring_is_drained, ring_open
from ringpool._core.shelf cimport all_taken, queue_put, shelf_put_down, take_next, tell_workers, work_ready

cdef extern from "rig.hpp" namespace "ringpool" nogil:
    const int TAKEN, NOTHING_READY, RAN
    uint64_t begins() noexcept
    void ends(uint64_t begin, int what, uint64_t item) noexcept
    void meets(uint64_t& started, uint64_t workers, uint64_t jobs) noexcept

cdef enum:
    PRODUCERS = 64

cdef struct Plan:               # what the producers submit
    uint64_t n                  # numbers each
    uint64_t keys               # every other number has the key number % keys; 0: none has an order of its own
    int64_t deadline            # of a wait for room
    uint64_t meeting            # jobs that wait for each other: as many as there are workers; 0: none does
    uint64_t jobs               # in all
    uint64_t started            # where they meet

cdef struct Took:
    uint64_t n
    uint64_t total              # of the numbers
    uint64_t broken             # of one producer's numbers, those that came before an earlier one
    uint64_t next_of[PRODUCERS]


cdef inline Core* rig_open(uint64_t capacity, bint ready, uint64_t before_overflow) noexcept:
    # capacity 0: no bound, and before_overflow what the ring takes.  NULL: no memory.
    cdef Core* core = new Core()
    core.ready = ready
    core.planned.store(ready)
    if not ring_open(&core.ring, capacity or before_overflow):
        del core
        return NULL
    core.ring.bounded = capacity != 0
    return core


cdef inline void rig_end(Core* core) noexcept:
    ring_free(&core.ring)
    del core


cdef inline uint64_t rig_produce(Core* core, uint64_t producer, Plan* plan) noexcept nogil:
    # How many were accepted before the queue closed.
    cdef uint64_t number, accepted = 0
    cdef Entry wish
    cdef bint planned
    cdef Put put
    wish.keyed = True
    for number in range(plan.n):
        planned = plan.keys != 0 and (number + producer) % 2
        if planned:
            wish.key = number % plan.keys
            wish.prefers = <int32_t>wish.key
            core.planned.store(1)
        put = _put(core, number * PRODUCERS + producer + 1, &wish if planned else NULL, plan.deadline)
        if put == PUT:
            tell_workers(core)
            accepted += 1
        elif put != FULL:
            break
    return accepted


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


cdef inline uint64_t _noted_take(Core* core, Worker* me) noexcept nogil:
    cdef uint64_t begin = begins()
    cdef uint64_t item
    if core.ready and me.inbox.job != NULL:
        me.place = me.inbox
        me.inbox.job = NULL
        item = <uint64_t>me.place.job
    else:
        item = <uint64_t>take_next(core, &me.place)
    ends(begin, TAKEN if item else NOTHING_READY, item)
    return item


cdef inline void _run(Core* core, Worker* me, uint64_t item, Plan* plan, Took* took) noexcept nogil:
    cdef uint64_t begin = begins()
    cdef uint64_t number = (item - 1) // PRODUCERS
    cdef uint64_t producer = (item - 1) % PRODUCERS
    gate_wake_one(&core.room)
    if number < took.next_of[producer]:
        took.broken += 1
    took.next_of[producer] = number + 1
    took.n += 1
    took.total += number
    if plan.meeting:
        meets(plan.started, plan.meeting, plan.jobs)
    ends(begin, RAN, item)
    if me.place.job != NULL:
        shelf_put_down(core, &me.place, False)
        me.place.job = NULL


cdef inline void rig_consume(Core* core, Worker* me, Plan* plan, Took* took) noexcept nogil:
    # As work() in worker.pxd, until closed and drained.
    cdef uint64_t item
    cdef bint closed
    core.idlers.searching.add(1)
    while True:
        closed = ring_is_closed(&core.ring)
        item = _noted_take(core, me)
        if item:
            if core.idlers.searching.sub(1) == 1 and work_ready(core):
                tell_workers(core)
            while item:
                _run(core, me, item, plan, took)
                item = _noted_take(core, me)
            core.idlers.searching.add(1)
            continue
        if closed:
            if all_taken(core):
                wake_all(&core.idlers)
                break
            if not ring_is_drained(&core.ring):
                relax()
                continue
        list_idle(&core.idlers, me)
        if _has_something_to_do(core) and unlist_idle(&core.idlers, me):
            continue
        me.parker.park(&me.patience)
    if core.idlers.searching.sub(1) == 1 and work_ready(core):
        tell_workers(core)


cdef inline bint _has_something_to_do(Core* core) noexcept nogil:
    return work_ready(core) or (ring_is_closed(&core.ring) and all_taken(core))


cdef inline void rig_close(Core* core) noexcept nogil:
    ring_close(&core.ring)
    wake_all(&core.idlers)
    gate_wake_all(&core.room)
