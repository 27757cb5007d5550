"""A job with a plan that ends while it is queued gives its place back at once, a plain call when somebody needs it."""

import threading
import time
from concurrent.futures import CancelledError

import pytest

from ringpool import Job, JobExpired, JobTimeout, Lane, QueueFull, Retry, WorkerQueue

WAIT = 30
FAR = 3600  # seconds: what this delays does not start in a test
SHORT = 0.02


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


@pytest.mark.parametrize("end", ["result", "cancel"])
def test_a_job_may_submit_any_number_of_jobs_that_have_ended_before_the_next(dispatch, end):
    """
    What a worker runs in place of a wait, or cancels, leaves nothing that fills its own queue.
    """
    with WorkerQueue(1, 4, dispatch=dispatch) as queue:

        def job():
            for n in range(50):
                getattr(queue.submit(int, n), end)()

        assert queue.submit(job).exception(WAIT) is None
    stats = queue.stats()
    assert stats.accepted == 51 == stats.succeeded + stats.cancelled
    assert queue.stats().queued == 0


def test_jobs_may_wait_for_one_another_deeper_than_the_queue_is_long():
    """
    Each runs the next in place, whose place is free from then on.
    """
    with WorkerQueue(1, 4) as queue:

        def deep(n):
            return 1 + queue.submit(deep, n - 1).result() if n else 0

        assert queue.submit(deep, 30).result(WAIT) == 30


def test_who_sees_that_a_waiting_job_has_ended_finds_it_counted_nowhere(dispatch, gate):
    """It is told of, as concurrent.futures.wait() is, when its place is free; nobody sees it before."""
    with WorkerQueue(1, 3, dispatch=dispatch) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        told = Told(queue)
        for n, job in enumerate((Job(int), Job(int, key="k"), Job(int, delay=FAR))):
            future = queue.submit(job)
            with future._condition:
                future._waiters.append(told)
            if n % 2:
                future.set_result(n)
            else:
                future.cancel()
        gate.open()
    assert told.saw == [(True, 0, 0, {})] * 3


class Told:
    """Among a future's waiters: looks at its queue when it is told of the end."""

    def __init__(self, queue):
        self.queue, self.saw = queue, []

    def add_result(self, future):
        stats = self.queue.stats()
        self.saw.append((future.done(), stats.queued, stats.delayed, stats.levels))

    add_cancelled = add_result


def test_the_place_of_a_cancelled_job_is_free_for_others(dispatch, gate):
    """
    Though the worker that would clear it away is busy: one that was not due, one in its lane, one behind its key.
    """
    with WorkerQueue(1, 3, dispatch=dispatch) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        for _ in range(10):
            jobs = [queue.submit_later(WAIT, int), queue.submit(Job(int, key="k")), queue.submit(Job(int, key="k"))]
            assert [job.cancel() for job in jobs] == [True, True, True]
            for job in [queue.try_submit(int) for _ in range(3)]:
                job.cancel()
        gate.open()
    stats = queue.stats()
    assert (stats.accepted, stats.succeeded, stats.cancelled, stats.queued) == (61, 1, 60, 0)


class Waiting:
    """
    A full queue whose worker is at a gate, with a job in each place where one may wait, and one more beside it.

    Those in a lane are of priority 1.
    """

    PLACES = ("lane", "key", "behind", "delay", "back-off")

    def __init__(self, gate, until, dispatch, **limits):
        self.gate = gate
        self.queue = WorkerQueue(1, 10, dispatch=dispatch, lanes={"main": Lane(), "other": Lane()})
        tried = [0, 0]

        def fail(n):
            tried[n] += 1
            raise OSError

        retry = Retry(attempts=None, base=FAR, cap=FAR, jitter="none")
        retried = [self.queue.submit(Job(fail, n, retry=retry, **limits)) for n in range(2)]
        until(lambda: self.queue.stats().retrying == 2)
        self.running = self.queue.submit(gate)
        gate.wait_until_entered()
        self.jobs, self.others = {}, {}
        for jobs in (self.jobs, self.others):
            jobs["lane"] = self.queue.submit(Job(int, lane="other", priority=1, **limits))
            key = f"key of {len(self.jobs)} {len(self.others)}"
            jobs["key"] = self.queue.submit(Job(int, lane="other", priority=1, key=key, **limits))
            jobs["behind"] = self.queue.submit(Job(int, priority=2, key=key, **limits))
            jobs["delay"] = self.queue.submit(Job(int, delay=FAR, **limits))
            jobs["back-off"] = retried.pop()
        assert self.seen() == (10, {1: 4, 2: 2}, (0, 4), 2, 2)

    def seen(self):
        """How many are queued, at each level, in the lanes, not due, tried again later."""
        stats = self.queue.stats()
        lanes = stats.lanes["main"].ready, stats.lanes["other"].ready
        return stats.queued, stats.levels, lanes, stats.delayed, stats.retrying


ENDS = {
    "cancel": lambda job: job.cancel(),
    "by hand": lambda job: job.set_result(7),
    "by hand, failed": lambda job: job.set_exception(OSError()),
}
AFTER = {
    "lane": (9, {1: 3, 2: 2}, (0, 3), 2, 2),
    "key": (9, {1: 3, 2: 2}, (1, 3), 2, 2),  # who was behind it is in its own lane
    "behind": (9, {1: 4, 2: 1}, (0, 4), 2, 2),
    "delay": (9, {1: 4, 2: 2}, (0, 4), 1, 2),
    "back-off": (9, {1: 4, 2: 2}, (0, 4), 2, 1),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", Waiting.PLACES)
def test_what_ends_while_it_waits_is_gone_at_once(dispatch, gate, until, place, end):
    """
    Wherever it waits: statistics do not count it, its room is there, results() has it; the others are where they were.
    """
    waiting = Waiting(gate, until, dispatch)
    results = waiting.queue.results()
    with pytest.raises(QueueFull):
        waiting.queue.try_submit(int)
    ENDS[end](waiting.jobs[place])
    assert waiting.seen() == AFTER[place]
    assert next(results) is waiting.jobs[place]
    waiting.queue.try_submit(Job(int, delay=FAR))
    with pytest.raises(QueueFull):
        waiting.queue.try_submit(int)
    for job in [*waiting.jobs.values(), *waiting.others.values()]:
        job.cancel()
    assert waiting.seen() == (1, {}, (0, 0), 1, 0)
    waiting.queue.stop_now()
    gate.open()
    assert len(list(results)) == 11
    stats = waiting.queue.stats()
    assert stats.accepted == 12 == stats.succeeded + stats.failed + stats.cancelled


@pytest.mark.parametrize("limit", [{"expires_in": SHORT}, {"deadline": SHORT}])
def test_what_is_not_in_time_is_gone_at_once(gate, until, dispatch, limit):
    """
    Though no worker is free; behind a key, too.
    """
    with WorkerQueue(1, 3, dispatch=dispatch) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        jobs = [queue.submit(Job(int, key="k", **limit)), queue.submit(Job(int, key="k", **limit))]
        jobs.append(queue.submit(Job(int, delay=FAR, **limit)))
        for job in jobs:
            assert isinstance(job.exception(WAIT), (JobExpired, JobTimeout))
        until(lambda: queue.stats().levels == {})
        assert [queue.try_submit(Job(int, key="k")).cancel() for _ in range(3)] == [True] * 3
        gate.open()


def test_what_a_group_cancels_is_gone_at_once(gate, until):
    """
    When the first of its jobs fails; what is left is the plain call.
    """
    with WorkerQueue(2, 8) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        fails = threading.Event()

        def fail():
            fails.wait(WAIT)
            raise OSError

        def run():
            with pytest.raises(ExceptionGroup), queue.group() as group:
                group.submit(fail)
                for n in range(4):
                    group.submit(Job(int, key="k", priority=n))
                queue.submit(Job(gate))
                fails.set()

        thread = threading.Thread(target=run)
        thread.start()
        gate.wait_until_entered()
        assert queue.stats().queued == 0
        assert queue.stats().levels == {}
        gate.open()
        thread.join(WAIT)


def test_who_waits_for_room_has_it_when_a_job_is_cancelled(dispatch, gate, until):
    """
    In another thread, while every worker is busy.
    """
    with WorkerQueue(1, 2, dispatch=dispatch) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        jobs = [queue.submit(Job(int)), queue.submit(Job(int))]
        late = []
        thread = threading.Thread(target=lambda: late.append(queue.submit(Job(int, "7"))))
        thread.start()
        until(lambda: queue.stats().blocked)
        assert jobs[0].cancel()
        thread.join(WAIT)
        assert not thread.is_alive()
        assert queue.stats().queued == 2
        gate.open()
    assert [job.result(WAIT) for job in (jobs[1], late[0])] == [0, 7]


@pytest.mark.parametrize("waits", ["lane", "back-off"])
def test_the_next_of_a_key_starts_when_its_holder_is_cancelled(dispatch, gate, until, waits):
    """
    The holder may not start, since its lane is full, or not yet; a worker is idle all the time.
    """
    with WorkerQueue(2, 8, dispatch=dispatch, lanes={"narrow": Lane(max_workers=1), "other": Lane()}) as queue:
        if waits == "lane":
            queue.submit(Job(gate, lane="narrow"))
            gate.wait_until_entered()
            holder = queue.submit(Job(int, lane="narrow", key="k"))
        else:
            retry = Retry(attempts=None, base=FAR, cap=FAR, jitter="none")
            holder = queue.submit(Job(int, "no number", lane="narrow", key="k", retry=retry))
            until(lambda: queue.stats().retrying)
        following = queue.submit(Job(int, "7", lane="other", key="k"))
        until(lambda: queue.stats().idle)
        assert queue.stats().levels == ({0: 2} if waits == "lane" else {0: 1})
        assert holder.cancel()
        assert following.result(WAIT) == 7
        gate.open()


@pytest.mark.parametrize("end", ["wait", "stop"])
def test_the_end_comes_when_the_last_are_cancelled(dispatch, until, end):
    """
    Nobody has to take them before wait() returns, or stop(), and the workers leave.
    """
    queue = WorkerQueue(2, 8, dispatch=dispatch)
    retry = Retry(attempts=None, base=FAR, cap=FAR, jitter="none")
    jobs = [queue.submit(Job(int, "no number", key="k", retry=retry)), queue.submit(Job(int, delay=FAR))]
    jobs.append(queue.submit(Job(int, key="k")))
    until(lambda: queue.stats().retrying)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(getattr(queue, end)(WAIT)))
    thread.start()
    if end == "stop":
        until(lambda: queue._closed)
    for job in (jobs[2], jobs[0], jobs[1]):
        assert thread.is_alive()
        assert job.cancel()
    thread.join(WAIT)
    assert ended
    assert queue.stop(WAIT).complete


def test_a_callback_finds_the_place_free(gate):
    """
    It runs when the books are right, and may put another job there.
    """
    with WorkerQueue(1, 1) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        job = queue.submit(Job(int))
        put = []
        job.add_done_callback(lambda job: put.append((queue.stats().levels, queue.try_submit(Job(int, "7")))))
        job.cancel()
        gate.open()
        assert put[0][0] == {}
        assert put[0][1].result(WAIT) == 7


def test_to_cancel_one_nobody_looks_at_the_others(dispatch, gate):
    """
    Of a full queue. A plain call that was cancelled tells: who looked through the queue would have taken it out.
    """
    n = 1_000
    with WorkerQueue(1, n) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(Job(int)).cancel()  # from now on the queue has an order
        assert queue.submit(int).cancel()
        jobs = [queue.submit(Job(int, priority=1 + i % 3, key=i % 100)) for i in range(n - 1)]
        assert queue.stats().levels[0] == 1
        for i in range(n - 1):
            assert jobs[i * 7 % (n - 1)].cancel()
            jobs[i * 7 % (n - 1)] = queue.try_submit(Job(int, priority=1 + i % 3, key=i % 100))
        assert queue.stats().levels[0] == 1
        with pytest.raises(QueueFull):
            [queue.try_submit(int) for _ in range(2)]  # one finds the place of the plain call
        assert queue.stats().levels[0] == 1
        for job in jobs:
            job.cancel()
        gate.open()


def seconds_to_end(n, end):
    with WorkerQueue(1, n) as queue:
        jobs = [queue.submit(Job(int, delay=1000 + i, deadline=5000)) for i in range(n)]
        began = time.monotonic()
        if end == "stop_now":
            queue.stop_now()
        else:
            for job in reversed(jobs):
                job.cancel()
        return time.monotonic() - began


@pytest.mark.parametrize("end", ["stop_now", "cancel"])
def test_to_end_many_delayed_jobs_takes_as_long_for_each_as_for_few(end):
    """
    None looks through all the others: ten times as many would take a hundred times as long.
    """
    few = min(seconds_to_end(1_000, end) for _ in range(3))
    assert min(seconds_to_end(10_000, end) for _ in range(3)) < 50 * few


def test_a_job_that_is_tried_again_at_once_goes_behind_those_that_wait(dispatch):
    """
    Or one that fails for ever would keep the others waiting for ever.
    """

    def fail():
        raise OSError("again")

    with WorkerQueue(1, 8, dispatch=dispatch) as queue:
        hopeless = queue.submit(Job(fail, retry=Retry(attempts=None, base=0.0)))
        assert queue.submit(int, "7").result(WAIT) == 7
        hopeless.cancel()
