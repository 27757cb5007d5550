"""Faults for want of memory; the numbers are those of the fault catalogue."""

import sys
import threading

import pytest

from ringpool import Job, WorkerQueue

WAIT = 30  # seconds after which a wait has failed

# Each allocation of a submit and of the run that follows fails once, in whichever thread it is, until none is left.
EACH_ALLOCATION = """
import gc, os, sys
from ringpool import *
try:
    from _testcapi import remove_mem_hooks, set_nomemory
except ImportError:
    print("no allocations to fail")
    sys.exit()
gc.disable()

def attempt(n, box):
    set_nomemory(n, n + 1)
    try:
        box[0] = submit(n)
    finally:
        remove_mem_hooks()

kind = {kind!r}
retry = Retry()
pool = ThreadPoolExecutor(1) if kind == "executor" else WorkerQueue(1, 8)
submit = {{
    "executor": lambda n: pool.submit(ran.append, n),
    "plain": lambda n: pool.submit(ran.append, n),
    "keyed": lambda n: pool.submit(Job(ran.append, n, key=n)),
    "delayed": lambda n: pool.submit(Job(ran.append, n, delay=0.0001)),
    "retried": lambda n: pool.submit(Job(ran.append, n, retry=retry)),
}}[kind]
ran = []
for n in range(3):                      # all threads are there, and what is made once
    submit(-1).result(20)
refused = broke = 0
for n in range(90):
    box = [None]
    try:
        attempt(n, box)
    except MemoryError:
        pass
    future = box[0]
    if future is None:
        refused += 1
    elif future.exception(20) is None:
        assert ran[-1] == n, (n, ran)
    else:
        broke += 1
        assert type(future.exception()) is MemoryError, (n, future)
    submit(-1).result(20)
    assert future is not None or n not in ran, n
assert refused, "nothing failed"
if kind != "executor":
    report = pool.stop(20)
    stats = pool.stats()
    assert report.complete and stats.accepted == stats.succeeded + stats.failed + stats.cancelled, stats
    assert stats.failed == broke, (stats, broke)
else:
    pool.shutdown()
print("ended", len(ran) - 3 - 90 == 90 - refused - broke, flush=True)
os._exit(0)     # 3.13t: a list that finds no memory spoils the interpreter's free lists, and its end loops for ever
"""


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="_testcapi changes the allocator under running threads"
)
@pytest.mark.parametrize("kind", ["executor", "plain", "keyed", "delayed", "retried"])
def test_each_allocation_of_a_submit_may_fail_and_no_job_is_lost(kind, run_script):
    """
    Fault 79: what submit refuses never runs, what it accepts ends, and the
    worker goes on.
    """
    process = run_script(EACH_ALLOCATION.format(kind=kind))
    assert (process.stderr, process.returncode) == ("", 0)
    assert process.stdout in ("ended True\n", "no allocations to fail\n")


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("within", ["__init__", "start"])
def test_timekeeper_that_could_not_be_made_is_made_for_the_next_job(within, error, monkeypatch):
    """
    Faults 7 and 79: or delayed jobs would be accepted that nobody makes due.
    """
    original = getattr(threading.Thread, within)

    def fail(self, *args, **kwargs):
        if kwargs.get("name", self.__dict__.get("_name", "")).endswith("_clock"):
            raise error
        return original(self, *args, **kwargs)

    with WorkerQueue(1, 8) as queue:
        queue.submit(int).result(WAIT)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, within, fail)
            with pytest.raises(error):
                queue.submit_later(0.001, int)
        assert queue.submit_later(0.001, int).result(WAIT) == 0
        assert queue.stats().accepted == 2


@pytest.mark.parametrize("limits", [{"expires_in": 60}, {"deadline": 60}, {"deadline": 60, "delay": 60}])
def test_job_whose_time_limits_cannot_be_set_is_refused_and_does_not_run(limits, monkeypatch, gate):
    """
    Fault 79, after the job was queued: submit raises, so it must not run; nor
    where a signal handler raises there.
    """
    ran = []

    def fail(*_):
        raise MemoryError

    with WorkerQueue(1, 8) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        with monkeypatch.context() as patched:
            patched.setattr("ringpool.plan.call_at", fail)
            with pytest.raises(MemoryError):
                queue.submit(Job(ran.append, 1, **limits))
        gate.open()
        queue.stop(WAIT)
        assert ran == []
        assert queue.stats().cancelled == 1
