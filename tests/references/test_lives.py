"""The references of the whole process, as test_features.py counts them, of what ends: awaits, workers, queues."""

import asyncio
import contextlib
import time
from concurrent import futures

import pytest

from ringpool import Job, QueueStopped, ThreadPoolExecutor, WorkerQueue

WAIT = 60


def nothing():
    pass


def fail():
    raise ZeroDivisionError


# ---- asyncio ----------------------------------------------------------------------------------------------


async def run(queue):
    assert await queue.run(divmod, 7, 3) == (2, 1)


async def run_failed(queue):
    with contextlib.suppress(ZeroDivisionError):
        await queue.run(fail)


async def run_cancelled(queue):
    task = asyncio.ensure_future(queue.run(nothing))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await queue.run(nothing)  # a worker has come by


async def submit_async(queue):
    assert await (await queue.submit_async(divmod, 7, 3)) == (2, 1)


async def gathered(queue):
    await asyncio.gather(*[queue.run(nothing) for _ in range(5)])


@pytest.mark.parametrize("way", [run, run_failed, run_cancelled, submit_async, gathered])
def test_awaited(way, assert_flat):
    with WorkerQueue(2, 8, keep_results=0, report_unread=False) as queue, asyncio.Runner() as runner:
        # free-threaded, it takes some 200 until as many records as are ever needed go round between the threads
        assert_flat(lambda: runner.run(way(queue)), before=25)


# ---- results, workers --------------------------------------------------------------------------------


def test_results_that_are_read(assert_flat):
    with WorkerQueue(2, 8) as queue:
        results = queue.results()

        def act():
            for number in range(5):
                queue.submit(int, number)
            for _ in range(5):
                next(results).result()

        assert_flat(act)


def test_workers_hired_and_let_go(assert_flat):
    with WorkerQueue(2, 8, keep_results=0) as queue:

        def act():
            queue.resize(4)
            futures.wait([queue.submit(nothing) for _ in range(4)], WAIT)
            queue.resize(1)
            queue.submit(nothing).result(WAIT)
            while queue.stats().workers > 1:
                time.sleep(0)

        assert_flat(act, 10)


# ---- pools that come and go -----------------------------------------------------------------------------------


def stopped():
    queue = WorkerQueue(2, 8, worker_init=object, worker_exit=repr)
    results = queue.results()
    for number in range(5):
        queue.submit(int, number)
    assert queue.stop(WAIT).complete
    assert len(list(results)) == 5
    with contextlib.suppress(QueueStopped):
        queue.submit(nothing)


def stopped_now():
    queue = WorkerQueue(1, 8)
    for number in range(5):
        queue.submit(Job(int, number, priority=number))
    queue.submit_later(3600, nothing)
    queue.stop_now()
    assert queue.wait(WAIT)


def left_on_an_exception():
    with contextlib.suppress(KeyError), WorkerQueue(1, 8) as queue:
        queue.submit(nothing)
        raise KeyError


def shut_down():
    with ThreadPoolExecutor(2, initializer=nothing) as pool:
        pool.submit(nothing)
        list(pool.map(int, range(5)))
    pool.shutdown(cancel_futures=True)


def dropped():
    pool = ThreadPoolExecutor(2)
    jobs = [pool.submit(nothing) for _ in range(3)]
    threads = list(pool._threads)
    del pool
    futures.wait(jobs, WAIT)
    for thread in threads:
        thread.join(WAIT)


def never_used():
    WorkerQueue(2, 8).stop()
    WorkerQueue(2, 8)
    ThreadPoolExecutor(2)


@pytest.mark.parametrize("life", [stopped, stopped_now, left_on_an_exception, shut_down, dropped, never_used])
def test_of_pools_that_come_and_go(life, assert_flat):
    assert_flat(life, 10)
