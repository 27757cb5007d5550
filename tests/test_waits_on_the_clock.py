"""Callbacks of what a time limit has ended, on the thread that keeps the queue's time: what they may wait for."""

import threading

import pytest

from ringpool import DeadlockError, Job, Retry, WorkerQueue, current_worker

WAIT = 30


def on_the_clock(queue, gate, call):
    """What *call* returns or raises where a job's time limit calls back."""
    seen = []
    done = threading.Event()

    def callback(future):
        assert threading.current_thread().name.endswith("_clock")
        try:
            seen.append(call())
        except Exception as error:
            seen.append(error)
        done.set()

    late = queue.submit(Job(gate, timeout=0.05))
    gate.wait_until_entered()
    late.add_done_callback(callback)
    assert done.wait(WAIT), "the thread that keeps the time hangs"
    gate.open()
    return seen[0]


@pytest.mark.parametrize("dispatch", ["shared", "ready"])
def test_a_plain_job_that_is_waited_for_there_runs_on_a_worker(gate, dispatch):
    """
    As it was it ran in place, where no worker's state is.
    """
    with WorkerQueue(1, 8, dispatch=dispatch, worker_init=lambda: "state") as queue:

        def ask():
            return current_worker().state, threading.current_thread().name

        state, thread = on_the_clock(queue, gate, lambda: queue.submit(ask).result(WAIT))
        assert state == "state" and not thread.endswith("_clock")
        assert queue.submit_later(0.01, int, "7").result(WAIT) == 7  # time goes on


def test_so_do_the_items_of_a_map(gate):
    with WorkerQueue(1, 8, worker_init=lambda: "state") as queue:
        states = on_the_clock(queue, gate, lambda: list(queue.map(lambda _: current_worker().state, range(3))))
        assert states == ["state"] * 3


def test_a_wait_for_what_only_that_thread_makes_due_is_refused(gate):
    """
    It would wait for itself, and so would the end of the queue.
    """
    with WorkerQueue(1, 8) as queue:
        later = queue.submit_later(0.2, int, "7")
        error = on_the_clock(queue, gate, later.result)
        assert isinstance(error, DeadlockError) and "int is not due" in str(error)
        assert later.result(WAIT) == 7


def test_and_so_is_one_for_a_job_that_is_to_be_tried_again(gate, until):
    def fail():
        raise OSError

    with WorkerQueue(1, 8) as queue:
        again = queue.submit(Job(fail, retry=Retry(attempts=2, base=0.5, jitter="none")))
        until(lambda: queue.stats().retrying)
        error = on_the_clock(queue, gate, again.exception)
        assert isinstance(error, DeadlockError)
        assert isinstance(again.exception(WAIT), OSError)


def test_a_wait_with_a_limit_ends_by_it(gate):
    with WorkerQueue(1, 8) as queue:
        later = queue.submit_later(0.2, int, "7")
        assert isinstance(on_the_clock(queue, gate, lambda: later.result(0.01)), TimeoutError)
        assert later.result(WAIT) == 7
