"""Faults that keep what is done with, or let one job see another's; the numbers are those of the fault catalogue."""

import asyncio
import contextvars
import decimal
import gc
import os
import sys
import threading
import time
import weakref
from array import array
from concurrent import futures

import pytest

from ringpool import ThreadPoolExecutor, WorkerQueue, lifecycle

WAIT = 30  # seconds after which a wait has failed


class Thing:
    """Something that can be watched as it goes."""


class Failure(Exception):
    """An exception that can be watched, as built-in ones cannot."""


def until(condition):
    """
    Poll what has no event to wait for.
    """
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


@pytest.fixture
def no_collector():
    """
    What is freed in the test is freed by its reference count.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ---- what a worker keeps ---------------------------------------------------------------


@pytest.mark.parametrize("arguments", [1, 3, 4, 10])
def test_idle_worker_keeps_nothing_of_its_last_job(arguments, no_collector):
    """
    Fault 65: neither function, arguments, keywords nor result.
    """

    class Function(Thing):
        def __call__(self, *args, word):
            return Thing()

    with ThreadPoolExecutor(1) as pool:
        things = [Function()] + [Thing() for _ in range(arguments + 1)]
        watched = [weakref.ref(thing) for thing in things]
        future = pool.submit(*things[:-1], word=things[-1])
        watched.append(weakref.ref(future.result(WAIT)))
        del things, future

        until(lambda: not any(ref() for ref in watched))


def test_idle_worker_keeps_nothing_of_a_job_that_failed(no_collector):
    """
    Fault 65: nor the exception, nor the frames in its traceback.
    """

    def fail(thing):
        local = Thing()
        watched.append(weakref.ref(local))
        raise RuntimeError(thing)

    watched = []
    with ThreadPoolExecutor(1) as pool:
        thing = Thing()
        watched.append(weakref.ref(thing))
        future = pool.submit(fail, thing)
        del thing
        assert future.exception(WAIT)
        del future

        # Free-threaded, the frame is dropped only when its thread runs again.
        until(lambda: pool.submit(int).result(WAIT) == 0 and not any(ref() for ref in watched))


def test_idle_worker_keeps_nothing_of_a_cancelled_job(gate, no_collector):
    """
    Fault 65: what the cancelled job held goes at once, and not when its turn comes.
    """
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        thing = Thing()
        watched = weakref.ref(thing)
        future = pool.submit(id, thing)
        del thing
        assert watched()
        future.cancel()
        assert watched() is None
        gate.open()


def test_done_future_keeps_its_result_only(no_collector):
    """
    Fault 65: what holds the future does not hold the job.
    """
    with ThreadPoolExecutor(1) as pool:
        thing, context_thing = Thing(), Thing()
        watched = [weakref.ref(thing), weakref.ref(context_thing)]
        context = contextvars.copy_context()
        context.run(VARIABLE.set, context_thing)
        future = context.run(pool.submit, id, thing)
        del thing, context_thing, context
        future.result(WAIT)

        until(lambda: not any(ref() for ref in watched))


def test_pool_that_is_shut_down_keeps_nothing(no_collector):
    """
    Fault 65: initializer's arguments excepted, which each new thread would need.
    """
    thing = Thing()
    watched = weakref.ref(thing)
    pool = ThreadPoolExecutor(2)
    jobs = [pool.submit(id, thing) for _ in range(100)]
    del thing
    pool.shutdown(cancel_futures=True)
    del jobs
    assert watched() is None


@pytest.mark.parametrize("way", ["result", "map"])
def test_exception_of_a_job_is_freed_without_the_collector(way, no_collector):
    """
    Fault 66: its traceback holds frames, which must not hold the exception.
    """

    def fail(_):
        raise Failure

    def read():
        if way == "result":
            return pool.submit(fail, 1).result(WAIT)
        return list(pool.map(fail, [1, 2, 3], timeout=WAIT))

    with ThreadPoolExecutor(1) as pool:
        try:
            read()
        except Failure as error:
            watched = weakref.ref(error)
        until(lambda: watched() is None)


# ---- what a wait that was given up leaves ----------------------------------------------------


def give_up_wait(future):
    assert futures.wait([future], 0).not_done


def give_up_as_completed(future):
    with pytest.raises(TimeoutError):
        list(futures.as_completed([future], 0))


def give_up_iterating(future):
    iterator = futures.as_completed([future])
    iterator.close()


@pytest.mark.parametrize("give_up", [give_up_wait, give_up_as_completed, give_up_iterating])
def test_wait_that_was_given_up_leaves_nothing_in_the_future(give_up, gate):
    """
    Fault 67: or a future that is polled would grow with each look.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate)
        for _ in range(10):
            give_up(future)
        assert future._waiters == []
        gate.open()


def grown_by(act, times):
    act()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(times):
        act()
    gc.collect()
    return sys.getallocatedblocks() - before


@pytest.mark.parametrize("call", ["result", "exception"])
def test_result_that_was_given_up_leaves_nothing_in_the_future(call, gate):
    """
    Fault 67, for our own way to wait.
    """

    def poll():
        with pytest.raises(TimeoutError):
            getattr(future, call)(0)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(gate)
        assert grown_by(poll, 2_000) < 200
        gate.open()


def resident():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4096


# RINGPOOL_TEST_WINDOW=1000000 is the whole of the promise: nothing for each million of jobs, ten times.
WINDOW = int(os.environ.get("RINGPOOL_TEST_WINDOW", 20_000))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", [ThreadPoolExecutor, WorkerQueue])
def test_jobs_leave_nothing(kind):
    """
    Ten windows: no block more after the last than after the first, and less than 4 kB a million jobs.
    """
    blocks, memory = array("q", [0] * 10), array("q", [0] * 10)
    with kind(2) if kind is ThreadPoolExecutor else kind(2, 1024, keep_results=0) as pool:
        for window in range(-1, 10):
            for _ in range(WINDOW // 1000):
                for future in [pool.submit(int) for _ in range(1000)]:
                    future.result(WAIT)
                del future
            gc.collect()
            if window >= 0:
                blocks[window], memory[window] = sys.getallocatedblocks(), resident()
    assert max(blocks) - blocks[0] < 50, list(blocks)
    assert memory[9] - memory[0] < max(65536, 10 * WINDOW * 4096 // 1_000_000), list(memory)


# ---- pools that come and go ---------------------------------------------------------------------


def come_and_go(shut_down):
    pool = ThreadPoolExecutor(2)
    jobs = [pool.submit(int) for _ in range(2)]
    if shut_down:
        pool.shutdown()
    threads = list(pool._threads)
    del pool
    for job in jobs:
        assert job.result(WAIT) == 0
    for thread in threads:
        thread.join(WAIT)


def flat(times, shut_down):
    for _ in range(20):
        come_and_go(shut_down)
    gc.collect()
    known = len(lifecycle._engines), threading.active_count()
    dangling = len(threading._dangling)
    assert grown_by(lambda: come_and_go(shut_down), times) < times / 2
    assert (len(lifecycle._engines), threading.active_count()) == known
    assert len(threading._dangling) <= dangling


@pytest.mark.parametrize("shut_down", [True, False], ids=["shut_down", "dropped"])
def test_short_pools_leave_nothing(shut_down):
    """
    Fault 68: no set of pools or threads grows, and no memory is kept.
    """
    flat(300, shut_down)


@pytest.mark.stress
@pytest.mark.parametrize("shut_down", [True, False], ids=["shut_down", "dropped"])
def test_many_short_pools_leave_nothing(shut_down):
    """
    Fault 68, with more of them.
    """
    flat(1_500, shut_down)


# ---- what a job sees of others ------------------------------------------------------------------

VARIABLE = contextvars.ContextVar("VARIABLE", default="default")


def test_job_sees_its_submitters_context_and_no_other_jobs():
    """
    Fault 69: a copy for each job, so that what it sets is gone with it.
    """

    def job(value):
        seen = VARIABLE.get()
        VARIABLE.set(value)
        return seen

    with ThreadPoolExecutor(1) as pool:
        plain = contextvars.Context()
        assert plain.run(pool.submit, job, "one").result(WAIT) == "default"
        assert plain.run(pool.submit, job, "two").result(WAIT) == "default"
        mine = contextvars.copy_context()
        mine.run(VARIABLE.set, "mine")
        assert mine.run(pool.submit, job, "three").result(WAIT) == "mine"
        assert mine.run(pool.submit, job, "four").result(WAIT) == "mine"
        assert mine.run(VARIABLE.get) == "mine"
        assert plain.run(pool.submit, job, "five").result(WAIT) == "default"


def test_job_run_in_place_has_a_context_of_its_own():
    """
    Fault 69 where the worker runs a job inside of another one, and the outer
    one's context is as it was afterwards, many levels deep.
    """

    def job(depth):
        assert VARIABLE.get() == ("default" if depth == 5 else depth + 1)
        VARIABLE.set(depth)
        for _ in range(2 if depth else 0):
            pool.submit(job, depth - 1).result(WAIT)
            assert VARIABLE.get() == depth

    def outer():
        alone = contextvars.Context().run(pool.submit, lambda: (VARIABLE.get(), VARIABLE.set("x"))[0])
        return alone.result(WAIT), VARIABLE.get()

    with ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            assert contextvars.Context().run(pool.submit, job, 5).result(WAIT) is None
            assert contextvars.Context().run(pool.submit, outer).result(WAIT) == ("default", "default")


def test_without_context_jobs_share_their_workers():
    """
    Fault 69, for those who ask for the standard library's way.
    """
    with ThreadPoolExecutor(1, context=None) as pool:
        pool.submit(VARIABLE.set, "left behind").result(WAIT)
        assert pool.submit(VARIABLE.get).result(WAIT) == "left behind"


def test_thread_locals_stay_with_the_thread_and_decimal_context_does_not():
    """
    Fault 70: per thread is what is kept per thread; decimal's context is a
    context variable.
    """
    local = threading.local()

    def leave():
        local.value = "left behind"
        decimal.getcontext().prec = 3
        asyncio.set_event_loop(loop)

    def look():
        return local.value, decimal.getcontext().prec, asyncio.get_event_loop_policy().get_event_loop() is loop

    precision, loop = decimal.Context().prec, asyncio.new_event_loop()
    try:
        with ThreadPoolExecutor(1) as pool:
            contextvars.Context().run(pool.submit, leave).result(WAIT)
            assert contextvars.Context().run(pool.submit, look).result(WAIT) == ("left behind", precision, True)
    finally:
        loop.close()


# ---- workers are threads like any other -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_tracing_of_new_threads_sees_the_jobs(kind):
    """
    Fault 71: coverage, debuggers and profilers install themselves this way.
    """

    def job():
        return inner()

    def inner():
        return "result"

    seen = set()

    def note(frame, event, arg):
        if event == "call":
            seen.add(frame.f_code)
        return note

    install = getattr(threading, f"set{kind}")
    install(note)
    try:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(job).result(WAIT) == "result"
    finally:
        install(None)
    assert {job.__code__, inner.__code__} <= seen


def test_worker_is_a_real_thread():
    """
    Fault 72: known to threading by object, name and number, and to the system by name.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="known") as pool:
        thread, ident, native = pool.submit(
            lambda: (threading.current_thread(), threading.get_ident(), threading.get_native_id())
        ).result(WAIT)
        assert type(thread) is threading.Thread
        assert (thread.name, thread.ident, thread.native_id) == ("known_0", ident, native)
        assert thread in threading.enumerate() and thread in pool._threads
        if sys.platform == "linux":
            with open(f"/proc/self/task/{native}/comm") as comm:
                assert comm.read() == "known_0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="needs pthread_getattr_np")
@pytest.mark.parametrize("size", [256 * 1024, 64 * 1024 * 1024], ids=["256k", "64M"])
def test_threading_stack_size_is_obeyed(size):
    """
    Fault 73: deep jobs need more than the system's default, many threads less.
    """
    import ctypes

    def stack_size():
        attributes, size = ctypes.create_string_buffer(256), ctypes.c_size_t()
        assert libc.pthread_getattr_np(ctypes.c_ulong(threading.get_ident()), attributes) == 0
        assert libc.pthread_attr_getstacksize(attributes, ctypes.byref(size)) == 0
        libc.pthread_attr_destroy(attributes)
        return size.value

    libc = ctypes.CDLL(None)
    before = threading.stack_size(size)
    try:
        with ThreadPoolExecutor(1) as pool:
            assert size <= pool.submit(stack_size).result(WAIT) <= size + 64 * 1024
    finally:
        threading.stack_size(before)


def test_workers_touch_python_only_while_attached(run_script):
    """
    Fault 74: the debug allocator ends a process that allocates without the
    GIL; busy and sleeping workers, signals and waits all mixed.
    """
    process = run_script(
        """
import sys, threading
from ringpool import ThreadPoolExecutor

sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(4) as pool:
    for _ in range(300):
        jobs = [pool.submit(bytes, 100) for _ in range(20)]
        jobs[0].add_done_callback(repr)
        jobs[-1].cancel()
        try:
            jobs[-2].result(0)
        except TimeoutError:
            pass
        assert all(len(job.result(15)) == 100 for job in jobs if not job.cancelled())
print("done")
""",
        env={"PYTHONMALLOC": "debug", "PYTHONDEVMODE": "1"},
    )
    assert (process.stdout, process.stderr, process.returncode) == ("done\n", "", 0)


def test_object_that_crosses_threads_is_freed_soon(no_collector):
    """
    Fault 75: free-threaded, an object waits for the thread that made it; a
    job's result must not wait for a worker that sleeps.
    """

    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            thing = Thing()
            ours = weakref.ref(thing)
            future = pool.submit(id, thing)
            del thing
            future.result(WAIT)
            until(lambda ours=ours: ours() is None)

            future = pool.submit(Thing)
            theirs = weakref.ref(future.result(WAIT))
            del future
            until(lambda theirs=theirs: theirs() is None)
