# Who waits for whom, of all pools; and whether a wait can end.

from ringpool._core.future cimport FutureBase
from ringpool._core.layout cimport Core, Here, Objects

cdef enum Verdict:
    MAY_END
    CYCLE           # all that it waits for waits for itself, over others or not
    LANE_IS_FULL    # of jobs that wait for jobs of that lane
    NOBODY_IS_LEFT  # every worker waits for jobs of its own pool

cdef Verdict begin_wait(
    Core* core, Here* here, FutureBase job, const Objects& others, bint works, Objects* path
) noexcept
cdef Verdict look_for_workers(Core* core, Here* here, Objects* path) noexcept
cdef bint begin_wait_for_room(Core* core, Here* here) noexcept
cdef void end_wait(Here* here) noexcept
cdef void set_repeats(FutureBase job, bint repeats) noexcept
cdef void serve_in(FutureBase item, FutureBase job) noexcept
