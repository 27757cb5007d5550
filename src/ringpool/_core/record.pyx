"""The job record as an object of the interpreter's: how it ends, comes back, and is seen by the collector."""

import logging
import sys

from cpython.object cimport PyObject, PyTypeObject, destructor, inquiry, traverseproc, visitproc
from libc.stdint cimport uint32_t

from ringpool._core.future cimport (
    FutureBase,
    extension_of,
    future_arguments,
    future_drop_call,
    future_drop_callbacks,
    future_mark_read,
    future_release,
    future_result,
)
from ringpool._core.jobword cimport UNREAD
from ringpool._core.python cimport (
    METH_FASTCALL,
    METH_KEYWORDS,
    Py_DECREF,
    Py_INCREF,
    Py_XDECREF,
    PyCFunction,
    PyErr_Occurred,
    PyMethodDef,
    PyObject_CallFinalizerFromDealloc,
    PyObject_ClearWeakRefs,
    PyObject_GC_IsTracked,
    PyObject_GC_Track,
    PyObject_GC_UnTrack,
    add_method,
    dealloc_in_trashcan,
    dict_slot,
    free_untracked,
    give_back_exception,
    has_weakrefs,
    is_collectable,
    may_be_shown,
    open_recycler,
    take_exception,
)

logger = logging.getLogger("ringpool")

# ---- the end ---------------------------------------------------------------------------
#
# A deallocator of our own for the public Future class: the one that a Python
# class gets goes through its bases, saves the exception of the moment and does
# more that a record never needs.

cdef void _dealloc(PyObject* o) noexcept:
    # Of Future, and of subclasses after their own part.
    # Casts only: a variable of an object's type would count a reference.
    if PyObject_GC_IsTracked(o):
        PyObject_GC_UnTrack(o)
    if _is_plain(o):
        future_release(<FutureBase>o)
        free_untracked(o, &recycler)
    else:
        dealloc_in_trashcan(o, <destructor>_dealloc, _dealloc_anything)


cdef inline bint _is_plain(PyObject* o) noexcept:
    # Nothing to be told, and no outcome with which it may be one of a long chain.
    cdef PyObject* outcome = (<FutureBase>o).outcome
    return (
        extension_of(<FutureBase>o) == NULL
        and (outcome == NULL or not is_collectable(outcome))
        and dict_slot(o) == NULL
        and not has_weakrefs(o)
        and o.ob_type.tp_finalize == NULL
    )


cdef void _dealloc_anything(PyObject* o) noexcept:
    cdef PyObject* error
    if o.ob_type.tp_finalize != NULL and PyObject_CallFinalizerFromDealloc(o) < 0:
        PyObject_GC_Track(o)
        return                      # it lives again
    if has_weakrefs(o):
        PyObject_ClearWeakRefs(o)
    if (<FutureBase>o).state.relaxed() & UNREAD:
        error = take_exception() if PyErr_Occurred() != NULL else NULL
        _report_unread(<FutureBase>o, may_be_shown((<FutureBase>o).outcome))
        give_back_exception(error)
    future_release(<FutureBase>o)
    Py_XDECREF(dict_slot(o))
    free_untracked(o, &recycler)


cdef void _report_unread(FutureBase self, bint shown) noexcept:
    # At its end.  The record itself must not get a new reference.
    kind = type(<object>self.outcome).__name__
    error = <object>self.outcome if shown else None
    told = None
    try:
        if shown and dict_slot(<PyObject*>self) != NULL:
            told = (<dict>dict_slot(<PyObject*>self)).get("_on_error")
        if told is not None:
            told(error)
        else:
            log_unread(kind, error)
    except BaseException:
        pass                        # a handler of the user's, or the interpreter has ended


def log_unread(str kind, error):
    """What is done of an error that nobody has looked at, where its future has no ``_on_error``."""
    if sys.is_finalizing():
        kind, error = kind if error is None else f"{kind}: {error}", None      # no traceback can be written any more
    logger.error("a job failed and nobody looked at its error: %s", kind, exc_info=error)


cdef PyMethodDef RESULT
cdef const char* RESULT_DOC = b"""result($self, /, timeout=None)
--

The job's result; waits for it, at most *timeout* seconds (None: without limit).

Raises what the job raised; TimeoutError; CancelledError. On a worker, a job of
the same pool that has not started is run here and now. Without a timeout, where
a job waits for what cannot end before it does itself: DeadlockError.
"""


def adopt(type future_type):
    """
    Make *future_type*, the public class, the one whose records are recycled; before it is first used.

    It also gets result() as its own: the interpreter calls a native method by
    its shortest way only on exactly the class that defines it.
    """
    RESULT.ml_name = b"result"
    RESULT.ml_meth = <PyCFunction><void*>future_result
    RESULT.ml_flags = METH_FASTCALL | METH_KEYWORDS
    RESULT.ml_doc = RESULT_DOC
    add_method(<PyTypeObject*>future_type, "result", &RESULT)
    open_recycler(&recycler, <PyTypeObject*>future_type)
    (<PyTypeObject*>future_type).tp_dealloc = <destructor>_dealloc


# ---- the collector -------------------------------------------------------------------
#
# Cython traverses `object` attributes only.  A pending job is held by the ring,
# not by the record's fields; what the record itself holds is visited here.  No
# reference count may be touched in a traverse.

cdef traverseproc inherited_traverse
ctypedef int (*clearproc)(PyObject*) noexcept
cdef clearproc inherited_clear


cdef int _traverse(FutureBase self, visitproc visit, void* arg) noexcept:
    cdef PyObject** arguments
    cdef uint32_t i
    cdef size_t k
    cdef int stop = inherited_traverse(<PyObject*>self, visit, arg)
    if not stop:
        stop = _visit(self.fn, visit, arg) or _visit(self.context, visit, arg) or _visit(self.outcome, visit, arg)
    if not stop and self.fn != NULL:
        arguments = future_arguments(self)
        for i in range(self.nargs):
            stop = stop or _visit(arguments[i], visit, arg)
    if not stop and extension_of(self) != NULL:
        stop = _visit(extension_of(self).condition, visit, arg) or _visit(extension_of(self).waiters, visit, arg)
        for k in range(extension_of(self).callbacks.size()):
            stop = stop or _visit(extension_of(self).callbacks[k], visit, arg)
    return stop


cdef inline int _visit(PyObject* o, visitproc visit, void* arg) noexcept:
    return visit(o, arg) if o != NULL else 0


cdef int _clear(FutureBase self) noexcept:
    # Leaves a future that still answers: what it held reads as None.  A
    # condition and a list of waiters break their own cycles.
    cdef PyObject* outcome = self.outcome
    if self.state.relaxed() & UNREAD:
        _report_unread(self, False)             # what the error refers to may have been taken apart already
        future_mark_read(self)
    inherited_clear(<PyObject*>self)
    if outcome != NULL:
        Py_INCREF(<PyObject*>None)
        self.outcome = <PyObject*>None
        Py_DECREF(outcome)
    if extension_of(self) != NULL:
        future_drop_callbacks(self)
    future_drop_call(self)
    return 0


cdef void _see_everything(PyTypeObject* type) noexcept:
    global inherited_traverse, inherited_clear
    inherited_traverse = type.tp_traverse
    inherited_clear = <clearproc><void*>type.tp_clear
    type.tp_traverse = <traverseproc><void*>_traverse
    type.tp_clear = <inquiry><void*>_clear


_see_everything(<PyTypeObject*>FutureBase)
