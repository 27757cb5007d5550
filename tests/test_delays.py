"""Jobs that are not to be started before a time, and jobs that are of no use after one."""

import threading
import time
import weakref

import pytest

from ringpool import Job, JobExpired, Lane, QueueFull, Retry, WorkerQueue

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened
SHORT = 0.05
LONG = 1000


@pytest.fixture
def queue():
    queue = WorkerQueue(1, 8, name="later")
    yield queue
    queue.stop_now()
    assert queue.stop(WAIT).complete


def ways():
    yield "submit_later", lambda queue, delay, fn, *args: queue.submit_later(delay, fn, *args)
    yield "submit", lambda queue, delay, fn, *args: queue.submit(Job(fn, *args, delay=delay))
    yield "try_submit", lambda queue, delay, fn, *args: queue.try_submit(Job(fn, *args, delay=delay))
    yield "submit_within", lambda queue, delay, fn, *args: queue.submit_within(WAIT, Job(fn, *args, delay=delay))


by_each_way = pytest.mark.parametrize("later", [way for _, way in ways()], ids=[name for name, _ in ways()])


# ---- delay -----------------------------------------------------------------------------


@by_each_way
def test_a_delayed_job_starts_when_its_time_has_come_and_not_before(queue, later):
    """On the monotonic clock."""
    before = time.monotonic()
    at = later(queue, SHORT, time.monotonic).result(WAIT)
    assert SHORT <= at - before < WAIT / 2


def test_submit_later_passes_arguments_on_and_checks_its_delay(queue):
    """Those of the function; the delay is in front of it."""
    assert queue.submit_later(0, int, "17", base=8).result(WAIT) == 15
    for wrong, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
        with pytest.raises(error, match="delay"):
            queue.submit_later(wrong, int)
    with pytest.raises(TypeError, match="callable"):
        queue.submit_later(1, 5)


def test_delayed_jobs_come_in_the_order_of_their_times(queue):
    """And those of one time in that of their submission."""
    ran = []
    for delay, name in ((0.12, "c"), (0.04, "a"), (0.08, "b"), (0, "now")):
        queue.submit_later(delay, ran.append, name)
    assert queue.wait(WAIT)
    assert ran == ["now", "a", "b", "c"]


def test_a_job_that_has_become_due_takes_its_place_behind_those_that_wait(queue, gate, until):
    """It is as old as its time, and not as its submission; priorities are those of the Jobs."""
    ran = []
    queue.submit(gate)
    queue.submit_later(SHORT, ran.append, "delayed")
    queue.submit(Job(ran.append, "delayed, urgent", delay=SHORT, priority=1))
    queue.submit(ran.append, "at once")
    until(lambda: queue.stats().delayed == 0)
    gate.open()
    assert queue.wait(WAIT)
    assert ran == ["delayed, urgent", "at once", "delayed"]


def test_delayed_jobs_are_queued_and_take_a_place(queue):
    """Of the capacity, from when they are submitted; no worker is held."""
    jobs = [queue.submit_later(LONG, int) for _ in range(7)]
    assert queue.submit(int, "7").result(WAIT) == 7
    jobs.append(queue.submit_later(LONG, int))
    stats = queue.stats()
    assert (stats.queued, stats.delayed, stats.retrying, stats.in_flight) == (8, 8, 0, 0)
    with pytest.raises(QueueFull):
        queue.try_submit(int)
    assert all(job.cancel() for job in jobs)
    assert queue.submit_within(WAIT, int).result(WAIT) == 0


def test_cancel_clears_a_delayed_job_at_once(queue):
    """Its place, and what it refers to; not when it would have been due."""

    class Argument:
        pass

    argument = Argument()
    seen = weakref.ref(argument)
    future = queue.submit_later(LONG, print, argument)
    del argument
    assert future.cancel()
    assert seen() is None
    assert queue.wait(WAIT)
    stats = queue.stats()
    assert (stats.queued, stats.delayed, stats.cancelled) == (0, 0, 1)


def test_a_thousand_delayed_jobs_are_run_once_each_and_not_early(run_in_threads):
    """From four producers, into two lanes."""
    with WorkerQueue(4, 2000, lanes={"a": Lane(), "b": Lane()}) as queue:
        early = []
        ran = []

        def job(due, name):
            if time.monotonic() < due:
                early.append(name)
            ran.append(name)

        def produce(i):
            for n in range(250):
                delay = (n * 7 % 50) / 1000
                queue.submit(Job(job, time.monotonic() + delay, (i, n), delay=delay, lane="ab"[n % 2]))

        run_in_threads(4, produce)
        assert queue.wait(WAIT)
    assert early == []
    assert len(ran) == len(set(ran)) == 1000


def test_a_sooner_job_wakes_who_waits_for_a_later_one(queue):
    """The time that is waited for is always the next."""
    queue.submit_later(LONG, int)
    before = time.monotonic()
    assert queue.submit_later(SHORT, int, "7").result(WAIT) == 7
    assert time.monotonic() - before < WAIT / 2


def test_a_delayed_job_takes_its_key_when_it_is_due(queue, gate):
    """Until then it holds nobody up."""
    ran = []
    first = queue.submit(Job(ran.append, "delayed", key="k", delay=SHORT))
    queue.submit(Job(ran.append, "at once", key="k")).result(WAIT)
    first.result(WAIT)
    assert ran == ["at once", "delayed"]


def test_a_delayed_job_may_be_tried_again_and_limited(queue):
    """The delay is before the first attempt alone."""
    tries = []

    def job():
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise OSError
        return len(tries)

    before = time.monotonic()
    assert queue.submit(Job(job, delay=SHORT, timeout=WAIT, retry=Retry(base=0))).result(WAIT) == 3
    assert tries[0] - before >= SHORT


# ---- the end ----------------------------------------------------------------------------


def test_stop_waits_for_delayed_jobs_and_runs_them():
    """They were accepted; the drain takes as long as the last delay."""
    queue = WorkerQueue(2, 8)
    before = time.monotonic()
    jobs = [queue.submit_later(delay, time.monotonic) for delay in (0.1, 0.05)]
    assert queue.stop(0).not_started == 2
    assert queue.stop(WAIT).done == 2
    assert jobs[0].result(0) - before >= 0.1


def test_stop_now_cancels_delayed_jobs_at_once(queue):
    """Due in a quarter of an hour or soon."""
    jobs = [queue.submit_later(delay, int) for delay in (LONG, LONG, 0.5)]
    assert queue.stop_now().cancelled == 3
    assert all(job.cancelled() for job in jobs)
    assert queue.wait(WAIT)


def test_a_queue_that_is_dropped_drains_its_delayed_jobs():
    """As what waits for a worker."""
    queue = WorkerQueue(1, 8)
    future = queue.submit_later(SHORT, int, "7")
    del queue
    assert future.result(WAIT) == 7


# ---- expires_in -----------------------------------------------------------------------------


def test_a_job_that_has_not_started_in_its_time_is_not_run(queue, gate):
    """JobExpired in time, although every worker is busy."""
    ran = []
    queue.submit(gate)
    before = time.monotonic()
    future = queue.submit(Job(ran.append, 1, expires_in=SHORT, name="soon"))
    error = future.exception(WAIT)
    assert SHORT <= time.monotonic() - before < WAIT / 2
    assert isinstance(error, JobExpired) and str(error) == "soon did not start within 0.05 s"
    stats = queue.stats()
    assert (stats.expired, stats.queued, stats.in_flight) == (1, 0, 1)
    gate.open()
    assert queue.wait(WAIT)
    assert ran == []
    assert queue.stats().accepted == 2


def test_a_job_that_has_started_in_its_time_is_done(queue, gate):
    """However long it runs, and however often it is tried again after that."""
    tries = []

    def job():
        tries.append(1)
        if len(tries) == 1:
            gate()
            raise OSError
        return "done"

    future = queue.submit(Job(job, expires_in=6 * SHORT, retry=Retry(base=0)))
    with pytest.raises(TimeoutError):
        future.result(6 * SHORT + MOMENT)
    gate.open()
    assert future.result(WAIT) == "done"
    assert queue.stats().expired == 0


def test_a_delayed_job_that_expires_before_it_is_due_clears_its_place(queue):
    """Delay and expiry are both counted from the submission."""
    future = queue.submit(Job(int, delay=LONG, expires_in=SHORT))
    assert isinstance(future.exception(WAIT), JobExpired)
    assert queue.wait(WAIT)
    assert (queue.stats().delayed, queue.stats().expired) == (0, 1)


def test_an_expired_job_lets_its_key_go_on(queue, gate):
    """Who stands behind it is run as if it had not been there."""
    ran = []
    queue.submit(Job(gate, key="k"))
    expired = queue.submit(Job(ran.append, 1, key="k", expires_in=SHORT))
    queue.submit(Job(ran.append, 2, key="k"))
    assert isinstance(expired.exception(WAIT), JobExpired)
    gate.open()
    assert queue.wait(WAIT)
    assert ran == [2]


def test_an_expired_job_comes_out_of_results(gate):
    """As every job that was accepted; at once, though no worker is free."""
    queue = WorkerQueue(1, 8)
    results = queue.results()
    running = queue.submit(gate)
    gate.wait_until_entered()
    future = queue.submit(Job(int, expires_in=SHORT))
    assert next(results) is future
    assert isinstance(future.exception(0), JobExpired)
    gate.open()
    queue.stop(WAIT)
    assert list(results) == [running]


def test_expiry_and_start_at_the_same_moment(run_in_threads):
    """A job is run or expires, and never both."""
    ran = []
    with WorkerQueue(2, 2000) as queue:

        def produce(i):
            return [
                (
                    (i, n),
                    queue.submit(Job(lambda name: (ran.append(name), time.sleep(0.0005)), (i, n), expires_in=0.05)),
                )
                for n in range(300)
            ]

        jobs = [job for jobs in run_in_threads(2, produce) for job in jobs]
        assert queue.wait(WAIT)
    expired = [name for name, future in jobs if isinstance(future.exception(), JobExpired)]
    assert sorted(expired + ran) == sorted(name for name, _ in jobs)
    stats = queue.stats()
    assert (stats.expired, stats.succeeded) == (len(expired), len(ran))


def test_on_drop_hears_of_what_has_expired(gate):
    """Once, with the future that has ended."""
    dropped = []
    told = threading.Event()
    with WorkerQueue(1, 8, on_drop=lambda future: (dropped.append(future), told.set())) as queue:
        queue.submit(gate)
        future = queue.submit(Job(int, expires_in=SHORT))
        assert told.wait(WAIT)
        gate.open()
    assert dropped == [future]
    assert isinstance(future.exception(0), JobExpired)


def test_the_first_job_with_a_plan_comes_behind_the_plain_ones_before_it():
    """Also when no worker has looked at the queue yet."""
    for _ in range(100):
        ran = []
        with WorkerQueue(1, 64) as queue:
            for i in range(8):
                queue.submit(ran.append, i)
            queue.submit(Job(ran.append, 8))
        assert ran == list(range(9))


def test_a_callback_on_the_clocks_thread_is_refused_with_words_of_its_own(gate):
    """It never waits for room, however many workers could make some."""
    errors = []

    def again(future):
        try:
            for _ in range(3):  # it is full then, whether or not the expired job has given back its place
                queue.submit(int)
        except QueueFull as error:
            errors.append(str(error))
        called.set()

    called = threading.Event()
    with WorkerQueue(1, 2, name="later") as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        expires = queue.submit(Job(int, expires_in=SHORT))
        expires.add_done_callback(again)
        queue.submit(int)
        assert isinstance(expires.exception(WAIT), JobExpired)
        assert called.wait(WAIT)  # else the worker may make room first
        gate.open()
        assert queue.wait(WAIT)
    assert errors == ["later is full, and a callback on its clock's thread cannot wait: nothing would be due meanwhile"]
