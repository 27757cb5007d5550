"""A queue with load, and what somebody who watches it asks it."""

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


def stats(_, loaded, count):
    for _ in range(count):
        loaded.queue.stats()


def times(_, loaded, count):
    for _ in range(count):
        loaded.queue.times()


def running(_, loaded, count):
    for _ in range(count):
        loaded.queue.running()


def stacks(_, loaded, count):
    for _ in range(count):
        loaded.queue.running(stacks=True)
