"""What the report of a stop lists: futures that it has cancelled, those not started, running jobs that are late."""

import threading
import time

import pytest

from ringpool import Job, JobTimeout, Retry, WorkerQueue

WAIT = 30


def fail():
    raise OSError("down")


@pytest.fixture
def busy(gate):
    """One worker at the gate."""
    queue = WorkerQueue(1, 64)
    queue.first = queue.submit(gate)
    gate.wait_until_entered()
    yield queue
    gate.open()
    assert queue.stop(WAIT).complete


def plain(queue):
    return [queue.submit(int) for _ in range(3)]


def ordered(queue):
    """Plain jobs in the ring, then such as move all to the shelf: in a lane, behind a key, in a timer."""
    return [
        queue.submit(int),
        queue.submit(Job(int, priority=3)),
        *(queue.submit(Job(int, key="a")) for _ in range(3)),
        queue.submit_later(0.001, int),  # due before anybody looks, or not
        queue.submit(Job(int, delay=0.05)),
    ]


@pytest.mark.parametrize("submit", [plain, ordered])
def test_stop_lists_what_it_leaves_in_the_queue_and_that_is_run(busy, gate, submit):
    """
    Those that were cancelled are not left; and to list jobs neither loses nor ends one.
    """
    jobs = submit(busy)
    cancelled = submit(busy)
    for job in cancelled:
        assert job.cancel()
    for _ in range(2):
        report = busy.stop(0)
        assert set(report.not_started_futures) == set(jobs)
        assert len(report.not_started_futures) == report.not_started == len(jobs)
        assert report.cancelled_futures == ()
    gate.open()
    report = busy.stop(WAIT)
    assert [job.result(WAIT) for job in jobs] == [0] * len(jobs)
    assert (report.complete, report.not_started_futures) == (True, ())


@pytest.mark.parametrize("submit", [plain, ordered])
def test_stop_now_lists_what_it_has_cancelled_and_no_call_lists_it_again(busy, submit):
    """
    Not those that somebody else had cancelled, which are only counted.
    """
    jobs = submit(busy)
    others = submit(busy)
    for job in others:
        assert job.cancel()
    report = busy.stop_now()
    assert set(report.cancelled_futures) == set(jobs)
    assert (report.cancelled, report.not_started_futures) == (len(jobs) + len(others), ())
    report = busy.stop_now()
    assert (report.cancelled, report.cancelled_futures) == (len(jobs) + len(others), ())
    assert busy.stop(0).cancelled_futures == ()


def test_a_job_that_waits_to_be_tried_again_is_listed(until):
    queue = WorkerQueue(1, 8)
    job = queue.submit(Job(fail, retry=Retry(base=3600, cap=3600, jitter="none")))
    until(lambda: queue.stats().retrying)
    assert queue.stop(0).not_started_futures == (job,)
    assert queue.stop_now().cancelled_futures == (job,)
    assert queue.stop(WAIT).complete


def test_a_report_is_short_to_read(busy):
    """
    It may stand in a log; the futures do not.
    """
    plain(busy)
    assert "Future" not in repr(busy.stop_now()).partition("running=")[0]


def test_jobs_may_be_listed_while_workers_take_them(run_in_threads):
    """
    Each is run once, and none is touched that has died meanwhile, also without the GIL: only the queue holds them.
    """
    ran = []
    for _ in range(10):
        queue = WorkerQueue(3, 4096, keep_results=0)
        go_on = threading.Event()
        for _ in range(3):
            queue.submit(go_on.wait, WAIT)
        queue.submit_many(ran.append, range(2000))

        def look(_, queue=queue, go_on=go_on):
            most = 0
            while not (report := queue.stop(0)).complete:
                most = max(most, len(report.not_started_futures))
                go_on.set()
            return most

        assert max(run_in_threads(2, look)) >= 2000
        assert queue.stop(WAIT).complete
        assert sorted(ran) == list(range(2000))
        ran.clear()


# ---- late ------------------------------------------------------------------------------


def test_a_running_job_whose_future_has_ended_is_late(busy, gate):
    """
    In JobTimeout or by hand; until then it is not.
    """
    limited = WorkerQueue(1, 8)
    job = limited.submit(Job(gate, timeout=0.01))
    gate.wait_until_entered()
    assert isinstance(job.exception(WAIT), JobTimeout)
    assert [one.late for one in limited.running()] == [True]
    assert [one.late for one in limited.stop(0).running] == [True]
    assert [one.late for one in busy.running()] == [False]
    busy.first.set_result("by hand")
    assert [one.late for one in busy.running()] == [True]
    gate.open()
    assert limited.stop(WAIT).complete


def test_a_job_that_is_just_done_is_not_late():
    """
    Whoever sees it run sees it before its worker ends its future.
    """
    stop = threading.Event()
    with WorkerQueue(1, 8, keep_results=0) as queue:

        def produce():
            while not stop.is_set():
                queue.submit(int).result(WAIT)

        producer = threading.Thread(target=produce)
        producer.start()
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            assert not any(job.late for job in queue.running())
        stop.set()
        producer.join(WAIT)
