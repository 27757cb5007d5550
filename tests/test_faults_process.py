"""Faults that could take the process along, each in one of its own; the numbers are those of the fault catalogue."""

import shutil
import signal
import subprocess
import sys

import pytest

POOLS = {"executor": "ThreadPoolExecutor(1)", "queue": "WorkerQueue(1, 64)"}
each_pool = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)


@pytest.fixture
def lines_of(run_script):
    """What a script says, line by line; it must end by itself, with status 0 and nothing on stderr."""

    def run(source, **options):
        process = run_script("import threading, time\nfrom ringpool import *\n" + source, **options)
        assert (process.stderr, process.returncode) == ("", 0)
        return process.stdout.splitlines()

    return run


# ---- threads that are ended from outside ---------------------------------------------------------


@each_pool
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_worker_that_another_thread_tells_to_exit_goes_on(pool, busy, lines_of):
    """
    Fault 14: SystemExit put into the thread belongs to the job that meets it.
    """
    lines = lines_of(f"""
import ctypes
started = threading.Event()

def job():
    started.set()
    if not {busy}:
        return threading.get_ident()
    while True:
        pass

def end_thread(ident):
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(SystemExit)) == 1

with {pool} as pool:
    ident = pool.submit(threading.get_ident).result(20)
    future = pool.submit(job)
    assert started.wait(20)
    end_thread(ident)
    print(type(future.exception(20)).__name__ if {busy} else future.result(20) == ident)
    ends = [pool.submit(threading.get_ident) for _ in range(2)]
    ends[0].exception(20)                       # of an idle worker: the next job meets it, or none does
    print(ends[1].result(20) == ident)
""")
    assert lines == ["SystemExit" if busy else "True", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="what becomes of the frames is the system's business")
@each_pool
def test_thread_ended_under_its_frames_ends_the_process_and_hangs_nobody(pool, run_script):
    """
    Fault 14: after pthread_exit nobody can know what the frames held; who waits is not left waiting.
    """
    process = run_script(f"""
import ctypes, resource
from ringpool import *
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
lib = ctypes.CDLL(None)
lib.pthread_exit.argtypes = [ctypes.c_void_p]
{pool}.submit(lib.pthread_exit, None).result()
""")
    assert process.returncode == -signal.SIGABRT, process


# ---- interpreters ----------------------------------------------------------------------------------


@pytest.mark.parametrize("isolated", [True, False], ids=["isolated", "legacy"])
def test_another_interpreter_is_refused_the_import_and_ends_without_harm(isolated, lines_of):
    """
    Faults 38 and 39: an ImportError, and the pools of the main interpreter live on.
    """
    lines = lines_of(f"""
import sys
pools = [ThreadPoolExecutor(1), WorkerQueue(1, 8)]
code = '''if True:
    try:
        import ringpool
    except ImportError:
        refused = True
    assert refused
'''
for _ in range(3):
    if sys.version_info >= (3, 13):
        import _interpreters
        other = _interpreters.create("isolated" if {isolated} else "legacy")
        error = _interpreters.exec(other, code)
        assert error is None, error
    else:
        import _xxsubinterpreters as _interpreters
        other = _interpreters.create(isolated={isolated})
        _interpreters.run_string(other, code)
    delayed = pools[1].submit_later(0.01, int)
    _interpreters.destroy(other)
    print(*[pool.submit(int, "7").result(20) for pool in pools], delayed.result(20))
for pool in pools:
    pool.__exit__(None, None, None)
""")
    assert lines == ["7 7 0"] * 3


# ---- clocks ------------------------------------------------------------------------------------------

JUMPING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static int calls;
static long jump(void) { return (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) & 1) ? 3600 : -3600; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += jump();
    return result;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec, now->tv_usec = time.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("gcc"), reason="needs to stand before the C library")
def test_wall_clock_that_jumps_by_hours_changes_no_time_limit(lines_of, tmp_path):
    """
    Fault 47: with each look at it, back and forth, also at the one of native
    code; waits, delays, back-offs, limits and batches are on the monotonic one.
    """
    source, library = tmp_path / "jumping.c", tmp_path / "jumping.so"
    source.write_text(JUMPING)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    lines = lines_of(
        """
start = time.time(), time.time()
print(abs(start[0] - start[1]) > 3000)
tried = []

def fail_once():
    tried.append(1)
    if len(tried) == 1:
        raise OSError
    return current_job().attempt

with ThreadPoolExecutor(1) as pool, WorkerQueue(2, 8) as queue:
    began = time.monotonic()
    for wait in (Future().result, Future().exception):
        try:
            wait(0.05)
        except TimeoutError:
            pass
    jobs = [queue.submit_later(0.05, int), queue.submit(Job(fail_once, retry=Retry(base=0.05, jitter="none")))]
    print([job.result(10) for job in jobs], queue.wait(10))
    with queue.batch(sum, max_size=9, max_wait=0.05) as batcher:
        print(type(batcher.submit(1).exception(10)).__name__)
    late = queue.submit(Job(lambda: current_job().sleep(10), timeout=0.05))
    print(type(late.exception(10)).__name__)
    print(0.2 < time.monotonic() - began < 9)
""",
        env={"LD_PRELOAD": str(library)},
    )
    assert lines == ["True", "[0, 2] True", "TypeError", "JobTimeout", "True"]


# ---- everything at once ----------------------------------------------------------------------------


def test_stacks_may_be_dumped_while_everything_runs(lines_of):
    """
    Fault 78: whoever looks at the threads neither crashes nor stops them.
    """
    lines = lines_of("""
import faulthandler, os, sys
over = threading.Event()

def look():
    with open(os.devnull, "w") as nowhere:
        while not over.is_set():
            faulthandler.dump_traceback(nowhere, all_threads=True)
            sys._current_frames()
            queue.running()

queue, pool = WorkerQueue(2, 64), ThreadPoolExecutor(2)
looker = threading.Thread(target=look)
looker.start()
for _ in range(8):
    jobs = [queue.submit(int) for _ in range(20)] + [pool.submit(int) for _ in range(20)]
    jobs += [queue.submit(Job(int, key=1)), queue.submit_later(0.0001, int)]
    with WorkerQueue(1, 1) as short:
        jobs += [short.submit(int)]
    assert [job.result(20) for job in jobs] == [0] * 43
over.set()
looker.join()
queue.stop(), pool.shutdown()
print("ended")
""")
    assert lines == ["ended"]


def test_every_method_may_be_called_from_eight_threads_at_once(lines_of):
    """
    Fault 77: on one executor, one queue and the same futures; nothing but the
    documented errors, and the ledger adds up.
    """
    lines = lines_of("""
import random
from concurrent import futures
queue = WorkerQueue(2, 16, lanes={"a": Lane(), "b": Lane(max_workers=1)}, report_unread=False)
pool = ThreadPoolExecutor(2)
shared = [Future() for _ in range(4)]
results = queue.results()
start = threading.Barrier(8)
wrong = []

def use(seed):
    draw = random.Random(seed)
    def one():
        return shared[draw.randrange(4)]
    def planned():
        return queue.try_submit(Job(
            int, key=draw.randrange(3), priority=draw.randrange(3), lane="b", retry=Retry(attempts=2), timeout=5,
        ))
    calls = [
        lambda: queue.try_submit(int), lambda: queue.submit_within(0.001, int), planned, planned,
        lambda: queue.stats(), lambda: queue.times(), lambda: queue.running(), lambda: repr(queue),
        lambda: queue.resize(draw.randrange(2, 5)), lambda: queue.wait(0.0001), lambda: queue.reprioritise(one(), 3),
        lambda: pool.submit(int), lambda: list(pool.map(int, "123")), lambda: repr(pool),
        lambda: one().cancel(), lambda: one().set_result(1), lambda: one().set_exception(OSError()),
        lambda: one().add_done_callback(id), lambda: one().done(), lambda: one().result(0.0001),
        lambda: one().exception(0), lambda: repr(one()), lambda: one()._condition,
        lambda: futures.wait(shared, 0), lambda: list(futures.as_completed(shared, 0)),
        lambda: shared.__setitem__(draw.randrange(4), Future()),
        lambda: shared.__setitem__(draw.randrange(4), queue.try_submit(int)),
        lambda: shared.__setitem__(draw.randrange(4), planned()),
    ]
    start.wait(20)
    for _ in range(250):
        try:
            draw.choice(calls)()
        except (QueueFull, TimeoutError, futures.TimeoutError, futures.CancelledError, futures.InvalidStateError):
            pass
        except OSError:
            pass
        except BaseException as error:
            wrong.append(error)

reader = threading.Thread(target=lambda: [None for _ in results])
reader.start()
threads = [threading.Thread(target=use, args=(i,)) for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.shutdown()
print(queue.stop(20).complete, wrong)
reader.join()
stats = queue.stats()
print(stats.accepted == stats.succeeded + stats.failed + stats.cancelled + stats.dropped + stats.expired)
""")
    assert lines == ["True []", "True"]
