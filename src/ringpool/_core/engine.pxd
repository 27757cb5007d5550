# The pool object's native half. What its Core holds: layout.hpp.

from ringpool._core.layout cimport Core


cdef class Engine:
    cdef Core* core
    cdef object future_type
    cdef readonly object _worker_initializer
    cdef readonly object _worker_finalizer
    cdef public object _settings        # the face's own, kept here so that the pool needs no dictionary: with
    cdef public object _lobby           # one the interpreter looks up each method that is called
    cdef readonly set _threads
    cdef readonly str _thread_name_prefix
    cdef object __weakref__


cdef int was_not_made(Engine self) except -1        # raises; apart, so that the check is inlined into every submit


cdef inline Core* core_of_pool(Engine self) except NULL:
    if self.core == NULL:
        was_not_made(self)
    return self.core
