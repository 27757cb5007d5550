# What a thread knows of itself stands in one module: each has its own this_thread().

from cpython.object cimport PyObject

from ringpool._core.future cimport FutureBase
from ringpool._core.layout cimport Core, Here, Worker


cdef class StopFlag:
    cdef Core* core


cdef bint on_worker_of(Core* core) noexcept
cdef bint works_for(Core* core) noexcept
cdef bint keeps_time_of(Core* core) noexcept
cdef bint run_in_place(Core* core, Worker* me, FutureBase job) noexcept
cdef bint run_on_top(Core* core, Worker* me, FutureBase job) noexcept
cdef void run_planned_on_top(Core* core, Worker* me, PyObject* job) noexcept
cdef bint is_hiring_for(Core* core) noexcept
cdef bint may_run_here(Core* core) noexcept
cdef void belong_to(Core* core) noexcept
cdef Here* calling_thread() noexcept
cdef Worker* seat_of_this_thread() noexcept
cdef Core* this_core() noexcept
cdef Worker* this_worker() noexcept
