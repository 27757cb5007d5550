"""Faults at exit, at fork, and of pools that are dropped; the numbers are those of the fault catalogue."""

import gc
import os
import threading
import time
import weakref

import pytest

from ringpool import ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PREAMBLE = """
import os, sys, threading, warnings
from ringpool import ThreadPoolExecutor
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

def check_child(pid, seconds=15):
    # Ends the child after that time, so that its hang is seen as a failure.
    import signal, time
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"
"""


@pytest.fixture
def outcome(run_script):
    """
    Run a script and return its lines, its errors, and its exit status.
    """

    def run(source, **options):
        process = run_script(PREAMBLE + source, **options)
        return process.stdout.splitlines(), process.stderr, process.returncode

    return run


# ---- exit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "errors", "status"),
    [("", "", 0), ("sys.exit(0)", "", 0), ("sys.exit(3)", "", 3), ("raise SystemExit('bye')", "bye\n", 1)],
    ids=["end", "exit_0", "exit_3", "message"],
)
def test_queued_jobs_run_before_the_interpreter_exits(end, errors, status, outcome):
    """
    Fault 28: all of them, with nothing on stderr and the exit status unchanged.
    """
    lines, stderr, returncode = outcome(
        f"""
started = threading.Event()
pool = ThreadPoolExecutor(2)
for _ in range(2):
    pool.submit(lambda: started.wait(20) and threading.main_thread().join(0.05))
for i in range(5_000):
    pool.submit(say, i)
started.set()
{end}
"""
    )
    assert (sorted(map(int, lines)), stderr, returncode) == (list(range(5_000)), errors, status)


def test_queued_jobs_run_when_main_ends_in_an_exception(outcome):
    """
    Fault 28: the traceback on stderr is that of the exception, and the only one.
    """
    lines, stderr, returncode = outcome("pool = ThreadPoolExecutor(1)\npool.submit(say, 'ran')\n1 / 0\n")

    assert (lines, returncode) == (["ran"], 1)
    assert (stderr.count("Traceback"), stderr.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")


REFUSAL = "cannot schedule new futures after "


def test_submit_in_atexit_is_refused(outcome):
    """
    Fault 29: no thread can be waited for any more, in old pools and in new ones.
    """
    lines, stderr, status = outcome(
        """
import atexit

def late(make):
    try:
        make().submit(say, "ran")
    except RuntimeError as error:
        say(error)

used, unused = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
used.submit(int)
for make in (lambda: used), (lambda: unused), (lambda: ThreadPoolExecutor(1)):
    atexit.register(late, make)
"""
    )
    assert (lines, stderr, status) == (3 * [REFUSAL + "interpreter shutdown"], "", 0)


def test_job_that_submits_during_exit_is_told(outcome):
    """
    Fault 29: the drain has begun, so the job's own submit is refused, and the
    jobs that were queued before run all the same.
    """
    lines, stderr, status = outcome(
        """
def job():
    ended.wait(15)
    try:
        while True:
            pool.submit(int)
    except RuntimeError as error:
        say(error)

pool, ended = ThreadPoolExecutor(1), threading.Event()
pool.submit(job)
pool.submit(say, "queued")
ended.set()
"""
    )
    assert (lines, stderr, status) == ([REFUSAL + "interpreter shutdown", "queued"], "", 0)


def test_thread_that_outlives_main_may_submit_or_is_refused(outcome):
    """
    Fault 30: a non-daemon thread goes on after main; what it submits is run or
    refused, and never kept.
    """
    lines, stderr, status = outcome(
        """
def outlive():
    accepted = []
    try:
        while True:
            accepted.append(pool.submit(int))
    except RuntimeError as error:
        say(error)
    say(all(future.result(15) == 0 for future in accepted))

pool = ThreadPoolExecutor(2)
threading.Thread(target=outlive).start()
"""
    )
    assert (lines, stderr, status) == ([REFUSAL + "interpreter shutdown", "True"], "", 0)


def test_workers_made_by_workers_during_exit_are_joined(outcome):
    """
    Fault 31: jobs that make pools while the interpreter exits; every job that
    was accepted is run.
    """
    lines, stderr, status = outcome(
        """
from itertools import count
accepted, ran, numbers = count(), count(), count()
keep = []

def job(depth):
    next(ran)
    pool = ThreadPoolExecutor(2)
    keep.append(pool)
    try:
        for _ in range(2 if depth else 0):
            pool.submit(job, depth - 1)
            next(accepted)
    except RuntimeError:
        pass

pool = ThreadPoolExecutor(4)
import atexit
atexit.register(lambda: say(next(ran) - next(accepted)))
for _ in range(20):
    pool.submit(job, 4)
    next(accepted)
"""
    )
    assert (lines, stderr, status) == (["0"], "", 0)


def test_first_import_at_exit_works_or_says_why_not(run_script):
    """
    Fault 32: nothing can be registered for an exit that has begun.
    """
    process = run_script(
        """
import atexit

@atexit.register
def late():
    try:
        import ringpool
    except RuntimeError as error:
        print(error)
    else:
        print("imported")
"""
    )
    assert process.stdout in ("can't register atexit after shutdown\n", "imported\n")
    assert (process.stderr, process.returncode) == ("", 0)


def test_no_worker_runs_while_the_interpreter_is_finalized(outcome):
    """
    Fault 33: the workers have ended before atexit functions run, whatever the
    job does, and are no daemons.
    """
    lines, stderr, status = outcome(
        """
import atexit, hashlib
atexit.register(lambda: say(threading.active_count(), [worker.is_alive() for worker in workers]))

def native(began=threading.Event()):
    hashlib.sha256(bytes(50_000_000))       # without the GIL

pool, idle = ThreadPoolExecutor(2), ThreadPoolExecutor(1)
idle.submit(int).result(15)
for _ in range(4):
    pool.submit(native)
workers = [*pool._threads, *idle._threads]
say(any(worker.daemon for worker in workers))
"""
    )
    assert (lines, stderr, status) == (["False", "1 [False, False, False]"], "", 0)


@pytest.mark.parametrize(
    ("end", "status"),
    [("os._exit(3)", 3), ("os.abort()", -6), ("os.kill(os.getpid(), 9)", -9)],
    ids=["_exit", "abort", "kill"],
)
@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_abrupt_end_loses_what_is_queued_and_does_not_wait(end, status, run_script):
    """
    Fault 34: lost by contract, at once, and without a word of ours.
    """
    process = run_script(
        f"""
import os, resource, threading
from ringpool import ThreadPoolExecutor
faulthandler.disable()
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
pool, started = ThreadPoolExecutor(1), threading.Event()
pool.submit(lambda: (started.set(), threading.Event().wait()))
pool.submit(print, "ran")
started.wait(15)
{end}
"""
    )
    assert (process.stdout, process.stderr, process.returncode) == ("", "", status)


# ---- a pool that is dropped ----------------------------------------------------------------


def test_dropped_pool_drains_and_ends_its_threads_without_the_collector(gate):
    """
    Fault 35: no cycle keeps the pool, and no worker does.
    """
    gc.disable()
    try:
        pool = ThreadPoolExecutor(2)
        dropped = weakref.ref(pool)
        jobs = [pool.submit(gate, i) for i in range(10)]
        threads = list(pool._threads)
        gate.wait_until_entered(2)
        del pool
        assert dropped() is None
        gate.open()
        assert [job.result(WAIT) for job in jobs] == list(range(10))
        for thread in threads:
            thread.join(WAIT)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        gc.enable()


def test_pool_dropped_in_its_own_worker_drains():
    """
    Fault 35, where the last reference is the job's.
    """
    ran, threads = threading.Event(), []

    def job(pool):
        threads.extend(pool._threads)
        pool.submit(ran.set)

    ThreadPoolExecutor(1).submit(job, ThreadPoolExecutor(1)).result(WAIT)
    assert ran.wait(WAIT)
    pool = ThreadPoolExecutor(1)
    pool.submit(lambda pool: threads.extend(pool._threads), pool)
    del pool
    deadline = time.monotonic() + WAIT
    while not threads or any(thread.is_alive() for thread in threads):
        assert time.monotonic() < deadline, "the worker of a dropped pool goes on"
        gc.collect()


# ---- fork --------------------------------------------------------------------------------------


@needs_fork
def test_forked_child_fails_what_was_pending_and_starts_anew(outcome):
    """
    Fault 36: the child has no threads but this one; the parent notices nothing.
    """
    lines, stderr, status = outcome(
        """
from concurrent.futures.thread import BrokenThreadPool

gate, began = threading.Event(), threading.Event()
pool = ThreadPoolExecutor(1)
done = pool.submit(int, "7")
done.result(15)
running = pool.submit(lambda: (began.set(), gate.wait(15)))
queued = [pool.submit(int) for _ in range(2_000)]       # more than the ring holds
began.wait(15)
pid = os.fork()
if not pid:
    say(done.result(0), pool.submit(int, "1").result(10), len(pool._threads))
    say({type(job.exception(0)) for job in [running, *queued]} == {BrokenThreadPool})
    pool.shutdown()
    os._exit(0)
say(check_child(pid))
gate.set()
say(running.result(15)[1], sum(job.result(15) for job in queued), pool.submit(int, "2").result(15))
"""
    )
    assert (lines, stderr, status) == (["7 1 1", "True", "0", "True 0 2"], "", 0)


@needs_fork
def test_forked_child_exits_cleanly_with_a_pool_of_its_parents(outcome):
    """
    Fault 36: nothing in the child waits for the parent's threads at exit.
    """
    lines, stderr, status = outcome(
        """
gate = threading.Event()
pool, idle, unused = ThreadPoolExecutor(2), ThreadPoolExecutor(2), ThreadPoolExecutor(2)
idle.submit(int).result(15)
pool.submit(gate.wait, 15)
pool.submit(int)
faulthandler.cancel_dump_traceback_later()      # at exit the child would wait for that thread
pid = os.fork()
if not pid:
    faulthandler.dump_traceback_later(10, exit=True)
    say(unused.submit(int, "1").result(10))
    sys.exit(5)
say(check_child(pid))
gate.set()
"""
    )
    assert (lines, stderr, status) == (["1", "5"], "", 0)


@needs_fork
def test_shut_down_pool_is_shut_down_in_the_child(outcome):
    """
    Fault 36: a fork does not undo a shutdown.
    """
    lines, stderr, status = outcome(
        """
pool = ThreadPoolExecutor(1)
pool.submit(int).result(15)
pool.shutdown()
pid = os.fork()
if not pid:
    try:
        pool.submit(int)
    except RuntimeError as error:
        say(error)
    os._exit(0)
say(check_child(pid))
"""
    )
    assert (lines, stderr, status) == ([REFUSAL + "shutdown", "0"], "", 0)


@needs_fork
def test_job_may_fork_and_its_child_may_submit(outcome):
    """
    Fault 37: the child's only thread was a worker, and is a plain thread now.
    """
    lines, stderr, status = outcome(
        """
def job():
    pid = os.fork()
    if not pid:
        say(pool.submit(int, "1").result(10))
        pool.shutdown()
        os._exit(0)
    return check_child(pid)

pool = ThreadPoolExecutor(1)
say(pool.submit(job).result(20))
say(pool.submit(int, "2").result(15))
"""
    )
    assert (lines, stderr, status) == (["1", "0", "2"], "", 0)


@needs_fork
def test_child_forked_while_others_submit_finds_no_lock_held(outcome):
    """
    Fault 37: whatever moment the fork catches the other threads at.
    """
    lines, stderr, status = outcome(
        """
stop = threading.Event()

def hammer():
    while not stop.is_set():
        jobs = [pool.submit(int) for _ in range(100)]
        jobs[0].add_done_callback(id)
        jobs[-1].cancel()
        jobs[-2].exception(15)

pool = ThreadPoolExecutor(2)
threads = [threading.Thread(target=hammer) for _ in range(3)]
for thread in threads:
    thread.start()
results = []
for _ in range(60):
    pid = os.fork()
    if not pid:
        os._exit(pool.submit(int, "1").result(10))
    results.append(check_child(pid))
    if results[-1] != 1:
        break
stop.set()
for thread in threads:
    thread.join()
say(set(results))
"""
    )
    assert (lines, stderr, status) == (["{1}"], "", 0)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_exit_waits_for_jobs_while_another_thread_waits_for_a_result(outcome):
    """
    Fault 40: sys.exit() in main ends nobody's wait; the jobs are run first.
    """
    lines, stderr, status = outcome(
        """
def wait_elsewhere():
    say("result", job.result(15))

began, gate = threading.Event(), threading.Event()
pool = ThreadPoolExecutor(1)
pool.submit(lambda: (began.set(), gate.wait(15)))
job = pool.submit(int, "5")
threading.Thread(target=wait_elsewhere).start()
began.wait(15)
threading.Timer(0.1, gate.set).start()
sys.exit(4)
"""
    )
    assert (lines, stderr, status) == (["result 5"], "", 4)
