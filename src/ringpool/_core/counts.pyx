"""What a pool can say of itself: how many jobs and workers, how long, which."""

from collections import namedtuple

from cpython.object cimport PyObject
from cython.operator cimport dereference, preincrement
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from ringpool._core.engine cimport Engine, core_of_pool
from ringpool._core.future cimport FutureBase
from ringpool._core.layout cimport Core, Levels, Objects, Times, Worker, now_ns, object_put
from ringpool._core.python cimport Py_DECREF, Py_INCREF
from ringpool._core.ring cimport ring_length
from ringpool._core.shelf cimport accepted as all_accepted

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
    (thread ident, future, when it began, fn) of every job that is being run.

    When: on now_ns; 0: not noted.
    """
    cdef Core* core = core_of_pool(pool)
    cdef Objects jobs, functions
    cdef vector[unsigned long] idents
    cdef vector[int64_t] began
    cdef PyObject* job
    cdef size_t i
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
    core.roster_lock.unlock()
    core.inspecting.store(0)
    core.inspection.unlock()
    found = []
    for i in range(jobs.size()):
        found.append((idents[i], <object>jobs[i], began[i], <object>functions[i]))
        Py_DECREF(jobs[i])
        Py_DECREF(functions[i])
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
    """({level: jobs that wait there}, for how many ns the one that waits longest does) on the shelf."""
    cdef Core* core = core_of_pool(pool)
    cdef Levels found
    cdef int64_t oldest = 0
    cdef bint counted
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
    return by_level, now_ns() - oldest if oldest else None


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


def waiting(Engine pool not None):
    """Jobs that wait for a worker, those behind a key and cancelled ones included; not those due later."""
    return ring_length(&core_of_pool(pool).ring) + core_of_pool(pool).shelf.waiting.load()


def late(Engine pool not None):
    """Jobs whose future has ended before their function."""
    return core_of_pool(pool).late.load()


# ---- counting ---------------------------------------------------------------------------------

def count(Engine pool not None, uint32_t what):
    """One more of the face's own counter number *what*, below 16."""
    core_of_pool(pool).tallies[what & 15].add(1)


def counted(Engine pool not None):
    """All sixteen of them."""
    return [core_of_pool(pool).tallies[i].load() for i in range(16)]
