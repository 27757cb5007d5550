"""Who the calling thread is: which worker of which pool, and which jobs stand on its stack."""

from cpython.object cimport PyObject

from ringpool._core.core cimport core_release
from ringpool._core.future cimport FutureBase
from ringpool._core.layout cimport Core, Here, Standing, Worker, this_thread
from ringpool._core.planned cimport run_planned
from ringpool._core.python cimport Py_DECREF, Py_INCREF
from ringpool._core.run cimport enter_fresh_context, leave_context, run_in_fresh_context


cdef bint on_worker_of(Core* core) noexcept:
    return this_thread().core == core


cdef bint is_hiring_for(Core* core) noexcept:
    # Does a submit for it stand still below us, while a signal handler runs?
    return this_thread().hiring == core


cdef bint may_run_here(Core* core) noexcept:
    # May the calling thread run jobs of this pool in place of a wait for them?  Not the timekeeper: no state of a
    # worker's is there, and no time would pass meanwhile.
    return (this_thread().core == core and not keeps_time_of(core)) or (this_thread().hiring == core and not core.started.load())


cdef bint works_for(Core* core) noexcept:
    # Is the calling thread one of its workers?  Not its timekeeper, nor one that runs a job in a worker's place.
    return this_thread().core == core and this_thread().main != NULL


cdef bint keeps_time_of(Core* core) noexcept:
    return this_thread().core == core and this_thread().worker == NULL


cdef bint run_in_place(Core* core, Worker* me, FutureBase job) noexcept:
    # As run_started, on a thread that has submitted the job and found no room: while
    # the job runs, it is the thread's current one and cannot wait for its own end.
    cdef Here* here = &this_thread()
    cdef Core* core_before = here.core
    cdef Worker* worker_before = here.worker
    cdef PyObject* main_before = here.main
    cdef bint watched
    cdef Standing standing
    _stand_still(&standing)
    if core_before != core:
        here.main = NULL
    elif worker_before != NULL:
        me.number = worker_before.number
        me.held = worker_before.held
    here.core = core
    here.worker = me
    watched = run_in_fresh_context(core, me, job)
    here.core = core_before
    here.worker = worker_before
    here.main = main_before
    _go_on(&standing)
    return watched


cdef bint run_on_top(Core* core, Worker* me, FutureBase job) noexcept:
    # As run_started, in place of a wait for it.
    cdef Standing standing
    cdef bint watched
    _stand_still(&standing)
    watched = run_in_fresh_context(core, me, job)
    _go_on(&standing)
    return watched


cdef void run_planned_on_top(Core* core, Worker* me, PyObject* job) noexcept:
    # As run_planned, in place of a wait for it.
    cdef Standing standing
    _stand_still(&standing)
    if core.copies_context:
        enter_fresh_context()
    run_planned(core, me, job)
    if core.copies_context:
        leave_context()
    _go_on(&standing)


cdef void _stand_still(Standing* standing) noexcept:
    # The current job, while another runs.
    cdef Here* here = &this_thread()
    standing.outer = here.standing
    standing.job = here.worker.current.relaxed() if here.worker != NULL else NULL
    if standing.job != NULL:
        here.standing = standing
        here.worker.below = standing


cdef void _go_on(Standing* standing) noexcept:
    cdef Here* here = &this_thread()
    here.standing = standing.outer
    if here.worker != NULL:
        here.worker.below = standing.outer


cdef void belong_to(Core* core) noexcept:
    # For a thread that is no worker and must not wait for the end of its own queue.
    this_thread().core = core


cdef Here* calling_thread() noexcept:
    return &this_thread()


cdef Worker* seat_of_this_thread() noexcept:
    # The worker that it is, whatever it runs in place.
    return this_thread().seat


cdef Core* this_core() noexcept:
    return this_thread().core


cdef Worker* this_worker() noexcept:
    return this_thread().worker


def keep_state(state):
    """The calling worker's own from now on, until :func:`give_up_state`."""
    cdef Worker* me = seat_of_this_thread()
    Py_INCREF(<PyObject*>state)
    this_thread().core.roster_lock.lock()       # under which others look at it
    me.state = <PyObject*>state
    this_thread().core.roster_lock.unlock()


def give_up_state():
    """What the calling worker has kept, which it has no more; raises LookupError when that is nothing."""
    cdef Worker* me = seat_of_this_thread()
    cdef PyObject* kept = me.state
    if kept == NULL:
        raise LookupError
    this_thread().core.roster_lock.lock()
    me.state = NULL
    this_thread().core.roster_lock.unlock()
    state = <object>kept
    Py_DECREF(kept)
    return state


def current_state():
    """What the calling worker has kept, or None; for a thread that is a worker."""
    cdef PyObject* kept = seat_of_this_thread().state
    return <object>kept if kept != NULL else None


def current_future():
    """The future of the job that the calling thread is running, or None."""
    cdef PyObject* job = NULL
    if this_thread().worker != NULL:
        job = this_thread().worker.current.relaxed()
    return <object>job if job != NULL else None


cdef class StopFlag:
    """Says whether a pool was told to stop now; may outlive it."""

    def __dealloc__(self):
        if self.core != NULL:
            core_release(self.core)

    def __bool__(self):
        return self.core.stop_asked.load() != 0


def current_stop_flag():
    """The StopFlag of the pool whose worker the calling thread is; None on other threads."""
    cdef StopFlag flag
    if this_thread().core == NULL:
        return None
    flag = StopFlag()
    flag.core = this_thread().core
    flag.core.references.add(1)
    return flag
