"""
The ledger: many jobs through one queue, each of them accounted for exactly once.

RINGPOOL_LEDGER_JOBS sets the number of jobs; 10_000_000 is what a release runs.
"""

import faulthandler
import os
import random
import threading

import pytest

from ringpool import WorkerQueue

JOBS = int(os.environ.get("RINGPOOL_LEDGER_JOBS", "200_000"))
LIMIT = max(60, JOBS // 10_000)  # seconds: a tenth of the slowest rate that was measured
PRODUCERS = 4
WORKERS = 8
CAPACITY = 1024


class Ledger:
    """
    A tally for each thread that marks, one byte for each job, added up at the end.

    No thread writes what another writes, so a job that ran twice, even at the
    same moment in two threads, shows as a 2.
    """

    def __init__(self, jobs):
        self._jobs = jobs
        self._mine = threading.local()
        self._pages = []

    def mark(self, job):
        try:
            page = self._mine.page
        except AttributeError:
            page = self._mine.page = bytearray(self._jobs)
            self._pages.append(page)
        page[job] += 1

    def total(self):
        """One byte for each job: how often it was marked, by all threads together."""
        total = sum(int.from_bytes(page, "little") for page in self._pages)
        return total.to_bytes(self._jobs, "little")


def assert_each_once(ledger, jobs):
    total = ledger.total()
    assert total == b"\1" * jobs, f"{total.count(0)} lost, {jobs - total.count(0) - total.count(1)} more than once"


@pytest.fixture(autouse=True)
def time_for_many_jobs():
    """The suite's limit is for 200 000 jobs; more jobs get more time, and still a dump in the end."""
    if LIMIT > 60:
        faulthandler.cancel_dump_traceback_later()
        faulthandler.dump_traceback_later(LIMIT, exit=True)
    yield
    if LIMIT > 60:
        faulthandler.cancel_dump_traceback_later()


def in_producers(produce):
    """``produce(i, jobs)`` in each producer's thread, with its share of all jobs."""
    errors = []
    barrier = threading.Barrier(PRODUCERS)

    def body(i):
        try:
            barrier.wait(LIMIT)
            produce(i, range(i, JOBS, PRODUCERS))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(i,)) for i in range(PRODUCERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a producer hangs"
    assert not errors, errors


@pytest.mark.stress
def test_every_accepted_job_runs_exactly_once():
    """
    None lost, none twice, through a ring that goes round some hundred or many thousand times.
    """
    ran = Ledger(JOBS)
    queue = WorkerQueue(WORKERS, CAPACITY, keep_results=0)

    def produce(_, jobs):
        submit, mark = queue.submit, ran.mark
        for job in jobs:
            submit(mark, job)

    in_producers(produce)
    report = queue.stop(LIMIT)

    assert (report.complete, report.done, report.cancelled) == (True, JOBS, 0)
    assert_each_once(ran, JOBS)
    stats = queue.stats()
    assert (stats.accepted, stats.succeeded, stats.queued, stats.in_flight) == (JOBS, JOBS, 0, 0)


@pytest.mark.stress
def test_every_accepted_job_either_runs_or_is_cancelled_and_once():
    """
    A fifth of the jobs is cancelled by its producer, at once or some jobs later:
    cancel() returned True for exactly those that never ran.
    """
    entries = Ledger(JOBS)
    cancelled = [0] * PRODUCERS
    queue = WorkerQueue(WORKERS, CAPACITY, keep_results=0)

    def produce(i, jobs):
        submit, mark, dice = queue.submit, entries.mark, random.Random(i)
        later = []
        for job in jobs:
            future = submit(mark, job)
            throw = dice.random()
            if throw < 0.1:
                later.append((job, future))
            elif throw < 0.2 and future.cancel():
                mark(job)
                cancelled[i] += 1
            if len(later) > 20:
                other, future = later.pop(dice.randrange(len(later)))
                if future.cancel():
                    mark(other)
                    cancelled[i] += 1

    in_producers(produce)
    report = queue.stop(LIMIT)

    assert report.complete
    assert (report.done, report.cancelled) == (JOBS - sum(cancelled), sum(cancelled))
    assert_each_once(entries, JOBS)
    stats = queue.stats()
    assert (stats.accepted, stats.succeeded, stats.cancelled) == (JOBS, report.done, report.cancelled)


@pytest.mark.stress
def test_every_accepted_job_comes_out_of_results_exactly_once():
    """
    The same through the second ring: two readers, who hold the producers back.
    """
    read = Ledger(JOBS)
    queue = WorkerQueue(WORKERS, CAPACITY)

    def job(number):
        return number

    def consume(results):
        for future in results:
            read.mark(future.result())

    readers = [threading.Thread(target=consume, args=(queue.results(),)) for _ in range(2)]
    for reader in readers:
        reader.start()

    def produce(_, jobs):
        submit = queue.submit
        for number in jobs:
            submit(job, number)

    in_producers(produce)
    report = queue.stop(LIMIT)
    for reader in readers:
        reader.join(LIMIT)
        assert not reader.is_alive(), "a reader hangs"

    assert (report.complete, report.done) == (True, JOBS)
    assert_each_once(read, JOBS)
