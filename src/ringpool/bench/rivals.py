"""Who is compared, behind one small interface: an open pool."""

import concurrent.futures
import functools
import importlib.util
import multiprocessing.pool
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ringpool

CAPACITY = 1024  # of the WorkerQueue: it holds its producers back, as it is meant to
ROOMY = 16_384  # of one that has room for all jobs of a run


@dataclass(frozen=True)
class Pool:
    """
    An open pool of one rival; None for what it cannot do.

    The fields are the rival's own functions as far as possible, so that
    nothing is added to what they cost.
    """

    close: Callable[[], Any]  # returns when every job is done
    submit: Callable[..., Any] | None = None  # of a job without arguments; returns a handle
    result: Callable[[Any], Any] | None = None  # of a handle
    map: Callable[..., Any] | None = None  # of a function and an iterable
    all_of: Callable[..., Any] | None = None  # runs a job a number of times; None: submits it, then waits for each
    awaitable_in: Callable[..., Any] | None = None  # of a loop: what makes an awaitable of a job there

    def run(self, job, count):
        """Call *job* *count* times and have the result of each."""
        if self.all_of is not None:
            self.all_of(job, count)
            return
        submit, result = self.submit, self.result
        handles = [submit(job) for _ in range(count)]
        for handle in handles:
            result(handle)


def hire(submit, workers):
    """Have all *workers* started, so that no timing depends on when they are."""
    barrier = threading.Barrier(workers + 1)
    for _ in range(workers):
        submit(barrier.wait)
    barrier.wait()


def executor(workers):
    pool = ringpool.ThreadPoolExecutor(workers)
    hire(pool.submit, workers)
    return Pool(pool.shutdown, pool.submit, ringpool.Future.result, pool.map, awaitable_in=executor_of(pool))


def executor_of(pool):
    return lambda loop: functools.partial(loop.run_in_executor, pool)


def awaited(workers):
    pool = ringpool.ThreadPoolExecutor(workers)
    hire(pool.submit, workers)
    return Pool(pool.shutdown, awaitable_in=lambda loop: pool.run)


def worker_queue(workers, capacity=CAPACITY, **options):
    queue = ringpool.WorkerQueue(workers, capacity, **options)
    hire(queue.submit, workers)
    return Pool(queue.stop, queue.submit, ringpool.Future.result)


def in_place(workers):
    pool = ringpool.ThreadPoolExecutor(workers)
    return Pool(pool.shutdown, pool._call_in_place, ringpool.Future.result)


def stdlib(workers):
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    hire(pool.submit, workers)
    result = concurrent.futures.Future.result
    return Pool(pool.shutdown, pool.submit, result, pool.map, awaitable_in=executor_of(pool))


def thread_pool(workers):
    pool = multiprocessing.pool.ThreadPool(workers)
    return Pool(closing(pool), pool.apply_async, multiprocessing.pool.AsyncResult.get, pool.imap)


def thread_pool_chunks(workers):
    pool = multiprocessing.pool.ThreadPool(workers)
    return Pool(closing(pool), map=pool.map)


def closing(pool):
    def close():
        pool.close()
        pool.join()

    return close


def joblib_threads(workers):
    import joblib

    parallel = joblib.Parallel(workers, backend="threading")
    parallel.__enter__()  # keeps its threads from call to call
    delayed = joblib.delayed
    return Pool(
        close=lambda: parallel.__exit__(None, None, None),
        map=lambda function, items: parallel(map(delayed(function), items)),
        all_of=lambda job, count: parallel(delayed(job)() for _ in range(count)),
    )


def loop(workers):
    def all_of(job, count):
        for _ in range(count):
            job()

    return Pool(lambda: None, map=map, all_of=all_of)


@dataclass(frozen=True)
class Rival:
    """*open(workers)* makes a Pool."""

    open: Callable[[int], Pool]
    explained: str

    def missing(self):
        """Why it cannot be measured here; None: it can."""
        if self.open is joblib_threads and importlib.util.find_spec("joblib") is None:
            return "joblib is not installed"
        return None


REFERENCE = "stdlib"

RIVALS = {
    "ringpool": Rival(executor, "ringpool.ThreadPoolExecutor"),
    "ringpool.run": Rival(awaited, "its run(), which returns an awaitable"),
    "WorkerQueue": Rival(worker_queue, f"ringpool.WorkerQueue of capacity {CAPACITY}"),
    "roomy": Rival(
        functools.partial(worker_queue, capacity=ROOMY), f"one of capacity {ROOMY}: its producer never waits for room"
    ),
    REFERENCE: Rival(stdlib, "concurrent.futures.ThreadPoolExecutor, the reference"),
    "ThreadPool": Rival(thread_pool, "multiprocessing.pool.ThreadPool: apply_async and get, imap"),
    "ThreadPool.map": Rival(thread_pool_chunks, "the same, its map: many items a job"),
    "joblib": Rival(joblib_threads, 'joblib.Parallel(backend="threading")'),
    "floor": Rival(in_place, "ringpool's objects with the jobs run in place: what no pool of threads can beat"),
    "loop": Rival(loop, "no pool: a for loop that calls the job"),
}
