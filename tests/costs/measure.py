"""
The programs behind test_costs.py: each measures in a process of its own and prints JSON.

python measure.py NAME [FACE] [NUMBER ...]

None looks at the clock: they count blocks, bytes, collections and wake-ups, or are themselves counted by callgrind.
"""

import contextlib
import contextvars
import faulthandler
import gc
import json
import os
import statistics
import sys
import threading
import time
import tracemalloc
from concurrent import futures

from ringpool import ThreadPoolExecutor, WorkerQueue
from ringpool._core.counts import counts, waiting

BURST = 10_000
CALLGRIND_BURST = 2_000
WAIT = 30  # seconds after which a wait has failed

# Each with room for a burst of jobs and the one that holds its worker.
FACES = {
    "executor": lambda workers, jobs: ThreadPoolExecutor(workers),
    "queue": lambda workers, jobs: WorkerQueue(workers, jobs + 1),
    "ready": lambda workers, jobs: WorkerQueue(workers, jobs + 1, dispatch="ready"),
}

VARIABLE = contextvars.ContextVar("VARIABLE")


def noop():
    pass


def noop_of(item):
    pass


class Burst:
    """Room for the futures of many jobs, made beforehand: filling and emptying it costs no block."""

    def __init__(self, pool, jobs=BURST):
        self._pool = pool
        self._places = list(range(jobs))
        self._empty = [None] * jobs
        self._futures = self._empty[:]

    def submit(self):
        pool, futures = self._pool, self._futures
        for place in self._places:
            futures[place] = pool.submit(noop)

    def results(self):
        for future in self._futures:
            future.result()
        self._futures[:] = self._empty


@contextlib.contextmanager
def held(pool):
    """The pool's only worker waits in here, and has worked off afterwards what was submitted meanwhile."""
    reached, go_on = threading.Event(), threading.Event()
    pool.submit(lambda: (reached.set(), go_on.wait(WAIT)))
    assert reached.wait(WAIT)
    yield
    last = pool.submit(noop)
    go_on.set()
    last.result(WAIT)


def while_all_are_pending(pool, burst, look):
    """What *look* sees to have grown while all of the burst is pending."""
    with held(pool):
        gc.collect()  # else garbage of before, freed in the burst, would make it look cheaper
        before = look()
        burst.submit()
        grown = look() - before
    burst.results()
    return grown


def blocks(face):
    """New blocks of the interpreter's allocator while 10 000 jobs are pending."""
    with FACES[face](1, BURST) as pool:
        burst = Burst(pool)

        def grown():
            return while_all_are_pending(pool, burst, sys.getallocatedblocks)

        context = contextvars.copy_context()
        context.run(VARIABLE.set, "set")
        cold = grown()
        for _ in range(3):
            grown()  # until a queue lets go of the futures that it keeps for results()
        return {
            "cold": cold,
            "warm": max(grown() for _ in range(3)),
            "with a variable": max(context.run(grown) for _ in range(3)),
            "without again": max(grown() for _ in range(3)),
        }


def job_bytes():
    """Bytes of a pending job, in a process that has none to use again."""
    with ThreadPoolExecutor(1) as pool:
        burst = Burst(pool)
        tracemalloc.start()
        return while_all_are_pending(pool, burst, lambda: tracemalloc.get_traced_memory()[0]) / BURST


def map_blocks():
    """New blocks while all items of a map are pending, in a process that has no records to use again."""
    with ThreadPoolExecutor(1) as pool:
        items = list(range(BURST))
        list(pool.map(noop_of, items[:10]))
        with held(pool):
            gc.collect()
            before = sys.getallocatedblocks()
            results = pool.map(noop_of, items)
            grown = sys.getallocatedblocks() - before
        assert list(results) == [None] * BURST
        return grown


def collections():
    """Collections that ten bursts start in a warm process; and that one starts with the standard library's pool."""

    def started(pool_type, warm_up, bursts):
        with pool_type(2) as pool:
            burst = Burst(pool)
            for _ in range(warm_up):
                burst.submit()
                burst.results()
            gc.collect()  # else the last allocations of before may bring the next one on
            before = sum(generation["collections"] for generation in gc.get_stats())
            for _ in range(bursts):
                burst.submit()
                burst.results()
            return sum(generation["collections"] for generation in gc.get_stats()) - before

    return {
        "ringpool": started(ThreadPoolExecutor, 1, 10),
        "standard library": started(futures.ThreadPoolExecutor, 0, 1),
    }


def wake_ups(face, workers, bursts):
    """
    Workers woken in a burst, all of them asleep when it begins; the median of some bursts.

    On one processor: on several, a free-threaded worker is now faster and now slower than its producer.
    """
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with FACES[face](workers, BURST) as pool:
        burst = Burst(pool)
        woken = []
        for _ in range(bursts + 1):
            deadline = time.monotonic() + WAIT
            while (before := counts(pool)).idle < before.workers:
                assert time.monotonic() < deadline, "a worker never went to sleep"
                time.sleep(0.001)
            burst.submit()
            burst.results()
            woken.append(counts(pool).woken - before.woken)
        return statistics.median(woken[1:])  # the first one hires


def instructions():
    """
    Bursts of 2 000 jobs of each face, and of 2 000 items of a list and of a range, for callgrind to count.

    It writes what it has counted whenever waiting() is called: before and after each five bursts, when everything is
    warm. First all are submitted, then all are run, then all are read, so that every run goes the same way.
    """
    sys.setswitchinterval(1000)  # no thread takes the GIL from another
    gc.disable()  # a collection falls into one part or another, and visits what the whole process holds
    for face in FACES:
        with FACES[face](1, CALLGRIND_BURST) as pool:
            burst = Burst(pool, CALLGRIND_BURST)

            def jobs(pool=pool, burst=burst):
                with held(pool):
                    burst.submit()
                burst.results()

            count_five(pool, jobs)
    for items in (list(range(CALLGRIND_BURST)), range(CALLGRIND_BURST)):
        with ThreadPoolExecutor(1) as pool:

            def all_items(pool=pool, items=items):
                with held(pool):
                    results = pool.map(noop_of, items)
                for _ in results:
                    pass

            count_five(pool, all_items)


def count_five(pool, burst):
    for _ in range(2):
        burst()
    waiting(pool)
    for _ in range(5):
        burst()
    waiting(pool)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(100, exit=True)
    program = globals()[sys.argv[1]]
    arguments = [int(word) if word.isdigit() else word for word in sys.argv[2:]]
    # in an empty context, whatever site and its hooks have set
    print(json.dumps(contextvars.Context().run(program, *arguments)))
