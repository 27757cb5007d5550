"""What a pool can say of itself: how many jobs and workers, how long, which."""

from collections import namedtuple

from cpython.object cimport PyObject
from cython.operator cimport dereference, preincrement
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from ringpool._core.core cimport forget_finished
from ringpool._core.engine cimport Engine, core_of_pool
from ringpool._core.future cimport FutureBase
from ringpool._core.jobword cimport CANCELLED, PENDING, PHASE
from ringpool._core.layout cimport Core, Levels, Objects, Times, Worker, now_ns, object_put
from ringpool._core.python cimport Py_DECREF, Py_INCREF
from ringpool._core.ring cimport ring_length, ring_position
from ringpool._core.shelf cimport absorb, accepted as all_accepted, tell_if_runnable

Counts = namedtuple(
    "Counts",
    "queued in_flight workers idle accepted succeeded failed cancelled dropped expired withdrawn rejected forgotten "
    "woken retries delayed retrying blocked block_timed_out",
)


def counts(Engine pool not None):
    """
    One snapshot, as Counts.

    What is done is read before what was accepted, and queued is what
    remains, no more than the queue holds, so that the parts always add up
    to accepted.
    """
    cdef Core* core = core_of_pool(pool)
    cdef Worker* worker
    cdef uint64_t succeeded, failed, cancelled, dropped, expired, withdrawn, started, ok, bad, again, retries, beside
    cdef uint64_t accepted, resolved, in_flight, unrun_succeeded, unrun_failed
    cdef uint32_t workers, idle
    cdef size_t i
    # Before the workers: of a job that was cancelled after an attempt, that it has ended is seen last.
    unrun_succeeded = core.unrun.succeeded.load()
    unrun_failed = core.unrun.failed.load()
    cancelled = core.unrun.cancelled.load()
    dropped = core.unrun.dropped.load()
    expired = core.unrun.expired.load()
    withdrawn = core.withdrawn.load()
    core.roster_lock.lock()
    succeeded = core.retired.succeeded
    failed = core.retired.failed
    retries = core.retired.again
    in_flight = core.retired.started - succeeded - failed - retries
    for i in range(core.roster.size()):
        worker = core.roster[i]
        while True:                         # of each worker, what it counted at one moment
            ok = worker.succeeded.read()
            bad = worker.failed.read()
            again = worker.again.read()
            started = worker.started.read()
            if ok == worker.succeeded.read() and bad == worker.failed.read() and again == worker.again.read():
                break
        succeeded += ok
        failed += bad
        retries += again
        in_flight += started - ok - bad - again
    core.roster_lock.unlock()
    succeeded += unrun_succeeded
    failed += unrun_failed
    beside = core.beside.load()
    accepted = all_accepted(core) + beside
    resolved = succeeded + failed + cancelled + withdrawn + dropped + expired
    if resolved + in_flight > accepted:
        in_flight = accepted - resolved     # one that two workers have tried was counted at both
    if core.ring.bounded and not core.planned.load() and accepted - resolved - in_flight > core.ring.limit:
        accepted = resolved + in_flight + core.ring.limit   # the rest came after we began to count
    idle = core.idlers.count.load()         # before the workers, of which they are some
    workers = core.spares.load() - core.gone.load()
    workers += core.reserved.load()
    return Counts(
        accepted - resolved - in_flight, in_flight, workers, idle,
        accepted, succeeded, failed, cancelled, dropped, expired, withdrawn, core.rejected.load(),
        core.forgotten.load(), core.idlers.woken.load(), retries, core.shelf.delayed.load(),
        core.shelf.retrying.load(), core.blocked.load(), core.block_timed_out.load(),
    )


def running(Engine pool not None):
    """
    (thread ident, future, when it began, fn, late) of every job that is being run.

    When: on now_ns; 0: not noted. Late: its future has ended already.
    """
    cdef Core* core = core_of_pool(pool)
    cdef Objects jobs, functions
    cdef vector[unsigned long] idents
    cdef vector[int64_t] began
    cdef vector[uint32_t] phases
    cdef PyObject* job
    cdef size_t i
    phases.reserve(2 * core.started.load() + 8)
    idents.reserve(2 * core.started.load() + 8)
    began.reserve(2 * core.started.load() + 8)
    core.inspection.lock()
    core.inspecting.store(1)
    core.roster_lock.lock()
    for i in range(core.roster.size()):
        job = core.roster[i].current.load()     # pairs with run_started: not dropped while we inspect
        if job != NULL and object_put(&jobs, job) and object_put(&functions, (<FutureBase>job).fn):
            Py_INCREF(job)
            Py_INCREF((<FutureBase>job).fn)
            idents.push_back(core.roster[i].ident)
            began.push_back(core.roster[i].began.relaxed())
            # Its worker waits for `inspection` before it settles it: who has, was somebody else.
            phases.push_back((<FutureBase>job).state.load() & PHASE)
    core.roster_lock.unlock()
    core.inspecting.store(0)
    core.inspection.unlock()
    found = []
    for i in range(jobs.size()):
        found.append((idents[i], <object>jobs[i], began[i], <object>functions[i], phases[i] >= CANCELLED))
        Py_DECREF(jobs[i])
        Py_DECREF(functions[i])
    return found


def workers(Engine pool not None):
    """
    (number, name, is it idle, for how many seconds, jobs ended, its state) of each that takes jobs, by number.

    The seconds: since its last job, or, when not idle, of its job; 0: just now.
    """
    cdef Core* core = core_of_pool(pool)
    cdef Worker* worker
    cdef Objects states
    cdef vector[int64_t] told
    cdef int64_t since, now = now_ns()
    cdef size_t i
    told.reserve(8 * core.started.load() + 32)
    core.roster_lock.lock()
    core.idlers.lock.lock()
    for i in range(core.roster.size()):
        worker = core.roster[i]
        if worker.seated and object_put(&states, worker.state):
            if worker.state != NULL:
                Py_INCREF(worker.state)         # it is dropped by its worker after that has held the lock
            told.push_back(worker.number)
            told.push_back(worker.idle)
            if worker.idle:
                since = worker.asleep.relaxed()
            else:                               # between two jobs `began` is that of the last one
                since = worker.began.relaxed() if worker.current.acquire() != NULL else 0
            told.push_back(now - since if 0 < since < now else 0)
            told.push_back(worker.succeeded.read() + worker.failed.read())
    core.idlers.lock.unlock()
    core.roster_lock.unlock()
    found = []
    for i in range(states.size()):
        state = None
        if states[i] != NULL:
            state = <object>states[i]
            Py_DECREF(states[i])
        name = f"{pool._thread_name_prefix}_{told[4 * i]}"
        found.append((told[4 * i], name, told[4 * i + 1] != 0, told[4 * i + 2] * 1e-9, told[4 * i + 3], state))
    found.sort()                                # no two have one number, so no states are compared
    return found


def unstarted(Engine pool not None):
    """
    The futures of all jobs that wait, for a worker, a key or a time.

    From then on the queue keeps its jobs on the shelf: of the ring, workers take without a lock. Not for a pool
    without a bound, whose overflow it would move.
    """
    cdef Core* core = core_of_pool(pool)
    cdef Objects jobs
    cdef size_t i
    core.planned.store(1)
    core.shelf.lock.lock()
    absorb(core)
    core.shelf.list(&jobs)
    for i in range(jobs.size()):
        Py_INCREF(jobs[i])                      # the shelf has one, which it may give away as soon as it can
    core.shelf.lock.unlock()
    tell_if_runnable(core)                      # while a job was moved, nobody could see it
    found = []
    for i in range(jobs.size()):
        if (<FutureBase>jobs[i]).state.load() & PHASE == PENDING:
            found.append(<object>jobs[i])
        Py_DECREF(jobs[i])
    return found


def lane_counts(Engine pool not None):
    """(waiting, running) of each lane; jobs behind a key and those not due are in no lane."""
    cdef Core* core = core_of_pool(pool)
    cdef size_t i
    cdef vector[uint64_t] counts
    counts.reserve(2 * core.shelf.lanes.size())     # lanes are set up before the first job, and stay
    core.shelf.lock.lock()
    for i in range(core.shelf.lanes.size()):
        counts.push_back(core.shelf.lanes[i].ready.load())
        counts.push_back(core.shelf.lanes[i].running)
    core.shelf.lock.unlock()
    return [(counts[2 * i], counts[2 * i + 1]) for i in range(counts.size() // 2)]


def levels(Engine pool not None):
    """
    ({level: jobs that wait there}, for how many ns the one that waits longest does, or None).

    Of a pool with a bound. Jobs in the ring are of level 0, and wait at most so long: see _put_after.
    """
    cdef Core* core = core_of_pool(pool)
    cdef Levels found
    cdef int64_t oldest = 0, now = now_ns(), put_after
    cdef uint64_t ended, plain
    cdef bint counted
    put_after = _put_after(core, now)           # also when none is there: it notes that
    ended = core.unrun.tombstones.load() if not core.planned.load() else 0     # else they are on the shelf, or were
    plain = ring_length(&core.ring)
    plain -= min(plain, ended)
    core.shelf.lock.lock()
    counted = core.shelf.count_levels(&found, &oldest)
    core.shelf.lock.unlock()
    if not counted:
        raise MemoryError
    by_level = {}
    cdef Levels.iterator at = found.begin()
    while at != found.end():
        by_level[dereference(at).first] = dereference(at).second
        preincrement(at)
    if plain:
        by_level[0] = by_level.get(0, 0) + plain
        if oldest == 0 or put_after < oldest:
            oldest = put_after
    return by_level, max(0, now - oldest) if oldest else None


cdef int64_t _put_after(Core* core, int64_t now) noexcept:
    # Before that time nothing was put that is in the ring.  It is the latest of
    # what is known: from the looks of who called this before; of a worker that
    # sleeps, since what is put wakes it; of one that slept, until when; of a
    # worker that took a sampled job, when that was put, since what is there came
    # after it.
    cdef int64_t latest
    cdef Worker* worker
    cdef size_t i
    core.looks.lock.lock()
    latest = core.looks.look(core.ring.head.load(), ring_position(&core.ring), now)
    core.looks.lock.unlock()
    core.roster_lock.lock()
    latest = max(latest, core.retired.fresh)
    for i in range(core.roster.size()):
        worker = core.roster[i]
        latest = max(latest, now if worker.asleep.relaxed() else worker.fresh.relaxed())
    core.roster_lock.unlock()
    return latest


def times(Engine pool not None):
    """Of the sampled jobs: (bucket counts, total ns) of the time queued, and of the time run."""
    cdef Core* core = core_of_pool(pool)
    cdef Times* waits = new Times()
    cdef Times* runs = new Times()
    cdef size_t i
    core.roster_lock.lock()
    waits.add(core.retired.waits)
    runs.add(core.retired.runs)
    for i in range(core.roster.size()):
        waits.add(core.roster[i].waits)
        runs.add(core.roster[i].runs)
    core.roster_lock.unlock()
    try:
        return _as_counts(waits), _as_counts(runs)
    finally:
        del waits
        del runs


cdef _as_counts(Times* times):
    return [times.counts[i].relaxed() for i in range(960)], times.total_ns.relaxed()


def worker_times(Engine pool not None):
    """(ns that its workers have lived, those that they slept for want of a job), all together."""
    cdef Core* core = core_of_pool(pool)
    cdef int64_t now = now_ns(), alive, slept, asleep
    cdef size_t i
    core.roster_lock.lock()
    alive = core.retired.alive_ns
    slept = core.retired.slept_ns
    for i in range(core.roster.size()):
        if core.roster[i].born.relaxed():
            alive += now - core.roster[i].born.relaxed()
            slept += core.roster[i].slept_ns.acquire()      # first: a sleep that ends meanwhile counts next time
            asleep = core.roster[i].asleep.acquire()
            slept += now - asleep if 0 < asleep < now else 0
    core.roster_lock.unlock()
    return alive, slept


def spins(Engine pool not None):
    """How often workers looked out for a job before they slept, and how often they were woken meanwhile."""
    cdef Core* core = core_of_pool(pool)
    cdef uint64_t looks, hits
    cdef size_t i
    core.roster_lock.lock()
    looks = core.retired.spins
    hits = core.retired.spin_hits
    for i in range(core.roster.size()):
        hits += core.roster[i].spin_hits.acquire()      # first: never more than looks
        looks += core.roster[i].spins.acquire()
    core.roster_lock.unlock()
    return looks, hits


def waiting(Engine pool not None):
    """Jobs that wait for a worker, those behind a key and cancelled ones included; not those due later."""
    return ring_length(&core_of_pool(pool).ring) + core_of_pool(pool).shelf.waiting.load()


def late(Engine pool not None):
    """Jobs whose future has ended before their function."""
    return core_of_pool(pool).late.load()


def let_go_of_finished(Engine pool not None):
    """Drop the finished futures that are kept for a reader: those whose error nobody has read are reported."""
    forget_finished(core_of_pool(pool))


# ---- counting ---------------------------------------------------------------------------------

def count(Engine pool not None, uint32_t what):
    """One more of the face's own counter number *what*, below 16."""
    core_of_pool(pool).tallies[what & 15].add(1)


def counted(Engine pool not None):
    """All sixteen of them."""
    return [core_of_pool(pool).tallies[i].load() for i in range(16)]
