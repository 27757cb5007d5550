# Jobs that no worker will run.

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.future cimport FutureBase
from ringpool._core.layout cimport Core

cdef bint settle_unrun(FutureBase job, error, uint32_t kind) except -1
cdef bint fail(FutureBase job, exception) except -1
cdef bint resolve(Core* core, PyObject* job, broken_message) except -1
cdef resolve_queued(Core* core, broken_message, list ended)
cdef resolve_later(Core* core)
cdef bint sweep(Core* core) noexcept
