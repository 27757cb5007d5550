"""Ctrl-C in each call that waits, of queue, executor, future, group, race, batcher and map: answered within 100 ms."""

import os
import signal
import threading
import time
from concurrent import futures

import pytest

from ringpool import Job, ThreadPoolExecutor, WorkerQueue, current_job, race

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")

WAIT = 30
ANSWERED = 0.1  # seconds, as promised; 50 ms of them between two looks
TRIES = 3  # of which one must be as quick: the rest may be the machine's


def leave(context):
    with context:
        pass


def leave_group(queue):
    # Waits for its jobs even so, which are asked to end.
    with queue.group() as group:
        group.submit(lambda: current_job().sleep(WAIT))


def batcher(queue, gate):
    return queue.batch(lambda items: [gate() for _ in items], 1, 0)


# A queue of one worker, which is at *gate*, with its one place taken; *job* is what holds the worker up.
QUEUE = {
    "submit": lambda queue, job, gate: queue.submit(int),
    "submit a Job": lambda queue, job, gate: queue.submit(Job(int, priority=1)),
    "submit_later": lambda queue, job, gate: queue.submit_later(1, int),
    "submit_within": lambda queue, job, gate: queue.submit_within(WAIT, int),
    "submit_many": lambda queue, job, gate: queue.submit_many(int, "123"),
    "map": lambda queue, job, gate: queue.map(int, "123"),
    "results": lambda queue, job, gate: next(queue.results()),
    "result": lambda queue, job, gate: job.result(),
    "result with a limit": lambda queue, job, gate: job.result(WAIT),
    "exception": lambda queue, job, gate: job.exception(),
    "wait": lambda queue, job, gate: queue.wait(),
    "stop": lambda queue, job, gate: queue.stop(),
    "stop with a limit": lambda queue, job, gate: queue.stop(WAIT),
    "leaving the block": lambda queue, job, gate: leave(queue),
    "futures.wait": lambda queue, job, gate: futures.wait([job]),
    "futures.as_completed": lambda queue, job, gate: next(futures.as_completed([job])),
    "group.submit": lambda queue, job, gate: leave_group(queue),
}
# A queue of two workers and much room, one of which is at *gate*.
ROOMY = {
    "map, reading": lambda queue, job, gate: list(queue.map(lambda _: gate(), "1")),
    "race": lambda queue, job, gate: race(queue, gate, gate),
    "leaving a group": lambda queue, job, gate: leave_group(queue),
    "group.as_completed": lambda queue, job, gate: next(_in_group(queue, gate).as_completed()),
    "group.results": lambda queue, job, gate: next(_in_group(queue, gate).results()),
    "batch, result": lambda queue, job, gate: batcher(queue, gate).submit(1).result(),
    "batch, close": lambda queue, job, gate: _filled(batcher(queue, gate)).close(),
}
EXECUTOR = {
    "executor.map": lambda pool, job, gate: list(pool.map(lambda _: gate(), "1")),
    "executor.shutdown": lambda pool, job, gate: pool.shutdown(),
    "leaving the executor": lambda pool, job, gate: leave(pool),
    "executor, result": lambda pool, job, gate: job.result(),
}


def _in_group(queue, gate):
    group = queue.group()
    group.__enter__()
    group.submit(gate)
    return group


def _filled(batcher):
    batcher.submit(1)
    return batcher


CALLS = [(kind, name) for kind in ("QUEUE", "ROOMY", "EXECUTOR") for name in globals()[kind]]
MAKE = {
    "QUEUE": lambda: WorkerQueue(1, 1),
    "ROOMY": lambda: WorkerQueue(2, 64),
    "EXECUTOR": lambda: ThreadPoolExecutor(1),
}


def interrupted(kind, name, gate):
    """Seconds from the signal to its exception."""
    pool = MAKE[kind]()
    job = pool.submit(gate)
    gate.wait_until_entered()
    if kind == "QUEUE":
        pool.submit(int)
    main = threading.main_thread().ident
    sent = []

    def send():
        sent.append(time.monotonic())
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(0.03, send)
    try:
        with pytest.raises(KeyboardInterrupt):
            timer.start()  # in here: on a busy machine it may still wait for its thread then
            globals()[kind][name](pool, job, gate)
        took = time.monotonic() - sent[0]
    finally:
        timer.join()
        gate.open()
        pool.stop(WAIT) if hasattr(pool, "stop") else pool.shutdown()
    assert job.done()
    return took


@pytest.fixture
def ctrl_c():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("kind", "name"), CALLS, ids=[name for _, name in CALLS])
def test_ctrl_c_is_answered_within_100_ms(kind, name, gate, ctrl_c):
    """
    Its exception comes out, and the pool ends as if nothing had been.
    """
    took = []
    for _ in range(TRIES):
        took.append(interrupted(kind, name, type(gate)()))
        if took[-1] < ANSWERED:
            return
    pytest.fail(f"answered after {took} s")
