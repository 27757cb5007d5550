# Seats: how many workers there are and may be, whether one more is hired, and who
# may leave.  `reserved` counts those who hold a seat or are to get one, `started` the
# seats that are taken.  README.md beside this file, "Workers that leave", says why.

from libc.stdint cimport int64_t, uint32_t

from ringpool._core.core cimport unfinished
from ringpool._core.layout cimport FOREVER, NOW, Core, now_ns
from ringpool._core.parking cimport gate_wake_all
from ringpool._core.ring cimport ring_is_closed
from ringpool._core.shelf cimport all_taken

cdef enum Hiring:
    ENOUGH                  # there are as many as there is work for, or may be
    NOBODY_YET              # somebody else starts the first one
    RESERVED                # a seat, for a worker whom the caller starts


cdef inline Hiring reserve_seat(Core* core, bint before_put, bint reentrant) noexcept nogil:
    # before_put: of a closed queue none is needed; else there may be jobs for one.  reentrant: on
    # top of a frame that is hiring, for which the caller must not wait.
    cdef uint32_t reserved = core.reserved.load()
    while True:
        if before_put and ring_is_closed(&core.ring):
            return ENOUGH
        if reserved >= core.max_workers.load() + reentrant or core.coming.load() + unfinished(core) <= reserved:
            return ENOUGH if reentrant or core.started.load() != 0 or reserved == 0 else NOBODY_YET
        if core.reserved.cas(reserved, reserved + 1):
            return RESERVED


cdef inline bint take_seat(Core* core) noexcept nogil:
    # One for each of max_workers.  More threads than seats are started only when
    # a signal handler submits while the thread that it interrupts is hiring.
    cdef uint32_t started = core.started.load()
    while started < core.max_workers.load():
        if core.started.cas(started, started + 1):
            gate_wake_all(&core.hired)
            return True
    return False


cdef inline bint leave_seat(Core* core, uint32_t least) noexcept nogil:
    # True: one worker fewer is started, and it is the calling one.  At least so many
    # stay, those not counted that have drained the queue: what the caller has put
    # back, before this look at them, is for the others.
    cdef uint32_t started = core.started.load()
    while started > least + core.drained.load():
        if core.started.cas(started, started - 1):
            return True
    return False


cdef inline bint leave_drained(Core* core) noexcept nogil:
    # For good, and with its seat, for which nobody is hired.  Counted first, then
    # the look that decides: who puts a job back does that and then looks at the count.
    cdef bint last
    core.drained.add(1)
    last = all_taken(core)
    if not last:
        core.drained.sub(1)
    return last


cdef inline int64_t may_idle_until(Core* core) noexcept nogil:
    # Then it may leave, unless something is there.
    cdef uint32_t drained = core.drained.relaxed()
    if core.started.relaxed() > core.max_workers.relaxed() + drained:
        return NOW
    if core.idle_ns >= 0 and core.started.relaxed() > core.min_workers.relaxed() + drained:
        return now_ns() + core.idle_ns
    return FOREVER
