"""current_job(): which job the calling thread runs, and whether it was asked to stop."""

import gc
import threading
from concurrent.futures import CancelledError

import pytest

from ringpool import CurrentJob, WorkerQueue, current_job

WAIT = 30


@pytest.fixture
def queue():
    queue = WorkerQueue(2, 8)
    yield queue
    assert queue.stop(WAIT).complete


def test_outside_of_any_job_there_is_none(queue):
    """
    Not in the main thread, not in others, not after a job has run.
    """
    queue.submit(current_job).result(WAIT)
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(current_job()))
    thread.start()
    thread.join(WAIT)

    assert (current_job(), elsewhere) == (None, [None])


def test_in_a_job_it_is_the_jobs_own(queue):
    """
    The same future that submit returned, each time a job asks.
    """
    jobs = [queue.submit(lambda: (current_job().future, current_job().future)) for _ in range(20)]

    for job in jobs:
        assert job.result(WAIT) == (job, job)
        assert isinstance(queue.submit(current_job).result(WAIT), CurrentJob)


def test_each_of_two_jobs_that_run_at_once_sees_itself(queue):
    """
    It belongs to the thread.
    """
    meeting = threading.Barrier(2)

    def job():
        meeting.wait(WAIT)
        me = current_job().future
        meeting.wait(WAIT)
        return me

    jobs = [queue.submit(job), queue.submit(job)]
    assert [job.result(WAIT) for job in jobs] == jobs


def test_a_job_run_in_place_is_current_while_it_runs():
    """
    A job that waits for a queued one of its queue runs it: inner, then outer again.
    """
    with WorkerQueue(1, 4) as queue:

        def outer():
            inner = queue.submit(lambda: current_job().future)
            return current_job().future, inner, inner.result(WAIT), current_job().future

        job = queue.submit(outer)
        me, inner, in_inner, after = job.result(WAIT)
        assert (me, in_inner, after) == (job, inner, job)


def test_a_job_of_another_queue_is_another_job(queue):
    """
    Waiting for it does not make it the waiter's.
    """
    with WorkerQueue(1, 4) as other:

        def outer():
            inner = other.submit(lambda: current_job().future)
            return inner, inner.result(WAIT), current_job().future

        job = queue.submit(outer)
        inner, in_inner, after = job.result(WAIT)
        assert (in_inner, after) == (inner, job)


def test_in_a_done_callback_the_job_is_over(queue, gate):
    """
    Although the callback runs on the worker.
    """
    seen = []
    called = threading.Event()
    job = queue.submit(gate)
    job.add_done_callback(lambda future: (seen.append(current_job()), called.set()))
    gate.open()
    assert called.wait(WAIT)
    assert seen == [None]


def test_a_job_that_raised_is_over_too(queue):
    """
    What follows on its worker is not taken for it.
    """

    def fail():
        raise SystemExit(current_job().future)

    with WorkerQueue(1, 4) as one:
        job = one.submit(fail)
        assert job.exception(WAIT).code is job
        after = one.submit(lambda: current_job().future)
        assert after.result(WAIT) is after


# ---- asked to stop ---------------------------------------------------------------


class Asker:
    """A job that looks twice: before and after the test lets it go on."""

    def __init__(self):
        self.in_job = threading.Event()
        self.go_on = threading.Event()

    def __call__(self):
        before = current_job().cancelled
        self.in_job.set()
        assert self.go_on.wait(WAIT)
        return before, current_job().cancelled


@pytest.mark.parametrize(
    ("end", "asked"),
    [
        (lambda queue, other: None, False),
        (lambda queue, other: queue.stop(0), False),
        (lambda queue, other: queue.stop_now(), True),
        (lambda queue, other: (queue.stop(0), queue.stop_now()), True),
        (lambda queue, other: other.stop_now(), False),
        (lambda queue, other: queue.__exit__(ValueError, ValueError(), None), True),
    ],
    ids=["nothing", "stop", "stop_now", "stop, stop_now", "another queue's stop_now", "with block that raises"],
)
def test_only_its_own_queues_stop_now_asks_a_job_to_stop(end, asked):
    """
    A stop that drains lets jobs finish; so do other queues.
    """
    queue, other = WorkerQueue(1, 4), WorkerQueue(1, 4)
    asker = Asker()
    job = queue.submit(asker)
    assert asker.in_job.wait(WAIT)
    ender = threading.Thread(target=end, args=(queue, other))
    ender.start()
    ender.join(1)  # the block waits for the job
    asker.go_on.set()
    assert job.result(WAIT) == (False, asked)
    ender.join(WAIT)
    assert queue.stop(WAIT).complete
    assert other.stop(WAIT).complete


def test_check_raises_when_asked_to_stop_and_only_then():
    """
    The future then holds CancelledError as an error: the job did start.
    """
    asker = Asker()

    def job():
        current_job().check()
        asker()
        current_job().check()
        return "not reached"

    queue = WorkerQueue(1, 4)
    future = queue.submit(job)
    assert asker.in_job.wait(WAIT)
    queue.stop_now()
    asker.go_on.set()
    assert isinstance(future.exception(WAIT), CancelledError)
    assert future.cancelled() is False
    assert queue.stop(WAIT).complete
    assert (queue.stats().failed, queue.stats().cancelled) == (1, 0)


def test_a_helper_thread_of_the_job_can_look_too():
    """
    The object is the job's, whoever looks at it.
    """
    handed = []
    asker = Asker()

    def job():
        handed.append(current_job())
        return asker()

    queue = WorkerQueue(1, 4)
    future = queue.submit(job)
    assert asker.in_job.wait(WAIT)
    before = handed[0].cancelled
    queue.stop_now()
    after = handed[0].cancelled
    asker.go_on.set()

    assert (future.result(WAIT), before, after) == ((False, True), False, True)
    assert queue.stop(WAIT).complete


def test_another_queues_job_that_looks_sees_the_answer_of_the_first():
    """
    And not that of the queue it runs in.
    """
    handed = []
    first, second = WorkerQueue(1, 4), WorkerQueue(1, 4)
    asker = Asker()
    future = first.submit(lambda: (handed.append(current_job()), asker()))
    assert asker.in_job.wait(WAIT)
    inner = Asker()
    look = second.submit(lambda: (inner(), handed[0].cancelled))
    assert inner.in_job.wait(WAIT)
    second.stop_now()
    inner.go_on.set()
    seen = look.result(WAIT)
    asker.go_on.set()
    future.result(WAIT)

    assert seen == ((False, True), False)
    assert first.stop(WAIT).complete
    assert second.stop(WAIT).complete


def test_it_may_be_kept_after_its_queue_has_gone():
    """
    It answers, whatever it answers, and does not touch what is no longer there.
    """
    queue = WorkerQueue(1, 4, keep_results=0)
    kept = queue.submit(current_job).result(WAIT)
    assert queue.stop(WAIT).complete
    del queue
    gc.collect()

    assert kept.cancelled in (True, False)
    assert kept.future.done()
