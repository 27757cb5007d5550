"""The threads of a WorkerQueue: how many, when, what they are called, and what is said of the queue."""

import gc
import threading
import time
from concurrent import futures

import pytest

from ringpool import WorkerQueue

WAIT = 30
LIMIT = 5  # seconds given to a call that must return long before


def threads_of(queue):
    return [thread for thread in threading.enumerate() if thread.name.startswith(queue.name + "_")]


def test_threads_are_started_as_jobs_need_them(gate):
    """
    None before the first job; one for jobs that come one by one; never more than asked for.
    """
    with WorkerQueue(3, 16) as queue:
        assert (threads_of(queue), queue.stats().workers) == ([], 0)
        for _ in range(3):
            queue.submit(int).result(WAIT)
            queue.wait(WAIT)
        assert queue.stats().workers == 1
        for _ in range(8):
            queue.submit(gate)
        gate.wait_until_entered(3)
        assert len(threads_of(queue)) == queue.stats().workers == 3
        gate.open()


def test_the_first_jobs_of_two_threads_run_at_once(run_in_threads):
    """
    Two workers asked for, two jobs that need each other: the second must not
    wait behind the first because both submitters counted on one worker.
    """
    for _ in range(200):
        meeting = threading.Barrier(2)
        with WorkerQueue(2, 8) as queue:
            jobs = run_in_threads(2, lambda i, *job: queue.submit(*job), meeting.wait, 5)
            assert {job.result(WAIT) for job in jobs} == {0, 1}


@pytest.mark.stress
def test_two_jobs_that_find_one_idle_worker_run_at_once(run_in_threads):
    """
    The idle worker can take one of them only; another thread is to be started.
    On a free-threaded build both submitters look at the same time.
    """
    for _ in range(1000):
        meeting = threading.Barrier(2)
        with WorkerQueue(2, 8) as queue:
            queue.submit(int).result(WAIT)
            queue.wait(WAIT)
            jobs = run_in_threads(2, lambda i, *job: queue.submit(*job), meeting.wait, 5)
            assert {job.result(WAIT) for job in jobs} == {0, 1}


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_as_many_jobs_as_workers_run_at_once(workers):
    """
    Also when the first of them blocks the submitter's only helper.
    """
    meeting = threading.Barrier(workers)
    with WorkerQueue(workers, workers) as queue:
        jobs = [queue.submit(meeting.wait, WAIT) for _ in range(workers)]
        assert {job.result(WAIT) for job in jobs} == set(range(workers))


@pytest.fixture
def no_new_threads(monkeypatch):
    """Turn starting threads off and on; how often it was tried."""
    start = threading.Thread.start
    tried = []

    def fail(thread):
        tried.append(thread)
        raise RuntimeError("can't start new thread")

    def switch(off):
        monkeypatch.setattr(threading.Thread, "start", fail if off else start)
        return tried

    return switch


def test_a_submit_that_can_start_no_thread_leaves_no_trace(no_new_threads):
    """
    The error comes out, the job does not run later, the queue works when threads can be had again.
    """
    ran = []
    queue = WorkerQueue(2, 4)
    no_new_threads(True)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="can't start new thread"):
            queue.submit(ran.append, 1)
    assert (queue.stats().accepted, queue.stats().workers) == (0, 0)
    no_new_threads(False)

    assert queue.submit(int).result(WAIT) == 0
    assert queue.stop(WAIT).done == 1
    assert ran == []


def test_a_queue_that_has_a_worker_does_with_it_when_no_more_can_be_started(no_new_threads, gate):
    """
    Fewer threads than asked for is slower, and no error.
    """
    with WorkerQueue(4, 8) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        tried = no_new_threads(True)
        jobs = [queue.submit(int, i) for i in range(5)]
        assert (len(tried), queue.stats().workers) == (5, 1)
        gate.open()
        assert [job.result(WAIT) for job in jobs] == list(range(5))
        no_new_threads(False)


def test_the_number_of_workers_is_right_while_one_is_being_started(monkeypatch):
    """
    A worker may have come and gone before its starter is told: never less than none.
    """
    start = threading.Thread.start
    started, go_on = threading.Event(), threading.Event()
    queue = WorkerQueue(1, 4)

    def slow_start(thread):
        start(thread)
        if thread.name.startswith(queue.name + "_"):
            started.set()
            assert go_on.wait(WAIT)

    def submit():
        try:
            queue.submit(int)
        except RuntimeError:
            pass

    monkeypatch.setattr(threading.Thread, "start", slow_start)
    submitter = threading.Thread(target=submit)
    submitter.start()
    assert started.wait(WAIT)
    queue.stop(WAIT)
    workers = queue.stats().workers
    go_on.set()
    submitter.join(WAIT)

    assert workers == 0


# ---- names -----------------------------------------------------------------------


def test_threads_bear_the_queues_name_and_a_number(gate):
    """
    So that a dump of all threads says whose they are.
    """
    with WorkerQueue(2, 8, name="mail") as queue:
        queue.submit(gate)
        queue.submit(gate)
        gate.wait_until_entered(2)
        assert sorted(thread.name for thread in threads_of(queue)) == ["mail_0", "mail_1"]
        assert not any(thread.daemon for thread in threads_of(queue))
        gate.open()
        assert queue.submit(lambda: threading.current_thread()).result(WAIT) in threading.enumerate()


def test_queues_without_a_name_are_numbered(run_in_threads):
    """
    No two alike, also when many threads make them at once.
    """
    names = sum(run_in_threads(4, lambda i: [WorkerQueue(1, 1).name for _ in range(500)]), [])

    assert all(name.startswith("WorkerQueue-") for name in names)
    assert len(set(names)) == 2000


def test_the_name_is_part_of_the_errors(gate):
    """
    A process has many queues, and the log one line.
    """
    with WorkerQueue(1, 1, name="mail") as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(int)
        with pytest.raises(RuntimeError, match="mail is full: 1 jobs queued"):
            queue.try_submit(int)
        gate.open()
    with pytest.raises(RuntimeError, match="mail takes no more jobs"):
        queue.submit(int)


def test_repr_tells_the_state(gate):
    """
    For logs and debuggers.
    """
    queue = WorkerQueue(1, 4, name="mail")
    assert repr(queue) == "<WorkerQueue 'mail' open, 0/4 queued, 0 in flight>"
    queue.submit(gate)
    gate.wait_until_entered()
    queue.submit(int)
    assert repr(queue) == "<WorkerQueue 'mail' open, 1/4 queued, 1 in flight>"
    gate.open()
    queue.stop(WAIT)
    assert repr(queue) == "<WorkerQueue 'mail' stopped, 0/4 queued, 0 in flight>"


def test_repr_of_a_queue_that_failed_to_be_made_is_no_error():
    """
    A debugger shows the frame in which __init__ raised.
    """
    assert "WorkerQueue" in repr(WorkerQueue.__new__(WorkerQueue))


def test_a_thread_that_cannot_be_started_costs_no_memory(no_new_threads, gate):
    """
    At the system's limit every submit tries again: a leak there grows with the load.
    """
    resource = pytest.importorskip("resource")

    def pages():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    try:
        pages()
    except FileNotFoundError:
        pytest.skip("no /proc here")
    with WorkerQueue(4, 1024, keep_results=0) as queue:
        queue.submit(int).result(WAIT)
        queue.wait(WAIT)
        tried = no_new_threads(True)
        queue.submit(gate)
        gate.wait_until_entered()

        def fill():
            tried.clear()
            for _ in range(1000):
                queue.submit(int)
            assert len(tried) == 1000
            tried.clear()

        fill()
        gate.open()
        queue.wait(WAIT)
        before = pages()
        for _ in range(30):
            release = threading.Event()
            queue.submit(release.wait, WAIT)
            fill()
            release.set()
            queue.wait(WAIT)
        gc.collect()
        no_new_threads(False)
        assert pages() - before < 4_000_000


# ---- spares ---------------------------------------------------------------------
#
# A job that waits for another of its queue through the standard library's wait()
# has one more worker hired, which empties the queue and leaves.


def on_a_spare(queue, fn, *args):
    """Submit a job, on a queue of one worker, that waits for ``fn(*args)`` to be run; the latter's result."""

    def job():
        inner = queue.submit(fn, *args)
        futures.wait([inner], WAIT)
        return inner.result(0)

    return queue.submit(job)


def test_a_job_that_waits_for_another_with_the_standard_librarys_wait_is_no_deadlock():
    """
    Also several deep, on a single worker; and the spares leave when nothing is left for them.
    """
    with WorkerQueue(1, 8) as queue:

        def deep(n):
            if not n:
                return 0
            inner = queue.submit(deep, n - 1)
            futures.wait([inner], WAIT)
            return 1 + inner.result(0)

        assert queue.submit(deep, 5).result(WAIT) == 5
        assert queue.submit(deep, 5).result(WAIT) == 5
    assert (queue.stats().workers, threads_of(queue)) == (0, [])


@pytest.mark.parametrize("end", ["stop", "wait"])
def test_a_job_on_a_spare_worker_may_end_its_queue(end):
    """
    It is a job of this queue as any other: it does not wait for itself.
    """
    queue = WorkerQueue(1, 8)
    started = time.monotonic()
    on_a_spare(queue, getattr(queue, end), LIMIT).result(WAIT)
    took = time.monotonic() - started

    assert queue.stop(WAIT).complete
    assert took < LIMIT, "waited for itself"


def test_a_stop_leaves_no_spare_worker_behind():
    """
    When it returns the threads have ended, whoever they were hired for.
    """
    for _ in range(50):
        queue = WorkerQueue(1, 8)
        on_a_spare(queue, int)
        assert queue.stop(WAIT).complete
        assert threads_of(queue) == []


def test_the_report_names_a_spare_workers_thread(gate):
    """
    Who runs what, for the log.
    """
    with WorkerQueue(1, 8, name="mail") as queue:
        on_a_spare(queue, gate)
        gate.wait_until_entered()
        names = {running.thread for running in queue.stop(0).running}
        gate.open()
    assert "mail_0" in names
    assert len(names) == 2
    assert all(name.startswith("mail_") for name in names)


@pytest.mark.parametrize("spare", [False, True], ids=["a worker that was idle", "a spare"])
def test_stop_waits_for_the_threads_of_workers_that_have_left(spare, gate, monkeypatch):
    """
    One that is beyond its last job is a thread until it has ended.
    """
    leaves = threading.Event()
    delete = threading.Thread._delete

    def slowly(thread):  # the last thing that a thread does
        if thread in threads_of(queue) and thread.name.endswith("_spare") == spare and not leaves.is_set():
            leaves.set()
            gate()
        delete(thread)

    monkeypatch.setattr(threading.Thread, "_delete", slowly)
    queue = WorkerQueue(2, 8, min_workers=1, idle_timeout=0.001 if not spare else None)
    both = threading.Barrier(2)

    def meet():
        futures.wait([queue.submit(both.wait, WAIT) for _ in range(2)], WAIT)

    if spare:
        queue.submit(meet).result(WAIT)
    else:
        meet()
    assert leaves.wait(WAIT)
    stopped = []
    stopping = threading.Thread(target=lambda: stopped.append((queue.stop(WAIT), threads_of(queue))))
    stopping.start()
    stopping.join(0.1)
    assert not stopped
    gate.open()
    stopping.join(WAIT)
    ((report, left),) = stopped
    assert report.complete
    assert left == []


def test_a_thread_that_is_just_starting_stays_known_when_another_is_hired(monkeypatch, gate):
    """
    It has an ident and is not alive yet: who forgets it then does not wait for its end when the queue stops.
    """
    enters = threading.Thread._set_native_id

    def slowly(thread):
        if thread.name == "one_0":
            gate()
        enters(thread)

    monkeypatch.setattr(threading.Thread, "_set_native_id", slowly)
    queue = WorkerQueue(2, 8, name="one")
    first = threading.Thread(target=queue.submit, args=[int])
    first.start()
    gate.wait_until_entered()
    assert queue.submit(int).result(WAIT) == 0  # a second worker's
    assert {thread.name for thread in queue._threads} == {"one_0", "one_1"}
    gate.open()
    first.join(WAIT)
    assert queue.stop(WAIT).complete
    assert threads_of(queue) == []
