"""
The ledger of the shelf: planned and plain jobs, threads that put, cancel, resize and look; each job counted once.

RINGPOOL_SHELF_JOBS sets the number of jobs.
"""

import os
import random
import threading
from concurrent.futures import CancelledError
from itertools import count

import pytest

from ringpool import Job, JobDropped, JobExpired, JobTimeout, Lane, QueueFull, Retry, WorkerQueue, current_job

JOBS = int(os.environ.get("RINGPOOL_SHELF_JOBS", "6_000"))
PRODUCERS = 4
WORKERS = 3
LIMIT = 40
LANES = {"main": Lane(weight=3), "narrow": Lane(max_workers=1), "kept": Lane(reserve=1)}


class Failure(Exception):
    """What a job of these tests raises."""


class Book:
    """What became of each job: how often it was called, and how often its future ended."""

    def __init__(self, jobs):
        self.calls = [count() for _ in range(jobs)]  # next() of it is one step, with or without a GIL
        self.ends = [count() for _ in range(jobs)]
        self.futures = [None] * jobs
        self.keys = {key: threading.Lock() for key in range(4)}
        self.wrong = []

    def run(self, number, failures, key):
        attempt = next(self.calls[number]) + 1
        if attempt != current_job().attempt:
            self.wrong.append(f"{number}: call {attempt} is attempt {current_job().attempt}")
        alone = key is None or self.keys[key].acquire(False)
        if not alone:
            self.wrong.append(f"{number}: another job of key {key} runs")
        try:
            if attempt <= failures:
                raise Failure(number)
            return number
        finally:
            if alone and key is not None:
                self.keys[key].release()

    def run_plain(self, number):
        next(self.calls[number])
        return number

    def keep(self, number, future):
        self.futures[number] = future
        future.add_done_callback(lambda _: next(self.ends[number]))


def submit(queue, book, number, dice):
    if dice.random() < 0.4:
        book.keep(number, queue.submit(book.run_plain, number))
        return
    key = dice.choice([None, None, *book.keys])
    failures = dice.choice([0, 0, 0, 1, 2])
    job = Job(
        book.run,
        number,
        failures,
        key,
        key=key,
        priority=dice.randrange(-3, 4),
        lane=dice.choice(list(LANES)),
        delay=dice.choice([0, 0, 0, 0.0005, 0.002]),
        expires_in=dice.choice([None, None, 0.001, 30]),
        timeout=dice.choice([None, None, 30]),
        retry=dice.choice([None, Retry(attempts=2, base=0), Retry(attempts=3, base=0)]),
    )
    book.keep(number, queue.submit(job))


def in_threads(bodies):
    errors = []

    def guarded(body):
        try:
            body()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a thread of the test hangs"
    assert not errors, errors


@pytest.mark.stress
@pytest.mark.parametrize("dispatch", ["shared", "ready"])
@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "return"])
def test_every_job_is_accounted_for_once(dispatch, overflow):
    """
    Whatever it was, whoever meddled with it: one end for each future, as many calls as attempts, and books that add up.
    """
    book = Book(JOBS)
    left = count()
    over = threading.Event()
    queue = WorkerQueue(
        WORKERS,
        64,
        lanes=LANES,
        dispatch=dispatch,
        overflow=overflow,
        min_workers=1,
        idle_timeout=0.001,
        keep_results=0,
    )

    def produce(i):
        dice = random.Random(i)
        try:
            for number in range(i, JOBS, PRODUCERS):
                try:
                    submit(queue, book, number, dice)
                except QueueFull:
                    assert overflow == "drop_oldest"  # and there was none in the lane
        finally:
            over_if_last()

    def over_if_last():
        if next(left) == PRODUCERS - 1:
            over.set()

    def meddle(seed, act):
        dice = random.Random(seed)
        while not over.wait(0.0005):
            act(dice)

    def cancel(dice):
        future = book.futures[dice.randrange(JOBS)]
        if future is not None and not future.cancel():
            queue.reprioritise(future, dice.randrange(-3, 4))

    def resize(dice):
        workers = dice.randrange(2, 2 * WORKERS)
        queue.resize(workers, dice.randrange(1, workers + 1))

    def look(_):
        stats = queue.stats()
        ended = stats.succeeded + stats.failed + stats.cancelled + stats.dropped + stats.expired
        assert stats.accepted == stats.queued + stats.in_flight + ended, stats
        assert stats.queued < 2**62 and stats.in_flight < 2**62, stats
        queue.running()

    in_threads(
        [
            *(lambda i=i: produce(i) for i in range(PRODUCERS)),
            lambda: meddle(10, cancel),
            lambda: meddle(11, resize),
            lambda: meddle(12, look),
        ]
    )
    report = queue.stop(LIMIT)

    assert report.complete, (report, queue.stats())
    assert not book.wrong, book.wrong[:5]
    found = dict.fromkeys(("succeeded", "failed", "cancelled", "dropped", "expired", "returned", "rejected"), 0)
    for number, future in enumerate(book.futures):
        calls = next(book.calls[number])
        if future is None:
            assert not calls
            found["rejected"] += 1
            continue
        assert next(book.ends[number]) == 1, f"{number} did not end exactly once"
        assert calls <= 3
        found[end_of(number, future, calls)] += 1
    stats = queue.stats()
    found["rejected"] += found["returned"]
    assert {name: getattr(stats, name) for name in found} == found
    assert stats.accepted + stats.rejected == JOBS
    assert (stats.queued, stats.in_flight, stats.delayed, stats.retrying) == (0, 0, 0, 0)
    assert all(lane.ready == lane.running == 0 for lane in stats.lanes.values()), stats.lanes


def end_of(number, future, calls):
    try:
        assert future.result(timeout=0) == number and calls >= 1
        return "succeeded"
    except CancelledError:
        return "cancelled"  # possibly between two attempts
    except JobDropped:
        assert calls < 3  # possibly between two attempts
        return "dropped"
    except JobExpired:
        assert not calls
        return "expired"
    except QueueFull:
        assert not calls
        return "returned"
    except (Failure, JobTimeout):
        assert calls
        return "failed"


@pytest.mark.stress
@pytest.mark.parametrize("dispatch", ["shared", "ready"])
def test_workers_that_leave_take_no_job_with_them(dispatch):
    """
    Two jobs that wait for each other need both workers, one of which leaves whenever nothing is queued.
    """
    with WorkerQueue(2, 8, dispatch=dispatch, min_workers=1, idle_timeout=0.0001, keep_results=0) as queue:
        for i in range(JOBS // 10):
            barrier = threading.Barrier(2)
            futures = [queue.submit(barrier.wait, LIMIT)]
            futures.append(queue.submit(Job(barrier.wait, LIMIT, delay=0.0005 if i % 2 else 0)))
            for future in futures:
                future.result(LIMIT)


@pytest.mark.parametrize("dispatch", ["shared", "ready"])
def test_one_job_that_ends_may_free_two(dispatch, gate):
    """
    Its key and its lane's place: the worker takes one of those that waited, and tells an idle one of the other.
    """
    meeting = threading.Barrier(2)
    with WorkerQueue(2, 8, lanes=LANES | {"kept": Lane()}, dispatch=dispatch) as queue:
        first = queue.submit(Job(gate, lane="narrow", key="k"))
        gate.wait_until_entered()
        queue.submit(int).result(LIMIT)  # so the other worker is there
        pair = [
            queue.submit(Job(meeting.wait, LIMIT, lane="narrow")),
            queue.submit(Job(meeting.wait, LIMIT, key="k")),
        ]
        gate.open()
        first.result(LIMIT)
        assert sorted(future.result(LIMIT) for future in pair) == [0, 1]
