"""Bad arguments and calls of the executor, and of the futures of both faces."""

import math
from concurrent import futures

import pytest
from foul import (
    NOT_CALLABLE,
    NOT_SECONDS,
    TOO_LONG,
    Foul,
    Unspeakable,
    Wrong,
    Yields,
    raises_after,
    rows,
)

from ringpool import Future, Job, JobGroup, ThreadPoolExecutor, WorkerQueue, race

NO_FUNCTION = NOT_CALLABLE | {"None": (None, TypeError), "Job": (Job(int), TypeError)}

# Those of the constructor are in test_faults_input.py.
POOL = {
    **rows(lambda pool, fn: pool.submit(fn), "submit fn", NO_FUNCTION, "fn must be callable"),
    **rows(lambda pool, fn: pool.submit_many(fn, []), "submit_many fn", NO_FUNCTION, "fn must be callable"),
    **rows(lambda pool, fn: pool.map(fn, []), "map fn", NO_FUNCTION, "fn must be callable"),
    **rows(lambda pool, s: pool.map(int, "7", timeout=s), "map timeout", NOT_SECONDS, "timeout must"),
    **rows(
        lambda pool, n: pool.map(int, "7", buffersize=n),
        "map buffersize",
        {"str": ("4", TypeError), "nan": (math.nan, TypeError), "0": (0, ValueError), "-10**5000": (-TOO_LONG,
            ValueError)},
        "buffersize must",
    ),
    "map nothing": (lambda pool: pool.map(), TypeError, "'fn'"),
    "map int": (lambda pool: pool.map(int, 5), TypeError, "iterables must"),
    "map None second": (lambda pool: pool.map(int, [1], None), TypeError, "iterables must"),
    "map yields": (lambda pool: pool.map(int, Yields()), TypeError, "iter"),
    "map foul": (lambda pool: pool.map(int, Foul()), Wrong, ""),
    "map raises": (lambda pool: pool.map(int, raises_after(0)), Wrong, ""),
    "submit nothing": (lambda pool: pool.submit(), TypeError, "'fn'"),
    "submit_many int": (lambda pool: pool.submit_many(int, 5), TypeError, "iterable must"),
    "submit_many foul": (lambda pool: pool.submit_many(int, Foul()), Wrong, ""),
    "run without a loop": (lambda pool: pool.run(int), RuntimeError, "no running event loop"),
    "run nothing": (lambda pool: pool.run(), TypeError, "'fn'"),
    "shutdown foul": (lambda pool: pool.shutdown(Foul()), Wrong, ""),
    "shutdown foul cancel": (lambda pool: pool.shutdown(False, cancel_futures=Foul()), Wrong, ""),
    "shutdown wrong name": (lambda pool: pool.shutdown(timeout=1), TypeError, "'timeout'"),
    "shutdown two": (lambda pool: pool.shutdown(True, True), TypeError, "positional"),
    "second init": (lambda pool: pool.__init__(1), RuntimeError, "called twice"),
    "workers foul": (lambda _: ThreadPoolExecutor(Foul()), Wrong, ""),
    "workers unspeakable": (lambda _: ThreadPoolExecutor(Unspeakable()), TypeError, "max_workers must"),
    "workers 10**5000": (lambda _: ThreadPoolExecutor(TOO_LONG), ValueError, "max_workers must"),
    "initializer unspeakable": (lambda _: ThreadPoolExecutor(1, "", Unspeakable()), TypeError, "initializer must"),
    "initargs unspeakable": (lambda _: ThreadPoolExecutor(initargs=Unspeakable()), TypeError, "initargs must"),
    "initargs foul": (lambda _: ThreadPoolExecutor(initargs=Foul()), Wrong, ""),
    "the queue's name": (lambda _: ThreadPoolExecutor(workers=1), TypeError, "'workers'"),
}  # fmt: skip


@pytest.mark.parametrize("row", POOL.values(), ids=POOL)
def test_a_bad_call_of_an_executor_is_refused_and_leaves_nothing(row, refused):
    """Nor does it shut the pool down, or half of it."""
    with ThreadPoolExecutor(2) as pool:
        refused(pool, row)


# On a future that is nobody's job: the call, the error, and what it says.
FUTURE = {
    **rows(lambda f, s: f.result(s), "result timeout", NOT_SECONDS, "timeout must"),
    **rows(lambda f, s: f.exception(s), "exception timeout", NOT_SECONDS, "timeout must"),
    "result two": (lambda f: f.result(1, 2), TypeError, "timeout"),
    "result wrong name": (lambda f: f.result(seconds=1), TypeError, "timeout"),
    "result below zero": (lambda f: f.result(-1), TimeoutError, ""),
    "result -10**5000": (lambda f: f.result(-TOO_LONG), TimeoutError, ""),
    **rows(lambda f, fn: f.add_done_callback(fn), "callback", NOT_CALLABLE | {"None": (None, TypeError)},
        "fn must be callable"),
    "callback nothing": (lambda f: f.add_done_callback(), TypeError, "add_done_callback()"),
    "cancel argument": (lambda f: f.cancel("now"), TypeError, "cancel()"),
    "set_exception str": (lambda f: f.set_exception("down"), TypeError, "exception must"),
    "set_exception class": (lambda f: f.set_exception(OSError), TypeError, "exception must"),
    "set_exception unspeakable": (lambda f: f.set_exception(Unspeakable()), TypeError, "exception must"),
    "set_result nothing": (lambda f: f.set_result(), TypeError, "set_result()"),
    "argument": (lambda f: Future(5), TypeError, "argument"),
}  # fmt: skip


@pytest.mark.parametrize("row", FUTURE.values(), ids=FUTURE)
def test_a_bad_call_of_a_future_is_refused_and_settles_nothing(row, measured):
    """It is pending still, has no callback, and can be settled."""
    call, error, words = row
    future = Future()
    assert words in measured(lambda: call(future), error)
    assert (future._state, future._done_callbacks) == ("PENDING", [])
    future.set_result(7)
    assert future.result(0) == 7


@pytest.mark.parametrize("make", [lambda: WorkerQueue(1, 8), lambda: ThreadPoolExecutor(1)], ids=["queue", "pool"])
@pytest.mark.parametrize("row", FUTURE.values(), ids=FUTURE)
def test_a_bad_call_of_a_job_s_future_leaves_the_job_alone(make, row, measured, gate):
    """Waiting, and then done."""
    call, error, words = row
    with make() as pool:
        pool.submit(gate)
        gate.wait_until_entered()
        future = pool.submit(int, "7")
        assert words in measured(lambda: call(future), error)
        assert not future.done()
        gate.open()
        assert future.result(30) == 7


def test_a_future_of_the_standard_library_is_no_job_of_a_queue(queue, refused):
    """Nor is any other object with its methods."""
    refused(queue, (lambda q: q.reprioritise(futures.Future(), 1), TypeError, "future must"))


NO_QUEUE = {
    "None": (None, TypeError), "int": (3, TypeError), "class": (WorkerQueue, TypeError),
    "executor class": (ThreadPoolExecutor, TypeError), "future": (Future(), TypeError), "str": ("queue", TypeError),
    "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), TypeError),
}  # fmt: skip

TOGETHER = {
    **rows(lambda _, queue: JobGroup(queue), "group queue", NO_QUEUE, "queue must"),
    **rows(lambda _, queue: race(queue, int), "race queue", NO_QUEUE, "queue must"),
    **rows(lambda pool, call: race(pool, int, call), "race calls", NOT_CALLABLE | {"None": (None, TypeError)},
        "calls must"),
    "race nothing": (lambda pool: race(pool), ValueError, "calls must be at least one"),
    "race no queue": (lambda pool: race(), TypeError, "'queue'"),
    "group argument": (lambda pool: JobGroup(), TypeError, "'queue'"),
}  # fmt: skip


@pytest.mark.parametrize("row", TOGETHER.values(), ids=TOGETHER)
def test_groups_and_races_refuse_the_same_on_an_executor(row, refused):
    """None of a race's calls has been submitted."""
    with ThreadPoolExecutor(2) as pool:
        refused(pool, row)
