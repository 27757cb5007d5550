"""Calls that come too late, from the wrong place, or on top of another; and inputs that fail half-way."""

import itertools
import threading

import pytest
from foul import Foul, Unspeakable, Wrong, raises_after

from ringpool import (
    Batcher,
    Block,
    Job,
    JobGroup,
    QueueFull,
    QueueStopped,
    ThreadPoolExecutor,
    WorkerQueue,
    current_job,
    current_worker,
    race,
)

WAIT = 30  # seconds after which a wait has failed


def stopped(stop, **options):
    queue = WorkerQueue(2, 8, **options)
    assert queue.submit(int, "7").result(WAIT) == 7
    getattr(queue, stop)()
    assert queue.wait(WAIT)
    return queue


# After a stop: the call, and what it raises. TypeError: what is wrong with it is said first.
LATE = {
    "submit": (lambda q: q.submit(int), QueueStopped, "takes no more jobs: it was stopped"),
    "submit a job": (lambda q: q.submit(Job(int, timeout=1)), QueueStopped, "takes no more jobs"),
    "submit nonsense": (lambda q: q.submit(5), TypeError, "fn must"),
    "try_submit": (lambda q: q.try_submit(int), QueueStopped, "takes no more jobs"),
    "submit_within": (lambda q: q.submit_within(WAIT, int), QueueStopped, "takes no more jobs"),
    "submit_within nonsense": (lambda q: q.submit_within("1", int), TypeError, "seconds must"),
    "submit_later": (lambda q: q.submit_later(1, int), QueueStopped, "takes no more jobs"),
    "submit_many": (lambda q: q.submit_many(int, "78"), QueueStopped, "takes no more jobs"),
    "submit_many of jobs": (lambda q: q.submit_many(Job(int), "78"), QueueStopped, "takes no more jobs"),
    "submit_many endless": (lambda q: q.submit_many(int, itertools.repeat("7")), QueueStopped, "takes no more jobs"),
    "map": (lambda q: q.map(int, "78"), QueueStopped, "takes no more jobs"),
    "map endless": (lambda q: q.map(int, itertools.repeat("7")), QueueStopped, "takes no more jobs"),
    "race": (lambda q: q.race(int, int), QueueStopped, "takes no more jobs"),
    "race nonsense": (lambda q: q.race(int, 5), TypeError, "calls must"),
    "batch": (lambda q: q.batch(list, 8, 1).submit(1), QueueStopped, "takes no more jobs"),
    "resize nonsense": (lambda q: q.resize(0), ValueError, "workers must"),
    "reprioritise nonsense": (lambda q: q.reprioritise(5, 1), TypeError, "future must"),
    "stop nonsense": (lambda q: q.stop("1"), TypeError, "timeout must"),
}  # fmt: skip


@pytest.mark.parametrize("stop", ["stop", "stop_now"])
@pytest.mark.parametrize("row", LATE.values(), ids=LATE)
def test_a_stopped_queue_refuses_and_accepts_nothing(stop, row, measured):
    """However often it is asked; no thread comes back, and what is counted adds up."""
    call, error, words = row
    queue = stopped(stop)
    threads = threading.active_count()
    assert words in measured(lambda: call(queue), error)
    stats = queue.stats()
    assert (stats.accepted, stats.succeeded, stats.queued, stats.in_flight, stats.workers) == (1, 1, 0, 0, 0)
    assert threading.active_count() == threads


def test_a_group_of_a_stopped_queue_is_left_without_a_job(measured):
    """Its submit says why, and its block has nothing to wait for."""
    queue = stopped("stop")
    with JobGroup(queue) as group:
        assert "takes no more jobs" in measured(lambda: group.submit(int), QueueStopped)
    assert list(group.results()) == []


def test_calls_that_are_no_submission_work_after_a_stop():
    """They say what there was."""
    queue = stopped("stop_now")
    assert queue.stop(0).complete and queue.stop_now().complete and queue.wait(0)
    queue.resize(3)
    assert (queue.running(), queue.stats().accepted) == ((), 1)
    assert [future.result(0) for future in queue.results()] == [7]


# ---- a full queue -----------------------------------------------------------------------------

ANSWERS = {
    "None": (None, TypeError, "overflow must"),
    "int": (3, TypeError, "overflow must"),
    "other": ("sometimes", ValueError, "overflow must"),
    "True": (True, TypeError, "overflow must"),
    "Block class": (Block, TypeError, "overflow must"),
    "queue class": (WorkerQueue, TypeError, "overflow must"),
    "function": (lambda queue, job: "raise", TypeError, "overflow function must"),
    "executor": (ThreadPoolExecutor, TypeError, "overflow must"),
    "unspeakable": (Unspeakable(), TypeError, "overflow must"),
    "foul": (Foul(), TypeError, "overflow must"),
    "itself": ("itself", ValueError, "another queue"),
    "raise": ("raise", QueueFull, "is full"),
    "stopped": ("stopped", QueueStopped, "takes no more jobs"),
}


@pytest.mark.parametrize("call", [lambda q: q.submit(int), lambda q: q.submit(Job(int, priority=1))], ids=["plain",
    "job"])
@pytest.mark.parametrize(("answer", "error", "words"), ANSWERS.values(), ids=ANSWERS)
def test_a_bad_answer_of_an_overflow_function_is_an_error_of_submit(call, answer, error, words, gate, measured):
    """What was queued before is run, and nothing else."""
    other = stopped("stop")

    def decide(queue, job):
        return {"itself": queue, "stopped": other}.get(answer, answer) if isinstance(answer, str) else answer

    with WorkerQueue(1, 2, overflow=decide) as queue:
        jobs = [queue.submit(gate, "done")]
        gate.wait_until_entered()
        jobs += [queue.submit(int, "7"), queue.submit(int, "7")]
        assert words in measured(lambda: call(queue), error)
        stats = queue.stats()
        assert (stats.accepted, stats.queued, stats.dropped, stats.spilled, stats.caller_ran) == (3, 2, 0, 0, 0)
        gate.open()
        assert [job.result(WAIT) for job in jobs] == ["done", 7, 7]
        assert queue.submit(int, "7").result(WAIT) == 7
    assert queue.stats().accepted == queue.stats().succeeded == 4


FULL = {
    "try_submit": lambda q: q.try_submit(int),
    "submit_within 0": lambda q: q.submit_within(0, int),
    "submit_within -1": lambda q: q.submit_within(-1, int),
    "a job": lambda q: q.try_submit(Job(int, delay=1, timeout=1, retry=None)),
    "run": lambda q: race(q, int),
}


@pytest.mark.parametrize("call", FULL.values(), ids=FULL)
def test_a_full_queue_refuses_who_does_not_wait(call, gate, measured):
    """And takes as many as before when there is room."""
    with WorkerQueue(1, 2, overflow="raise") as queue:
        running = queue.submit(gate, "done")
        gate.wait_until_entered()
        jobs = queue.submit_many(int, "77")
        assert "is full: 2 jobs queued" in measured(lambda: call(queue), QueueFull)
        assert (queue.stats().accepted, queue.stats().queued) == (3, 2)
        gate.open()
        assert (running.result(WAIT), [job.result(WAIT) for job in jobs]) == ("done", [7, 7])


# ---- half-way --------------------------------------------------------------------------------


@pytest.mark.parametrize("fn", [int, Job(int), Job(int, priority=1)], ids=["plain", "job", "level"])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_an_iterable_that_raises_takes_its_waiting_jobs_with_it(queue, gate, fn, n, adds_up, measured):
    """Those that have not started are cancelled, and the queue goes on."""
    running = [queue.submit(gate) for _ in range(2)]
    gate.wait_until_entered(2)
    measured(lambda: queue.submit_many(fn, raises_after(n)), Wrong)
    adds_up(queue.stats())
    gate.open()
    for job in running:
        job.result(WAIT)
    assert queue.wait(WAIT)
    stats = queue.stats()
    assert (stats.accepted, stats.succeeded, stats.queued) == (2 + stats.cancelled, 2, 0)
    assert stats.cancelled >= n
    assert queue.submit(int, "7").result(WAIT) == 7


@pytest.mark.parametrize("make", [lambda: WorkerQueue(2, 8), lambda: ThreadPoolExecutor(2)], ids=["queue", "pool"])
@pytest.mark.parametrize("n", [1, 5])
def test_a_map_whose_input_raises_is_refused_and_leaves_no_item(make, gate, n, measured):
    """At the call where it is read ahead, and then no item is run that has not started."""
    ran = []
    with make() as pool:
        running = [pool.submit(gate) for _ in range(2)]
        gate.wait_until_entered(2)
        measured(lambda: pool.map(ran.append, raises_after(n)), Wrong)
        gate.open()
        for job in running:
            job.result(WAIT)
    assert ran == []


def test_an_iterable_that_stops_its_queue_gets_the_refusal(queue):
    """Its jobs end, and the next item is refused."""

    def items():
        yield "7"
        queue.stop_now()
        yield "8"

    with pytest.raises(QueueStopped, match="takes no more jobs"):
        queue.submit_many(int, items())
    stats = queue.stats()
    assert queue.wait(WAIT) and stats.accepted == 1 and queue.stats().queued == 0


def test_an_iterable_that_submits_to_its_queue_is_served(queue):
    """Each call on top of another is one of its own."""
    jobs = queue.submit_many(int, (str(queue.submit(int, n).result(WAIT)) for n in "123"))
    assert [job.result(WAIT) for job in jobs] == [1, 2, 3]


def test_a_map_that_reads_itself_is_refused_in_time(queue):
    """By the iterator, and it goes on where it was."""
    results = []

    def items():
        yield "7"
        yield from results[:1] and [next(results[0])]

    results.append(queue.map(int, items(), buffersize=1))
    with pytest.raises(ValueError, match="already in use"):
        list(results[0])
    assert queue.submit(int, "7").result(WAIT) == 7


# ---- in the wrong place -------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [current_job, current_worker])
def test_outside_of_a_job_there_is_none(ask):
    """That is no error."""
    assert ask() is None


SLEEPS = {
    "None": (None, TypeError),
    "str": ("1", TypeError),
    "-1": (-1, ValueError),
    "nan": (float("nan"), ValueError),
    "unspeakable": (Unspeakable(), TypeError),
    "foul": (Foul(), Wrong),
}


@pytest.mark.parametrize(("seconds", "error"), SLEEPS.values(), ids=SLEEPS)
@pytest.mark.parametrize("job", [lambda fn: fn, lambda fn: Job(fn, timeout=WAIT)], ids=["plain", "planned"])
def test_a_bad_sleep_is_refused_in_the_job(queue, measured, seconds, error, job):
    """At once; the job goes on."""

    def sleep():
        return measured(lambda: current_job().sleep(seconds), error)

    message = queue.submit(job(sleep)).result(WAIT)
    assert error is Wrong or "seconds must" in message
    assert queue.stats().failed == 0


@pytest.mark.parametrize("seconds", [0, 1, float("inf")])
def test_a_job_sleeps_on_its_own_thread_only(queue, gate, run_in_threads, measured, seconds):
    """Whoever got hold of it is told so, also before he sleeps for long; and when the job has ended, nobody sleeps."""
    jobs = []
    future = queue.submit(lambda: (jobs.append(current_job()), gate()))
    gate.wait_until_entered()
    words = run_in_threads(1, lambda i: measured(lambda: jobs[0].sleep(seconds), RuntimeError))[0]
    assert "on its own thread" in words
    gate.open()
    future.result(WAIT)
    assert "on its own thread" in measured(lambda: jobs[0].sleep(seconds), RuntimeError)


def test_bad_calls_in_a_job_hurt_its_queue_no_more_than_others(queue):
    """The job sees the error, and may go on."""

    def job():
        for call, error in (
            (lambda: queue.submit(5), TypeError),
            (lambda: queue.stop("1"), TypeError),
            (lambda: queue.resize(0), ValueError),
            (lambda: queue.submit_many(int, 5), TypeError),
            (lambda: queue.race(), ValueError),
        ):
            with pytest.raises(error):
                call()
        return queue.stats().accepted

    assert queue.submit(job).result(WAIT) == 1
    assert queue.submit(int, "7").result(WAIT) == 7


def test_results_that_nobody_keeps_are_refused(plain):
    """Where that was asked for, and where the call comes too late."""
    with WorkerQueue(1, 8, keep_results=0) as queue, pytest.raises(RuntimeError, match="keep_results=0"):
        queue.results()
    with WorkerQueue(1, 8, keep_results=1) as queue:
        for job in queue.submit_many(int, "78"):
            job.result(WAIT)
        assert queue.wait(WAIT)
        with pytest.raises(RuntimeError, match="came too late: 1 finished"):
            queue.results()


def test_a_closed_batcher_refuses_and_its_queue_does_not(plain, refused):
    """Each of the two has its own end."""
    with Batcher(plain, list, 8, 1000) as batcher:
        pass
    refused(plain, (lambda queue: batcher.submit(1), QueueStopped, "it was closed"))
