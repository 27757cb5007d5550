"""Maps: many calls of one function, without a job for each; what runs them. The protocol: batch.pxd."""

from cpython.object cimport PyObject, PyTypeObject, inquiry, traverseproc, visitproc
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringpool._core.admission cimport make_job
from ringpool._core.core cimport core_release
from ringpool._core.layout cimport ENDED_BIT, NOBODY, SEGMENTS, Cell, Cells, Core, cells_free
from ringpool._core.parking cimport gate_wake_all, gate_wake_this
from ringpool._core.python cimport (
    Py_DECREF,
    Py_XDECREF,
    PyContext_Copy,
    PyContext_Enter,
    PyContext_Exit,
    PyLong_FromLongLong,
    PyObject_Call,
    PyThreadState,
    call,
    context_is_empty,
    context_of,
    current_thread_state,
    hand_over,
    interpreter_calls,
    take_exception,
)
from ringpool._core.ring cimport PUT
from ringpool._core.run cimport fresh_context
from ringpool._core.shelf cimport queue_put, tell_workers, work_ready
from ringpool._core.worker cimport SAFE_POINT_JOBS, call_quietly

from ringpool._core.worker import safe_point


cdef class Batch:
    """What the runners of one map share; calling it runs items until none is left."""

    def __cinit__(self):
        self.core = NULL
        self.cells = new Cells()
        self.cells.awaited.store(NOBODY)

    def __dealloc__(self):
        cdef int i
        if self.cells != NULL:
            _drop(self, self.cells.taken, _filled(self))
            for i in range(SEGMENTS):
                cells_free(self.cells.segments[i])
            del self.cells
        if self.core != NULL:
            core_release(self.core)

    def __call__(self):
        # What was fed before this job's turn came is run now; what came later
        # lets the jobs that were queued meanwhile go first.
        cdef Cells* cells = self.cells
        while True:
            batch_run_items(self, cells.fed.load(), NOBODY)
            if _claimable(self) and work_ready(self.core) and _queue_again(self):
                return
            if _claimable(self):
                continue
            cells.runners.sub(1)
            if not _claimable(self):
                return
            cells.runners.add(1)

    cdef bint call_in_copy(self, PyObject* item, Cell* cell, PyThreadState* thread) noexcept:
        # As _call_item.  A method, which no compiler makes part of the quick way and its frame.
        cdef PyObject* context = PyContext_Copy(<PyObject*>self.context)
        cdef bint entered = context != NULL and PyContext_Enter(context) == 0
        cdef bint ready = entered and _call_item(self, item, cell, thread)
        if entered:
            PyContext_Exit(context)
        else:
            cell.object = take_exception()
        Py_XDECREF(context)
        return ready

    def abandon(self, future):
        """For a runner that somebody took out of the queue: if he cancelled it, nobody may be left to run items."""
        if future.cancelled():
            _end_reading(self)

    def lose_runner(self, error):
        """For a runner that was dropped out of the queue: if it was the last, the reader of what is left gets *error*."""
        if self.cells.runners.sub(1) == 1 and _claimable(self):
            self.lost = error
            _end_reading(self)


# ---- runners ---------------------------------------------------------------------------

cdef void _end_reading(Batch self) noexcept:
    self.purges.store(self.core.purges.load() - 1)
    gate_wake_all(&self.core.mapping)


cdef bint batch_purged(Batch self) noexcept:
    return self.core.purges.load() != self.purges.load()


cdef bint _claimable(Batch self) noexcept:
    cdef uint64_t claimed = self.cells.claimed.load()
    return not claimed & ENDED_BIT and claimed < self.cells.fed.load() and not batch_purged(self)


cdef bint _queue_again(Batch self) noexcept:
    # A runner in this one's place, at the end of the queue.  False: closed, or no memory.
    cdef PyObject* call[1]
    cdef PyObject* job
    call[0] = <PyObject*>self
    try:
        job = make_job(self.core, call, 1, NULL)
    except BaseException:
        return False
    Py_DECREF(job)                  # nobody looks at it from outside
    if queue_put(self.core, job, NULL) == PUT:
        tell_workers(self.core)
        return True
    Py_DECREF(job)
    return False


cdef bint _claim(Cells* cells, uint64_t limit, uint64_t* index) noexcept:
    # `limit`: no more than has been fed.
    cdef uint64_t claimed = cells.claimed.load()
    while not claimed & ENDED_BIT and claimed < limit:
        if cells.claimed.cas(claimed, claimed + 1):
            index[0] = claimed
            return True
    return False


cdef void batch_run_items(Batch self, uint64_t limit, uint64_t until) noexcept:
    # Those before `limit`; by a reader that may not wait, until the one that it wants is there.
    cdef Cells* cells = self.cells
    cdef Core* core = self.core
    cdef PyThreadState* thread = current_thread_state()
    cdef PyObject* item
    cdef PyObject* own
    cdef Cell* cell
    cdef uint64_t index = 0
    cdef uint32_t items = 0
    cdef int64_t step = self.step
    while core.purges.load() == self.purges.load() and _claim(cells, limit, &index):
        cell = cell_of(cells, index)
        item = cell.object if step == 0 else _number(self, index)
        _run_item(self, item, cell, thread)
        if cells.awaited.load() == index:
            gate_wake_this(&core.mapping, &cells.reader)
        if cells.unread.load() and cells.taken <= index:    # else it was taken, and its cell may be gone
            _discard(cell)
        if core.copies_context and self.context is None:
            own = context_of(thread)
            if not context_is_empty(own):       # the next item must not see what this one set
                fresh_context()
        Py_XDECREF(item)
        items += 1
        if interpreter_calls(thread) or items % SAFE_POINT_JOBS == 0:
            call_quietly(safe_point)
        if until != NOBODY and cell_of(cells, until).state.acquire() != EMPTY:
            return


cdef inline PyObject* _number(Batch self, uint64_t index) noexcept:
    # An item of a range, which the caller owns; NULL, and an exception: no memory.
    return PyLong_FromLongLong(<int64_t>(<uint64_t>self.first + index * <uint64_t>self.step))


cdef void _run_item(Batch self, PyObject* item, Cell* cell, PyThreadState* thread) noexcept:
    # Leaves the reference to the item with the caller.
    cdef bint ready
    if item == NULL:
        ready = False
        cell.object = take_exception()
    elif self.context is None:
        ready = _call_item(self, item, cell, thread)
    else:
        ready = self.call_in_copy(item, cell, thread)
    cell.state.store(RETURNED if ready else RAISED)


cdef inline bint _call_item(Batch self, PyObject* item, Cell* cell, PyThreadState* thread) noexcept:
    # Puts the outcome into the item's cell; False: that is what was raised.
    cdef PyObject* arguments[2]     # the first one is the callee's to write
    cdef PyObject* outcome
    cdef bint ready
    if self.spread:
        outcome = PyObject_Call(<PyObject*>self.fn, item, NULL)
    else:
        arguments[1] = item
        outcome = call(thread, <PyObject*>self.fn, &arguments[1], 1, NULL)
    ready = outcome != NULL
    if not ready:
        outcome = take_exception()
    hand_over(outcome)
    cell.object = outcome
    return ready


cdef void _discard(Cell* cell) noexcept:
    # A result that nobody will read.  The runner that put it and whoever gave up
    # reading may both come here: the exchange lets one of them drop it.
    cdef PyObject* outcome
    if cell.state.exchange(EMPTY) != EMPTY:
        outcome = cell.object
        cell.object = NULL
        Py_DECREF(outcome)


cdef void batch_stop_claiming(Batch self) noexcept:
    cdef uint64_t claimed = self.cells.claimed.set_bits(ENDED_BIT)
    if not claimed & ENDED_BIT:
        _drop(self, claimed, _filled(self))


cdef void batch_give_up_reading(Batch self) noexcept:
    # Results that are there go now, those that come go when they come.  What is
    # not claimed may still run; `fed` does not move any more.
    cdef uint64_t i = self.cells.taken
    self.cells.unread.store(1)
    while i < (self.cells.claimed.load() & ~ENDED_BIT):
        _discard(cell_of(self.cells, i))
        i += 1


cdef uint64_t _filled(Batch self) noexcept:
    # The cells before this one may hold something.
    return self.cells.claimed.load() & ~ENDED_BIT if self.step else self.cells.fed.load()


cdef void _drop(Batch self, uint64_t first, uint64_t end) noexcept:
    # What nobody else will look at any more: items, or results that are there.
    cdef PyObject* object
    cdef Cell* cell
    while first < end:
        cell = cell_of(self.cells, first)
        object = cell.object
        cell.object = NULL
        cell.state.set(EMPTY)
        Py_XDECREF(object)
        first += 1


# ---- the collector ---------------------------------------------------------------------

cdef traverseproc inherited_traverse
ctypedef int (*clearproc)(PyObject*) noexcept
cdef clearproc inherited_clear


cdef int _traverse(Batch self, visitproc visit, void* arg) noexcept:
    cdef int stop = inherited_traverse(<PyObject*>self, visit, arg)
    cdef uint64_t i = self.cells.taken
    cdef uint64_t end = _filled(self)
    cdef Cell* cell
    while not stop and i < end:
        cell = cell_of(self.cells, i)
        if cell.object != NULL:
            stop = visit(cell.object, arg)
        i += 1
    return stop


cdef int _clear(Batch self) noexcept:
    # Only reached when no runner is left, for the queue would hold it.
    inherited_clear(<PyObject*>self)
    batch_stop_claiming(self)
    _drop(self, self.cells.taken, self.cells.claimed.load() & ~ENDED_BIT)
    return 0


cdef void _see_cells(PyTypeObject* type) noexcept:
    global inherited_traverse, inherited_clear
    inherited_traverse = type.tp_traverse
    inherited_clear = <clearproc><void*>type.tp_clear
    type.tp_traverse = <traverseproc><void*>_traverse
    type.tp_clear = <inquiry><void*>_clear


_see_cells(<PyTypeObject*>Batch)
