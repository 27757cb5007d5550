"""Jobs with an order of their own where they meet the rest: stop, overflow, resize, late jobs, workers that leave."""

import contextvars
import sys
import threading
import time

import pytest

from ringpool import Job, JobTimeout, Lane, QueueFull, Retry, WorkerQueue, current_job

WAIT = 30


def full(overflow, gate):
    """A queue of one worker that waits at *gate*, with its one place taken."""
    queue = WorkerQueue(1, 1, overflow=overflow)
    queue.submit(gate)
    gate.wait_until_entered()
    queue.submit(int)
    return queue


def test_stop_now_cancels_what_waits_behind_a_key(gate):
    """
    The holder of the key runs; the next one has not started, and never does.
    """
    ran = []
    queue = WorkerQueue(2, 8)
    queue.submit(Job(gate, key="k"))
    gate.wait_until_entered()
    future = queue.submit(Job(ran.append, 1, key="k"))
    queue.stop_now()
    assert future.cancelled()
    gate.open()
    assert queue.stop().cancelled == 1
    assert not ran


@pytest.mark.parametrize("planned", [False, True])
def test_a_refusal_by_a_policy_leaves_the_references_right(gate, planned):
    """
    The job that was refused lives as long as somebody, here the traceback, refers to it.
    """
    queue = full("raise", gate)
    with pytest.raises(QueueFull) as caught:
        queue.submit(Job(int) if planned else int)
    frames = []
    for entry in caught.traceback:
        if "future" in entry.frame.f_locals:
            future = entry.frame.f_locals["future"]
            frames.append(entry.frame)
    assert sys.getrefcount(future) >= len(frames) + 2  # and ours, and that of this call
    gate.open()
    queue.stop()


def test_a_job_that_its_caller_runs_is_the_current_one_and_is_tried_again(gate):
    """
    The first attempt is the caller's, the second a worker's.
    """
    queue = full("caller_runs", gate)
    seen = []

    def job():
        seen.append((current_job().attempt, threading.get_ident() == me))
        if len(seen) == 1:
            raise ValueError
        return "done"

    me = threading.get_ident()
    future = queue.submit(Job(job, retry=Retry(attempts=2, base=0)))
    assert current_job() is None
    gate.open()
    assert future.result(WAIT) == "done"
    assert seen == [(1, True), (2, False)]
    queue.stop()


def test_a_job_that_its_caller_runs_leaves_the_callers_context_alone(gate):
    """
    What it sets is gone, and the caller's context can still be left.
    """
    variable = contextvars.ContextVar("variable", default=0)
    queue = full("caller_runs", gate)

    def submit():
        queue.submit(variable.set, 1).result(0)
        return variable.get()

    assert contextvars.Context().run(submit) == 0
    gate.open()
    queue.stop()


def test_reprioritise_finds_a_plain_job_of_a_queue_without_plans(gate):
    """
    It moves in front; one that has ended is not found.
    """
    order = []
    queue = WorkerQueue(1, 8)
    queue.submit(gate)
    gate.wait_until_entered()
    futures = [queue.submit(order.append, i) for i in range(3)]
    assert queue.reprioritise(futures[2], 1)
    futures[0].cancel()
    assert not queue.reprioritise(futures[0], 1)
    gate.open()
    queue.stop()
    assert order == [2, 1]


def test_resize_while_a_job_is_late_leaves_as_many_workers_as_it_says(gate):
    """
    The end of the late job takes back the worker in its place, and no other.
    """
    queue = WorkerQueue(1, 8)
    late = queue.submit(Job(gate, timeout=0.001))
    with pytest.raises(JobTimeout):
        late.result(WAIT)
    queue.resize(1)
    gate.open()
    queue.wait(WAIT)
    assert queue.submit(int).result(WAIT) == 0
    queue.stop()


def test_a_job_that_becomes_due_has_a_worker_though_others_have_left(gate):
    """
    The one that stays is busy; another is hired when the time has come.
    """
    queue = WorkerQueue(2, 8, min_workers=1, idle_timeout=0.001)
    due = queue.submit_later(1, int)
    queue.submit(gate)
    gate.wait_until_entered()
    queue.resize(2, 1)  # whoever sleeps looks at the limit anew
    while queue.stats().workers > 1 and not due.done():
        time.sleep(0.001)
    assert due.result(10) == 0
    gate.open()
    queue.stop()


def test_a_lane_that_reserves_nothing_needs_a_worker_that_is_left():
    """
    Its jobs would never run, and the queue never end.
    """
    lanes = {"kept": Lane(reserve=2), "rest": Lane()}
    with pytest.raises(ValueError, match="workers must be at least 3"):
        WorkerQueue(2, 8, lanes=lanes)
    with WorkerQueue(3, 8, lanes=lanes) as queue, pytest.raises(ValueError, match="workers must be at least 3"):
        queue.resize(2)
