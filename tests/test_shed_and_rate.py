"""Jobs that a queue sheds, and jobs that it starts only so often."""

import logging
import threading
import time
from contextlib import suppress

import pytest

from ringpool import CoDel, Job, JobDropped, JobExpired, QueueFull, QueueStopped, Retry, WorkerQueue
from ringpool.rate import limits, pyrate

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened


class Law:
    """In place of CoDel: drops what the test says, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def should_drop(self, wait_s, now_s, last=False):
        self.asked.append((wait_s, now_s, last))
        return self.answers.pop(0) if self.answers else False


# ---- shed --------------------------------------------------------------------------------


def test_what_the_law_drops_ends_in_job_dropped_and_is_not_run(gate):
    """And only that; the counters and on_drop know of it."""
    dropped, ran = [], []
    law = Law(False, True, False, True)
    queue = WorkerQueue(1, 8, shed=law, on_drop=dropped.append)
    jobs = [queue.submit(gate)]
    gate.wait_until_entered()
    jobs += [queue.submit(ran.append, 1), queue.submit(ran.append, 2), queue.submit(Job(ran.append, 3, name="third"))]
    gate.open()
    assert queue.stop(WAIT).complete
    assert ran == [2]
    assert isinstance(jobs[1].exception(0), JobDropped)
    with pytest.raises(JobDropped, match="third was shed: it had waited"):
        jobs[3].result(0)
    assert dropped == [jobs[1], jobs[3]]
    stats = queue.stats()
    assert (stats.shed, stats.dropped, stats.succeeded, stats.accepted) == (2, 2, 2, 4)


def test_the_law_is_told_how_long_a_job_has_waited_and_whether_it_is_the_last(gate):
    """The last has nobody behind it; a job that is not due yet does not wait."""
    law = Law()
    with WorkerQueue(1, 8, shed=law) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        before = time.monotonic()
        queue.submit(int)
        queue.submit(int)
        later = queue.submit_later(1000, int)
        waited = threading.Event().wait(MOMENT)
        assert not waited
        gate.open()
        while len(law.asked) < 3:
            threading.Event().wait(0.001)
        assert later.cancel()
    (first, _, first_last), (wait, now, last), (_, _, final) = law.asked
    assert (first_last, last, final) == (True, False, True)
    assert first < WAIT
    assert MOMENT <= wait <= time.monotonic() - before
    assert before <= now <= time.monotonic()


def test_a_job_that_has_run_before_is_not_shed():
    """Dropped means: before it started."""
    law = Law(False, True, True)
    tries = []

    def job():
        tries.append(1)
        if len(tries) < 3:
            raise OSError
        return "done"

    with WorkerQueue(1, 8, shed=law) as queue:
        assert queue.submit(Job(job, retry=Retry(base=0))).result(WAIT) == "done"
    assert len(law.asked) == 1


def test_a_cancelled_job_is_not_shed(gate):
    """It has ended already, and the law is not asked."""
    law = Law(False, True)
    with WorkerQueue(1, 8, shed=law) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        job = queue.submit(int)
        assert job.cancel()
        gate.open()
    assert len(law.asked) == 1
    assert (queue.stats().shed, queue.stats().cancelled) == (0, 1)


def test_a_law_that_raises_drops_nothing(caplog):
    """It is logged, and the job starts."""

    class Broken:
        def should_drop(self, *args):
            raise ZeroDivisionError

    with WorkerQueue(1, 8, shed=Broken()) as queue, caplog.at_level(logging.ERROR, "ringpool"):
        assert queue.submit(int, "7").result(WAIT) == 7
    assert "it starts" in caplog.text


def test_codel_sheds_a_queue_that_is_fed_faster_than_it_is_emptied():
    """Some of it, and the waits get shorter than they would be; each job ends once."""
    with WorkerQueue(1, 1000, shed=CoDel(target=0.001, interval=0.01)) as queue:
        jobs = [queue.submit(time.sleep, 0.001) for _ in range(400)]
    stats = queue.stats()
    dropped = sum(isinstance(job.exception(), JobDropped) for job in jobs)
    assert dropped == stats.shed == stats.dropped > 5
    assert stats.succeeded == 400 - dropped
    assert jobs[-1].exception() is None


def test_a_queue_that_keeps_up_is_not_shed():
    """However many jobs go through it."""
    with WorkerQueue(2, 64, shed=CoDel(target=5, interval=10)) as queue:
        for _ in range(300):
            assert queue.submit(int).result(WAIT) == 0
    assert queue.stats().shed == 0


# ---- rate_limit -----------------------------------------------------------------------------


class Bucket:
    """A rate limit whose test says when; keeps how often it was asked."""

    def __init__(self, seconds=0.01):
        self.allowed = 0
        self.seconds = seconds
        self.asked = 0
        self.lock = threading.Lock()
        self.refused = threading.Event()

    def __call__(self):
        with self.lock:
            self.asked += 1
            if self.allowed:
                self.allowed -= 1
                return None
        self.refused.set()
        return self.seconds


def test_no_job_starts_before_the_rate_limit_lets_it(until):
    """One for each that it lets go, in their order; the others stay queued and may be cancelled."""
    ran = []
    bucket = Bucket()
    with WorkerQueue(1, 8, rate_limit=bucket) as queue:
        jobs = [queue.submit(ran.append, i) for i in range(4)]
        assert bucket.refused.wait(WAIT)
        assert (ran, queue.stats().queued, queue.running()) == ([], 4, ())
        bucket.allowed = 1
        until(lambda: ran == [0])
        assert jobs[1].cancel()
        bucket.allowed = 2
        until(lambda: len(ran) == 3)
    assert sorted(ran) == [0, 2, 3]


def test_no_worker_waits_for_the_rate(until):
    """The queue is full of jobs that may not start, and its workers are idle."""
    bucket = Bucket(seconds=1000)
    queue = WorkerQueue(2, 4, rate_limit=bucket)
    for _ in range(4):
        queue.submit(int)
    until(lambda: queue.stats().idle == queue.stats().workers == 2)
    assert bucket.asked <= 2
    with pytest.raises(QueueFull):
        queue.try_submit(int)
    assert queue.stop_now().cancelled == 4
    assert queue.wait(WAIT)


def test_the_capacity_holds_while_jobs_are_held_back(until):
    """A job that a worker took and put back keeps its place meanwhile: no producer gets it."""
    bucket = Bucket(seconds=0.001)
    queue = WorkerQueue(4, 8, rate_limit=bucket)

    def produce():
        with suppress(QueueStopped):
            while True:
                queue.submit(int)

    producers = [threading.Thread(target=produce) for _ in range(3)]
    for producer in producers:
        producer.start()
    until(lambda: bucket.asked > 200)
    bucket.seconds = 1000
    until(lambda: queue.stats().idle == queue.stats().workers == 4)
    queued = queue.stats().queued
    queue.stop_now()
    for producer in producers:
        producer.join(WAIT)
    assert queue.wait(WAIT)
    assert queued == 8


def test_stop_drains_at_the_rate(until):
    """What is held back is run, as the limit allows."""
    bucket = Bucket()
    queue = WorkerQueue(2, 8, rate_limit=bucket)
    jobs = [queue.submit(int) for _ in range(3)]
    assert bucket.refused.wait(WAIT)
    assert queue.stop(0).not_started == 3
    bucket.allowed = 3
    assert queue.stop(WAIT).done == 3
    assert [job.result(0) for job in jobs] == [0, 0, 0]


def test_a_job_that_is_held_back_can_expire_and_miss_its_deadline():
    """In time, and the rate is not used up by it."""
    bucket = Bucket(seconds=1000)
    queue = WorkerQueue(1, 8, rate_limit=bucket)
    job = queue.submit(Job(int, expires_in=0.05))
    assert isinstance(job.exception(WAIT), JobExpired)
    queue.stop_now()
    assert queue.wait(WAIT)


def test_each_attempt_needs_leave():
    """A retry is a call of whatever is behind the limit as well."""
    bucket = Bucket()
    bucket.allowed = 3
    tries = []

    def job():
        tries.append(1)
        raise OSError

    with WorkerQueue(1, 8, rate_limit=bucket) as queue:
        job = queue.submit(Job(job, retry=Retry(base=0, attempts=3)))
        assert isinstance(job.exception(WAIT), OSError)
    assert (len(tries), bucket.asked, bucket.allowed) == (3, 3, 0)


@pytest.mark.parametrize("answer", [ZeroDivisionError, False, "soon", float("nan"), SystemExit], ids=str)
def test_a_rate_limit_that_is_broken_holds_nobody_up(answer, caplog):
    """It is logged, each time, and the job starts."""

    def broken():
        if isinstance(answer, type):
            raise answer
        return answer

    with WorkerQueue(1, 8, rate_limit=broken) as queue, caplog.at_level(logging.ERROR, "ringpool"):
        assert queue.submit(int, "7").result(WAIT) == 7
        assert queue.submit(int, "8").result(WAIT) == 8
    assert caplog.text.count("it starts") == 2


def starts_within(rate_limit, n):
    """Seconds from before the first to each start, which may be late where there is much else to do, never early."""
    began = time.monotonic()
    at = []
    with WorkerQueue(4, 64, rate_limit=rate_limit) as queue:
        for _ in range(n):
            queue.submit(lambda: at.append(time.monotonic()))
        assert queue.wait(WAIT)
    assert len(at) == n
    return [start - began for start in sorted(at)]


def test_the_limits_package_limits_the_rate():
    """Five in a second: the sixth starts in the second second."""
    package = pytest.importorskip("limits")
    limiter = package.strategies.MovingWindowRateLimiter(package.storage.MemoryStorage())
    at = starts_within(limits(limiter, package.parse("5/second")), 12)
    assert all(start > 0.9 * (i // 5) for i, start in enumerate(at))


def test_the_pyrate_limiter_package_limits_the_rate():
    """Four in 200 ms."""
    package = pytest.importorskip("pyrate_limiter")
    limiter = package.Limiter(package.Rate(4, 200))
    try:
        at = starts_within(pyrate(limiter), 12)
    finally:
        close = getattr(limiter, "close", None)
        if close:
            close()
    assert all(start > 0.15 * (i // 4) for i, start in enumerate(at))
