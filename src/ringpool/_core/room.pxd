# Who waits for room in the queue: a line, served in the order in which they joined it.
#
#   makes room    M1 take or resolve a job              (seq-cst, ring.pxd and shelf.pxd)
#                 M2 nobody listed: done
#                 M3 one is on the way already: done; else unlist the first, count it as `woken`, give the token
#   waits         L1 list itself, at its place; if it was woken, woken -= 1
#                 L2 the first, and nobody on the way: its turn, so look, and put
#                 L3 sleep until the token
#                 L4 put, or given up: off the list; if it has been woken meanwhile, woken -= 1; is there room? -> M2
#
# Only whose turn it is looks, so nobody is passed by one that joined later.  No wake-up is lost: who lists itself and
# has somebody in front leaves the look to that one, who is listed, and looks or is woken, or is on the way, and comes
# to L2 or L4; either way it looks for room once more after it has left, or is woken itself by what makes some later.

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t

from ringpool._core.layout cimport Core, Gate, Waiter
from ringpool._core.parking cimport sleep_a_while, unlist_waiter
from ringpool._core.python cimport on_main_thread
from ringpool._core.ring cimport ring_length
from ringpool._core.shelf cimport is_full


cdef inline bint reader_lags(Core* core) noexcept nogil:
    # Then it holds producers back: what it has not read counts as not done.
    return core.reading.relaxed() and ring_length(&core.finished) >= core.keep.relaxed()


cdef inline void room_made(Core* core) noexcept nogil:
    # Steps M2 and M3.
    cdef Gate* gate = &core.room
    cdef Waiter* waiter = NULL
    if gate.count.load() == 0:
        return
    gate.lock.lock()
    if gate.woken == 0 and gate.first != NULL:
        waiter = gate.first
        unlist_waiter(gate, waiter)
        gate.woken += 1
    gate.lock.unlock()
    if waiter != NULL:
        waiter.parker.unpark()


cdef inline void room_wake_all(Core* core) noexcept nogil:
    # To look again, whatever for: it is closed, or one of them may be the last that could make room.
    cdef Gate* gate = &core.room
    cdef Waiter* waiter
    gate.lock.lock()
    while gate.first != NULL:
        waiter = gate.first
        unlist_waiter(gate, waiter)
        gate.woken += 1
        waiter.parker.unpark()
    gate.lock.unlock()


cdef inline void room_pass_on(Core* core) noexcept nogil:
    # If there is any left: steps M2 and M3, by who has put, or gives up.
    if not is_full(core) and not reader_lags(core):
        room_made(core)


cdef inline bint room_enter(Core* core, Waiter* waiter, bint woken) noexcept nogil:
    # Step L1; whether it is its turn.
    cdef Gate* gate = &core.room
    cdef Waiter* before
    cdef bint first, nobody
    gate.lock.lock()
    before = _last_before(gate, waiter)
    waiter.next = gate.first if before == NULL else before.next
    if before == NULL:
        gate.first = waiter
    else:
        before.next = waiter
    if waiter.next == NULL:
        gate.last = waiter
    waiter.listed = True
    gate.count.add(1)
    gate.woken -= woken
    first = gate.first == waiter
    nobody = gate.woken == 0
    gate.lock.unlock()
    if woken and nobody and not first:
        room_pass_on(core)                      # all were woken, and those in front have left the look to us
    return first and nobody


cdef inline Waiter* _last_before(Gate* gate, Waiter* waiter) noexcept nogil:
    # Under the gate's lock.  Who joins is the last; who comes back stands where it stood.
    cdef Waiter* before = NULL
    cdef Waiter* other
    if not waiter.ticket:
        gate.tickets += 1
        waiter.ticket = gate.tickets
    if gate.last != NULL and gate.last.ticket < waiter.ticket:
        return gate.last
    other = gate.first
    while other != NULL and other.ticket < waiter.ticket:
        before = other
        other = other.next
    return before


cdef inline bint room_leave(Core* core, Waiter* waiter) noexcept nogil:
    # Off the list.  True: it has been woken, and is still counted so.
    cdef bint listed
    core.room.lock.lock()
    listed = waiter.listed
    if listed:
        unlist_waiter(&core.room, waiter)
    core.room.lock.unlock()
    if not listed:
        waiter.parker.park(NULL)                # the token has been given, or is just being given
    return not listed


cdef inline void room_give_up_turn(Core* core) noexcept nogil:
    # By who was woken and does not come back.
    core.room.lock.lock()
    core.room.woken -= 1
    core.room.lock.unlock()


cdef inline int room_sleep(Core* core, Waiter* waiter, int64_t deadline) except -1:
    # Step L3, for a while; off the list in any case.  1: woken.  Signal handlers run while it is in
    # nobody's way: they may wait here too.
    if sleep_a_while(waiter, deadline) or room_leave(core, waiter):
        return 1
    if on_main_thread():
        PyErr_CheckSignals()
    return 0
