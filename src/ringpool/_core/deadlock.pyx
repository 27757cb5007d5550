"""
Who waits for whom: the waits in jobs that have no limit of time, of all pools, under one lock.

A thread enters its wait, and what stands still on its stack for it, before it
sleeps, and takes it off before it goes on. In between nothing of that changes,
so that others may follow it under the lock: from a job to the thread on which
it stands still, or on which stands still who holds its key, or to all those that
hold the places of its lane, and on to what these wait for. A thread that does
not wait here may yet go on, and ends every search, since one that can go on is
enough: of the jobs that a thread waits for any will do, and of places too. A
search that has reached nobody who can go on has found that none of them ever
will. So whoever closes a circle finds it, and of two that would close the same
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
    objects_copy,
    waits_begin_anew,
)
from ringpool._core.python cimport Py_XINCREF
from ringpool._core.shelf cimport is_full

cdef Waits waits


cdef Verdict begin_wait(
    Core* core, Here* here, FutureBase job, const Objects& others, bint works, Objects* path
) noexcept:
    # Of the calling thread, for the job or, if there are others, any of them.  If it
    # could never end it is off the list again, and `path` are the jobs, with a
    # reference to each: who waits and for what.  In a cycle each for the next, to
    # one that was there before; behind a NULL stands who holds the key of the one
    # before it, behind two who holds a place of its lane.  `works`: as one of the
    # core's workers.
    cdef Worker* me = here.worker
    cdef Verdict verdict = MAY_END
    waits.lock.lock()
    _put_on(me, here)
    me.waits_for = <PyObject*>job
    me.waits_as = core if works else NULL
    if not objects_copy(&others, &me.waits_among):
        _take_off(me)                               # no memory to say for what
    elif others.size() == 0 and job.unrun == &core.unrun and not _lane_has_room(core, job):
        verdict = LANE_IS_FULL
    elif _can_never_end(me):
        verdict = CYCLE
        _list_circle(me, path)
    if verdict != MAY_END:
        _give_up(me, path, verdict == CYCLE)
    waits.lock.unlock()
    return verdict


cdef Verdict look_for_workers(Core* core, Here* here, Objects* path) noexcept:
    # For one who waits already, where no worker more may be hired.  Takes it off
    # the list if nobody is left to run what it waits for.
    cdef Verdict verdict = MAY_END
    waits.lock.lock()
    if _nobody_is_left(core):
        verdict = NOBODY_IS_LEFT
        _give_up(here.worker, path, False)
    waits.lock.unlock()
    return verdict


cdef bint begin_wait_for_room(Core* core, Here* here) noexcept:
    # By one of its workers.  False: no other is left who could make any, and it is off the list again.
    cdef Worker* me = here.worker
    cdef bint may_end
    waits.lock.lock()
    _put_on(me, here)
    me.waits_for_room = True
    me.waits_as = core
    may_end = not _nobody_is_left(core)
    if not may_end:
        _take_off(me)
    waits.lock.unlock()
    return may_end


cdef void set_repeats(FutureBase job, bint repeats) noexcept:
    # The time limit of the attempt that begins will not end the job: its function has to, and then there is another.
    waits.lock.lock()
    extension_of(job).repeats = repeats
    waits.lock.unlock()


cdef void serve_in(FutureBase item, FutureBase job) noexcept:
    # The item of a batch, which has started, is ended in this job.
    waits.lock.lock()
    extension_of(item).served_in = <PyObject*>job
    waits.lock.unlock()


cdef void end_wait(Here* here) noexcept:
    waits.lock.lock()
    _take_off(here.worker)
    waits.lock.unlock()


# ---- under the lock --------------------------------------------------------------------

cdef void _put_on(Worker* me, Here* here) noexcept:
    if me.waits_for == NULL and not me.waits_for_room:      # else it is listed, below a signal handler
        me.next_waiting = waits.first
        waits.first = me
    me.waits_on.job = me.current.relaxed()
    me.waits_on.outer = here.standing
    if me.waits_on.job == NULL and me.held != NULL:
        me.waits_on.job = me.held.place.job         # its callbacks run
    me.waits_holding = me.held
    me.waits_for_room = False


cdef void _take_off(Worker* me) noexcept:
    cdef Worker** link = &waits.first
    if me.waits_for == NULL and not me.waits_for_room:
        return                                      # a signal handler's wait on top of this one has done it
    while link[0] != NULL and link[0] != me:        # NULL: this is a forked child
        link = &link[0].next_waiting
    if link[0] != NULL:
        link[0] = me.next_waiting
    me.waits_for = NULL
    me.waits_for_room = False
    me.waits_among.clear()


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


cdef bint _can_never_end(Worker* me) noexcept:
    cdef Worker* worker = me
    cdef Worker* last = me
    cdef size_t i
    waits.searches += 1
    me.reached = waits.searches
    me.next_reached = NULL
    while worker != NULL:
        if worker.waits_for_room or _held_up_by(<FutureBase>worker.waits_for, &last, NULL) == NULL:
            return False
        for i in range(worker.waits_among.size()):
            if _held_up_by(<FutureBase>worker.waits_among[i], &last, NULL) == NULL:
                return False
        worker = worker.next_reached
    return True


cdef void _list_circle(Worker* me, Objects* path) noexcept:
    # One of them, of those that none can leave.
    cdef Worker* worker = me
    waits.searches += 1
    object_put(path, me.waits_on.job)
    while worker.reached != waits.searches:
        worker.reached = waits.searches
        object_put(path, worker.waits_for)
        worker = _held_up_by(<FutureBase>worker.waits_for, NULL, path)


cdef Worker* _held_up_by(FutureBase job, Worker** last, Objects* path) noexcept:
    # A thread that waits too, and must go on before this job can end; NULL: it may
    # end without any.  Puts all of those behind `last`, and lists what leads to it.
    cdef uint32_t phase = job.state.load() & PHASE
    cdef Extension* extension = extension_of(job)
    cdef PyObject* runs = <PyObject*>job
    cdef Worker* worker = waits.first
    cdef const Held* held
    if phase == RUNNING:
        if extension != NULL and extension.served_by != NULL:
            runs = extension.served_in
        while worker != NULL and not (runs != NULL and _stands_on(worker, runs, path)):
            worker = worker.next_waiting
        # What was found lives, since it stands on a thread that waits.
        if worker == NULL or _is_limited(<FutureBase>runs):
            return NULL
        _reach(worker, last)
        return worker
    if phase != PENDING or (extension != NULL and extension.expires):
        return NULL
    while worker != NULL and is_planned(job) and extension.wish.keyed:
        held = worker.waits_holding
        while held != NULL:
            if held.place.keyed and held.place.key == extension.wish.key:
                if path != NULL:
                    object_put(path, NULL)
                    object_put(path, held.place.job)
                    _stands_on(worker, held.place.job, path)
                _reach(worker, last)
                return worker
            held = held.outer
        worker = worker.next_waiting
    return _who_fill_lane(job, last, path)


cdef Worker* _who_fill_lane(FutureBase job, Worker** last, Objects* path) noexcept:
    # Of whose places it needs one; NULL: there is another.
    cdef Core* core = _core_of(job)
    cdef Worker* found = NULL
    cdef Worker* worker = waits.first
    cdef const Held* held
    cdef const Held* place = NULL
    cdef uint32_t lane
    cdef uint32_t places = 0
    if core == NULL:
        return NULL
    lane = extension_of(job).wish.lane if is_planned(job) else 0
    while worker != NULL:
        held = worker.waits_holding if worker.waits_as == core else NULL
        while held != NULL:
            if held.place.lane == lane:
                places += 1
                place = held
                found = worker
            held = held.outer
        worker = worker.next_waiting
    if places < core.shelf.lanes[lane].most:
        return NULL
    worker = waits.first
    while worker != NULL and last != NULL:
        held = worker.waits_holding if worker.waits_as == core else NULL
        while held != NULL:
            if held.place.lane == lane:
                _reach(worker, last)
            held = held.outer
        worker = worker.next_waiting
    if path != NULL:
        object_put(path, NULL)
        object_put(path, NULL)
        object_put(path, place.place.job)
        _stands_on(found, place.place.job, path)
    return found


cdef Core* _core_of(FutureBase job) noexcept:
    # Whose worker is to run it, if one of its workers waits; else nobody holds places there.
    cdef Worker* worker = waits.first
    while worker != NULL:
        if worker.waits_as != NULL and (
            job.unrun == &worker.waits_as.unrun or is_served_by(job, worker.waits_as)
        ):
            return worker.waits_as
        worker = worker.next_waiting
    return NULL


cdef void _reach(Worker* worker, Worker** last) noexcept:
    if last != NULL and worker.reached != waits.searches:
        worker.reached = waits.searches
        worker.next_reached = NULL
        last[0].next_reached = worker
        last[0] = worker


cdef bint _stands_on(Worker* worker, PyObject* job, Objects* path) noexcept:
    # Lists what stands on it, up to who waits.
    cdef const Standing* place = &worker.waits_on
    while place != NULL:
        if place.job == job:
            if path != NULL:
                list_above(path, &worker.waits_on, place)
            return True
        place = place.outer
    return False


cdef bint _is_limited(FutureBase job) noexcept:
    return extension_of(job) != NULL and extension_of(job).limited and not extension_of(job).repeats


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
        if _waits_for_one(worker) and _wants_place(core, <FutureBase>worker.waits_for) and (
            extension_of(<FutureBase>worker.waits_for).wish.lane == lane
        ):
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


cdef bint _waits_for_one(Worker* worker) noexcept:
    return not worker.waits_for_room and worker.waits_among.size() == 0


cdef bint _nobody_is_left(Core* core) noexcept:
    cdef uint32_t waiting = 0
    cdef Worker* worker = waits.first
    while worker != NULL:
        waiting += worker.waits_as == core and _all_need_worker(core, worker)
        worker = worker.next_waiting
    return waiting >= max(core.max_workers.load(), core.reserved.load()) + core.spares.load()


cdef bint _all_need_worker(Core* core, Worker* worker) noexcept:
    cdef size_t i
    if worker.waits_for_room:
        return is_full(core)                        # else it is about to be woken
    for i in range(worker.waits_among.size()):
        if not _needs_worker(core, <FutureBase>worker.waits_among[i]):
            return False
    return _needs_worker(core, <FutureBase>worker.waits_for)


cdef bint _needs_worker(Core* core, FutureBase job) noexcept:
    # Of this core, or one that stands on it and waits itself.
    cdef uint32_t phase = job.state.load() & PHASE
    cdef Extension* extension = extension_of(job)
    cdef PyObject* runs = <PyObject*>job
    cdef Worker* worker = waits.first
    cdef bint served = is_served_by(job, core)
    if not served and job.unrun != &core.unrun:
        return False
    if phase == PENDING:
        return extension == NULL or not extension.expires
    if phase != RUNNING:
        return False
    if served:
        runs = extension.served_in
    while worker != NULL and runs != NULL:
        if worker.waits_as == core and _stands_on(worker, runs, NULL):
            return not _is_limited(<FutureBase>runs)
        worker = worker.next_waiting
    return served and runs != NULL and not _is_run(core, runs)      # its call may have failed, and is to be made again


cdef bint _is_run(Core* core, PyObject* job) noexcept:
    cdef bint found = False
    cdef size_t i
    core.roster_lock.lock()
    for i in range(core.roster.size()):
        found = found or core.roster[i].current.load() == job
    core.roster_lock.unlock()
    return found


def _start_over():
    # In a forked child: who waits there is not here, and may have held the lock.
    waits_begin_anew(&waits)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
