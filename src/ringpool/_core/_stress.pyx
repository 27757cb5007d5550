"""
The ring, the shelf and the parking under threads that really run at once, on any interpreter.

Built only for the tests (RINGPOOL_STRESS=1), always with the concurrent
variant of the core. The methods take no GIL while they work, so that
sanitizers see every access and no lock of the interpreter's orders them.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memset
from libcpp.vector cimport vector

from ringpool._core._rig cimport Plan, Took, rig_close, rig_consume, rig_end, rig_open, rig_produce
from ringpool._core.layout cimport FOREVER, Core, Worker


cdef class Rig:
    """A queue of numbers: producers, workers and a close, as the engine has them."""

    cdef Core* core
    cdef Plan plan
    cdef vector[Worker*] workers

    def __cinit__(self, uint64_t capacity, int workers, uint64_t n, uint64_t keys, bint ready):
        self.plan.n = n
        self.plan.keys = keys
        self.plan.deadline = FOREVER
        self.plan.meeting = 0
        self.core = rig_open(capacity, ready, 64)
        if self.core == NULL:
            raise MemoryError
        self.core.shelf.workers = workers
        for i in range(workers):
            self.workers.push_back(new Worker())
            self.workers.back().number = i

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.workers.size()):
            del self.workers[i]
        if self.core != NULL:
            rig_end(self.core)

    def produce(self, uint64_t producer):
        """Put the numbers below *n*; how many were accepted before the queue closed."""
        cdef uint64_t accepted
        with nogil:
            accepted = rig_produce(self.core, producer, &self.plan)
        return accepted

    def consume(self, size_t index):
        """Take until closed and drained; (taken, sum of numbers, producers whose order broke)."""
        cdef Took took
        memset(&took, 0, sizeof(took))
        with nogil:
            rig_consume(self.core, self.workers[index], &self.plan, &took)
        return took.n, took.total, took.broken

    def close(self):
        with nogil:
            rig_close(self.core)
