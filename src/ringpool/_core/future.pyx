"""The job record, which is the Future. Its fields: future.pxd; its states and their order: jobword.pxd."""

import logging
import threading
from concurrent.futures import CancelledError, InvalidStateError

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from ringpool._core.core cimport was_taken_out
from ringpool._core.jobword cimport (
    ASKED,
    CANCELLED,
    CANCELLED_AND_NOTIFIED,
    FAILED,
    FINISHED,
    INFLATED,
    OWNED,
    PENDING,
    PHASE,
    REFUSED,
    RUNNING,
    UNDER_CONDITION,
    UNREAD,
    Settling,
    has_ended,
    word_add_callback,
    word_enlist,
    word_extend,
    word_inflate,
    word_lock_to_settle,
    word_settle,
    word_take_callbacks,
    word_watch,
)
from ringpool._core.layout cimport FOREVER, NOW, Extension, Objects, Unrun, Waiter, core_of, objects_copy
from ringpool._core.parking cimport deadline_of, gate_leave, gate_wake_all, sleep_until_woken
from ringpool._core.python cimport Py_DECREF, Py_INCREF, Py_XDECREF, hand_over, track_late
from ringpool._core.shelf cimport shelf_take_out

from ringpool._core.shown import shown

cdef extern from "Python.h":
    int PyObject_GenericSetAttr(object, object, object) except -1

logger = logging.getLogger("concurrent.futures")     # where users of the standard library look

cdef tuple NAMES = ("PENDING", "RUNNING", "CANCELLED", "CANCELLED_AND_NOTIFIED", "FINISHED")
cdef tuple DESCRIPTIONS = ("pending", "running", "cancelled", "cancelled", "finished")

# Called before a thread waits for a job of an engine: what a worker does in
# place of a wait, or against it.
cdef run_here = None
cdef wait_is_over = None
cdef hire_spare = None


def set_worker_hooks(run, over, hire):
    """
    *run* takes the future and whether our own wait for it has no limit; when it returns true, *over* is called after
    that wait. A mere look at a job that runs does not call it. *hire* takes the future: for a wait that is not ours.
    """
    global run_here, wait_is_over, hire_spare
    run_here = run
    wait_is_over = over
    hire_spare = hire


cdef class FutureBase:
    """The native half of :class:`ringpool.Future`; not to be used on its own."""

    def __init__(self):
        pass                        # nothing of the standard library's, which would make it all at once

    def __dealloc__(self):
        future_release(self)

    def __setattr__(self, name, value):
        track_late(<PyObject*>self)      # a plain job's record is not, until it can be part of a cycle
        PyObject_GenericSetAttr(self, name, value)

    def __repr__(self):
        cdef uint32_t state = self.state.acquire()
        head = f"<{type(self).__name__} at {<size_t><PyObject*>self:#x} state={DESCRIPTIONS[state & PHASE]}"
        if state & PHASE != FINISHED:
            return head + ">"
        verb = "raised" if state & FAILED else "returned"
        return f"{head} {verb} {type(<object>self.outcome).__name__}>"

    def __reduce__(self):
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    # ---- reading -----------------------------------------------------------

    def done(self):
        return has_ended(self.state.acquire())

    def running(self):
        return self.state.acquire() & PHASE == RUNNING

    def cancelled(self):
        return self.state.acquire() & PHASE in (CANCELLED, CANCELLED_AND_NOTIFIED)

    def result(self, timeout=None):
        return _result(self, timeout)

    def exception(self, timeout=None):
        cdef uint32_t state = self.state.acquire()
        if state & PHASE != FINISHED or state & INFLATED:
            state = _wait_until_done(self, timeout)
        if state & UNREAD:
            future_mark_read(self)
        return <object>self.outcome if state & FAILED else None

    # ---- settling ------------------------------------------------------------

    def cancel(self):
        cdef uint32_t state = self.state.acquire()
        cdef uint32_t phase = CANCELLED_AND_NOTIFIED if state & OWNED else CANCELLED
        while not future_settle(self, 1 << PENDING, phase, NULL):
            if future_ask(self):
                return self.cancelled()
        future_run_callbacks(self)
        return True

    def set_result(self, result):
        Py_INCREF(<PyObject*>result)
        if not future_settle(self, 1 << PENDING | 1 << RUNNING, FINISHED, <PyObject*>result):
            Py_DECREF(<PyObject*>result)
            raise InvalidStateError(f"{self._state}: {self!r}")
        future_run_callbacks(self)

    def set_exception(self, exception):
        if exception is not None and not isinstance(exception, BaseException):
            raise TypeError(f"exception must be an instance of an exception class or None, got {shown(exception)}")
        Py_INCREF(<PyObject*>exception)
        cdef uint32_t failed = FAILED if exception is not None else 0
        if not future_settle(self, 1 << PENDING | 1 << RUNNING, FINISHED | failed, <PyObject*>exception):
            Py_DECREF(<PyObject*>exception)
            raise InvalidStateError(f"{self._state}: {self!r}")
        future_run_callbacks(self)

    def set_running_or_notify_cancel(self):
        cdef uint32_t state = future_lock(self)
        if state & PHASE == PENDING and self.unrun != NULL:
            future_unlock(self, state)
            raise RuntimeError(f"{self!r} is a job in a queue, whose workers start it")
        if state & PHASE == PENDING:
            future_unlock(self, state | RUNNING)
            return True
        future_unlock(self, state)
        if state & PHASE == CANCELLED and future_settle(self, 1 << CANCELLED, CANCELLED_AND_NOTIFIED, NULL):
            return False
        if state & OWNED and state & PHASE == CANCELLED_AND_NOTIFIED:
            return False
        logger.critical("Future %s in unexpected state: %s", id(self), self._state)
        raise RuntimeError("Future in unexpected state")

    def add_done_callback(self, fn):
        if not callable(fn):
            raise TypeError(f"fn must be callable, got {shown(fn)}")
        # The extension is made first: no allocation under the lock.
        cdef Extension* extension = future_extension(self)
        cdef bint kept
        Py_INCREF(<PyObject*>fn)
        cdef bint waits = word_add_callback(&self.state, extension, <PyObject*>fn, &kept)
        if not kept:
            Py_DECREF(<PyObject*>fn)
        if waits and not kept:
            raise MemoryError
        if waits:
            return
        try:
            fn(self)
        except Exception:
            logger.exception("exception calling callback for %r", self)

    # ---- names that the standard library and others read -----------------------

    @property
    def _state(self):
        return NAMES[self.state.acquire() & PHASE]

    @_state.setter
    def _state(self, name):
        cdef uint32_t phase = NAMES.index(name)
        cdef uint32_t state = future_lock(self)
        if phase == FINISHED and self.outcome == NULL:
            Py_INCREF(<PyObject*>None)
            self.outcome = <PyObject*>None
        future_unlock(self, (state & ~PHASE) | phase)
        if extension_of(self) != NULL:
            gate_wake_all(&extension_of(self).gate)

    @property
    def _result(self):
        cdef uint32_t state = self.state.acquire()
        return <object>self.outcome if self.outcome != NULL and not state & FAILED else None

    @_result.setter
    def _result(self, value):
        if value is not None or not self.state.acquire() & FAILED:
            _overwrite(self, value, 0)

    @property
    def _exception(self):
        cdef uint32_t state = self.state.acquire()
        if state & UNREAD:
            future_mark_read(self)
        return <object>self.outcome if self.outcome != NULL and state & FAILED else None

    @_exception.setter
    def _exception(self, value):
        if value is not None:
            _overwrite(self, value, FAILED)
        elif self.state.acquire() & FAILED:
            _overwrite(self, None, 0)

    @property
    def _condition(self):
        _inflate(self)
        return <object>extension_of(self).condition

    @property
    def _waiters(self):
        _inflate(self)
        return <object>extension_of(self).waiters

    @property
    def _done_callbacks(self):
        cdef Extension* extension = future_extension(self)
        cdef Objects callbacks
        cdef size_t i
        cdef uint32_t state = future_lock(self)
        cdef bint complete = objects_copy(&extension.callbacks, &callbacks)
        for i in range(callbacks.size()):
            Py_INCREF(callbacks[i])
        future_unlock(self, state)
        copy = [<object>callbacks[i] for i in range(callbacks.size())]
        for i in range(callbacks.size()):
            Py_DECREF(callbacks[i])
        if not complete:
            raise MemoryError
        return copy

    @property
    def _asked(self):
        """Was the job asked to end while it ran?"""
        return self.state.acquire() & ASKED != 0

    def _get_snapshot(self):
        cdef uint32_t state = self.state.acquire()
        if state & PHASE == FINISHED:
            return True, False, self._result, self._exception
        return self.cancelled(), self.cancelled(), None, None


cdef inline object _result(FutureBase self, timeout):
    cdef uint32_t state = self.state.acquire()
    if state & PHASE != FINISHED or state & INFLATED:
        state = _wait_until_done(self, timeout)
    if state & FAILED:
        if state & UNREAD:
            future_mark_read(self)
        raise <object>self.outcome
    return <object>self.outcome


cdef object future_result(FutureBase self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames):
    if kwnames == NULL and nargs == 0:
        return _result(self, None)
    if kwnames == NULL and nargs == 1:
        return _result(self, <object>args[0])
    if kwnames != NULL and nargs == 0 and <tuple>kwnames == ("timeout",):
        return _result(self, <object>args[0])
    raise TypeError("result() takes one argument at most: timeout")


# ---- settling --------------------------------------------------------------------

cdef bint future_settle(FutureBase self, uint32_t allowed, uint32_t phase, PyObject* outcome) except -1:
    # From one of the phases in the set `allowed` to `phase` (with FAILED, DROPPED or EXPIRED),
    # and wakes whoever waits; the caller runs the callbacks when its own books are
    # right.  Takes over the reference to outcome when it returns True.
    cdef uint32_t state
    cdef Settling step
    cdef Unrun* unrun
    cdef bint left = False
    condition = None
    while True:
        step = word_lock_to_settle(&self.state, allowed, condition is not None, &state)
        if step != UNDER_CONDITION:
            break
        condition = <object>extension_of(self).condition
        condition.acquire()
    if step == REFUSED:
        if condition is not None:
            condition.release()
        return False
    self.outcome = outcome
    if outcome != NULL:
        track_late(<PyObject*>self)
        hand_over(outcome)
    unrun = self.unrun
    if state & PHASE == PENDING and unrun != NULL and is_planned(self):
        # Before anybody can see that it has ended: who does finds its place free.
        left = shelf_take_out(core_of(unrun), <PyObject*>self, &extension_of(self).wish)
    word_settle(&self.state, state, phase, unrun, extension_of(self), left)

    if condition is not None:
        _tell_waiters(self, phase)
        try:
            condition.notify_all()
        except Exception:
            _log("exception in a waiter for %r", self)
        finally:
            condition.release()
    if state & PHASE == PENDING:
        if left:
            was_taken_out(core_of(unrun), <PyObject*>self)      # its function, the plan, has the pool, which has the Core
        future_drop_call(self)
    return True


cdef void future_settle_loudly(FutureBase self, PyObject* outcome, uint32_t failed) noexcept:
    # RUNNING -> FINISHED by a worker, which nothing may end: what goes wrong in
    # here is logged.  Takes over the reference to outcome in any case; leaves
    # the callbacks to the caller.
    try:
        if future_settle(self, 1 << RUNNING, FINISHED | failed, outcome):
            return
    except BaseException:
        _log("exception while settling %r", self)
        return
    # Somebody settled it by hand while it ran; the first one counts.
    Py_DECREF(outcome)


cdef void _tell_waiters(FutureBase self, uint32_t phase) noexcept:
    # Under the condition, so nobody else changes the list.  One that raises keeps no other from being told.
    if phase & PHASE == CANCELLED:
        return                      # the standard library tells them on the second step
    for waiter in <list>extension_of(self).waiters:
        try:
            if phase & PHASE == CANCELLED_AND_NOTIFIED:
                waiter.add_cancelled(self)
            elif phase & FAILED:
                waiter.add_exception(self)
            else:
                waiter.add_result(self)
        except Exception:
            _log("exception in a waiter for %r", self)


cdef void _log(str what, FutureBase self) noexcept:
    try:
        logger.exception(what, self)
    except BaseException:
        pass                        # a handler of the user's, or no memory; nothing is left to tell it to


cdef void future_run_callbacks(FutureBase self) noexcept:
    # Of a future that is done, each once, whoever comes here; what they raise
    # is logged.
    cdef Objects callbacks
    cdef size_t i
    if extension_of(self) == NULL:
        return
    word_take_callbacks(&self.state, extension_of(self), callbacks)
    for i in range(callbacks.size()):
        try:
            (<object>callbacks[i])(self)
        except BaseException:
            _log("exception calling callback for %r", self)
        Py_DECREF(callbacks[i])


cdef void future_drop_callbacks(FutureBase self) noexcept:
    cdef Objects callbacks
    cdef size_t i
    word_take_callbacks(&self.state, extension_of(self), callbacks)
    for i in range(callbacks.size()):
        Py_DECREF(callbacks[i])


cdef _overwrite(FutureBase self, value, uint32_t failed):
    cdef uint32_t state
    cdef PyObject* old
    Py_INCREF(<PyObject*>value)
    track_late(<PyObject*>self)
    state = future_lock(self)
    old = self.outcome
    self.outcome = <PyObject*>value
    future_unlock(self, (state & ~FAILED) | failed)
    Py_XDECREF(old)


# ---- waiting -----------------------------------------------------------------------

cdef uint32_t _wait_until_done(FutureBase self, timeout) except? 0:
    # The state, FINISHED; raises CancelledError and TimeoutError.
    cdef int64_t deadline = deadline_of(timeout)
    cdef uint32_t state = self.state.acquire()
    cdef uint32_t phase = state & PHASE
    if (phase == PENDING or phase == RUNNING and deadline != NOW) and _is_work(self, state) and run_here(
        self, deadline == FOREVER
    ):
        try:
            return _sleep_until_done(self, deadline)
        finally:
            wait_is_over()
    return _sleep_until_done(self, deadline)


cdef bint _is_work(FutureBase self, uint32_t state) noexcept:
    # Is it for a worker to end it?
    return state & OWNED or (extension_of(self) != NULL and extension_of(self).served_by != NULL)


cdef uint32_t _sleep_until_done(FutureBase self, int64_t deadline) except? 0:
    cdef Waiter waiter
    cdef Extension* extension
    cdef uint32_t state = self.state.acquire()
    cdef int woken = 1
    cdef bint may_look_out
    if not has_ended(state):
        extension = future_extension(self)
        may_look_out = word_watch(&self.state, &self.unrun)
        while woken and word_enlist(&self.state, extension, &waiter):
            try:
                woken = sleep_until_woken(&waiter, deadline, may_look_out)
            except BaseException:
                gate_leave(&extension.gate, &waiter)
                raise
            if not woken:
                gate_leave(&extension.gate, &waiter)
    if self.state.acquire() & INFLATED:
        with self._condition:       # whoever sets the phase by hand does it under the condition
            pass
    state = self.state.acquire()
    if state & PHASE == FINISHED:
        return state
    if not has_ended(state):
        raise TimeoutError
    raise CancelledError


cdef Extension* future_extension(FutureBase self) except NULL:
    cdef Extension* fresh
    if extension_of(self) == NULL:
        fresh = new Extension()
        track_late(<PyObject*>self)
        if not word_extend(&self.state, &self.ext, fresh):
            del fresh
    return extension_of(self)


cdef int _inflate(FutureBase self) except -1:
    cdef Extension* extension
    cdef uint32_t known = self.state.acquire()
    if known & PHASE <= RUNNING and _is_work(self, known):
        hire_spare(self)            # for one that runs: it may come again, or wait for room
    if known & INFLATED:
        return 0
    extension = future_extension(self)
    condition = threading.Condition()
    waiters = []
    Py_INCREF(<PyObject*>condition)
    Py_INCREF(<PyObject*>waiters)
    if not word_inflate(&self.state, extension, <PyObject*>condition, <PyObject*>waiters):
        Py_DECREF(<PyObject*>condition)
        Py_DECREF(<PyObject*>waiters)
    return 0


# ---- the end ---------------------------------------------------------------------------

cdef void future_release(FutureBase self) noexcept:
    cdef Extension* extension = extension_of(self)
    future_drop_call(self)
    Py_XDECREF(self.outcome)
    self.outcome = NULL
    if extension != NULL:
        future_drop_callbacks(self)
        Py_XDECREF(extension.condition)
        Py_XDECREF(extension.waiters)
        del extension
