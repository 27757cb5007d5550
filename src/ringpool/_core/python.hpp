// What Cython cannot say about CPython: thread states, contexts, references
// that cross threads, allocation without the collector's notice, slots.
#pragma once

#include <Python.h>

#include <cstring>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <pthread.h>
#endif

namespace ringpool {

// ---- references that another thread will drop -----------------------------
//
// On free-threaded builds a reference is counted in the owner's word or in the
// shared one.  Dropping the last shared one from another thread queues the
// object to its owner, takes a bucket lock and pins it until the owner runs
// again.  A reference that is counted in the shared word from the start is
// dropped like any other.  The layout is in the public headers of 3.13 to 3.15
// but promised by nobody: elsewhere this is a plain INCREF.
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x03100000 && !defined(Py_REF_DEBUG)
#define RINGPOOL_SHARES_REFERENCES 1
inline void give(PyObject *o) noexcept {
    if (_Py_atomic_load_uint32_relaxed(&o->ob_ref_local) == _Py_IMMORTAL_REFCNT_LOCAL) return;
    _Py_atomic_add_ssize(&o->ob_ref_shared, Py_ssize_t(1) << _Py_REF_SHARED_SHIFT);
}
// Makes the caller's own reference one that any thread may drop.
inline void hand_over(PyObject *o) noexcept {
    if (_Py_atomic_load_uint32_relaxed(&o->ob_ref_local) == _Py_IMMORTAL_REFCNT_LOCAL) return;
    _Py_atomic_add_ssize(&o->ob_ref_shared, Py_ssize_t(1) << _Py_REF_SHARED_SHIFT);
    Py_DECREF(o);
}
#else
#define RINGPOOL_SHARES_REFERENCES 0
inline void give(PyObject *o) noexcept { Py_INCREF(o); }
inline void hand_over(PyObject *) noexcept {}
#endif

// ---- the calling thread -----------------------------------------------------

inline PyThreadState *current_thread_state() noexcept { return PyThreadState_Get(); }
inline PyObject *context_of(PyThreadState *thread) noexcept { return thread->context; }

// Holds the context no variable?  (NULL: the thread never had one.)
inline bool context_is_empty(PyObject *context) noexcept {
    return context == nullptr || Py_TYPE(context)->tp_as_mapping->mp_length(context) == 0;
}

// Does the interpreter want this thread at its next safe point (GIL asked for,
// collection due, world to be stopped)?  Only seen from 3.13 on.
inline bool interpreter_calls(PyThreadState *thread) noexcept {
#if PY_VERSION_HEX >= 0x030D0000
    return (_Py_atomic_load_uintptr_relaxed(&thread->eval_breaker) & 0xff) != 0;
#else
    (void)thread;
    return false;
#endif
}

// The thread that runs signal handlers.  Where the system does not tell, every
// thread counts as it: that costs a few wake-ups and nothing else.
inline bool on_main_thread() noexcept {
#if defined(__linux__)
    return syscall(SYS_gettid) == getpid();
#elif defined(__APPLE__)
    return pthread_main_np() != 0;
#else
    return true;
#endif
}

// The exception that was just raised, with its traceback, and no longer set.
inline PyObject *take_exception() noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != nullptr) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

// ---- objects ------------------------------------------------------------------

// Records that died, kept for the next burst: a new one costs no allocator, no
// page fault and no step towards the next collection.  With the GIL only, where
// one list serves every thread; elsewhere the allocator's lists are per thread
// already.  The blocks are linked through the word behind the object's head.
struct Recycler {
    PyTypeObject *type = nullptr;   // the one type whose blocks it keeps
    PyObject *top = nullptr;
    std::size_t count = 0;
};
constexpr std::size_t RECYCLED_AT_MOST = 16384;     // 2 MiB

inline PyObject **behind_head(PyObject *o) noexcept {
    return reinterpret_cast<PyObject **>(reinterpret_cast<char *>(o) + sizeof(PyObject));
}

// An instance of an extension type, or of a slotless subclass of one, with all
// fields zero and not tracked by the collector.
inline PyObject *new_untracked(PyTypeObject *type, Recycler *recycler) noexcept {
    PyObject *o = recycler->top;
    if (o != nullptr && type == recycler->type) {
        recycler->top = *behind_head(o);
        recycler->count--;
        PyObject_Init(o, type);
    }
    else {
        o = _PyObject_GC_New(type);
        if (o == nullptr) return nullptr;
    }
    std::memset(reinterpret_cast<char *>(behind_head(o)), 0, type->tp_basicsize - sizeof(PyObject));
    return o;
}

// The end of every deallocator of such an object, once it holds nothing.
inline void free_untracked(PyObject *o, Recycler *recycler) noexcept {
    PyTypeObject *type = Py_TYPE(o);
#ifndef Py_GIL_DISABLED
    if (type == recycler->type && recycler->count < RECYCLED_AT_MOST && !PyObject_GC_IsFinalized(o)) {
        *behind_head(o) = recycler->top;
        recycler->top = o;
        recycler->count++;
    }
    else
#endif
        PyObject_GC_Del(o);
    Py_DECREF(type);
}

// Runs body(o), or postpones the whole deallocator when it is nested too deep.
inline void dealloc_in_trashcan(PyObject *o, destructor deallocator, void (*body)(PyObject *)) {
    Py_TRASHCAN_BEGIN(o, deallocator)
    body(o);
    Py_TRASHCAN_END
}

// The object's dictionary, if it has one: for types with the plain slot.
inline PyObject *&dict_slot(PyObject *o) noexcept {
    return *reinterpret_cast<PyObject **>(reinterpret_cast<char *>(o) + Py_TYPE(o)->tp_dictoffset);
}
inline bool has_weakrefs(PyObject *o) noexcept {
    return *reinterpret_cast<PyObject **>(reinterpret_cast<char *>(o) + Py_TYPE(o)->tp_weaklistoffset) != nullptr;
}

// When the collector learns of an object of new_untracked.  With the GIL late,
// when the object can have become part of a cycle: most never do, and what is
// not tracked costs no collection anything.  Without it early, by the thread
// that made it, since two threads must not track one object at a time.
#ifdef Py_GIL_DISABLED
inline void track_early(PyObject *o) noexcept { PyObject_GC_Track(o); }
inline void track_late(PyObject *) noexcept {}
#else
inline void track_early(PyObject *) noexcept {}
inline void track_late(PyObject *o) noexcept {
    if (!PyObject_GC_IsTracked(o)) PyObject_GC_Track(o);
}
#endif

// Can the collector have anything to do with it?
inline bool is_collectable(PyObject *o) noexcept { return PyObject_IS_GC(o); }

inline bool is_coroutine_function(PyObject *fn) noexcept {
    if (PyMethod_Check(fn)) fn = PyMethod_GET_FUNCTION(fn);
    return PyFunction_Check(fn)
        && (reinterpret_cast<PyCodeObject *>(PyFunction_GET_CODE(fn))->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR));
}

// Puts a METH_FASTCALL | METH_KEYWORDS method on a type: Cython's own would
// build a tuple and a dict for every call.  `def` lives as long as the process.
inline int add_method(PyTypeObject *type, PyObject *attribute, PyMethodDef *def) noexcept {
    PyObject *descriptor = PyDescr_NewMethod(type, def);
    if (descriptor == nullptr) return -1;
    int failed = PyDict_SetItem(type->tp_dict, attribute, descriptor);
    Py_DECREF(descriptor);
    PyType_Modified(type);
    return failed;
}

}  // namespace ringpool
