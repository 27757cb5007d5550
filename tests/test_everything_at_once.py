"""
Every public method of one executor, one queue and one future, from eight threads at once.

What each of them does is the other tests' matter. Here nothing may crash, hang, or raise what it does not say, and
every future must end. A ThreadSanitizer build of the interpreter says of these tests which methods race.
"""

import asyncio
import os
import random
import threading
from concurrent import futures

import pytest

from ringpool import Future, Job, Lane, QueueFull, QueueStopped, Retry, ThreadPoolExecutor, WorkerQueue, current_job

THREADS = 8
TURNS = int(os.environ.get("RINGPOOL_TURNS", "40"))  # of each thread; any number is a test, more find more
WAIT = 30


def public(cls):
    return {name for name in dir(cls) if not name.startswith("_")}


def take_turns(run_in_threads, calls, last, allowed):
    """Each thread makes its turns of *calls*, one at random each, and then all of *last*, in its own order."""

    def turns(i):
        dice = random.Random(i)
        names = [dice.choice(list(calls)) for _ in range(TURNS)] + dice.sample(list(last), len(last))
        for name in names:
            try:
                (calls | last)[name](dice)
            except allowed:
                pass

    run_in_threads(THREADS, turns)


class Kept:
    """The futures that any thread has got, for any to use."""

    def __init__(self):
        self._futures = []

    def keep(self, future):
        self._futures.append(future)

    def keep_all(self, some):
        self._futures.extend(some)

    def any(self, dice):
        some = self._futures
        return some[dice.randrange(len(some))] if some else Future()

    def assert_ended(self):
        for future in self._futures:
            try:
                error = future.exception(WAIT)
                assert error is None or isinstance(error, (ZeroDivisionError, TimeoutError, QueueStopped)), error
            except futures.CancelledError:
                pass


def awaited(run):
    """Await a job that *run* makes, on a loop of this thread's own."""

    async def main():
        return await run(divmod, 7, 3)

    return asyncio.run(main())


def test_an_executor(run_in_threads):
    pool = ThreadPoolExecutor(3)
    kept = Kept()
    calls = {
        "submit": lambda dice: kept.keep(pool.submit(divmod, 1, dice.randrange(3))),
        "submit_many": lambda dice: kept.keep_all(pool.submit_many(int, range(5))),
        "map": lambda dice: list(pool.map(int, range(5), timeout=WAIT, buffersize=dice.choice([None, 2]))),
        "run": lambda dice: awaited(pool.run),
        "cancel": lambda dice: kept.any(dice).cancel(),
        "wait": lambda dice: futures.wait([kept.any(dice)], 0.001),
    }
    last = {"shutdown": lambda dice: pool.shutdown(wait=dice.random() < 0.5, cancel_futures=dice.random() < 0.5)}
    assert public(ThreadPoolExecutor) <= set(calls | last)

    take_turns(run_in_threads, calls, last, (RuntimeError, futures.CancelledError, asyncio.CancelledError))

    pool.shutdown()
    kept.assert_ended()


@pytest.mark.parametrize("dispatch", ["shared", "ready"])
def test_a_queue(run_in_threads, dispatch):
    lanes = {"web": Lane(), "kept": Lane(reserve=1)}
    queue = WorkerQueue(
        3, 16, dispatch=dispatch, lanes=lanes, min_workers=1, idle_timeout=0.001, stuck_after=0.01, sample=1
    )
    kept = Kept()

    def job(dice):
        return Job(
            divmod, 1, dice.randrange(3), priority=dice.randrange(3), key=dice.choice([None, 1]),
            lane=dice.choice(list(lanes)), delay=dice.choice([0, 0.001]), expires_in=dice.choice([None, WAIT]),
            deadline=dice.choice([None, WAIT]), timeout=dice.choice([None, 0.001]), retry=Retry(attempts=2, base=0),
        )  # fmt: skip

    def group(dice):
        with queue.group() as jobs:
            jobs.submit(int)
            jobs.submit(job(dice))

    def batch(dice):
        with queue.batch(lambda items: items, 4, 0.001) as batcher:
            kept.keep_all([batcher.submit(item) for item in range(6)])

    calls = {
        "submit": lambda dice: kept.keep(queue.submit(job(dice))),
        "try_submit": lambda dice: kept.keep(queue.try_submit(divmod, 1, 1)),
        "submit_within": lambda dice: kept.keep(queue.submit_within(0.001, job(dice))),
        "submit_later": lambda dice: kept.keep(queue.submit_later(0.001, int)),
        "submit_many": lambda dice: kept.keep_all(queue.submit_many(int, range(5))),
        "map": lambda dice: list(queue.map(int, range(5), timeout=WAIT, buffersize=2)),
        "run": lambda dice: awaited(queue.run),
        "submit_async": lambda dice: awaited(queue.submit_async),
        "group": group,
        "race": lambda dice: queue.race(int, job(dice)),
        "batch": batch,
        "reprioritise": lambda dice: queue.reprioritise(kept.any(dice), dice.randrange(3)),
        "resize": lambda dice: queue.resize(dice.randrange(2, 6), dice.randrange(1, 3)),
        "results": lambda dice: queue.results(),
        "running": lambda dice: queue.running(stacks=dice.random() < 0.5),
        "stats": lambda dice: queue.stats().utilisation(),
        "times": lambda dice: queue.times().run.percentile(50),
        "wait": lambda dice: queue.wait(0.001),
        "name": lambda dice: repr(queue) + queue.name,
        "capacity": lambda dice: queue.capacity,
        "cancel": lambda dice: kept.any(dice).cancel(),
    }
    last = {
        "stop": lambda dice: queue.stop(timeout=dice.choice([0, 0.001, WAIT])),
        "stop_now": lambda dice: queue.stop_now() if dice.random() < 0.5 else None,
    }
    # handlers are the main thread's to install
    assert public(WorkerQueue) - {"install_signal_handlers"} <= set(calls | last)
    read, results = [], queue.results()
    reader = threading.Thread(target=lambda: read.extend(results))
    reader.start()

    cancelled = (futures.CancelledError, asyncio.CancelledError)
    refusals = (QueueFull, QueueStopped, TimeoutError, ZeroDivisionError, ExceptionGroup, *cancelled)
    take_turns(run_in_threads, calls, last, refusals)

    assert queue.stop(WAIT).complete
    reader.join(WAIT)
    kept.assert_ended()
    assert len(read) == len(set(read)) == queue.stats().accepted


def test_a_future(run_in_threads):
    """
    Each thread does everything to each of them, in its own order, while the job waits, runs, and has ended.
    """
    ended = []
    allowed = (futures.CancelledError, TimeoutError, futures.InvalidStateError, RuntimeError, ZeroDivisionError)
    calls = {
        "add_done_callback": lambda future: future.add_done_callback(ended.append),
        "cancel": lambda future: future.cancel(),
        "cancelled": lambda future: future.cancelled(),
        "done": lambda future: future.done(),
        "running": lambda future: future.running(),
        "result": lambda future: future.result(0.001),
        "exception": lambda future: future.exception(0.001),
        "set_running_or_notify_cancel": lambda future: future.set_running_or_notify_cancel(),
        "set_result": lambda future: future.set_result(None),
        "set_exception": lambda future: future.set_exception(ZeroDivisionError()),
        "repr": repr,
        "wait": lambda future: futures.wait([future], 0.001),
        "as_completed": lambda future: list(futures.as_completed([future], 0.001)),
    }
    assert public(Future) <= set(calls)
    with WorkerQueue(2, 2 * TURNS, sample=1) as queue:
        jobs = [queue.submit(lambda: current_job().cancelled) for _ in range(TURNS)]

        def turns(i):
            dice = random.Random(i)
            for future in jobs:
                for name in dice.sample(list(calls), len(calls)):
                    try:
                        calls[name](future)
                    except allowed:
                        pass

        run_in_threads(THREADS, turns)
        futures.wait(jobs, WAIT)
    assert all(future.done() for future in jobs)
    assert len(ended) == THREADS * len(jobs)
