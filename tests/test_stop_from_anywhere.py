"""A WorkerQueue may be ended from a job, a callback, many threads at once, a signal handler."""

import signal
import threading

import pytest

from ringpool import RunningJob, WorkerQueue

WAIT = 30
LIMIT = 10  # seconds given to a call that must return long before
MOMENT = 0.1  # seconds until what must not hold anybody up is let go

ENDS = {
    "stop": lambda queue: queue.stop(LIMIT),
    "stop_now": lambda queue: queue.stop_now(),
    "wait": lambda queue: queue.wait(LIMIT),
    "all": lambda queue: (queue.stop_now(), queue.stop(LIMIT), queue.wait(LIMIT)),
}
each_end = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)


@each_end
def test_a_job_may_end_its_own_queue(end):
    """
    It does not wait for itself.
    """
    queue = WorkerQueue(1, 8)
    job = queue.submit(end, queue)
    job.result(LIMIT / 2)
    assert queue.stop(WAIT).done == 1


def test_a_job_that_stops_its_queue_sees_itself_running():
    """
    And wait() tells False there: a job cannot see its own end.
    """
    queue = WorkerQueue(1, 8, name="own")
    job = queue.submit(lambda: (queue.stop(), queue.wait()))
    seen, waited = job.result(WAIT)

    assert (seen.running, seen.complete, waited) == ((RunningJob(job, "own_0"),), False, False)
    assert queue.stop(WAIT).complete


@each_end
@pytest.mark.parametrize("by", ["worker", "cancel", "stop_now"])
def test_a_done_callback_may_end_the_queue(end, by, gate):
    """
    Whichever thread runs it: the worker, the one that cancels, the one that stops.
    """
    queue = WorkerQueue(1, 8)
    called = threading.Event()

    def call(_):
        end(queue)
        called.set()

    queue.submit(gate)
    gate.wait_until_entered()
    job = queue.submit(int)
    job.add_done_callback(call)
    # stop() in the callback waits for the job at the gate, as it should
    opener = threading.Timer(MOMENT, gate.open)
    opener.start()
    ender = threading.Thread(target={"worker": gate.open, "cancel": job.cancel, "stop_now": queue.stop_now}[by])
    ender.start()
    soon = called.wait(LIMIT / 2)
    opener.join(WAIT)
    ender.join(WAIT)
    assert soon, "the callback waits for itself"
    assert queue.stop(WAIT).complete


@each_end
def test_many_threads_may_end_the_queue_at_once(end, run_in_threads):
    """
    All of them return, and all agree in the end.
    """
    for _ in range(50):
        queue = WorkerQueue(2, 64)
        for _ in range(20):
            queue.submit(int)
        run_in_threads(4, lambda i, queue=queue: end(queue))
        stats = queue.stop(WAIT)
        assert (stats.complete, stats.done + stats.cancelled) == (True, 20)


def test_two_queues_may_stop_each_other(run_in_threads):
    """
    A job that stops another queue waits for that one only.
    """
    left, right = WorkerQueue(1, 8), WorkerQueue(1, 8)
    left.submit(right.submit, right.stop, 0)
    assert left.submit(right.stop, WAIT).result(WAIT).complete
    assert left.stop(WAIT).complete


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("end", ["stop(20)", "stop_now()"])
def test_a_signal_handler_that_interrupted_a_submit_may_end_the_queue(run_script, end):
    """
    The classic Ctrl-C handler: it stops the queue in the middle of a call on it,
    which then comes back with QueueStopped.
    """
    result = run_script(f"""
import signal, threading
from ringpool import QueueStopped, WorkerQueue

go_on, in_job = threading.Event(), threading.Event()
queue = WorkerQueue(1, 1)
queue.submit(lambda: (in_job.set(), go_on.wait(20)))
in_job.wait(20)
queue.submit(int)

def handler(signum, frame):
    go_on.set()
    queue.{end}
    print("handled")

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    while True:
        queue.submit(int)
except QueueStopped as error:
    print(error)
print(queue.stop(20).complete)
""")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["handled", "WorkerQueue-0 takes no more jobs: it was stopped", "True"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize(
    "call",
    [
        "queue.submit(int)",
        "queue.submit_within(20, int)",
        "queue.submit_many(int, '1234')",
        "queue.stop()",
        "queue.stop(20)",
        "queue.wait()",
        "queue.__exit__(None, None, None)",
        "[*queue.results()]",
        "[*map(next, [results] * 9)]",
    ],
)
def test_a_signal_interrupts_each_call_that_waits(run_script, call):
    """
    The handler runs soon, its exception comes out, and the queue is as good as before.
    """
    result = run_script(f"""
import signal, threading, time
from ringpool import WorkerQueue

class Signal(BaseException):
    pass

go_on, in_job = threading.Event(), threading.Event()
queue = WorkerQueue(1, 1)
queue.submit(lambda: (in_job.set(), go_on.wait(20)))
in_job.wait(20)
queue.submit(int)
results = queue.results()

def handler(signum, frame):
    print("soon" if time.monotonic() - start < 5 else "late")
    raise Signal

signal.signal(signal.SIGALRM, handler)
for _ in range(2):
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        {call}
    except Signal:
        print("out")
go_on.set()
print(queue.stop(20).complete)
""")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == ["soon", "out", "soon", "out", "True"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_a_producer_that_a_signal_takes_away_passes_its_wake_up_on(run_script):
    """
    Room appears and the first in line is woken, but its signal handler raises:
    the room belongs to the next in line, whom nobody else will wake.
    """
    result = run_script("""
import os, signal, threading
from ringpool import WorkerQueue

class Signal(BaseException):
    pass

def say(word):
    os.write(1, f"{word}\\n".encode())

go_on, in_job = threading.Event(), threading.Event()
queue = WorkerQueue(1, 1)
queue.submit(lambda: (in_job.set(), go_on.wait(20)))
in_job.wait(20)
queued = queue.submit(int)
next_in_line = threading.Thread(target=lambda: say(queue.submit(int, "7").result(20)))

def handler(signum, frame):
    next_in_line.start()
    queue.wait(0.2)      # until it is in line
    go_on.set()
    queued.result(20)    # so there is room, and this thread's submit has been told
    raise Signal

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    queue.submit(int)
except Signal:
    say("out")
next_in_line.join(10)
say(queue.stop(20).complete)
""")
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.split()) == ["7", "True", "out"]


@pytest.mark.parametrize("pool", ["ThreadPoolExecutor(1)", "WorkerQueue(1, 8)"])
def test_a_destructor_at_a_workers_very_end_may_end_its_pool(run_script, pool):
    """
    Thread-local values go when the thread does, in that thread, which cannot join itself.
    """
    process = run_script(f"""
import threading
from ringpool import ThreadPoolExecutor, WorkerQueue

local, returned = threading.local(), threading.Event()

class Value:
    def __del__(self):
        pool.shutdown() if hasattr(pool, "shutdown") else pool.stop()
        returned.set()

def job():
    local.value = Value()

pool = {pool}
pool.submit(job).result(20)
pool.shutdown() if hasattr(pool, "shutdown") else pool.stop()
print(returned.wait(20))
""")
    assert (process.stdout, process.stderr, process.returncode) == ("True\n", "", 0)
