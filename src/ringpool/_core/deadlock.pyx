"""
Who waits for whom: the waits in jobs that have no limit of time, of all pools, under one lock.

A thread enters its wait, and what stands still on its stack for it, before it
sleeps, and takes it off before it goes on. In between nothing of that changes,
so that others may follow it under the lock: from a job to the thread on which
it stands still, or on which stands still who holds its key, and on to what that
thread waits for. A thread that does not wait here may yet go on, and ends every
search. So whoever closes a cycle finds it, and of two that would close the same
one at once the later one does.
"""

import os

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t

from ringpool._core.future cimport FutureBase, extension_of, is_planned, is_served_by
from ringpool._core.jobword cimport PENDING, PHASE, RUNNING
from ringpool._core.layout cimport (
    Core,
    Extension,
    Held,
    Here,
    Objects,
    Standing,
    Waits,
    Worker,
    list_above,
    object_put,
    waits_begin_anew,
)
from ringpool._core.python cimport Py_XINCREF

cdef Waits waits


cdef Verdict begin_wait(Core* core, Here* here, FutureBase job, bint works, Objects* path) noexcept:
    # Of the calling thread.  If it could never end it is off the list again, and
    # `path` are the jobs, with a reference to each: who waits and for what.  In a
    # cycle each for the next, to the first again; behind a NULL stands who holds
    # the key of the one before it.  `works`: as one of the core's workers.
    cdef Worker* me = here.worker
    cdef Verdict verdict = MAY_END
    me.waits_on.job = me.current.relaxed()
    me.waits_on.outer = here.standing
    if me.waits_on.job == NULL and me.held != NULL:
        me.waits_on.job = me.held.place.job         # its callbacks run
    me.waits_holding = me.held
    waits.lock.lock()
    if me.waits_for == NULL:                        # else it is listed, below a signal handler
        me.next_waiting = waits.first
        waits.first = me
    me.waits_for = <PyObject*>job
    me.waits_as = core if works else NULL
    if _leads_back(me, path):
        verdict = CYCLE
    elif job.unrun == &core.unrun and not _lane_has_room(core, job):
        verdict = LANE_IS_FULL
    if verdict != MAY_END:
        _give_up(me, path, verdict == CYCLE)
    waits.lock.unlock()
    return verdict


cdef Verdict look_for_workers(Core* core, Here* here, Objects* path) noexcept:
    # For one who waits already, where no worker more may be hired.  Takes it off
    # the list if nobody is left to run what it waits for.
    cdef Verdict verdict = MAY_END
    cdef uint32_t waiting = 0
    cdef Worker* worker
    waits.lock.lock()
    worker = waits.first
    while worker != NULL:
        waiting += worker.waits_as == core and _needs_worker(core, <FutureBase>worker.waits_for)
        worker = worker.next_waiting
    if waiting >= max(core.max_workers.load(), core.reserved.load()) + core.spares.load():
        verdict = NOBODY_IS_LEFT
        _give_up(here.worker, path, False)
    waits.lock.unlock()
    return verdict


cdef void end_wait(Here* here) noexcept:
    waits.lock.lock()
    _take_off(here.worker)
    waits.lock.unlock()


# ---- under the lock --------------------------------------------------------------------

cdef void _take_off(Worker* me) noexcept:
    cdef Worker** link = &waits.first
    if me.waits_for == NULL:
        return                                      # a signal handler's wait on top of this one has done it
    while link[0] != NULL and link[0] != me:        # NULL: this is a forked child
        link = &link[0].next_waiting
    if link[0] != NULL:
        link[0] = me.next_waiting
    me.waits_for = NULL


cdef void _give_up(Worker* me, Objects* path, bint as_listed) noexcept:
    # References to the jobs of the path; they live, since those on whose stacks they are wait.
    cdef size_t i
    if not as_listed:
        path.clear()
        object_put(path, me.waits_on.job)
        object_put(path, me.waits_for)
    for i in range(path.size()):
        Py_XINCREF(path[0][i])
    _take_off(me)


cdef bint _leads_back(Worker* me, Objects* path) noexcept:
    cdef Worker* worker = me
    object_put(path, me.waits_on.job)
    while True:
        object_put(path, worker.waits_for)
        worker = _who_holds_up(<FutureBase>worker.waits_for, path)
        if worker == NULL:
            return False
        if worker == me:
            return True


cdef Worker* _who_holds_up(FutureBase job, Objects* path) noexcept:
    # The thread that waits too, and must go on before this job can end; lists what stands on it, up to who waits.
    cdef uint32_t phase = job.state.load() & PHASE
    cdef Extension* extension = extension_of(job)
    cdef Worker* worker = waits.first
    cdef const Held* held
    if phase == RUNNING and not (extension != NULL and extension.limited):
        while worker != NULL and not _stands_on(worker, <PyObject*>job, path):
            worker = worker.next_waiting
        return worker
    if phase != PENDING or not is_planned(job) or not extension.wish.keyed or extension.expires:
        return NULL
    while worker != NULL:
        held = worker.waits_holding
        while held != NULL:
            if held.place.keyed and held.place.key == extension.wish.key:
                object_put(path, NULL)
                object_put(path, held.place.job)
                _stands_on(worker, held.place.job, path)
                return worker
            held = held.outer
        worker = worker.next_waiting
    return NULL


cdef bint _stands_on(Worker* worker, PyObject* job, Objects* path) noexcept:
    cdef const Standing* place = &worker.waits_on
    while place != NULL:
        if place.job == job:
            list_above(path, &worker.waits_on, place)
            return True
        place = place.outer
    return False


cdef bint _lane_has_room(Core* core, FutureBase job) noexcept:
    # Or will have: not all of its places are held by jobs that stand still for a job that wants one.
    cdef uint32_t still = 0
    cdef uint32_t lane
    cdef Worker* worker = waits.first
    cdef const Held* held
    if not _wants_place(core, job):
        return True
    lane = extension_of(job).wish.lane
    while worker != NULL:
        if _wants_place(core, <FutureBase>worker.waits_for) and extension_of(<FutureBase>worker.waits_for).wish.lane == lane:
            held = worker.waits_holding
            while held != NULL:
                still += held.place.lane == lane
                held = held.outer
        worker = worker.next_waiting
    return still < core.shelf.lanes[lane].most


cdef bint _wants_place(Core* core, FutureBase job) noexcept:
    return (
        job.unrun == &core.unrun and job.state.load() & PHASE == PENDING
        and is_planned(job) and not extension_of(job).expires
    )


cdef bint _needs_worker(Core* core, FutureBase job) noexcept:
    # Of this core, or one that stands on it and waits itself.
    cdef uint32_t phase = job.state.load() & PHASE
    cdef Extension* extension = extension_of(job)
    cdef Worker* worker = waits.first
    cdef Objects path
    if is_served_by(job, core):
        return phase <= RUNNING
    if job.unrun != &core.unrun:
        return False
    if phase == PENDING:
        return extension == NULL or not extension.expires
    if phase != RUNNING or (extension != NULL and extension.limited):
        return False
    while worker != NULL:
        if worker.waits_as == core and _stands_on(worker, <PyObject*>job, &path):
            return True
        worker = worker.next_waiting
    return False


def _start_over():
    # In a forked child: who waits there is not here, and may have held the lock.
    waits_begin_anew(&waits)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
