"""
The ring and the parking under threads that really run at once, on any interpreter.

Built only for the tests (RINGPOOL_STRESS=1), always with the concurrent
variant of the core. The methods take no GIL while they work, so that
ThreadSanitizer sees every access and no lock of the interpreter's orders them.
"""

from libc.stdint cimport uint64_t
from libcpp.vector cimport vector

from ringpool._core.layout cimport Gate, Idlers, Patience, Ring, Waiter, Worker, relax
from ringpool._core.parking cimport (
    gate_enter,
    gate_leave,
    gate_wake_all,
    gate_wake_one,
    job_put,
    list_idle,
    unlist_idle,
    wake_all,
    wake_one,
)
from ringpool._core.ring cimport (
    FULL,
    PUT,
    Put,
    ring_close,
    ring_free,
    ring_is_closed,
    ring_is_drained,
    ring_open,
    ring_put,
    ring_ready,
    ring_take,
)

cdef enum:
    PRODUCERS = 64          # an item is number * PRODUCERS + producer + 1


cdef class Rig:
    """A queue of numbers: producers, workers and a close, as the engine has them."""

    cdef Ring* ring
    cdef Idlers* idlers
    cdef Gate* room
    cdef vector[Worker*] workers

    def __cinit__(self, uint64_t capacity, int workers):
        self.ring = new Ring()
        self.idlers = new Idlers()
        self.room = new Gate()
        if not ring_open(self.ring, capacity):
            raise MemoryError
        for _ in range(workers):
            self.workers.push_back(new Worker())

    def __dealloc__(self):
        cdef size_t i
        ring_free(self.ring)
        for i in range(self.workers.size()):
            del self.workers[i]
        del self.ring
        del self.idlers
        del self.room

    def produce(self, uint64_t producer, uint64_t n):
        """Put the numbers below *n*; how many were accepted before the queue closed."""
        cdef uint64_t i = 0
        with nogil:
            while i < n and _put(self, <void*>(i * PRODUCERS + producer + 1)):
                job_put(self.idlers)
                i += 1
        return i

    def consume(self, size_t index):
        """Take until closed and drained; (taken, sum of numbers, producers whose order broke)."""
        cdef uint64_t taken = 0, total = 0, broken = 0, number
        cdef uint64_t next_of[PRODUCERS]
        cdef Worker* me = self.workers[index]
        cdef bint closed
        cdef void* item
        with nogil:
            for number in range(PRODUCERS):
                next_of[number] = 0
            self.idlers.searching.add(1)
            while True:
                closed = ring_is_closed(self.ring)
                item = ring_take(self.ring)
                if item != NULL:
                    if self.idlers.searching.sub(1) == 1 and ring_ready(self.ring):
                        wake_one(self.idlers)
                    while item != NULL:
                        gate_wake_one(self.room)
                        number = (<uint64_t>item - 1) // PRODUCERS
                        if number < next_of[(<uint64_t>item - 1) % PRODUCERS]:
                            broken += 1
                        next_of[(<uint64_t>item - 1) % PRODUCERS] = number + 1
                        taken += 1
                        total += number
                        item = ring_take(self.ring)
                    self.idlers.searching.add(1)
                    continue
                if closed:
                    if ring_is_drained(self.ring):
                        break
                    relax()
                    continue
                list_idle(self.idlers, me)
                if (ring_ready(self.ring) or ring_is_closed(self.ring)) and unlist_idle(self.idlers, me):
                    continue
                me.parker.park(&me.patience)
            self.idlers.searching.sub(1)
        return taken, total, broken

    def close(self):
        with nogil:
            ring_close(self.ring)
            wake_all(self.idlers)
            gate_wake_all(self.room)


cdef bint _put(Rig self, void* item) noexcept nogil:
    cdef Waiter waiter
    cdef Patience patience          # not the thread's: the sanitizer does not see who frees that
    cdef Put put = ring_put(self.ring, item)
    while put == FULL:
        gate_enter(self.room, &waiter)
        put = ring_put(self.ring, item)
        if put == FULL:
            waiter.parker.park(&patience)
        else:
            gate_leave(self.room, &waiter)
    return put == PUT
