# Jobs from the shelf that a worker has taken.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from ringpool._core.layout cimport Core, Entry, Worker

cdef void run_planned(Core* core, Worker* me, PyObject* job) noexcept
cdef void come_again(Core* core, Entry* place, int64_t delay) noexcept
