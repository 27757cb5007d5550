"""No-op jobs through the drop-in executor and the standard library's, two workers."""

import contextvars
import threading
import tracemalloc

import pytest

from rivals import RIVALS

JOBS = 10_000
WORKERS = 2


def noop():
    pass


def increment(x):
    return x + 1


def bench_submit_result(measure):
    def run(executor_class):
        with executor_class(WORKERS) as pool:
            futures = [pool.submit(noop) for _ in range(JOBS)]
            for future in futures:
                future.result()

    measure(run, JOBS)


def bench_drain(measure):
    def run(executor_class):
        pool = executor_class(WORKERS)
        for _ in range(JOBS):
            pool.submit(noop)
        pool.shutdown(wait=True)

    measure(run, JOBS)


def bench_map(measure):
    def run(executor_class):
        with executor_class(WORKERS) as pool:
            for _ in pool.map(increment, range(JOBS)):
                pass

    measure(run, JOBS)


def bench_ping_pong(measure):
    jobs = JOBS // 10

    def run(executor_class):
        with executor_class(WORKERS) as pool:
            for _ in range(jobs):
                pool.submit(noop).result()

    measure(run, jobs)


def bench_four_producers(measure):
    def produce(pool, barrier):
        barrier.wait()
        futures = [pool.submit(noop) for _ in range(JOBS // 4)]
        for future in futures:
            future.result()

    def run(executor_class):
        with executor_class(WORKERS) as pool:
            barrier = threading.Barrier(4)
            producers = [threading.Thread(target=produce, args=(pool, barrier)) for _ in range(4)]
            for producer in producers:
                producer.start()
            for producer in producers:
                producer.join()

    measure(run, JOBS)


def bytes_per_pending_job(pool_class):
    gate = threading.Event()
    entered = threading.Event()

    def hold():
        entered.set()
        gate.wait()

    with pool_class(1) as pool:
        pool.submit(hold)
        entered.wait()
        futures = [None] * JOBS
        tracemalloc.start()
        for i in range(JOBS):
            futures[i] = pool.submit(noop)
        size = tracemalloc.get_traced_memory()[0] / JOBS
        tracemalloc.stop()
        gate.set()
    return size


@pytest.mark.parametrize("pool_class", RIVALS.values(), ids=RIVALS)
def bench_memory_pending(benchmark, pool_class):
    """Bytes that one pending job without arguments takes, its future included; not a time."""
    size = contextvars.Context().run(bytes_per_pending_job, pool_class)
    benchmark.extra_info["bytes_per_job"] = size
    benchmark.pedantic(lambda: None)
    print(f"\nbytes per pending job, {pool_class.__module__}: {size:.0f}")
