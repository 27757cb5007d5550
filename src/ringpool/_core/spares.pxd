# Spares: workers beyond max_workers that make up for those that wait in a job. How many
# wait, how many spares that takes, who may leave: what needs no Python. WAITING.md beside
# this file says why.

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.jobword cimport PENDING, PHASE
from ringpool._core.layout cimport Core, Word, Worker, relax
from ringpool._core.ring cimport ring_length
from ringpool._core.shelf cimport allow_workers, let_go_if_drained, work_ready

cdef enum Relief:               # of a worker that is about to wait
    NONE_NEEDED                 # an idle worker does what is to be done
    FOR_ALL                     # reserve_spares says: what it waits for is not ready, or it has a spare
    ITS_OWN                     # a spare for it, whom the caller starts
    NO_MORE                     # there are as many as there may be


# ---- who waits --------------------------------------------------------------------

cdef inline void begin_to_wait(Core* core, Worker* me) noexcept nogil:
    core.roster_lock.lock()
    me.waits_in = _is_at(me)
    core.roster_lock.unlock()


cdef inline void end_to_wait(Core* core, Worker* me) noexcept nogil:
    core.roster_lock.lock()
    me.waits_in = NULL
    core.roster_lock.unlock()


cdef inline PyObject* _is_at(Worker* worker) noexcept nogil:
    # The job it runs; itself, where it is awake and runs none: in a callback of one that has ended.
    cdef PyObject* job = worker.current.relaxed()
    return job if job != NULL or worker.asleep.relaxed() else <PyObject*>worker


cdef inline uint32_t _waiting(Core* core) noexcept nogil:
    cdef uint32_t waiting = 0
    cdef size_t i
    core.roster_lock.lock()
    for i in range(core.roster.size()):
        waiting += core.roster[i].waits_in != NULL and core.roster[i].waits_in == _is_at(core.roster[i])
    core.roster_lock.unlock()
    return waiting


# ---- how many there may be ----------------------------------------------------------

cdef inline uint32_t most_spares(Core* core) noexcept nogil:
    # Instead of workers that were taken away others may come: who waits cannot do without, and was not refused.
    cdef uint32_t workers = core.max_workers.load()
    return core.max_spares + max(core.most_workers.load(), workers) - workers


cdef inline bint _reserve_spare(Core* core) noexcept nogil:
    # True: it is counted as one of them.
    cdef uint32_t spares = core.spares.load()
    while spares < most_spares(core):
        if core.spares.cas(spares, spares + 1):
            return True
    return False


cdef inline void give_up_spares(Core* core, uint32_t number) noexcept nogil:
    # That were reserved: they have left, or never come.  What the last of them has put back is for
    # the workers, which have stayed for that.
    core.spares.sub(number)
    allow_workers(core, 0, 0, 0)
    let_go_if_drained(core)


# ---- how many are to come --------------------------------------------------------------

cdef inline Relief relieve(
    Core* core, Worker* me, Word[uint32_t]* has_spare, Word[uint32_t]* word, bint ours
) noexcept nogil:
    # Before a worker waits for the job of that word, `ours` if it is in its queue, in a way that
    # cannot be served in place.  For a job that runs none comes, but it may come again, to be
    # found when it is due: this worker counts as one that waits.
    cdef uint32_t expected = 0
    begin_to_wait(core, me)
    if core.idlers.count.load() and (work_ready(core) or core.shelf.lanes.size() == 1):
        return NONE_NEEDED                  # an idle worker has been woken, or will be; none is set aside
    if word.load() & PHASE != PENDING:
        return FOR_ALL
    if not ours and not work_ready(core):
        return FOR_ALL                      # it may be set aside; or who puts what ends the wait makes up for it
    if not has_spare.cas(expected, 1):
        return FOR_ALL                      # unless that one waits itself
    if not _reserve_spare(core):
        has_spare.store(0)
        return NO_MORE
    return ITS_OWN


cdef inline uint32_t reserve_spares(Core* core) noexcept nogil:
    # So many, whom the caller starts, after jobs became ready that no producer has hired for, or
    # before the last who could run them sleeps, since it is set aside for others.  Maybe all workers
    # wait for just these jobs: while fewer than max_workers are at work, a spare helps.
    cdef uint32_t waiting, reserved = 0
    cdef uint32_t lacks = 1
    cdef bint set_aside = not _finds_work(core)
    if set_aside:
        lacks = _lacks_workers(core)
        if lacks == 0:
            return 0
    elif core.idlers.count.load() or core.idlers.searching.load():
        return 0                            # who looks for work finds it
    waiting = _waiting(core)
    if waiting == 0:
        return 0                            # of those there are to be, some are only coming
    if set_aside and core.spares.load() + lacks > waiting:
        return 0                            # what lanes have reserved is theirs, but for who waits
    if core.started.load() + core.spares.load() >= core.max_workers.load() + core.drained.load() + waiting and (
        # unless all who are at work wait for room, as more may than there are to be, while those wait who would leave
        core.started.load() + core.spares.load() > waiting + core.stuck.load()
    ):
        return 0                            # and so does who is at work, or leaves before the end: it looks once more
    while reserved < lacks:
        if not _reserve_spare(core):
            if reserved:
                give_up_spares(core, reserved)  # too few: the next that is free takes it
            return 0
        reserved += 1
    return reserved


cdef inline bint _finds_work(Core* core) noexcept nogil:
    # As work_ready, for those that wait in a job.  A producer that has claimed a position and is not
    # done hides what is behind it, and when it is done wakes none of them: so that is waited for.
    while not work_ready(core):
        if ring_length(&core.ring) == 0:
            return False
        relax()
    return True


cdef inline uint32_t _lacks_workers(Core* core) noexcept nogil:
    # The last of those hired finds that the one before it has taken what all were needed for, and leaves.
    cdef uint32_t lacks
    if core.shelf.lanes.size() == 1 or not core.shelf.waiting.load():
        return 0                            # nothing is set aside
    core.shelf.lock.lock()
    lacks = core.shelf.lacks_workers()
    core.shelf.lock.unlock()
    return lacks


# ---- the end of one -------------------------------------------------------------------

cdef inline bint spare_may_leave(Core* core, Word[uint32_t]* has_spare) noexcept nogil:
    # It has found nothing.  Whoever waits puts a job and then looks at has_spare; here that is
    # cleared and then the queue looked at: one of them sees the other.
    cdef uint32_t expected = 0
    has_spare.store(0)
    return not _finds_work(core) or not has_spare.cas(expected, 1)   # or another was hired already
