"""
The ring, the shelf, the parking and the job's word under threads that really run at once, on any interpreter.

Built only for the tests (RINGPOOL_STRESS=1), always with the concurrent
variant of the core. The methods take no GIL while they work, so that
sanitizers see every access and no lock of the interpreter's orders them.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset
from libcpp.vector cimport vector

from ringpool._core._rig cimport End, rig_close, rig_keep_time, rig_meddle, rig_produce
from ringpool._core._rig_jobs cimport SET_RESULT, Seen, until_known
from ringpool._core._rig_plan cimport Plan, Took, rig_books, rig_end, rig_jobs, rig_open, spare_threads
from ringpool._core._rig_work cimport rig_spare, rig_work
from ringpool._core.layout cimport FOREVER, Core, Worker, roster_put


cdef class Rig:
    """
    A queue of numbers: producers, workers, timekeeper, meddlers and an end, as the engine has them.

    The arguments are those of _scheduled.run(); each method is for a thread of its own.
    """

    cdef Core* core
    cdef Plan plan
    cdef vector[Worker*] workers        # behind them the spares, and one for each meddler
    cdef int working                    # how many of these work
    cdef readonly int spares

    def __cinit__(
        self, uint64_t seed, uint64_t capacity, int producers, int workers, uint64_t n, uint64_t keys=0,
        bint ready=False, int meddlers=0, bint planned=False, uint64_t again=0, int64_t delay=0, uint64_t holds=0,
        bint by_hand=True, uint64_t lanes=0, uint64_t levels=1,
        bint elastic=False, int64_t idle_ns=0, bint waits=False, uint32_t spares=0, bint fails=False,
    ):
        memset(&self.plan, 0, sizeof(self.plan))
        self.plan.seed = seed
        self.plan.n = n
        self.plan.producers = producers
        self.plan.meddlers = meddlers
        self.plan.keys = keys
        self.plan.planned = planned or keys
        self.plan.again = again
        self.plan.delay = delay
        self.plan.holds = holds
        self.plan.lanes = lanes
        self.plan.levels = levels
        self.plan.deadline = FOREVER
        self.plan.acts = SET_RESULT + by_hand
        self.plan.elastic = elastic
        self.plan.idle_ns = idle_ns
        self.plan.waits = waits
        self.plan.spares = spares
        self.plan.fails = fails
        self.plan.told = again or delay or holds or elastic or waits
        self.core = rig_open(capacity, ready, 64, workers, &self.plan)
        self.spares = spare_threads(&self.plan)
        self.working = workers + self.spares
        for i in range(self.working + meddlers):
            self.workers.push_back(new Worker())
            self.workers.back().number = i if i < self.working else -1
            if not roster_put(self.core, self.workers.back()):
                raise MemoryError

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.workers.size()):
            del self.workers[i]
        if self.core != NULL:
            rig_end(self.core, &self.plan)

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
            rig_work(self.core, self.workers[index], &self.plan, &took)
        return took.n, took.total, took.broken

    def relieve(self, size_t index):
        """As a spare, of those behind the workers, whenever one is hired; likewise."""
        cdef Took took
        cdef Worker* me = self.workers[self.working - self.spares + index]
        memset(&took, 0, sizeof(took))
        with nogil:
            rig_spare(self.core, me, &self.plan, &took)
        return took.n, took.total, took.broken

    def meddle(self, size_t index):
        """Do something with each job; (item, state, outcome) of those whose result was asked for."""
        cdef vector[Seen] seen
        with nogil:
            rig_meddle(self.core, self.workers[self.working + index], index, &self.plan, &seen)
        return [(one.item, one.state, one.outcome) for one in seen]

    def keep_time(self):
        """Make due what is due, until nothing is left to do."""
        with nogil:
            rig_keep_time(self.core, &self.plan)

    def close(self, End how, uint64_t after):
        """The end, as soon as so many numbers of the first producer have been put, or refused."""
        with nogil:
            if after:
                until_known(&self.plan.job[(after - 1) * self.plan.producers])
            rig_close(self.core, how, &self.plan)

    def outcome(self):
        """When all have come back: see rig_jobs() and rig_books()."""
        return rig_jobs(self.core, &self.plan), rig_books(self.core)
