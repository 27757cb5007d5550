# The queue as producers and workers see it: the ring while jobs come and go in
# one order, and the shelf (shelf.hpp) as soon as one has an order of its own.
#
# `planned` is set, once and for ever, before the first such job is put.  From
# then on every job is put on the shelf and taken from it, under its lock:
#
# put:  1. under the lock: move what is in the ring to the shelf, see that the
#          ring is not closed and room is left, add the job, bring `runnable`
#          up to date                                   (store, seq-cst)
#       2. look at the sleepers as after a put into the ring   (P2, parking.pxd)
# take: under the lock: move what is in the ring, pick, bring `runnable` up to date
#
# A producer that saw `planned` unset may put into the ring afterwards; the next
# one who holds the lock moves it.  Its wake-up is that of a ring's put, and a
# worker's last look before sleep is at both, so none is lost.
#
# Whatever makes a job runnable (a put, a key or a lane's place that is free
# again, a time that has come) stores `runnable` under the lock and then does P2.
#
# Close.  The ring's closed bit is looked at under the shelf's lock.  A worker
# leaves when it saw the bit, and then, under that lock, an empty shelf: whoever
# puts later sees the bit.
#
# Invariants
#   S1  an entry, in a lane, behind a key or in a timer, owns one reference
#   S2  no allocation by Python, no DECREF and no Python code under `lock`
#   S3  lock order: Shelf::lock, then Ring::lock or Idlers::lock

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool

from ringpool._core.jobword cimport ASKED
from ringpool._core.layout cimport Core, Entry, Idlers, Shelf, Word, Worker, now_ns
from ringpool._core.parking cimport job_put, unlist_for, wake_all
from ringpool._core.ring cimport (
    CLOSED,
    FULL,
    NO_MEMORY,
    PUT,
    Put,
    ring_accepted,
    ring_is_closed,
    ring_is_drained,
    ring_length,
    ring_put,
    ring_ready,
    ring_take,
)


cdef enum Which:
    ANY             # due or not, behind a key too
    LATER           # not due
    OLDEST          # of a lane's lowest level, which its next job would wait for


cdef inline void absorb(Core* core) noexcept nogil:
    # Under the lock: from the ring to the shelf, where what was in the ring has
    # arrived before whatever is put on the shelf next.
    cdef Entry entry
    cdef void* job
    while core.shelf.stranded == NULL and ring_ready(&core.ring):
        # Before it leaves the ring: a worker's last look before sleep is first there and then
        # here, and who has absorbed it may find that the queue is full or closed, and tell nobody.
        core.shelf.runnable.store(1)
        job = ring_take(&core.ring)
        if job == NULL:
            core.shelf.look()
            return
        core.shelf.arrivals += 1
        entry.job = <PyObject*>job
        entry.arrival = core.shelf.arrivals
        entry.since = now_ns()
        if not core.shelf.add(entry):
            core.shelf.strand(<PyObject*>job)


cdef inline PyObject* take_next(Core* core, Entry* place) noexcept nogil:
    # The next job that may be started; NULL when there is none.  Sets place.job,
    # which was NULL, when it came from the shelf: shelf_put_down follows when it
    # has been run.
    cdef PyObject* job
    if not core.planned.relaxed():
        return <PyObject*>ring_take(&core.ring)
    core.shelf.lock.lock()
    absorb(core)
    job = core.shelf.take_stranded()
    if job == NULL and core.shelf.pick(place):
        job = place.job
    core.shelf.lock.unlock()
    return job


cdef inline bint take_nested(Core* core, PyObject* job, Entry* wish, Entry* place) noexcept nogil:
    # A certain job, by a worker that would wait for it: as take_next.  False: it may not start now, or has started.
    cdef bint found
    core.shelf.lock.lock()
    found = core.shelf.pick_nested(wish[0], job, place)
    core.shelf.lock.unlock()
    if found:
        tell_if_runnable(core)              # to its lane counts as a worker what no worker is
    return found


cdef inline PyObject* take_unstarted(Core* core, Which which, uint64_t lane=0) noexcept nogil:
    # A job that has not started, to be resolved without being run; NULL: none.
    cdef PyObject* job = NULL
    cdef Entry entry
    cdef bint found
    if not core.planned.load():
        return <PyObject*>ring_take(&core.ring) if which != LATER else NULL
    core.shelf.lock.lock()
    if which != LATER:
        absorb(core)
        job = core.shelf.take_stranded()
    if job == NULL:
        if which == ANY:
            found = core.shelf.pick_any(&entry)
        elif which == LATER:
            found = core.shelf.pick_later(&entry)
        else:
            found = core.shelf.pick_oldest(lane, &entry)
        if found:
            job = entry.job
    core.shelf.lock.unlock()
    return job


cdef inline bint is_full(Core* core) noexcept nogil:
    return core.ring.bounded and core.shelf.total() + ring_length(&core.ring) >= core.ring.limit


cdef inline Put shelf_put(Core* core, PyObject* job, Entry* wish) noexcept nogil:
    # wish: NULL for a plain job.  On PUT the shelf owns the caller's reference.
    cdef Entry entry
    cdef Put put = PUT
    cdef bool soonest = False
    if wish != NULL:
        entry = wish[0]
        entry.noted = wish
    entry.job = job
    core.shelf.lock.lock()
    absorb(core)
    entry.since = now_ns()
    if ring_is_closed(&core.ring):
        put = CLOSED
    elif is_full(core):
        put = FULL
    elif entry.due > entry.since:
        if not core.shelf.delay(entry, &soonest):
            put = NO_MEMORY
    else:
        core.shelf.arrivals += 1
        entry.arrival = core.shelf.arrivals
        if not core.shelf.add(entry):
            put = NO_MEMORY
    if put == PUT:
        core.shelf.direct.add(1)
    core.shelf.lock.unlock()
    if soonest:
        core.clock.parker.unpark()
    return put


cdef inline Put queue_put(Core* core, PyObject* job, Entry* wish) noexcept nogil:
    return ring_put(&core.ring, job) if not core.planned.relaxed() else shelf_put(core, job, wish)


cdef inline void tell_workers(Core* core) noexcept nogil:
    # Step 2 of a put, and of all that makes a job runnable.
    if core.ready and core.idlers.count.load():
        hand_out(core)
    else:
        job_put(&core.idlers)


cdef inline void hand_out(Core* core) noexcept nogil:
    # Dispatch "ready": each job that may start goes into the inbox of an idle
    # worker, the one that it would like if that is idle.  They get their tokens
    # after the lock, which each of them needs: it would meet whoever wakes it there.
    cdef Entry entry
    cdef Worker* worker
    cdef Worker* chosen = NULL              # by next_idle, which is theirs again with the token
    cdef Worker** link = &chosen
    cdef bint missed = False
    core.shelf.lock.lock()
    while core.idlers.count.load() and core.shelf.pick(&entry):
        worker = unlist_for(&core.idlers, entry.prefers)
        missed = worker == NULL             # the last one has woken by itself
        if missed:
            core.shelf.put_back(entry)
            break
        worker.inbox = entry
        worker.next_idle = NULL
        link[0] = worker
        link = &worker.next_idle
    # While it was off the shelf, nobody could see it; or workers more could start
    # another, and who is woken makes up for a wait if that is why.
    missed = missed or (core.shelf.lanes.size() > 1 and core.shelf.lacks_workers())
    core.shelf.lock.unlock()
    while chosen != NULL:
        worker = chosen
        chosen = worker.next_idle
        if worker.parker.unpark():
            core.idlers.roused()
    if missed:
        job_put(&core.idlers)


cdef inline void tell_if_runnable(Core* core) noexcept nogil:
    # After a change that may have freed a key or a place, by who takes no job itself.
    if core.shelf.runnable.load():
        tell_workers(core)


cdef inline void allow_workers(Core* core, int32_t more, int32_t resized, int32_t least) noexcept nogil:
    # `more`: that replace those whose jobs are late, from now on; `resized`, unless
    # it is 0: so many workers, and so many of them stay.  What lanes have reserved
    # is reckoned from as many as there may be now.
    core.shelf.lock.lock()
    core.replacing.add(more)
    core.most_workers.store(max(core.most_workers.load(), core.max_workers.load()))
    if resized:
        core.max_workers.store(resized + core.replacing.load())
        core.min_workers.store(least + core.replacing.load())
    else:
        core.max_workers.add(more)
        core.min_workers.add(more)
    core.shelf.workers = core.max_workers.load() + core.spares.load()
    core.shelf.look()
    core.shelf.lock.unlock()
    tell_if_runnable(core)


cdef inline void shelf_put_down(Core* core, Entry* place, bint comes_again) noexcept nogil:
    # What was taken has stopped running; its key is free unless it comes again.
    core.shelf.lock.lock()
    core.shelf.put_down(place[0], comes_again)
    core.shelf.lock.unlock()
    tell_if_runnable(core)


cdef inline bint shelf_put_back(Core* core, Entry* place, int64_t hold_ns) noexcept nogil:
    # To its place, as if it had never been taken; and nothing is taken for so long.
    # False: nothing is taken any more, so that it would stay there.
    cdef bint soonest
    core.shelf.lock.lock()
    if core.stop_asked.load():
        core.shelf.lock.unlock()
        return False
    soonest = core.shelf.hold(now_ns() + hold_ns)
    core.shelf.put_back(place[0])
    core.shelf.lock.unlock()
    if soonest:
        core.clock.parker.unpark()
    return True


cdef inline bint shelf_come_again(Core* core, Entry* place, int64_t delay, Word[uint32_t]* word) noexcept nogil:
    # What was put back (word_put_back) and put down, for its next attempt.  False: there will be none,
    # and the caller resolves it.  Whoever asks for the end says so and then purges the shelf: under the
    # lock, either we see that or the purge finds the job.  A cancel() in between finds it PENDING, and not
    # on the shelf: the caller, who holds a reference, looks at the state afterwards (shelf_take_out).
    cdef bint ends, soonest = False
    core.shelf.lock.lock()
    ends = core.stop_asked.load() or core.hurried.load() or word.load() & ASKED
    if ends:
        core.shelf.leave(place[0])
    else:
        place.due = now_ns() + delay
        soonest = core.shelf.come_again(place[0], delay == 0)
    core.shelf.lock.unlock()
    if ends or delay == 0:
        tell_if_runnable(core)
    elif soonest:
        core.clock.parker.unpark()
    return not ends


cdef inline bint shelf_take_out(Core* core, PyObject* job, Entry* wish) noexcept nogil:
    # Of a job that has ended: it waits no more.  True: its reference is the caller's, and has_left() follows.
    # False: it has not been put, or is taken; who puts it back looks at its state afterwards.
    cdef bint found
    if not core.planned.load():
        return False                            # in a forked child that cannot look into it
    core.shelf.lock.lock()
    found = core.shelf.take_out(wish[0], job)
    core.shelf.lock.unlock()
    return found


cdef inline uint32_t shelf_make_due(Core* core, int64_t now) noexcept nogil:
    # The timekeeper's: what is due then, each told of.
    cdef uint32_t moved, told = 0
    core.shelf.lock.lock()
    moved = core.shelf.make_due(now)
    core.shelf.lock.unlock()
    while told < moved:
        tell_workers(core)
        told += 1
    return moved


cdef inline int64_t shelf_next_due(Core* core) noexcept nogil:
    # FOREVER: nothing is.
    cdef int64_t due
    core.shelf.lock.lock()
    due = core.shelf.next_due()
    core.shelf.lock.unlock()
    return due


cdef inline void shelf_close(Core* core) noexcept nogil:
    # From now on no worker takes anything from it: what is there will be resolved.
    core.shelf.lock.lock()
    core.shelf.shut = True
    core.shelf.look()
    core.shelf.lock.unlock()


cdef inline bint work_ready(Core* core) noexcept nogil:
    # Would a take succeed?  Sequentially consistent: the last look before sleep.
    return ring_ready(&core.ring) or core.shelf.runnable.load() != 0


cdef inline bint all_taken(Core* core) noexcept nogil:
    # Of a closed queue: can nothing come any more, save from jobs that run, and these on workers
    # that look again?  Not on a spare, nor on who has submitted its job.
    cdef bint empty
    if not ring_is_drained(&core.ring) or core.outside.load() or core.spares.load():
        return False
    if not core.planned.load():
        return True
    core.shelf.lock.lock()
    empty = core.shelf.total() == 0 and ring_is_drained(&core.ring)
    core.shelf.lock.unlock()
    return empty


cdef inline bint has_drained(Core* core) noexcept nogil:
    return ring_is_closed(&core.ring) and all_taken(core)


cdef inline void let_go_if_drained(Core* core) noexcept nogil:
    # By who may have taken the last job and does not look for more: those that sleep may leave.
    if has_drained(core):
        wake_all(&core.idlers)


cdef inline uint64_t queue_length(Core* core) noexcept nogil:
    return ring_length(&core.ring) + core.shelf.total()


cdef inline uint64_t accepted(Core* core) noexcept nogil:
    # What left the ring for the shelf was counted when it was put into the ring.
    return core.shelf.direct.load() + ring_accepted(&core.ring)


cdef inline void configure_like(Core* core, Core* other) noexcept:
    # What a face has set, for its next core.
    cdef size_t i
    core.min_workers.store(other.min_workers.load())
    core.max_spares = other.max_spares
    core.idle_ns = other.idle_ns
    core.elastic.store(other.elastic.load())
    core.watched = other.watched
    core.sample = other.sample
    core.failed_flags = other.failed_flags
    core.ready = other.ready
    core.decides = other.decides
    core.takes_jobs = other.takes_jobs
    core.plans_all = other.plans_all
    core.again_type = other.again_type
    core.late_limit.store(other.late_limit.load())
    core.planned.store(other.planned.load())
    core.shelf.workers = other.max_workers.load()
    core.shelf.ageing = other.shelf.ageing
    core.shelf.lifo = other.shelf.lifo
    core.shelf.lanes.resize(other.shelf.lanes.size())
    for i in range(other.shelf.lanes.size()):
        core.shelf.lanes[i].most = other.shelf.lanes[i].most
        core.shelf.lanes[i].reserve = other.shelf.lanes[i].reserve
        core.shelf.lanes[i].weight = other.shelf.lanes[i].weight


cdef inline void unlock_after_fork(Core* core) noexcept:
    # A thread of the parent's may have held it while it changed the maps: then
    # nobody can say what is in there, and its jobs stay as they are.
    if core.shelf.lock.try_lock():
        core.shelf.lock.unlock()
    else:
        core.planned.store(0)
