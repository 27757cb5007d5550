"""How a map ends early: time limits, close, shutdown, fork, exit. While all is well: test_map.py."""

import gc
import itertools
import math
import os
import signal
import sys
import threading
import time
import weakref
from concurrent.futures import CancelledError
from concurrent.futures.thread import BrokenThreadPool

import pytest

from ringpool import ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed
SOON = 5  # the same, where a failure would otherwise add up to minutes

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def until(condition):
    """
    Poll what has no event to wait for.
    """
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


class Items:
    """A function for map() that notes what it was called with; the items in *held* wait at the gate."""

    def __init__(self, gate, held=(0,)):
        self.ran = []
        self._gate = gate
        self._held = held

    def __call__(self, n):
        self.ran.append(n)
        return self._gate(n) if n in self._held else n


# ---- time limits ---------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, -1, 0.01, 1e-9])
def test_a_result_that_is_late_ends_the_iterator(timeout, gate):
    """
    And cancels what has not started.
    """
    job = Items(gate)
    with ThreadPoolExecutor(1) as pool:
        results = pool.map(job, range(10), timeout=timeout)
        gate.wait_until_entered()
        with pytest.raises(TimeoutError):
            next(results)
        assert next(results, "end") == "end"
        gate.open()
    assert job.ran == [0]


def test_the_limit_counts_from_the_call(gate):
    """
    However late reading begins, and also for a result behind others.
    """
    with ThreadPoolExecutor(1) as pool:
        results = pool.map(Items(gate, [1]), range(2), timeout=0.2)
        gate.wait_until_entered()
        assert not threading.Event().wait(0.3)
        begin = time.monotonic()
        assert next(results) == 0
        with pytest.raises(TimeoutError):
            next(results)
        assert time.monotonic() - begin < 0.15
        gate.open()


def test_a_result_that_is_there_is_never_late():
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        results = pool.map(lambda n: n == 9 and done.set(), range(10), timeout=0)
        pool.submit(done.wait, WAIT).result(WAIT)
        assert list(results) == [False] * 9 + [None]


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300])
def test_no_limit_is_none(timeout, gate):
    with ThreadPoolExecutor(1) as pool:
        results = pool.map(gate, [1], timeout=timeout)
        gate.wait_until_entered()
        gate.open()
        assert list(results) == [1]


def test_a_limit_that_is_no_number_is_refused():
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="NaN"):
        pool.map(int, "1", timeout=math.nan)


# ---- close and drop --------------------------------------------------------------------


def drop(holder):
    holder.clear()


def close(holder):
    holder[0].close()


@pytest.mark.parametrize("end", [close, drop])
@pytest.mark.parametrize("begun", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("buffersize", [None, 5])
def test_ending_it_cancels_the_rest_only_if_reading_has_begun(end, begun, buffersize, gate):
    """
    Unread, it may have been made for its effects.
    """
    job = Items(gate, [1])
    with ThreadPoolExecutor(1) as pool:
        holder = [pool.map(job, range(100), timeout=WAIT, buffersize=buffersize)]
        if begun:
            assert next(holder[0]) == 0
        gate.wait_until_entered()
        end(holder)
        gate.open()
    assert job.ran == ([0, 1] if begun else list(range(buffersize or 100)))


def test_a_closed_map_stays_closed():
    with ThreadPoolExecutor(1) as pool:
        results = pool.map(int, "123", timeout=WAIT)
        assert next(results) == 1
        results.close()
        results.close()
        assert list(results) == []


def test_the_break_of_a_loop_cancels_the_rest(gate):
    job = Items(gate, [1])
    with ThreadPoolExecutor(1) as pool:
        for _ in pool.map(job, range(1_000), timeout=WAIT):
            gate.wait_until_entered()
            break
        gate.open()
    assert job.ran == [0, 1]


@pytest.mark.parametrize("use", [next, lambda results: results.close()], ids=["next", "close"])
def test_a_second_thread_is_refused_while_one_waits(use, gate):
    """
    As by a generator; the one that waits gets its result.
    """
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        asked = threading.Event()
        results = pool.map(gate, asking(asked), timeout=WAIT, buffersize=1)
        waiter = others.submit(next, results)
        assert asked.wait(WAIT)
        with pytest.raises(ValueError, match="already in use"):
            use(results)
        gate.open()
        assert waiter.result(WAIT) == 0
        results.close()


def asking(asked):
    yield 0
    asked.set()  # from within next()
    yield 1


def test_an_input_that_asks_for_the_results_is_refused():
    """
    Further down in the same thread: it cannot get what it is itself to deliver.
    """
    refusals = []

    def numbers():
        yield 0
        for use in (next, lambda results: results.close()):
            with pytest.raises(ValueError, match="already in use"):
                use(results)
            refusals.append(use)
        yield 1

    with ThreadPoolExecutor(1) as pool:
        results = pool.map(abs, numbers(), timeout=WAIT, buffersize=1)
        assert (list(results), len(refusals)) == ([0, 1], 2)


# ---- maps within jobs and signal handlers ------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("buffersize", [None, 1, 3])
def test_items_may_map_on_their_own_pool_several_deep(workers, buffersize):
    """
    The worker that waits is the one that would have to run them.
    """

    def total(depth):
        return depth == 0 or sum(pool.map(total, [depth - 1] * 4, timeout=WAIT, buffersize=buffersize))

    with ThreadPoolExecutor(workers) as pool:
        assert pool.submit(total, 4).result(WAIT) == 256
        assert sum(pool.map(total, [3] * 4, timeout=WAIT)) == 256


def test_endless_recursion_ends_in_a_recursion_error():
    def job(depth):
        return depth and 1 + next(pool.map(job, [depth - 1], timeout=WAIT))

    with ThreadPoolExecutor(1) as pool:
        assert next(pool.map(job, [50], timeout=WAIT)) == 50
        with pytest.raises(RecursionError):
            next(pool.map(job, [100_000], timeout=WAIT))
        assert list(pool.map(int, "1", timeout=WAIT)) == [1]


def test_a_signal_handler_may_map_wherever_it_interrupts_submit():
    """
    Also where that is just starting the pool's first worker.
    """

    def attempt(moment):
        steps, seen = itertools.count(), []

        def trace(frame, event, arg):
            if next(steps) == moment:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
            return trace

        with ThreadPoolExecutor(2) as pool:
            signal.signal(signal.SIGINT, lambda *_: seen.extend(pool.map(int, "123", timeout=SOON)))
            sys.settrace(trace)
            try:
                outer = pool.submit(int, "2")
            finally:
                sys.settrace(None)
            assert outer.result(WAIT) == 2
        assert seen in ([], [1, 2, 3])
        return bool(seen)

    before = signal.getsignal(signal.SIGINT)
    tracing = sys.gettrace()
    try:
        moment = next(moment for moment in itertools.count() if not attempt(moment))
    finally:
        signal.signal(signal.SIGINT, before)
        sys.settrace(tracing)
    assert moment > 20, "submit was hardly interrupted at all"


# ---- shutdown ------------------------------------------------------------------------------------


def test_shutdown_that_cancels_tells_the_reader_while_an_item_still_runs(gate):
    job = Items(gate, [1])
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        results = pool.map(job, range(100), timeout=WAIT)
        gate.wait_until_entered()
        pool.shutdown(wait=False, cancel_futures=True)
        assert next(results) == 0
        claimed = others.submit(next, results)
        gate.open()
        assert claimed.result(WAIT) == 1
        with pytest.raises(CancelledError):
            next(results)
        assert next(results, "end") == "end"
    assert job.ran == [0, 1]


def test_shutdown_that_cancels_wakes_a_reader_of_what_has_not_started(gate):
    """
    The only worker stays where it is, in a job before the map.
    """
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        pool.submit(gate)
        gate.wait_until_entered()
        results = pool.map(int, "12")
        reader = others.submit(next, results)
        until(reader.running)
        pool.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(CancelledError):
            reader.result(SOON)
        gate.open()


def test_shutdown_that_drains_runs_every_item(gate):
    job = Items(gate)
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(job, range(1_000), timeout=WAIT)
        pool.shutdown(wait=False)
        gate.open()
        assert list(results) == list(range(1_000))


def test_shutdown_while_the_input_is_read_is_told_at_the_call(gate):
    """
    The item that runs finishes, those behind it are cancelled.
    """
    job = Items(gate)

    def numbers():
        yield from range(3)
        gate.wait_until_entered()
        pool.shutdown(wait=False)
        yield 3

    pool = ThreadPoolExecutor(1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.map(job, numbers())
    gate.open()
    pool.shutdown()
    assert job.ran == [0]


@pytest.mark.parametrize("buffersize", [None, 2])
def test_a_map_after_shutdown_is_refused(buffersize):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.map(int, "1", buffersize=buffersize)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_broken_initializer_is_told_to_the_reader(workers, gate, caplog):
    def initializer():
        gate()
        raise OSError

    pool = ThreadPoolExecutor(workers, initializer=initializer)
    results = pool.map(int, "123", timeout=WAIT)
    gate.open()
    with pytest.raises(BrokenThreadPool, match="initializer failed"):
        next(results)
    pool.shutdown()


def test_results_of_a_dropped_pool_still_come(gate):
    pool = ThreadPoolExecutor(2)
    threads, dropped = pool._threads, weakref.ref(pool)
    results = pool.map(gate, range(100), timeout=WAIT)
    gate.wait_until_entered()
    del pool
    gc.collect()
    assert dropped() is None
    gate.open()
    assert list(results) == list(range(100))
    for thread in list(threads):
        thread.join(WAIT)


def test_with_a_window_a_dropped_pool_ends_it_early():
    """
    As the standard library's: nobody is left to take more items.
    """
    pool = ThreadPoolExecutor(1)
    results = pool.map(abs, range(100), timeout=WAIT, buffersize=3)
    assert next(results) == 0
    del pool
    gc.collect()
    assert list(results) == [1, 2, 3]


def test_a_runner_taken_out_of_the_queue_and_cancelled_is_told_to_the_reader(gate):
    """
    As frameworks do that drain ``_work_queue``: nobody is left to run the items.
    """
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        pool.submit(gate)
        gate.wait_until_entered()
        results = pool.map(int, "123")
        reader = others.submit(next, results)
        until(reader.running)
        assert pool._work_queue.get_nowait().future.cancel()
        with pytest.raises(CancelledError):
            reader.result(SOON)
        gate.open()


# ---- exit and fork -----------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [True, False], ids=["held", "dropped"])
def test_a_map_that_nobody_reads_is_run_before_the_interpreter_exits(held, run_script):
    process = run_script(f"""
import os, threading
from ringpool import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
results = pool.map(lambda n: os.write(1, b"%d\\n" % n), range(300))
if not {held}:
    del results
""")
    assert (process.stderr, process.returncode) == ("", 0)
    assert sorted(map(int, process.stdout.splitlines())) == list(range(300))


@needs_fork
@pytest.mark.parametrize("buffersize", [None, 3])
def test_a_forked_child_is_told_and_the_parent_notices_nothing(buffersize, run_script):
    """
    What had not started when it was forked; results that were there are there in the child, too.
    """
    process = run_script(f"""
import os, signal, threading, warnings
from ringpool import ThreadPoolExecutor
warnings.simplefilter("ignore", DeprecationWarning)
gate, entered = threading.Event(), threading.Event()
pool = ThreadPoolExecutor(1)
results = pool.map(abs, range(3), buffersize={buffersize})
pool.submit(lambda: (entered.set(), gate.wait(20)))
entered.wait(20)
waiting = pool.map(abs, range(10), buffersize={buffersize})
pid = os.fork()
if not pid:
    signal.alarm(10)
    print([next(results) for _ in range(3)])
    try:
        next(waiting)
    except BaseException as error:
        print(type(error).__name__, next(waiting, "end"))
    print(list(pool.map(abs, range(3))), flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
gate.set()
print(list(results), sum(waiting))
""")
    lines = ["[0, 1, 2]", "BrokenThreadPool end", "[0, 1, 2]", "0", "[0, 1, 2] 45"]
    assert (process.stdout.splitlines(), process.stderr, process.returncode) == (lines, "", 0)
