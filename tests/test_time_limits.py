"""Time limits: each attempt's, and the job's; what becomes of a worker whose job is late; what a job sees of it."""

import threading
import time
from concurrent.futures import CancelledError

import pytest

from ringpool import Job, JobTimeout, Retry, WorkerQueue, current_job

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened
SHORT = 0.05


@pytest.fixture
def queue():
    queue = WorkerQueue(1, 16, name="timed")
    yield queue
    queue.stop_now()
    assert queue.stop(WAIT).complete


# ---- in time ---------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["timeout", "deadline"])
def test_a_job_ends_in_time_although_its_function_goes_on(queue, gate, which):
    """Not before its time, and not when the function returns."""
    before = time.monotonic()
    future = queue.submit(Job(gate, name="slow", **{which: SHORT}))
    error = future.exception(WAIT)
    assert SHORT <= time.monotonic() - before < WAIT / 2
    assert isinstance(error, JobTimeout) and isinstance(error, TimeoutError)
    assert str(error) == (
        "attempt 1 of slow was not done within 0.05 s"
        if which == "timeout"
        else "slow was not done within 0.05 s of its submission"
    )
    stats = queue.stats()
    assert (stats.timed_out, stats.late, stats.in_flight, stats.failed) == (1, 1, 1, 0)
    gate.open()
    assert queue.wait(WAIT)
    stats = queue.stats()
    assert (stats.timed_out, stats.late, stats.in_flight, stats.failed) == (1, 0, 0, 1)


@pytest.mark.parametrize("which", ["timeout", "deadline"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_job_that_is_done_in_time_is_none_the_worse(queue, which, fails):
    """Its limit is called off; its own result or error is the future's."""

    def job():
        if fails:
            raise OSError
        return 7

    future = queue.submit(Job(job, **{which: WAIT}))
    assert isinstance(future.exception(WAIT), OSError) if fails else future.result(WAIT) == 7
    assert queue.stats().timed_out == 0


def test_the_queues_timeout_is_for_jobs_that_do_not_say(gate):
    """Plain calls too; what a job says wins."""
    with WorkerQueue(2, 16, timeout=SHORT) as queue:
        assert isinstance(queue.submit(gate).exception(WAIT), JobTimeout)
        patient = queue.submit(Job(gate, "done", timeout=WAIT))
        gate.open()
        assert patient.result(WAIT) == "done"


def test_the_deadline_ends_a_job_that_has_not_started(queue, gate):
    """It counts as expired, since nothing of it was run, and its place is free."""
    queue.submit(gate)
    ran = []
    future = queue.submit(Job(ran.append, 1, deadline=SHORT))
    assert isinstance(future.exception(WAIT), JobTimeout)
    stats = queue.stats()
    assert (stats.expired, stats.queued, stats.timed_out, stats.levels) == (1, 0, 0, {})
    gate.open()
    assert queue.wait(WAIT)
    assert ran == []


def test_a_time_limit_of_nothing_is_over_at_once(queue):
    """Zero seconds, for the attempt as for the job."""
    for limit in ({"timeout": 0}, {"deadline": 0}):
        future = queue.submit(Job(threading.Event().wait, MOMENT, **limit))
        assert isinstance(future.exception(WAIT), JobTimeout)


def test_who_waits_and_who_is_called_hear_of_it_in_time(queue, gate):
    """result() in another thread, and callbacks, while the function goes on."""
    heard = threading.Event()
    future = queue.submit(Job(gate, timeout=SHORT))
    future.add_done_callback(lambda future: heard.set())
    assert heard.wait(WAIT)
    assert isinstance(future.exception(0), JobTimeout)


def test_a_late_result_is_forgotten(queue, gate):
    """The future ends once; results() has it when its function has come to an end."""
    results = queue.results()
    future = queue.submit(Job(gate, "too late", timeout=SHORT))
    assert isinstance(future.exception(WAIT), JobTimeout)
    gate.open()
    assert next(results) is future
    assert isinstance(future.exception(0), JobTimeout)


# ---- the worker that is late --------------------------------------------------------------


def test_a_late_worker_is_replaced_and_taken_back(queue, gate, until):
    """The queue of one worker goes on; when the late one is back, one of the two leaves."""
    late = queue.submit(Job(gate, timeout=SHORT))
    assert queue.submit(int, "7").result(WAIT) == 7
    assert isinstance(late.exception(WAIT), JobTimeout)
    stats = queue.stats()
    assert (stats.late, stats.workers, stats.in_flight) == (1, 2, 1)
    assert [job.future for job in queue.running()] == [late]
    gate.open()
    until(lambda: queue.stats().late == 0)
    until(lambda: queue.stats().workers == 1)
    until(lambda: queue.running() == ())  # the late one's list is the last that it puts in order
    assert queue.submit(int, "8").result(WAIT) == 8
    assert queue.stats().workers == 1


@pytest.mark.parametrize("most", [0, 1, 2])
def test_so_many_late_workers_are_replaced_and_no_more(gate, until, most):
    """max_late; the others stay away until their functions return."""
    queue = WorkerQueue(3, 16, max_late=most)
    for _ in range(3 + most):
        queue.submit(Job(gate, timeout=SHORT))
    gate.wait_until_entered(3 + most)
    until(lambda: queue.stats().late == 3 + most)
    assert queue.stats().workers == 3 + most
    last = queue.submit(int, "7")
    with pytest.raises(TimeoutError):
        last.result(MOMENT)
    gate.open()
    assert last.result(WAIT) == 7
    until(lambda: queue.stats().workers == 3)
    assert queue.stop(WAIT).complete


def test_a_drain_goes_on_behind_a_late_job(gate, until):
    """After stop too the late worker is replaced, else what it held up would never be run."""
    queue = WorkerQueue(1, 16)
    late = queue.submit(Job(gate, timeout=0.5))
    gate.wait_until_entered()
    jobs = [queue.submit(int, str(i)) for i in range(5)]
    assert queue.stop(0).not_started == 5
    assert [job.result(WAIT) for job in jobs] == [0, 1, 2, 3, 4]
    assert isinstance(late.exception(WAIT), JobTimeout)
    assert [job.future for job in queue.stop(0).running] == [late]
    gate.open()
    assert queue.stop(WAIT).complete


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_resize_while_a_worker_is_late_is_meant_without_it(gate, until, workers):
    """Neither is a place lost for ever, nor is there one too many afterwards."""
    queue = WorkerQueue(2, 64)
    late = queue.submit(Job(gate, timeout=SHORT))
    assert isinstance(late.exception(WAIT), JobTimeout)
    queue.resize(workers)
    gate.open()
    until(lambda: queue.stats().late == 0)
    barrier = threading.Barrier(workers)
    jobs = [queue.submit(barrier.wait, WAIT) for _ in range(workers)]
    assert sorted(job.result(WAIT) for job in jobs) == list(range(workers))
    until(lambda: queue.stats().workers == workers)
    assert queue.stop(WAIT).complete


def test_a_late_job_holds_its_key_until_its_function_has_come_to_an_end(queue, gate):
    """One at a time means its function, and not its future."""
    late = queue.submit(Job(gate, key="k", timeout=SHORT))
    behind = queue.submit(Job(int, key="k"))
    assert isinstance(late.exception(WAIT), JobTimeout)
    with pytest.raises(TimeoutError):
        behind.result(MOMENT)
    gate.open()
    assert behind.result(WAIT) == 0


# ---- with retries ----------------------------------------------------------------------------


def test_an_attempt_that_took_too_long_is_tried_again_when_it_has_come_to_an_end(queue):
    """Two attempts of one job never run at once; the error says what it was."""
    seen = []

    def job():
        me = current_job()
        seen.append(me.attempt)
        if me.attempt < 3:
            with pytest.raises(CancelledError):
                me.sleep(WAIT)
        return me.attempt, me.cancelled

    future = queue.submit(Job(job, timeout=SHORT, retry=Retry(base=0)))
    assert future.result(WAIT) == (3, False)
    assert seen == [1, 2, 3]
    stats = queue.stats()
    assert (stats.timed_out, stats.retries, stats.late, stats.succeeded, stats.failed) == (2, 2, 0, 1, 0)


def test_the_last_attempt_that_takes_too_long_ends_the_job_in_time(queue, gate):
    """With the earlier ones as notes."""

    def job():
        if current_job().attempt == 2:
            gate()
        current_job().sleep(WAIT)

    future = queue.submit(Job(job, name="slow", timeout=SHORT, retry=Retry(base=0, attempts=2)))
    with pytest.raises(JobTimeout, match="attempt 2 of slow") as caught:
        future.result(WAIT)
    assert caught.value.__notes__ == [
        "ringpool: attempt 1 failed: JobTimeout: attempt 1 of slow was not done within 0.05 s"
    ]
    gate.open()


def test_the_deadline_ends_an_attempt_whose_own_time_has_passed(queue, gate):
    """That one was to be tried again, and never came back to be."""
    future = queue.submit(Job(gate, name="gone", timeout=SHORT, deadline=4 * SHORT, retry=Retry(base=0)))
    with pytest.raises(JobTimeout, match=r"gone was not done within 0\.2 s of its submission"):
        future.result(WAIT)
    assert (queue.stats().late, queue.stats().timed_out) == (1, 1)
    assert queue.submit(int, "7").result(WAIT) == 7
    gate.open()


def test_an_attempt_that_raises_after_its_time_was_late_and_says_what_it_raised(queue):
    """As the cause of the error."""

    def job():
        current_job().sleep(WAIT)

    future = queue.submit(Job(job, timeout=SHORT, retry=Retry(base=0, attempts=2, stop=lambda state: True)))
    error = future.exception(WAIT)
    assert isinstance(error, JobTimeout) and isinstance(error.__cause__, CancelledError)


def test_a_retry_that_does_not_take_timeouts_ends_the_job_in_time(queue, gate):
    """on= names other errors."""
    future = queue.submit(Job(gate, timeout=SHORT, retry=Retry(base=0, on=ValueError)))
    assert isinstance(future.exception(WAIT), JobTimeout)
    assert queue.stats().late == 1
    gate.open()


# ---- what the job sees ---------------------------------------------------------------------------


def test_a_job_sees_how_much_time_is_left(queue):
    """The nearer of its two limits; None without one."""

    def job():
        return current_job().remaining()

    assert queue.submit(job).result(WAIT) is None
    assert queue.submit(Job(job)).result(WAIT) is None
    assert 0 < queue.submit(Job(job, timeout=20)).result(WAIT) <= 20
    assert 0 < queue.submit(Job(job, deadline=20)).result(WAIT) <= 20
    assert 0 < queue.submit(Job(job, deadline=10, timeout=20)).result(WAIT) <= 10
    assert 0 < queue.submit(Job(job, deadline=20, timeout=10)).result(WAIT) <= 10


@pytest.mark.parametrize("which", ["timeout", "deadline"])
def test_a_job_whose_time_is_up_is_asked_to_end(queue, which):
    """sleep() wakes at once, and nothing is left of its time."""
    seen = []
    done = threading.Event()

    def job():
        me = current_job()
        try:
            me.sleep(WAIT)
        except CancelledError:
            seen.append((me.cancelled, me.remaining(), me.attempt, me.name))
            done.set()

    before = time.monotonic()
    queue.submit(Job(job, name="sleeper", **{which: SHORT}))
    assert done.wait(WAIT)
    assert time.monotonic() - before < WAIT / 2
    assert seen == [(True, 0.0, 1, "sleeper")]


def test_a_job_is_called_by_its_name_or_its_functions(queue):
    """None for a plain call, of which only the function is known."""

    def job():
        return current_job().name, current_job().attempt

    assert queue.submit(Job(job, name="mine")).result(WAIT) == ("mine", 1)
    assert queue.submit(Job(job)).result(WAIT)[0].endswith("job")
    assert queue.submit(job).result(WAIT) == (None, 1)


@pytest.mark.parametrize("planned", [False, True])
@pytest.mark.parametrize("asks", ["cancel", "stop_now"])
def test_a_job_that_sleeps_wakes_when_it_is_asked_to_end(queue, gate, asks, planned):
    """cancel() of a running job is a request, and returns False."""
    entered = threading.Event()

    def job():
        entered.set()
        current_job().sleep(WAIT)

    future = queue.submit(Job(job) if planned else job)
    assert entered.wait(WAIT)
    if asks == "cancel":
        assert future.cancel() is False
        assert not future.cancelled()
    else:
        queue.stop_now()
    assert isinstance(future.exception(WAIT / 2), CancelledError)
    assert not future.cancelled()


def test_no_request_is_missed_between_a_look_and_the_sleep(run_in_threads):
    """A thousand jobs that fall asleep at the moment at which they are asked to end."""
    with WorkerQueue(4, 64) as queue:

        def job(started):
            started.set()
            current_job().sleep(WAIT)

        for _ in range(250):
            events = [threading.Event() for _ in range(4)]
            futures = [queue.submit(job, event) for event in events]
            for event, future in zip(events, futures):
                event.wait(WAIT)
                future.cancel()
            for future in futures:
                assert isinstance(future.exception(WAIT / 2), CancelledError)


def test_sleep_sleeps_and_is_for_the_jobs_own_thread(queue):
    """Not for a helper's, nor for a callback afterwards."""
    kept = []

    def job():
        before = time.monotonic()
        current_job().sleep(SHORT)
        kept.append(current_job())
        helper = []

        def sleep():
            try:
                kept[0].sleep(WAIT)
            except RuntimeError as error:
                helper.append(str(error))

        thread = threading.Thread(target=sleep)
        thread.start()
        thread.join()
        return time.monotonic() - before, helper

    slept, helper = queue.submit(job).result(WAIT)
    assert slept >= SHORT
    assert helper == ["a job sleeps on its own thread, and while it runs"]
    with pytest.raises(RuntimeError):
        kept[0].sleep(WAIT)
    in_callback = []
    queue.submit(int).add_done_callback(lambda future: in_callback.append(_error_of(kept[0].sleep, WAIT)))
    assert queue.wait(WAIT)
    assert isinstance(in_callback[0], RuntimeError)


def _error_of(fn, *args):
    try:
        return fn(*args)
    except Exception as error:
        return error


# ---- races --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "retry", [None, Retry(base=0, attempts=3), Retry(base=0.001, attempts=2)], ids=["no", "3", "2"]
)
@pytest.mark.parametrize(
    ("jobs", "limits"),
    [
        (800, {"timeout": 0.003}),
        (800, {"deadline": 0.02}),
        (800, {"timeout": 0.003, "deadline": 0.02}),
        pytest.param(6000, {"timeout": 0.003, "deadline": 0.05}, marks=pytest.mark.stress),
    ],
    ids=["timeout", "deadline", "both", "stress"],
)
def test_a_limit_and_the_end_of_an_attempt_at_the_same_moment(until, jobs, limits, retry):
    """Jobs that take about as long as they may: each ends once, and all counters add up."""
    ends = []
    with WorkerQueue(8, 64, max_late=8) as queue:

        def job(i):
            time.sleep(0.0026 + 0.0001 * (i % 8))
            if i % 5 == 0:
                raise OSError
            return i

        futures = []
        for i in range(jobs):
            future = queue.submit(Job(job, i, retry=retry, **limits))
            future.add_done_callback(ends.append)
            futures.append(future)
        assert queue.wait(WAIT)
        for i, future in enumerate(futures):
            error = future.exception(0)
            assert error is None or isinstance(error, (JobTimeout, OSError))
            assert error is not None or future.result() == i
        until(lambda: queue.stats().workers == 8)
    stats = queue.stats()
    assert len(ends) == len(set(ends)) == jobs
    assert (stats.queued, stats.in_flight, stats.late, stats.retrying) == (0, 0, 0, 0)
    assert stats.accepted == jobs
    assert stats.accepted == stats.succeeded + stats.failed + stats.cancelled + stats.dropped + stats.expired
    assert stats.succeeded == sum(future.exception() is None for future in futures)


def test_an_infinite_timeout_exempts_a_job_from_the_queues(gate):
    """
    None is the queue's.
    """
    with WorkerQueue(2, 8, timeout=0.05) as queue:
        exempt = queue.submit(Job(gate, 7, timeout=float("inf")))
        assert isinstance(queue.submit(Job(gate, timeout=None)).exception(WAIT), JobTimeout)
        assert not exempt.done()
        gate.open()
        assert exempt.result(WAIT) == 7
