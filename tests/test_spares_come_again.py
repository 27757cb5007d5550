"""What a spare has run and is to be tried again, where nobody else would come for it."""

import threading

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
