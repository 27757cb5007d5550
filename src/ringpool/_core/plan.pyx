"""What a face may do with a job that has a plan, or with one that found no room."""

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ringpool._core.admission cimport enter, enter_and_hire, make_job, put_when_room
from ringpool._core.core cimport deliver, tell_if_quiet
from ringpool._core.deadlock cimport serve_in, set_repeats
from ringpool._core.engine cimport Engine, core_of_pool
from ringpool._core.future cimport (
    FutureBase,
    extension_of,
    future_extension,
    future_lock,
    future_run_callbacks,
    future_settle,
    future_start,
    future_unlock,
    is_planned,
)
from ringpool._core.here cimport run_in_place, this_core, this_worker, works_for
from ringpool._core.jobword cimport DROPPED, EXPIRED, FAILED, FINISHED, PENDING, PHASE, RUNNING, UNREAD
from ringpool._core.layout cimport (
    Core,
    Entry,
    Extension,
    Resolving,
    Waiter,
    Worker,
    now_ns,
    resolving_drop,
    resolving_put,
    roster_put,
    roster_retire,
)
from ringpool._core.parking cimport gate_enter, gate_leave, gate_wake_all, sleep_until_woken, wake_all
from ringpool._core.python cimport Py_DECREF, Py_INCREF, current_thread_state, ident_of_this_thread
from ringpool._core.ring cimport CLOSED, PUT, Put, ring_is_closed
from ringpool._core.room cimport reader_lags as core_reader_lags
from ringpool._core.shelf cimport (
    OLDEST,
    absorb,
    allow_workers,
    let_go_if_drained,
    queue_put,
    take_unstarted,
    tell_if_runnable,
    tell_workers,
)
from ringpool._core.planned cimport come_again
from ringpool._core.resolve cimport resolve, settle_unrun
from ringpool._core.worker cimport hire_for_queued, make_up_for_waits

from ringpool._core.engine import call_of

# ---- into the queue -------------------------------------------------------------------

def submit_planned(
    Engine pool not None, plan, int32_t level, uint32_t lane, key, int64_t due, bint judged, int32_t prefers,
    int64_t deadline, bint expires, bint limited,
):
    """
    Queue a job whose function is *plan*, without arguments; returns its future.

    *key*: a number, or None. *due*, *deadline* (for room): on the monotonic
    clock, ns; of *deadline* 0 means at once or not at all, -1 without limit,
    -2 without limit whatever the overflow policy.
    *judged*: ``plan.verdict(seconds waited)`` is asked before each start.
    *expires*, *limited*: time alone may end it, before it starts or while it runs.
    """
    cdef Core* core = core_of_pool(pool)
    cdef PyObject* call[1]
    cdef PyObject* job
    cdef Extension* extension
    call[0] = <PyObject*>plan
    core.planned.store(1)
    job = make_job(core, call, 1, NULL)
    try:
        extension = future_extension(<FutureBase>job)
    except:
        Py_DECREF(job)
        Py_DECREF(job)
        raise
    extension.planned = True
    extension.sampled = True
    extension.expires = expires
    extension.limited = limited
    extension.wish.judged = judged
    extension.wish.level = level
    extension.wish.lane = lane
    extension.wish.due = due
    extension.wish.prefers = prefers
    if key is not None:
        extension.wish.keyed = True
        extension.wish.key = <uint64_t><int64_t>key
    if core.started.relaxed() >= core.max_workers.relaxed() and not core.elastic.relaxed():
        job = enter(pool, core, job, &extension.wish, deadline)
    else:
        job = enter_and_hire(pool, core, job, &extension.wish, deadline)
    future = <object>job
    Py_DECREF(job)
    return future


def put_within(Engine pool not None, FutureBase future not None, int64_t deadline):
    """As :func:`put_again`, but waits for room until *deadline* (now_ns; -1: without limit)."""
    cdef Core* core = core_of_pool(pool)
    cdef PyObject* job = <PyObject*>future
    cdef Put put
    Py_INCREF(job)
    try:
        put = put_when_room(core, job, _wish(future), deadline)
    except:
        Py_DECREF(job)
        raise
    if put == PUT:
        tell_workers(core)
        return True
    Py_DECREF(job)
    return None if put == CLOSED else False


def put_again(Engine pool not None, FutureBase future not None):
    """Another attempt to queue a job that had found no room; None: it is closed, False: no room."""
    cdef Core* core = core_of_pool(pool)
    cdef PyObject* job = <PyObject*>future
    cdef Put put
    Py_INCREF(job)
    put = queue_put(core, job, _wish(future))
    if put == PUT:
        tell_workers(core)
        return True
    Py_DECREF(job)
    return None if put == CLOSED else False


cdef Entry* _wish(FutureBase future) noexcept:
    return &extension_of(future).wish if is_planned(future) else NULL


def reader_lags(Engine pool not None):
    """Is there no room because results() is not being read?"""
    return core_reader_lags(core_of_pool(pool))


def repeats(FutureBase future not None, bint repeats):
    """Told in a job, as an attempt begins: will its time limit only have it be tried again, once it has come to an end?"""
    set_repeats(future, repeats)


def serve(Engine pool not None, FutureBase future not None):
    """A future that a user's thread has made and nobody knows yet: a job of this pool is to end it."""
    future_extension(future).served_by = core_of_pool(pool)


def serve_all(list futures, FutureBase job not None):
    """These, which are served by a job's pool and have started, are ended by the job that the calling thread runs."""
    cdef FutureBase future
    for future in futures:
        serve_in(future, job)


def make_up(Engine pool not None):
    """After the job that serves others was put, or found no room: maybe all workers wait for these."""
    make_up_for_waits(
        core_of_pool(pool), pool._worker_initializer, pool._worker_finalizer, pool._threads, pool._thread_name_prefix
    )


# ---- what found no room ---------------------------------------------------------------

def lane_of(FutureBase future not None):
    """The number of the lane that a job is for, and whether it has a key."""
    cdef Entry* wish = _wish(future)
    if wish == NULL:
        return 0, False
    return wish.lane, wish.keyed


def reject(Engine pool not None, FutureBase future not None, error, bint counts=True):
    """End a job that was not queued, with *error* or, None, without a word; it counts as rejected, not as accepted."""
    cdef uint32_t state = future_lock(future)
    future.unrun = NULL
    future_unlock(future, state)
    if counts:
        core_of_pool(pool).rejected.add(1)
    if error is not None:
        settle_unrun(future, error, 0)


def drop_unqueued(Engine pool not None, FutureBase future not None, error):
    """End a job that was not queued; it counts as accepted and dropped."""
    core_of_pool(pool).beside.add(1)
    settle_unrun(future, error, DROPPED)
    core_of_pool(pool).unrun.tombstones.sub(1)


def drop_oldest(Engine pool not None, uint32_t lane, error):
    """
    Take out the oldest job of the lane's lowest level and end it with *error*.

    Returns its future, whether this has ended it, and its function; (None, False, None): there is none.
    """
    cdef Core* core = core_of_pool(pool)
    cdef PyObject* job = take_unstarted(core, OLDEST, lane)
    cdef Resolving one
    if job == NULL:
        return None, False, None
    future = <object>job
    one.job = job
    resolving_put(core, &one)
    try:
        call = call_of(future)
        ended = settle_unrun(<FutureBase>job, error, DROPPED)
    except BaseException:
        resolve(core, job, None)                # nobody else has it
        raise
    finally:
        resolving_drop(core, &one)
    core.unrun.tombstones.sub(1)
    deliver(core, job)
    core.removed.add(1)
    tell_if_runnable(core)                  # its key is free
    let_go_if_drained(core)                 # closed meanwhile
    tell_if_quiet(core)
    return future, ended, call[0] if ended else None


cdef _take_back(Core* core):
    # Of a job that was counted and is not accepted: somebody may have seen the queue's end put off.
    core.shelf.direct.sub(1)
    core.outside.sub(1)
    if ring_is_closed(&core.ring):
        wake_all(&core.idlers)
    tell_if_quiet(core)


cdef void _forget_node(Core* core) noexcept:
    cdef Entry nobody
    core.shelf.lock.lock()
    core.shelf.leave(nobody)
    core.shelf.lock.unlock()


def run_unqueued(Engine pool not None, FutureBase future not None):
    """
    Run a job that was not queued, on the calling thread; False: closed meanwhile, and it was not run.

    It counts as accepted, and until it has ended as unfinished.
    """
    cdef Core* core = core_of_pool(pool)
    cdef Worker* me = new Worker()
    cdef Entry place
    cdef bint closed, listed
    core.shelf.lock.lock()
    listed = core.shelf.make_node()         # in case that it comes again
    core.shelf.lock.unlock()
    if not listed:
        del me
        raise MemoryError
    # Workers that see it closed look at `outside` then; we count ourselves and then look
    # whether it is closed: they stay, or we see it.
    core.outside.add(1)
    core.shelf.direct.add(1)
    closed = ring_is_closed(&core.ring)
    if closed or not roster_put(core, me):
        del me
        _forget_node(core)
        _take_back(core)
        if closed:
            return False
        raise MemoryError
    me.thread = current_thread_state()
    me.ident = ident_of_this_thread()
    if not future_start(future):
        core.unrun.tombstones.sub(1)
    elif run_in_place(core, me, future):
        future_run_callbacks(future)
    if me.delay >= 0:                       # it will be tried again, by a worker
        place = _wish(future)[0]
        place.job = <PyObject*>future
        place.noted = _wish(future)
        Py_INCREF(place.job)
        core.shelf.lock.lock()
        core.shelf.arrivals += 1
        place.arrival = core.shelf.arrivals
        core.shelf.lock.unlock()
        come_again(core, &place, me.delay)
    else:
        _forget_node(core)
        core.removed.add(1)
    roster_retire(core, me)
    core.outside.sub(1)
    if ring_is_closed(&core.ring):
        wake_all(&core.idlers)              # who stayed for our sake
    elif core.elastic.load():
        _hire(pool)                  # who is to try it again may have left
    tell_if_quiet(core)
    return True


# ---- while it waits ---------------------------------------------------------------------

def end_unstarted(Engine pool not None, FutureBase future not None, error, bint expired):
    """End a job that waits; False: it does not. If it has not *expired* it has failed, and its error is to be read."""
    return settle_unrun(future, error, EXPIRED if expired else core_of_pool(pool).failed_flags)


def change_level(Engine pool not None, FutureBase future not None, int32_t level):
    """Of a job that waits; False: it does not. Looks through the whole queue, under its lock."""
    cdef bint found
    cdef Core* core = core_of_pool(pool)
    core.planned.store(1)
    core.shelf.lock.lock()
    absorb(core)
    found = core.shelf.rerank(<PyObject*>future, level)
    core.shelf.lock.unlock()
    tell_if_runnable(core)                  # while a job was moved from the ring, nobody could see it
    return found and future.state.load() & PHASE == PENDING     # else it is there to be cleared away


# ---- while it runs ------------------------------------------------------------------------

def sleep_in_job(seconds, future, current):
    """Sleep until *seconds* have passed or somebody may want the job to end: look whether ``current.cancelled``."""
    cdef Core* core = this_core()
    cdef Waiter waiter
    cdef int64_t deadline = now_ns() + <int64_t>(<double>seconds * 1e9)
    cdef int woken = 1
    if this_worker() == NULL or this_worker().current.relaxed() != <PyObject*>future:
        raise RuntimeError("a job sleeps on its own thread, and while it runs")
    gate_enter(&core.sleepers, &waiter)
    try:
        # Enlisted, look again: whoever asks it to end makes the change and then looks at the gate.
        if current.cancelled:
            woken = 0
        else:
            woken = sleep_until_woken(&waiter, deadline)
    except:
        gate_leave(&core.sleepers, &waiter)
        raise
    if not woken:
        gate_leave(&core.sleepers, &waiter)


def wake_sleepers(Engine pool not None):
    """Every job that sleeps looks whether it was asked to end."""
    gate_wake_all(&core_of_pool(pool).sleepers)


def end_running(Engine pool not None, FutureBase future not None, error):
    """
    End a future that no worker will with *error*, which is to be read as that of any job; False: it has ended.

    Of a job whose function goes on, or of one that is served.
    """
    Py_INCREF(<PyObject*>error)
    if not future_settle(
        future, 1 << PENDING | 1 << RUNNING, FINISHED | core_of_pool(pool).failed_flags, <PyObject*>error
    ):
        Py_DECREF(<PyObject*>error)
        return False
    future_run_callbacks(future)
    return True


def lateness_begins(Engine pool not None):
    """
    A running job's future has ended, and its function has not: one more worker, unless there are enough such.

    True: there is one, which :func:`lateness_ends` takes back.
    """
    cdef Core* core = core_of_pool(pool)
    core.elastic.store(1)
    if core.late.add(1) >= core.late_limit.load():
        return False
    allow_workers(core, 1, 0, 0)
    _hire(pool)
    return True


def lateness_ends(Engine pool not None, bint replaced):
    """It has come to an end; *replaced*: what :func:`lateness_begins` said."""
    cdef Core* core = core_of_pool(pool)
    core.late.sub(1)
    if replaced:
        allow_workers(core, -1, 0, 0)
        wake_all(&core.idlers)              # one too many: an idle one may go


cdef _hire(Engine pool):
    hire_for_queued(
        core_of_pool(pool), pool._worker_initializer, pool._worker_finalizer, pool._threads, pool._thread_name_prefix
    )


# ---- the queue itself -----------------------------------------------------------------------

def configure(
    Engine pool not None, *, bint planned, bint lifo, int64_t ageing, bint ready, bint decides, bint plans_all,
    bint watched, lanes, uint32_t min_workers, int64_t idle_ns, uint32_t late_limit,
    uint32_t sample, bint reports, type again,
):
    """
    Before the first job.

    *lanes*: (most running, reserved workers, weight) of each. *again*: the type,
    an int, of what an attempt returns that is not to be the last: ns until the next.
    """
    cdef Core* core = core_of_pool(pool)
    cdef size_t i
    core.takes_jobs = True
    core.again_type = <PyTypeObject*>again      # which its module keeps
    core.shelf.lifo = lifo
    core.shelf.ageing = ageing
    core.ready = ready
    core.decides = decides
    core.plans_all = plans_all
    core.watched = watched
    core.sample = sample
    core.failed_flags = FAILED | UNREAD if reports else FAILED
    core.min_workers.store(min_workers)
    core.idle_ns = idle_ns
    core.late_limit.store(late_limit)
    if idle_ns >= 0:
        core.elastic.store(1)
    core.shelf.lanes.resize(len(lanes))
    for i in range(core.shelf.lanes.size()):
        core.shelf.lanes[i].most = lanes[i][0]
        core.shelf.lanes[i].reserve = lanes[i][1]
        core.shelf.lanes[i].weight = lanes[i][2]
    if planned:
        core.planned.store(1)


def resize(Engine pool not None, int32_t workers, int32_t least):
    """From now on so many workers: the missing ones are started as jobs wait, those too many leave after their job."""
    cdef Core* core = core_of_pool(pool)
    core.elastic.store(1)
    allow_workers(core, 0, workers, least)
    wake_all(&core.idlers)
    _hire(pool)


def worker_number():
    """Of the calling thread, from 0; None: it is no worker."""
    return this_worker().number if this_core() != NULL and works_for(this_core()) else None


def current_plan():
    """The plan of the job that the calling thread is running; None: it has none."""
    cdef PyObject* job = this_worker().current.relaxed() if this_worker() != NULL else NULL
    if job == NULL or not is_planned(<FutureBase>job):
        return None
    return <object>(<FutureBase>job).fn
