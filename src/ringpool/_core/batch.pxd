# A map's items on their way to results, without a job or a future for each.
#
# The feeder (the thread in map(), or the reader for a bounded window) writes an
# item into the next cell and publishes it by moving `fed`.  Runners are ordinary
# jobs, as many as there are workers at the most, whose callable is the Batch:
# each claims one item at a time, runs it and puts the result into the item's
# cell.  So the order among jobs, cancelling, fork and exit are the queue's.
#
#     cell    EMPTY --claim, run--> RETURNED | RAISED --taken by the reader--> EMPTY
#
#   feeder   E1 write the item, move `fed`                         (seq-cst store)
#            E2 runners < workers: submit one more
#   runner   R1 claim: claimed c -> c + 1, after seeing c < fed             (CAS)
#            R2 run, publish the result: state                     (seq-cst store)
#            R3 the reader awaits this item: wake it
#            R4 nothing to claim: runners -= 1, look again; if there is, runners += 1
#            (what was fed after its turn in the queue had come it leaves to a new
#            runner at the end of the queue, if other jobs wait there)
#   reader   D1 enlist, awaited = i                                (seq-cst store)
#            D2 look at the state again, sleep
#
# E1, E2 against R4 and R2, R3 against D1, D2: of each two, both write one word and
# then read the other's, sequentially consistent, so one of them sees the other.
#
# The items of a range are numbers that nobody has to be asked for: its feeder moves
# `fed` for all at once, and whoever claims one makes it.  The cells from there on
# hold nothing.
#
# Claims are of one item, never of a chunk: an item may wait for what a later one
# does, as a job may, and must not stand in front of it in its own chunk.  What
# chunks would save was measured: benchmarks/README.md, "Where ringpool does not help".
#
# Ended is bit 63 of `claimed`: the items from there on belong to whoever set it.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringpool._core.layout cimport Cell, Cells, Core, Word, log2_of
from ringpool._core.python cimport PyThreadState

cdef enum Result:
    EMPTY, RETURNED, RAISED

cdef enum:
    FIRST_SEGMENT = 64          # cells; a power of two
    WIDEST_RING = 65536         # windows up to here reuse their cells; wider ones drop what they have passed


cdef class Batch:
    cdef Core* core
    cdef Cells* cells
    cdef object fn
    cdef object context             # to run each item in a copy of; None: the runner's own, empty one
    cdef bint spread                # items are tuples of arguments
    cdef uint64_t count             # of a range's items: how many there are, the first, and from one to the next
    cdef int64_t first
    cdef int64_t step               # 0: they come from an iterator
    cdef Word[uint32_t] purges      # Core::purges when it began; another number: nothing more is run
    cdef object lost                # the error of a runner that was dropped, when there is no other; or None
    cdef bint call_in_copy(self, PyObject* item, Cell* cell, PyThreadState* thread) noexcept


cdef bint batch_purged(Batch self) noexcept
cdef void batch_run_items(Batch self, uint64_t limit, uint64_t until) noexcept
cdef void batch_stop_claiming(Batch self) noexcept
cdef void batch_give_up_reading(Batch self) noexcept


cdef inline Cell* cell_of(Cells* cells, uint64_t i) noexcept nogil:
    cdef uint64_t j
    cdef unsigned int top
    if cells.mask:
        return &cells.segments[0][i & cells.mask]
    j = i + FIRST_SEGMENT
    top = log2_of(j)                # of a segment's cells it is the same bit, and the rest is the cell
    return &cells.segments[top - log2_of(FIRST_SEGMENT)][j ^ (<uint64_t>1 << top)]
