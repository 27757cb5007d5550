"""WorkerQueue.stats(): consistent in every snapshot, exact at rest for each way a job can end."""

import dataclasses
import sys
import threading

import pytest

from ringpool import QueueFull, QueueStopped, WorkerQueue

WAIT = 30
FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
COUNTERS = ("queued", "in_flight", "accepted", "succeeded", "failed", "cancelled", "rejected", "forgotten")


def check(stats, workers, capacity):
    """What must hold of one snapshot, whatever the others do."""
    assert stats.accepted == stats.queued + stats.in_flight + stats.succeeded + stats.failed + stats.cancelled, stats
    assert min(getattr(stats, name) for name in COUNTERS) >= 0, stats
    assert stats.capacity == capacity
    assert stats.in_flight <= workers, stats
    # a job between the ring and its start is still queued, and one for each worker can be
    assert stats.queued <= capacity + workers, stats
    assert stats.idle <= stats.workers <= workers, stats


def counts(queue):
    """The counters that are not zero."""
    stats = queue.stats()
    check(stats, workers=queue._max_workers, capacity=stats.capacity)
    return {name: getattr(stats, name) for name in COUNTERS if getattr(stats, name)}


def fail():
    raise ValueError


# ---- while all threads run -----------------------------------------------------


@pytest.mark.parametrize(("workers", "capacity"), [(2, 8), (4, 1), (1, 64)])
def test_every_snapshot_adds_up_while_all_threads_run(run_in_threads, workers, capacity):
    """
    Two producers submit, fail, cancel and are refused; two observers look as
    often as they can. What one observer sees never falls.
    """
    queue = WorkerQueue(workers, capacity)
    producing = threading.Semaphore(2)
    refused = [0, 0]

    def produce(i):
        for k in range(3000):
            try:
                future = queue.try_submit(int) if k % 5 == 0 else queue.submit(fail if k % 7 == 0 else int)
            except QueueFull:
                refused[i] += 1
                continue
            if k % 3 == 0:
                future.cancel()
        producing.acquire()

    def observe():
        last = queue.stats()
        while producing.acquire(blocking=False):
            producing.release()
            stats = queue.stats()
            check(stats, workers, capacity)
            for name in ("accepted", "succeeded", "failed", "cancelled", "rejected", "workers"):
                assert getattr(stats, name) >= getattr(last, name), f"{name} fell"
            last = stats

    run_in_threads(4, lambda i: produce(i) if i < 2 else observe())
    assert queue.stop(WAIT).complete
    stats = queue.stats()
    check(stats, workers, capacity)
    assert (stats.accepted, stats.rejected) == (6000 - sum(refused), sum(refused))
    assert (stats.queued, stats.in_flight, stats.workers, stats.idle) == (0, 0, 0, 0)


@pytest.mark.stress
def test_a_snapshot_is_of_one_moment(run_in_threads):
    """
    Not only must the sum be right, which it is when one part is what remains:
    no more can be queued than the queue holds, or run than there are workers.
    """
    queue = WorkerQueue(2, 8)
    ended = threading.Event()

    def body(i):
        if i < 2:
            for _ in range(150_000 if FREE_THREADED else 2000):
                queue.submit(int)
            ended.set()
        else:
            while not ended.is_set():
                check(queue.stats(), workers=2, capacity=8)

    run_in_threads(4, body)
    assert queue.stop(WAIT).complete


def test_a_jobs_end_is_counted_before_it_is_known(run_in_threads):
    """
    Whoever has the result finds it in the numbers: no test or monitor has to wait.
    """
    queue = WorkerQueue(2, 8)
    done = [0, 0]

    def body(i):
        for _ in range(2000):
            queue.submit(int).result(WAIT)
            done[i] += 1
            mine = done[i]
            assert queue.stats().succeeded >= mine

    run_in_threads(2, body)
    assert queue.stats().succeeded == sum(done) == 4000
    assert queue.stop(WAIT).complete


# ---- exact at rest --------------------------------------------------------------------


@pytest.fixture
def busy(gate):
    """One worker at the gate."""
    queue = WorkerQueue(1, 4)
    queue.submit(gate)
    gate.wait_until_entered()
    yield queue
    gate.open()
    assert queue.stop(WAIT).complete


def test_of_a_new_queue_all_is_zero():
    """
    And capacity is what was asked for.
    """
    queue = WorkerQueue(3, 7)
    assert (counts(queue), queue.stats().capacity, queue.stats().workers, queue.stats().idle) == ({}, 7, 0, 0)
    queue.stop(WAIT)


def test_running_and_queued_jobs(busy):
    """
    in_flight: started and not finished; queued: accepted and not started.
    """
    for _ in range(3):
        busy.submit(int)
    assert counts(busy) == {"accepted": 4, "in_flight": 1, "queued": 3}


def test_success_and_failure(busy, gate):
    """
    Whatever was raised is a failure, SystemExit too.
    """
    jobs = [busy.submit(job) for job in (int, fail, exit)]
    gate.open()
    for job in jobs:
        job.exception(WAIT)
    assert counts(busy) == {"accepted": 4, "succeeded": 2, "failed": 2}


def test_cancelled_before_the_start_counts_at_once(busy, gate):
    """
    And once, however often it is cancelled; a job that runs is not cancelled.
    """
    job = busy.submit(int)
    assert [job.cancel(), job.cancel()] == [True, True]
    assert counts(busy) == {"accepted": 2, "in_flight": 1, "cancelled": 1}
    gate.open()
    assert busy.wait(WAIT)
    assert counts(busy) == {"accepted": 2, "succeeded": 1, "cancelled": 1}


def test_refused_for_want_of_room(busy):
    """
    Each refusal once, by each way to submit; none of them is accepted.
    """
    for _ in range(4):
        busy.submit(int)
    for way in (
        lambda: busy.try_submit(int),
        lambda: busy.submit_within(0, int),
        lambda: busy.submit_within(1e-3, int),
    ):
        with pytest.raises(QueueFull):
            way()
    assert counts(busy) == {"accepted": 5, "in_flight": 1, "queued": 4, "rejected": 3}


def test_refused_after_a_stop(busy):
    """
    QueueStopped counts as QueueFull does; a wrong call does not count.
    """
    busy.stop(0)
    for way in (lambda: busy.submit(int), lambda: busy.try_submit(int), lambda: busy.submit_many(int, [1, 2])):
        with pytest.raises(QueueStopped):
            way()
    with pytest.raises(TypeError):
        busy.submit(None)
    assert counts(busy) == {"accepted": 1, "in_flight": 1, "rejected": 3}


def test_stop_now_counts_as_cancelled(busy, gate):
    """
    The report and the numbers say the same.
    """
    for _ in range(3):
        busy.submit(int)
    report = busy.stop_now()
    assert counts(busy) == {"accepted": 4, "in_flight": 1, "cancelled": 3}
    assert (report.done, report.cancelled, report.not_started, len(report.running)) == (0, 3, 0, 1)
    gate.open()
    report = busy.stop(WAIT)
    assert counts(busy) == {"accepted": 4, "succeeded": 1, "cancelled": 3}
    assert (report.done, report.cancelled, report.not_started, report.running) == (1, 3, 0, ())


def test_settled_by_hand_before_the_start(busy, gate):
    """
    Such a job never runs and counts as what it was settled to.
    """
    busy.submit(fail).set_result("by hand")
    busy.submit(int).set_exception(ValueError())
    assert counts(busy) == {"accepted": 3, "in_flight": 1, "succeeded": 1, "failed": 1}
    gate.open()
    assert busy.wait(WAIT)
    assert counts(busy) == {"accepted": 3, "succeeded": 2, "failed": 1}


def test_settled_by_hand_while_it_runs(busy, gate):
    """
    It still runs until it returns, and counts once.
    """
    job = busy.submit(gate)
    gate.open()
    job.result(WAIT)
    in_job, go_on = threading.Event(), threading.Event()
    job = busy.submit(lambda: (in_job.set(), go_on.wait(WAIT)))
    assert in_job.wait(WAIT)
    job.set_exception(ValueError())
    assert counts(busy) == {"accepted": 3, "succeeded": 2, "in_flight": 1}
    go_on.set()
    assert busy.wait(WAIT)
    stats = busy.stats()
    assert (stats.accepted, stats.succeeded + stats.failed, stats.in_flight) == (3, 3, 0)


def test_a_job_run_in_place_by_one_that_waits_for_it():
    """
    Both are in flight, on one worker; each counts once.
    """
    with WorkerQueue(1, 4) as queue:
        seen = []

        def outer():
            return queue.submit(lambda: seen.append(queue.stats().in_flight)).result(WAIT)

        queue.submit(outer).result(WAIT)
        assert queue.wait(WAIT)
        assert seen == [2]
        assert counts(queue) == {"accepted": 2, "succeeded": 2}


def test_forgotten_results():
    """
    Beyond keep_results, and only while nobody reads.
    """
    queue = WorkerQueue(1, 4, keep_results=2)
    for _ in range(5):
        queue.submit(int)
    queue.stop(WAIT)
    assert counts(queue) == {"accepted": 5, "succeeded": 5, "forgotten": 3}


def test_workers_and_idle(gate):
    """
    Threads that live, and those of them that sleep.
    """
    queue = WorkerQueue(3, 8)
    jobs = [queue.submit(gate) for _ in range(2)]
    gate.wait_until_entered(2)
    assert (queue.stats().workers, queue.stats().idle) == (2, 0)
    gate.open()
    for job in jobs:
        job.result(WAIT)
    assert queue.wait(WAIT)
    assert queue.stats().workers == 2
    queue.stop(WAIT)
    assert (queue.stats().workers, queue.stats().idle) == (0, 0)


def test_a_snapshot_does_not_change():
    """
    It may be kept and compared.
    """
    with WorkerQueue(1, 4) as queue:
        before = queue.stats()
        queue.submit(int).result(WAIT)
        assert before.accepted == 0
        assert before != queue.stats()
        with pytest.raises(dataclasses.FrozenInstanceError):
            before.accepted = 1
