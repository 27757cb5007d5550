"""Faults around cancelling; the numbers are those of the fault catalogue."""

import queue
import time
from concurrent import futures
from concurrent.futures import CancelledError

import pytest

from ringpool import Future, ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed


def until(condition):
    """
    Poll what has no event to wait for.
    """
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


# ---- cancelled jobs and who waits for them ------------------------------------------


def finds_cancelled(read):
    def wait(future):
        with pytest.raises(CancelledError):
            read(future, WAIT)
        return [future]

    return wait


WAYS_TO_WAIT = {
    "wait": lambda future: list(futures.wait([future], WAIT).done),
    "as_completed": lambda future: list(futures.as_completed([future], WAIT)),
    "result": finds_cancelled(Future.result),
    "exception": finds_cancelled(Future.exception),
}


@pytest.mark.parametrize("way", WAYS_TO_WAIT)
def test_future_cancelled_in_the_queue_is_done_at_once(way, gate):
    """
    Fault 5: nobody waits until a worker gets to the cancelled job.
    """
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        queued = pool.submit(int)
        assert queued.cancel()

        assert WAYS_TO_WAIT[way](queued) == [queued]
        gate.open()


@pytest.mark.parametrize("way", WAYS_TO_WAIT)
def test_cancelling_in_the_queue_wakes_who_waits_already(way, gate):
    """
    Fault 5, the other way round: the waiter came first.
    """
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        pool.submit(gate)
        queued = pool.submit(int)
        waiter = others.submit(WAYS_TO_WAIT[way], queued)
        if way in ("wait", "as_completed"):
            until(lambda: queued._waiters)
        else:
            until(waiter.running)
        assert queued.cancel()

        assert waiter.result(WAIT) == [queued]
        gate.open()


@pytest.mark.parametrize("way", ["wait", "as_completed"])
def test_shutdown_that_cancels_ends_other_threads_waits(way, gate):
    """
    Fault 6: whoever waits for cancelled jobs in another thread must see them.
    """
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        running = pool.submit(gate)
        gate.wait_until_entered()
        jobs = [running] + [pool.submit(int) for _ in range(10)]
        wait = {"wait": lambda: futures.wait(jobs, WAIT).done, "as_completed": lambda: futures.as_completed(jobs, WAIT)}
        waiter = others.submit(lambda: set(wait[way]()))
        until(lambda: jobs[-1]._waiters)
        pool.shutdown(wait=False, cancel_futures=True)
        gate.open()

        assert waiter.result(WAIT) == set(jobs)
        assert [job.cancelled() for job in jobs] == [False] + 10 * [True]


# ---- cancelling ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "rounds", "jobs"),
    [(1, 200, 100), (4, 200, 100), pytest.param(4, 200, 1_000, marks=pytest.mark.stress)],
    ids=["1", "4", "many"],
)
def test_job_is_either_run_or_cancelled(workers, rounds, jobs):
    """
    Fault 15: exactly one of the two, however they race; the bytes are the ledger.
    """
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(rounds):
            runs = bytearray(jobs)
            queued = [pool.submit(runs.__setitem__, i, 1) for i in range(jobs)]
            cancelled = [future.cancel() for future in queued]
            assert futures.wait(queued, WAIT).not_done == set()
            assert cancelled == [future.cancelled() for future in queued]
            assert [bool(ran) for ran in runs] == [not c for c in cancelled]


def test_job_taken_out_while_it_is_cancelled_is_whole(gate, run_in_threads):
    """
    Fault 15, for those who drain the queue: cancel drops what the job holds, and
    they get all of it or nothing.
    """

    rounds, handed, taken = 20_000, [], []

    def act(i):
        for n in range(rounds):
            if i:
                while len(handed) <= n:
                    pass
                handed[n].cancel()
                continue
            handed.append(pool.submit(max, n, -1, -2, -3, -4, key=int))
            try:
                item = pool._work_queue.get_nowait()
            except queue.Empty:
                continue
            taken.append((item.fn, item.args, item.kwargs) == (max, (n, -1, -2, -3, -4), {"key": int}))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        gate.wait_until_entered()
        run_in_threads(2, act)
        gate.open()
    assert taken and all(taken)


def test_cancel_answers_the_same_whenever_it_is_asked(gate):
    """
    Fault 16: queued, cancelled, running and done each have one answer.
    """
    answers = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gate)
        gate.wait_until_entered()
        queued = pool.submit(int)
        queued.add_done_callback(lambda future: answers.append(future.cancel()))
        assert (queued.cancel(), queued.cancel(), answers) == (True, True, [True])
        assert (running.cancel(), running.cancelled()) == (False, False)
        running.add_done_callback(lambda future: answers.append(future.cancel()))
        gate.open()
        running.result(WAIT)
        pool.submit(int).result(WAIT)
        assert (running.cancel(), answers) == (False, [True, False])


def test_job_cannot_cancel_itself():
    """
    Fault 16: it runs, so the answer is no, and no deadlock.
    """
    handed = futures.Future()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: handed.result(WAIT).cancel())
        handed.set_result(future)

        assert future.result(WAIT) is False
