"""The workers' threads: how they start, what they run, when they leave. Their loop: worker.pxd."""

import contextvars
import functools
import logging
import os
import sys
import threading
import time
from concurrent.futures.thread import BrokenThreadPool

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint32_t

from ringpool._core.core cimport core_close, core_release
from ringpool._core.future cimport FutureBase, is_served_by
from ringpool._core.here cimport calling_thread, works_for
from ringpool._core.layout cimport (
    FOREVER,
    Core,
    Here,
    Waiter,
    Word,
    Worker,
    name_this_thread,
    now_ns,
    roster_put,
    roster_retire,
)
from ringpool._core.parking cimport gate_enter, gate_leave, gate_wake_all, sleep_until_woken
from ringpool._core.python cimport Py_DECREF, Py_INCREF, Py_XINCREF, current_thread_state, ident_of_this_thread
from ringpool._core.seats cimport ENOUGH, RESERVED, Hiring, reserve_seat
from ringpool._core.shelf cimport allow_workers, work_ready
from ringpool._core.spares cimport (
    FOR_ALL,
    NO_MORE,
    NONE_NEEDED,
    Relief,
    begin_to_wait,
    give_up_spares,
    most_spares,
    relieve,
    reserve_spares,
    spare_may_leave,
)

from ringpool._core.resolve cimport resolve_queued
from ringpool._core.room cimport room_wake_all
from ringpool._core.run cimport fresh_context

cdef enum:
    NEW, ALIVE, ABANDONED

logger = logging.getLogger("ringpool")

_spin = os.environ.get("RINGPOOL_SPIN_US") or "50"
if not (_spin.isascii() and _spin.isdigit() and int(_spin) <= 1000):
    raise ValueError(f"RINGPOOL_SPIN_US must be a whole number of microseconds from 0 to 1000, got {_spin!r}")

FORKED = "the process was forked while this job was pending: it goes on in the parent only"
INITIALIZER_FAILED = "A thread initializer failed, the thread pool is not usable anymore"

# Workers start in an empty context, where the interpreter would copy that of
# whoever happened to start them and keep it for the thread's life.
_THREAD_OPTIONS = {"context": contextvars.Context()} if sys.version_info >= (3, 14) else {}


cdef class WorkerMain:
    """What a worker's thread runs; refers to the core and not to the pool object."""

    cdef Core* core
    cdef Worker* worker
    cdef object initializer
    cdef object finalizer               # called on the thread when its last job is done
    cdef set threads                    # the pool's, which lists every worker's thread; of those that left, some
    cdef object prefix                  # of their names
    cdef object thread                  # which runs this
    cdef bytes short_name               # the thread's, for the system
    cdef WorkerMain spare_of            # the worker whose wait this one makes up for, or None
    cdef Word[uint32_t] has_spare
    cdef Word[uint32_t] phase           # NEW, then ALIVE or ABANDONED

    def __cinit__(self):
        self.core = NULL

    def __dealloc__(self):
        if self.core != NULL:
            core_release(self.core)

    def __call__(self):
        # Nothing may end it but the end: what needs memory was made before, or is done without.
        cdef uint32_t expected = NEW
        cdef bint left = False
        if not self.phase.cas(expected, ALIVE):
            return                          # whoever started the thread gave up on it
        if self.spare_of is None and not take_seat(self.core):
            self._leave()
            return
        name_this_thread(self.short_name)
        self.worker.ident = ident_of_this_thread()
        self.worker.born.set(now_ns())
        self.worker.thread = current_thread_state()
        calling_thread().core = self.core
        calling_thread().worker = self.worker
        calling_thread().main = <PyObject*>self
        calling_thread().seat = self.worker
        if self.core.copies_context:
            fresh_context()
        if self.initializer is not None and not _is_ready(self.initializer):
            _break(self.core)
        elif self.spare_of is None:
            _be_seated(self.core, self.worker, True)
        if self.spare_of is None:
            left = work(self.core, self.worker, safe_point)
            _be_seated(self.core, self.worker, False)
        else:
            _work_as_spare(self)
        if self.finalizer is not None:
            call_quietly(self.finalizer)
        calling_thread().worker = NULL
        if self.spare_of is None and left:
            self._leave()
        elif self.spare_of is None:
            self.core.gone.add(1)
            make_up_at_last(self)           # it counted as one who looks for work
        else:
            roster_retire(self.core, self.worker)
            give_up_spares(self.core, 1)
            _wake_who_waits_for_room(self.core)
            make_up_at_last(self)
        calling_thread().core = NULL
        calling_thread().main = NULL
        calling_thread().seat = NULL
        gate_wake_all(&self.core.quiet)
        self.thread = None

    cdef _leave(self):
        # Before the end of the queue.  Until here its place was taken: who put a
        # job meanwhile could start nobody in its stead.
        roster_retire(self.core, self.worker)
        self.core.reserved.sub(1)
        _wake_who_waits_for_room(self.core)
        if work_ready(self.core):
            hire_for_queued(self.core, self.initializer, self.finalizer, self.threads, self.prefix)
        # Where there are no places more, since the queue has been resized: those that stay may wait for just what
        # is there, also for what is set aside.
        make_up_at_last(self)
        gate_wake_all(&self.core.quiet)


cdef void _wake_who_waits_for_room(Core* core) noexcept:
    # To look again: they may be all that are left.
    if core.stuck.load():
        room_wake_all(core)


cdef void _be_seated(Core* core, Worker* me, bint seated) noexcept:
    core.roster_lock.lock()
    me.seated = seated
    core.roster_lock.unlock()


cdef bint _is_ready(object initializer) noexcept:
    try:
        return initializer()
    except BaseException:
        return False                        # it catches what the user's own raises: no memory to call it


cdef void _number(Core* core, Worker* me, int32_t number) noexcept:
    # The lowest from `number` on that no worker of this pool has.
    cdef size_t i = 0
    core.roster_lock.lock()
    while i < core.roster.size():
        if core.roster[i].number == number:
            number += 1
            i = 0
        else:
            i += 1
    me.number = number
    core.roster_lock.unlock()


cdef _work_as_spare(WorkerMain self):
    work_as_spare(self.core, self.worker, safe_point)
    while not spare_may_leave(self.core, &self.spare_of.has_spare):
        work_as_spare(self.core, self.worker, safe_point)


# Entering a Python function serves what the interpreter wants of a thread; a
# function compiled by Cython would not.
safe_point = eval("lambda: None")


cdef bytes _short_name(str name):
    # The system keeps 15 bytes; the worker's number says more than the middle.
    cdef bytes raw = name.encode("utf-8", "replace")
    cdef bytes number = b"_" + raw.rpartition(b"_")[2]
    if len(raw) <= 15:
        return raw
    return raw[:15 - len(number)] + number if len(number) < 8 else raw[:15]


# ---- hiring ------------------------------------------------------------------------

cdef int hire(Core* core, object initializer, object finalizer, set threads, object name) except -1:
    # The thread first, then the job: if no thread can be started and there is
    # none, the error leaves no trace of the job; if there is one, it will do.
    # The caller has counted itself in `coming`: jobs about to be put want a
    # worker each, as those that are queued or run.
    cdef Waiter waiter
    while not _hire_one(core, initializer, finalizer, threads, name, True):
        # Another thread is starting the first worker, which may fail.
        gate_enter(&core.hired, &waiter)
        if core.started.load() or not core.reserved.load():
            gate_leave(&core.hired, &waiter)
            continue
        try:
            sleep_until_woken(&waiter, FOREVER)
        except:
            gate_leave(&core.hired, &waiter)
            raise
    return 0


cdef bint _hire_one(
    Core* core, object initializer, object finalizer, set threads, object name, bint before_put
) except -1:
    # False: there is no worker yet, and somebody else is at it.
    cdef Here* here = calling_thread()
    cdef Core* hiring_before = here.hiring
    # reentrant: a signal handler's submit inside ours
    cdef Hiring hiring = reserve_seat(core, before_put, hiring_before == core)
    if hiring != RESERVED:
        return hiring == ENOUGH
    here.hiring = core
    try:
        interrupted = _start(core, initializer, finalizer, None, threads, name)
    except BaseException as error:
        core.reserved.sub(1)
        gate_wake_all(&core.quiet)
        gate_wake_all(&core.hired)
        if core.started.load() and isinstance(error, Exception):
            return True
        raise
    finally:
        here.hiring = hiring_before
    if interrupted is not None:
        raise interrupted
    return True


cdef hire_for_queued(Core* core, initializer, finalizer, set threads, name):
    # After jobs became ready, where the worker that was relied on may have left:
    # as many as there is work for, also of a closed queue.
    cdef uint32_t before = core.reserved.load() + 1
    try:
        while before != core.reserved.load():
            before = core.reserved.load()
            _hire_one(core, initializer, finalizer, threads, name, False)
    except Exception:
        pass                                    # the least number of workers is there


cdef bint hire_spare(FutureBase job) except -1:
    # By a worker before it waits, in a way we cannot serve in place, for a job of
    # its own pool: one more worker empties the queue and leaves.  False: there are
    # as many as there may be, and none is hired.
    cdef Core* core = calling_thread().core
    cdef WorkerMain mine
    cdef bint ours
    cdef Relief relief
    if core == NULL or not works_for(core):
        return True
    ours = job.unrun == &core.unrun
    if not ours and not is_served_by(job, core):
        return True
    mine = <WorkerMain>calling_thread().main
    relief = relieve(core, mine.worker, &mine.has_spare, &job.state, ours)
    if relief == NONE_NEEDED:
        return True
    if relief == NO_MORE:
        return False
    if relief == FOR_ALL:
        _make_up(core, mine.initializer, mine.finalizer, mine.threads, mine.prefix)
        return core.spares.load() < most_spares(core)
    interrupted = _start_spare(core, mine, mine.initializer, mine.finalizer, mine.threads, mine.prefix)
    if interrupted is not None:
        raise interrupted
    return True


cdef int wait_for_others() except -1:
    # By a worker before it waits for what others run: those may need one more.
    cdef WorkerMain mine = <WorkerMain>calling_thread().main
    begin_to_wait(mine.core, mine.worker)
    _make_up(mine.core, mine.initializer, mine.finalizer, mine.threads, mine.prefix)
    return 0


cdef tell_of_no_spare():
    # Once for each pool: a worker waits, and no other takes its place.
    cdef Core* core = calling_thread().core
    if not core.short_of_spares.exchange(1):
        logger.warning(
            "%s: a job waits for another, and no spare worker takes its place: there may be %d of them",
            (<WorkerMain>calling_thread().main).prefix, core.max_spares,
        )


cdef int _make_up(Core* core, initializer, finalizer, set threads, prefix) except -1:
    # Starts those that reserve_spares finds wanting.
    cdef WorkerMain nobody
    cdef uint32_t reserved = reserve_spares(core)
    try:
        while reserved:
            nobody = WorkerMain()
            nobody.has_spare.store(1)
            reserved -= 1
            _start_spare(core, nobody, initializer, finalizer, threads, prefix)
    finally:
        if reserved:
            give_up_spares(core, reserved)
    return 0


cdef bint make_up_for_waits(Core* core, initializer, finalizer, set threads, prefix) noexcept:
    # False: a thread that is needed cannot be started; the caller is to try again, unless it looks for work itself.
    try:
        _make_up(core, initializer, finalizer, threads, prefix)
    except Exception:
        return False
    return True


nap = functools.partial(time.sleep, 0.01)


cdef void make_up_at_last(WorkerMain mine) noexcept:
    # By who leaves, or falls asleep: nobody else may look again, so while a thread is needed it tries to start it.
    while not make_up_for_waits(mine.core, mine.initializer, mine.finalizer, mine.threads, mine.prefix):
        call_quietly(nap)


cdef void make_up_before_sleep() noexcept:
    make_up_at_last(<WorkerMain>calling_thread().main)


cdef void make_up_meanwhile() noexcept:
    cdef WorkerMain mine = <WorkerMain>calling_thread().main
    make_up_for_waits(mine.core, mine.initializer, mine.finalizer, mine.threads, mine.prefix)


cdef _start_spare(Core* core, WorkerMain of, initializer, finalizer, set threads, prefix):
    # As _start.  The caller has counted it, and set has_spare.
    allow_workers(core, 0, 0, 0)
    try:
        return _start(core, initializer, finalizer, of, threads, prefix)
    except BaseException:
        of.has_spare.store(0)
        give_up_spares(core, 1)
        gate_wake_all(&core.quiet)
        raise


cdef bint _has_ended(thread) except -1:
    # Not so one that is being started: it has an ident before it is alive.
    try:
        thread.join(0)
    except RuntimeError:
        return False                            # not started, or this one
    return not thread.is_alive()


cdef object _start(Core* core, initializer, finalizer, WorkerMain spare_of, set threads, prefix):
    # When this raises there is no worker.  When a signal handler raised while
    # we waited for a thread that did start, there is one: that exception is
    # returned.
    cdef WorkerMain main = WorkerMain()
    cdef Worker* worker = new Worker()
    cdef uint32_t expected = NEW
    if not roster_put(core, worker):
        del worker
        raise MemoryError
    try:
        # Spares are numbered behind the seats, so that they take no worker's number.
        _number(core, worker, 0 if spare_of is None else <int32_t>core.max_workers.load())
        name = f"{prefix}_{worker.number}" if spare_of is None else f"{prefix}_{worker.number}_spare"
        core.references.add(1)
        main.core = core
        main.worker = worker
        main.initializer = initializer
        main.finalizer = finalizer
        main.threads = threads
        main.prefix = prefix
        main.spare_of = spare_of
        main.short_name = _short_name(name)
        main.thread = threading.Thread(target=main, name=name, daemon=False, **_THREAD_OPTIONS)
        # Who leaves stays listed until it has ended, for whoever waits for the end of all.
        for other in threads.copy():
            if _has_ended(other):
                threads.discard(other)
        threads.add(main.thread)
        main.thread.start()
    except BaseException as error:
        if not main.phase.cas(expected, ABANDONED):
            return error
        threads.discard(main.thread)
        main.thread = None                  # they refer to each other
        roster_retire(core, worker)
        raise
    return None


cdef void _break(Core* core) noexcept:
    # An initializer failed: refuse what comes, resolve what is queued.
    core.broken.store(1)
    core_close(core)
    try:
        resolve_queued(core, INITIALIZER_FAILED, None)
    except BaseException:
        logger.exception("exception while jobs were failed")
