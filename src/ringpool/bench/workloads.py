"""What is measured: a function of an open pool and a number of jobs for each."""

import asyncio
import functools
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringpool.bench.jobs import digest, increment, noop, working

WORKERS = 2
PRODUCERS = 4
SPENT = 20_000  # jobs in front of those whose memory is measured: more than any rival keeps to use again
PAUSE_S = 0.001  # in which an idle worker has fallen asleep

SWEEP_US = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SWEEP_TURN_S = 0.05  # of work in a turn of each rival


def submit_result(pool, count):
    pool.run(noop, count)


def drain(pool, count):
    submit = pool.submit
    for _ in range(count):
        submit(noop)
    pool.close()


def four_producers(pool, count):
    def produce():
        start.wait()
        pool.run(noop, count // PRODUCERS)

    start = threading.Barrier(PRODUCERS)
    producers = [threading.Thread(target=produce) for _ in range(PRODUCERS)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()


def map_increment(pool, count):
    for _ in pool.map(increment, range(count)):
        pass


def ping_pong(pool, count):
    submit, result = pool.submit, pool.result
    for _ in range(count):
        result(submit(noop))


def hash_64k(pool, count):
    pool.run(digest, count)


def gather(pool, count):
    async def main():
        run = pool.awaitable_in(asyncio.get_running_loop())
        await asyncio.gather(*(run(noop) for _ in range(count)))

    asyncio.run(main())


def work(us, pool, count):
    """Jobs of *us*; the first run of all calibrates them, and belongs to the warm-up."""
    pool.run(working(us), count)


def wake(pool, count):
    """Nanoseconds from before submit until the job begins, each time with every worker asleep."""
    clock = time.perf_counter_ns
    workers = set()

    def job():
        began = clock()
        workers.add(threading.get_native_id())
        return began

    latencies = []
    for _ in range(count):
        fall_asleep(workers)
        start = clock()
        latencies.append(pool.result(pool.submit(job)) - start)
    percentiles = statistics.quantiles(latencies, n=100, method="inclusive")
    return {"p50": percentiles[49], "p99": percentiles[98]}


def fall_asleep(workers):
    """Return when these threads sleep; where the system does not tell, after a while in which they will have."""
    time.sleep(PAUSE_S)
    while any(awake(worker) for worker in workers):
        time.sleep(PAUSE_S)


def awake(thread):
    try:
        return Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(") ")[2][0] == "R"
    except OSError:
        return False


def memory_pending(pool, count):
    """Bytes of a pending job without arguments, what the caller gets included."""
    gate = hold(pool)
    in_front = [pool.submit(noop) for _ in range(SPENT)]
    handles = [None] * count
    tracemalloc.start()
    try:
        for i in range(count):
            handles[i] = pool.submit(noop)
        return {"bytes": tracemalloc.get_traced_memory()[0] / count}
    finally:
        tracemalloc.stop()
        gate.set()
        del in_front


def hold(pool):
    """Have all of WORKERS wait in a job; the event that lets them go."""
    entered = threading.Barrier(WORKERS + 1)
    gate = threading.Event()

    def wait():
        entered.wait()
        gate.wait()

    for _ in range(WORKERS):
        pool.submit(wait)
    entered.wait()
    return gate


@dataclass(frozen=True)
class Workload:
    """
    *run(pool, count)* is timed, unless it returns what it has measured itself.

    The time is divided by *count*. *rivals* names those who take part, and
    *shown* the measures that count: those of *run*, "ns" a job, and "cores",
    processor time over wall time.
    """

    run: Callable[[Any, int], dict[str, float] | None]
    count: int
    rivals: tuple[str, ...]
    explained: str
    shown: tuple[str, ...] = ("ns",)


QUEUES = ("ringpool", "WorkerQueue", "stdlib", "ThreadPool")
WORKING = ("ringpool", "stdlib", "ThreadPool", "joblib", "loop")

WORKLOADS = {
    "submit_result": Workload(
        submit_result, 10_000, (*QUEUES, "roomy", "floor"), "submit no-op jobs, then result() of each"
    ),
    "drain": Workload(drain, 10_000, QUEUES, "submit no-op jobs, then shutdown(wait=True)"),
    "four_producers": Workload(
        four_producers, 10_000, QUEUES, "submit_result from four threads at once, a quarter each"
    ),
    "map": Workload(
        map_increment,
        10_000,
        ("ringpool", "stdlib", "ThreadPool", "ThreadPool.map", "joblib", "loop"),
        "map(increment, range(n)), read to the end",
    ),
    "ping_pong": Workload(ping_pong, 1_000, QUEUES, "submit a no-op job, wait for its result, and again"),
    "wake": Workload(wake, 300, QUEUES, "from before submit until the job begins, the workers asleep", ("p50", "p99")),
    "gather": Workload(
        gather,
        10_000,
        ("ringpool", "ringpool.run", "stdlib"),
        "asyncio.gather of loop.run_in_executor(pool, no-op) for each, or of what the rival has in its place",
    ),
    "hash_64k": Workload(hash_64k, 1_000, WORKING, "SHA-256 of 64 KiB a job, which releases the GIL", ("ns", "cores")),
    "memory_pending": Workload(
        memory_pending, 10_000, ("ringpool", "stdlib", "ThreadPool"), "bytes of a pending no-op job", ("bytes",)
    ),
}

# By the length of their jobs, workloads like the others.
SWEEP = {
    us: Workload(
        functools.partial(work, us),
        min(2_000, round(SWEEP_TURN_S / max(us, 1) * 1e6)),
        WORKING,
        f"{us} us of pure Python a job: submit them, then result() of each",
        ("ns", "cores"),
    )
    for us in SWEEP_US
}


def length_name(us):
    return f"work_{us}us" if us < 1000 else f"work_{us // 1000}ms"


WORKLOADS |= {length_name(us): workload for us, workload in SWEEP.items()}
