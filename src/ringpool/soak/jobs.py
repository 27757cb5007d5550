"""What the jobs of a mixed round do, and which they are."""

import threading
from concurrent.futures import CancelledError

from ringpool import (
    DeadlockError,
    Job,
    JobDropped,
    JobExpired,
    JobTimeout,
    QueueFull,
    QueueStopped,
    Retry,
    current_job,
)
from ringpool.soak.page import MOST_ATTEMPTS, Failure

REFUSALS = (QueueFull, QueueStopped)
ENDS = (CancelledError, DeadlockError, Failure, JobDropped, JobExpired, JobTimeout)

RETRIES = (Retry(attempts=2, base=0), Retry(attempts=MOST_ATTEMPTS, base=0.0005, jitter="none"))


class Key:
    """Jobs that are to run one at a time; equal to any other of its *number*."""

    def __init__(self, number):
        self.number = number
        self.calls = []
        """(kind, attempt), as they ran."""
        self._alone = threading.Lock()

    def enter(self, kind, attempt):
        if not self._alone.acquire(False):
            kind.page.wrong.append(f"{kind} ran beside another of its key")
            return False
        self.calls.append((kind, attempt))
        return True

    def leave(self):
        self._alone.release()

    def wrong(self):
        """What is wrong with the order: that of each producer, and of each job's attempts."""
        before = {}
        last = None
        for kind, attempt in self.calls:
            if attempt > 1 and last != (kind, attempt - 1):
                yield f"attempt {attempt} of {kind} did not follow the one before it in its key"
            last = kind, attempt
            if "delay" in kind.asks:
                continue  # it takes its place when it is due
            latest = before.setdefault(kind.page, kind)
            if kind.index < latest.index:
                yield f"{kind} ran after {latest} of its key, which was submitted later"
            before[kind.page] = kind


class Kind:
    """One job of *page*: what it does, and as what it is submitted, as the dice say."""

    __slots__ = ("asks", "failures", "index", "inner", "key", "nap", "page")

    def __init__(self, page, inner, index, dice, keys, lanes):
        self.page = page
        self.inner = None
        self.index = index
        self.key = dice.choice([None, None, *keys])
        self.failures = dice.choice([0, 0, 0, 0, 1, 2])
        self.nap = dice.choice([0, 0, 0, 0, 0.0003, 0.002])
        if inner is not None and self.key is None and dice.random() < 0.05:
            self.inner = inner
        maybe = {
            "priority": dice.randrange(-3, 4),
            "lane": dice.choice([*lanes, None]),
            "expires_in": dice.choice([0.0005, 30]),
            "deadline": dice.choice([0.0005, 0.003, 30]),
            "timeout": dice.choice([0.0005, 30]),
            "retry": dice.choice(RETRIES),
        }
        self.asks = {name: value for name, value in maybe.items() if dice.random() < 0.3}
        if dice.random() < 0.1:
            self.asks["delay"] = dice.choice([0.0002, 0.002])
        if self.key is not None:
            self.asks["key"] = self.key.number

    def __str__(self):
        return f"job {self.page.first + self.index} ({self.asks})"

    def job(self, queue):
        return Job(self.call, queue, **self.asks)

    def call(self, queue):
        """One attempt."""
        page, index = self.page, self.index
        job = current_job()
        page.calls.append(index + page.count * (job.attempt - 1))
        if self.key is None:
            return self._work(queue, job)
        alone = self.key.enter(self, job.attempt)
        try:
            return self._work(queue, job)
        finally:
            if alone:
                self.key.leave()

    def _work(self, queue, job):
        if self.nap:
            job.sleep(self.nap)
        if self.inner is not None and job.attempt == 1:
            self._wait_for_another(queue)
        if job.attempt <= self.failures:
            raise Failure(self.index)
        return self.index

    def _wait_for_another(self, queue):
        inner, index = self.inner, self.index
        try:
            future = queue.try_submit(inner.run_attempt, index)
        except REFUSALS:
            inner.refused.append(index)
            return
        inner.keep(index, future)
        try:
            if future.result() != index:
                inner.wrong.append(f"job {inner.first + index}, waited for in a job, has another's result")
        except ENDS:
            pass
