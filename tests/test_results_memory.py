"""What WorkerQueue.results() keeps: bounds with and without a reader, what is forgotten, cycles."""

import gc
import random
import threading
import weakref
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from ringpool import QueueFull, QueueStopped, WorkerQueue, current_job

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened


def fill(queue):
    """Submit until the queue is full and stays so; the futures."""
    accepted = []
    try:
        while True:
            accepted.append(queue.submit_within(2 * MOMENT, int))
    except QueueFull:
        return accepted


# ---- bounds ------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "capacity", "keep"), [(1, 1, 1), (2, 4, 3), (1, 8, 1), (3, 2, 16)])
def test_a_slow_reader_holds_producers_back_within_the_bound(workers, capacity, keep):
    """
    Unread futures: at least keep_results, at most that + capacity + workers.
    """
    queue = WorkerQueue(workers, capacity, keep_results=keep)
    results = queue.results()
    accepted = fill(queue)
    queue.wait(WAIT)
    assert keep <= len(accepted) <= keep + capacity + workers
    with pytest.raises(QueueFull, match="results unread"):
        queue.try_submit(int)

    over = len(accepted) - keep
    read = [next(results) for _ in range(over + 1)]
    more = fill(queue)
    queue.wait(WAIT)
    assert more
    assert len(accepted) + len(more) - len(read) <= keep + capacity + workers

    queue.stop(WAIT)
    read.extend(results)
    assert Counter(read) == Counter(accepted + more)


def test_the_bound_holds_while_producers_race(run_in_threads):
    """
    Sampled by the reader itself: accepted minus read, as seen after each read.
    """
    workers, capacity, keep, producers = 2, 4, 6, 4
    queue = WorkerQueue(workers, capacity, keep_results=keep)
    results = queue.results()
    most = []

    def body(i):
        if i:
            for _ in range(3000):
                queue.submit(int)
            return
        for n in range(1, producers * 3000 + 1):
            next(results)
            most.append(queue.stats().accepted - n)

    run_in_threads(1 + producers, body)
    # A free-threaded producer may stand between its look and its put.
    assert max(most) <= keep + capacity + workers + producers
    assert queue.stop(WAIT).complete


def test_workers_never_wait_for_a_reader():
    """
    A stop drains whether or not anybody reads.
    """
    queue = WorkerQueue(2, 16, keep_results=1)
    results = queue.results()
    accepted = fill(queue)
    report = queue.stop(WAIT)

    assert (report.complete, report.done) == (True, len(accepted))
    assert Counter(results) == Counter(accepted)


@pytest.mark.parametrize("release", ["read", "stop"])
def test_a_producer_that_waits_for_a_reader_is_released(release):
    """
    By a read, to go on; by a stop, with QueueStopped.
    """
    queue = WorkerQueue(1, 1, keep_results=1)
    results = queue.results()
    accepted = fill(queue)
    queue.wait(WAIT)
    with ThreadPoolExecutor(1) as executor:
        producer = executor.submit(queue.submit, int)
        with pytest.raises(TimeoutError):
            producer.result(MOMENT)
        if release == "read":
            for _ in accepted:
                next(results)
            assert producer.result(WAIT).result(WAIT) == 0
        else:
            queue.stop(0)
            with pytest.raises(QueueStopped):
                producer.result(WAIT)
    assert queue.stop(WAIT).complete


# ---- without a reader -----------------------------------------------------------------


@pytest.mark.parametrize("keep", [1, 2, 7])
def test_exactly_keep_results_futures_are_kept_without_a_reader(keep):
    """
    So many can still be read whole; with one more, results() came too late.
    """
    queue = WorkerQueue(1, 4, keep_results=keep)
    jobs = [queue.submit(int) for _ in range(keep)]
    queue.stop(WAIT)
    assert list(queue.results()) == jobs

    queue = WorkerQueue(1, 4, keep_results=keep)
    for _ in range(keep + 1):
        queue.submit(int)
    queue.stop(WAIT)
    with pytest.raises(RuntimeError, match=rf"too late: 1 finished .* than {keep}$"):
        queue.results()
    assert queue.stats().forgotten == 1


def test_by_default_a_queue_filled_once_can_be_read_whole(gate):
    """
    As documented: capacity + workers futures are kept.
    """
    queue = WorkerQueue(2, 3)
    jobs = [queue.submit(gate), queue.submit(gate)]
    gate.wait_until_entered(2)
    jobs += fill(queue)
    gate.open()
    queue.stop(WAIT)

    assert len(jobs) == 5
    assert Counter(queue.results()) == Counter(jobs)


def test_results_that_came_too_late_change_nothing():
    """
    It raised, so nobody reads, so nobody may be waited for.
    """
    with WorkerQueue(1, 4, keep_results=1) as queue:
        for _ in range(3):
            queue.submit(int)
        queue.wait(WAIT)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="too late"):
                queue.results()
        jobs = [queue.submit_within(WAIT / 6, int) for _ in range(20)]
        assert [job.result(WAIT) for job in jobs] == [0] * 20


def test_results_that_start_while_jobs_finish_are_all_or_an_error(run_in_threads):
    """
    Between "still whole" and "too late" there is nothing: no future is lost in silence.
    """

    def produce(queue, n, ran):
        try:
            for _ in range(n):
                queue.try_submit(ran.release)
        except QueueFull:
            pass  # the reader lags
        queue.stop(0)

    def read(queue, n, ran):
        for _ in range(n // 2):
            assert ran.acquire(timeout=WAIT)
        try:
            return len(list(queue.results()))
        except RuntimeError:
            return None

    for _ in range(200):
        queue = WorkerQueue(2, 64, keep_results=20)
        n = random.randrange(15, 40)
        ran = threading.Semaphore(0)
        came = run_in_threads(2, lambda i, *args: (produce, read)[i](*args), queue, n, ran)[1]
        assert queue.stop(WAIT).complete
        stats = queue.stats()
        assert came == (None if stats.forgotten else stats.accepted)


def test_keep_results_0_keeps_none_and_refuses_to_read():
    """
    For those who use the futures that submit returns.
    """
    with WorkerQueue(1, 4, keep_results=0) as queue:
        with pytest.raises(RuntimeError, match="keep_results=0"):
            queue.results()
        for _ in range(100):
            queue.submit(int)
        queue.wait(WAIT)
        assert queue.stats().forgotten == 0


class Thing:
    pass


@pytest.mark.parametrize(("keep", "left"), [(0, 0), (1, 1), (3, 3), (None, 5)])
def test_forgotten_futures_are_let_go(keep, left):
    """
    No reader, no growth: results of old jobs are freed though nobody reads.
    """
    queue = WorkerQueue(1, 4, keep_results=keep)
    things = weakref.WeakSet()

    def job():
        thing = Thing()
        things.add(thing)
        return thing

    for _ in range(50):
        queue.submit(job)
        queue.wait(WAIT)
    queue.stop(WAIT)
    gc.collect()
    assert len(things) == left
    del queue
    gc.collect()
    assert len(things) == 0


# ---- cycles -----------------------------------------------------------------------------


class Queue(WorkerQueue):
    """One that can hold anything."""


def fail(holder):
    raise ValueError(holder)


def in_result(queue):
    queue.submit(lambda: [queue])


def in_iterator(queue):
    queue.submit(lambda: (queue.results,))


def in_exception(queue):
    queue.submit(fail, queue)


def in_traceback(queue):
    def job(me):
        raise ValueError

    queue.submit(job, queue)


def in_attribute(queue):
    queue.submit(int).queue = queue


def in_callback(queue):
    queue.submit(int).add_done_callback(lambda _: queue)


def in_own_attribute(queue):
    queue.last = queue.submit(lambda: {"queue": queue})


@pytest.mark.parametrize(
    "make", [in_result, in_iterator, in_exception, in_traceback, in_attribute, in_callback, in_own_attribute]
)
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_a_queue_that_its_own_kept_results_refer_to_is_collected(make, stopped):
    """
    The queue keeps the future, the future keeps the queue: the collector must
    see the whole circle, and its threads must end.
    """
    queue = Queue(2, 8)
    make(queue)
    queue.wait(WAIT)
    if stopped:
        queue.stop(WAIT)
    seen = weakref.ref(queue)
    threads = list(queue._threads)
    del queue
    for _ in range(3):
        gc.collect()

    assert seen() is None
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()


def test_a_kept_result_that_is_its_own_current_job_is_let_go_with_the_queue():
    """
    What a job learns of its queue may outlive the queue; the two must not keep each other.
    """
    queue = WorkerQueue(1, 8)
    seen = weakref.ref(queue.submit(current_job))
    queue.stop(WAIT)
    assert seen() is not None
    del queue
    gc.collect()
    assert seen() is None


def test_a_queue_with_queued_jobs_is_no_garbage(gate):
    """
    Accepted means resolved: a job that refers to its queue keeps it until it has run.
    """
    queue = Queue(1, 8)
    queue.submit(gate)
    gate.wait_until_entered()
    job = queue.submit(lambda queue: queue.name, queue)
    name = queue.name
    seen = weakref.ref(queue)
    del queue
    gc.collect()
    gate.open()
    assert job.result(WAIT) == name
    for thread in threading.enumerate():
        if thread.name.startswith(name):
            thread.join(WAIT)
    gc.collect()
    assert seen() is None
