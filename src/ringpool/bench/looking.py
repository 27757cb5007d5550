"""A queue with load, and what somebody who watches it asks it."""

import functools
import threading

import ringpool
from ringpool.bench.jobs import noop

QUEUED = 10_000  # jobs behind those that run


class Loaded:
    """A WorkerQueue whose *workers* all run a job until it is closed, with jobs behind them."""

    def __init__(self, workers):
        self.queue = ringpool.WorkerQueue(workers, QUEUED, keep_results=0)
        self._go_on = threading.Event()
        entered = threading.Barrier(workers + 1)

        def wait():
            entered.wait()
            self._go_on.wait()

        for _ in range(workers):
            self.queue.submit(wait)
        entered.wait()
        self.queue.submit_many(lambda _: noop(), range(QUEUED))

    def close(self):
        self._go_on.set()
        self.queue.stop()


def asked(ask):
    """What is timed: *ask*, a function of the queue, so many times."""

    def measure(_, loaded, count):
        for _ in range(count):
            ask(loaded.queue)

    return measure


stats = asked(ringpool.WorkerQueue.stats)
times = asked(ringpool.WorkerQueue.times)
running = asked(ringpool.WorkerQueue.running)
stacks = asked(functools.partial(ringpool.WorkerQueue.running, stacks=True))
