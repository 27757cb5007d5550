# The queue: a bounded multi-producer multi-consumer ring, and behind it, for
# queues without a bound, an overflow list in the same order.
#
# Algorithm of the ring: D. Vyukov, "Bounded MPMC queue" (1024cores.net), with
# E. Rigtorp's turns in place of sequence numbers, which makes zeroed memory an
# empty ring and a ring of one slot legal.
#
# A position is a 63-bit counter that never wraps.  Position p lives in slot
# p & mask and belongs to lap p >> shift.  slot.turn says whose turn it is:
#
#     2 * lap         free: the producer that claimed p may write
#     2 * lap + 1     full: the consumer that claimed p may read
#
# put:  1. claim p: tail p -> p + 1, after seeing p - head < limit  (CAS)
#       2. wait until turn is 2 * lap: the consumer of the lap before has
#          claimed the slot already and hands it back without a stop
#       3. write item, publish: turn = 2 * lap + 1        (exchange, seq-cst)
# take: 1. see turn == 2 * lap + 1, claim p: head p -> p + 1           (CAS)
#       2. read item, hand back: turn = 2 * (lap + 1)    (store, release)
#
# Ordering.  turn carries the item: the exchange in put 3 pairs with the load in
# take 1, the store in take 2 with the load in put 2.  The exchange is
# sequentially consistent because parking.pxd's proof needs it before the
# producer's look at the sleepers.
#
# Close.  Bit 63 of tail: whoever claims a position afterwards is refused, and
# "no job lost" is a property of that one CAS.  It is set under `lock`, which
# every put into the overflow holds too, so it closes both.
#
# Order.  While anything is in the overflow every put goes there, and takers
# move the overflow's front into the ring; `overflowing` drops to zero only
# after its last item is in the ring.  So each producer's items stay in order.
#
# Invariants
#   I1  head <= tail <= head + limit
#   I2  a full slot, or an entry of the overflow, owns one reference to its item
#   I3  items enter and leave only while the thread is attached
#   I4  no allocation by Python, no DECREF and no Python code under `lock`
#
# Not promised: lock-freedom.  A producer preempted between 1 and 3 makes the
# consumer of that position wait.

from libc.stdint cimport uint64_t

from ringpool._core.layout cimport CLOSED_BIT, Ring, Slot, overflow_put, relax, slots_alloc, slots_free

cdef enum Put:
    PUT, FULL, CLOSED, NO_MEMORY

cdef enum:
    UNBOUNDED_RING = 1024       # slots before the overflow begins
    REFILL = 256                # items a taker moves from the overflow at a time


cdef inline bint ring_open(Ring* ring, uint64_t capacity) noexcept nogil:
    # capacity 0: no bound.  False: no memory.
    cdef uint64_t size = 1
    cdef unsigned int shift = 0
    ring.bounded = capacity != 0
    ring.limit = capacity if capacity else UNBOUNDED_RING
    while size < ring.limit:
        size <<= 1
        shift += 1
    ring.mask = size - 1
    ring.shift = shift
    ring.slots = slots_alloc(size)
    return ring.slots != NULL


cdef inline void ring_free(Ring* ring) noexcept nogil:
    slots_free(ring.slots)


cdef inline void _fill(Ring* ring, uint64_t position, void* item) noexcept nogil:
    # Steps 2 and 3 of a put, for whoever claimed the position.
    cdef Slot* slot = &ring.slots[position & ring.mask]
    cdef uint64_t free = 2 * (position >> ring.shift)
    while slot.turn.acquire() != free:
        relax()
    slot.item = item
    slot.turn.exchange(free + 1)


cdef inline Put _put_in_ring(Ring* ring, void* item) noexcept nogil:
    cdef uint64_t tail = ring.tail.load()
    cdef uint64_t head
    while True:
        if tail & CLOSED_BIT:
            return CLOSED
        # head_seen saves the look at the consumers' line while there is room; another
        # producer may set it back to what it saw before, so it never says FULL
        if tail - ring.head_seen.relaxed() >= ring.limit:
            head = ring.head.load()
            ring.head_seen.set(head)
            if tail - head >= ring.limit:
                if ring.tail.load() == tail:
                    return FULL
                tail = ring.tail.load()
                continue
        if ring.tail.cas(tail, tail + 1):
            break
    _fill(ring, tail, item)
    return PUT


cdef inline Put ring_put(Ring* ring, void* item) noexcept nogil:
    # On PUT the ring owns the caller's reference to item; otherwise nothing
    # happened.
    cdef Put outcome
    if ring.overflowing.load() == 0:
        outcome = _put_in_ring(ring, item)
        if outcome != FULL or ring.bounded:
            return outcome
    ring.lock.lock()
    if ring.tail.relaxed() & CLOSED_BIT:
        outcome = CLOSED
    elif overflow_put(ring, item):
        ring.overflowing.add(1)
        outcome = PUT
    else:
        outcome = NO_MEMORY
    ring.lock.unlock()
    return outcome


cdef inline void* _take_from_ring(Ring* ring) noexcept nogil:
    cdef uint64_t head = ring.head.load()
    cdef uint64_t lap, now
    cdef Slot* slot
    cdef void* item
    while True:
        slot = &ring.slots[head & ring.mask]
        lap = head >> ring.shift
        if slot.turn.load() == 2 * lap + 1:
            if ring.head.cas(head, head + 1):
                item = slot.item
                slot.turn.release(2 * (lap + 1))
                return item
        else:
            now = ring.head.load()
            if now == head:
                return NULL         # empty, or the producer of this position is not done
            head = now


cdef inline void _refill(Ring* ring) noexcept nogil:
    # The overflow is behind everything in the ring, so its front may follow
    # whenever there is room.  A closed ring still takes what was accepted: the
    # overflow's items were put before the bit was set.
    cdef int moved = 0
    ring.lock.lock()
    while moved < REFILL and ring.overflowing.relaxed():
        if not _move_in(ring, ring.overflow.front()):
            break
        ring.overflow.pop_front()
        ring.overflowing.sub(1)
        moved += 1
    ring.lock.unlock()


cdef inline bint _move_in(Ring* ring, void* item) noexcept nogil:
    # As _put_in_ring, but past the closed bit, which must survive.
    cdef uint64_t tail = ring.tail.load()
    cdef uint64_t position
    while True:
        position = tail & ~CLOSED_BIT
        if position - ring.head.load() >= ring.limit:
            return False
        if ring.tail.cas(tail, tail + 1):
            break
    _fill(ring, position, item)
    return True


cdef inline bint ring_ready(Ring* ring) noexcept nogil:
    # Would a take succeed?  Sequentially consistent: the last look before sleep.
    # overflowing first: an item leaves it only after it is in the ring.  Another
    # taker may take the head that we have seen, and is no reason to miss the next.
    cdef uint64_t head, now
    if ring.overflowing.load() != 0:
        return True
    head = ring.head.load()
    while ring.slots[head & ring.mask].turn.load() != 2 * (head >> ring.shift) + 1:
        now = ring.head.load()
        if now == head:
            return False
        head = now
    return True


cdef inline void* ring_take(Ring* ring) noexcept nogil:
    # The caller owns the ring's reference to what it gets; NULL when nothing
    # is ready.
    cdef void* item = _take_from_ring(ring)
    while item == NULL and ring_ready(ring):
        if ring.overflowing.load():
            _refill(ring)
        item = _take_from_ring(ring)
        if item == NULL:
            relax()                 # a producer holds the head position and is not done
    return item


cdef inline uint64_t ring_length(Ring* ring) noexcept nogil:
    # Claimed and not taken; a guess while others put and take.
    cdef uint64_t head = ring.head.load()
    return ring_position(ring) - head + ring.overflowing.load()


cdef inline uint64_t ring_position(Ring* ring) noexcept nogil:
    # Where the next item is put.
    return ring.tail.load() & ~CLOSED_BIT


cdef inline uint64_t ring_accepted(Ring* ring) noexcept nogil:
    # All that was ever put.  overflowing first: what moves into the ring
    # meanwhile is counted twice then, and never not at all.
    cdef uint64_t waiting = ring.overflowing.load()
    return waiting + ring_position(ring)


cdef inline bint ring_is_closed(Ring* ring) noexcept nogil:
    return (ring.tail.load() & CLOSED_BIT) != 0


cdef inline bint ring_is_drained(Ring* ring) noexcept nogil:
    # Final once true on a closed ring: nobody can claim a position any more.
    # overflowing first: an item leaves it only after it has a position.
    return ring.overflowing.load() == 0 and ring_position(ring) == ring.head.load()


cdef inline void ring_close(Ring* ring) noexcept nogil:
    ring.lock.lock()
    ring.tail.set_bits(CLOSED_BIT)
    ring.lock.unlock()
