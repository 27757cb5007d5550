# The job record, which is the Future: one object, one allocation.
#
# `state` holds a phase and flags:
#
#     PENDING --start--> RUNNING --settle--> FINISHED
#        |  \--settle (set_result by hand)-----^
#        +--cancel--> CANCELLED --notify--> CANCELLED_AND_NOTIFIED
#        +--cancel, of a job in a queue-----^
#
# LOCKED is a lock bit: its holder alone may change the word, `outcome`, `call`
# and the extension's pointer.  It is held for a few instructions, in which no
# Python code runs, nothing is allocated by Python and nothing is dropped, so
# others wait for it by yielding.  Whoever settles without finding WATCHED set
# has nobody to tell: that is the path of a plain job, one CAS to start, one to
# lock, one store to publish.
#
# Ordering.  The store that publishes FINISHED pairs with the acquire load of
# whoever reads the outcome.

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.layout cimport Core, Extension, Tally, Unrun, Word, core_of, relax
from ringpool._core.parking cimport gate_wake_all
from ringpool._core.python cimport Py_DECREF, Py_XDECREF, PyMem_Free, hand_over, is_collectable, track_late

cdef enum:
    PENDING = 0
    RUNNING = 1
    CANCELLED = 2
    CANCELLED_AND_NOTIFIED = 3
    FINISHED = 4
    PHASE = 7               # mask

    FAILED = 8              # the outcome is an exception
    WATCHED = 16            # the extension may hold sleepers, callbacks or a condition
    INFLATED = 32           # `_condition` is out: the phase changes under it
    OWNED = 64              # a job of an engine, which starts and settles it
    LOCKED = 128
    ASKED = 256             # cancel() came while it ran: a request

    UNREAD = 512            # it failed, and nobody has looked at the error yet

    DROPPED = 1 << 16       # never in the word: how future_settle counts what it
    EXPIRED = 1 << 17       # ends before it was started, in place of failed

    INLINE = 3              # arguments kept in the record itself


cdef class FutureBase:
    cdef Word[uint32_t] state
    cdef uint32_t nargs             # positional and keyword arguments together
    cdef PyObject* fn
    # The names of keyword arguments, a tuple or NULL, then the arguments; with
    # more than INLINE of them call[1] points to an array of its own.  The slot in
    # front of the arguments is the callee's to write while it runs, as
    # PY_VECTORCALL_ARGUMENTS_OFFSET says, so nobody else looks at it meanwhile.
    cdef PyObject* call[INLINE + 1]
    cdef PyObject* context          # to run in; NULL: the worker's own, empty one
    cdef PyObject* outcome          # result or exception, once FINISHED
    cdef Word[Extension*] ext       # set once, under LOCKED; looked at without
    cdef Unrun* unrun               # of the engine that has it queued; valid while PENDING
    cdef dict __dict__
    cdef object __weakref__


cdef inline uint32_t future_lock(FutureBase self) noexcept:
    # The word without LOCKED; give it, or what shall follow it, to future_unlock.
    cdef uint32_t state = self.state.load()
    while True:
        if state & LOCKED:
            relax()
            state = self.state.load()
        elif self.state.cas(state, state | LOCKED):
            return state


cdef inline void future_unlock(FutureBase self, uint32_t state) noexcept:
    self.state.store(state)


cdef inline Extension* extension_of(FutureBase self) noexcept:
    # Pairs with the release that set it: what it points to is made.
    return self.ext.acquire()


cdef inline bint future_start(FutureBase self) noexcept:
    # PENDING -> RUNNING, for the one who will run it; False: already resolved.
    cdef uint32_t state = OWNED | PENDING
    if self.state.cas(state, OWNED | RUNNING):
        return True
    state = future_lock(self)
    if state & PHASE != PENDING:
        future_unlock(self, state)
        return False
    future_unlock(self, state | RUNNING)
    return True


cdef inline bint future_settle_quietly(FutureBase self, PyObject* outcome, uint32_t failed) noexcept:
    # RUNNING -> FINISHED when nobody watches; takes over the reference to
    # outcome.  False: nothing happened, somebody is to be told or was faster.
    cdef uint32_t state = OWNED | RUNNING
    if not self.state.cas(state, OWNED | RUNNING | LOCKED):
        return False
    self.outcome = outcome
    if is_collectable(outcome):
        track_late(<PyObject*>self)
    hand_over(outcome)
    self.state.release(OWNED | FINISHED | failed)
    return True


cdef inline PyObject** future_arguments(FutureBase self) noexcept:
    return &self.call[1] if self.nargs <= INLINE else <PyObject**>self.call[1] + 1


cdef inline void future_drop_call(FutureBase self) noexcept:
    # Runs destructors, so: never under a lock, and only by whoever settled the
    # future or holds its last reference.
    cdef PyObject* fn = self.fn
    cdef PyObject** arguments
    cdef PyObject* context = self.context
    cdef uint32_t i
    if fn == NULL:
        return
    self.fn = NULL
    self.context = NULL
    if self.nargs:
        arguments = future_arguments(self)
        for i in range(self.nargs):
            Py_DECREF(arguments[i])
        if self.nargs > INLINE:
            PyMem_Free(arguments - 1)
        self.nargs = 0
        Py_XDECREF(self.call[0])
    Py_DECREF(fn)
    Py_XDECREF(context)


cdef inline bint future_put_back(FutureBase self, Tally* count) noexcept:
    # RUNNING -> PENDING, to be tried again; False: somebody settled it by hand.
    # Counted before anybody can cancel it: see _counts.
    cdef uint32_t state = future_lock(self)
    if state & PHASE != RUNNING:
        future_unlock(self, state)
        return False
    count.bump()
    future_unlock(self, (state & ~PHASE) | PENDING)
    return True


cdef inline void future_mark_read(FutureBase self) noexcept:
    cdef uint32_t state = future_lock(self)
    future_unlock(self, state & ~UNREAD)


cdef inline void future_ask(FutureBase self) noexcept:
    # A running job is asked to end; it looks at current_job().cancelled.
    cdef uint32_t state = future_lock(self)
    if state & PHASE == RUNNING and self.unrun != NULL:
        state |= ASKED
        self.state.store(state | LOCKED)                # before the look at the gate: a sleeper enlists and then looks here
        gate_wake_all(&core_of(self.unrun).sleepers)    # the core lives while the job runs, and it does under the lock
    future_unlock(self, state)


cdef inline bint is_planned(FutureBase self) noexcept:
    return extension_of(self) != NULL and extension_of(self).planned


cdef inline bint is_served_by(FutureBase self, Core* core) noexcept:
    return extension_of(self) != NULL and extension_of(self).served_by == core


cdef Extension* future_extension(FutureBase self) except NULL
cdef bint future_settle(FutureBase self, uint32_t allowed, uint32_t phase, PyObject* outcome) except -1
cdef void future_settle_loudly(FutureBase self, PyObject* outcome, uint32_t failed) noexcept
cdef void future_run_callbacks(FutureBase self) noexcept
cdef object future_result(FutureBase self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames)
cdef void future_drop_callbacks(FutureBase self) noexcept
cdef void future_release(FutureBase self) noexcept
