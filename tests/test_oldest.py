"""stats(): how many jobs wait at each level, and how long the oldest does, also of plain calls, which note no time."""

import time

import pytest

from ringpool import Job, WorkerQueue

WAIT = 30
APART = 0.03  # seconds by which one moment must lie before another to be told from it


@pytest.fixture
def gates(gate):
    """One gate after another; all are opened at the end."""
    made = [gate]

    def another():
        made.append(type(gate)())
        return made[-1]

    yield another
    for one in made:
        one.open()


@pytest.fixture
def busy(gate):
    """One worker at the gate, for a while; of the clock's moments that matter, the first lies behind that while."""
    queue = WorkerQueue(1, 256, sample=0)
    queue.submit(gate)
    gate.wait_until_entered()
    pass_by()
    yield queue
    gate.open()
    assert queue.stop(WAIT).complete


def pass_by():
    until = time.monotonic() + APART
    while time.monotonic() < until:
        pass


def check_oldest(queue, put_between):
    """What stats() says is at least how long the job has waited, and no more than since the first of two moments."""
    earliest, latest = put_between
    before = time.monotonic()
    oldest = queue.stats().oldest
    assert before - latest <= oldest <= time.monotonic() - earliest


# ---- levels ----------------------------------------------------------------------------


def test_plain_calls_are_of_level_0_and_cancelled_ones_are_not_counted(busy):
    assert (busy.stats().levels, busy.stats().oldest) == ({}, None)
    jobs = [busy.submit(int) for _ in range(3)]
    assert busy.stats().levels == {0: 3}
    jobs[1].cancel()
    stats = busy.stats()
    assert (stats.levels, stats.queued) == ({0: 2}, 2)
    for job in jobs:
        job.cancel()
    assert (busy.stats().levels, busy.stats().oldest) == ({}, None)


def test_plain_calls_are_counted_once_when_other_jobs_have_a_level(busy):
    for _ in range(3):
        busy.submit(int)
    busy.submit(Job(int, priority=2))
    busy.submit(int)
    stats = busy.stats()
    assert (stats.levels, stats.queued) == ({0: 4, 2: 1}, 5)


def test_a_job_behind_a_key_waits_too(gate):
    with WorkerQueue(1, 8) as queue:
        queue.submit(Job(gate, key="a"))
        gate.wait_until_entered()
        before = time.monotonic()
        queue.submit(Job(int, key="a"))
        check_oldest(queue, (before, time.monotonic()))
        gate.open()


# ---- how long a plain call has waited at the most ------------------------------------------


def test_it_was_put_after_the_last_look_at_which_it_was_not_there(busy):
    """
    The worker has not slept since before that, nor has any job been sampled.
    """
    look = time.monotonic()
    assert busy.stats().oldest is None
    busy.submit(int)
    put_between = look, time.monotonic()
    check_oldest(busy, put_between)
    pass_by()
    for _ in range(200):  # more looks than are kept, each with a job more
        busy.submit(int)
        check_oldest(busy, put_between)


def test_the_next_one_was_put_between_two_looks(busy, gate, gates):
    """
    As the first has left, the second is the oldest.
    """
    later = gates()
    busy.submit(later)
    pass_by()
    look = time.monotonic()
    busy.stats()
    busy.submit(int)
    put_between = look, time.monotonic()
    busy.stats()
    gate.open()
    later.wait_until_entered()
    check_oldest(busy, put_between)
    later.open()


def test_it_was_put_after_a_worker_slept(gate):
    """
    Nobody has looked before.
    """
    with WorkerQueue(1, 8, sample=0) as queue:
        queue.submit(int).result(WAIT)
        pass_by()  # it falls asleep
        before = time.monotonic()
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(int)
        check_oldest(queue, (before, time.monotonic()))
        gate.open()


def test_it_was_put_after_the_last_sampled_job_that_a_worker_took(gate, gates):
    """
    Nobody has looked before, and the worker has not slept.
    """
    later = gates()
    with WorkerQueue(1, 8, sample=1) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        pass_by()
        before = time.monotonic()
        queue.submit(later)
        queue.submit(int)
        put_between = before, time.monotonic()
        gate.open()
        later.wait_until_entered()
        check_oldest(queue, put_between)
        later.open()
