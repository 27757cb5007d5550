"""Faults that lose a wake-up; the numbers are those of the fault catalogue."""

import threading
from concurrent import futures

import pytest

from ringpool import ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed
SOON = 5  # the same, where a failure would otherwise add up to minutes


# ---- lost wake-ups ------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_no_wake_up_is_lost_between_put_and_going_idle(workers):
    """
    Fault 10: one job at a time, so that a worker is on its way to sleep each time.
    """
    with ThreadPoolExecutor(workers) as pool:
        assert sum(pool.submit(int, "1").result(SOON) for _ in range(20_000)) == 20_000


@pytest.mark.parametrize(("producers", "workers"), [(4, 1), (4, 4)])
def test_no_wake_up_is_lost_among_producers(producers, workers, run_in_threads):
    """
    Fault 10 with bursts: small enough for the workers to fall asleep in between.
    """

    def produce(i):
        return sum(sum(pool.map(int, i % 4 * "1", timeout=SOON)) for i in range(2_000))

    with ThreadPoolExecutor(workers) as pool:
        assert run_in_threads(producers, produce) == producers * [3_000]


@pytest.mark.parametrize("cancel", [False, True], ids=["drain", "cancel"])
def test_no_job_is_left_behind_by_a_shutdown_that_races_with_submit(cancel, run_in_threads):
    """
    Fault 11: accepted means resolved, however close the stop comes.
    """

    def act(i, pool, begun, head_start):
        accepted = []
        try:
            if i == 0:
                assert begun.wait(WAIT)
                pool.shutdown(wait=True, cancel_futures=cancel)
            for n in range(200):
                accepted.append(pool.submit(begun.set if n == head_start else int))
        except RuntimeError:
            pass
        return accepted

    for n in range(200):
        accepted = sum(run_in_threads(4, act, ThreadPoolExecutor(2), threading.Event(), n % 20), [])
        assert futures.wait(accepted, SOON).not_done == set()
        assert cancel or not any(future.cancelled() for future in accepted)


def test_job_that_submits_and_blocks_has_woken_a_peer():
    """
    Fault 12: what a worker submits must not wait until that worker is free.
    """

    def parent():
        done = threading.Event()
        pool.submit(done.set)
        return done.wait(SOON)

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.submit(parent).result(WAIT) for _ in range(5_000))


def test_idle_workers_do_not_keep_a_pool_from_growing(gate):
    """
    Fault 13: after much coming and going of idle workers, n jobs that are busy
    at the same time still get n threads.
    """
    with ThreadPoolExecutor(8) as pool:
        for n in range(1, 9):
            for _ in range(50):
                pool.submit(int).cancel()
                pool.submit(int).result(WAIT)
            together = threading.Barrier(n)
            for future in [pool.submit(together.wait, WAIT) for _ in range(n)]:
                future.result(WAIT)
            assert n <= len(pool._threads) <= 8


def test_jobs_submitted_at_the_same_time_each_get_a_thread(run_in_threads):
    """
    Fault 13: two submitters may not both count on the one idle worker.
    """

    def meet(i, pool, together):
        return pool.submit(together.wait, SOON).result(WAIT)

    for _ in range(300):
        with ThreadPoolExecutor(4) as pool:
            pool.submit(int).result(WAIT)
            together = threading.Barrier(4)
            assert sorted(run_in_threads(4, meet, pool, together)) == [0, 1, 2, 3]
