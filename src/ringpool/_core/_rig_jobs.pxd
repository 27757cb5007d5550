# The rig's jobs: how one is attempted, settled, asked to end and waited for, as run.pxd,
# planned.pyx and future.pyx do it, over jobword.pxd.  A job is its number in the queue, and
# here the word and what it guards.

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp cimport bool
from libcpp.vector cimport vector

from ringpool._core.core cimport has_left
from ringpool._core.jobword cimport (
    ASKED,
    CANCELLED_AND_NOTIFIED,
    EXPIRED,
    FAILED,
    FINISHED,
    OWNED,
    PENDING,
    PHASE,
    REFUSED,
    RUNNING,
    UNDER_CONDITION,
    UNREAD,
    Settling,
    has_ended,
    word_add_callback,
    word_ask,
    word_end_quietly,
    word_enlist,
    word_inflate,
    word_lock,
    word_lock_quietly,
    word_lock_to_settle,
    word_mark_read,
    word_put_back,
    word_settle,
    word_start,
    word_take_callbacks,
    word_unlock,
    word_watch,
)
from ringpool._core.layout cimport (
    FOREVER,
    NOW,
    Core,
    Extension,
    Mutex,
    Objects,
    Patience,
    Unrun,
    Waiter,
    Word,
    Worker,
    core_of,
)
from ringpool._core.parking cimport gate_enter, gate_leave
from ringpool._core.shelf cimport shelf_take_out

cdef extern from "rig.hpp" namespace "ringpool" nogil:
    const uint64_t PRODUCERS, MEDDLERS
    const uint32_t ACCEPTED, TURNED_AWAY
    const int TAKEN, NOTHING_READY, RAN, STARTED, ENDED, ASKED_TO_END, SHELF_TAKEN, STOP_ASKED, SHELF_SHUT, QUIET
    const int LEFT, CLEARED

    cdef cppclass Waiters "std::vector<ringpool::Waiter *>":
        size_t size() noexcept
        Waiter*& operator[](size_t) noexcept
        void push_back(Waiter*) noexcept
        void clear() noexcept

    cdef cppclass Job:
        Word[uint32_t] word
        uint64_t outcome
        Extension extension
        Unrun* unrun
        Mutex condition
        Waiters waiters
        Word[uint32_t] known
        uint64_t again
        int64_t delay
        uint64_t holds
        bint sleeps
        bint planned
        uint64_t starts
        uint64_t put_backs
        uint64_t held
        uint64_t ends
        uint64_t ended_with
        uint64_t ended_from
        bool* added
        uint64_t* called

    cdef cppclass Seen:
        uint64_t item
        uint32_t state
        uint64_t outcome

    cdef cppclass Vacancies:
        Vacancies(uint64_t seed, bint fails, uint32_t hirers, bint takers_hire) except +
        bint starts() noexcept
        void offer() noexcept
        bint take() noexcept
        void hires_no_more() noexcept

    cdef cppclass Reliefs:
        Reliefs(uint64_t workers) except +
        Word[uint32_t]* of(int32_t worker) noexcept
        void put(Word[uint32_t]*) noexcept
        Word[uint32_t]* take() noexcept

    Job* jobs_new(uint64_t n) except +
    void jobs_free(Job*) noexcept
    void write(uint64_t* place, uint64_t outcome) noexcept
    uint64_t read(const uint64_t* place) noexcept
    void saw(vector[Seen]* list, uint64_t item, uint32_t state, uint64_t outcome) noexcept
    uint64_t drawn(uint64_t seed, uint64_t what, uint64_t below) noexcept
    uint64_t begins() noexcept
    void ends(uint64_t begin, int what, uint64_t item) noexcept
    void meets(uint64_t& started, uint64_t workers, uint64_t jobs) noexcept
    void lasts() noexcept
    void make_known(Job*, uint32_t) noexcept
    uint32_t until_known(Job*) noexcept

cdef enum Act:                  # what a meddler does with a job
    CANCEL, EXPIRE, WAIT, WAIT_A_WHILE, WAIT_AS_OTHERS_DO, ADD_CALLBACK, RUN_HERE, NOTHING, SET_RESULT


cdef inline void job_begin(Job* job, Core* core) noexcept nogil:
    # As make_job().
    job.word.set(OWNED | PENDING)
    job.unrun = &core.unrun


# ---- its end -----------------------------------------------------------------

cdef inline bint job_settle(Job* job, uint64_t item, uint32_t allowed, uint32_t phase, uint64_t outcome) noexcept nogil:
    # As future_settle.
    cdef uint64_t begin = begins()
    cdef uint32_t state
    cdef Settling step
    cdef bint has_condition = False, left = False
    cdef size_t i
    while True:
        step = word_lock_to_settle(&job.word, allowed, has_condition, &state)
        if step != UNDER_CONDITION:
            break
        job.condition.lock()
        has_condition = True
    if step == REFUSED:
        if has_condition:
            job.condition.unlock()
        return False
    write(&job.outcome, outcome)
    if state & PHASE == PENDING and job.planned:
        left = job_take_out(job, core_of(job.unrun), item)
    word_settle(&job.word, state, phase, job.unrun, &job.extension, left)
    if has_condition:
        for i in range(job.waiters.size()):
            job.waiters[i].parker.unpark()
        job.waiters.clear()
        job.condition.unlock()
    _has_ended(job, item, begin, outcome, state & PHASE)
    if state & PHASE == PENDING and job.planned:
        ends(begins(), CLEARED, item)
    if left:
        has_left(core_of(job.unrun))
    return True


cdef inline bint job_take_out(Job* job, Core* core, uint64_t item) noexcept nogil:
    cdef uint64_t begin = begins()
    if not shelf_take_out(core, <PyObject*>item, &job.extension.wish):
        return False
    ends(begin, LEFT, item)
    return True


cdef inline void job_take_out_if_ended(Job* job, Core* core, uint64_t item) noexcept nogil:
    # As _take_out_if_ended.
    cdef uint32_t state = word_lock(&job.word)
    word_unlock(&job.word, state)
    if has_ended(state):
        if job_take_out(job, core, item):
            core.unrun.tombstones.sub(1)
            has_left(core)
        ends(begins(), CLEARED, item)


cdef inline void _has_ended(Job* job, uint64_t item, uint64_t begin, uint64_t outcome, uint32_t phase) noexcept nogil:
    ends(begin, ENDED, item)
    job.ends += 1
    job.ended_with = outcome
    job.ended_from = phase


cdef inline void job_call_back(Job* job) noexcept nogil:
    # As future_run_callbacks, by who has settled it loudly.
    cdef Objects callbacks
    cdef size_t i
    word_take_callbacks(&job.word, &job.extension, callbacks)
    for i in range(callbacks.size()):
        job.called[<uint64_t>callbacks[i] - 1] += 1


cdef inline bint job_end_unstarted(Job* job, uint64_t item, uint32_t phase) noexcept nogil:
    if not job_settle(job, item, 1 << PENDING, phase, 0 if phase & PHASE != FINISHED else MEDDLERS + 1):
        return False
    job_call_back(job)
    return True


# ---- an attempt ----------------------------------------------------------------

cdef inline bint job_start(Job* job, uint64_t item, uint64_t begin) noexcept nogil:
    if not word_start(&job.word):
        return False
    ends(begin, STARTED, item)
    job.starts += 1
    return True


cdef inline int64_t job_attempt(Job* job, Core* core, Worker* me, uint64_t item) noexcept nogil:
    # As run_started, of a job that was started: after how many ns it comes again; negative: it does not.
    cdef uint64_t begin, outcome = 2 * MEDDLERS + job.starts
    cdef uint32_t failed = 0
    me.started.bump()
    lasts()
    if job.sleeps:
        _sleep_until_asked(job, core)
    if job.planned and job.starts <= job.again:
        if word_put_back(&job.word, &me.again):
            job.put_backs += 1
            return job.delay
    elif item % 3 == 0:
        failed = FAILED | UNREAD
    if failed:
        me.failed.bump()
    else:
        me.succeeded.bump()
    begin = begins()
    if word_lock_quietly(&job.word):
        write(&job.outcome, outcome)
        word_end_quietly(&job.word, failed)
        _has_ended(job, item, begin, outcome, RUNNING)
    else:
        job_settle(job, item, 1 << RUNNING, FINISHED | failed, outcome)
        job_call_back(job)                      # of one settled by hand as well
    return -1


cdef inline void _sleep_until_asked(Job* job, Core* core) noexcept nogil:
    # As sleep_in_job.
    cdef Waiter waiter
    cdef Patience patience
    while not _is_wanted_no_more(job, core):
        gate_enter(&core.sleepers, &waiter)
        if _is_wanted_no_more(job, core):
            gate_leave(&core.sleepers, &waiter)
            return
        waiter.parker.park(&patience)


cdef inline bint _is_wanted_no_more(Job* job, Core* core) noexcept nogil:
    return core.stop_asked.load() or job.word.acquire() & ASKED


# ---- others ----------------------------------------------------------------------

cdef inline void job_cancel(Job* job, uint64_t item) noexcept nogil:
    cdef uint64_t begin = begins()
    while not job_end_unstarted(job, item, CANCELLED_AND_NOTIFIED):
        if word_ask(&job.word, &job.unrun):
            break
    ends(begin, ASKED_TO_END, item)


cdef inline void job_wait(Job* job, uint64_t item, int64_t deadline, vector[Seen]* seen) noexcept nogil:
    # As _sleep_until_done, and _result.
    cdef Waiter waiter
    cdef Patience patience
    cdef bint woken = True
    cdef uint32_t state = job.word.acquire()
    if not has_ended(state):
        word_watch(&job.word, &job.unrun)
        while woken and word_enlist(&job.word, &job.extension, &waiter):
            woken = waiter.parker.park_until(deadline, &patience)
            if not woken:
                gate_leave(&job.extension.gate, &waiter)
        state = job.word.acquire()
    if not has_ended(state):
        return
    if seen != NULL:
        saw(seen, item, state & (PHASE | FAILED), read(&job.outcome) if state & PHASE == FINISHED else 0)
    if state & UNREAD:
        word_mark_read(&job.word)


cdef inline void job_wait_as_others_do(Job* job, uint64_t item, vector[Seen]* seen) noexcept nogil:
    # As the standard library's wait(), which asks for the condition and looks at the phase under it.
    cdef Waiter waiter
    cdef Patience patience
    cdef bint ended
    word_inflate(&job.word, &job.extension, NULL, NULL)
    job.condition.lock()
    ended = has_ended(job.word.acquire())
    if not ended:
        job.waiters.push_back(&waiter)
    job.condition.unlock()
    if not ended:
        waiter.parker.park(&patience)
    job_wait(job, item, FOREVER, seen)


cdef inline void job_meet(
    Job* job, Core* core, Worker* me, uint64_t item, Act act, uint64_t number, vector[Seen]* seen
) noexcept nogil:
    # A meddler of that number does this with the job, which is known to be accepted.
    cdef uint64_t begin
    cdef bint kept
    if act == CANCEL:
        job_cancel(job, item)
    elif act == SET_RESULT:
        if job_settle(job, item, 1 << PENDING | 1 << RUNNING, FINISHED, number + 1):
            job_call_back(job)
    elif act == EXPIRE:
        job_end_unstarted(job, item, FINISHED | FAILED | EXPIRED)
    elif act == WAIT or act == WAIT_A_WHILE:
        job_wait(job, item, FOREVER if act == WAIT else NOW, seen)
    elif act == WAIT_AS_OTHERS_DO:
        job_wait_as_others_do(job, item, seen)
    elif act == ADD_CALLBACK:
        job.added[number] = True
        if not word_add_callback(&job.word, &job.extension, <PyObject*>(number + 1), &kept):
            job.called[number] += 1
    elif act == RUN_HERE and not job.planned:
        begin = begins()                        # as _run_in_place
        if job_start(job, item, begin):
            core.unrun.tombstones.add(1)
            job_attempt(job, core, me, item)
