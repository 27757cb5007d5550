# Declarations of python.hpp and the few calls of CPython's that Cython does not
# declare, or declares for owned references only.

from cpython.object cimport PyObject, PyTypeObject, destructor, traverseproc, visitproc
from cpython.pystate cimport PyThreadState
from libc.stdint cimport int64_t


cdef extern from "python.hpp" namespace "ringpool" nogil:
    void give(PyObject*) noexcept
    void hand_over(PyObject*) noexcept
    PyThreadState* current_thread_state() noexcept
    unsigned long ident_of_this_thread() noexcept
    PyObject* context_of(PyThreadState*) noexcept
    bint context_is_empty(PyObject*) noexcept
    bint interpreter_calls(PyThreadState*) noexcept
    bint on_main_thread() noexcept
    PyObject* take_exception() noexcept
    void give_back_exception(PyObject*) noexcept
    bint may_be_shown(PyObject*) noexcept
    cdef cppclass Recycler:
        PyTypeObject* type
    void open_recycler(Recycler*, PyTypeObject*) noexcept
    PyObject* new_untracked(PyTypeObject*, Recycler*) noexcept
    void free_untracked(PyObject*, Recycler*) noexcept
    PyObject*& dict_slot(PyObject*) noexcept
    bint has_weakrefs(PyObject*) noexcept
    void track_early(PyObject*) noexcept
    void track_late(PyObject*) noexcept
    bint is_collectable(PyObject*) noexcept
    bint is_callable(PyObject*) noexcept
    PyObject* next_of(PyObject*) noexcept
    PyObject* call(PyThreadState*, PyObject*, PyObject* const*, size_t, PyObject*) noexcept
    bint is_coroutine_function(PyObject*) noexcept


cdef extern from "Python.h":
    int64_t PyLong_AsLongLong(PyObject*) noexcept
    ctypedef PyObject* (*PyCFunction)(PyObject*, PyObject*) noexcept
    ctypedef struct PyMethodDef:
        const char* ml_name
        PyCFunction ml_meth
        int ml_flags
        const char* ml_doc
    int METH_FASTCALL
    int METH_KEYWORDS


cdef extern from "python.hpp" namespace "ringpool":
    object owned(PyObject*)
    void dealloc_in_trashcan(PyObject*, destructor, void (*)(PyObject*) noexcept) noexcept
    int add_method(PyTypeObject*, object attribute, PyMethodDef*) except -1


cdef extern from "Python.h":
    PyObject* PyErr_Occurred() noexcept
    void PyErr_Clear() noexcept
    void PyErr_SetObject(PyObject*, PyObject*) noexcept
    void PyErr_SetString(PyObject*, const char*) noexcept
    PyObject* PyObject_Call(PyObject*, PyObject*, PyObject*) noexcept
    PyObject* PyContext_New() noexcept
    PyObject* PyContext_Copy(PyObject*) noexcept
    PyObject* PyContext_CopyCurrent() except NULL
    int PyContext_Enter(PyObject*) noexcept
    int PyContext_Exit(PyObject*) noexcept
    PyObject* PyLong_FromLongLong(int64_t) noexcept
    void Py_INCREF(PyObject*) noexcept
    void Py_DECREF(PyObject*) noexcept
    void Py_XDECREF(PyObject*) noexcept
    void Py_XINCREF(PyObject*) noexcept
    void PyObject_ClearWeakRefs(PyObject*) noexcept
    void PyObject_GC_Track(PyObject*) noexcept
    void PyObject_GC_UnTrack(PyObject*) noexcept
    bint PyObject_GC_IsTracked(PyObject*) noexcept
    int PyObject_CallFinalizerFromDealloc(PyObject*) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject*) noexcept
    void* PyMem_Malloc(size_t) noexcept
    void PyMem_Free(void*) noexcept
