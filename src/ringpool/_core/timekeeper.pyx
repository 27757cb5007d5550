"""
The timekeeper: one thread of a queue that makes due what is due.

It puts delayed jobs and those to be tried again back into their lanes, and
calls what was set to be called (time limits, expiry, the watchdog). Started
when the queue is first given something to wait for; it sleeps until the next
due time and ends with the queue. No worker waits for a time.
"""

import threading

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool

from ringpool._core.core cimport core_release, unfinished
from ringpool._core.engine cimport Engine, core_of_pool
from ringpool._core.here cimport belong_to, keeps_time_of
from ringpool._core.layout cimport LATEST, SOON_NS, Call, Core, Word, now_ns
from ringpool._core.parking cimport gate_wake_all, sleep_until_woken
from ringpool._core.python cimport Py_DECREF, Py_INCREF, Py_XDECREF, Py_XINCREF
from ringpool._core.ring cimport ring_is_closed
from ringpool._core.shelf cimport shelf_make_due, shelf_next_due, work_ready
from ringpool._core.worker cimport hire_for_queued, make_up_for_waits

cdef enum:
    NEW, ALIVE, ABANDONED


cdef class TimekeeperMain:
    """What the thread runs; refers to the core and not to the pool object."""

    cdef Core* core
    cdef object initializer, finalizer, prefix      # of the queue's workers
    cdef set threads
    cdef Word[uint32_t] phase           # NEW, then ALIVE or ABANDONED

    def __cinit__(self):
        self.core = NULL

    def __dealloc__(self):
        if self.core != NULL:
            core_release(self.core)

    def __call__(self):
        cdef Core* core = self.core
        cdef uint32_t nobody = 0, expected = NEW
        if not self.phase.cas(expected, ALIVE):
            return                          # whoever started the thread gave up on it
        belong_to(core)                     # a call that waits for the queue's end would wait for itself
        while True:
            self._keep(core)
            _call_due(core, LATEST)        # due or not: whoever asked for it looks whether anything is left
            core.keepers.store(0)
            # Who sets a call and then finds a timekeeper relies on it.
            if not _has_calls(core) or not core.keepers.cas(nobody, 1):
                break
            nobody = 0
        belong_to(NULL)
        gate_wake_all(&core.quiet)

    cdef _keep(self, Core* core):
        # Until the queue has nothing left to do.
        cdef int64_t due = 0
        cdef bint closed
        while True:
            closed = ring_is_closed(&core.ring)
            try:
                due = self._make_due(core)
            except BaseException:
                due = now_ns() + SOON_NS    # no memory, as a rule
            if closed and unfinished(core) == 0:
                return
            try:
                sleep_until_woken(&core.clock, due)
            except BaseException:
                pass                        # a signal handler's, in a forked child

    cdef int64_t _make_due(self, Core* core) except? -1:
        # The next due time; FOREVER: none.
        cdef int64_t now = now_ns()
        shelf_make_due(core, now)
        if core.elastic.load() and work_ready(core):
            # Of the workers there may be, some have left, and the others may be busy.
            hire_for_queued(core, self.initializer, self.finalizer, self.threads, self.prefix)
        cdef bint made_up = make_up_for_waits(core, self.initializer, self.finalizer, self.threads, self.prefix)
        _call_due(core, now)
        return shelf_next_due(core) if made_up else now_ns() + SOON_NS


cdef bint _has_calls(Core* core) noexcept:
    cdef Call call
    cdef int64_t due
    cdef bint found
    core.shelf.lock.lock()
    found = core.shelf.calls.first(LATEST, &due, &call)
    core.shelf.lock.unlock()
    return found


cdef void _call_due(Core* core, int64_t limit) noexcept:
    # What is due by then, each once; what finds no memory is called again soon.
    cdef Call call
    cdef int64_t due = 0
    cdef bint found
    while True:
        core.shelf.lock.lock()
        found = core.shelf.calls.first(limit, &due, &call)
        Py_XINCREF(call.function)
        core.shelf.lock.unlock()
        if not found:
            return
        if _has_called(<object>call.function):
            _drop_call(core, due, call.id)
        else:
            core.shelf.lock.lock()
            core.shelf.calls.put_off(due, call.id, now_ns() + SOON_NS)
            core.shelf.lock.unlock()
        Py_DECREF(call.function)
        call.function = NULL


cdef bint _has_called(object function) noexcept:
    try:
        function()
    except MemoryError:
        return False
    except BaseException:
        pass
    return True


cdef void _drop_call(Core* core, int64_t due, uint64_t number) noexcept:
    cdef PyObject* function
    core.shelf.lock.lock()
    function = core.shelf.calls.drop(due, number)
    core.shelf.lock.unlock()
    Py_XDECREF(function)


def keep_time(Engine pool not None):
    """Start the queue's timekeeper, unless it has one. Raises RuntimeError when no thread can be started."""
    cdef Core* core = core_of_pool(pool)
    cdef TimekeeperMain main
    cdef uint32_t nobody = 0, expected = NEW
    if core.keepers.load() or not core.keepers.cas(nobody, 1):
        return                          # the one there looks at its timers once more before it ends
    thread = main = None
    try:
        main = TimekeeperMain()
        core.references.add(1)
        main.core = core
        main.initializer = pool._worker_initializer
        main.finalizer = pool._worker_finalizer
        main.threads = pool._threads
        main.prefix = pool._thread_name_prefix
        thread = threading.Thread(target=main, name=f"{pool._thread_name_prefix}_clock", daemon=False)
        pool._threads.add(thread)
        thread.start()
    except BaseException:
        if main is None or main.phase.cas(expected, ABANDONED):
            pool._threads.discard(thread)
            core.keepers.store(0)
            gate_wake_all(&core.quiet)
        raise                           # else a signal handler's, while we waited for it to begin


def call_at(Engine pool not None, int64_t due, call):
    """Have *call* called at *due* (:func:`now`), by the timekeeper; returns what :func:`call_off` takes."""
    cdef bool soonest = False
    cdef bint kept
    cdef Call one
    cdef Core* core = core_of_pool(pool)
    core.shelf.lock.lock()
    one.id = core.shelf.calls.number()
    core.shelf.lock.unlock()
    timer = due, one.id                 # when there is no memory for it, nothing has been set
    one.function = <PyObject*>call
    Py_INCREF(one.function)
    core.shelf.lock.lock()
    kept = core.shelf.set_call(due, one, &soonest)
    core.shelf.lock.unlock()
    if not kept:
        Py_DECREF(one.function)
        raise MemoryError
    if soonest:
        core.clock.parker.unpark()
    return timer


def call_off(Engine pool not None, timer):
    """The call will not be made, unless it is being made."""
    _drop_call(core_of_pool(pool), timer[0], timer[1])


def now():
    """Nanoseconds on the monotonic clock, which due times are on."""
    return now_ns()


def is_timekeeper(Engine pool not None):
    """Is the calling thread the one that keeps the time of this queue?"""
    return keeps_time_of(core_of_pool(pool))
