"""Maps: who feeds the items and reads the results. The protocol: batch.pxd."""

import weakref
from concurrent.futures import CancelledError
from concurrent.futures.thread import BrokenThreadPool

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringpool._core.admission cimport admit, check_callable
from ringpool._core.batch cimport (
    EMPTY,
    FIRST_SEGMENT,
    RAISED,
    RETURNED,
    WIDEST_RING,
    Batch,
    batch_give_up_reading,
    batch_purged,
    batch_run_items,
    batch_stop_claiming,
    cell_of,
)
from ringpool._core.engine cimport Engine
from ringpool._core.here cimport may_run_here
from ringpool._core.layout cimport (
    ENDED_BIT,
    FOREVER,
    NOBODY,
    PATIENT,
    Cell,
    Cells,
    Core,
    Waiter,
    Word,
    cells_alloc,
    cells_free,
    has_spare_processor,
    log2_of,
    now_ns,
)
from ringpool._core.parking cimport deadline_of, gate_enter, gate_leave, sleep_until_woken
from ringpool._core.python cimport (
    Py_DECREF,
    PyContext_CopyCurrent,
    PyErr_Occurred,
    context_is_empty,
    context_of,
    current_thread_state,
    hand_over,
    next_of,
    owned,
)
from ringpool._core.ring cimport ring_is_closed
from ringpool._core.run cimport enter_fresh_context, leave_context

from ringpool._core.waiting import after_wait, before_item_wait
from ringpool._core.worker import FORKED, INITIALIZER_FAILED


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
        self.batch.purges.store(core.purges.load())
        self.batch.fn = fn
        self.batch.spread = len(iterables) != 1
        if self.batch.spread:
            self.iterator = zip(*iterables)
        elif _counts(self.batch, iterables[0]):
            self.iterator = iterables[0]
        else:
            self.iterator = iter(iterables[0])
        if core.copies_context and not context_is_empty(context_of(current_thread_state())):
            self.batch.context = <object>PyContext_CopyCurrent()
            Py_DECREF(<PyObject*>self.batch.context)
        if window <= WIDEST_RING:
            while size <= window:
                size <<= 1
            self.batch.cells.mask = size - 1
        try:
            _feed(self, engine, window, PATIENT)
        except BaseException:
            self.begun = True
            _end(self)
            raise
        self.executor = weakref.ref(engine) if self.iterator is not None else None

    def __dealloc__(self):
        if self.batch is not None:
            if self.begun:
                batch_stop_claiming(self.batch)
            batch_give_up_reading(self.batch)

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
                return owned(ready)
        return self.next_slowly()

    cdef object next_slowly(self):
        # A method, which no compiler makes part of the quick way and its frame.
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


cdef int _end(BatchResults self) except -1:
    batch, self.batch = self.batch, None
    self.iterator = None
    self.executor = None
    if batch is not None:
        if self.begun:
            batch_stop_claiming(batch)
        batch_give_up_reading(batch)
    return 0


cdef object _next(BatchResults self):
    cdef Cells* cells = self.batch.cells
    cdef uint64_t index = cells.taken
    cdef Cell* cell
    cdef uint32_t state
    if self.iterator is not None and not batch_purged(self.batch):
        engine = self.executor()
        if engine is not None:
            _feed(self, engine, 1, PATIENT if self.deadline == FOREVER else self.deadline)
        del engine
    if index == cells.fed.load():
        if self.iterator is not None and batch_purged(self.batch):
            _raise_purged(self.batch)           # there may be more, and nobody to run it
        raise StopIteration
    cell = cell_of(cells, index)
    if cell.state.acquire() == EMPTY:
        _wait(self.batch, index, self.deadline)
    state = cell.state.acquire()
    outcome = owned(_take(cells, cell))
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
    cdef bint entered
    cdef bint waits = False
    if may_run_here(core):
        entered = core.copies_context and enter_fresh_context()
        batch_run_items(batch, cells.fed.load(), index)
        if entered:
            leave_context()
        waits = cell.state.load() == EMPTY and before_item_wait()
    try:
        while cell.state.load() == EMPTY:
            if _never_comes(batch, index):
                _raise_purged(batch)
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
        if waits:
            after_wait()
    return 0


cdef bint _never_comes(Batch batch, uint64_t index) noexcept:
    # After a purge no item is claimed any more; in a forked child nobody runs those that were.
    if not batch_purged(batch):
        return False
    batch_stop_claiming(batch)
    return batch.cells.claimed.load() & ~ENDED_BIT <= index or batch.core.forked.load() != 0


cdef void _list_reader(Core* core, Cells* cells, Waiter* waiter) noexcept:
    core.mapping.lock.lock()
    cells.reader = waiter
    core.mapping.lock.unlock()


cdef int _raise_purged(Batch batch) except -1:
    if batch.core.forked.load():
        raise BrokenThreadPool(FORKED)
    if batch.core.broken.load():
        raise BrokenThreadPool(INITIALIZER_FAILED)
    if batch.lost is not None:
        raise batch.lost
    raise CancelledError


# ---- the feeder ------------------------------------------------------------------------

cdef bint _counts(Batch batch, iterable):
    # Whether whoever runs an item is to make it: those of a range, if they fit.
    if type(iterable) is not range or not iterable:
        return False
    try:
        batch.count = len(iterable)
        batch.first = iterable[len(iterable) - 1]       # so the others fit as well
        batch.first = iterable.start
        batch.step = iterable.step
    except OverflowError:
        return False
    return True


cdef int _feed_numbers(BatchResults self, Engine engine, uint64_t limit, int64_t patience) except -1:
    cdef Batch batch = self.batch
    cdef Cells* cells = batch.cells
    cdef uint64_t fed = cells.fed.relaxed()
    cdef uint64_t end = fed + min(limit, batch.count - fed)
    cdef uint64_t i = fed
    while i < end:
        if _new_cell(cells, i, True) == NULL:
            raise MemoryError
        i = end if cells.mask else (<uint64_t>2 << log2_of(i + FIRST_SEGMENT)) - FIRST_SEGMENT     # the next segment's
    cells.fed.store(end)
    if end == batch.count:
        self.iterator = None
    # A runner may have run them all before the next one is submitted, and left.
    while fed < end and cells.claimed.load() < end and _lacks_runner(batch):
        _submit_runner(batch, engine, patience)
        fed += 1
    return 0


cdef inline bint _lacks_runner(Batch batch) noexcept:
    cdef Core* core = batch.core
    return batch.cells.runners.load() < core.max_workers.load() or ring_is_closed(&core.ring)


cdef int _feed(BatchResults self, Engine engine, uint64_t limit, int64_t patience) except -1:
    # Publishes every item before it asks for the next, which may wait for what
    # this one does.  `patience`: until when a runner waits for room in the queue.
    cdef Batch batch = self.batch
    cdef Cells* cells = batch.cells
    cdef PyObject* item
    cdef PyObject* iterator = <PyObject*>self.iterator
    cdef Cell* cell
    cdef uint64_t fed = cells.fed.relaxed()
    if batch.step:
        return _feed_numbers(self, engine, limit, patience)
    while limit:
        item = next_of(iterator)
        if item == NULL:
            self.iterator = None
            return -1 if PyErr_Occurred() != NULL else 0
        cell = _new_cell(cells, fed, False)
        if cell == NULL:
            Py_DECREF(item)
            raise MemoryError
        hand_over(item)
        cell.object = item
        cell.state.set(EMPTY)
        fed += 1
        cells.fed.store(fed)
        if _lacks_runner(batch):
            _submit_runner(batch, engine, patience)
        limit -= 1
    return 0


cdef inline Cell* _new_cell(Cells* cells, uint64_t index, bint empty) noexcept:
    # NULL: no memory.
    cdef uint64_t j = index + FIRST_SEGMENT
    cdef unsigned int segment = 0
    if cells.mask:
        if index == 0:
            cells.segments[0] = cells_alloc(cells.mask + 1, empty)
            if cells.segments[0] == NULL:
                return NULL
    elif not j & (j - 1):
        while <uint64_t>FIRST_SEGMENT << segment < j:
            segment += 1
        cells.segments[segment] = cells_alloc(j, empty)
        if cells.segments[segment] == NULL:
            return NULL
    return cell_of(cells, index)


cdef int _submit_runner(Batch batch, Engine engine, int64_t patience) except -1:
    cdef PyObject* call[1]
    check_callable(<PyObject*>batch.fn)
    call[0] = <PyObject*>batch
    batch.cells.runners.add(1)
    try:
        Py_DECREF(admit(engine, call, 1, NULL, patience))
    except RuntimeError as error:
        batch.cells.runners.sub(1)
        if patience != PATIENT and now_ns() >= patience and not ring_is_closed(&batch.core.ring):
            raise TimeoutError from error
        raise
    except:
        batch.cells.runners.sub(1)
        raise
    return 0
