"""What a queue says of itself beyond its counters: times, utilisation, levels, running jobs, unread errors."""

import gc
import logging
import sys
import threading
import time

import pytest

from ringpool import Job, QueueFull, WorkerQueue

WAIT = 30
HAS_STACKS = getattr(sys, "_is_gil_enabled", lambda: True)()


def fail():
    raise OSError("lost")


def test_every_sampled_job_is_in_both_histograms():
    with WorkerQueue(2, 100, sample=1) as queue:
        for _ in range(50):
            queue.submit(int).result(WAIT)
    times = queue.times()
    assert (times.wait.count, times.run.count) == (50, 50)
    assert 0 < times.wait.percentile(50) <= times.wait.percentile(99) < WAIT


@pytest.mark.parametrize(("sample", "counted"), [(0, 0), (10, 5)])
def test_a_sample_is_every_so_manieth_of_a_thread(sample, counted, run_in_threads):
    queue = WorkerQueue(1, 100, sample=sample)

    def submit(_):  # a thread of its own, which has submitted nothing yet
        for _ in range(50):
            queue.submit(int)

    run_in_threads(1, submit)
    queue.stop()
    assert queue.times().run.count == counted


def test_jobs_with_a_plan_are_always_timed():
    with WorkerQueue(1, 100, sample=0) as queue:
        queue.submit(Job(int, priority=1)).result(WAIT)
    assert queue.times().run.count == 1


def test_the_time_that_a_job_runs_is_measured():
    with WorkerQueue(1, 8, sample=1) as queue:
        queue.submit(time.sleep, 0.05).result(WAIT)
    assert 0.05 <= queue.times().run.percentile(50) < WAIT


def test_utilisation_is_one_while_a_job_runs_and_falls_while_none_does(gate):
    with WorkerQueue(1, 8) as queue:
        assert queue.stats().utilisation() == 0.0
        future = queue.submit(gate)
        gate.wait_until_entered()
        busy = queue.stats()
        while queue.stats().alive < busy.alive + 0.02:
            pass
        assert queue.stats().utilisation(since=busy) > 0.99
        gate.open()
        future.result(WAIT)
        deadline = time.monotonic() + WAIT
        while not queue.stats().idle and time.monotonic() < deadline:
            pass
        idle = queue.stats()
        while queue.stats().alive < idle.alive + 0.02:
            pass
        assert queue.stats().utilisation(since=idle) < 0.01


def test_workers_that_run_a_job_are_busy(gate, until):
    with WorkerQueue(3, 8) as queue:
        assert queue.stats().busy == 0
        for _ in range(2):
            queue.submit(gate)
        gate.wait_until_entered(2)
        until(lambda: queue.stats().busy == 2)
        gate.open()
        queue.wait(WAIT)
        assert queue.stats().busy == 0


@pytest.mark.parametrize("plan", [{}, {"on_start": lambda future: None}], ids=["plain", "plans"])
def test_a_producer_that_sleeps_for_want_of_room_is_counted_once(gate, until, plan):
    with WorkerQueue(1, 1, **plan) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(int)
        with pytest.raises(QueueFull):
            queue.try_submit(int)
        with pytest.raises(QueueFull):
            queue.submit_within(0.01, int)
        assert (queue.stats().blocked, queue.stats().block_timed_out) == (1, 1)
        producer = threading.Thread(target=queue.submit_within, args=(WAIT, int))
        producer.start()
        until(lambda: queue.stats().blocked == 2)
        gate.open()
        producer.join(WAIT)
    assert (queue.stats().blocked, queue.stats().block_timed_out) == (2, 1)


def test_waiting_jobs_are_counted_by_level_and_the_oldest_has_its_age(gate):
    with WorkerQueue(1, 8) as queue:
        queue.submit(Job(gate))
        gate.wait_until_entered()
        assert (queue.stats().levels, queue.stats().oldest) == ({}, None)
        queue.submit(Job(int, priority=2))
        for _ in range(2):
            queue.submit(Job(int, priority=-1, key="a"))
        stats = queue.stats()
        assert stats.levels == {2: 1, -1: 2}
        assert 0 < stats.oldest < WAIT
        gate.open()


def test_running_jobs_are_listed_the_longest_first_with_their_stacks(gate):
    with WorkerQueue(2, 8, name="seen") as queue:
        first = queue.submit(gate)
        gate.wait_until_entered()
        begun = time.monotonic()
        while time.monotonic() < begun + 0.05:  # the clock of ages has steps of some milliseconds
            pass
        second = queue.submit(gate)
        gate.wait_until_entered()
        jobs = queue.running(stacks=True)
        gate.open()
    assert [job.future for job in jobs] == [first, second]
    assert jobs[0].age > jobs[1].age >= 0
    assert all(job.thread.startswith("seen_") for job in jobs)
    assert all("in __call__" in job.stack if HAS_STACKS else job.stack is None for job in jobs)
    assert queue.running() == ()


# ---- errors that nobody reads ------------------------------------------------------


def reported(caplog):
    gc.collect()
    return [record for record in caplog.records if record.name == "ringpool" and record.levelno == logging.ERROR]


def test_an_error_that_nobody_looked_at_is_logged_once(caplog):
    with WorkerQueue(1, 8, keep_results=0) as queue:
        queue.submit(fail)
    (record,) = reported(caplog)
    assert "OSError" in record.getMessage() and record.exc_info[1].args == ("lost",)


@pytest.mark.parametrize(
    "look",
    [
        lambda future: future.exception(WAIT),
        lambda future: pytest.raises(OSError, future.result, WAIT),
        lambda future: future._get_snapshot() if future.exception(WAIT) else None,
    ],
    ids=["exception()", "result()", "snapshot"],
)
def test_an_error_that_somebody_looked_at_is_not_logged(caplog, look):
    with WorkerQueue(1, 8, keep_results=0) as queue:
        look(queue.submit(fail))
    assert reported(caplog) == []


def test_the_report_can_be_switched_off(caplog):
    with WorkerQueue(1, 8, keep_results=0, report_unread=False) as queue:
        queue.submit(fail)
    assert reported(caplog) == []


def test_a_report_leaves_the_exception_of_the_moment_alone(caplog):
    with WorkerQueue(1, 8, keep_results=0) as queue:
        future = queue.submit(fail)
        queue.wait(WAIT)
        try:
            raise KeyError("mine")
        except KeyError as mine:
            del future
            assert len(reported(caplog)) == 1
            assert mine.__context__ is None and mine.args == ("mine",)


def test_an_error_in_a_cycle_does_not_crash_the_collector(caplog):
    """
    It may have taken the exception apart before the record dies, which must not be shown then; and without the GIL the
    cycle may outlive this collection.
    """
    queue = WorkerQueue(1, 8)
    done = threading.Event()

    def fail_with(kept):
        done.set()
        raise OSError(kept)

    queue.submit(fail_with, queue)  # its error refers to the queue that keeps the future
    assert done.wait(WAIT)
    queue.stop()
    del queue
    records = reported(caplog)
    assert len(records) <= 1
    assert all(record.getMessage() == "a job failed and nobody looked at its error: OSError" for record in records)


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2, 3, 4, 5)], ids=["none", "one", "many"])
def test_a_method_that_runs_is_what_its_job_refers_to(gate, arguments):
    """
    The interpreter writes its object where the arguments stand meanwhile: nobody who looks may take it for the job's.
    """

    class Owner:
        def method(self, *args):
            gate()

    owner = Owner()
    with WorkerQueue(1, 8) as queue:
        future = queue.submit(owner.method, *arguments)
        gate.wait_until_entered()
        (running,) = queue.running()
        referents = gc.get_referents(future)
        gate.open()
    assert running.name == Owner.method.__qualname__
    assert owner.method in referents
    assert owner not in referents
