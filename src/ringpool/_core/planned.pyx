"""Jobs from the shelf that a worker has taken: judged, run, put down, and perhaps to come again."""

import logging

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from ringpool._core.core cimport deliver, was_taken_out
from ringpool._core.future cimport (
    FutureBase,
    extension_of,
    future_lock,
    future_run_callbacks,
    future_settle,
    future_start,
    future_unlock,
    is_planned,
)
from ringpool._core.jobword cimport CANCELLED_AND_NOTIFIED, DROPPED, EXPIRED, PENDING, PHASE, has_ended
from ringpool._core.layout cimport Core, Entry, Held, Worker, now_ns
from ringpool._core.python cimport Py_DECREF, Py_INCREF, Py_XINCREF
from ringpool._core.resolve cimport resolve, settle_unrun
from ringpool._core.room cimport room_made
from ringpool._core.run cimport run_started
from ringpool._core.shelf cimport shelf_come_again, shelf_put_back, shelf_put_down, shelf_take_out

logger = logging.getLogger("ringpool")


cdef void run_planned(Core* core, Worker* me, PyObject* job) noexcept:
    # A job from the shelf, whose reference and place the caller owns.
    cdef Entry place = me.place
    cdef Held held
    cdef int64_t hold = -1
    cdef int64_t delay
    cdef PyObject* outer
    held.place = &place
    held.outer = me.held
    me.held = &held
    me.place.job = NULL                         # what a wait inside of it may take has its own
    if place.judged:
        outer = me.judges
        me.judges = job
        hold = _judge(<FutureBase>job, place.since)
        me.judges = outer
        if hold >= 0 and _put_back(core, &place, hold):
            me.held = held.outer
            return
        core.shelf.judging.sub(1)               # until now it took a place in the queue
    if core.stop_asked.load():
        outer = me.holds
        me.holds = job
        _cancel(<FutureBase>job)                # taken before the purge, and not started
        me.holds = outer
    room_made(core)
    me.delay = -1
    if is_planned(<FutureBase>job):
        extension_of(<FutureBase>job).wish.since = place.since
    if not future_start(<FutureBase>job):
        core.unrun.tombstones.sub(1)
        Py_INCREF(job)
        deliver(core, job)
    elif run_started(core, me, <FutureBase>job, True):
        future_run_callbacks(<FutureBase>job)
    me.held = held.outer            # what comes now, destructors too, does not hold its key
    delay = me.delay
    me.delay = -1                   # the job in whose place this one ran is another
    if delay >= 0:
        shelf_put_down(core, &place, True)
        place.nested = False
        come_again(core, &place, delay)
        return
    shelf_put_down(core, &place, False)
    Py_DECREF(job)
    me.taken.bump()


cdef void _cancel(FutureBase job) noexcept:
    if future_settle(job, 1 << PENDING, CANCELLED_AND_NOTIFIED, NULL):
        future_run_callbacks(job)


cdef int64_t _judge(FutureBase job, int64_t since) noexcept:
    # Asks the plan whether the job may start: negative: it may, or has just been
    # resolved; else for how many ns nothing may.
    cdef uint32_t state = future_lock(job)
    cdef PyObject* plan = job.fn if state & PHASE == PENDING else NULL
    Py_XINCREF(plan)
    future_unlock(job, state)
    if plan == NULL:
        return -1
    plan_of = <object>plan
    Py_DECREF(plan)
    try:
        verdict = plan_of.verdict((now_ns() - since) * 1e-9)
        if verdict is None:
            return -1
        if isinstance(verdict, float):
            return <int64_t>(<double>verdict * 1e9)
        expired, error = verdict
        if settle_unrun(job, error, EXPIRED if expired else DROPPED):
            plan_of.given_up(job, expired)
    except BaseException:
        logger.exception("exception in what decides whether a job may start: it starts")
    return -1


cdef void come_again(Core* core, Entry* place, int64_t delay) noexcept:
    # Takes over the reference.
    cdef PyObject* job = place.job
    Py_INCREF(job)
    if not shelf_come_again(core, place, delay, &(<FutureBase>job).state):
        resolve(core, job, None)
    else:
        _take_out_if_ended(core, <FutureBase>job)
    Py_DECREF(job)


cdef bint _put_back(Core* core, Entry* place, int64_t hold) noexcept:
    # True: it took over the reference.
    cdef PyObject* job = place.job
    Py_INCREF(job)
    cdef bint waits = shelf_put_back(core, place, hold)
    if waits:
        _take_out_if_ended(core, <FutureBase>job)
    Py_DECREF(job)
    return waits


cdef void _take_out_if_ended(Core* core, FutureBase job) noexcept:
    # Of one that is on the shelf again: who has ended it meanwhile has not found it there.  Under its
    # lock: who is ending it has looked, or finds it.
    cdef uint32_t state = future_lock(job)
    future_unlock(job, state)
    if has_ended(state) and shelf_take_out(core, <PyObject*>job, &extension_of(job).wish):
        core.unrun.tombstones.sub(1)
        was_taken_out(core, <PyObject*>job)
