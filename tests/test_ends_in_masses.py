"""
Queues and executors that end in masses, and interpreters that do: every future is resolved, every process ends.

RINGPOOL_TEST_ENDS=10000 makes so many queues of the first test, and a fiftieth as many processes of the second; without
it they are as many as take a few seconds.
"""

import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor as StandardExecutor

import pytest

from ringpool import CoDel, Job, Lane, QueueFull, Retry, ThreadPoolExecutor, WorkerQueue

WAIT = 60
SUBMITTERS = 8
ENDS = int(os.environ.get("RINGPOOL_TEST_ENDS", 0))
POOLS = ENDS or 300
PROCESSES = ENDS // 50 or 12


# ---- pools -----------------------------------------------------------------------------


def fail():
    raise OSError


def executor(number):
    return ThreadPoolExecutor(1 + number % 3)


def queue(number, **options):
    return WorkerQueue(1 + number % 3, 1 + number % 9, report_unread=False, **options)


MAKE = {
    "executor": executor,
    "shared": queue,
    "ready": lambda number: queue(number, dispatch="ready"),
    "lanes": lambda number: WorkerQueue(3, 1 + number % 9, lanes={"a": Lane(), "b": Lane(1, reserve=1)}),
    "all planned": lambda number: queue(number, retry=Retry(base=0.0, attempts=2), shed=CoDel(), timeout=WAIT),
    "elastic": lambda number: queue(number, min_workers=1, idle_timeout=0.0),
}


def calls(kind, turn):
    """What is submitted, one after the other: plain calls, and of a queue every kind of job."""
    if kind == "executor":
        return (int,) if turn % 3 else (fail,)
    retry = Retry(base=0.0005, attempts=3, jitter="none")
    return [
        (int,),
        (fail,),
        (Job(int, key=turn % 2),),
        (Job(int, delay=0.001, priority=turn % 3),),
        (Job(fail, retry=retry, key="k" if turn % 2 else None),),
        (Job(int, expires_in=0.001, deadline=WAIT),),
        (Job(int, timeout=WAIT, lane="b" if kind == "lanes" else None),),
    ][turn % 7]


def submitter(me, kind, held, futures):
    pool = held[me]
    held[me] = None
    submit = getattr(pool, "try_submit", pool.submit) if me % 4 == 3 else pool.submit
    for turn in range(random.randrange(30)):
        try:
            futures.append(submit(*calls(kind, me + turn)))
        except QueueFull:
            continue
        except RuntimeError:  # QueueStopped too: it has ended
            return
        if turn % 3 == me % 3:
            futures[-1].cancel()


def stop(pool):
    pool.stop() if hasattr(pool, "stop") else pool.shutdown()


def stop_now(pool):
    pool.stop_now() if hasattr(pool, "stop") else pool.shutdown(wait=False, cancel_futures=True)


def drop(pool):
    """Whoever comes last lets it go."""


@pytest.mark.parametrize("end", [stop, stop_now, drop])
@pytest.mark.parametrize("kind", MAKE)
def test_every_future_is_resolved_however_its_pool_ends(run_in_threads, kind, end):
    """
    Eight threads submit, cancel and let go of the pool while one ends it, at a moment that chance decides.

    With a job left behind when its key is freed, or a wake-up missed, result() runs into its limit.
    """
    for number in range(-(-POOLS // (3 * len(MAKE)))):
        pool = MAKE[kind](number)
        held = [pool] * (SUBMITTERS + 1)
        futures = [[] for _ in held]
        del pool

        def body(me, held=held, futures=futures):
            if me < SUBMITTERS:
                return submitter(me, kind, held, futures[me])
            for _ in range(random.randrange(200)):
                pass
            ended, held[me] = held[me], None
            end(ended)

        run_in_threads(SUBMITTERS + 1, body)
        for future in sum(futures, []):
            try:
                future.exception(WAIT)
            except TimeoutError:
                pytest.fail(f"{future} of pool {number} was accepted and never resolved")
            except BaseException:
                assert future.cancelled()


# ---- processes ----------------------------------------------------------------------------

SCRIPT = """
import random, sys, threading
import faulthandler; faulthandler.dump_traceback_later(50, exit=True)
from ringpool import Job, Retry, ThreadPoolExecutor, WorkerQueue
random.seed(int(sys.argv[1]))

def fail():
    raise OSError

def spin():
    for _ in range(random.randrange(20_000)):
        pass

queues = [WorkerQueue(random.randrange(1, 5), 200, dispatch=d, report_unread=False) for d in ("shared", "ready")]
executors = [ThreadPoolExecutor(random.randrange(1, 5)) for _ in range(2)]
for turn in range(random.randrange(100)):
    for pool in queues + executors:
        pool.submit(spin if turn % 5 else fail)
    for queue in queues:
        queue.submit(Job(spin, delay=random.choice([0, 0.001, 1000])))
        queue.submit(Job(fail, key=turn % 3, retry=Retry(base=random.choice([0, 0.001, 1000]), cap=1000)))
        if turn % 7 == 0:
            queue.submit(Job(spin, deadline=1000, expires_in=random.choice([0.001, 1000])))
        if turn % 25 == 0:
            queue.submit(queue.submit, int) if turn % 2 else queue.submit(executors[0].submit, spin)
results = queues[0].results() if random.random() < 0.5 else None
if random.random() < 0.3:
    del queues, executors, pool, queue
elif random.random() < 0.3:
    threading.Thread(target=lambda: [queue.stop_now() for queue in queues]).start()
"""


def test_interpreters_exit_with_work_queued(tmp_path):
    """
    At any moment, with plain, delayed, keyed and retrying jobs of both kinds of pool: no hang, no crash, not a word.
    """
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def run(seed):
        done = subprocess.run(
            [sys.executable, str(script), str(seed)], capture_output=True, text=True, timeout=WAIT, env=environment
        )
        return seed, done.returncode, done.stdout, done.stderr

    with StandardExecutor(4) as several:
        ends = list(several.map(run, range(PROCESSES)))
    assert ends == [(seed, 0, "", "") for seed in range(PROCESSES)]
