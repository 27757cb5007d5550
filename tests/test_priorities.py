"""Priorities: levels, the order inside one, ageing, and a change of mind."""

import random
import threading

import pytest

from ringpool import Job, QueueFull, Retry, WorkerQueue

WAIT = 30


@pytest.fixture(params=["shared", "ready"])
def make(request, gate):
    """Queues whose one worker stands at the gate, so that what is submitted meanwhile waits."""

    def made(capacity=4096, **settings):
        queue = WorkerQueue(1, capacity, dispatch=request.param, **settings)
        queue.submit(gate)
        gate.wait_until_entered()
        return queue

    return made


def expected(levels, ageing):
    """Numbers of jobs submitted with these levels, in the order in which they are to run."""
    return sorted(range(len(levels)), key=lambda n: (n - levels[n] * ageing, levels[n]))


def order_of(queue, gate, levels):
    ran = []
    for number, level in enumerate(levels):
        queue.submit(Job(ran.append, number, priority=level))
    gate.open()
    assert queue.stop(WAIT).complete
    return ran


def test_a_greater_level_runs_first_and_the_order_inside_a_level_is_kept(make, gate):
    """
    Far fewer jobs than one level is worth: no ageing to be seen.
    """
    assert order_of(make(), gate, [0, -1, 5, 0, 5, -1, 1000, -1000]) == [6, 2, 4, 0, 3, 1, 5, 7]


def test_lifo_is_inside_a_level(make, gate):
    """
    Of the greatest level the newest, and no ageing: the first level -1 job waits for all.
    """
    assert order_of(make(order="lifo", ageing=1), gate, [-1, 0, 1, 0, 1] + 50 * [0]) == (
        [4, 2] + list(range(54, 4, -1)) + [3, 1, 0]
    )


def test_lifo_holds_for_plain_jobs(make, gate):
    """
    Without a single Job the queue is planned all the same.
    """
    ran = []
    queue = make(order="lifo")
    for number in range(5):
        queue.submit(ran.append, number)
    gate.open()
    assert queue.stop(WAIT).succeeded == 6
    assert ran == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("ageing", [1, 2, 5, 16])
@pytest.mark.parametrize("above", [1, 3])
def test_a_job_is_passed_by_so_many_later_ones_for_each_level_and_no_more(make, gate, ageing, above):
    """
    A level is worth `ageing` places: the job that is so many places later than an older one does not pass it.
    """
    ran = order_of(make(ageing=ageing), gate, [0] + 100 * [above])
    assert ran.index(0) == min(100, ageing * above - 1)
    assert sorted(ran) == list(range(101))


@pytest.mark.parametrize("ageing", [1, 3, 50, 2**31 - 1])
def test_the_order_is_that_of_the_rule(make, gate, ageing):
    """
    Arrival minus level times ageing, smallest first; the extremes of both do not overflow.
    """
    chance = random.Random(ageing)
    levels = [chance.choice([-1000, -3, -1, 0, 0, 1, 2, 1000]) for _ in range(400)]
    assert order_of(make(ageing=ageing), gate, levels) == expected(levels, ageing)


def test_ageing_is_sixteen_times_the_capacity_where_nothing_is_said(make, gate, until):
    """
    Higher jobs that come one by one pass a waiting one 16 * capacity - 1 times, and then it runs.
    """
    queue = make(capacity=4)
    passed = []
    low = queue.submit(Job(lambda: len(passed), priority=0))

    def another():
        passed.append(None)
        if len(passed) < 200:
            queue.submit(Job(another, priority=1))

    queue.submit(Job(another, priority=1))
    gate.open()
    assert low.result(WAIT) == 16 * 4 - 1
    until(lambda: len(passed) == 200)
    assert queue.stop(WAIT).succeeded == 202


def test_jobs_that_were_in_the_ring_keep_their_place(make, gate):
    """
    The first job with a plan arrives after them: at their level it is behind them, and so is what comes later.
    """
    ran = []
    queue = make()
    for number in range(4):
        queue.submit(ran.append, number)
    queue.submit(Job(ran.append, 4))
    queue.submit(ran.append, 5)
    queue.submit(Job(ran.append, 6, priority=1))
    queue.submit(Job(ran.append, 7, priority=-1))
    gate.open()
    assert queue.stop(WAIT).succeeded == 9
    assert ran == [6, 0, 1, 2, 3, 4, 5, 7]


def test_jobs_that_were_in_the_ring_age_from_when_they_came(make, gate):
    """
    Their place in the order is where they stood when the others arrived.
    """
    ran = []
    queue = make(ageing=4)
    for number in range(3):
        queue.submit(ran.append, number)
    for number in range(3, 10):
        queue.submit(Job(ran.append, number, priority=1))
    gate.open()
    assert queue.stop(WAIT).succeeded == 11
    assert ran == expected(3 * [0] + 7 * [1], 4)


# ---- the ways to submit --------------------------------------------------------


def test_every_method_that_submits_takes_a_job(make, gate):
    """
    And runs it by its level.
    """
    ran = []
    queue = make()
    futures = [
        queue.submit(Job(ran.append, 0)),
        queue.try_submit(Job(ran.append, 1, priority=1)),
        queue.submit_within(WAIT, Job(ran.append, 2, priority=2)),
        *queue.submit_many(Job(ran.append, priority=3), [3, 4, 5]),
    ]
    gate.open()
    assert [future.result(WAIT) for future in futures] == 6 * [None]
    assert ran == [3, 4, 5, 2, 1, 0]
    assert queue.stop(WAIT).succeeded == 7


def test_submit_many_gives_the_item_after_the_jobs_own_arguments(make, gate):
    """
    As functools.partial does, keyword arguments and the Job itself left as they are.
    """
    queue = make()
    job = Job(lambda *args, **kwargs: (args, kwargs), 1, kwargs={"b": 2}, name="one of many")
    futures = queue.submit_many(job, iter("xy"))
    gate.open()
    assert [future.result(WAIT) for future in futures] == [((1, "x"), {"b": 2}), ((1, "y"), {"b": 2})]
    assert (job.args, job.kwargs) == ((1,), {"b": 2})
    assert queue.stop(WAIT).complete


def test_a_job_that_finds_no_room_leaves_no_trace(make, gate):
    """
    The bound holds for jobs on the shelf and in the ring together, whatever their level.
    """
    ran = []
    queue = make(capacity=3)
    queue.submit(ran.append, 0)
    queue.submit(Job(ran.append, 1))
    queue.submit(ran.append, 2)
    for level in (0, 1000):
        with pytest.raises(QueueFull):
            queue.try_submit(Job(ran.append, 3, priority=level))
        with pytest.raises(QueueFull):
            queue.submit_within(0.001, Job(ran.append, 4, priority=level))
    with pytest.raises(QueueFull):
        queue.try_submit(ran.append, 5)
    assert (queue.stats().queued, queue.stats().rejected, queue.stats().accepted) == (3, 5, 4)
    gate.open()
    assert queue.stop(WAIT).succeeded == 4
    assert ran == [0, 1, 2]


def test_a_submit_that_waits_for_room_gets_it(make, gate, until, run_in_threads):
    """
    And then the level decides.
    """
    queue = make(capacity=1)
    ran = []
    queue.submit(Job(ran.append, "first"))

    def produce(number):
        if number == 0:
            gate.open()
        for n in range(50):
            queue.submit(Job(ran.append, (number, n), priority=n % 3))

    run_in_threads(3, produce)
    assert queue.stop(WAIT).succeeded == 152
    assert sorted(ran[1:]) == sorted((i, n) for i in range(3) for n in range(50)) and ran[0] == "first"


@pytest.mark.parametrize(
    ("value", "error"),
    [(1001, ValueError), (-1001, ValueError), (1.5, TypeError), ("1", TypeError), (None, TypeError)],
)
def test_a_wrong_priority_is_refused_and_named(make, gate, value, error):
    """
    Where it is written, and in reprioritise(), which changes nothing then.
    """
    with pytest.raises(error, match="priority must be"):
        Job(int, priority=value)
    queue = make()
    future = queue.submit(int)
    with pytest.raises(error, match="priority must be"):
        queue.reprioritise(future, value)
    gate.open()
    assert future.result(WAIT) == 0
    assert queue.stop(WAIT).complete


@pytest.mark.parametrize("arguments", [((1,), {}), ((), {"a": 1})], ids=["positional", "keyword"])
def test_a_job_has_its_own_arguments(make, arguments):
    """
    Beside it there are none, so that none is lost.
    """
    queue = make()
    with pytest.raises(TypeError, match="no arguments beside a Job"):
        queue.submit(Job(int), *arguments[0], **arguments[1])
    assert queue.stats().accepted == 1
    queue.stop_now()


# ---- reprioritise ---------------------------------------------------------------


def test_a_waiting_job_moves_to_the_other_level_at_its_place(make, gate):
    """
    Among those it is where it would be had it been submitted with that level.
    """
    ran = []
    queue = make()
    jobs = [queue.submit(Job(ran.append, n, priority=n % 2)) for n in range(8)]
    assert queue.reprioritise(jobs[4], 1) is True
    assert queue.reprioritise(jobs[3], 0) is True
    assert queue.reprioritise(jobs[6], 0) is True  # where it is already
    assert queue.reprioritise(jobs[0], 7) is True
    assert queue.reprioritise(jobs[1], -7) is True
    gate.open()
    assert queue.stop(WAIT).succeeded == 9
    assert ran == [0, 4, 5, 7, 2, 3, 6, 1]


def test_a_plain_job_can_be_given_a_priority(make, gate):
    """
    Also the first of a queue that had none: it waits in the ring until then.
    """
    ran = []
    queue = make()
    jobs = [queue.submit(ran.append, n) for n in range(4)]
    assert queue.reprioritise(jobs[2], 1) is True
    assert queue.reprioritise(jobs[0], -1) is True
    gate.open()
    assert queue.stop(WAIT).succeeded == 5
    assert ran == [2, 1, 3, 0]


def test_a_job_behind_its_key_takes_its_level_along(make, gate):
    """
    It does not pass the one in front of it, but others once that one has been done.
    """
    ran = []
    queue = make()
    queue.submit(Job(ran.append, "front", key="k", priority=1))
    behind = queue.submit(Job(ran.append, "behind", key="k"))
    queue.submit(Job(ran.append, "other"))
    queue.submit(Job(ran.append, "higher", priority=2))
    assert queue.reprioritise(behind, 5) is True
    gate.open()
    assert queue.stop(WAIT).succeeded == 5
    assert ran == ["higher", "front", "behind", "other"]


def test_a_job_that_is_not_due_takes_its_level_along(make, gate, until):
    """
    It waits, if for a time; when it is due it is where its level is.
    """
    ran = []
    queue = make()
    later = queue.submit_later(0.2, ran.append, "later")
    queue.submit(ran.append, "plain")
    assert queue.reprioritise(later, 3) is True
    until(lambda: queue.stats().delayed == 0)
    gate.open()
    assert queue.stop(WAIT).succeeded == 3
    assert ran == ["later", "plain"]


def test_a_job_that_waits_to_be_tried_again_can_be_raised(make, gate, until):
    """
    It is queued still, so its priority can be changed.
    """
    tries, ran = [], []
    blocker = threading.Event()

    def fails_once():
        tries.append(None)
        if len(tries) == 1:
            raise OSError
        ran.append("retried")

    queue = make()
    future = queue.submit(Job(fails_once, retry=Retry(attempts=2, base=1, jitter="none")))
    gate.open()
    until(lambda: queue.stats().retrying == 1)
    queue.submit(blocker.wait, WAIT)
    until(lambda: queue.running())
    queue.submit(Job(ran.append, "other", priority=1))
    assert queue.reprioritise(future, 2) is True
    until(lambda: queue.stats().retrying == 0)
    blocker.set()
    assert queue.stop(WAIT).complete
    assert ran == ["retried", "other"]


def test_a_job_that_waits_no_more_has_no_priority(make, gate):
    """
    Running, done, cancelled, or of another queue.
    """
    answers = []
    queue = make(2)
    running = queue.running()[0].future
    cancelled = queue.submit(int)
    planned = queue.submit(Job(int))
    assert cancelled.cancel() and planned.cancel()
    with WorkerQueue(1, 1) as other:
        theirs = other.submit(int)
        answers += [queue.reprioritise(future, 1) for future in (running, cancelled, planned, theirs)]
    gate.open()
    running.result(WAIT)
    answers.append(queue.reprioritise(running, 1))
    assert answers == 5 * [False]
    with pytest.raises(TypeError, match="future must be one that submit"):
        queue.reprioritise(object(), 1)
    assert queue.stop(WAIT).complete


@pytest.mark.stress
def test_every_job_runs_once_and_in_its_producers_order_at_each_level(make, gate, run_in_threads):
    """
    Ledger: four producers, plain jobs and Jobs mixed, priorities changed meanwhile.
    """
    queue = make(64, ageing=3)
    ran = []

    def produce(number):
        chance = random.Random(number)
        if number == 0:
            gate.open()
        for n in range(2000):
            level = chance.choice([-1, 0, 1])
            if level == 0 and n % 2:
                queue.submit(ran.append, (number, 0, n))
            else:
                queue.submit(Job(ran.append, (number, level, n), priority=level))

    run_in_threads(4, produce)
    assert queue.stop(WAIT).succeeded == 8001
    assert len(ran) == len(set(ran)) == 8000
    for number in range(4):
        for level in (-1, 0, 1):
            own = [n for who, at, n in ran if (who, at) == (number, level)]
            assert own == sorted(own)


@pytest.mark.stress
def test_priorities_may_change_while_everything_runs(run_in_threads):
    """
    Every job runs exactly once, whatever it was moved to, and the books are right.
    """
    ran = []
    with WorkerQueue(3, 128) as queue:

        def body(number):
            chance = random.Random(number)
            mine = []
            for n in range(1500):
                mine.append(queue.submit(Job(ran.append, (number, n), priority=n % 5)))
                queue.reprioritise(chance.choice(mine[-200:]), chance.randint(-1000, 1000))

        run_in_threads(4, body)
    stats = queue.stats()
    assert (stats.accepted, stats.succeeded, stats.queued) == (6000, 6000, 0)
    assert len(set(ran)) == len(ran) == 6000
