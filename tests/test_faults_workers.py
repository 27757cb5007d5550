"""Faults that lose a worker, or a job for want of one; the numbers are those of the fault catalogue."""

import itertools
import logging
import threading
from concurrent import futures
from concurrent.futures import CancelledError, InvalidStateError

import pytest

from ringpool import Future, ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed
SOON = 5  # the same, where a failure would otherwise add up to minutes


def fail_with(error):
    raise error


# ---- lost workers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settle", "outcome"), [("set_result", None), ("set_exception", OSError())], ids=["result", "exception"]
)
def test_worker_outlives_a_running_job_settled_by_hand(settle, outcome, gate):
    """
    Fault 1: the worker finds the future settled; the first outcome counts.
    """
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(gate, "own result")
        gate.wait_until_entered()
        getattr(running, settle)(outcome)
        with pytest.raises(InvalidStateError):
            getattr(running, settle)(outcome)
        gate.open()

        assert pool.submit(int).result(WAIT) == 0
        assert running.exception(WAIT) is outcome


def test_queued_job_settled_by_hand_does_not_run(gate):
    """
    Fault 1, before the start: a future that has its result needs no worker.
    """
    ran = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        queued = pool.submit(ran.append, 1)
        queued.set_result("by hand")
        gate.open()

        assert pool.submit(int).result(WAIT) == 0
        assert (queued.result(WAIT), ran) == ("by hand", [])


def test_queued_job_cannot_be_set_running_by_hand(gate):
    """
    Fault 1: or no worker would run it, and whoever waits for it would wait for ever.
    """
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        queued = pool.submit(int, "7")
        with pytest.raises(RuntimeError, match="a job in a queue"):
            queued.set_running_or_notify_cancel()
        gate.open()
        assert queued.result(WAIT) == 7


@pytest.mark.parametrize("what", ["text", 1, ValueError], ids=["str", "int", "class"])
def test_set_exception_refuses_what_is_no_exception(what):
    """
    Fault 17: at the call that is wrong, and not in whoever asks for the result.
    """
    future = Future()
    with pytest.raises(TypeError, match="exception must be an instance of an exception class"):
        future.set_exception(what)
    assert not future.done()


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_worker_outlives_a_callback_that_raises(error, gate, caplog):
    """
    Fault 2: not even what means "end this thread" ends it; the error is logged.
    """
    later = []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate, "result")
        future.add_done_callback(lambda _: fail_with(error("from a callback")))
        future.add_done_callback(later.append)
        gate.open()

        assert pool.submit(int).result(WAIT) == 0
        assert (future.result(WAIT), later) == ("result", [future])
        assert f"{error.__name__}: from a callback" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_cancel_survives_a_callback_that_raises(error, gate, caplog):
    """
    Fault 2, where the callback runs in the thread that cancels.
    """
    later = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        queued = pool.submit(int)
        queued.add_done_callback(lambda _: fail_with(error("from a callback")))
        queued.add_done_callback(later.append)

        assert queued.cancel()
        assert later == [queued]
        assert f"{error.__name__}: from a callback" in caplog.text
        gate.open()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_later_callbacks_run_when_logging_the_error_raises(gate):
    """
    Fault 2, one step on: a log handler that raises is no reason to lose callbacks.
    """

    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("the log's disk is full")

    logger, broken = logging.getLogger("concurrent.futures"), Broken()
    later = []
    logger.addHandler(broken)
    try:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(gate)
            future.add_done_callback(lambda _: fail_with(RuntimeError()))
            future.add_done_callback(later.append)
            gate.open()

            assert pool.submit(int).result(WAIT) == 0
            assert later == [future]
    finally:
        logger.removeHandler(broken)


ENDINGS = SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException(), StopIteration()
OTHERS = CancelledError(), TimeoutError(), MemoryError(), RecursionError()


@pytest.mark.parametrize("error", ENDINGS + OTHERS, ids=lambda error: type(error).__name__)
def test_future_carries_whatever_a_job_raises(error):
    """
    Fault 3: every exception belongs to the future, none to the worker.
    """
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(threading.get_ident).result(WAIT)
        future = pool.submit(fail_with, error)

        assert future.exception(WAIT) is error
        assert not future.cancelled()
        assert pool.submit(threading.get_ident).result(WAIT) == before


# ---- no thread to be had ---------------------------------------------------------------

START = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"


def cannot_start(*args, **kwargs):
    raise RuntimeError("can't start new thread")


def test_submit_that_finds_no_thread_leaves_no_trace(monkeypatch):
    """
    Fault 7: when submit raises, the job never runs.
    """
    ran = []
    with ThreadPoolExecutor(2) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(threading, START, cannot_start)
            for _ in range(3):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    pool.submit(ran.append, "refused")
        assert (len(pool._threads), pool._work_queue.qsize()) == (0, 0)

        pool.submit(ran.append, "accepted").result(WAIT)
        assert (ran, len(pool._threads)) == (["accepted"], 1)


def test_submit_uses_the_threads_there_are_when_no_more_start(gate, monkeypatch):
    """
    Fault 7: one worker is enough to accept a job.
    """
    with ThreadPoolExecutor(4) as pool:
        pool.submit(gate)
        gate.wait_until_entered()
        with monkeypatch.context() as patch:
            patch.setattr(threading, START, cannot_start)
            queued = [pool.submit(int) for _ in range(3)]
            gate.open()
            assert [future.result(WAIT) for future in queued] == [0, 0, 0]
            assert len(pool._threads) == 1


def test_job_accepted_while_another_submit_fails_to_start_its_thread_runs(monkeypatch):
    """
    Fault 7, two submitters: the second must not rely on a thread that the first
    one is starting and that never comes to be.
    """
    start, attempts = getattr(threading, START), itertools.count()
    starting, go_on = threading.Event(), threading.Event()

    def first_fails_slowly(bootstrap, *args, **kwargs):
        if bootstrap.__self__.name.startswith("unlucky") and next(attempts) == 0:
            starting.set()
            assert go_on.wait(WAIT)
            cannot_start()
        return start(bootstrap, *args, **kwargs)

    monkeypatch.setattr(threading, START, first_fails_slowly)
    pool = ThreadPoolExecutor(1, "unlucky")
    with ThreadPoolExecutor(2) as others:
        first = others.submit(lambda: pool.submit(str))
        assert starting.wait(WAIT)
        second = others.submit(lambda: pool.submit(int))
        futures.wait([second], timeout=1)  # it may well wait until the first has failed
        go_on.set()

        try:
            if first.exception(WAIT) is None:  # the worker of the second was there in time for it
                assert first.result().result(SOON) == ""
            else:
                assert type(first.exception()) is RuntimeError
            if second.exception(WAIT) is None:
                assert second.result().result(SOON) == 0
        finally:
            pool.submit(int)  # or a job that is left alone would make shutdown wait for ever
            pool.shutdown()


# ---- jobs that wait for jobs ----------------------------------------------------------------


WAYS_TO_WAIT_IN_A_JOB = {
    "result": lambda job: job.result(SOON),
    "exception": lambda job: job.exception(SOON) or 0,
    "wait": lambda job: [done.result(0) for done in futures.wait([job], SOON).done][0],
    "as_completed": lambda job: [done.result(0) for done in futures.as_completed([job], SOON)][0],
}


@pytest.mark.parametrize("way", WAYS_TO_WAIT_IN_A_JOB)
def test_job_may_wait_for_jobs_of_its_own_full_pool(way):
    """
    Fault 8: the worker that waits is the one that would have to run them.
    """
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: WAYS_TO_WAIT_IN_A_JOB[way](pool.submit(int))).result(WAIT) == 0
        assert pool.submit(lambda: list(pool.map(int, "12", timeout=SOON))).result(WAIT) == [1, 2]


def test_all_workers_may_wait_for_jobs_of_their_own_pool():
    """
    Fault 8 with several workers, none of which is left to run anything.
    """
    everybody = threading.Barrier(4)

    def job(i):
        everybody.wait(WAIT)
        return pool.submit(lambda: pool.submit(lambda: i).result(SOON)).result(SOON)

    with ThreadPoolExecutor(4) as pool:
        assert [future.result(WAIT) for future in [pool.submit(job, i) for i in range(4)]] == [0, 1, 2, 3]


def test_recursive_jobs_end_in_a_recursion_error_at_the_worst():
    """
    Fault 8: each level of waiting takes stack; running out of it is no crash.
    """

    def job(depth):
        return depth and 1 + pool.submit(job, depth - 1).result(WAIT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(job, 50).result(WAIT) == 50
        with pytest.raises(RecursionError):
            pool.submit(job, 100_000).result(WAIT)
        assert pool.submit(int).result(WAIT) == 0
