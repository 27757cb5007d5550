# The job record, which is the Future: one object, one allocation.
#
# `state` is the job's word; its phases, who moves them and what its LOCKED bit guards: jobword.pxd.

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.jobword cimport (
    word_ask,
    word_end_quietly,
    word_lock,
    word_lock_quietly,
    word_mark_read,
    word_put_back,
    word_start,
    word_unlock,
)
from ringpool._core.layout cimport Core, Extension, Tally, Unrun, Word
from ringpool._core.python cimport Py_DECREF, Py_XDECREF, PyMem_Free, hand_over, is_collectable, track_late

cdef enum:
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
    return word_lock(&self.state)


cdef inline void future_unlock(FutureBase self, uint32_t state) noexcept:
    word_unlock(&self.state, state)


cdef inline Extension* extension_of(FutureBase self) noexcept:
    # Pairs with the release that set it: what it points to is made.
    return self.ext.acquire()


cdef inline bint future_start(FutureBase self) noexcept:
    return word_start(&self.state)


cdef inline bint future_settle_quietly(FutureBase self, PyObject* outcome, uint32_t failed) noexcept:
    # RUNNING -> FINISHED when nobody watches; takes over the reference to
    # outcome.  False: nothing happened, somebody is to be told or was faster.
    if not word_lock_quietly(&self.state):
        return False
    self.outcome = outcome
    if is_collectable(outcome):
        track_late(<PyObject*>self)
    hand_over(outcome)
    word_end_quietly(&self.state, failed)
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
    return word_put_back(&self.state, count)


cdef inline void future_mark_read(FutureBase self) noexcept:
    word_mark_read(&self.state)


cdef inline bint future_ask(FutureBase self) noexcept:
    return word_ask(&self.state, &self.unrun)


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
