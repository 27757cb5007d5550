"""Jobs that no worker will run: cancelled, dropped, expired, or failed without having been started."""

from concurrent.futures.thread import BrokenThreadPool

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.core cimport deliver, has_left, purge_begin, purge_end, purge_next
from ringpool._core.future cimport FutureBase, future_run_callbacks, future_settle
from ringpool._core.jobword cimport CANCELLED_AND_NOTIFIED, FAILED, FINISHED, PENDING, PHASE, RUNNING
from ringpool._core.layout cimport Core, Objects, Resolving, resolving_drop, resolving_put
from ringpool._core.python cimport Py_DECREF, Py_INCREF
from ringpool._core.room cimport room_made
from ringpool._core.shelf cimport LATER, absorb, take_unstarted, tell_if_runnable


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
    cdef PyObject* job
    interrupted = None
    purge_begin(core)
    while True:
        job = purge_next(core)
        if job == NULL:
            break
        future = <object>job
        try:
            if resolve(core, job, broken_message) and ended is not None:
                ended.append(future)
        except BaseException as error:
            interrupted = error                 # what is left would be nobody's
    purge_end(core)
    if interrupted is not None:
        raise interrupted


cdef resolve_later(Core* core):
    # What is not due yet, and nothing will wait for a time from now on.
    cdef PyObject* job
    interrupted = None
    core.hurried.store(1)
    job = take_unstarted(core, LATER)
    while job != NULL:
        try:
            resolve(core, job, None)
        except BaseException as error:
            interrupted = error                 # likewise
        job = take_unstarted(core, LATER)
    purge_end(core)
    if interrupted is not None:
        raise interrupted


cdef bint _is_tombstone(PyObject* job) noexcept nogil:
    return (<FutureBase>job).state.acquire() & PHASE != PENDING


cdef bint sweep(Core* core) noexcept:
    # Whether plain jobs that ended while they were queued, or are run in place, have given their places
    # back now, and not when a worker gets to them.  Looks through the whole queue, under its lock.
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
        has_left(core)
    tell_if_runnable(core)                      # while a job was moved from the ring, nobody could see it
    return ended.size() != 0


cdef bint resolve(Core* core, PyObject* job, broken_message) except -1:
    # Takes over the reference to a job that was taken from the queue and not started.
    # False: it had ended before.  Ends it also where a signal handler raises meanwhile, or
    # there is no memory for the error; that comes out when the books are right.
    cdef bint ended = False
    cdef bint settled = False
    cdef Resolving one
    interrupted = None
    one.job = job
    resolving_put(core, &one)
    try:
        ended = broken_message is not None and fail(<FutureBase>job, BrokenThreadPool(broken_message))
    except BaseException as error:
        interrupted = error
    while not settled:
        try:
            ended = future_settle(<FutureBase>job, 1 << PENDING, CANCELLED_AND_NOTIFIED, NULL) or ended
            settled = True
        except BaseException as error:
            interrupted = error
    resolving_drop(core, &one)
    core.unrun.tombstones.sub(1)
    Py_INCREF(job)
    deliver(core, job)
    core.removed.add(1)
    room_made(core)
    # Last, when the books are right: a callback may wait for the end.
    future_run_callbacks(<FutureBase>job)
    Py_DECREF(job)
    if interrupted is not None:
        raise interrupted
    return ended
