"""install_signal_handlers(): real signals, sent to real processes."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from ringpool import ThreadPoolExecutor, WorkerQueue
from ringpool.signals import install_signal_handlers

WAIT = 30
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals between processes")

PRELUDE = """
import faulthandler, os, signal, sys, threading
faulthandler.dump_traceback_later(25, exit=True)
from concurrent.futures import CancelledError
from ringpool import QueueStopped, WorkerQueue, current_job
from ringpool.signals import install_signal_handlers

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def told():
    assert sys.stdin.readline() == "go on\\n"
"""


class Process:
    """A script that says lines, gets signals and is told to go on; it cannot hang, and neither can we."""

    def __init__(self, script):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._watchdog = threading.Timer(WAIT, self._process.kill)
        self._watchdog.start()

    def expect(self, line):
        assert self._process.stdout.readline() == line + "\n"

    def send(self, name):
        self._process.send_signal(getattr(signal, name))

    def go_on(self):
        self._process.stdin.write("go on\n")
        self._process.stdin.flush()

    def end(self):
        """What it still said, and its exit status; it must not have complained."""
        said, complaints = self._process.communicate(timeout=WAIT)
        assert complaints == ""
        return said.splitlines(), self._process.returncode

    def close(self):
        self._process.kill()
        self._process.communicate(timeout=WAIT)
        self._watchdog.cancel()
        self._watchdog.join(WAIT)


@pytest.fixture
def start(tmp_path):
    """
    Start a process that runs the given source after the prelude.
    """
    processes = []

    def run(source):
        script = tmp_path / "script.py"
        script.write_text(PRELUDE + source)
        processes.append(Process(script))
        return processes[-1]

    yield run
    for process in processes:
        process.close()


BUSY = """
queue = WorkerQueue(1, 2)
in_job = threading.Event()

def slow():
    in_job.set()
    told()
    say("stopped" if current_job().cancelled else "finished")

with install_signal_handlers(queue) as handlers, queue:
    queue.submit(slow)
    in_job.wait(20)
    queued = queue.submit(say, "queued job ran")
    queued.add_done_callback(lambda job: job.cancelled() and say("cancelled"))
    say("ready")
    try:
        while True:
            queue.submit(int)  # the second of these waits for room
    except QueueStopped:
        say("drains")
say("left", *handlers.received)
"""


@posix
@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_the_first_signal_drains(start, first):
    """
    New jobs are refused; those that run and those that are queued finish; no KeyboardInterrupt.
    """
    process = start(BUSY)
    process.expect("ready")
    process.send(first)
    process.expect("drains")
    process.go_on()
    number = int(getattr(signal, first))
    assert process.end() == (["finished", "queued job ran", f"left {number}"], 0)


@posix
@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_the_second_signal_stops_now(start, second):
    """
    Whichever of them: queued jobs are cancelled and the running one is asked to stop,
    while the main thread waits at the end of the queue's block.
    """
    process = start(BUSY)
    process.expect("ready")
    process.send("SIGTERM")
    process.expect("drains")
    process.send(second)
    process.expect("cancelled")
    process.go_on()
    assert process.end() == (["stopped", f"left 15 {int(getattr(signal, second))}"], 0)


@posix
@pytest.mark.parametrize(("third", "status"), [("SIGINT", "KeyboardInterrupt"), ("SIGTERM", -15)])
def test_a_third_signal_has_the_effect_it_always_had(start, third, status):
    """
    A job that never looks must not make the program deaf.
    """
    process = start("""
queue = WorkerQueue(1, 2)
in_job = threading.Event()
go_on = threading.Event()
queue.submit(lambda: (in_job.set(), go_on.wait(20)))
in_job.wait(20)
queued = queue.submit(int)
before = signal.getsignal(signal.SIGTERM)
install_signal_handlers(queue)
say("ready")
try:
    try:
        while True:
            queue.submit(int)
    except QueueStopped:
        say("drains")
    while signal.getsignal(signal.SIGTERM) is not before:
        queue.wait(0.01)
    say("handlers are back")
    queue.wait()
except KeyboardInterrupt:
    say("KeyboardInterrupt")
    go_on.set()
    queue.stop()
""")
    process.expect("ready")
    process.send("SIGINT")
    process.expect("drains")
    process.send("SIGINT")
    process.expect("handlers are back")
    process.send(third)
    if status == "KeyboardInterrupt":
        process.expect("KeyboardInterrupt")
        assert process.end() == ([], 0)
    else:
        assert process.end() == ([], status)


@posix
def test_the_handler_does_not_wait(start):
    """
    The main thread goes on with what it was doing, here nothing that waits for the queue.
    """
    process = start("""
queue = WorkerQueue(1, 8)
in_job = threading.Event()
queue.submit(lambda: (in_job.set(), told()))
in_job.wait(20)
handlers = install_signal_handlers(queue)
signal.raise_signal(signal.SIGTERM)
say("handled while the job runs", not queue.wait(0))
""")
    process.expect("handled while the job runs True")
    process.go_on()
    assert process.end() == ([], 0)


@posix
def test_signals_at_any_moment_of_many_submits(start):
    """
    A handler that meets a lock of its own thread would hang; one signal each at 200 moments.
    """
    process = start("""
accepted = ran = 0
for round in range(200):
    count = []
    queue = WorkerQueue(2, 64)
    with install_signal_handlers(queue, [signal.SIGALRM]) as handlers:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + 0.00001 * round)
        futures = []
        try:
            while True:
                futures.append(queue.submit(count.append, 1))
        except QueueStopped:
            pass
        assert queue.stop(20).complete
    accepted += len(futures)
    ran += len(count)
    assert handlers.received == (signal.SIGALRM,)
say(accepted - ran)
""")
    (lost,), status = process.end()
    # What was accepted is run; a handler may raise nothing, so no future is lost either.
    assert (lost, status) == ("0", 0)


# ---- handlers before and after --------------------------------------------------------------


@pytest.fixture
def before():
    """
    Handlers of the test's own, which must be in force again at its end.
    """
    old = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    mine = {number: signal.getsignal(number) for number in old}
    yield mine
    now = {number: signal.getsignal(number) for number in old}
    for number, handler in old.items():
        signal.signal(number, handler)
    assert now == mine


@pytest.fixture
def queue():
    with WorkerQueue(1, 8) as queue:
        yield queue


def test_restore_brings_the_previous_handlers_back(queue, before):
    """
    By hand, any number of times, or by the block.
    """
    handlers = install_signal_handlers(queue)
    assert signal.getsignal(signal.SIGINT) is not before[signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGINT)
    handlers.restore()
    handlers.restore()
    assert {number: signal.getsignal(number) for number in before} == before
    with install_signal_handlers(queue, [signal.SIGINT]):
        assert signal.getsignal(signal.SIGTERM) is before[signal.SIGTERM]


def test_a_handler_installed_over_ours_stays_and_reaches_the_previous_one(queue):
    """
    Restoring in another order loses nobody's handler.
    """
    heard = []
    old = signal.signal(signal.SIGTERM, lambda *_: heard.append("first"))
    try:
        handlers = install_signal_handlers(queue, [signal.SIGTERM])
        ours = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *arguments: (heard.append("last"), ours(*arguments)))
        handlers.restore()
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, old)
    assert (heard, handlers.received) == (["last", "first"], ())
    assert queue.submit(int).result(WAIT) == 0


def test_not_outside_of_the_main_thread(queue, before, run_in_threads):
    """
    Python runs handlers in the main thread only.
    """
    with pytest.raises(RuntimeError, match=r"install_signal_handlers\(\) must be called in the main thread"):
        run_in_threads(1, lambda i: install_signal_handlers(queue))
    with install_signal_handlers(queue) as handlers:
        with pytest.raises(RuntimeError, match=r"restore\(\) must be called in the main thread"):
            run_in_threads(1, lambda i: handlers.restore())


@pytest.mark.parametrize(
    ("signals", "error", "message"),
    [
        ([], ValueError, "signals must have at least one signal"),
        (2, TypeError, "signals must be an iterable of signal numbers, got 2"),
        (["SIGINT"], TypeError, "signals must be an iterable of signal numbers, got 'SIGINT' in it"),
        ([[2]], TypeError, "signals must be an iterable of signal numbers, got [[2]]"),
        ([True], TypeError, "signals must be an iterable of signal numbers, got True in it"),
        ([2, 12345], ValueError, "signals must be valid signal numbers, got 12345"),
        pytest.param([2, 9], ValueError, "signals must not have SIGKILL: it cannot be handled", marks=posix),
    ],
)
def test_wrong_signals_are_named_and_change_nothing(queue, before, signals, error, message):
    """
    Also when the first of them was fine.
    """
    with pytest.raises(error) as info:
        install_signal_handlers(queue, signals)
    assert str(info.value) == message


def test_what_is_no_queue_is_refused(before):
    """
    An executor has no stop that does not wait.
    """
    with pytest.raises(TypeError, match="queue must be a WorkerQueue, got None"):
        install_signal_handlers(None)
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="queue must be a WorkerQueue"):
        install_signal_handlers(pool)
