# The job's word: a phase and flags, who may move them and in which order others
# see it.  Knows no Python, so that it is raced without an interpreter as well.
#
#     PENDING --start--> RUNNING --settle--> FINISHED
#      ^ |  \--settle (set_result by hand)-----^
#      | +--cancel--> CANCELLED --notify--> CANCELLED_AND_NOTIFIED
#      | +--cancel, of a job in a queue-----^
#      +--put back, from RUNNING
#
# LOCKED is a lock bit: its holder alone may change the word, and what belongs to
# it: the outcome, the call, the extension's pointer, its callbacks, `unrun`.  It
# is held for a few instructions, in which no Python code runs, nothing is
# allocated by Python and nothing is dropped, so others wait for it by yielding.
# Whoever settles without finding WATCHED set has nobody to tell: that is the path
# of a plain job, one CAS to start, one to lock, one store to publish.
#
# Ordering.  The store that publishes FINISHED pairs with the acquire load of
# whoever reads the outcome.

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.layout cimport (
    Extension,
    Objects,
    Tally,
    Unrun,
    Waiter,
    Word,
    core_of,
    has_spare_processor,
    object_put,
    relax,
)
from ringpool._core.parking cimport gate_enter, gate_leave, gate_wake_all

cdef enum:
    PENDING = 0
    RUNNING = 1
    CANCELLED = 2
    CANCELLED_AND_NOTIFIED = 3
    FINISHED = 4
    PHASE = 7               # mask

    FAILED = 8              # the outcome is an exception
    WATCHED = 16            # the extension may hold sleepers, callbacks or a condition
    INFLATED = 32           # `_condition` is out: the phase changes under it
    OWNED = 64              # a job of an engine, which starts and settles it
    LOCKED = 128
    ASKED = 256             # cancel() came while it ran: a request

    UNREAD = 512            # it failed, and nobody has looked at the error yet

    DROPPED = 1 << 16       # never in the word: how word_settle counts what it
    EXPIRED = 1 << 17       # ends before it was started, in place of failed

cdef enum Settling:
    REFUSED                 # not from this phase; not locked
    UNDER_CONDITION         # take the extension's condition first; not locked
    MINE                    # locked


cdef inline uint32_t word_lock(Word[uint32_t]* word) noexcept nogil:
    # The word without LOCKED; give it, or what shall follow it, to word_unlock.
    cdef uint32_t state = word.load()
    while True:
        if state & LOCKED:
            relax()
            state = word.load()
        elif word.cas(state, state | LOCKED):
            return state


cdef inline void word_unlock(Word[uint32_t]* word, uint32_t state) noexcept nogil:
    word.store(state)


cdef inline bint has_ended(uint32_t state) noexcept nogil:
    return state & PHASE >= CANCELLED


# ---- attempts ----------------------------------------------------------------

cdef inline bint word_start(Word[uint32_t]* word) noexcept nogil:
    # PENDING -> RUNNING, for the one who will run it; False: already resolved.
    cdef uint32_t state = OWNED | PENDING
    if word.cas(state, OWNED | RUNNING):
        return True
    state = word_lock(word)
    if state & PHASE != PENDING:
        word_unlock(word, state)
        return False
    word_unlock(word, state | RUNNING)
    return True


cdef inline bint word_put_back(Word[uint32_t]* word, Tally* count) noexcept nogil:
    # RUNNING -> PENDING, to be tried again; False: somebody settled it by hand.
    # Counted before anybody can cancel it: see _counts.
    cdef uint32_t state = word_lock(word)
    if state & PHASE != RUNNING:
        word_unlock(word, state)
        return False
    count.bump()
    word_unlock(word, (state & ~PHASE) | PENDING)
    return True


cdef inline bint word_ask(Word[uint32_t]* word, Unrun** unrun) noexcept nogil:
    # A running job is asked to end; it looks at current_job().cancelled.  False: it was to be,
    # and has been put back: it can be cancelled.
    cdef uint32_t state = word_lock(word)
    if state & PHASE == RUNNING and unrun[0] != NULL:
        state |= ASKED
        word.store(state | LOCKED)                      # before the look at the gate: a sleeper enlists and then looks here
        gate_wake_all(&core_of(unrun[0]).sleepers)      # the core lives while the job runs, and it does under the lock
    word_unlock(word, state)
    return state & PHASE != PENDING


# ---- settling ------------------------------------------------------------------

cdef inline bint word_lock_quietly(Word[uint32_t]* word) noexcept nogil:
    # Of a running job that nobody watches: who gets True writes the outcome, and
    # word_end_quietly follows.  False: nothing happened, somebody is to be told or was faster.
    cdef uint32_t state = OWNED | RUNNING
    return word.cas(state, OWNED | RUNNING | LOCKED)


cdef inline void word_end_quietly(Word[uint32_t]* word, uint32_t failed) noexcept nogil:
    word.release(OWNED | FINISHED | failed)


cdef inline Settling word_lock_to_settle(
    Word[uint32_t]* word, uint32_t allowed, bint has_condition, uint32_t* state
) noexcept nogil:
    # From one of the phases in the set `allowed`.  Who gets MINE writes the outcome, and
    # word_settle follows; has_condition: the caller holds the extension's.
    state[0] = word_lock(word)
    if not allowed >> (state[0] & PHASE) & 1:
        word_unlock(word, state[0])
        return REFUSED
    if not state[0] & INFLATED or has_condition:
        return MINE
    # The standard library's wait() looks at the phase and enlists itself
    # under the condition: the phase must not change in between.
    word_unlock(word, state[0])
    return UNDER_CONDITION


cdef inline void word_settle(
    Word[uint32_t]* word, uint32_t state, uint32_t phase, Unrun* unrun, Extension* extension, bint left
) noexcept nogil:
    # To `phase` (with FAILED, or with what it is counted as), by the holder of the lock; wakes
    # whoever sleeps until then.  left: the queue does not hold it any more.
    if unrun != NULL and state & PHASE == PENDING:
        if phase & PHASE != FINISHED:
            unrun.cancelled.add(1)
        elif phase & DROPPED:
            unrun.dropped.add(1)
        elif phase & EXPIRED:
            unrun.expired.add(1)
        elif phase & FAILED:
            unrun.failed.add(1)
        else:
            unrun.succeeded.add(1)
        if not left:
            unrun.tombstones.add(1)
    word_unlock(word, (state & ~PHASE) | (phase & ~(DROPPED | EXPIRED)))
    if state & WATCHED:
        gate_wake_all(&extension.gate)


# ---- watching --------------------------------------------------------------------

cdef inline bint word_watch(Word[uint32_t]* word, Unrun** unrun) noexcept nogil:
    # Whoever settles it from now on tells.  True: it pays to look out for that.
    cdef uint32_t state = word_lock(word)
    cdef bint pays = not has_ended(state) and unrun[0] != NULL and has_spare_processor(core_of(unrun[0])) and (
        not core_of(unrun[0]).idlers.has_roused()
    )
    word_unlock(word, state | WATCHED)
    return pays


cdef inline bint word_enlist(Word[uint32_t]* word, Extension* extension, Waiter* waiter) noexcept nogil:
    # After word_watch: into the gate, to sleep there.  False: it has ended.
    if has_ended(word.load()):
        return False
    gate_enter(&extension.gate, waiter)
    # Enlisted, look again: pairs with word_settle's store and then its look at the gate.
    if not has_ended(word.load()):
        return True
    gate_leave(&extension.gate, waiter)
    return False


cdef inline bint word_add_callback(
    Word[uint32_t]* word, Extension* extension, PyObject* callback, bint* kept
) noexcept nogil:
    # False: it has ended, and the caller calls it.  Else it is `kept`, and whoever settles
    # calls it, unless there was no memory.
    cdef uint32_t state = word_lock(word)
    kept[0] = not has_ended(state) and object_put(&extension.callbacks, callback)
    word_unlock(word, state if has_ended(state) else state | WATCHED)
    return not has_ended(state)


cdef inline void word_take_callbacks(Word[uint32_t]* word, Extension* extension, Objects& callbacks) noexcept nogil:
    cdef uint32_t state = word_lock(word)
    callbacks.swap(extension.callbacks)
    word_unlock(word, state)


cdef inline bint word_inflate(
    Word[uint32_t]* word, Extension* extension, PyObject* condition, PyObject* waiters
) noexcept nogil:
    # From now on the phase changes under this condition.  False: it has one, and nothing happened.
    cdef uint32_t state = word_lock(word)
    cdef bint first = not state & INFLATED
    if first:
        extension.condition = condition
        extension.waiters = waiters
    word_unlock(word, state | INFLATED | WATCHED)
    return first


cdef inline bint word_extend(Word[uint32_t]* word, Word[Extension*]* place, Extension* fresh) noexcept nogil:
    # Gives it its extension.  False: it has one, and the caller keeps the fresh one.
    cdef uint32_t state = word_lock(word)
    cdef bint first = place.relaxed() == NULL
    if first:
        place.release(fresh)
    word_unlock(word, state)
    return first


cdef inline void word_mark_read(Word[uint32_t]* word) noexcept nogil:
    cdef uint32_t state = word_lock(word)
    word_unlock(word, state & ~UNREAD)
