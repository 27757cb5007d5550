"""The table of docs/stop.md, cell by cell: what each end of a queue does to a job in each state."""

import gc
import os
import signal
import threading
from concurrent.futures import CancelledError

import pytest

from ringpool import Job, JobTimeout, Retry, WorkerQueue, current_job
from ringpool.signals import install_signal_handlers

WAIT = 30
SOON = 0.2  # seconds: a delay or a back-off that a test can wait for

RESULT, CANCELLED, ASKED, TIMEOUT = "result", "cancelled", "asked to end, and done", "timeout"


# ---- states ---------------------------------------------------------------------------


class State:
    """A job in one state, in a queue that *make* makes; the gate holds up what it needs to."""

    def __init__(self, name, gate, until):
        self.asked = []
        self.other = WorkerQueue(1, 4, name="other") if name == "spilled" else None
        self.queue = WorkerQueue(2, 1 if name == "spilled" else 8, overflow=self.other or "block")
        self.future = getattr(self, name.replace(" ", "_"))(self.queue, gate, until)

    def work(self):
        self.asked.append(current_job().cancelled)
        return RESULT

    def waiting(self, queue, gate, until):
        for _ in range(2):
            queue.submit(gate)
        gate.wait_until_entered(2)
        return queue.submit(self.work)

    def behind_a_key(self, queue, gate, until):
        queue.submit(Job(gate, key="k"))
        gate.wait_until_entered()
        return queue.submit(Job(self.work, key="k"))

    def delayed(self, queue, gate, until):
        return queue.submit_later(SOON, self.work)

    def retrying(self, queue, gate, until):
        def fail_once():
            if current_job().attempt == 1:
                raise OSError
            return self.work()

        future = queue.submit(Job(fail_once, retry=Retry(base=SOON, jitter="none")))
        until(lambda: queue.stats().retrying)
        return future

    def spilled(self, queue, gate, until):
        for _ in range(2):
            queue.submit(gate)
        gate.wait_until_entered(2)
        queue.submit(int)
        self.other.submit(gate)
        gate.wait_until_entered()
        return queue.submit(self.work)

    def running(self, queue, gate, until):
        future = queue.submit(lambda: (gate(), self.work())[1])
        gate.wait_until_entered()
        return future

    def cancelling(self, queue, gate, until):
        future = self.running(queue, gate, until)
        assert not future.cancel()
        return future

    def late(self, queue, gate, until):
        future = queue.submit(Job(lambda: (gate(), self.work())[1], timeout=0.01))
        assert isinstance(future.exception(WAIT), JobTimeout)
        return future


# ---- ends -------------------------------------------------------------------------------


def stop(state):
    state.queue.stop()


def stop_with_a_timeout(state):
    state.queue.stop(0.01)


def stop_now(state):
    state.queue.stop_now()


def leave(state):
    with state.queue:
        pass


def leave_on_an_exception(state):
    with pytest.raises(ZeroDivisionError), state.queue:
        raise ZeroDivisionError


def drop(state):
    state.queue = None
    gc.collect()


def first_signal(state):
    with install_signal_handlers(state.queue):
        signal.raise_signal(signal.SIGTERM)


def second_signal(state):
    with install_signal_handlers(state.queue):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


GOES_ON = [stop, stop_with_a_timeout, leave, drop, first_signal]
ENDS = [stop_now, leave_on_an_exception, second_signal]
BLOCKING = {stop, leave, leave_on_an_exception}
WAITS = ["waiting", "behind a key", "delayed", "retrying"]
CELLS = [(state, end, RESULT) for state in [*WAITS, "spilled", "running"] for end in GOES_ON]
CELLS += [(state, end, CANCELLED) for state in WAITS for end in ENDS]
CELLS += [("spilled", end, RESULT) for end in ENDS]
CELLS += [("running", end, ASKED) for end in ENDS]
CELLS += [("cancelling", end, ASKED) for end in GOES_ON + ENDS]
CELLS += [("late", end, TIMEOUT) for end in GOES_ON + ENDS]


@pytest.mark.parametrize(("name", "end", "outcome"), CELLS, ids=[f"{end.__name__}-{name}" for name, end, _ in CELLS])
def test_a_cell_of_the_table(gate, until, name, end, outcome):
    """What becomes of the future, and whether its function saw that it was asked to end."""
    state = State(name, gate, until)
    queue = state.queue if end is not drop else None
    if end in BLOCKING:
        thread = threading.Thread(target=end, args=(state,))
        thread.start()
        until(lambda: queue._closed)
        if end is leave_on_an_exception:
            until(lambda: queue._stops_now and queue.stats().queued == 0)
        gate.open()
        thread.join(WAIT)
        assert not thread.is_alive()
    else:
        end(state)
        if outcome == CANCELLED:
            assert state.future.cancelled()  # at once
        gate.open()
    if outcome == CANCELLED:
        assert state.future.cancelled()
        assert state.asked == []
    elif outcome == TIMEOUT:
        assert isinstance(state.future.exception(0), JobTimeout)
        until(lambda: state.asked == [True])
    else:
        assert state.future.result(WAIT) == RESULT
        assert state.asked == [outcome == ASKED]
    if queue is not None:
        assert queue.stop(WAIT).complete
    if state.other is not None:
        assert state.other.stop(WAIT).complete


# ---- in a process of its own ----------------------------------------------------------------

STATES = """
import os, sys, threading, time, warnings
from concurrent.futures import BrokenExecutor
from ringpool import *
warnings.simplefilter("ignore", DeprecationWarning)
gate = threading.Event()
entered = threading.Semaphore(0)

def hold():
    entered.release()
    gate.wait(20)

def fail():
    raise OSError("failed")

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)

def done(text):
    return text

far = Retry(base=1000, cap=1000, jitter="none")
other = WorkerQueue(1, 4)
q = WorkerQueue(2, 6, overflow=other)
futures = {
    "delayed": q.submit_later(1000, done, "delayed"),
    "retrying": q.submit(Job(fail, retry=far)),
}
until(lambda: q.stats().retrying)
futures["late"] = q.submit(Job(hold, timeout=0.01))
assert futures["late"].exception(20)
futures["running"] = q.submit(lambda: (hold(), "running")[1])
q.submit(Job(hold, key="k"))
for _ in range(3):
    entered.acquire(timeout=20)
futures["waiting"] = q.submit(done, "waiting")
futures["behind a key"] = q.submit(Job(done, "behind a key", key="k"))
q.submit(int), q.submit(int)
other.submit(hold)
entered.acquire(timeout=20)
futures["spilled"] = q.submit(done, "spilled")
assert q.stats().spilled == 1

def tell():
    for name, future in sorted(futures.items()):
        if not future.done():
            what = "pending"
        elif future.cancelled():
            what = "cancelled"
        elif future.exception():
            what = type(future.exception()).__name__
        else:
            what = "result"
        os.write(1, f"{name}: {what}\\n".encode())
"""


def test_at_interpreter_exit(run_script):
    """What waits for a time is cancelled, everything else is run; nothing hangs, and nothing is said."""
    result = run_script(
        STATES
        + """
import atexit
atexit.register(tell)
threading.Timer(0.2, gate.set).start()
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "behind a key: result",
        "delayed: cancelled",
        "late: JobTimeout",
        "retrying: cancelled",
        "running: result",
        "spilled: result",
        "waiting: result",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_across_a_fork(run_script):
    """The child's copies have failed, what had ended has not; both queues work there; the parent goes on."""
    result = run_script(
        STATES
        + """
pid = os.fork()
if pid == 0:
    tell()
    assert q.submit(done, "7").result(20) == "7"
    assert q.submit(Job(done, "8", delay=0.01, timeout=20, retry=far)).result(20) == "8"
    assert q.stats().accepted == 2, q.stats()
    assert q.stop(20).complete and other.stop(20).complete
    os.write(1, b"--\\n")
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
gate.set()
futures["delayed"].cancel(), futures["retrying"].cancel()
assert q.stop(20).complete and other.stop(20).complete
tell()
"""
    )
    assert (result.returncode, result.stderr) == (0, "")
    child, _, parent = result.stdout.partition("--\n")
    assert child.splitlines() == [
        f"{name}: {'JobTimeout' if name == 'late' else 'BrokenThreadPool'}"
        for name in ("behind a key", "delayed", "late", "retrying", "running", "spilled", "waiting")
    ]
    assert parent.splitlines() == [
        "behind a key: result",
        "delayed: cancelled",
        "late: JobTimeout",
        "retrying: cancelled",
        "running: result",
        "spilled: result",
        "waiting: result",
    ]


@pytest.mark.parametrize("dropped", [False, True])
def test_a_program_with_nothing_but_delayed_and_retrying_jobs_ends(run_script, dropped):
    """At once, with nothing on stderr, whether somebody still holds the queue or not."""
    result = run_script(
        f"""
import threading, time
from ringpool import *
tried = threading.Event()

def fail():
    tried.set()
    raise OSError

def main():
    queue = WorkerQueue(2, 8, stuck_after=1000)
    futures = [queue.submit_later(1000, print, "delayed")]
    futures += [queue.submit(Job(fail, deadline=5000, retry=Retry(base=1000, cap=1000, jitter="none")))]
    assert tried.wait(20)
    while not queue.stats().retrying:  # who is still to fail when the program ends fails for good
        time.sleep(0.001)
    return None if {dropped} else (queue, futures)

kept = main()
"""
    )
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "")


def test_nothing_starts_once_stop_now_has_begun(until):
    """Keys that the purge frees, and back-offs that begin while it goes on: each job is cancelled or had started."""
    for _ in range(150):
        queue = WorkerQueue(4, 256)
        stopped = threading.Event()
        after = []

        def job(stopped=stopped, after=after):
            if stopped.is_set():
                after.append(1)
            raise OSError

        retry = Retry(base=0, attempts=None)
        jobs = [queue.submit(Job(job, key=i % 3 if i % 2 else None, retry=retry)) for i in range(40)]
        until(lambda queue=queue: queue.stats().retries > 20)
        queue.stop_now()
        assert queue.wait(WAIT)
        stopped.set()
        ends = {"cancelled" if job.cancelled() else type(job.exception(0)) for job in jobs}
        assert ends <= {"cancelled", OSError, CancelledError}  # the last: told at its very start
        assert after == []
