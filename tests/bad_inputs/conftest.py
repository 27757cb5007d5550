"""How a row of these tables is tried: on something live, which must be as it was afterwards."""

import dataclasses
import threading
import time

import pytest

from ringpool import WorkerQueue

WAIT = 30  # seconds after which a wait in a test has failed
LIMIT = 0.1  # seconds in which a call must have been refused
TRIES = 10  # a neighbour may take the processor away; what waits or computes for so long does it each time


@pytest.fixture
def refused(measured, gate):
    """A call on a live pool raises what it should, naming what it should, at once and without a trace."""

    def check(pool, row):
        call, error, words = row
        assert pool.submit(int, "7").result(WAIT) == 7
        before = trace(pool)
        message = measured(lambda: call(pool), error)
        assert words in message, message
        assert trace(pool) == before
        runs_jobs(pool, gate)

    return check


@pytest.fixture
def measured():
    """Call what is to raise; the message of that, if the best of a few tries took no longer than it may."""

    def check(call, error):
        for last in reversed(range(TRIES)):
            began = time.perf_counter()
            message = message_of(call, error)
            if time.perf_counter() - began < LIMIT:
                return message
            assert last, f"took {time.perf_counter() - began:.3f} s"

    return check


def message_of(call, error):
    # The error, and with it what its frames hold, is gone when this returns.
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)


TIMES_OF_WORKERS = ("alive", "slept", "idle", "wakes", "oldest")


def trace(pool):
    """All that must not change: counters and threads."""
    threads = {thread.name for thread in threading.enumerate()}
    if not isinstance(pool, WorkerQueue):
        return threads, pool._work_queue.qsize(), pool._shutdown, pool._max_workers
    assert pool.wait(WAIT)
    stats = dataclasses.asdict(pool.stats())
    return threads, pool.name, [(name, value) for name, value in stats.items() if name not in TIMES_OF_WORKERS]


def runs_jobs(pool, gate):
    """It takes as many jobs as it ever did, and runs them."""
    workers = pool._max_workers
    running = [pool.submit(gate, "done") for _ in range(workers)]
    gate.wait_until_entered(workers)
    jobs = [pool.submit(int, "7")]
    if isinstance(pool, WorkerQueue):
        jobs += [pool.try_submit(int, "7") for _ in range(pool.capacity - 1)]
        assert pool.stats().queued == pool.capacity
    gate.open()
    assert [job.result(WAIT) for job in jobs] == [7] * len(jobs)
    assert [job.result(WAIT) for job in running] == ["done"] * workers


@pytest.fixture(autouse=True)
def no_thread_left():
    """A test must end every thread that it has started; without the collection, which took most of its time."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT)
        assert not thread.is_alive(), f"left behind: {thread}"


@pytest.fixture(params=["shared", "ready"])
def queue(request):
    """A live one, of either way of dispatch."""
    with WorkerQueue(2, 8, dispatch=request.param) as queue:
        yield queue


@pytest.fixture
def plain():
    """A live one, for what has nothing to do with its dispatch."""
    with WorkerQueue(2, 8) as queue:
        yield queue
