"""The number of workers: changed while they work, and less while there is nothing to do."""

import random
import threading

import pytest

from ringpool import Job, Retry, WorkerQueue, current_worker

WAIT = 30


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


def threads_of(queue):
    return [thread for thread in threading.enumerate() if thread.name.startswith(queue.name + "_")]


def meet(queue, n):
    """Have *n* jobs run at once."""
    meeting = threading.Barrier(n)
    jobs = [queue.submit(meeting.wait, WAIT) for _ in range(n)]
    assert sorted(job.result(WAIT) for job in jobs) == list(range(n))


# ---- up -----------------------------------------------------------------------------


def test_workers_that_are_missing_come_at_once_for_jobs_that_wait(dispatch, gate):
    """
    Without another submit.
    """
    with WorkerQueue(1, 64, dispatch=dispatch) as queue:
        for _ in range(5):
            queue.submit(gate)
        gate.wait_until_entered(1)
        queue.resize(4)
        gate.wait_until_entered(3)
        assert (queue.stats().workers, queue.stats().queued) == (4, 1)
        gate.open()


def test_a_larger_queue_starts_no_thread_without_a_job(dispatch, until):
    """
    Threads are started as jobs need them.
    """
    with WorkerQueue(1, 64, dispatch=dispatch) as queue:
        queue.resize(100)
        assert queue.stats().workers == 0
        queue.submit(int).result(WAIT)
        until(lambda: queue.stats().idle == 1)
        queue.resize(50)
        assert queue.stats().workers == 1
        meet(queue, 5)


# ---- down ----------------------------------------------------------------------------


def test_idle_workers_that_are_too_many_leave(dispatch, until):
    """
    Their threads end, and as many as are left are enough.
    """
    with WorkerQueue(4, 64, dispatch=dispatch) as queue:
        meet(queue, 4)
        threads = threads_of(queue)
        queue.resize(1)
        until(lambda: sum(thread.is_alive() for thread in threads) == 1)
        until(lambda: queue.stats().workers == 1)
        assert [queue.submit(int, n).result(WAIT) for n in range(5)] == list(range(5))
        assert len(threads_of(queue)) == 1


def test_busy_workers_that_are_too_many_finish_their_job_first(dispatch, gate, until):
    """
    And take no other one; nothing that runs is disturbed, nothing that waits is lost.
    """
    with WorkerQueue(4, 64, dispatch=dispatch) as queue:
        running = [queue.submit(gate, n) for n in range(4)]
        gate.wait_until_entered(4)
        inside, most, lock = [], [], threading.Lock()

        def job(n):
            with lock:
                inside.append(n)
                most.append(len(inside))
            with lock:
                inside.remove(n)
            return n

        waiting = [queue.submit(job, n) for n in range(50)]
        queue.resize(1)
        assert queue.stats().in_flight == 4
        gate.open()
        assert [job.result(WAIT) for job in running] == list(range(4))
        assert [job.result(WAIT) for job in waiting] == list(range(50))
        until(lambda: queue.stats().workers == 1)
        assert max(most[4:]) == 1


def test_keyed_and_delayed_jobs_survive_workers_that_leave(dispatch, gate):
    """
    Also when the one that holds the key leaves after its job.
    """
    ran = []
    with WorkerQueue(3, 64, dispatch=dispatch) as queue:
        queue.submit(Job(gate, key="k"))
        queue.submit(gate)
        queue.submit(gate)
        gate.wait_until_entered(3)
        for n in range(5):
            queue.submit(Job(ran.append, n, key="k"))
        later = queue.submit(Job(ran.append, "later", delay=0.02))
        queue.resize(1)
        gate.open()
        assert later.result(WAIT) is None
        assert queue.wait(WAIT)
    assert [n for n in ran if n != "later"] == list(range(5))


# ---- idle ------------------------------------------------------------------------------


def test_workers_leave_when_they_have_been_idle_and_come_back(dispatch, until):
    """
    Down to min_workers; threads really end, and new ones are started as jobs need them.
    """
    with WorkerQueue(4, 64, min_workers=2, idle_timeout=0.01, dispatch=dispatch) as queue:
        for _ in range(3):
            meet(queue, 4)
            until(lambda: len(threads_of(queue)) == 2)
            until(lambda: queue.stats().workers == queue.stats().idle == 2)


def test_workers_stay_without_an_idle_timeout(dispatch, until):
    """
    Whatever min_workers says; and all of them when that says nothing.
    """
    for settings in ({"min_workers": 1}, {"idle_timeout": 0.0}, {"idle_timeout": float("inf"), "min_workers": 1}):
        with WorkerQueue(3, 64, dispatch=dispatch, **settings) as queue:
            meet(queue, 3)
            until(lambda: queue.stats().idle == 3)
            for _ in range(20):
                queue.submit(int).result(WAIT)
            assert queue.stats().workers == 3


def test_a_worker_whose_job_is_long_is_not_idle(dispatch, gate, until):
    """
    Others leave around it.
    """
    with WorkerQueue(3, 64, min_workers=1, idle_timeout=0.005, dispatch=dispatch) as queue:
        long = queue.submit(gate, "long")
        gate.wait_until_entered()
        meet(queue, 2)
        until(lambda: queue.stats().workers == 1)
        assert not long.done()
        assert queue.submit(int, 3).result(WAIT) == 3
        gate.open()
        assert long.result(WAIT) == "long"


def test_a_delayed_job_finds_a_worker_after_the_idle_ones_have_left(dispatch, gate, until):
    """
    The last one is busy when its time has come, and nobody submits anything: another one is started.
    """
    with WorkerQueue(2, 64, min_workers=1, idle_timeout=0.001, dispatch=dispatch) as queue:
        later = queue.submit_later(0.2, int, 7)
        meet(queue, 2)
        queue.submit(gate)
        gate.wait_until_entered()
        until(lambda: queue.stats().workers == 1 or later.done())
        assert later.result(WAIT) == 7
        gate.open()


def test_a_retry_finds_a_worker_after_the_idle_ones_have_left(dispatch, gate, until):
    """
    As a job whose time has come for the first time.
    """
    tries = []

    def fails_once():
        tries.append(None)
        if len(tries) == 1:
            raise OSError
        return 7

    retry = Retry(attempts=2, base=0.2, jitter="none")
    with WorkerQueue(2, 64, min_workers=1, idle_timeout=0.001, dispatch=dispatch) as queue:
        future = queue.submit(Job(fails_once, retry=retry))
        until(lambda: queue.stats().retrying or future.done())
        queue.submit(gate)
        gate.wait_until_entered()
        until(lambda: queue.stats().workers == 1 or future.done())
        assert future.result(WAIT) == 7
        gate.open()


# ---- names and numbers ----------------------------------------------------------------------


def test_names_and_numbers_are_unique_and_used_again(dispatch, until):
    """
    From 0, the lowest that is free: after some have left as well.
    """

    def who():
        meeting.wait(WAIT)
        return current_worker().number, current_worker().name

    with WorkerQueue(5, 64, name="q", dispatch=dispatch) as queue:
        for size in (5, 2, 4, 1, 5):
            queue.resize(size)
            until(lambda size=size: queue.stats().workers <= size)
            meeting = threading.Barrier(size)
            found = [job.result(WAIT) for job in [queue.submit(who) for _ in range(size)]]
            assert len(set(found)) == size
            assert all(name == f"q_{number}" for number, name in found)
            assert all(0 <= number < 5 for number, _ in found)


@pytest.mark.stress
def test_workers_that_come_at_once_have_numbers_of_their_own(dispatch):
    """
    On a free-threaded build all of them look for one at the same time.
    """
    for _ in range(150):
        with WorkerQueue(8, 64, name="q", dispatch=dispatch) as queue:
            meeting = threading.Barrier(8)

            def who(meeting=meeting):
                meeting.wait(WAIT)
                return current_worker().number

            jobs = [queue.submit(who) for _ in range(8)]
            assert sorted(job.result(WAIT) for job in jobs) == list(range(8))


def test_a_caller_that_runs_a_job_takes_no_workers_number(gate):
    """
    It is no worker, even while it does one's work.
    """
    numbers = []
    with WorkerQueue(2, 1, overflow="caller_runs") as queue:
        queue.submit(gate)
        gate.wait_until_entered()

        def in_the_caller():
            assert current_worker() is None
            queue.resize(3)
            numbers.append(waiting.result(WAIT))

        queue.resize(1)
        waiting = queue.submit(lambda: current_worker().number)
        queue.submit(in_the_caller)
        gate.open()
    assert numbers == [1]


# ---- when ---------------------------------------------------------------------------------------


def test_a_resize_to_the_same_changes_nothing(dispatch, until):
    """
    But it counts as one.
    """
    with WorkerQueue(3, 64, dispatch=dispatch) as queue:
        meet(queue, 3)
        threads = set(threads_of(queue))
        for _ in range(10):
            queue.resize(3)
        meet(queue, 3)
        assert set(threads_of(queue)) == threads
        assert queue.stats().resizes == 10


@pytest.mark.parametrize("size", [1, 4])
def test_a_job_may_resize_its_own_queue(dispatch, until, size):
    """
    It may be the one that is too many, and finishes all the same.
    """
    with WorkerQueue(2, 64, dispatch=dispatch) as queue:
        meet(queue, 2)
        jobs = [queue.submit(queue.resize, size) for _ in range(20)]
        assert [job.result(WAIT) for job in jobs] == 20 * [None]
        meet(queue, size)
        until(lambda: queue.stats().workers == size)


@pytest.mark.parametrize("size", [1, 5])
def test_a_resize_of_a_queue_that_drains_loses_nothing(dispatch, gate, size):
    """
    Jobs that were accepted are run by whoever is there; afterwards it does nothing.
    """
    ran = []
    queue = WorkerQueue(3, 64, dispatch=dispatch)
    for _ in range(3):
        queue.submit(gate)
    gate.wait_until_entered(3)
    for n in range(20):
        queue.submit(Job(ran.append, n, key=n % 2))
    assert queue.stop(0).not_started == 20
    queue.resize(size)
    gate.open()
    assert queue.stop(WAIT).complete
    queue.resize(2)
    assert queue.stop(WAIT).succeeded == 23
    assert sorted(ran) == list(range(20))
    assert threads_of(queue) == []


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0,), ValueError, "workers must be greater than 0, got 0"),
        ((-1,), ValueError, "workers must be greater than 0"),
        ((1.5,), TypeError, "workers must be a whole number"),
        ((None,), TypeError, "workers must be a whole number"),
        ((2, 3), ValueError, r"min_workers must be at most workers \(2\), got 3"),
        ((2, 0), ValueError, "min_workers must be greater than 0"),
        ((2, "1"), TypeError, "min_workers must be a whole number"),
    ],
    ids=repr,
)
def test_a_size_that_makes_no_sense_is_refused(arguments, error, words):
    """
    And changes nothing.
    """
    with WorkerQueue(2, 4) as queue:
        with pytest.raises(error, match=words):
            queue.resize(*arguments)
        assert queue.stats().resizes == 0
        meet(queue, 2)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"min_workers": 3}, ValueError, r"min_workers must be at most workers \(2\), got 3"),
        ({"min_workers": 0}, ValueError, "min_workers must be greater than 0"),
        ({"idle_timeout": -1}, ValueError, "idle_timeout must be 0 or greater, got -1"),
        ({"idle_timeout": "1"}, TypeError, "idle_timeout must be a number"),
        ({"idle_timeout": float("nan")}, ValueError, "idle_timeout must not be NaN"),
    ],
    ids=repr,
)
def test_limits_that_make_no_sense_are_refused(settings, error, words):
    """
    At construction.
    """
    with pytest.raises(error, match=words):
        WorkerQueue(2, 4, **settings)


def test_a_resize_while_a_job_is_late_leaves_its_replacement_alone(dispatch, gate, until):
    """
    The late job's worker is made up for by one more until it is back, and then nobody is missing.
    """
    with WorkerQueue(1, 64, dispatch=dispatch) as queue:
        late = queue.submit(Job(gate, timeout=0.01))
        assert isinstance(late.exception(WAIT), TimeoutError)
        assert queue.submit(int, 1).result(WAIT) == 1
        queue.resize(1)
        assert queue.submit(int, 2).result(WAIT) == 2
        gate.open()
        until(lambda: queue.stats().late == 0)
        until(lambda: queue.stats().workers == 1)
        assert queue.submit(int, 3).result(WAIT) == 3


def test_resizes_and_late_jobs_leave_as_many_workers_as_were_asked_for(dispatch, gate, until):
    """
    Up and down in between.
    """
    with WorkerQueue(3, 64, dispatch=dispatch) as queue:
        late = [queue.submit(Job(gate, timeout=0.01)) for _ in range(2)]
        assert all(isinstance(job.exception(WAIT), TimeoutError) for job in late)
        queue.resize(1)
        queue.resize(4)
        queue.resize(2)
        gate.open()
        until(lambda: queue.stats().late == 0)
        meet(queue, 2)
        until(lambda: queue.stats().workers == 2)


# ---- stress -----------------------------------------------------------------------------------------


@pytest.mark.stress
@pytest.mark.parametrize("idle_timeout", [None, 0.0])
def test_nothing_is_lost_while_two_threads_resize(dispatch, run_in_threads, idle_timeout):
    """
    Ledger: four producers, plain and keyed jobs, some waited for, two threads that resize at random.
    """
    ran = []
    producing = threading.Semaphore(0)
    with WorkerQueue(3, 32, dispatch=dispatch, idle_timeout=idle_timeout) as queue:

        def body(number):
            chance = random.Random(number)
            if number < 4:
                for n in range(1500):
                    job = Job(ran.append, (number, n), key=n % 3) if n % 4 == 0 else None
                    future = queue.submit(job) if job else queue.submit(ran.append, (number, n))
                    if n % 100 == 0:
                        future.result(WAIT)
                producing.release()
                return
            while not producing.acquire(blocking=False):
                size = chance.randint(1, 8)
                queue.resize(size, chance.randint(1, size))

        run_in_threads(6, body)
        queue.resize(2)
        meet(queue, 2)
    assert sorted(ran) == [(number, n) for number in range(4) for n in range(1500)]
    assert queue.stats().workers == 0


@pytest.mark.stress
def test_no_job_waits_for_a_worker_that_has_left(dispatch, run_in_threads):
    """
    Pairs of jobs that need each other, while workers leave as soon as they are idle.
    """
    with WorkerQueue(2, 64, dispatch=dispatch, min_workers=1, idle_timeout=0.0) as queue:
        for _ in range(1500):
            meet(queue, 2)


def test_the_last_worker_of_a_stopped_queue_is_not_one_too_many(dispatch, gate, until):
    """
    The others have left for good, since all was taken; what is taken may come again, and nobody else is there then.
    """
    attempts = []

    def twice():
        gate()
        attempts.append(True)
        if len(attempts) == 1:
            raise OSError("not yet")
        return "done"

    queue = WorkerQueue(2, 64, dispatch=dispatch)
    meet(queue, 2)
    job = queue.submit(Job(twice, retry=Retry(attempts=2, base=0)))
    gate.wait_until_entered()
    assert not queue.stop(timeout=0).complete
    until(lambda: queue.stats().workers == 1)
    queue.resize(1)
    gate.open()
    assert job.result(WAIT) == "done"  # before another stop(), which has the clock look for what is left
    assert queue.stop(WAIT).complete
