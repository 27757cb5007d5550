"""Faults of code that gets into the pool while it is in there already; the numbers are those of the fault catalogue."""

import gc
import itertools
import logging
import queue
import signal
import sys
import threading
import time
import weakref

import pytest

from ringpool import ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed
SOON = 5  # the same, where a failure would otherwise add up to minutes


def call_interrupted(moment, interrupt, call, within=None):
    """
    *call()*, and *interrupt()* within it, at its *moment*-th step in Python code.

    Or where the function *within* begins for the *moment*-th time. Returns the
    result, and whether there were that many steps. What the interrupt raises is
    raised at that step.
    """
    steps = itertools.count()

    def trace(frame, event, arg):
        here = within is None or event == "call" and frame.f_code is within.__code__
        if here and next(steps) == moment:
            sys.settrace(None)
            interrupt()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = call()
    finally:
        sys.settrace(before)
    return result, next(steps) > moment


def at_each_moment(attempt):
    """
    Call *attempt(moment)* until it says that the submit it interrupts has no such moment.
    """
    for moment in itertools.count():
        if not attempt(moment):
            break
    assert moment > 20, "submit was hardly interrupted at all"


@pytest.fixture
def on_signal():
    """
    Install a function as the handler of the signal that raise_it() raises.
    """
    before = signal.getsignal(signal.SIGINT)
    yield lambda function: signal.signal(signal.SIGINT, lambda *_: function())
    signal.signal(signal.SIGINT, before)


def raise_it():
    signal.raise_signal(signal.SIGINT)


# ---- signal handlers ---------------------------------------------------------------


def test_signal_handler_may_submit_wherever_it_interrupts_submit(on_signal):
    """
    Fault 19: submit holds no lock that its own handler could wait for.
    """

    def attempt(moment):
        with ThreadPoolExecutor(2) as pool:
            inner = []
            on_signal(lambda: inner.append(pool.submit(int, "1")))
            outer, there = call_interrupted(moment, raise_it, lambda: pool.submit(int, "2"))
            assert outer.result(WAIT) == 2
            assert [future.result(WAIT) for future in inner] == [1] * there
        return there

    at_each_moment(attempt)


def test_signal_handler_may_wait_for_the_job_it_submits(on_signal):
    """
    Fault 19: what the interrupted submit has begun must not be what the
    handler's job depends on.
    """

    def attempt(moment):
        with ThreadPoolExecutor(2) as pool:
            on_signal(lambda: inner.append(pool.submit(int, "1").result(SOON)))
            inner = []
            outer, there = call_interrupted(moment, raise_it, lambda: pool.submit(int, "2"))
            assert (outer.result(WAIT), inner) == (2, [1] * there)
        return there

    at_each_moment(attempt)


@pytest.mark.parametrize("wait", [False, True], ids=["no_wait", "wait"])
def test_signal_handler_may_shut_down_wherever_it_interrupts_submit(wait, on_signal):
    """
    Fault 20: the job is then either refused, or accepted and run.
    """

    def attempt(moment):
        pool, ran, accepted = ThreadPoolExecutor(2), [], None
        on_signal(lambda: pool.shutdown(wait))
        try:
            accepted, there = call_interrupted(moment, raise_it, lambda: pool.submit(ran.append, 1))
        except RuntimeError as refusal:
            there = True
            assert "cannot schedule new futures after shutdown" in str(refusal)
        pool.shutdown()
        assert len(ran) == (accepted is not None)
        return there

    at_each_moment(attempt)


@pytest.mark.parametrize("within", [threading.Thread.__init__, threading.Thread.start, threading.Event.wait])
def test_submit_interrupted_by_an_exception_leaves_a_pool_that_works(within, on_signal):
    """
    Fault 19 with a handler that raises: submit raises, so the job never runs;
    the next one does. Not at every step, since the standard library's own
    Thread.start() does not survive that.
    """

    def ctrl_c():
        raise KeyboardInterrupt

    ran = []
    on_signal(ctrl_c)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(KeyboardInterrupt):
            call_interrupted(0, raise_it, lambda: pool.submit(ran.append, "interrupted"), within)
        assert pool.submit(ran.append, "next").result(WAIT) is None
    assert ran == ["next"]


def test_signal_handler_may_wait_for_the_future_that_it_interrupts_a_wait_for(on_signal, gate):
    """
    Fault 19, for result(): waiting is re-entrant too.
    """
    with ThreadPoolExecutor(2) as pool:
        future = pool.submit(gate, "result")
        gate.wait_until_entered()
        seen = []

        def handler():
            gate.open()
            seen.append(future.result(WAIT))

        on_signal(handler)
        threading.Timer(0.05, raise_it).start()

        assert (future.result(WAIT), seen) == ("result", ["result"])


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_submits_may_interrupt_each_other_to_any_depth(workers, monkeypatch):
    """
    Fault 19, as a destructor's submit inside of a signal handler's: none may
    wait for a thread that those below it are about to start.
    """
    begin, depth, inner = threading.Thread.__init__, itertools.count(), []

    def interrupted(self, *args, **kwargs):
        if next(depth) < 5:
            inner.append(pool.submit(int, "1"))
        begin(self, *args, **kwargs)

    with ThreadPoolExecutor(workers) as pool:
        monkeypatch.setattr(threading.Thread, "__init__", interrupted)
        outer = pool.submit(int, "2")
        assert outer.result(WAIT) == 2
        assert inner and all(future.result(WAIT) == 1 for future in inner)


# ---- destructors and other callbacks of the interpreter's ----------------------------------


class Cycle:
    """Garbage that submits when the collector finds it."""

    def __init__(self, pool, futures):
        self.pool, self.futures, self.me = pool, futures, self

    def __del__(self):
        self.futures.append(self.pool.submit(int, "1"))


def test_destructor_run_by_the_collector_may_submit_wherever_it_interrupts_submit():
    """
    Fault 21: a collection can begin at any allocation, in submit as elsewhere.
    """

    def attempt(moment):
        with ThreadPoolExecutor(2) as pool:
            inner = []
            Cycle(pool, inner)
            outer, there = call_interrupted(moment, gc.collect, lambda: pool.submit(int, "2"))
            gc.collect()
            assert [outer.result(WAIT)] + [future.result(WAIT) for future in inner] == [2, 1]
        return there

    gc.disable()
    gc.freeze()  # else each collection looks at all of pytest
    try:
        at_each_moment(attempt)
    finally:
        gc.unfreeze()
        gc.enable()


def test_destructors_may_submit_while_the_collector_runs_all_the_time():
    """
    Fault 21 by brute force, which also reaches the moments in native code.
    """
    threshold, inner = gc.get_threshold(), []
    with ThreadPoolExecutor(2) as pool:
        gc.set_threshold(1)
        try:
            outer = []
            for _ in range(2_000):
                Cycle(pool, inner)
                outer.append(pool.submit(int, "2"))
        finally:
            gc.set_threshold(*threshold)
        assert sum(future.result(WAIT) for future in outer) == 4_000
        # A worker may stand in the middle of a collection; another one does nothing meanwhile.
        end = time.monotonic() + WAIT
        while len(inner) < 2_000 and time.monotonic() < end:
            pool.submit(gc.collect).result(WAIT)
        assert sum(future.result(WAIT) for future in inner) == 2_000


def test_weakref_callback_may_submit():
    """
    Fault 22: it runs where the last reference goes, here in the worker.
    """

    class Argument:
        pass

    inner, done = [], threading.Event()

    def callback(_):
        inner.append(pool.submit(int, "1"))
        done.set()

    with ThreadPoolExecutor(1) as pool:
        argument = Argument()
        watched = weakref.ref(argument, callback)
        outer = pool.submit(id, argument)
        del argument

        assert outer.result(WAIT)
        assert done.wait(WAIT) and watched() is None
        assert inner[0].result(WAIT) == 1


def test_log_handler_may_submit(gate):
    """
    Fault 22: a log handler that ships records through the pool which logs them.
    """

    class Shipper(logging.Handler):
        def emit(self, record):
            shipped.append(pool.submit(record.getMessage))

    def fail(_):
        raise RuntimeError

    logger, shipper, shipped = logging.getLogger("concurrent.futures"), Shipper(), []
    logger.addHandler(shipper)
    try:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(gate, "result")
            future.add_done_callback(fail)
            gate.open()
            assert future.result(WAIT) == "result"
            pool.submit(int).result(WAIT)
            assert "exception calling callback" in shipped[0].result(WAIT)
    finally:
        logger.removeHandler(shipper)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no audit event in submit")
def test_audit_hook_may_submit(run_script):
    """
    Fault 22: hooks hear of threads that submit starts, in the middle of it.
    """
    process = run_script(
        """
import sys
from ringpool import ThreadPoolExecutor

inner, inside = [], []

def hook(event, args):
    if event.startswith("_thread.start") and not inside:
        inside.append(event)
        inner.append(pool.submit(int, "1"))
        inside.clear()

pool = ThreadPoolExecutor(2)
sys.addaudithook(hook)
outer = [pool.submit(int, "2") for _ in range(10)]
print(sum(future.result(20) for future in outer), inner[0].result(20))
"""
    )
    assert (process.stdout, process.stderr, process.returncode) == ("20 1\n", "", 0)


class Submits:
    """Submits when it goes, and remembers what it saw then."""

    def __init__(self, pool, seen):
        self.pool, self.seen = pool, seen

    def __del__(self):
        self.seen.put(self.pool.submit(int, "1"))

    def __call__(self, *args, **kwargs):
        return None


@pytest.mark.parametrize(
    "submit",
    [
        lambda pool, seen: pool.submit(Submits(pool, seen)),
        lambda pool, seen: pool.submit(id, Submits(pool, seen)),
        lambda pool, seen: pool.submit(lambda *args: None, 1, 2, 3, 4, Submits(pool, seen)),
        lambda pool, seen: pool.submit(lambda *, word: None, word=Submits(pool, seen)),
        lambda pool, seen: pool.submit(Submits, pool, seen),
    ],
    ids=["function", "argument", "fifth_argument", "keyword", "result"],
)
def test_destructor_of_what_a_job_held_may_submit(submit):
    """
    Fault 23: it runs in the worker, under no lock.
    """
    seen = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        future = submit(pool, seen)
        future.exception(WAIT)
        del future

        assert seen.get(timeout=WAIT).result(WAIT) == 1


def test_destructors_of_a_job_run_after_it_is_done():
    """
    Fault 23: whoever is woken by a destructor must find the future resolved.
    Free-threaded, the destructor runs in the thread that made the object.
    """
    seen = queue.SimpleQueue()

    class Watcher:
        def __del__(self):
            seen.put(made.get(timeout=WAIT).done())

    with ThreadPoolExecutor(1) as pool:
        for _ in range(100):
            made, go_on = queue.SimpleQueue(), threading.Event()
            future = pool.submit(lambda watcher, go_on=go_on: go_on.wait(WAIT), Watcher())
            made.put(future)
            go_on.set()
            assert seen.get(timeout=WAIT) is True


def test_destructor_of_a_cancelled_jobs_argument_may_submit(gate):
    """
    Fault 23, where cancel drops the argument.
    """
    seen = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        pool.submit(id, Submits(pool, seen)).cancel()
        inner = seen.get(timeout=WAIT)
        gate.open()
        assert inner.result(WAIT) == 1


# ---- done callbacks -------------------------------------------------------------------------------


def test_callback_may_submit_add_callbacks_and_cancel(gate):
    """
    Fault 24: in the order in which they were added; a late one runs at once.
    """
    order, more = [], []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate)

        def first(done):
            more.append(pool.submit(int, "1"))
            done.add_done_callback(lambda _: order.append("at once"))
            assert not done.cancel() and not done.result(0)
            order.append("first")

        future.add_done_callback(first)
        future.add_done_callback(lambda _: order.append("second"))
        gate.open()
        future.result(WAIT)
        pool.submit(int).result(WAIT)
        assert (order, more[0].result(WAIT)) == (["at once", "first", "second"], 1)


@pytest.mark.parametrize("wait", [False, True], ids=["no_wait", "wait"])
def test_callback_may_shut_the_pool_down(wait, gate, caplog):
    """
    Fault 24: on a worker, which cannot wait for its own end.
    """
    pool = ThreadPoolExecutor(2)
    future = pool.submit(gate)
    queued = pool.submit(int)
    shut_down = threading.Event()
    future.add_done_callback(lambda _: pool.shutdown(wait))
    future.add_done_callback(lambda _: shut_down.set())
    gate.open()

    assert shut_down.wait(WAIT)
    assert queued.result(WAIT) == 0
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(int)
    pool.shutdown()
    assert caplog.text == ""


def test_jobs_that_shut_the_pool_down_do_not_wait_for_each_other():
    """
    Fault 24, on two workers at once: each would wait for the other's end.
    """
    together = threading.Barrier(2)
    pool = ThreadPoolExecutor(2)

    def job():
        together.wait(WAIT)
        pool.shutdown(wait=True)

    jobs = [pool.submit(job) for _ in range(2)]
    assert [job.result(SOON) for job in jobs] == [None, None]
    pool.shutdown()


@pytest.mark.parametrize("threads", [1, 4])
def test_callback_added_while_the_future_completes_runs_once(threads, run_in_threads):
    """
    Fault 25: either the worker runs it or the thread that adds it, never both or none.
    """

    def add(i, futures, ran):
        for future in futures:
            future.add_done_callback(ran[i].append)

    for _ in range(20):
        with ThreadPoolExecutor(2) as pool:
            futures = [pool.submit(int) for _ in range(200)]
            ran = [[] for _ in range(threads)]
            run_in_threads(threads, add, futures, ran)
        assert [sorted(map(id, calls)) for calls in ran] == threads * [sorted(map(id, futures))]


@pytest.mark.stress
def test_callback_added_while_the_future_completes_runs_once_a_million_times():
    """
    Fault 25 with the catalogue's count.
    """
    ran, n = itertools.count(), 1_000_000
    with ThreadPoolExecutor(2) as pool:
        for _ in range(n):
            pool.submit(int).add_done_callback(lambda _: next(ran))
    assert next(ran) == n
