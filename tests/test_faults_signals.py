"""Faults of signals and time limits while somebody waits; the numbers are those of the fault catalogue."""

import math
import os
import signal
import threading
import time
from concurrent import futures

import pytest

from ringpool import Future, ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed
PROMPT = 0.5  # seconds within which a handler must have run; it takes a tenth of it

posix = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")


NUMBERS = range(2_000)


class Alarm(Exception):
    """Raised by the handlers of these tests, as KeyboardInterrupt is by that of Ctrl-C."""


@pytest.fixture
def handle():
    """
    Install a signal handler for the length of a test.
    """
    before = {}

    def install(number, handler):
        before.setdefault(number, signal.signal(number, handler))

    yield install
    for number, handler in before.items():
        signal.signal(number, handler)


class Sender:
    """Sends this process a signal once the main thread has had time to block, and notes when."""

    def __init__(self, number, after=0.1):
        self._number = number
        self._timer = threading.Timer(after, self._send)
        self.sent = None

    def _send(self):
        self.sent = time.monotonic()
        os.kill(os.getpid(), self._number)

    def __enter__(self):
        self._timer.start()
        return self

    def __exit__(self, *_):
        self._timer.join()


def with_block(pool):
    with pool:
        pass


BLOCKING = {
    "result": lambda pool, job: job.result(),
    "result_timeout": lambda pool, job: job.result(WAIT),
    "exception": lambda pool, job: job.exception(),
    "wait": lambda pool, job: futures.wait([job]),
    "as_completed": lambda pool, job: list(futures.as_completed([job])),
    "map": lambda pool, job: list(pool.map(int, "12")),
    "shutdown": lambda pool, job: pool.shutdown(wait=True),
    "exit": lambda pool, job: with_block(pool),
}


@posix
@pytest.mark.parametrize("number", ["SIGINT", "SIGALRM"])
@pytest.mark.parametrize("call", BLOCKING)
def test_signal_handler_runs_while_main_waits_and_its_exception_comes_out(call, number, gate, handle):
    """
    Faults 41 and 42: at once, and the pool is none the worse for it.
    """
    ran_at = []

    def handler(*_):
        ran_at.append(time.monotonic())
        raise Alarm

    handle(getattr(signal, number), handler)
    pool = ThreadPoolExecutor(1)
    job = pool.submit(gate, "result")
    queued = pool.submit(int, "7")
    gate.wait_until_entered()
    with Sender(getattr(signal, number)) as sender, pytest.raises(Alarm):
        BLOCKING[call](pool, job)

    assert ran_at[0] - sender.sent < PROMPT
    gate.open()
    assert (job.result(WAIT), queued.result(WAIT)) == ("result", 7)
    pool.shutdown()


@posix
def test_signal_handler_runs_while_workers_run_one_native_job_after_the_other(gate, handle):
    """
    Fault 41: jobs in which no Python code runs, and in which nobody would give
    up the GIL, are no reason to keep it from one to the next.
    """
    ran_at = []

    def handler(*_):
        ran_at.append(time.monotonic())
        raise Alarm

    handle(signal.SIGALRM, handler)
    pool = ThreadPoolExecutor(1)
    pool.submit(gate)
    jobs = [pool.submit(sum, NUMBERS) for _ in range(100_000)]
    gate.open()
    before = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(Alarm):
        jobs[-1].result(WAIT)
    pool.shutdown(cancel_futures=True)

    assert ran_at[0] - before < 0.1 + PROMPT


@posix
@pytest.mark.parametrize("call", ["result", "exception", "shutdown"])
def test_wait_goes_on_after_a_handler_that_returns(call, gate, handle):
    """
    Fault 41: a signal is no reason to come back without a result.
    """
    handled = []

    def handler(*_):
        handled.append(1)
        gate.open()

    handle(signal.SIGALRM, handler)
    pool = ThreadPoolExecutor(1)
    job = pool.submit(gate)
    gate.wait_until_entered()
    with Sender(signal.SIGALRM):
        assert BLOCKING[call](pool, job) is None

    assert (handled, job.done()) == ([1], True)
    pool.shutdown()


@posix
def test_second_signal_ends_a_second_shutdown(gate, handle):
    """
    Fault 42: Ctrl-C works as often as it is pressed.
    """

    def handler(*_):
        raise Alarm

    handle(signal.SIGINT, handler)
    pool = ThreadPoolExecutor(1)
    job = pool.submit(gate, "result")
    gate.wait_until_entered()
    for _ in range(3):
        with Sender(signal.SIGINT), pytest.raises(Alarm):
            pool.shutdown(wait=True)
    gate.open()
    pool.shutdown()

    assert job.result(0) == "result"


@posix
def test_ctrl_c_in_a_script_ends_the_wait_and_exit_still_runs_the_jobs(run_script):
    """
    Fault 42, the whole way: KeyboardInterrupt in main, then the drain at exit.
    """
    process = run_script(
        """
import os, signal, threading
from ringpool import ThreadPoolExecutor

gate = threading.Event()
pool = ThreadPoolExecutor(1)
pool.submit(gate.wait, 15)
pool.submit(print, "queued ran", flush=True)
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    pool.shutdown()
except KeyboardInterrupt:
    print("interrupted", flush=True)
threading.Timer(0.1, gate.set).start()
"""
    )
    assert (process.stdout, process.stderr, process.returncode) == ("interrupted\nqueued ran\n", "", 0)


@posix
def test_second_ctrl_c_ends_the_wait_at_exit(run_script):
    """
    Fault 42: who presses again does not want to wait for a job that never ends.
    """
    process = run_script(
        """
import os, signal, threading
from ringpool import ThreadPoolExecutor

pool = ThreadPoolExecutor(1)
pool.submit(threading.Event().wait, 60)

def press_until_it_ends():
    for _ in range(20):
        threading.Event().wait(0.2)
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press_until_it_ends, daemon=True).start()
pool.shutdown()
""",
        timeout=20,
    )
    assert process.stderr.count("KeyboardInterrupt") >= 2, process.stderr
    assert "Timeout (" not in process.stderr


@posix
def test_main_thread_of_a_forked_worker_answers_signals(run_script):
    """
    Fault 41 after fault 37: in the child the worker that forked is the main thread.
    """
    process = run_script(
        """
import os, signal, sys, threading, warnings
from ringpool import ThreadPoolExecutor
warnings.simplefilter("ignore")

NUMBERS = range(2_000)


class Alarm(Exception):
    pass

def raise_alarm(*_):
    raise Alarm

def job():
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    signal.alarm(20)                            # whatever else happens
    signal.signal(signal.SIGALRM, raise_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        pool.submit(threading.Event().wait, 60).result()
    except Alarm:
        os._exit(7)
    os._exit(1)

pool = ThreadPoolExecutor(1)
print(pool.submit(job).result(20))
"""
    )
    assert (process.stdout, process.stderr, process.returncode) == ("7\n", "", 0)


# ---- time limits ---------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("call", ["result", "exception"])
def test_storm_of_signals_neither_shortens_nor_stretches_a_timeout(call, gate, handle):
    """
    Fault 43: 1 kHz of interrupted waits, each of which must go on with the rest.
    """
    handled = []
    handle(signal.SIGALRM, lambda *_: handled.append(1))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate)
        gate.wait_until_entered()
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                getattr(future, call)(0.5)
            took = time.monotonic() - began
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            gate.open()
    assert 0.5 <= took < 0.5 + PROMPT
    assert handled


@pytest.mark.parametrize(
    "timeout", [0, -1, -0.0, 1e-9, -math.inf, -(2**70), -(10**400), False], ids=lambda t: str(t)[:8]
)
@pytest.mark.parametrize("how", ["result", "exception"])
def test_timeout_of_nothing_is_one_look(how, timeout, gate):
    """
    Fault 44: whatever there is is returned, and what is not is not waited for.
    """
    with ThreadPoolExecutor(1) as pool:
        pending, done = pool.submit(gate), pool.submit(int)
        done.cancel()
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(TimeoutError):
                getattr(pending, how)(timeout)
            with pytest.raises(futures.CancelledError):
                getattr(done, how)(timeout)
        assert time.monotonic() - began < PROMPT
        gate.open()
        done = pool.submit(int)
        done.result(WAIT)
        assert getattr(done, how)(timeout) == (0 if how == "result" else None)


def test_timeout_true_is_one_second(gate):
    """
    Fault 44: a bool is a number, here as everywhere.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            future.result(True)
        assert 1 <= time.monotonic() - began < 1 + PROMPT
        gate.open()


@pytest.mark.parametrize("how", ["result", "exception"])
def test_timeout_nan_is_refused(how, gate):
    """
    Fault 45: it compares false with everything, and so would wait for ever.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate)
        with pytest.raises(ValueError, match="timeout must not be NaN"):
            getattr(future, how)(math.nan)
        with pytest.raises(ValueError, match="timeout must not be NaN"):
            pool.map(int, "1", timeout=math.nan)
        gate.open()


@pytest.mark.parametrize("how", ["result", "exception"])
def test_timeout_that_is_no_number_is_refused(how, gate):
    """
    Fault 45: before the wait, not after it.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate)
        for timeout in ("1", [], 1j):
            with pytest.raises(TypeError):
                getattr(future, how)(timeout)
        gate.open()


@pytest.mark.parametrize(
    "timeout", [math.inf, 1e300, 2**63, 2**70, 10**400, threading.TIMEOUT_MAX * 2, 9e9, 9.3e9], ids=lambda t: str(t)[:8]
)
@pytest.mark.parametrize("how", ["result", "exception"])
def test_huge_timeout_waits_for_ever(how, timeout, gate):
    """
    Fault 46: what is beyond the clock is no error and must not wrap to a short wait.
    """
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        future = pool.submit(gate, "result")
        gate.wait_until_entered()
        waiter = others.submit(getattr(future, how), timeout)
        assert not futures.wait([waiter], 0.1).done
        gate.open()
        assert waiter.result(WAIT) == ("result" if how == "result" else None)
        assert list(pool.map(int, "12", timeout=timeout)) == [1, 2]


def test_timeout_applies_to_a_future_without_a_pool():
    """
    Faults 44 to 46 hold for a future that its user settles.
    """
    future = Future()
    with pytest.raises(TimeoutError):
        future.result(0)
    with pytest.raises(ValueError, match="NaN"):
        future.result(math.nan)
    threading.Timer(0.05, future.set_result, ("by hand",)).start()
    assert future.result(math.inf) == "by hand"
