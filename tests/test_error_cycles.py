"""An error that a job ends in is freed with its future: nothing waits for the cyclic collector."""

import gc
import threading
import time
import weakref

import pytest

from ringpool import Job, JobTimeout, Retry, ThreadPoolExecutor, WorkerQueue

WAIT = 30


class Marker:
    """What the call holds on to."""


def fail(marker):
    raise LookupError("of the job")


def fail_late(marker):
    go_on.wait(WAIT)
    raise LookupError("after its time")


def fail_all(markers):
    raise LookupError("of the batch")


go_on = threading.Event()


def plain(marker):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fail, marker)


def queued(marker):
    with WorkerQueue(1, 8) as queue:
        return queue.submit(fail, marker)


def planned(marker):
    with WorkerQueue(1, 8) as queue:
        return queue.submit(Job(fail, marker))


def keyed(marker):
    with WorkerQueue(1, 8) as queue:
        return queue.submit(Job(fail, marker, key="k", priority=3))


def ready(marker):
    with WorkerQueue(1, 8, dispatch="ready") as queue:
        return queue.submit(fail, marker)


def hooked(marker):
    with WorkerQueue(1, 8, on_done=lambda future: None, on_start=lambda future: None) as queue:
        return queue.submit(fail, marker)


def retried(marker):
    with WorkerQueue(1, 8, retry=Retry(attempts=3, base=0.0)) as queue:
        return queue.submit(fail, marker)


def given_up(marker):
    with WorkerQueue(1, 8) as queue:
        return queue.submit(Job(fail, marker, retry=Retry(attempts=3, on=ValueError)))


def broken_retry(marker):
    with WorkerQueue(1, 8) as queue:
        return queue.submit(Job(fail, marker, retry=Retry(attempts=3, on=lambda error: 1 / 0)))


def timed(marker):
    with WorkerQueue(1, 8) as queue:
        return queue.submit(Job(fail, marker, timeout=WAIT, deadline=WAIT))


def timed_out(marker):
    with WorkerQueue(1, 8, max_late=0) as queue:
        future = queue.submit(Job(fail_late, marker, timeout=0.02))
        assert isinstance(future.exception(WAIT), JobTimeout)
        go_on.set()
        return future


def out_of_time_between_attempts(marker):
    with WorkerQueue(1, 8) as queue:
        return queue.submit(Job(fail, marker, retry=Retry(attempts=9, base=0.05, jitter="none"), deadline=0.02))


def batched(marker):
    with WorkerQueue(1, 8) as queue:
        return queue.batch(fail_all, max_size=1, max_wait=0).submit(marker)


def grouped(marker):
    future = None
    with WorkerQueue(1, 8) as queue, pytest.raises(ExceptionGroup), queue.group() as group:
        future = group.submit(fail, marker)
    return future


WAYS = [
    plain, queued, planned, keyed, ready, hooked, retried, given_up, broken_retry, timed, timed_out,
    out_of_time_between_attempts, batched, grouped,
]  # fmt: skip


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_arguments_of_a_failed_job_go_with_its_future(no_collector, way):
    """
    While the future is there the error keeps its traceback, and with it the job's arguments. After it nothing does.
    """
    go_on.clear()
    marker = Marker()
    gone = weakref.ref(marker)
    future = way(marker)
    del marker
    error = future.exception(WAIT)
    assert isinstance(error, (LookupError, JobTimeout, ZeroDivisionError))
    del error, future
    until = time.monotonic() + WAIT
    while gone() is not None and time.monotonic() < until:
        time.sleep(0.001)  # a worker may be about to drop its own reference
    assert gone() is None


@pytest.mark.parametrize("way", [plain, planned, retried, hooked], ids=lambda way: way.__name__)
def test_an_error_that_nobody_reads_is_reported_at_once(no_collector, way, caplog):
    """
    With the error itself, when the last reference to the future goes.
    """
    way(Marker())
    until = time.monotonic() + WAIT
    while not caplog.records and way is not plain and time.monotonic() < until:
        time.sleep(0.001)
    if way is plain:  # the standard library's pool says nothing either
        assert not caplog.records
        return
    (record,) = caplog.records
    assert "LookupError" in record.getMessage()
    assert record.exc_info is not None and isinstance(record.exc_info[1], LookupError)
