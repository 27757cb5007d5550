"""A map among other jobs and other pools, and what comes of errors and forks in its middle."""

import gc
import itertools
import threading
import weakref

import pytest

from ringpool import ThreadPoolExecutor

WAIT = 30


@pytest.mark.parametrize("handling", [False, True], ids=["plain", "within_except"])
@pytest.mark.parametrize("buffersize", [None, 1])
def test_an_error_of_the_input_comes_out_and_cancels_what_has_not_started(buffersize, handling, gate):
    ran = []

    def numbers():
        yield 0
        gate.wait_until_entered()
        yield 1
        raise OSError("the input")

    def job(n):
        ran.append(n)
        return gate(n)

    def read():
        with pytest.raises(OSError, match="the input"):
            results = pool.map(job, numbers(), timeout=WAIT, buffersize=buffersize)
            gate.open()
            list(results)

    with ThreadPoolExecutor(1) as pool:
        try:
            if not handling:
                read()
            else:
                try:
                    raise KeyError("another")
                except KeyError:
                    read()
        finally:
            gate.open()
    assert ran[0] == 0
    assert buffersize or ran == [0]


def test_an_endless_map_with_a_window_lets_other_jobs_have_a_turn():
    with ThreadPoolExecutor(1) as pool:
        results = pool.map(lambda _: threading.Event().wait(0.001), itertools.count(), buffersize=10)
        next(results)
        other = pool.submit(int)
        for _ in itertools.islice(results, 200):
            if other.done():
                break
        results.close()
        assert other.done()


def test_a_forked_child_is_told_of_an_item_that_runs_in_the_parent(run_script):
    process = run_script("""
import os, signal, threading, warnings
from ringpool import ThreadPoolExecutor
warnings.simplefilter("ignore", DeprecationWarning)
gate, entered = threading.Event(), threading.Event()
pool = ThreadPoolExecutor(1)
results = pool.map(lambda n: (entered.set(), gate.wait(20))[1], range(2))
entered.wait(20)
pid = os.fork()
if not pid:
    signal.alarm(5)
    try:
        next(results)
    except BaseException as error:
        print(type(error).__name__, flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
gate.set()
print(list(results))
""")
    assert process.stdout.splitlines() == ["BrokenThreadPool", "0", "[True, True]"]


def test_a_submit_replaced_by_that_of_another_pool_is_called():
    with ThreadPoolExecutor(1, "one") as one, ThreadPoolExecutor(1, "other") as other:
        one.submit = other.submit
        assert list(one.map(lambda _: threading.current_thread().name, [0], timeout=WAIT)) == ["other_0"]


class Thing:
    pass


def test_a_map_that_is_dropped_unread_keeps_no_result(gate, until):
    """It may be called for its effects, over any number of items."""
    made = []

    def make(_):
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing

    with ThreadPoolExecutor(1) as pool:
        pool.map(make, range(100))
        pool.map(lambda _: gate(), range(1))  # behind the first
        gate.wait_until_entered()
        assert len(made) == 100

        def none_is_kept():
            gc.collect()
            return all(ref() is None for ref in made)

        until(none_is_kept)  # without the GIL the thread that made one may have to let go of it
        gate.open()
