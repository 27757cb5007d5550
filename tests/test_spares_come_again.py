"""What a spare has run and is to be tried again, where nobody else would come for it."""

import threading
from concurrent import futures

import pytest

from ringpool import Job, Retry, WorkerQueue, current_job

WAIT = 30


@pytest.mark.parametrize("dispatch", ["shared", "ready"])
@pytest.mark.parametrize("kind", [{}, {"min_workers": 1, "idle_timeout": 0.0}], ids=["fixed", "elastic"])
def test_what_a_spare_puts_back_is_run_after_a_stop(dispatch, kind, until):
    """
    Its back-off lasts longer than the spare, and the only worker had nothing left to do when the queue was closed: it
    left, and the job was pending for ever.
    """
    runs, go_on, fail = threading.Event(), threading.Event(), threading.Event()
    jobs = []

    def flaky():
        if current_job().attempt == 1:
            runs.set()
            assert fail.wait(WAIT)
            raise OSError
        return "done"

    def parent():
        jobs.append(queue.submit(Job(flaky, retry=Retry(attempts=2, base=0.02, jitter="none"))))
        with pytest.raises(TimeoutError):
            jobs[0].result(0.001)  # a spare runs it
        assert go_on.wait(WAIT)

    queue = WorkerQueue(1, 8, dispatch=dispatch, **kind)
    waits = queue.submit(parent)
    assert runs.wait(WAIT)
    queue.stop(0)
    go_on.set()
    waits.result(WAIT)
    (worker,) = [thread for thread in queue._threads if thread.name.endswith("_0")]
    until(lambda: not worker.is_alive() or queue.stats().idle)  # left, as it did, or has stayed
    fail.set()
    assert queue.stop(WAIT).complete
    assert jobs[0].result(0) == "done"


@pytest.mark.parametrize("dispatch", ["shared", "ready"])
def test_a_spare_that_cannot_be_started_is_tried_again(dispatch, monkeypatch):
    """
    By who saw that it was needed: the only worker waits for a job that has just become due, and nothing else would come
    by. The first of each round, which finds nothing yet and leaves, is started.
    """
    start, started, failed = threading.Thread.start, [], []

    def fail_after_the_first(thread):
        if thread.name.endswith("_spare"):
            if started and len(failed) < 3:
                failed.append(thread.name)
                raise RuntimeError("can't start new thread")
            started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_after_the_first)
    with WorkerQueue(1, 8, dispatch=dispatch) as queue:

        def parent():
            return queue.submit_later(0.02, int).result(WAIT / 2) == 0

        for _ in range(50):  # where the first is slow to leave, it does without another
            started.clear()
            assert queue.submit(parent).result(WAIT)
            if failed:
                break
    assert len(failed) == 3


def test_a_foreign_wait_for_which_no_spare_can_be_started_leaves_no_lock_taken(monkeypatch, caplog):
    """
    It raised where the standard library gives back the condition of what it waits for, and whoever was to end that job
    then waited for ever.
    """
    start = threading.Thread.start

    def fail(thread):
        if thread.name.endswith("_spare"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail)
    with WorkerQueue(1, 8) as queue:

        def parent():
            job = queue.submit_later(WAIT, int)
            return job, futures.wait([job], 0.01).done

        job, done = queue.submit(parent).result(WAIT)
        assert done == set()
        assert job.cancel()
    assert "no spare worker takes its place" in caplog.text
