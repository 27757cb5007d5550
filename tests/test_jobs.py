"""What a Job asks for, in short: each of its options, and each overflow policy, does what it says."""

import threading
import time

import pytest

from ringpool import Block, Job, JobDropped, JobExpired, JobTimeout, QueueFull, Retry, WorkerQueue, current_job

WAIT = 30


def test_a_job_is_tried_again_and_sees_which_attempt_it_is():
    seen = []

    def flaky():
        seen.append(current_job().attempt)
        if len(seen) < 3:
            raise OSError("not yet")
        return "done"

    with WorkerQueue(1, 8) as queue:
        assert queue.submit(Job(flaky, retry=Retry(attempts=5, base=0.0))).result(WAIT) == "done"
    assert seen == [1, 2, 3]
    assert queue.stats().retries == 2


def test_the_last_error_comes_out_with_those_before_it_as_notes():
    with WorkerQueue(1, 8) as queue:
        error = queue.submit(Job(int, "x", retry=Retry(attempts=3, base=0.0))).exception(WAIT)
    assert isinstance(error, ValueError) and len(error.__notes__) == 2


def test_no_worker_waits_for_the_next_attempt():
    failed = threading.Event()

    def fail_once():
        if not failed.is_set():
            failed.set()
            raise OSError

    with WorkerQueue(1, 8) as queue:
        job = queue.submit(Job(fail_once, retry=Retry(attempts=2, base=60, cap=60, jitter="none")))
        assert failed.wait(WAIT)
        assert queue.submit(int).result(WAIT) == 0  # by the only worker
        assert job.cancel()


def test_a_future_ends_in_time_although_its_function_does_not(gate):
    with WorkerQueue(1, 8) as queue:
        future = queue.submit(Job(gate, timeout=0.05))
        assert isinstance(future.exception(WAIT), JobTimeout)
        assert queue.submit(int).result(WAIT) == 0  # by a worker in place of the late one
        assert (queue.stats().late, queue.stats().timed_out) == (1, 1)
        gate.open()


def test_a_deadline_ends_a_job_that_waits(gate):
    with WorkerQueue(1, 8) as queue:
        queue.submit(gate)
        future = queue.submit(Job(int, deadline=0.05))
        assert isinstance(future.exception(WAIT), JobTimeout)
        gate.open()


def test_a_sleeping_job_hears_that_its_time_is_up_or_that_it_is_not_wanted():
    ended = threading.Semaphore(0)

    def sleep():
        try:
            current_job().sleep(WAIT)
        finally:
            ended.release()

    with WorkerQueue(1, 8) as queue:
        queue.submit(Job(sleep, timeout=0.05))
        assert ended.acquire(timeout=WAIT / 2)
        asked = queue.submit(sleep)
        while not asked.running():
            pass
        assert not asked.cancel()
        assert ended.acquire(timeout=WAIT / 2)


def test_a_job_that_did_not_start_in_time_never_runs(gate):
    ran = []
    with WorkerQueue(1, 8) as queue:
        queue.submit(gate)
        future = queue.submit(Job(ran.append, 1, expires_in=0.02))
        assert isinstance(future.exception(WAIT), JobExpired)
        gate.open()
    assert (ran, queue.stats().expired) == ([], 1)


def test_a_delayed_job_waits_for_its_time_and_is_drained():
    began = time.monotonic()
    with WorkerQueue(1, 8) as queue:
        future = queue.submit_later(0.5, time.monotonic)
        assert queue.stats().delayed == 1
    assert future.result(WAIT) - began >= 0.5


def test_stop_now_cancels_what_is_not_due():
    queue = WorkerQueue(1, 8)
    future = queue.submit_later(600, int)
    queue.stop_now()
    assert queue.wait(WAIT) and future.cancelled()


@pytest.mark.parametrize(
    ("policy", "ends"),
    [
        ("raise", [None, None, QueueFull, QueueFull]),
        ("return", [None, None, QueueFull, QueueFull]),
        ("caller_runs", [None, None, None, None]),
        ("drop_newest", [None, None, JobDropped, JobDropped]),
        ("drop_oldest", [JobDropped, JobDropped, None, None]),
        (Block(0.01), [None, None, QueueFull, QueueFull]),
        (lambda queue, job: "drop_newest", [None, None, JobDropped, JobDropped]),
    ],
)
def test_a_full_queue_does_what_its_policy_says(gate, policy, ends):
    queue = WorkerQueue(1, 2, overflow=policy)
    queue.submit(gate)
    gate.wait_until_entered()
    seen = []
    for _ in range(4):
        try:
            seen.append(queue.submit(int))
        except QueueFull as error:
            seen.append(error)
    gate.open()
    assert queue.stop(WAIT).complete
    errors = [one if isinstance(one, QueueFull) else one.exception(WAIT) for one in seen]
    assert [None if error is None else type(error) for error in errors] == ends
    stats = queue.stats()
    assert stats.accepted == stats.succeeded + stats.failed + stats.cancelled + stats.dropped + stats.expired
    assert stats.dropped == ends.count(JobDropped)


def test_what_finds_no_room_goes_to_the_second_queue(gate):
    with WorkerQueue(1, 8) as spill, WorkerQueue(1, 1, overflow=spill) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(int)
        assert queue.submit(int, "7").result(WAIT) == 7
        assert (queue.stats().spilled, spill.stats().accepted) == (1, 1)
        gate.open()


def test_a_rate_limit_holds_jobs_back():
    answers = iter([0.01, None, 0.01, None])
    with WorkerQueue(2, 8, rate_limit=lambda: next(answers)) as queue:
        assert [queue.submit(int).result(WAIT) for _ in range(2)] == [0, 0]
    assert list(answers) == []


def test_a_job_that_is_stuck_is_reported_once(gate, caplog):
    with WorkerQueue(1, 8, name="slow", stuck_after=0.05) as queue:
        queue.submit(gate)
        deadline = time.monotonic() + WAIT
        while not queue.stats().stuck and time.monotonic() < deadline:
            pass
        gate.open()
    (record,) = [record for record in caplog.records if record.name == "ringpool"]
    assert "slow" in record.getMessage() and "in __call__" in record.getMessage()
