"""Jobs that are tried again: when, by whom, how often, and what can end them in between."""

import contextlib
import gc
import threading
import time
import weakref
from concurrent.futures import CancelledError, wait
from functools import partial

import pytest

from ringpool import Job, JobTimeout, QueueFull, Retry, RetryBudget, WorkerQueue, current_job

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened
AT_ONCE = Retry(base=0, attempts=5)
MUCH_LATER = Retry(base=1000, cap=1000, jitter="none", attempts=5)


class Fails:
    """A job that fails so many times, and then returns the number of its attempt."""

    def __init__(self, times, error=OSError):
        self.times = times
        self.error = error
        self.attempts = []
        self.at = []

    def __call__(self):
        self.at.append(time.monotonic())
        self.attempts.append(current_job().attempt)
        if len(self.attempts) <= self.times:
            raise self.error(f"no. {len(self.attempts)}")
        return len(self.attempts)


@pytest.fixture
def queue():
    queue = WorkerQueue(1, 16, name="again")
    yield queue
    queue.stop_now()
    assert queue.stop(WAIT).complete


@pytest.fixture
def waiting(queue, until):
    """A job that has failed once and waits for its next attempt, a quarter of an hour away."""
    job = Fails(9)
    future = queue.submit(Job(job, retry=MUCH_LATER))
    until(lambda: queue.stats().retrying == 1)
    return future, job


# ---- attempts ----------------------------------------------------------------------


def test_a_job_is_tried_again_until_it_returns(queue):
    """Each attempt knows its number, and the future shows the last one alone."""
    job = Fails(3)
    assert queue.submit(Job(job, retry=AT_ONCE)).result(WAIT) == 4
    assert job.attempts == [1, 2, 3, 4]
    stats = queue.stats()
    assert (stats.retries, stats.succeeded, stats.failed, stats.accepted) == (3, 1, 0, 1)


def test_the_queues_retry_is_for_jobs_that_do_not_say(gate):
    """Plain calls too; what a job says wins."""
    with WorkerQueue(1, 16, retry=AT_ONCE) as queue:
        assert queue.submit(Fails(2)).result(WAIT) == 3
        with pytest.raises(OSError, match=r"no\. 1"):
            queue.submit(Job(Fails(2), retry=Retry(attempts=1))).result(WAIT)


def test_no_worker_is_held_while_a_job_waits_to_be_tried_again(queue, waiting):
    """The only worker runs others; the one that waits is queued and takes its place in the capacity."""
    assert queue.submit(int, "7").result(WAIT) == 7
    stats = queue.stats()
    assert (stats.queued, stats.retrying, stats.in_flight) == (1, 1, 0)
    assert queue.running() == ()
    assert not waiting[0].running() and not waiting[0].done()


def test_jobs_that_wait_to_be_tried_again_fill_the_queue(until):
    """They will need a place, so nobody else gets it."""
    with WorkerQueue(1, 2) as queue:
        jobs = [queue.submit(Job(Fails(1), retry=MUCH_LATER)) for _ in range(2)]
        until(lambda: queue.stats().retrying == 2)
        with pytest.raises(QueueFull):
            queue.try_submit(int)
        assert jobs[0].cancel()
        assert queue.submit_within(WAIT, int).result(WAIT) == 0
        assert jobs[1].cancel()


def test_the_next_attempt_is_not_before_its_time(queue):
    """On the monotonic clock, never early."""
    job = Fails(2)
    queue.submit(Job(job, retry=Retry(base=0.05, multiplier=2, jitter="none"))).result(WAIT)
    assert job.at[1] - job.at[0] >= 0.05
    assert job.at[2] - job.at[1] >= 0.1


@pytest.mark.parametrize("later", [Job, partial], ids=["planned", "plain"])
def test_an_attempt_without_a_pause_comes_after_the_jobs_that_wait(queue, gate, later):
    """A job that fails for ever keeps nobody waiting for ever."""
    order = []

    def flaky():
        order.append(f"flaky {current_job().attempt}")
        if current_job().attempt < 3:
            raise OSError

    queue.submit(gate)
    gate.wait_until_entered()
    queue.submit(Job(order.append, "before"))
    queue.submit(Job(flaky, retry=AT_ONCE))
    for name in ("after", "last"):
        queue.submit(later(order.append, name))
    gate.open()
    assert queue.wait(WAIT)
    assert order == ["before", "flaky 1", "after", "last", "flaky 2", "flaky 3"]


@pytest.mark.parametrize("later", [Job, partial], ids=["planned", "plain"])
def test_after_a_pause_a_job_stands_behind_those_that_wait(queue, gate, until, later):
    """And before those that come when its time has come."""
    order = []

    def flaky():
        order.append(f"flaky {current_job().attempt}")
        if current_job().attempt == 1:
            raise OSError

    def hold():
        order.append("meanwhile")
        gate()

    queue.submit(Job(flaky, retry=Retry(base=0.05, jitter="none")))
    until(lambda: queue.stats().retrying == 1)
    queue.submit(Job(hold))
    queue.submit(later(order.append, "waiting"))
    gate.wait_until_entered()
    until(lambda: queue.stats().retrying == 0)
    queue.submit(later(order.append, "later"))
    gate.open()
    assert queue.wait(WAIT)
    assert order == ["flaky 1", "meanwhile", "waiting", "flaky 2", "later"]


def test_a_server_is_believed_when_it_says_how_long_to_wait(queue):
    """Retry-After, longer than the back-off."""

    class Busy(Exception):
        retry_after = 0.15

    job = Fails(1, Busy)
    assert queue.submit(Job(job, retry=Retry(base=0))).result(WAIT) == 2
    assert job.at[1] - job.at[0] >= 0.15


def test_the_last_error_names_all_before_it(queue):
    """As notes, which every traceback shows."""
    with pytest.raises(OSError, match=r"no\. 3") as caught:
        queue.submit(Job(Fails(9), retry=Retry(base=0, attempts=3))).result(WAIT)
    assert caught.value.__notes__ == [
        "ringpool: attempt 1 failed: OSError: no. 1",
        "ringpool: attempt 2 failed: OSError: no. 2",
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, CancelledError])
def test_what_ends_a_program_or_a_job_is_not_tried_again(queue, error):
    """Whatever the policy says of errors."""
    job = Fails(9, error)
    assert isinstance(queue.submit(Job(job, retry=AT_ONCE)).exception(WAIT), error)
    assert job.attempts == [1]


def test_jobs_of_one_budget_share_it(queue):
    """Two retries in all, for ten jobs that all fail."""
    budget = RetryBudget(ratio=0, minimum=2, per=1000)
    jobs = [queue.submit(Job(Fails(9), retry=Retry(base=0, budget=budget))) for _ in range(10)]
    assert all(isinstance(job.exception(WAIT), OSError) for job in jobs)
    assert queue.stats().retries == 2


def test_a_jobs_own_retry_without_a_budget_draws_on_the_queues():
    """A job that says how often says nothing of how many in all."""
    budget = RetryBudget(ratio=0, minimum=2, per=1000)
    retry = Retry(base=0, attempts=5)
    with WorkerQueue(1, 16, retry=Retry(budget=budget)) as queue:
        jobs = [queue.submit(Job(Fails(9), retry=retry)) for _ in range(10)]
        assert all(isinstance(job.exception(WAIT), OSError) for job in jobs)
        assert queue.stats().retries == 2
    assert retry.budget is None


def test_a_jobs_own_budget_is_the_only_one_it_draws_on():
    """It earns there as well."""
    queues, own = RetryBudget(ratio=1, minimum=1, per=1000), RetryBudget(ratio=1, minimum=2, per=1000)
    with WorkerQueue(1, 16, retry=Retry(base=0, budget=queues)) as queue:
        queue.submit(Job(Fails(9), retry=Retry(base=0, attempts=9, budget=own))).exception(WAIT)
        assert queue.stats().retries == 3
    assert (queues.balance, own.balance) == (1, 0)


def test_each_first_attempt_earns_its_part_of_a_retry(queue):
    """And no other attempt does: half a retry each for ten jobs, used up by the first ones."""
    budget = RetryBudget(ratio=0.5, minimum=0, per=1000)
    for _ in range(10):
        queue.submit(Job(int, retry=Retry(budget=budget))).result(WAIT)
    jobs = [queue.submit(Job(Fails(9), retry=Retry(base=0, attempts=100, budget=budget)))]
    assert all(isinstance(job.exception(WAIT), OSError) for job in jobs)
    assert queue.stats().retries == 5


def test_the_objects_of_tenacity_decide(queue):
    """As they are, with the times of the real attempts."""
    tenacity = pytest.importorskip("tenacity")
    job = Fails(9)
    retry = Retry(
        wait=tenacity.wait_fixed(0.02),
        stop=tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(WAIT),
        retry=tenacity.retry_if_exception_type(OSError),
    )
    assert isinstance(queue.submit(Job(job, retry=retry)).exception(WAIT), OSError)
    assert len(job.at) == 3
    assert job.at[2] - job.at[0] >= 0.04
    job = Fails(9)
    retry = Retry(wait=tenacity.wait_fixed(0.03), stop=tenacity.stop_after_delay(0.1))
    queue.submit(Job(job, retry=retry)).exception(WAIT)
    assert 3 <= len(job.at) <= 5


@pytest.mark.parametrize("timeout", [None, WAIT])
@pytest.mark.parametrize("which", ["on", "give_up", "wait", "stop", "retry"])
def test_a_function_of_the_retry_that_raises_ends_the_job_in_its_error(queue, which, timeout):
    """With the attempt's own error behind it; the worker goes on."""

    def broken(_):
        raise ZeroDivisionError(which)

    future = queue.submit(Job(Fails(9), timeout=timeout, retry=Retry(**{which: broken})))
    with pytest.raises(ZeroDivisionError, match=which) as caught:
        future.result(WAIT)
    assert isinstance(caught.value.__context__, OSError)
    assert queue.submit(int).result(WAIT) == 0
    assert (queue.stats().failed, queue.stats().in_flight) == (1, 0)


def test_a_function_that_raises_when_the_time_is_up_ends_the_job_in_its_error(queue, gate):
    """In time, although nobody could tell whether there is to be another attempt."""

    def broken(error):
        raise ZeroDivisionError("on")

    future = queue.submit(Job(gate, timeout=0.02, retry=Retry(on=broken)))
    with pytest.raises(ZeroDivisionError, match="on") as caught:
        future.result(WAIT)
    assert isinstance(caught.value.__context__, JobTimeout)
    assert queue.stats().late == 1
    gate.open()


def test_retries_of_a_key_come_before_its_next_job(queue):
    """The key is held between attempts."""
    ran = []

    def job(name):
        ran.append(name)
        if ran.count("first") < 3:
            raise OSError

    jobs = [queue.submit(Job(job, name, key="k", retry=Retry(base=0.01, attempts=9))) for name in ("first", "second")]
    assert [job.exception(WAIT) for job in jobs] == [None, None]
    assert ran == ["first", "first", "first", "second"]


def test_a_job_with_retries_comes_out_of_results_once(queue):
    """When it has ended, and not after each attempt."""
    results = queue.results()
    slow = queue.submit(Job(Fails(2), retry=Retry(base=0.05, jitter="none")))
    bad = queue.submit(Job(Fails(9), retry=Retry(base=0, attempts=2)))
    quick = queue.submit(int)
    queue.stop(WAIT)
    finished = list(results)
    assert len(finished) == 3
    assert set(finished) == {slow, bad, quick}
    assert finished[-1] is slow


def test_each_attempt_runs_in_the_context_of_its_submitter():
    """The same one: what an attempt sets the next one sees."""
    from contextvars import ContextVar

    var = ContextVar("var", default="none")
    seen = []

    def job():
        seen.append((var.get(), threading.current_thread().name))
        var.set("by an attempt")
        if len(seen) < 2:
            raise OSError

    var.set("mine")
    with WorkerQueue(1, 4) as queue:
        queue.submit(Job(job, retry=AT_ONCE)).result(WAIT)
    assert [value for value, _ in seen] == ["mine", "by an attempt"]
    assert var.get() == "mine"


# ---- what ends it between attempts -------------------------------------------------------


def test_cancel_of_a_job_that_waits_to_be_tried_again_clears_its_place_at_once(queue, waiting, until):
    """Not when its time would have come."""
    future, job = waiting
    assert future.cancel()
    assert queue.wait(WAIT)
    stats = queue.stats()
    assert (stats.queued, stats.retrying, stats.cancelled) == (0, 0, 1)
    assert job.attempts == [1]


def test_cancel_of_an_attempt_is_a_request_and_nothing_is_tried_again(queue, gate):
    """It returns False, since the function goes on; its error is then the job's."""
    seen = []

    def job():
        gate()
        seen.append(current_job().cancelled)
        raise OSError("mine")

    future = queue.submit(Job(job, retry=AT_ONCE))
    gate.wait_until_entered()
    assert future.cancel() is False
    assert not future.cancelled()
    gate.open()
    assert isinstance(future.exception(WAIT), OSError)
    assert seen == [True]
    assert queue.stats().retries == 0


def test_no_attempt_is_waited_for_that_would_start_after_the_deadline(queue):
    """The last error is there at once."""
    before = time.monotonic()
    with pytest.raises(OSError, match=r"no\. 1"):
        queue.submit(Job(Fails(9), retry=MUCH_LATER, deadline=500)).result(WAIT)
    assert time.monotonic() - before < WAIT
    assert queue.stats().retries == 0


def test_the_deadline_ends_a_job_whose_next_attempt_found_no_worker(gate):
    """It waits in its lane, and not on a worker. It was started, so it has failed, and was not dropped."""
    dropped = []
    with WorkerQueue(1, 4, on_drop=dropped.append) as queue:
        failed = threading.Event()

        def job():
            failed.set()
            raise OSError("first")

        future = queue.submit(Job(job, retry=Retry(base=0.03, jitter="none"), deadline=0.2))
        queue.submit(gate)
        assert failed.wait(WAIT)
        with pytest.raises(JobTimeout, match=r"not done within 0\.2 s") as caught:
            future.result(WAIT)
        assert caught.value.__notes__ == ["ringpool: attempt 1 failed: OSError: first"]
        stats = queue.stats()
        assert (stats.failed, stats.expired, stats.in_flight, dropped) == (1, 0, 1, [])
        gate.open()


def test_stop_waits_for_the_retries_of_a_job(until):
    """The back-off goes on, and the job ends by its own rules."""
    queue = WorkerQueue(2, 8)
    good, bad = Fails(2), Fails(9)
    jobs = [queue.submit(Job(job, retry=Retry(base=0.05, jitter="none"))) for job in (good, bad)]
    until(lambda: queue.stats().retries >= 1)
    assert queue.stop(WAIT).done == 2
    assert jobs[0].result(0) == 3
    assert isinstance(jobs[1].exception(0), OSError)
    assert len(bad.attempts) == 3


def test_stop_with_a_limit_leaves_the_back_off_to_go_on(queue, waiting):
    """It is reported as not started, since it is queued."""
    assert queue.stop(0).not_started == 1
    assert not queue.stop(MOMENT).complete
    assert not waiting[0].done()
    assert queue.stop_now().cancelled == 1
    assert waiting[0].cancelled()


def test_stop_now_cancels_a_job_that_waits_to_be_tried_again_at_once(queue, waiting):
    """And its future with it."""
    future, job = waiting
    assert queue.stop_now().cancelled == 1
    assert future.cancelled()
    assert queue.wait(WAIT)
    assert job.attempts == [1]


def test_after_stop_now_an_attempt_that_fails_is_the_last(queue, gate):
    """Its error is the job's."""

    def job():
        gate()
        raise OSError("mine")

    future = queue.submit(Job(job, retry=AT_ONCE))
    gate.wait_until_entered()
    queue.stop_now()
    gate.open()
    assert isinstance(future.exception(WAIT), OSError)
    assert queue.stats().retries == 0


def test_leaving_the_block_on_an_exception_cancels_what_waits_to_be_tried_again(until):
    """As everything that has not started."""
    with pytest.raises(ZeroDivisionError), WorkerQueue(1, 4) as queue:
        future = queue.submit(Job(Fails(9), retry=MUCH_LATER))
        until(lambda: queue.stats().retrying)
        raise ZeroDivisionError
    assert future.cancelled()


def test_a_queue_that_is_dropped_drains_its_retries():
    """Nobody holds it but the job that waits."""
    queue = WorkerQueue(1, 4, name="dropped")
    future = queue.submit(Job(Fails(2), retry=Retry(base=0.05, jitter="none")))
    seen = weakref.ref(queue)
    del queue
    assert future.result(WAIT) == 3
    with contextlib.suppress(ReferenceError):
        gc.collect()
    del future
    for thread in threading.enumerate():
        if thread.name.startswith("dropped"):
            thread.join(WAIT)
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize("rounds", [300])
def test_cancel_and_the_end_of_an_attempt_at_the_same_moment(rounds, run_in_threads):
    """Each job ends once: cancelled, or with an error; none is left behind in its back-off."""
    with WorkerQueue(4, 64) as queue:
        job = Retry(base=1000, cap=1000, jitter="none")

        def fail():
            raise OSError

        for _ in range(rounds):
            futures = [queue.submit(Job(fail, retry=job)) for _ in range(3)]
            for future in futures:
                while not future.cancel() and not future.done():
                    pass
        assert queue.wait(WAIT)
        stats = queue.stats()
    assert stats.cancelled + stats.failed == stats.accepted == 3 * rounds
    assert (stats.queued, stats.retrying, stats.in_flight) == (0, 0, 0)


@pytest.mark.parametrize("rounds", [1000])
def test_one_cancel_ends_a_job_that_is_tried_again_for_ever(queue, rounds):
    """Whenever it comes: between two attempts the job can be cancelled, and while it runs it is asked."""
    for number in range(rounds):
        attempts = []

        def fail(attempts=attempts):
            attempts.append(None)
            raise OSError

        future = queue.submit(Job(fail, retry=Retry(base=0, attempts=None)))
        while len(attempts) < 1 + number % 5:
            time.sleep(0)
        future.cancel()
        assert wait([future], WAIT).done, number
