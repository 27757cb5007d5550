"""Jobs that no worker will run: cancelled, dropped, expired, or failed without having been started."""

from concurrent.futures.thread import BrokenThreadPool

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.core cimport deliver, tell_if_quiet
from ringpool._core.future cimport (
    CANCELLED_AND_NOTIFIED,
    FAILED,
    FINISHED,
    PENDING,
    PHASE,
    RUNNING,
    FutureBase,
    future_run_callbacks,
    future_settle,
)
from ringpool._core.layout cimport Core, Objects, relax
from ringpool._core.parking cimport gate_wake_all, gate_wake_one, wake_all
from ringpool._core.python cimport Py_DECREF, Py_INCREF
from ringpool._core.ring cimport ring_is_closed, ring_is_drained
from ringpool._core.shelf cimport (
    ANY,
    LATER,
    absorb,
    let_go_if_drained,
    shelf_close,
    take_unstarted,
    tell_if_runnable,
)


cdef bint settle_unrun(FutureBase job, error, uint32_t kind) except -1:
    # Ends a job that has not started; False: it has, or has ended.
    Py_INCREF(<PyObject*>error)
    if not future_settle(job, 1 << PENDING, FINISHED | FAILED | kind, <PyObject*>error):
        Py_DECREF(<PyObject*>error)
        return False
    future_run_callbacks(job)
    return True


cdef bint fail(FutureBase job, exception) except -1:
    cdef PyObject* error = <PyObject*>exception
    Py_INCREF(error)
    if future_settle(job, 1 << PENDING | 1 << RUNNING, FINISHED | FAILED, error):
        return True
    Py_DECREF(error)
    return False


cdef resolve_queued(Core* core, broken_message, list ended):
    # Everything still in the queue: cancelled, or failed with BrokenThreadPool; the
    # futures that this has ended are put into `ended`, unless that is None.
    # The purge is counted first: items of maps, which are not in the queue, go by it.
    cdef PyObject* job
    core.purges.add(1)
    gate_wake_all(&core.mapping)
    if core.stop_asked.load():
        shelf_close(core)                       # or a key that we free would start the next of its jobs
    while True:
        job = take_unstarted(core, ANY)
        if job != NULL and ended is None:
            resolve(core, job, broken_message)
        elif job != NULL:
            future = <object>job
            if resolve(core, job, broken_message):
                ended.append(future)
        elif not ring_is_closed(&core.ring) or ring_is_drained(&core.ring):
            break
        else:
            relax()                             # a producer has claimed its position and is not done
    if ring_is_closed(&core.ring):
        wake_all(&core.idlers)                  # who waited for a key or a time
    else:
        tell_if_runnable(core)
    tell_if_quiet(core)


cdef resolve_later(Core* core):
    # What is not due yet, and nothing will wait for a time from now on.
    cdef PyObject* job
    core.hurried.store(1)
    job = take_unstarted(core, LATER)
    while job != NULL:
        resolve(core, job, None)
        job = take_unstarted(core, LATER)
    if ring_is_closed(&core.ring):
        wake_all(&core.idlers)
    else:
        tell_if_runnable(core)                  # a key was freed
    tell_if_quiet(core)


cdef bint _is_tombstone(PyObject* job) noexcept nogil:
    return (<FutureBase>job).state.acquire() & PHASE != PENDING


cdef bint sweep(Core* core) noexcept:
    # Whether jobs that ended while they were queued, or are run in place, have given their
    # places back now, and not when a worker gets to them.  Looks through the whole queue, under its lock.
    cdef Objects ended
    cdef size_t i
    core.planned.store(1)
    core.shelf.lock.lock()
    absorb(core)
    core.shelf.sweep(_is_tombstone, &ended)
    core.shelf.lock.unlock()
    for i in range(ended.size()):
        core.unrun.tombstones.sub(1)
        deliver(core, ended[i])
        core.removed.add(1)
        gate_wake_one(&core.room)
    tell_if_runnable(core)                      # keys were freed
    let_go_if_drained(core)                     # closed meanwhile
    tell_if_quiet(core)
    return ended.size() != 0


cdef bint resolve(Core* core, PyObject* job, broken_message) except -1:
    # Takes over the reference to a job that was taken from the queue and not started.
    # False: it had ended before.
    cdef bint ended = False
    try:
        ended = broken_message is not None and fail(<FutureBase>job, BrokenThreadPool(broken_message))
    finally:
        # Without a message; or there was no memory for the error.
        if future_settle(<FutureBase>job, 1 << PENDING, CANCELLED_AND_NOTIFIED, NULL):
            ended = True
        core.unrun.tombstones.sub(1)
        Py_INCREF(job)
        deliver(core, job)
        core.removed.add(1)
        gate_wake_one(&core.room)
        # Last, when the books are right: a callback may wait for the end.
        future_run_callbacks(<FutureBase>job)
        Py_DECREF(job)
    return ended
