# The Core: what pool object and workers share, from its making to its end.

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint32_t, uint64_t

from ringpool._core.layout cimport Core, Entry, relax
from ringpool._core.parking cimport gate_wake_all, gate_wake_one, wake_all
from ringpool._core.python cimport Py_DECREF, Py_INCREF
from ringpool._core.ring cimport (
    PUT,
    ring_close,
    ring_free,
    ring_is_closed,
    ring_is_drained,
    ring_length,
    ring_open,
    ring_put,
    ring_take,
)
from ringpool._core.room cimport room_made, room_wake_all
from ringpool._core.shelf cimport (
    ANY,
    accepted,
    let_go_if_drained,
    shelf_close,
    shelf_take_out,
    take_unstarted,
    tell_if_runnable,
)


cdef inline Core* core_new(
    uint32_t max_workers, uint64_t capacity, uint64_t keep, bint copies_context, object future_type
) except NULL:
    # capacity 0: no bound.
    cdef Core* core = new Core()
    if not ring_open(&core.ring, capacity) or not ring_open(&core.finished, 0):
        ring_free(&core.ring)
        del core
        raise MemoryError(f"capacity is too great for the memory there is: {capacity}")
    core.max_workers.set(max_workers)
    core.min_workers.set(max_workers)
    core.shelf.workers = max_workers
    core.keep.set(keep)
    core.copies_context = copies_context
    core.future_type = <PyTypeObject*>future_type
    Py_INCREF(<PyObject*>future_type)
    core.unrun.core = core
    core.references.store(1)
    return core


cdef inline void core_release(Core* core) noexcept:
    # The last one out: the ring is drained, and nobody is left to put or take.
    cdef size_t i
    if core.references.sub(1) != 1:
        return
    forget_finished(core)
    for i in range(core.roster.size()):
        del core.roster[i]
    ring_free(&core.ring)
    ring_free(&core.finished)
    Py_DECREF(<PyObject*>core.future_type)
    del core


cdef inline void forget_finished(Core* core) noexcept:
    cdef PyObject* job = <PyObject*>ring_take(&core.finished)
    while job != NULL:
        Py_DECREF(job)
        job = <PyObject*>ring_take(&core.finished)


cdef inline void core_close(Core* core) noexcept nogil:
    ring_close(&core.ring)
    wake_all(&core.idlers)
    room_wake_all(core)
    core.clock.parker.unpark()
    tell_if_quiet(core)


cdef inline uint64_t unfinished(Core* core) noexcept nogil:
    # Jobs accepted and not dealt with, tombstones included: never too few.
    # What is done is read first, so that it cannot overtake what was accepted.
    cdef uint64_t done = core.removed.load()
    cdef size_t i
    core.roster_lock.lock()
    done += core.retired.taken
    for i in range(core.roster.size()):
        done += core.roster[i].taken.read()
    core.roster_lock.unlock()
    if core.planned.load():
        # A put that has found the queue open counts its job before it gives this lock back:
        # who has seen it closed since then misses none.
        core.shelf.lock.lock()
        core.shelf.lock.unlock()
    return accepted(core) - done


cdef inline bint is_quiet(Core* core, bint workers_too, bint hiring) noexcept nogil:
    # Is nothing left to do?  And have the workers left, if asked for, except
    # one that the calling thread itself is about to start?
    return unfinished(core) == 0 and not (
        workers_too and core.reserved.load() - core.gone.load() + core.spares.load() + core.keepers.load() > <uint32_t>hiring
    )


cdef inline void tell_if_quiet(Core* core) noexcept nogil:
    # Ordered by the gates' locks alone: see gate_wake_all.
    if unfinished(core) == 0:
        gate_wake_all(&core.quiet)
        if ring_is_closed(&core.ring):
            gate_wake_all(&core.readers)
            core.clock.parker.unpark()


cdef inline void has_left(Core* core) noexcept nogil:
    # A job that was delivered, and not run, waits no more: its place is free, and so is its key.
    core.removed.add(1)
    room_made(core)
    tell_if_runnable(core)
    let_go_if_drained(core)                     # closed meanwhile
    tell_if_quiet(core)


cdef inline void was_taken_out(Core* core, PyObject* job) noexcept:
    # Of a job that has ended while it waited: shelf_take_out() has found it.
    deliver(core, job)
    has_left(core)


cdef inline void purge_begin(Core* core) noexcept nogil:
    # Whatever waits in the queue is resolved: purge_next until NULL, purge_end.  The purge
    # is counted first: items of maps, which are not in the queue, go by it.
    core.purges.add(1)
    gate_wake_all(&core.mapping)
    if core.stop_asked.load():
        shelf_close(core)                       # or a key that we free would start the next of its jobs


cdef inline PyObject* purge_next(Core* core) noexcept nogil:
    # Of a closed queue: until the ring was drained before a look.  What others move from it to
    # the shelf meanwhile, which may be shut, is nobody's but ours.
    cdef PyObject* job
    cdef bint last
    while True:
        last = not ring_is_closed(&core.ring) or ring_is_drained(&core.ring)
        job = take_unstarted(core, ANY)
        if job != NULL or last:
            return job
        relax()                                 # a producer has claimed its position and is not done


cdef inline void purge_end(Core* core) noexcept nogil:
    if ring_is_closed(&core.ring):
        wake_all(&core.idlers)                  # who waited for a key or a time
    else:
        tell_if_runnable(core)                  # a key was freed
    tell_if_quiet(core)


cdef inline void deliver(Core* core, PyObject* job) noexcept:
    # Takes over the reference to a resolved job.  Without a reader the oldest
    # futures are forgotten; with one, producers are held back instead.
    cdef PyObject* oldest
    cdef uint64_t keep = core.keep.load()
    if keep == 0 or ring_put(&core.finished, job) != PUT:
        if keep:
            core.forgotten.add(1)       # for want of memory: results() says so
        Py_DECREF(job)
        return
    gate_wake_one(&core.readers)
    while not core.reading.load() and ring_length(&core.finished) > keep:
        oldest = NULL
        core.forgetting.lock()
        if not core.reading.load():
            oldest = <PyObject*>ring_take(&core.finished)
            if oldest != NULL:
                core.forgotten.add(1)
        core.forgetting.unlock()
        if oldest == NULL:
            break
        Py_DECREF(oldest)
