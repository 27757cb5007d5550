"""A queue that is watched: jobs that are stuck, and the hooks."""

import gc
import logging
import re
import sys
import threading
import time
import weakref

import pytest

from ringpool import Job, JobDropped, Retry, WorkerQueue

WAIT = 30
HAS_STACKS = getattr(sys, "_is_gil_enabled", lambda: True)()
MOMENT = 0.1  # seconds in which what must not happen would have happened


@pytest.fixture
def log():
    """What is logged, and a way to wait for it: the watchdog logs on a thread of its own."""

    class Keep(logging.Handler):
        def __init__(self):
            super().__init__()
            self.lines = []
            self.more = threading.Semaphore(0)

        def emit(self, record):
            self.lines.append((record.levelname, record.getMessage()))
            self.more.release()

    handler = Keep()
    logger = logging.getLogger("ringpool")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


# ---- stuck_after -------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_a_job_that_is_stuck_is_reported_once(gate, log, named):
    """With its name, its age, its thread and what that is at."""

    def stands_still():
        gate()

    with WorkerQueue(2, 8, name="watched", stuck_after=0.5) as queue:
        queue.submit(Job(stands_still, name="export") if named else stands_still)
        assert log.more.acquire(timeout=WAIT)
        queue.submit(int).result(WAIT)
        assert not log.more.acquire(timeout=1)
        ((level, text),) = log.lines
        assert level == "WARNING"
        name = "export" if named else re.escape(stands_still.__qualname__)
        assert re.match(name + r" has been running in watched for 0\.\d s on thread watched_0: <Future", text)
        assert ("in stands_still" in text and "self._open.wait" in text) == HAS_STACKS
        assert queue.stats().stuck == 1
        gate.open()


def test_each_job_that_is_stuck_is_reported(gate, log):
    """Once each."""
    with WorkerQueue(3, 8, stuck_after=0.05) as queue:
        for i in range(3):
            queue.submit(Job(gate, name=f"job {i}"))
        for _ in range(3):
            assert log.more.acquire(timeout=WAIT)
        gate.open()
    assert sorted(text[:5] for _, text in log.lines) == ["job 0", "job 1", "job 2"]
    assert queue.stats().stuck == 3


def test_jobs_that_are_quick_are_not_reported(log):
    """Nor those that wait."""
    with WorkerQueue(1, 64, stuck_after=WAIT) as queue:
        for _ in range(200):
            queue.submit(int)
        queue.submit_later(MOMENT, int)
    assert log.lines == []


def test_a_map_is_not_stuck_as_long_as_its_items_are_quick(log):
    """The watchdog looks at each item, not at how long the map goes on."""
    with WorkerQueue(2, 8, stuck_after=0.2) as queue:
        assert sum(queue.map(lambda i: time.sleep(0.01) or i, range(100))) == 4950
    assert (log.lines, queue.stats().stuck) == ([], 0)


def test_an_item_of_a_map_that_is_stuck_is_reported(gate, log):
    """That one alone, and by the function's name."""
    with WorkerQueue(2, 8, stuck_after=0.2) as queue:
        results = queue.map(lambda job: job(), [int, gate, int])
        assert log.more.acquire(timeout=WAIT)
        gate.open()
        assert list(results) == [0, None, 0]
    assert (len(log.lines), queue.stats().stuck) == (1, 1)
    assert "lambda" in log.lines[0][1]


def test_running_names_the_jobs_and_their_age(gate):
    """With or without a plan."""
    with WorkerQueue(2, 8) as queue:
        queue.submit(gate)
        queue.submit(Job(gate, name="named"))
        gate.wait_until_entered(2)
        plain, named = sorted(queue.running(stacks=True), key=lambda job: job.name == "named")
        assert named.name == "named" and "Gate" in plain.name
        assert all(0 <= job.age < WAIT for job in (plain, named))
        assert all("_open.wait" in job.stack if HAS_STACKS else job.stack is None for job in (plain, named))
        gate.open()


def test_the_watchdog_does_not_keep_its_queue(log):
    """A queue that is dropped ends, and its clock with it."""
    queue = WorkerQueue(1, 8, name="dropped", stuck_after=0.02)
    queue.submit(int).result(WAIT)
    seen = weakref.ref(queue)
    threads = list(queue._threads)
    del queue
    gc.collect()
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()
    assert seen() is None


def test_a_handler_that_raises_does_not_end_the_watch(gate):
    """The next job that is stuck is reported."""
    seen = threading.Semaphore(0)

    class Broken(logging.Handler):
        def handle(self, record):
            seen.release()
            raise ZeroDivisionError

    handler = Broken()
    logger = logging.getLogger("ringpool")
    logger.addHandler(handler)
    try:
        with WorkerQueue(2, 8, stuck_after=0.03) as queue:
            queue.submit(gate)
            assert seen.acquire(timeout=WAIT)
            queue.submit(gate)
            assert seen.acquire(timeout=WAIT)
            gate.open()
    finally:
        logger.removeHandler(handler)


# ---- hooks -----------------------------------------------------------------------------------


def test_the_hooks_are_called_with_the_future_as_things_happen(gate):
    """Start and retry for each attempt, done once, drop for what was never run."""
    calls = []
    lock = threading.Lock()

    def note(name):
        def hook(*args):
            with lock:
                calls.append((name, *args))

        return hook

    hooks = {name: note(name) for name in ("on_start", "on_done", "on_retry", "on_drop")}
    tries = []

    def job():
        tries.append(1)
        if len(tries) < 2:
            raise OSError("once")
        return "done"

    with WorkerQueue(1, 1, overflow="drop_newest", **hooks) as queue:
        first = queue.submit(Job(job, retry=Retry(base=0.01, jitter="none")))
        assert first.result(WAIT) == "done"
        queue.wait(WAIT)
        blocker = queue.submit(gate)
        gate.wait_until_entered()
        waits = queue.submit(int)
        dropped = queue.submit(int)
        assert waits.cancel()
        gate.open()
    of = {future: [call for call in calls if call[1] is future] for future in (first, blocker, waits, dropped)}
    assert [call[0] for call in of[first]] == ["on_start", "on_retry", "on_start", "on_done"]
    error, delay = of[first][1][2:]
    assert (str(error), delay) == ("once", 0.01)
    assert [call[0] for call in of[blocker]] == ["on_start", "on_done"]
    assert [call[0] for call in of[waits]] == ["on_done"]
    assert [call[0] for call in of[dropped]] == ["on_drop", "on_done"]
    assert isinstance(dropped.exception(0), JobDropped)


@pytest.mark.parametrize("hook", ["on_start", "on_done", "on_retry", "on_drop"])
@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_a_hook_that_raises_is_logged_and_changes_nothing(gate, log, hook, error):
    """Not the job, nor its time limit, nor the worker, whatever it raises."""

    def broken(*args):
        raise error("from the hook")

    tries = []

    def job():
        tries.append(1)
        if len(tries) < 2:
            raise OSError
        return "done"

    with WorkerQueue(1, 1, overflow="drop_newest", **{hook: broken}) as queue:
        assert queue.submit(Job(job, timeout=WAIT, retry=Retry(base=0))).result(WAIT) == "done"
        queue.wait(WAIT)
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(int)
        assert isinstance(queue.submit(int).exception(0), JobDropped)
        gate.open()
    assert (f"exception in {hook}") in [text for _, text in log.lines]
    stats = queue.stats()
    assert (stats.succeeded, stats.dropped, stats.late, stats.in_flight) == (3, 1, 0, 0)


def test_a_hook_may_use_the_queue(gate):
    """Look at it, submit to it, and ask it to stop; it must not wait for it."""
    with WorkerQueue(
        1,
        8,
        on_start=lambda future: queue.stats(),
        on_done=lambda future: more and extra.append(queue.submit(more.pop())),
    ) as queue:
        more, extra = [int, int], []
        queue.submit(int).result(WAIT)
        queue.wait(WAIT)
        assert [job.result(WAIT) for job in extra] == [0, 0]


def test_what_drops_a_job_calls_on_drop_once(gate):
    """The oldest that gives way, and not the one that had expired before."""
    dropped = []
    expired = threading.Event()

    def hook(future):
        dropped.append(future)
        expired.set()

    with WorkerQueue(1, 2, overflow="drop_oldest", on_drop=hook) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        jobs = [queue.submit(Job(int, expires_in=0.02)), queue.submit(int)]
        assert expired.wait(WAIT)
        queue.submit(int)
        assert dropped == [jobs[0]]
        queue.submit(int)
        assert dropped == jobs
        gate.open()
