"""Fixtures and helpers that every test may use."""

import faulthandler
import gc
import os
import sys
import threading
import time

import pytest

WAIT = 30  # seconds after which a wait in a test has failed

# RINGPOOL_TEST_DISPATCH=ready: the dispatch of each queue that says none, in the tests and in the scripts they start.
SAY_DISPATCH = ""
if os.environ.get("RINGPOOL_TEST_DISPATCH"):
    SAY_DISPATCH = (
        "import ringpool; "
        f"ringpool.WorkerQueue.__init__.__kwdefaults__['dispatch'] = {os.environ['RINGPOOL_TEST_DISPATCH']!r}\n"
    )
    exec(SAY_DISPATCH)


def pytest_collection_finish():
    # Thousands of tests stay to the end: the collection after each need not look at them.
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    # A job that nobody runs keeps its queue's threads, and they the interpreter's exit.
    faulthandler.dump_traceback_later(60, exit=True)


@pytest.fixture(autouse=True)
def no_thread_left(request):
    """A test must end every thread that it has started, pools dropped included."""
    if not {"caplog", "log", "told"}.isdisjoint(request.fixturenames):
        gc.collect()  # what earlier tests left is not logged in this one
    before = set(threading.enumerate())
    yield
    if not before.issuperset(threading.enumerate()):
        gc.collect()  # of a pool that only a cycle holds; after every test it would take half of the time of all
    for thread in set(threading.enumerate()) - before:
        # One whose start() was interrupted is listed before it runs, and cannot be joined yet.
        assert thread._started.wait(WAIT), f"never ran: {thread}"
        thread.join(WAIT)
        assert not thread.is_alive(), f"left behind: {thread}"


class Gate:
    """A job that waits until the test lets it go, and says when it has been reached."""

    def __init__(self):
        self._entered = threading.Semaphore(0)
        self._open = threading.Event()

    def __call__(self, result=None):
        self._entered.release()
        assert self._open.wait(WAIT), "the gate was never opened"
        return result

    def wait_until_entered(self, times=1):
        for _ in range(times):
            assert self._entered.acquire(timeout=WAIT), "no worker reached the gate"

    def open(self):
        self._open.set()


@pytest.fixture
def gate():
    """Opened at the end of the test at the latest, so that a failed test does not hang."""
    gate = Gate()
    yield gate
    gate.open()


def in_threads(n, fn, *args):
    """Run ``fn(i, *args)`` in *n* threads that start together; re-raise the first error; results in order."""
    barrier = threading.Barrier(n)
    results = [None] * n
    errors = []

    def body(i):
        try:
            barrier.wait(WAIT)
            results[i] = fn(i, *args)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * WAIT)
        assert not thread.is_alive(), "a thread of the test hangs"
    if errors:
        raise errors[0]
    return results


@pytest.fixture
def adds_up():
    """Asserts that the parts of a snapshot make up what was accepted."""

    def check(stats):
        assert stats.accepted == sum(
            getattr(stats, part)
            for part in ("queued", "in_flight", "succeeded", "failed", "cancelled", "dropped", "expired")
        )

    return check


@pytest.fixture
def run_in_threads():
    return in_threads


@pytest.fixture
def until():
    """Look again and again whether something has come true; it must within the limit."""

    def wait(condition, *args):
        deadline = time.monotonic() + WAIT
        while not (found := condition(*args)):
            assert time.monotonic() < deadline, f"never came true: {condition}"
            time.sleep(0.0005)
        return found

    return wait


@pytest.fixture
def run_script(tmp_path):
    """Run Python source in a process of its own; a hang ends in a dump of its threads and a failure."""
    import subprocess

    def run(source, *, timeout=WAIT, env=None, stdin=None):
        script = tmp_path / "script.py"
        watchdog = f"import faulthandler; faulthandler.dump_traceback_later({timeout - 5}, exit=True)\n"
        script.write_text(watchdog + SAY_DISPATCH + source)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(env or {})}
        return subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, timeout=timeout, env=environment, stdin=stdin
        )

    return run


faulthandler.enable()
