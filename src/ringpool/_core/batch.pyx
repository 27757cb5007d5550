"""Maps: many calls of one function, with the results in order. The protocol: batch.pxd."""

import weakref
from concurrent.futures import CancelledError
from concurrent.futures.thread import BrokenThreadPool

cimport cython
from cpython.object cimport PyObject, PyTypeObject, inquiry, traverseproc, visitproc
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringpool._core.admission cimport admit, check_callable, make_job
from ringpool._core.core cimport core_release
from ringpool._core.engine cimport Engine
from ringpool._core.layout cimport (
    ENDED_BIT,
    FOREVER,
    NOBODY,
    SEGMENTS,
    Cell,
    Cells,
    Core,
    Waiter,
    Word,
    cells_alloc,
    cells_free,
    has_spare_processor,
)
from ringpool._core.parking cimport (
    deadline_of,
    gate_enter,
    gate_leave,
    gate_wake_all,
    gate_wake_this,
    job_put,
    sleep_until_woken,
)
from ringpool._core.python cimport (
    Py_DECREF,
    Py_XDECREF,
    PyContext_Copy,
    PyContext_CopyCurrent,
    PyContext_Enter,
    PyContext_Exit,
    PyErr_Occurred,
    PyIter_Next,
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
from ringpool._core.ring cimport PUT, ring_is_closed, ring_put, ring_ready
from ringpool._core.worker cimport (
    SAFE_POINT_JOBS,
    call_quietly,
    enter_fresh_context,
    fresh_context,
    leave_context,
    may_run_here,
)

from ringpool._core.worker import FORKED, INITIALIZER_FAILED, safe_point


cdef class Batch:
    """What the runners of one map share; calling it runs items until none is left."""

    def __cinit__(self):
        self.core = NULL
        self.cells = new Cells()
        self.cells.awaited.store(NOBODY)

    def __dealloc__(self):
        cdef int i
        _drop(self, self.cells.taken, self.cells.fed.load())
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
            _run_items(self, cells.fed.load(), NOBODY)
            if _claimable(self) and ring_ready(&self.core.ring) and _queue_again(self):
                return
            if _claimable(self):
                continue
            cells.runners.sub(1)
            if not _claimable(self):
                return
            cells.runners.add(1)

    def abandon(self, future):
        """For a runner that somebody took out of the queue: if he cancelled it, nobody may be left to run items."""
        if future.cancelled():
            self.purges -= 1
            gate_wake_all(&self.core.mapping)


# ---- runners ---------------------------------------------------------------------------

cdef bint _purged(Batch self) noexcept:
    return self.core.purges.load() != self.purges


cdef bint _claimable(Batch self) noexcept:
    cdef uint64_t claimed = self.cells.claimed.load()
    return not claimed & ENDED_BIT and claimed < self.cells.fed.load() and not _purged(self)


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
    if ring_put(&self.core.ring, job) == PUT:
        job_put(&self.core.idlers)
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


cdef void _run_items(Batch self, uint64_t limit, uint64_t until) noexcept:
    # Those before `limit`; by a reader that may not wait, until the one that it wants is there.
    cdef Cells* cells = self.cells
    cdef Core* core = self.core
    cdef PyThreadState* thread = current_thread_state()
    cdef PyObject* item
    cdef PyObject* own
    cdef Cell* cell
    cdef uint64_t index = 0
    cdef uint32_t items = 0
    while core.purges.load() == self.purges and _claim(cells, limit, &index):
        cell = cell_of(cells, index)
        item = cell.object
        _run_item(self, cell, thread)
        if cells.awaited.load() == index:
            gate_wake_this(&core.mapping, &cells.reader)
        if cells.unread.load() and cells.taken <= index:    # else it was taken, and its cell may be gone
            _discard(cell)
        if core.copies_context and self.context is None:
            own = context_of(thread)
            if not context_is_empty(own):       # the next item must not see what this one set
                fresh_context()
        Py_DECREF(item)
        items += 1
        if interpreter_calls(thread) or items % SAFE_POINT_JOBS == 0:
            call_quietly(safe_point)
        if until != NOBODY and cell_of(cells, until).state.acquire() != EMPTY:
            return


cdef void _run_item(Batch self, Cell* cell, PyThreadState* thread) noexcept:
    # Leaves the reference to the item with the caller.
    cdef PyObject* arguments[2]     # the first one is the callee's to write
    cdef PyObject* context = NULL
    cdef PyObject* outcome = NULL
    cdef bint ready = True
    if self.context is not None:
        context = PyContext_Copy(<PyObject*>self.context)
        ready = context != NULL and PyContext_Enter(context) == 0
    if ready and self.spread:
        outcome = PyObject_Call(<PyObject*>self.fn, cell.object, NULL)
    elif ready:
        arguments[1] = cell.object
        outcome = call(thread, <PyObject*>self.fn, &arguments[1], 1, NULL)
    ready = outcome != NULL
    if not ready:
        outcome = take_exception()
    if context != NULL:
        PyContext_Exit(context)
        Py_DECREF(context)
    hand_over(outcome)
    cell.object = outcome
    cell.state.store(RETURNED if ready else RAISED)


cdef void _discard(Cell* cell) noexcept:
    # A result that nobody will read.  The runner that put it and whoever gave up
    # reading may both come here: the exchange lets one of them drop it.
    cdef PyObject* outcome
    if cell.state.exchange(EMPTY) != EMPTY:
        outcome = cell.object
        cell.object = NULL
        Py_DECREF(outcome)


cdef void _give_up_reading(Batch self) noexcept:
    # Results that are there go now, those that come go when they come.  What is
    # not claimed may still run; `fed` does not move any more.
    cdef uint64_t i = self.cells.taken
    self.cells.unread.store(1)
    while i < (self.cells.claimed.load() & ~ENDED_BIT):
        _discard(cell_of(self.cells, i))
        i += 1


cdef void _drop(Batch self, uint64_t first, uint64_t end) noexcept:
    # What nobody else will look at any more: items, or results that are there.
    cdef PyObject* object
    cdef Cell* cell
    while first != end:
        cell = cell_of(self.cells, first)
        object = cell.object
        cell.object = NULL
        cell.state.set(EMPTY)
        Py_XDECREF(object)
        first += 1


# ---- the reader ------------------------------------------------------------------------

@cython.no_gc_clear
cdef class BatchResults:
    """
    The iterator that ``map`` returns: results in the order of the items.

    Behaves as the standard library's generator: it ends for good when a result
    raises, refuses a second thread while a first one is inside, and once reading
    has begun, dropping or closing it cancels the items that have not started.
    Dropped unread it cancels nothing: map() may be called for its effects.
    """

    cdef Batch batch                # None: it has ended
    cdef object executor            # weak: a bounded window feeds while the pool lives
    cdef object iterator            # the input, while there may be more
    cdef int64_t deadline
    cdef Word[uint32_t] busy
    cdef bint begun

    def __init__(self, Engine engine, fn, tuple iterables, timeout, buffersize):
        cdef uint64_t window = NOBODY if buffersize is None else buffersize
        cdef Core* core = engine.core
        cdef uint64_t size = FIRST_SEGMENT
        if core == NULL:
            raise RuntimeError(f"{type(engine).__name__}.__init__() was not called")
        self.deadline = deadline_of(timeout)
        self.batch = Batch()
        core.references.add(1)
        self.batch.core = core
        self.batch.purges = core.purges.load()
        self.batch.fn = fn
        self.batch.spread = len(iterables) != 1
        self.iterator = zip(*iterables) if self.batch.spread else iter(iterables[0])
        if core.copies_context and not context_is_empty(context_of(current_thread_state())):
            self.batch.context = <object>PyContext_CopyCurrent()
            Py_DECREF(<PyObject*>self.batch.context)
        if window <= WIDEST_RING:
            while size <= window:
                size <<= 1
            self.batch.cells.mask = size - 1
        try:
            _feed(self, engine, window)
        except BaseException:
            self.begun = True
            _end(self)
            raise
        self.executor = weakref.ref(engine) if self.iterator is not None else None

    def __dealloc__(self):
        if self.batch is not None:
            if self.begun:
                _stop_claiming(self.batch)
            _give_up_reading(self.batch)

    def __iter__(self):
        return self

    def __next__(self):
        cdef PyObject* ready
        _enter(self)
        self.begun = True
        if self.batch is not None and self.iterator is None:
            ready = _take_ready(self.batch.cells)
            if ready != NULL:
                self.busy.store(0)
                outcome = <object>ready
                Py_DECREF(ready)
                return outcome
        try:
            if self.batch is None:
                raise StopIteration
            return _next(self)
        except BaseException:
            _end(self)
            raise
        finally:
            self.busy.store(0)

    def close(self):
        """End it. Items that have not started are cancelled, if reading had begun; those that run go on."""
        _enter(self)
        _end(self)
        self.busy.store(0)


cdef int _enter(BatchResults self) except -1:
    cdef uint32_t expected = 0
    if not self.busy.cas(expected, 1):
        raise ValueError("this iterator is already in use, by another thread or further down in this one")
    return 0


cdef void _stop_claiming(Batch self) noexcept:
    cdef uint64_t claimed = self.cells.claimed.set_bits(ENDED_BIT)
    if not claimed & ENDED_BIT:
        _drop(self, claimed, self.cells.fed.load())


cdef int _end(BatchResults self) except -1:
    batch, self.batch = self.batch, None
    self.iterator = None
    self.executor = None
    if batch is not None:
        if self.begun:
            _stop_claiming(batch)
        _give_up_reading(batch)
    return 0


cdef object _next(BatchResults self):
    cdef Cells* cells = self.batch.cells
    cdef uint64_t index = cells.taken
    cdef Cell* cell
    cdef PyObject* object
    cdef uint32_t state
    if self.iterator is not None:
        engine = self.executor()
        if engine is not None:
            _feed(self, engine, 1)
        del engine
    if index == cells.fed.load():
        raise StopIteration
    cell = cell_of(cells, index)
    if cell.state.acquire() == EMPTY:
        _wait(self.batch, index, self.deadline)
    state = cell.state.acquire()
    object = _take(cells, cell)
    outcome = <object>object
    Py_DECREF(object)
    if state == RAISED:
        raise outcome
    return outcome


cdef PyObject* _take_ready(Cells* cells) noexcept:
    # The next result, if it is there and no exception; the caller owns it.
    cdef Cell* cell
    if cells.taken == cells.fed.relaxed():
        return NULL
    cell = cell_of(cells, cells.taken)
    return _take(cells, cell) if cell.state.acquire() == RETURNED else NULL


cdef inline PyObject* _take(Cells* cells, Cell* cell) noexcept:
    cdef PyObject* object = cell.object
    cell.object = NULL
    cell.state.set(EMPTY)
    cells.taken += 1
    _forget_passed(cells)
    return object


cdef inline void _forget_passed(Cells* cells) noexcept:
    # The segment behind the last result, if that was its last cell.  A runner
    # does not touch a cell once its result is there.
    cdef uint64_t next = cells.taken + FIRST_SEGMENT
    cdef unsigned int segment
    if cells.mask or next & (next - 1):
        return
    segment = 0
    while (<uint64_t>FIRST_SEGMENT << (segment + 1)) < next:
        segment += 1
    cells_free(cells.segments[segment])
    cells.segments[segment] = NULL


cdef int _wait(Batch batch, uint64_t index, int64_t deadline) except -1:
    cdef Waiter waiter
    cdef Cells* cells = batch.cells
    cdef Core* core = batch.core
    cdef Cell* cell = cell_of(cells, index)
    cdef int woken = 1
    if may_run_here(core):
        if core.copies_context:
            enter_fresh_context()
        _run_items(batch, cells.fed.load(), index)
        if core.copies_context:
            leave_context()
    try:
        while cell.state.load() == EMPTY:
            if _never_comes(batch, index):
                _raise_purged(core)
            if not woken:
                raise TimeoutError
            _list_reader(core, cells, &waiter)
            gate_enter(&core.mapping, &waiter)
            cells.awaited.store(index)
            if cell.state.load() != EMPTY or _never_comes(batch, index):
                gate_leave(&core.mapping, &waiter)
                continue
            try:
                woken = sleep_until_woken(&waiter, deadline, has_spare_processor(core))
            except:
                gate_leave(&core.mapping, &waiter)
                raise
            if not woken:
                gate_leave(&core.mapping, &waiter)
    finally:
        cells.awaited.store(NOBODY)
        _list_reader(core, cells, NULL)
    return 0


cdef bint _never_comes(Batch batch, uint64_t index) noexcept:
    # After a purge no item is claimed any more; in a forked child nobody runs those that were.
    if not _purged(batch):
        return False
    _stop_claiming(batch)
    return batch.cells.claimed.load() & ~ENDED_BIT <= index or batch.core.forked.load() != 0


cdef void _list_reader(Core* core, Cells* cells, Waiter* waiter) noexcept:
    core.mapping.lock.lock()
    cells.reader = waiter
    core.mapping.lock.unlock()


cdef int _raise_purged(Core* core) except -1:
    if core.forked.load():
        raise BrokenThreadPool(FORKED)
    if core.broken.load():
        raise BrokenThreadPool(INITIALIZER_FAILED)
    raise CancelledError


# ---- the feeder ------------------------------------------------------------------------

cdef int _feed(BatchResults self, Engine engine, uint64_t limit) except -1:
    # Publishes every item before it asks for the next, which may wait for what
    # this one does.
    cdef Batch batch = self.batch
    cdef Cells* cells = batch.cells
    cdef Core* core = batch.core
    cdef PyObject* item
    cdef PyObject* iterator = <PyObject*>self.iterator
    cdef Cell* cell
    cdef uint64_t fed = cells.fed.relaxed()
    while limit:
        item = PyIter_Next(iterator)
        if item == NULL:
            self.iterator = None
            return -1 if PyErr_Occurred() != NULL else 0
        cell = _new_cell(cells, fed)
        if cell == NULL:
            Py_DECREF(item)
            raise MemoryError
        hand_over(item)
        cell.object = item
        fed += 1
        cells.fed.store(fed)
        if cells.runners.load() < core.max_workers or ring_is_closed(&core.ring):
            _submit_runner(batch, engine)
        limit -= 1
    return 0


cdef Cell* _new_cell(Cells* cells, uint64_t index) noexcept:
    # NULL: no memory.
    cdef uint64_t j = index + FIRST_SEGMENT
    cdef unsigned int segment = 0
    if cells.mask:
        if index == 0:
            cells.segments[0] = cells_alloc(cells.mask + 1)
            if cells.segments[0] == NULL:
                return NULL
    elif not j & (j - 1):
        while <uint64_t>FIRST_SEGMENT << segment < j:
            segment += 1
        cells.segments[segment] = cells_alloc(j)
        if cells.segments[segment] == NULL:
            return NULL
    return cell_of(cells, index)


cdef int _submit_runner(Batch batch, Engine engine) except -1:
    cdef PyObject* call[1]
    check_callable(<PyObject*>batch.fn)
    call[0] = <PyObject*>batch
    batch.cells.runners.add(1)
    try:
        Py_DECREF(admit(engine, call, 1, NULL, FOREVER))
    except:
        batch.cells.runners.sub(1)
        raise
    return 0


# ---- the collector ---------------------------------------------------------------------

cdef traverseproc inherited_traverse
ctypedef int (*clearproc)(PyObject*) noexcept
cdef clearproc inherited_clear


cdef int _traverse(Batch self, visitproc visit, void* arg) noexcept:
    cdef int stop = inherited_traverse(<PyObject*>self, visit, arg)
    cdef uint64_t i = self.cells.taken
    cdef uint64_t fed = self.cells.fed.load()
    cdef Cell* cell
    while not stop and i != fed:
        cell = cell_of(self.cells, i)
        if cell.object != NULL:
            stop = visit(cell.object, arg)
        i += 1
    return stop


cdef int _clear(Batch self) noexcept:
    # Only reached when no runner is left, for the queue would hold it.
    inherited_clear(<PyObject*>self)
    _stop_claiming(self)
    _drop(self, self.cells.taken, self.cells.claimed.load() & ~ENDED_BIT)
    return 0


cdef void _see_cells(PyTypeObject* type) noexcept:
    global inherited_traverse, inherited_clear
    inherited_traverse = type.tp_traverse
    inherited_clear = <clearproc><void*>type.tp_clear
    type.tp_traverse = <traverseproc><void*>_traverse
    type.tp_clear = <inquiry><void*>_clear


_see_cells(<PyTypeObject*>Batch)
