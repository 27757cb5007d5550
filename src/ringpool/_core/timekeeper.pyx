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
from ringpool._core.future cimport FutureBase, extension_of
from ringpool._core.layout cimport Core, Entry, Objects, Timer, now_ns, object_put
from ringpool._core.parking cimport gate_wake_all, sleep_until_woken
from ringpool._core.python cimport Py_DECREF, Py_INCREF
from ringpool._core.ring cimport ring_is_closed
from ringpool._core.shelf cimport shelf_arrive, tell_workers, work_ready
from ringpool._core.worker cimport belong_to, call_quietly, hire_for_queued, keeps_time_of, make_up_for_waits

cdef enum:
    SOON_NS = 10_000_000            # when there is no memory to go on: try again after this


cdef class TimekeeperMain:
    """What the thread runs; refers to the core and not to the pool object."""

    cdef Core* core
    cdef object initializer, finalizer, prefix      # of the queue's workers
    cdef set threads

    def __cinit__(self):
        self.core = NULL

    def __dealloc__(self):
        if self.core != NULL:
            core_release(self.core)

    def __call__(self):
        cdef Core* core = self.core
        cdef uint32_t nobody = 0
        belong_to(core)                     # a call that waits for the queue's end would wait for itself
        while True:
            self._keep(core)
            _call_all(core)
            core.keepers.store(0)
            # Who sets a timer and then finds a timekeeper relies on it.
            if not _has_timers(core) or not core.keepers.cas(nobody, 1):
                break
            nobody = 0
        belong_to(NULL)
        gate_wake_all(&core.quiet)

    cdef _keep(self, Core* core):
        # Until the queue has nothing left to do.
        cdef Objects calls
        cdef int64_t due
        cdef bint closed
        while True:
            closed = ring_is_closed(&core.ring)
            due = _make_due(core, &calls)
            if core.elastic.load() and work_ready(core):
                # Of the workers there may be, some have left, and the others may be busy.
                hire_for_queued(core, self.initializer, self.finalizer, self.threads, self.prefix)
            make_up_for_waits(core, self.initializer, self.finalizer, self.threads, self.prefix)
            _call(&calls)
            if closed and unfinished(core) == 0:
                return
            sleep_until_woken(&core.clock, due)


cdef bint _has_timers(Core* core) noexcept:
    cdef bint found
    core.shelf.lock.lock()
    found = core.shelf.next_due() >= 0
    core.shelf.lock.unlock()
    return found


cdef void _call(Objects* calls) noexcept:
    cdef size_t i
    for i in range(calls.size()):
        call_quietly(<object>calls[0][i])
        Py_DECREF(calls[0][i])
    calls.clear()


cdef int64_t _make_due(Core* core, Objects* calls) noexcept:
    # The next due time; FOREVER, which is negative: none.
    cdef Timer timer
    cdef int64_t now, next_due
    cdef bool soonest = False
    cdef uint32_t moved = 0                 # so many may start now
    core.shelf.lock.lock()
    now = now_ns()
    while core.shelf.take_due(now, &timer):
        if timer.call != NULL:
            if not object_put(calls, timer.call):
                core.shelf.set_timer(now + SOON_NS, timer.entry, timer.call, &soonest)
                break
        elif timer.entry.job != NULL:
            shelf_arrive(core, &timer.entry)
            extension_of(<FutureBase>timer.entry.job).wish.arrival = timer.entry.arrival
            moved += 1
        elif core.shelf.closed_until <= now:
            core.shelf.closed_until = 0     # what a rate limit has held back
            core.shelf.look()
            moved += 1
    next_due = core.shelf.next_due()
    core.shelf.lock.unlock()
    for _ in range(moved):
        tell_workers(core)
    return next_due


cdef void _call_all(Core* core) noexcept:
    # At the end, due or not: whoever asked for it looks whether anything is left.
    cdef Timer timer
    cdef Objects calls
    cdef bint found = True
    while found:
        core.shelf.lock.lock()
        found = core.shelf.take_due(1 << 62, &timer)
        core.shelf.lock.unlock()
        if found and timer.call != NULL:
            if object_put(&calls, timer.call):
                _call(&calls)
            else:
                Py_DECREF(timer.call)


def keep_time(Engine pool not None):
    """Start the queue's timekeeper, unless it has one. Raises RuntimeError when no thread can be started."""
    cdef Core* core = core_of_pool(pool)
    cdef TimekeeperMain main
    cdef uint32_t nobody = 0
    if core.keepers.load() or not core.keepers.cas(nobody, 1):
        return                          # the one there looks at its timers once more before it ends
    thread = None
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
        pool._threads.discard(thread)
        core.keepers.store(0)
        gate_wake_all(&core.quiet)
        raise


def call_at(Engine pool not None, int64_t due, call):
    """Have *call* called at *due* (:func:`now`), by the timekeeper; returns what :func:`call_off` takes."""
    cdef bool soonest = False
    cdef uint64_t timer
    cdef Entry nobody
    cdef Core* core = core_of_pool(pool)
    Py_INCREF(<PyObject*>call)
    core.shelf.lock.lock()
    timer = core.shelf.set_timer(due, nobody, <PyObject*>call, &soonest)
    core.shelf.lock.unlock()
    if timer == 0:
        Py_DECREF(<PyObject*>call)
        raise MemoryError
    if soonest:
        core.clock.parker.unpark()
    return due, timer


def call_off(Engine pool not None, timer):
    """The call will not be made, unless it is being made."""
    cdef int64_t due = timer[0]
    cdef uint64_t number = timer[1]
    cdef PyObject* call
    core_of_pool(pool).shelf.lock.lock()
    call = core_of_pool(pool).shelf.drop_timer(due, number)
    core_of_pool(pool).shelf.lock.unlock()
    if call != NULL:
        Py_DECREF(call)


def now():
    """Nanoseconds on the monotonic clock, which due times are on."""
    return now_ns()


def is_timekeeper(Engine pool not None):
    """Is the calling thread the one that keeps the time of this queue?"""
    return keeps_time_of(core_of_pool(pool))
