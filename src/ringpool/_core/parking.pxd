# Who sleeps and who wakes whom.  README.md beside this file holds the proof.
#
# Workers.  `idlers.count` is the number of listed sleepers, `searching` the
# number of workers that are awake without a job.  One wake-up is on its way at
# a time; whoever finds work and was the last searcher sends the next one.
#
#   producer      P1 put the job                    (seq-cst exchange, ring.pxd)
#                 P2 searching != 0: done, a searcher will look or pass it on
#                 P3 nobody listed: done
#                 P4 wake one: unlist it, count it as searching, give the token
#   worker,       W1 nothing found: list itself, searching -= 1
#   going idle    W2 look again: found -> unlist itself, searching += 1, go on
#                    (already unlisted: a token is coming, take it)
#                 W3 sleep until the token; it arrives counted as searching
#   worker,       F1 searching -= 1
#   found work    F2 was the last and more is ready -> P3
#
# Users' threads wait in gates (for a result, for the end; for room: room.pxd) with the
# same shape: enlist, look again, sleep; and whoever makes the change looks at
# the gate's count after it.

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t

from ringpool._core.layout cimport FOREVER, Gate, Idlers, Waiter, Worker, now_ns, this_thread
from ringpool._core.python cimport on_main_thread

cdef enum:
    SIGNAL_CHECK_NS = 50_000_000    # longest the main thread, blocked, leaves a signal unanswered


# ---- workers ---------------------------------------------------------------

cdef inline void wake_one(Idlers* idlers) noexcept nogil:
    # Steps P3 and P4.  The second look at `searching` is what keeps two
    # producers from sending two wake-ups for one burst.
    cdef Worker* worker
    if idlers.count.load() == 0:
        return
    idlers.lock.lock()
    worker = idlers.top
    if worker == NULL or idlers.searching.load() != 0:
        idlers.lock.unlock()
        return
    _unlist(idlers, worker)
    idlers.searching.add(1)
    idlers.woken.add(1)
    idlers.lock.unlock()
    if worker.parker.unpark():
        idlers.roused()


cdef inline void job_put(Idlers* idlers) noexcept nogil:
    # Steps P2 to P4; the caller has done P1.
    if idlers.searching.load() == 0:
        wake_one(idlers)


cdef inline void wake_all(Idlers* idlers) noexcept nogil:
    cdef Worker* worker
    idlers.lock.lock()
    while idlers.top != NULL:
        worker = idlers.top
        _unlist(idlers, worker)
        idlers.searching.add(1)
        idlers.woken.add(1)
        worker.parker.unpark()
    idlers.lock.unlock()


cdef inline void _unlist(Idlers* idlers, Worker* worker) noexcept nogil:
    # Under idlers.lock.  Nearly always the top; only W2 takes from the middle.
    cdef Worker** link = &idlers.top
    while link[0] != worker:
        link = &link[0].next_idle
    link[0] = worker.next_idle
    worker.idle = False
    idlers.count.sub(1)


cdef inline Worker* unlist_for(Idlers* idlers, int prefers) noexcept nogil:
    # The idle worker of that number, or any; as P4, but the caller gives the
    # token, after it has filled the inbox.  NULL: nobody is idle any more.
    cdef Worker* worker
    idlers.lock.lock()
    worker = idlers.top
    while prefers >= 0 and worker != NULL and worker.number != prefers:
        worker = worker.next_idle
    if worker == NULL:
        worker = idlers.top
    if worker != NULL:
        _unlist(idlers, worker)
        idlers.searching.add(1)
        idlers.woken.add(1)
    idlers.lock.unlock()
    return worker


cdef inline void list_idle(Idlers* idlers, Worker* worker) noexcept nogil:
    # Step W1.
    idlers.lock.lock()
    worker.idle = True
    worker.next_idle = idlers.top
    idlers.top = worker
    idlers.count.add(1)
    idlers.searching.sub(1)
    idlers.lock.unlock()


cdef inline bint unlist_idle(Idlers* idlers, Worker* worker) noexcept nogil:
    # Step W2.  False: somebody unlisted it first, and its token is on the way.
    cdef bint mine
    idlers.lock.lock()
    mine = worker.idle
    if mine:
        _unlist(idlers, worker)
        idlers.searching.add(1)
    idlers.lock.unlock()
    return mine


# ---- users' threads ----------------------------------------------------------

cdef inline void gate_enter(Gate* gate, Waiter* waiter) noexcept nogil:
    gate.lock.lock()
    waiter.next = NULL
    waiter.listed = True
    if gate.last != NULL:
        gate.last.next = waiter
    else:
        gate.first = waiter
    gate.last = waiter
    gate.count.add(1)
    gate.lock.unlock()


cdef inline void gate_leave(Gate* gate, Waiter* waiter) noexcept nogil:
    # For a waiter that no longer waits.  If it was woken meanwhile the token
    # has been given or is just being given: take it, so that the Waiter may
    # die, and pass the wake-up on, since it may have been the only one.
    gate.lock.lock()
    if waiter.listed:
        unlist_waiter(gate, waiter)
        gate.lock.unlock()
        return
    gate.lock.unlock()
    waiter.parker.park(NULL)
    gate_wake_one(gate)


cdef inline void gate_wake_one(Gate* gate) noexcept nogil:
    # The change that it announces must be sequentially consistent, as the look
    # at the count and the waiter's second look are.
    cdef Waiter* waiter
    if gate.count.load() == 0:
        return
    gate.lock.lock()
    waiter = gate.first
    if waiter != NULL:
        _unlist_first(gate, waiter)
    gate.lock.unlock()
    if waiter != NULL:
        waiter.parker.unpark()


cdef inline void gate_wake_all(Gate* gate) noexcept nogil:
    # Without a glance at the count: the lock alone orders this against
    # gate_enter, so the change that it announces needs no order of its own.
    cdef Waiter* waiter
    gate.lock.lock()
    while gate.first != NULL:
        waiter = gate.first
        _unlist_first(gate, waiter)
        waiter.parker.unpark()
    gate.lock.unlock()


cdef inline void gate_wake_this(Gate* gate, Waiter** place) noexcept nogil:
    # The waiter that `place`, moved under the gate's lock, points to, if it sleeps there.
    cdef Waiter* waiter
    gate.lock.lock()
    waiter = place[0]
    if waiter != NULL and waiter.listed:
        unlist_waiter(gate, waiter)
    else:
        waiter = NULL
    gate.lock.unlock()
    if waiter != NULL:
        waiter.parker.unpark()


cdef inline void unlist_waiter(Gate* gate, Waiter* waiter) noexcept nogil:
    # Under the gate's lock.
    cdef Waiter* other = gate.first
    cdef Waiter* before = NULL
    while other != waiter:
        before = other
        other = other.next
    if before != NULL:
        before.next = waiter.next
    else:
        gate.first = waiter.next
    if gate.last == waiter:
        gate.last = before
    waiter.listed = False
    gate.count.sub(1)


cdef inline void _unlist_first(Gate* gate, Waiter* waiter) noexcept nogil:
    gate.first = waiter.next
    if gate.first == NULL:
        gate.last = NULL
    waiter.listed = False
    gate.count.sub(1)


cdef inline bint sleep_a_while(Waiter* waiter, int64_t deadline, bint may_look_out=False) noexcept:
    # Whether it was woken; else `deadline` has passed, or the main thread is to run signal handlers.
    cdef bint woken
    cdef int64_t until = deadline
    if on_main_thread():
        until = now_ns() + SIGNAL_CHECK_NS
        if deadline != FOREVER and deadline < until:
            until = deadline
    with nogil:
        woken = waiter.parker.park_until(until, &this_thread().patience if may_look_out else NULL)
    return woken


cdef inline int sleep_until_woken(Waiter* waiter, int64_t deadline, bint may_look_out=False) except -1:
    # 1: woken; 0: `deadline` (now_ns, or FOREVER) passed first; -1: a signal
    # handler raised.  In the last two cases the waiter may still be listed.
    # The main thread wakes now and then to run signal handlers: a condition
    # variable does not return on a signal.
    while True:
        if sleep_a_while(waiter, deadline, may_look_out):
            return 1
        if on_main_thread():
            PyErr_CheckSignals()
        if deadline != FOREVER and now_ns() >= deadline:
            return 0


cdef inline int64_t deadline_of(object timeout, str name="timeout") except -2:
    # Seconds as a user gives them -> now_ns() scale.  None, infinity and what
    # is beyond the clock mean for ever; NaN and what is no number are refused.
    cdef double seconds
    if timeout is None:
        return FOREVER
    try:
        seconds = timeout
    except OverflowError:
        seconds = 1e300 if timeout > 0 else 0.0
    except TypeError:
        from ringpool._core.shown import shown

        raise TypeError(f"{name} must be a number of seconds or None, got {shown(timeout)}") from None
    if seconds != seconds:
        raise ValueError(f"{name} must not be NaN")
    if seconds >= 9e9:
        return FOREVER
    return now_ns() + <int64_t>(max(seconds, 0.0) * 1e9)
