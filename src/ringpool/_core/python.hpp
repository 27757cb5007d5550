// What Cython cannot say about CPython: thread states, contexts, references
// that cross threads, allocation without the collector's notice, slots.
#pragma once

#include <Python.h>

#include <cstring>
#include <mutex>
#include <new>
#include <vector>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if !defined(_WIN32)
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
inline unsigned long ident_of_this_thread() noexcept { return PyThread_get_thread_ident(); }
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

// What take_exception took is raised again; NULL: nothing is.
inline void give_back_exception(PyObject *error) noexcept {
    if (error == nullptr) { PyErr_Clear(); return; }
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

// May an exception be shown?  Not when the collector has begun to take it apart:
// the interpreter's own str() of one without its arguments reads a NULL.  With
// all that it refers to, since a traceback shows that too, up to `left` errors:
// of more than that nothing is shown.
inline bool may_be_shown(PyObject *error, int &left) noexcept {
    if (error == nullptr) return true;
    if (left-- <= 0 || !PyExceptionInstance_Check(error)) return false;
    auto *base = reinterpret_cast<PyBaseExceptionObject *>(error);
    if (base->args == nullptr || !may_be_shown(base->cause, left)) return false;
    if (base->context != base->cause && !may_be_shown(base->context, left)) return false;
    if (!PyType_IsSubtype(Py_TYPE(error), reinterpret_cast<PyTypeObject *>(PyExc_BaseExceptionGroup))) return true;
    auto *group = reinterpret_cast<PyBaseExceptionGroupObject *>(error);
    if (group->msg == nullptr || group->excs == nullptr || !PyTuple_Check(group->excs)) return false;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(group->excs); i++)
        if (!may_be_shown(PyTuple_GET_ITEM(group->excs, i), left)) return false;
    return true;
}

inline bool may_be_shown(PyObject *error) noexcept {
    int left = 100;
    return may_be_shown(error, left);
}

// ---- objects ------------------------------------------------------------------

// Records that died, kept for the next burst: a new one costs no allocator, no
// page fault and, above all, no step towards the next collection, which a free-
// threaded build stops the world for.  The blocks are linked through the first
// word behind the object's head.
//
// Each thread has a magazine of its own; full ones go to the depot, where a
// thread that has none left finds them.  With the GIL one magazine serves all.
constexpr std::size_t RECYCLED_AT_MOST = 16384;     // 2 MiB
#ifdef Py_GIL_DISABLED
constexpr std::size_t MAGAZINE = 64;                // blocks that change hands at a time
#else
constexpr std::size_t MAGAZINE = RECYCLED_AT_MOST;
#endif

inline PyObject **behind_head(PyObject *o) noexcept {
    return reinterpret_cast<PyObject **>(reinterpret_cast<char *>(o) + sizeof(PyObject));
}

struct Magazine {
    PyObject *top = nullptr;
    std::size_t count = 0;
};

struct Recycler {
    PyTypeObject *type = nullptr;       // the one type whose blocks it keeps
    Magazine *(*mine)() = nullptr;      // the calling thread's
    std::mutex lock;
    std::vector<Magazine> depot;        // under lock

    // Leaves the magazine empty.  When the depot is full, that of a living thread
    // gets the one to be destroyed back.  Never calls Python: a dying thread has
    // no state left.
    bool hand_in(Magazine *magazine, bool dying = false) noexcept {
        std::lock_guard<std::mutex> hold(lock);
        Magazine extra;
        if (!dying && depot.size() >= RECYCLED_AT_MOST / MAGAZINE) {
            if (depot.size() == RECYCLED_AT_MOST / MAGAZINE) return false;
            extra = depot.back();       // dying threads have brought more than there shall be
            depot.pop_back();
        }
        try { depot.push_back(*magazine); }
        catch (...) { return false; }
        *magazine = extra;
        return extra.top == nullptr;
    }
    void fetch(Magazine *magazine) noexcept {
        std::lock_guard<std::mutex> hold(lock);
        if (depot.empty()) return;
        *magazine = depot.back();
        depot.pop_back();
    }
};

// The calling thread's magazine of the one recycler there is.  Only the module
// that opens the recycler makes one; others come here through Recycler::mine.
#ifdef Py_GIL_DISABLED
inline Recycler *&opened() noexcept {
    static Recycler *one = nullptr;
    return one;
}
struct OwnMagazine : Magazine {
    ~OwnMagazine() { if (count != 0) opened()->hand_in(this, true); }
};
inline Magazine *own_magazine() {
    static thread_local OwnMagazine magazine;
    return &magazine;
}
#else
inline Magazine *own_magazine() {
    static Magazine magazine;
    return &magazine;
}
#endif

inline void open_recycler(Recycler *recycler, PyTypeObject *type) {
#ifdef Py_GIL_DISABLED
    opened() = recycler;
    recycler->depot.reserve(2 * RECYCLED_AT_MOST / MAGAZINE);
#if !defined(_WIN32)
    // A thread that the child does not have may have been in there: begin anew.
    pthread_atfork(nullptr, nullptr, [] {
        new (&opened()->lock) std::mutex;
        new (&opened()->depot) std::vector<Magazine>;
    });
#endif
#endif
    recycler->mine = own_magazine;
    recycler->type = type;
}

// An instance of an extension type, or of a slotless subclass of one, with all
// fields zero and not tracked by the collector.
inline PyObject *new_untracked(PyTypeObject *type, Recycler *recycler) noexcept {
    Magazine *magazine = recycler->mine();
#ifdef Py_GIL_DISABLED
    if (magazine->top == nullptr) recycler->fetch(magazine);
#endif
    PyObject *o = magazine->top;
    if (o != nullptr && type == recycler->type) {
        magazine->top = *behind_head(o);
        magazine->count--;
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
    Magazine *magazine = recycler->mine();
    bool keep = type == recycler->type && magazine->count < MAGAZINE;
#ifdef Py_GIL_DISABLED
    if (!keep && type == recycler->type) {
        keep = recycler->hand_in(magazine);
        while (!keep && magazine->count > MAGAZINE / 2) {   // the depot is full
            PyObject *surplus = magazine->top;
            magazine->top = *behind_head(surplus);
            magazine->count--;
            PyObject_GC_Del(surplus);
        }
    }
#else
    // (One that was finalized bears the mark of it for ever.)
    keep = keep && (type->tp_finalize == nullptr || !PyObject_GC_IsFinalized(o));
#endif
    if (keep) {
        *behind_head(o) = magazine->top;
        magazine->top = o;
        magazine->count++;
    }
    else
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
inline bool is_collectable(PyObject *o) noexcept {
    PyTypeObject *type = Py_TYPE(o);
    return PyType_IS_GC(type) && (type->tp_is_gc == nullptr || type->tp_is_gc(o));
}

// The caller's own reference, for Cython, which else takes one more and drops it again.
inline PyObject *owned(PyObject *o) noexcept { return o; }

// As PyIter_Next, of what is known to be an iterator.
inline PyObject *next_of(PyObject *iterator) noexcept {
    PyObject *item = Py_TYPE(iterator)->tp_iternext(iterator);
    if (item == nullptr && PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_StopIteration)) PyErr_Clear();
    return item;
}

inline bool is_callable(PyObject *o) noexcept { return Py_TYPE(o)->tp_call != nullptr; }

// As PyObject_Vectorcall, for a caller that knows its thread's state.  `args`
// has a writable slot in front.
inline PyObject *call(PyThreadState *thread, PyObject *fn, PyObject *const *args, std::size_t nargs, PyObject *kwnames) noexcept {
#if PY_VERSION_HEX >= 0x030C0000
    PyTypeObject *type = Py_TYPE(fn);
    if (PyType_HasFeature(type, Py_TPFLAGS_HAVE_VECTORCALL)) {
        vectorcallfunc function;
        std::memcpy(&function, reinterpret_cast<char *>(fn) + type->tp_vectorcall_offset, sizeof function);
        if (function != nullptr) {
            PyObject *result = function(fn, args, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
            if ((result == nullptr) == (thread->current_exception == nullptr)) {    // a defect of fn's
                Py_CLEAR(result);
                PyErr_Format(PyExc_SystemError, "%R returned a result and an exception, or neither", fn);
            }
            return result;
        }
    }
#else
    (void)thread;
#endif
    return PyObject_Vectorcall(fn, args, nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, kwnames);
}

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
