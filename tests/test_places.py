"""A job that has ended while it was queued gives its place back when somebody needs it."""

import time

import pytest

from ringpool import Job, Retry, WorkerQueue

WAIT = 30


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


@pytest.mark.parametrize("end", ["result", "cancel"])
def test_a_job_may_submit_any_number_of_jobs_that_have_ended_before_the_next(dispatch, end):
    """
    What a worker runs in place of a wait, or cancels, leaves nothing that fills its own queue.
    """
    with WorkerQueue(1, 4, dispatch=dispatch) as queue:

        def job():
            for n in range(50):
                getattr(queue.submit(int, n), end)()

        assert queue.submit(job).exception(WAIT) is None
    stats = queue.stats()
    assert stats.accepted == 51 == stats.succeeded + stats.cancelled
    assert queue.stats().queued == 0


def test_jobs_may_wait_for_one_another_deeper_than_the_queue_is_long():
    """
    Each runs the next in place, whose place is free from then on.
    """
    with WorkerQueue(1, 4) as queue:

        def deep(n):
            return 1 + queue.submit(deep, n - 1).result() if n else 0

        assert queue.submit(deep, 30).result(WAIT) == 30


def test_the_place_of_a_cancelled_job_is_free_for_others(dispatch, gate):
    """
    Though the worker that would clear it away is busy: one that was not due, one in its lane, one behind its key.
    """
    with WorkerQueue(1, 3, dispatch=dispatch) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        for _ in range(10):
            jobs = [queue.submit_later(WAIT, int), queue.submit(Job(int, key="k")), queue.submit(Job(int, key="k"))]
            assert [job.cancel() for job in jobs] == [True, True, True]
            for job in [queue.try_submit(int) for _ in range(3)]:
                job.cancel()
        gate.open()
    stats = queue.stats()
    assert (stats.accepted, stats.succeeded, stats.cancelled, stats.queued) == (61, 1, 60, 0)


def seconds_to_end(n, end):
    with WorkerQueue(1, n) as queue:
        jobs = [queue.submit(Job(int, delay=1000 + i, deadline=5000)) for i in range(n)]
        began = time.monotonic()
        if end == "stop_now":
            queue.stop_now()
        else:
            for job in reversed(jobs):
                job.cancel()
        return time.monotonic() - began


@pytest.mark.parametrize("end", ["stop_now", "cancel"])
def test_to_end_many_delayed_jobs_takes_as_long_for_each_as_for_few(end):
    """
    None looks through all the others: ten times as many would take a hundred times as long.
    """
    few = min(seconds_to_end(1_000, end) for _ in range(3))
    assert min(seconds_to_end(10_000, end) for _ in range(3)) < 50 * few


def test_a_job_that_is_tried_again_at_once_goes_behind_those_that_wait(dispatch):
    """
    Or one that fails for ever would keep the others waiting for ever.
    """

    def fail():
        raise OSError("again")

    with WorkerQueue(1, 8, dispatch=dispatch) as queue:
        hopeless = queue.submit(Job(fail, retry=Retry(attempts=None, base=0.0)))
        assert queue.submit(int, "7").result(WAIT) == 7
        hopeless.cancel()
