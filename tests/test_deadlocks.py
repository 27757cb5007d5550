"""Waits in jobs that could never end: told, and nobody else."""

import threading
import time

import pytest

from ringpool import DeadlockError, Job, Retry, ThreadPoolExecutor, WorkerQueue
from ringpool._core.here import current_future

WAIT = 30
SHORT = 0.02


@pytest.fixture(params=["result", "exception"])
def wait(request):
    return lambda future: getattr(future, request.param)()


class Circle:
    """*n* jobs of *n* queues, or of one, that run at once; each waits for the next."""

    def __init__(self, queues, make=lambda fn, *args: Job(fn, *args, priority=1)):
        self.jobs = []
        self.errors = []
        self.all_run = threading.Barrier(len(queues), self.agree)
        self.listed = threading.Event()
        for i, queue in enumerate(queues):
            self.jobs.append(queue.submit(make(self.job, i)))
        self.listed.set()

    def agree(self):
        assert self.listed.wait(WAIT)
        self.start = time.perf_counter() + 1e-4  # which they look out for, to come closer together than they are woken

    def job(self, i):
        self.all_run.wait(WAIT)
        while time.perf_counter() < self.start:
            pass
        try:
            return self.jobs[(i + 1) % len(self.jobs)].result()
        except DeadlockError as error:
            self.errors.append(str(error))
            return "told"

    def results(self):
        return [job.result(WAIT) for job in self.jobs]


# ---- itself -----------------------------------------------------------------------


@pytest.mark.parametrize("planned", [False, True])
def test_a_job_that_waits_for_itself_is_told(wait, planned):
    """
    Its end would have to come before its end.
    """
    me = []
    listed = threading.Event()

    def job():
        assert listed.wait(WAIT)
        wait(me[0])

    with WorkerQueue(1, 8) as queue:
        me.append(queue.submit(Job(job, name="ouroboros") if planned else job))
        listed.set()
        error = me[0].exception(WAIT)
        assert isinstance(error, DeadlockError)
        if planned:
            assert str(error).endswith("ouroboros waits for ouroboros")
        assert queue.submit(int).result(WAIT) == 0


def test_an_executors_job_is_told_as_well(wait):
    """
    It is the wait, and not the face, that is seen to.
    """
    me = []
    listed = threading.Event()

    def job():
        assert listed.wait(WAIT)
        wait(me[0])

    with ThreadPoolExecutor(1) as pool:
        me.append(pool.submit(job))
        listed.set()
        assert isinstance(me[0].exception(WAIT), DeadlockError)


@pytest.mark.parametrize("planned", [False, True])
def test_a_job_that_runs_in_place_of_a_wait_must_not_wait_for_who_waits(wait, planned):
    """
    Who waits stands still lower on the stack of the same thread.
    """
    outer = []
    listed = threading.Event()
    threads = set()

    def inner():
        threads.add(threading.get_ident())
        wait(outer[0])

    def job():
        threads.add(threading.get_ident())
        assert listed.wait(WAIT)
        return queue.submit(Job(inner) if planned else inner).exception()

    with WorkerQueue(1, 8) as queue:
        outer.append(queue.submit(job))
        listed.set()
        assert isinstance(outer[0].result(WAIT), DeadlockError)
    assert len(threads) == 1


def test_a_job_that_waits_for_itself_for_a_time_is_not_told():
    """
    That wait has an end.
    """
    me = []
    listed = threading.Event()

    def job():
        assert listed.wait(WAIT)
        with pytest.raises(TimeoutError):
            me[0].result(SHORT)

    with WorkerQueue(1, 8) as queue:
        me.append(queue.submit(job))
        listed.set()
        assert me[0].result(WAIT) is None


# ---- each other -------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 5])
def test_jobs_that_wait_for_each_other_are_told_once(n):
    """
    The last of them; the others then get its result. Also if they come at the same time.
    """
    with WorkerQueue(n, 16) as queue:
        for _ in range(200):
            circle = Circle([queue] * n, lambda fn, i: Job(fn, i, name=f"job {i}"))
            assert circle.results() == ["told"] * n
            assert len(circle.errors) == 1
            assert all(f"job {i} waits for job {(i + 1) % n}" in circle.errors[0] for i in range(n))


def test_plain_jobs_that_wait_for_each_other_are_told():
    """
    No plan is needed for it.
    """
    with WorkerQueue(2, 16) as queue:
        jobs = []
        both = threading.Barrier(3)

        def job(i):
            both.wait(WAIT)
            return jobs[1 - i].exception()

        jobs.extend(queue.submit(job, i) for i in range(2))
        both.wait(WAIT)
        ends = [job.exception(WAIT) or job.result(WAIT) for job in jobs]
        assert any(isinstance(end, DeadlockError) for end in ends)


def test_jobs_of_two_queues_that_wait_for_each_other_are_told():
    """
    Whose job it is does not matter.
    """
    with WorkerQueue(1, 8) as one, WorkerQueue(1, 8) as two:
        circle = Circle([one, two])
        assert circle.results() == ["told", "told"]
        assert len(circle.errors) == 1


@pytest.mark.parametrize("planned", [False, True])
def test_who_begins_to_wait_for_a_job_just_as_another_starts_it_counts_as_waiting(planned):
    """
    The waiter sees it waiting, and finds it gone when it comes to run it in place.
    """
    for spin in range(500):
        with WorkerQueue(2, 8, report_unread=False) as queue:
            jobs = {}
            listed = threading.Event()

            def child(jobs=jobs, listed=listed):
                assert listed.wait(WAIT)
                jobs["owner"].result()

            def owner(queue=queue, child=child, spin=spin):
                job = queue.submit(Job(child, priority=1) if planned else child)
                for _ in range(2 * spin):
                    pass
                job.result()

            jobs["owner"] = queue.submit(owner)
            listed.set()
            assert isinstance(jobs["owner"].exception(WAIT), DeadlockError)


def test_a_long_circle_is_told_in_a_short_message():
    """
    Some of its jobs, from both of its ends.
    """
    with WorkerQueue(20, 32) as queue:
        circle = Circle([queue] * 20)
        assert circle.results() == ["told"] * 20
        assert len(circle.errors[0]) < 600
        assert "…" in circle.errors[0]


def test_a_circle_over_a_job_that_stands_still_below_another_is_told():
    """
    A worker's job waits for one that it runs in place, which waits for a job that waits for the first.
    """
    jobs = {}
    listed = threading.Event()

    def inner():
        return jobs["other"].result()

    def outer():
        assert listed.wait(WAIT)
        return queue.submit(inner).result()

    def other():
        assert listed.wait(WAIT)
        return jobs["outer"].result()

    with WorkerQueue(2, 8) as queue:
        jobs["outer"] = queue.submit(outer)
        jobs["other"] = queue.submit(other)
        listed.set()
        errors = [job.exception(WAIT) for job in jobs.values()]
    # who was told fails, and so do those that wait for it
    assert all(isinstance(error, DeadlockError) for error in errors)
    assert "inner waits for" in str(errors[0])


def test_jobs_of_two_keys_that_wait_for_each_others_key_are_told():
    """
    The holder of a key has to end before the next of it begins.
    """
    both = threading.Barrier(2)

    def job(mine, other):
        both.wait(WAIT)
        inner = queue.submit(Job(str, other, key=other, name=f"next of {other}"))
        both.wait(WAIT)
        try:
            return inner.result()
        except DeadlockError as error:
            return error

    with WorkerQueue(2, 8) as queue:
        ends = [queue.submit(Job(job, *pair, key=pair[0], name=pair[0])) for pair in ["ab", "ba"]]
        ends = [end.result(WAIT) for end in ends]
    (error,) = (end for end in ends if isinstance(end, DeadlockError))
    assert "next of a waits for the key 'a', which a holds" in str(error)
    assert "next of b waits for the key 'b', which b holds" in str(error)


def test_a_chain_of_waits_that_is_no_circle_is_left_alone(gate):
    """
    At its end is a job that goes on.
    """
    with WorkerQueue(3, 8) as queue:
        last = queue.submit(gate)
        gate.wait_until_entered()
        first = queue.submit(lambda: last.result())
        second = queue.submit(lambda: (first.result(), last.result()))
        while queue.stats().in_flight < 3:
            pass
        gate.open()
        assert second.result(WAIT) == (None, None)


def test_a_job_with_a_time_limit_is_no_part_of_a_circle():
    """
    Its future ends in time, and so does the wait for it.
    """
    with WorkerQueue(2, 8) as queue:
        circle = Circle([queue] * 2, lambda fn, i: Job(fn, i, timeout=None if i else 10 * SHORT))
        errors = [job.exception(WAIT) for job in circle.jobs]
    assert all(isinstance(error, TimeoutError) for error in errors)
    assert not circle.errors


def test_a_wait_that_is_over_is_forgotten():
    """
    Neither an answer nor an error leaves anything behind that a later wait could meet.
    """
    with WorkerQueue(2, 8) as queue:
        for _ in range(50):
            running = threading.Event()
            first = queue.submit(running.wait, WAIT)

            def follow(first=first):
                return first.result()

            second = queue.submit(follow)
            running.set()
            assert second.result(WAIT) is True
            circle = Circle([queue] * 2)
            assert circle.results() == ["told", "told"]


def test_who_runs_a_job_for_want_of_room_may_close_a_circle(gate):
    """
    Any thread may stand in such a job.
    """
    jobs = {}

    def waits():
        gate()
        return jobs["here"].result()

    def here():
        jobs["here"] = current_future()
        gate.open()
        return jobs["there"].result()

    with WorkerQueue(1, 1, overflow="caller_runs") as queue:
        jobs["there"] = queue.submit(waits)
        gate.wait_until_entered()
        queue.submit(int)  # and it is full
        queue.submit(here)
        errors = [job.exception(WAIT) for job in jobs.values()]
    assert all(isinstance(error, DeadlockError) for error in errors)


def test_a_time_limit_that_only_brings_another_attempt_ends_no_circle():
    """
    The late attempt has to come to its own end first; the last one's limit ends the job, and with it the circle.
    """
    with WorkerQueue(2, 8, report_unread=False) as queue:
        again = Retry(attempts=2, base=0)
        circle = Circle([queue] * 2, lambda fn, i: Job(fn, i, timeout=None if i else 5, retry=None if i else again))
        assert circle.results() == ["told"] * 2
        assert len(circle.errors) == 1
