"""A full WorkerQueue: who waits, who is refused, who is let through; and the threads behind it."""

import contextlib
import gc
import threading
import time
import weakref

import pytest

from ringpool import QueueFull, QueueStopped, WorkerQueue

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened


@pytest.fixture
def full(gate):
    """Capacity 3, its one worker at the gate, and three jobs queued."""
    queue = WorkerQueue(1, 3, name="full")
    queue.submit(gate)
    gate.wait_until_entered()
    for _ in range(3):
        queue.try_submit(int)
    yield queue
    gate.open()
    assert queue.stop(WAIT).complete


class Background:
    """A call in a thread of its own, and what became of it."""

    def __init__(self, fn, *args):
        self.done = threading.Event()
        self.outcome = None
        self.thread = threading.Thread(target=self._run, args=(fn, *args))
        self.thread.start()

    def _run(self, fn, *args):
        try:
            self.outcome = fn(*args)
        except Exception as error:
            self.outcome = error
        self.done.set()

    def waits(self):
        return not self.done.wait(MOMENT)

    def join(self):
        assert self.done.wait(WAIT), "still waits"
        self.thread.join(WAIT)
        return self.outcome


# ---- full ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [({"workers": 1}, "'capacity'"), ({"capacity": 1}, "'workers'"), ({}, "'workers' and 'capacity'")],
)
def test_a_queue_has_no_bound_but_the_one_that_it_is_given(arguments, missing):
    """So nobody has an unbounded queue, or somebody else's idea of enough, without having said so."""
    with pytest.raises(TypeError, match=f"missing . required positional arguments?: {missing}"):
        WorkerQueue(**arguments)


@pytest.mark.parametrize("capacity", [None, 0, -1, float("inf")])
def test_no_capacity_means_without_limit(capacity):
    with pytest.raises((TypeError, ValueError), match="capacity must be"):
        WorkerQueue(1, capacity)


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 64])
def test_the_queue_takes_exactly_its_capacity(gate, capacity):
    """
    Not one less, not the next power of two; jobs that run do not count.
    """
    with WorkerQueue(2, capacity) as queue:
        queue.submit(gate)
        queue.submit(gate)
        gate.wait_until_entered(2)
        jobs = [queue.try_submit(int) for _ in range(capacity)]
        with pytest.raises(QueueFull, match=f"is full: {capacity} jobs queued"):
            queue.try_submit(int)
        assert queue.stats().queued == capacity
        gate.open()
        assert [job.result(WAIT) for job in jobs] == [0] * capacity


def test_a_refused_job_never_runs_and_is_let_go(full, gate):
    """
    QueueFull leaves no trace of the job: not of its arguments either.
    """
    ran = []

    class Argument:
        pass

    argument = Argument()
    seen = weakref.ref(argument)
    with pytest.raises(QueueFull, match="full is full"):
        full.try_submit(ran.append, argument)
    with pytest.raises(QueueFull):
        full.submit_within(0, ran.append, argument)
    del argument
    gc.collect()
    assert seen() is None

    gate.open()
    assert full.stop(WAIT).done == 4
    assert ran == []


@pytest.mark.parametrize("seconds", [0, -1, 1e-9, 0.05])
def test_submit_within_gives_up_when_its_time_has_passed_and_not_before(full, seconds):
    """
    The limit is on the monotonic clock, and never early.
    """
    before = time.monotonic()
    with pytest.raises(QueueFull):
        full.submit_within(seconds, int)

    assert max(seconds, 0) <= time.monotonic() - before < WAIT


@pytest.mark.parametrize("seconds", [WAIT, None, float("inf")])
def test_submit_within_goes_through_when_room_appears_in_time(full, gate, seconds):
    """
    Waiting with a limit must see the same wake-up as waiting without.
    """
    job = Background(full.submit_within, seconds, int, "7")
    assert job.waits()
    gate.open()

    assert job.join().result(WAIT) == 7


def test_submit_waits_until_there_is_room(full, gate):
    """
    That is the backpressure: no error, no growth.
    """
    job = Background(full.submit, int, "7")
    assert job.waits()
    assert full.stats().queued == 3
    gate.open()

    assert job.join().result(WAIT) == 7


def test_every_waiting_producer_gets_through(full, gate):
    """
    One wake-up for each freed place: none may be lost, whoever takes it.
    """
    jobs = [Background(full.submit, int, i) for i in range(12)]
    assert all(job.waits() for job in jobs[:2])
    gate.open()

    assert sorted(job.join().result(WAIT) for job in jobs) == list(range(12))


def test_a_producer_that_gives_up_passes_its_wake_up_on(run_in_threads):
    """
    A place freed while a waiter's time runs out belongs to the next waiter.
    """
    with WorkerQueue(1, 1) as queue:

        def produce(i):
            accepted = 0
            for _ in range(300):
                if i % 2:
                    queue.submit(int)
                    accepted += 1
                else:
                    with contextlib.suppress(QueueFull):
                        queue.submit_within(0.00001 * i, int)
                        accepted += 1
            return accepted

        accepted = sum(run_in_threads(6, produce))
        assert queue.stop(WAIT).done == accepted >= 900


def test_a_cancelled_plain_job_keeps_its_place_until_a_worker_comes_by(gate):
    """
    As documented: nothing is queued any more, and yet there is no room. (Jobs that wait on the shelf: test_places.py.)
    """
    with WorkerQueue(1, 1, dispatch="shared") as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        assert queue.submit(int).cancel()
        with pytest.raises(QueueFull):
            queue.try_submit(int)
        assert queue.stats().queued == 0
        gate.open()
        assert queue.submit(int).result(WAIT) == 0


# ---- submit_many ---------------------------------------------------------------------


def test_submit_many_returns_the_futures_in_order():
    """
    More items than the queue takes at a time; any iterable; none at all.
    """
    with WorkerQueue(2, 3) as queue:
        jobs = queue.submit_many(str, (i for i in range(100)))
        assert [job.result(WAIT) for job in jobs] == [str(i) for i in range(100)]
        assert queue.submit_many(str, []) == []


def test_submit_many_reads_only_as_fast_as_the_queue_takes(full, gate):
    """
    An endless iterable must not be read into memory.
    """
    read = []

    def items():
        for i in range(50):
            read.append(i)
            yield i

    jobs = Background(full.submit_many, int, items())
    assert jobs.waits()
    assert read == [0]
    gate.open()

    assert [job.result(WAIT) for job in jobs.join()] == list(range(50))


def test_submit_many_whose_iterable_raises_cancels_what_has_not_started(gate):
    """
    The caller got no future, so nobody could.
    """

    def items():
        yield from range(3)
        raise OSError("disk")

    ran = []
    with WorkerQueue(1, 8) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        with pytest.raises(OSError, match="disk"):
            queue.submit_many(ran.append, items())
        gate.open()
        assert queue.stop(WAIT).cancelled == 3
    assert ran == []


def test_submit_many_interrupted_by_a_stop_raises_and_cancels_its_jobs(gate):
    """
    All or nothing of what has not started: the caller gets no future.
    """
    ran = []
    queue = WorkerQueue(1, 2)
    queue.submit(gate)
    gate.wait_until_entered()
    jobs = Background(queue.submit_many, ran.append, range(5))
    assert jobs.waits()
    queue.stop(0)
    assert isinstance(jobs.join(), QueueStopped)
    gate.open()
    report = queue.stop(WAIT)

    assert (report.done, report.cancelled, ran) == (1, 2, [])


# ---- from inside -----------------------------------------------------------------------


def test_a_job_that_submits_to_its_own_full_queue_is_refused_when_nobody_could_make_room(gate):
    """
    Waiting would be waiting for itself: an error that says so, and no deadlock.
    """

    def job():
        gate()
        queue.submit(int)

    with WorkerQueue(1, 1) as queue:
        future = queue.submit(job)
        gate.wait_until_entered()
        queue.submit(int)
        gate.open()
        with pytest.raises(QueueFull, match="waiting would deadlock"):
            future.result(WAIT)


def test_of_all_jobs_that_submit_to_their_own_full_queue_only_the_last_is_refused(run_in_threads):
    """
    While another worker runs, there is hope; the last one must not wait.
    """
    refused = []
    barrier = threading.Barrier(4)

    def job():
        barrier.wait(WAIT)
        try:
            queue.submit(int)
        except QueueFull:
            refused.append(1)

    with WorkerQueue(4, 1) as queue:
        for _ in range(50):
            jobs = [queue.submit(job) for _ in range(4)]
            for future in jobs:
                future.result(WAIT)
    stats = queue.stats()
    assert stats.accepted + len(refused) == 50 * 8
    assert len(refused) == stats.rejected <= 50 * 3


def test_a_job_that_submits_waits_for_the_reader_as_everybody_does(gate):
    """
    A reader can make room, so waiting is no deadlock and no error, also on the only worker.
    """
    in_job, go_on = threading.Event(), threading.Event()

    def job():
        in_job.set()
        assert go_on.wait(WAIT)
        return queue.submit(int, "7")

    with WorkerQueue(1, 4, keep_results=2) as queue:
        results = queue.results()
        finished = [queue.submit(gate), queue.submit(int)]
        future = queue.submit(job)
        gate.open()
        assert in_job.wait(WAIT)
        go_on.set()
        with pytest.raises(TimeoutError):
            future.result(MOMENT)
        assert [next(results), next(results)] == finished
        assert future.result(WAIT).result(WAIT) == 7


@pytest.mark.parametrize("newcomer", [False, True], ids=["one who waited", "a newcomer"])
def test_a_job_that_waited_for_the_reader_gets_in_or_is_refused_when_others_want_the_room_too(gate, newcomer):
    """
    The reader has made room. When somebody else takes it, what is left to wait for
    only this job's own worker could do: then it is refused, and not asleep for ever.
    """
    in_job, go_on = threading.Event(), threading.Event()

    def job():
        in_job.set()
        assert go_on.wait(WAIT)
        return queue.submit(int)

    queue = WorkerQueue(1, 2, keep_results=1)
    results = queue.results()
    first = queue.submit(gate)
    gate.wait_until_entered()
    future, _ = queue.submit(job), queue.submit(int)
    gate.open()
    assert in_job.wait(WAIT)
    other = Background(queue.submit, int)
    assert other.waits()
    go_on.set()
    with pytest.raises(TimeoutError):
        future.result(MOMENT)
    assert next(results) is first
    if newcomer:
        with contextlib.suppress(QueueFull):
            queue.try_submit(int)  # is faster than those who were woken
    try:
        error = future.exception(WAIT / 6)
        assert error is None or (isinstance(error, QueueFull) and "waiting would deadlock" in str(error))
    finally:
        assert queue.stop(WAIT).complete
        other.join()


@pytest.mark.parametrize("where", ["callback", "destructor", "weakref"])
def test_a_job_may_be_submitted_from_anywhere_that_python_code_runs(where):
    """
    The collector and the workers call such code at any moment; no lock of ours may be held then.
    """
    submitted = []

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            if where == "destructor":
                submitted.append(queue.submit(int, "7"))

    def call(_):
        submitted.append(queue.submit(int, "7"))

    with WorkerQueue(1, 8) as queue:
        if where == "callback":
            queue.submit(int).add_done_callback(call)
        else:
            thing = Cycle()
            reference = weakref.ref(thing, call) if where == "weakref" else None
            del thing
            gc.collect()
            assert reference is None or reference() is None
        queue.wait(WAIT)
        assert [job.result(WAIT) for job in submitted] == [7]
