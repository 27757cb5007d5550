"""
Fault 79: no memory, at each allocation of a call and of what it sets going; a process for each kind of call.

Either the call raises MemoryError, or its job runs; no future is lost, no worker or timekeeper gone, nothing crashes.
What a job, a callback or the standard library's own code needs is theirs: a thread's start is left out (CPython's
Thread.start() hangs when the new thread finds no memory), and so are futures.wait() and the building of functions,
which crash CPython 3.13.0 or leave a lock taken.
"""

import shutil
import subprocess
import sys

import pytest

if not hasattr(pytest.importorskip("_testcapi"), "set_nomemory"):
    pytest.skip("this CPython cannot be made to lack memory", allow_module_level=True)

PROGRAM = """
import _testcapi, ctypes, logging, sys, threading, time
from ringpool import *

logging.disable(logging.CRITICAL)
sys._current_frames = dict              # crashes CPython 3.13.0 without memory
WAIT = 10
broken = []                             # what no thread of ours may end in
threading.excepthook = sys.unraisablehook = broken.append
start_thread = threading.Thread.start
invoke = threading._make_invoke_excepthook()
threading._make_invoke_excepthook = lambda: invoke      # builds a function for each thread

class Native:
    # What C++ allocates: see NATIVE.
    def __init__(self):
        self.library = ctypes.CDLL(None)
    def fail(self, first, last):
        self.library.fail_allocations(first, last)
    def end(self):
        self.library.fail_allocations(0, 0)

class OfPython:
    def fail(self, first, last):
        _testcapi.set_nomemory(first, last)
    def end(self):
        _testcapi.remove_mem_hooks()

memory = Native() if NATIVE else OfPython()

def start(self):
    memory.end()
    start_thread(self)

threading.Thread.start = start

class Flag:                             # an Event takes memory, and breaks without
    def __init__(self):
        self.up = False
    def set(self):
        self.up = True
    def wait(self):
        end = time.monotonic() + WAIT
        while not self.up:
            assert time.monotonic() < end
            time.sleep(0.0005)

def fail_twice():
    if current_job().attempt < 3:
        raise OSError
    return 0

def spin_until_done(*futures):          # so that workers meet the fault
    for _ in range(2000):
        try:
            if all([future.done() for future in futures]):
                break
            time.sleep(0)
        except MemoryError:
            pass                        # ours
    return futures

def is_memory(error):
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_memory, error.exceptions))
    return isinstance(error, MemoryError) or "can't allocate lock" in str(error) or "new thread" in str(error)

def resolved(futures):
    for future in futures:
        if not future.done():
            future.exception(WAIT)
        if not future.cancelled() and (error := future.exception(0)) is not None:
            assert is_memory(error), error

def workers_live(queue, n):
    meeting = threading.Barrier(n + 1)
    for _ in range(n):
        queue.submit(meeting.wait, WAIT)
    meeting.wait(WAIT)

make = lambda: QUEUE
queue = make()
before = lambda queue: ()
call = lambda queue, *before: CALL
BEFORE
queue.submit(int).result(WAIT)
if hasattr(queue, "submit_later"):
    queue.submit_later(0, int).result(WAIT)
workers_live(queue, 2)
raised = calm = number = 0
while calm < 8:
    assert number < 400, "it needs memory for ever"
    futures = list(before(queue))
    memory.fail(number, number + 1)
    try:
        futures += call(queue, *futures) or ()
        calm += 1
    except BaseException as error:
        memory.end()
        assert is_memory(error), repr(error)
        raised += 1
        calm = 0
    finally:
        memory.end()
    flag.set() if "flag" in globals() else None
    resolved(futures)
    workers_live(queue, 2)
    if hasattr(queue, "wait"):
        assert queue.wait(WAIT), (number, queue.stats())
    number += 1
if hasattr(queue, "stop"):
    assert queue.stop(WAIT).complete
else:
    queue.shutdown()
assert not broken, broken
print("ok", number, raised)
"""

HELD = """
def before(queue):
    global flag
    flag = Flag()
    return [queue.submit(flag.wait)]
"""
Q = "WorkerQueue(2, 64)"
CALLS = {
    "many arguments": (Q, "[queue.submit(max, 1, 2, 3, 4, key=id)]", ""),
    "timed": ("WorkerQueue(2, 64, sample=1)", "[queue.submit(len, ())]", ""),
    "executor": ("ThreadPoolExecutor(2)", "[queue.submit(len, ()), queue.submit(len, ())]", ""),
    "job": (Q, "spin_until_done(queue.submit(Job(len, (), priority=3)))", ""),
    "lane": ("WorkerQueue(2, 64, lanes={'a': Lane(2)})", "spin_until_done(queue.submit(Job(len, (), lane='a')))", ""),
    "key": (Q, "spin_until_done(*[queue.submit(Job(len, (), key='k')) for _ in '123'])", ""),
    "delay": (Q, "spin_until_done(queue.submit(Job(len, (), delay=0.0005, key='k', priority=3)))", ""),
    "retry": (Q, "spin_until_done(queue.submit(Job(fail_twice, retry=Retry(base=0.0005, jitter='none'))))", ""),
    "retry at once": (Q, "spin_until_done(queue.submit(Job(fail_twice, key=1, retry=Retry(base=0.0))))", ""),
    "limits": (Q, "[queue.submit(Job(len, (), timeout=20, deadline=20, expires_in=20))]", ""),
    "rate": ("WorkerQueue(2, 64, rate_limit=lambda: 0.0)", "spin_until_done(queue.submit(len, ()))", ""),
    "callback": (Q, "held.add_done_callback(id) or flag.set() or spin_until_done(held)", HELD),
    "condition": (Q, "held._condition and None or flag.set() or spin_until_done(held)", HELD),
    "result": (Q, "flag.set() or held.result(WAIT)", HELD),
    "cancel": (Q, "[job for job in before_jobs if not job.cancel() and not job.done()]", ""),
    "map": (Q, "[] if list(queue.map(len, [()] * 70)) == [0] * 70 else 1 / 0", ""),
    "submit_many": (Q, "queue.submit_many(len, [()] * 9)", ""),
    "batch": (Q, "[batch.submit(i) for i in '123']", "batch = queue.batch(list, 3, 0.01)\n"),
}
CANCELLED = """
class flag:
    def set():
        for job in futures:
            job.cancel()

def before(queue):
    return [queue.submit(Job(len, (), delay=99, key="k", retry=Retry())), queue.submit(Job(len, (), delay=99))]
"""
OF_PYTHON = ["many arguments", "executor", "job", "key", "delay", "callback", "result", "cancel", "map", "batch"]
OF_THE_CORE = [
    "timed", "executor", "job", "lane", "key", "delay", "retry", "retry at once", "limits", "rate", "callback",
    "condition", "result", "cancel", "map", "submit_many", "batch",
]  # fmt: skip
HELD_CALLS = ("callback", "condition", "result")


def program(name, native):
    queue, call, before = CALLS[name]
    if name in HELD_CALLS:
        call = call.replace("held", "before[0]")
    if name == "cancel":
        call = call.replace("before_jobs", "before")
        before = CANCELLED
    text = PROGRAM.replace("NATIVE else", f"{native} else").replace("QUEUE", queue).replace("CALL\n", call + "\n")
    return text.replace("\nBEFORE\n", "\n" + before + "\n")


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="_testcapi changes the allocator under running threads"
)
@pytest.mark.parametrize("name", OF_PYTHON)
def test_python_has_no_memory(name, run_script):
    """
    At each allocation that the call makes, or a worker meanwhile.

    Seen to fail: a timekeeper whose making raised was counted for ever, and its queue never ended.
    """
    result = run_script(program(name, False))
    assert (result.returncode, result.stderr) == (0, ""), result.stderr[-3000:]
    assert result.stdout.startswith("ok ")


NATIVE = r"""
#include <cstdlib>
#include <new>
static int seen, first, last;
extern "C" void fail_allocations(int from, int to) { seen = 0; first = from; last = to; }
extern "C" void *__libc_calloc(size_t, size_t);
static bool fails() { return last && seen++ >= first && seen <= last; }
void *operator new(size_t n) {
    void *p = fails() ? nullptr : std::malloc(n);
    if (!p) throw std::bad_alloc();
    return p;
}
void *operator new(size_t n, std::align_val_t a) {
    void *p = fails() ? nullptr : std::aligned_alloc(size_t(a), (n + size_t(a) - 1) / size_t(a) * size_t(a));
    if (!p) throw std::bad_alloc();
    return p;
}
void operator delete(void *p) noexcept { std::free(p); }
void operator delete(void *p, size_t) noexcept { std::free(p); }
void operator delete(void *p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void *p, size_t, std::align_val_t) noexcept { std::free(p); }
extern "C" void *calloc(size_t n, size_t size) {    // glibc's own small ones end the process
    return n * size >= 1024 && fails() ? nullptr : __libc_calloc(n, size);
}
"""


@pytest.fixture(scope="module")
def preload(tmp_path_factory):
    if not sys.platform.startswith("linux") or shutil.which("g++") is None:
        pytest.skip("needs g++ and the way glibc lets a program replace its allocator")
    where = tmp_path_factory.mktemp("native")
    (where / "native.cpp").write_text(NATIVE)
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-o", where / "native.so", where / "native.cpp"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return str(where / "native.so")


@pytest.mark.parametrize("name", OF_THE_CORE)
def test_the_core_has_no_memory(name, preload, run_script):
    """
    What C++ allocates: the places of jobs, extensions of futures, segments of maps, lists.

    Seen to fail, when each move on the shelf made a new node: delay, retry and cancel lost their job, and a key that
    was freed ended the process.
    """
    result = run_script(program(name, True), env={"LD_PRELOAD": preload})
    assert (result.returncode, result.stderr) == (0, ""), result.stderr[-3000:]
    assert result.stdout.startswith("ok ")
