"""A WorkerQueue at interpreter exit and across fork; each in a process of its own."""

import os

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PRELUDE = """
import os, sys, threading, time, warnings
from concurrent.futures import BrokenExecutor
from ringpool import Job, QueueStopped, WorkerQueue
warnings.simplefilter("ignore", DeprecationWarning)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def in_child(fn):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            fn()
            status = 0
        except BaseException as error:
            say("child:", repr(error))
        finally:
            os._exit(status)
    say("child ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture
def lines_of(run_script):
    """What a script says, line by line; it must end by itself, with status 0 and nothing on stderr."""

    def run(source):
        result = run_script(PRELUDE + source)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout.splitlines()

    return run


# ---- exit --------------------------------------------------------------------------


@pytest.mark.parametrize("held", [True, False], ids=["held", "dropped"])
def test_at_exit_everything_accepted_is_run(lines_of, held):
    """
    The main thread ends with work queued; the work is done all the same.
    """
    lines = lines_of(f"""
queue = WorkerQueue(2, 200)
go_on = threading.Event()
queue.submit(go_on.wait, 20)
queue.submit(go_on.wait, 20)
for i in range(200):
    queue.submit(say, i)
go_on.set()
if not {held}:
    del queue
""")
    assert sorted(map(int, lines)) == list(range(200))


def test_at_exit_the_queue_takes_no_more_jobs_and_says_why(lines_of):
    """
    Threads that outlive the main thread are refused, and released when they wait.
    """
    lines = lines_of("""
queue = WorkerQueue(1, 1, name="mail")
in_job, go_on = threading.Event(), threading.Event()
queue.submit(lambda: (in_job.set(), go_on.wait(20)))
in_job.wait(20)

def produce():
    try:
        while True:
            queue.submit(int)
    except QueueStopped as error:
        say(error)
        go_on.set()

threading.Thread(target=produce).start()
""")
    assert lines == ["mail takes no more jobs: the interpreter is exiting"]


def test_at_exit_a_job_that_submits_is_refused(lines_of):
    """
    A chain of jobs that submit each other must not keep the process for ever.
    """
    lines = lines_of("""
queue = WorkerQueue(1, 4)

def again():
    try:
        queue.submit(again)
    except QueueStopped:
        say("refused")

queue.submit(again)
""")
    assert lines == ["refused"]


def test_at_exit_readers_come_to_their_end(lines_of):
    """
    A thread in results() would otherwise keep the process.
    """
    lines = lines_of("""
queue = WorkerQueue(1, 4)
results = queue.results()
threading.Thread(target=lambda: say(sum(future.result() for future in results))).start()
for i in range(100):
    queue.submit(int, i)
""")
    assert lines == ["4950"]


def test_at_exit_a_queue_made_by_a_job_refuses(lines_of):
    """
    Its threads could not be waited for any more.
    """
    lines = lines_of("""
queue = WorkerQueue(2, 4)

def job():
    try:
        while True:
            queue.submit(int)
    except QueueStopped:
        pass
    late = WorkerQueue(1, 4)
    try:
        while True:
            late.submit(int)
    except QueueStopped as error:
        say("refused")

queue.submit(job)
""")
    assert lines == ["refused"]


def test_at_exit_it_does_not_matter_that_other_threads_make_queues(lines_of):
    """
    The list of all queues may grow while it is read; what was accepted is run.
    """
    lines = lines_of("""
others = [WorkerQueue(1, 1) for _ in range(10_000)]
queue = WorkerQueue(2, 100)

def make():
    while True:
        other = WorkerQueue(1, 1)
        others.append(other)
        try:
            other.submit_within(0, int)
        except QueueStopped:
            return

for _ in range(2):
    threading.Thread(target=make).start()
for i in range(50):
    queue.submit(lambda i=i: (time.sleep(0.002), say(i)))
""")
    assert sorted(map(int, lines)) == list(range(50))


def test_an_exception_in_the_main_thread_does_not_lose_accepted_jobs(run_script):
    """
    Nor does it hang: the traceback, then the drain, then the end.
    """
    result = run_script(
        PRELUDE
        + """
queue = WorkerQueue(1, 8)
for i in range(8):
    queue.submit(say, i)
raise SystemExit("bye")
"""
    )
    assert (result.returncode, result.stderr) == (1, "bye\n")
    assert result.stdout.split() == list("01234567")


# ---- fork ----------------------------------------------------------------------------


@needs_fork
def test_in_a_forked_child_the_queue_works_with_threads_of_its_own(lines_of):
    """
    And in the parent it goes on as if nothing had happened.
    """
    lines = lines_of("""
queue = WorkerQueue(2, 8, name="mail")
queue.submit(int).result(20)

def child():
    stats = queue.stats()
    say(stats.accepted, stats.workers)
    say(queue.submit(os.getpid).result(20) == os.getpid(), queue.submit(threading.current_thread).result(20).name[:-1])
    say(queue.stop(20).complete)

in_child(child)
say(queue.submit(os.getpid).result(20) == os.getpid())
say(queue.stop(20).done)
""")
    assert lines == ["0 0", "True mail_", "True", "child ended with 0", "True", "2"]


@needs_fork
def test_in_a_forked_child_what_was_pending_has_failed(lines_of):
    """
    It runs in the parent, once; a child that waits for it must be told.
    """
    lines = lines_of("""
queue = WorkerQueue(1, 8)
in_job, go_on = threading.Event(), threading.Event()
ran = []
jobs = [queue.submit(lambda: (in_job.set(), go_on.wait(20)))]
in_job.wait(20)
jobs += [queue.submit(ran.append, i) for i in range(3)]
cancelled = queue.submit(int)
cancelled.cancel()

def child():
    say([isinstance(job.exception(20), BrokenExecutor) for job in jobs])
    say(cancelled.cancelled(), ran)

in_child(child)
go_on.set()
say(queue.stop(20).done, ran)
os._exit(0)
""")
    assert lines == ["[True, True, True, True]", "True []", "child ended with 0", "4 [0, 1, 2]"]


@needs_fork
def test_a_job_may_fork(lines_of):
    """
    The child is the worker's thread alone: it can use the queue, and it can exit.
    """
    lines = lines_of("""
queue = WorkerQueue(2, 8)

def child():
    say(queue.submit(int, "7").result(20), queue.stop(20).complete)

queue.submit(in_child, child).result(20)
say(queue.stop(20).complete)
""")
    assert lines == ["7 True", "child ended with 0", "True"]


@needs_fork
@pytest.mark.parametrize("end", ["stop", "stop_now"])
def test_a_stopped_queue_stays_stopped_in_a_forked_child(lines_of, end):
    """
    A fork opens nothing.
    """
    lines = lines_of(f"""
queue = WorkerQueue(1, 8)
queue.submit(int).result(20)
queue.{end}()

def child():
    try:
        queue.submit(int)
    except QueueStopped:
        say("refused", queue.stop(20).complete, list(queue.results()))

in_child(child)
""")
    assert lines == ["refused True []", "child ended with 0"]


@needs_fork
@pytest.mark.parametrize("way", ["given to an idle worker", "being judged"])
def test_in_a_forked_child_what_a_worker_has_taken_and_not_started_has_failed(lines_of, way):
    """
    In neither the queue nor anybody's hands, it would be pending for ever.
    """
    lines = lines_of(f"""
asked, go_on = threading.Event(), threading.Event()

def rate_limit():
    asked.set()
    go_on.wait(20)

def child():
    error = job.exception(20)               # none: without the GIL the worker may be faster than the fork
    say(isinstance(error, BrokenExecutor) or error is None and not {way == "being judged"})

if {way == "being judged"}:
    queue = WorkerQueue(1, 8, rate_limit=rate_limit)
    job = queue.submit(int, "7")
    asked.wait(20)
    in_child(child)
else:
    queue = WorkerQueue(1, 8, dispatch="ready")
    for _ in range(20):
        queue.submit(int).result(20)
        while not queue.stats().idle:
            pass
        sys.setswitchinterval(10)           # the worker is not to come to it; without a GIL it may
        job = queue.submit(int, "7")
        in_child(child)
        sys.setswitchinterval(0.005)
go_on.set()
say(job.result(20), queue.stop(20).complete)
""")
    times = 1 if way == "being judged" else 20
    assert lines == ["True", "child ended with 0"] * times + ["7 True"]


@needs_fork
@pytest.mark.parametrize("call", ["Job(job, depth)", "job, depth"], ids=["planned", "plain"])
def test_in_a_forked_child_a_job_that_stands_still_below_another_has_failed_too(lines_of, call):
    """
    Its worker runs in its place what it waits for, and that waits in turn.
    """
    lines = lines_of(f"""
runs, go_on = threading.Event(), threading.Event()
jobs = []

def job(depth):
    if depth == 3:
        runs.set()
        return go_on.wait(20)
    return submit(depth + 1).result()

def submit(depth):
    jobs.append(queue.submit({call}))
    return jobs[-1]

def child():
    say([isinstance(job.exception(5), BrokenExecutor) for job in jobs])

queue = WorkerQueue(1, 8, max_spares=0)
submit(0)
runs.wait(20)
in_child(child)
go_on.set()
say(jobs[0].result(20), queue.stop(20).complete)
""")
    assert lines == ["[True, True, True, True]", "child ended with 0", "True True"]


@needs_fork
def test_in_a_forked_child_a_job_that_has_run_and_is_being_settled_has_failed(lines_of):
    """
    Who forks holds the lock under which its waiters are to be told.
    """
    lines = lines_of("""
go_on = threading.Event()

def child():
    say(isinstance(job.exception(5), BrokenExecutor))

queue = WorkerQueue(1, 8)
job = queue.submit(go_on.wait, 20)
with job._condition:
    go_on.set()
    while queue.running():
        pass
    time.sleep(0)
    in_child(child)
say(job.result(20), queue.stop(20).complete)
""")
    assert lines == ["True", "child ended with 0", "True True"]


@needs_fork
@pytest.mark.parametrize("call", ["Job(int, key=1)", "int"], ids=["planned", "plain"])
@pytest.mark.parametrize("way", ["queue.stop_now()", "queue.submit(len, ())", "go_on.set()"])
def test_in_a_forked_child_a_job_that_is_just_being_ended_has_failed(lines_of, way, call):
    """
    Who cancels or drops it has taken it from the queue, and waits for the lock that who forks holds.
    """
    lines = lines_of(f"""
runs, go_on = threading.Event(), threading.Event()

def rate_limit():
    runs.set()
    go_on.wait(20)

def end():
    try:
        {way}
    except QueueStopped:
        pass

def child():
    say(isinstance(job.exception(5), BrokenExecutor))

asks = {way == "go_on.set()"}       # its worker does, which was asking whether it may start
queue = WorkerQueue(1, 1, overflow="drop_oldest", rate_limit=rate_limit if asks else None)
if not asks:
    queue.submit(lambda: (runs.set(), go_on.wait(20)))
    runs.wait(20)
job = queue.submit({call})
runs.wait(20)
with job._condition:
    if asks:
        queue.stop_now()
    ending = threading.Thread(target=end)
    ending.start()
    for _ in range(500):            # if it has not come to that yet, the job is where others look
        time.sleep(0)
    in_child(child)
go_on.set()
ending.join(20)
say(queue.stop(20).complete, job.done())
""")
    assert lines == ["True", "child ended with 0", "True True"]


@needs_fork
@pytest.mark.parametrize("end", ["", "queue.stop()"], ids=["open", "stopped"])
def test_in_a_forked_child_an_open_queue_is_watched_again(lines_of, end):
    """
    By a thread of the child's own, which ends with the queue.
    """
    lines = lines_of(f"""
import logging

class Keep(logging.Handler):
    def emit(self, record):
        told.release()

told = threading.Semaphore(0)
logging.getLogger("ringpool").addHandler(Keep())
queue = WorkerQueue(1, 8, stuck_after=0.02)
queue.submit(int).result(20)
{end}

def child():
    say(threading.active_count())
    if not {end!r}:
        go_on = threading.Event()
        queue.submit(go_on.wait, 20)
        say(told.acquire(timeout=20), queue.stats().stuck)
        go_on.set()
        queue.stop(20)
        say(threading.active_count())

in_child(child)
queue.stop(20)
""")
    assert lines == (["1"] if end else ["2", "True 1", "1"]) + ["child ended with 0"]


@needs_fork
def test_a_process_forks_under_load_again_and_again(lines_of):
    """
    Whatever other threads were doing at that moment, each child's queue works.
    """
    lines = lines_of("""
queue = WorkerQueue(2, 8)
reader = threading.Thread(target=lambda results=queue.results(): [None for _ in results])
reader.start()
ended = []

def produce():
    try:
        while not ended:
            queue.submit(int)
    except QueueStopped:
        pass

producers = [threading.Thread(target=produce) for _ in range(3)]
for producer in producers:
    producer.start()

def child():
    if queue.submit(int, "7").result(20) != 7 or not queue.stop(20).complete:
        raise AssertionError

for _ in range(30):
    in_child(child)
ended.append(True)
for producer in producers:
    producer.join(20)
say(queue.stop(20).complete)
""")
    assert lines == ["child ended with 0"] * 30 + ["True"]
