# What the rig's queue is like, what is put into it, and what came of that.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ringpool._core._rig_jobs cimport MEDDLERS, PRODUCERS, Job, Reliefs, Vacancies, drawn, job_begin, jobs_free, jobs_new
from ringpool._core.core cimport unfinished
from ringpool._core.layout cimport Core
from ringpool._core.ring cimport ring_free, ring_open
from ringpool._core.shelf cimport queue_length

cdef struct Plan:               # what the producers submit
    uint64_t seed               # of what is drawn for each job
    uint64_t n                  # numbers each
    uint64_t producers
    uint64_t meddlers
    uint64_t keys               # every other number has the key number % keys; 0: none has
    bint planned                # every other number has an order of its own: a key, or is tried again, or due later
    uint64_t again              # attempts that such a number may have before its last
    int64_t delay               # ns until it is due, or is again, at the most; 0: at once
    uint64_t holds              # how often it is put back, and nothing may start for a while, at the most
    bint sleeps                 # some jobs sleep until they are asked to end
    bint elastic                # workers come and go: they are hired, and leave when idle for long, or one too many
    int64_t idle_ns             # so long
    bint fails                  # now and then a thread cannot be started
    Vacancies* vacancies        # for them; owned
    bint waits                  # some jobs wait for others, put later: for no key, and in no lane that could be full
    uint32_t spares             # that make up for those, at the most
    Vacancies* spare_vacancies  # for them, who may hire others; owned
    Reliefs* reliefs            # and for whom each is; owned
    uint32_t least              # workers, which lanes have reserved, and one more
    uint64_t workers            # at the most
    uint64_t lanes              # that such a number may be for
    uint64_t levels             # and that it may be of
    uint64_t acts               # that meddlers draw from, of Act
    int64_t deadline            # of a wait for room
    uint64_t meeting            # jobs that wait for each other: as many as there are workers; 0: none does
    uint64_t started            # where they meet
    bint told                   # somebody waits for the end: workers say what they have done
    Job* job                    # of each number of each producer; owned

cdef struct Took:
    uint64_t n                  # dealt with
    uint64_t total              # of the numbers
    uint64_t broken             # of one producer's numbers, those that came before an earlier one
    uint64_t next_of[64]


cdef inline uint32_t spare_threads(Plan* plan) noexcept nogil:
    # As many as most_spares() may say, when there were to be more workers, and one that is about to come back.
    return plan.spares + plan.workers + 1 if plan.waits else 0


cdef inline Core* rig_open(
    uint64_t capacity, bint ready, uint64_t before_overflow, uint32_t workers, Plan* plan
) except NULL:
    # capacity 0: no bound, and before_overflow what the ring takes.
    cdef Core* core = new Core()
    cdef Job* job
    cdef uint64_t i
    core.ready = ready
    core.planned.store(ready)
    core.unrun.core = core
    if not ring_open(&core.ring, capacity or before_overflow):
        del core
        raise MemoryError
    core.ring.bounded = capacity != 0
    plan.workers = workers
    plan.job = jobs_new(plan.n * plan.producers)
    core.shelf.workers = workers
    plan.vacancies = new Vacancies(plan.seed, plan.fails, plan.producers + plan.meddlers + 2, False)   # timekeeper and end
    plan.spare_vacancies = new Vacancies(~plan.seed, plan.fails, workers + plan.told, True)    # workers and timekeeper
    plan.reliefs = new Reliefs(workers + spare_threads(plan))
    core.max_spares = plan.spares
    _set_up_lanes(core, plan, workers)
    core.max_workers.store(workers)
    core.min_workers.store(1 if plan.elastic else workers)
    core.elastic.store(plan.elastic)
    core.started.store(0 if plan.elastic else workers)
    core.reserved.store(0 if plan.elastic else workers)
    core.idle_ns = plan.idle_ns if plan.elastic else -1
    for i in range(plan.n * plan.producers):
        job = &plan.job[i]
        job.planned = plan.planned and (i // plan.producers + i % plan.producers) % 2
        if job.planned and plan.again:
            job.again = drawn(plan.seed, 2 * i, plan.again + 1)
        if job.planned and plan.delay:
            job.delay = <int64_t>drawn(plan.seed, 2 * i + 1, 3) * (plan.delay // 2)
        if job.planned and plan.holds:
            job.holds = drawn(plan.seed, 2 * i + 3, plan.holds + 1)
        job.sleeps = plan.sleeps and drawn(plan.seed, 2 * i + 2, 2)
        if job.planned and plan.lanes:
            job.extension.wish.lane = drawn(plan.seed, (1 << 33) + 2 * i, plan.lanes)
            job.extension.wish.level = drawn(plan.seed, (1 << 33) + 2 * i + 1, plan.levels)
        job_begin(job, core)
    return core


cdef inline void _set_up_lanes(Core* core, Plan* plan, uint32_t workers) except *:
    # One worker at least is left that none has reserved.
    cdef uint64_t i
    cdef uint32_t reserved = 0
    core.shelf.ageing = 1 + drawn(plan.seed, 1 << 32, 4)
    core.shelf.lanes.resize(max(1, plan.lanes))
    for i in range(plan.lanes):
        if not plan.waits and drawn(plan.seed, (1 << 32) + 4 * i + 1, 2):
            core.shelf.lanes[i].most = 1 + drawn(plan.seed, (1 << 32) + 4 * i + 2, workers)
        if reserved + 1 < workers and drawn(plan.seed, (1 << 32) + 4 * i + 3, 2):
            core.shelf.lanes[i].reserve = 1
            reserved += 1
        core.shelf.lanes[i].weight = 1 + drawn(plan.seed, (1 << 32) + 4 * i + 4, 3)
    plan.least = reserved + 1


cdef inline void rig_end(Core* core, Plan* plan) noexcept:
    jobs_free(plan.job)
    del plan.vacancies
    del plan.spare_vacancies
    del plan.reliefs
    ring_free(&core.ring)
    del core


cdef inline Job* job_of(Plan* plan, uint64_t item) noexcept nogil:
    return &plan.job[index_of(plan, item)]


cdef inline uint64_t index_of(Plan* plan, uint64_t item) noexcept nogil:
    return (item - 1) // PRODUCERS * plan.producers + (item - 1) % PRODUCERS


cdef inline uint64_t item_of(Plan* plan, uint64_t i) noexcept nogil:
    return i // plan.producers * PRODUCERS + i % plan.producers + 1


# ---- what came of it ---------------------------------------------------------------

cdef inline list rig_jobs(Core* core, Plan* plan):
    # Of each job: (item, known, word, outcome, ends, ended with, from, starts, put back, may come again, held, planned,
    # its lane and how many of that may run, callbacks added, called).
    cdef Job* job
    cdef uint64_t i
    found = []
    for i in range(plan.n * plan.producers):
        job = &plan.job[i]
        found.append((
            item_of(plan, i), job.known.load(), job.word.load(), job.outcome, job.ends, job.ended_with, job.ended_from,
            job.starts, job.put_backs, job.again, job.held, job.planned,
            job.extension.wish.lane, core.shelf.lanes[job.extension.wish.lane].most,
            [job.added[k] for k in range(MEDDLERS)], [job.called[k] for k in range(MEDDLERS)],
        ))
    return found


cdef inline dict rig_books(Core* core):
    # What must add up when all have ended.
    cdef size_t i
    books = {
        "unfinished": unfinished(core),
        "queued": queue_length(core),
        "tombstones": core.unrun.tombstones.load(),
        "ready": 0, "running": core.shelf.running, "spares": core.spares.load(),
        "ended before they started": core.unrun.cancelled.load() + core.unrun.succeeded.load()
        + core.unrun.failed.load() + core.unrun.dropped.load() + core.unrun.expired.load(),
        "started": core.retired.started, "ran": core.retired.succeeded + core.retired.failed,
        "again": core.retired.again,
    }
    for i in range(core.shelf.lanes.size()):
        books["ready"] += core.shelf.lanes[i].ready.load()
        books["running"] += core.shelf.lanes[i].running
    for i in range(core.roster.size()):
        books["started"] += core.roster[i].started.read()
        books["ran"] += core.roster[i].succeeded.read() + core.roster[i].failed.read()
        books["again"] += core.roster[i].again.read()
    return books
