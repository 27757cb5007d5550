"""Overflow policies that decide or send on; at the end of a queue; beside the ways to submit that have none."""

import threading

import pytest

from ringpool import Job, JobDropped, Lane, QueueFull, QueueStopped, Retry, WorkerQueue

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened
NAMES = ("block", "raise", "return", "caller_runs", "drop_newest", "drop_oldest")


def filled(gate, capacity=2, **options):
    queue = WorkerQueue(1, capacity, name="full", **options)
    queue.submit(gate)
    gate.wait_until_entered()
    return queue, [queue.try_submit(int) for _ in range(capacity)]


# ---- a function that decides ---------------------------------------------------------------


@pytest.mark.parametrize("planned", [False, True])
def test_a_function_gets_the_queue_and_the_job(gate, planned):
    """Also for a plain call, whose Job is made for it; its answer holds for that job alone."""
    seen = []
    answers = iter(["return", "drop_newest", "caller_runs"])

    def decide(queue, job):
        seen.append((queue, job.fn, job.args, job.kwargs, job.name))
        return next(answers)

    queue, _ = filled(gate, overflow=decide, lanes={"a": Lane()} if planned else None)
    assert isinstance(queue.submit(int, "7").exception(0), QueueFull)
    assert isinstance(queue.submit(Job(int, "7", kwargs={"base": 8}, name="octal")).exception(0), JobDropped)
    assert queue.submit(int, "17", base=8).result(0) == 15
    assert seen == [
        (queue, int, ("7",), {}, None),
        (queue, int, ("7",), {"base": 8}, "octal"),
        (queue, int, ("17",), {"base": 8}, None),
    ]
    gate.open()
    assert queue.stop(WAIT).complete


@pytest.mark.parametrize("planned", [False, True])
@pytest.mark.parametrize(
    ("answer", "error"),
    [(None, TypeError), ("sometimes", ValueError), (3, TypeError), (lambda q, j: "raise", TypeError)],
    ids=repr,
)
def test_an_answer_that_is_no_policy_is_an_error_of_submit(gate, planned, answer, error):
    """The job is not accepted, and nothing of it is left."""
    queue, _ = filled(gate, overflow=lambda queue, job: answer, lanes={"a": Lane()} if planned else None)
    for _ in range(50):
        with pytest.raises(error, match="overflow"):
            queue.submit(int)
    assert (queue.stats().accepted, queue.stats().rejected, queue.stats().queued) == (3, 0, 2)
    gate.open()
    assert queue.stop(WAIT).done == 3


@pytest.mark.parametrize("error", [OSError, SystemExit, QueueFull])
def test_what_a_function_raises_comes_out_of_submit(gate, error):
    """A QueueFull of its own counts as one."""

    def decide(queue, job):
        raise error("mine")

    queue, _ = filled(gate, overflow=decide)
    with pytest.raises(error, match="mine"):
        queue.submit(int)
    assert queue.stats().rejected == (error is QueueFull)
    gate.open()
    assert queue.stop(WAIT).done == 3


def test_a_function_must_not_choose_the_full_queue_itself(gate):
    """That would go round for ever."""
    queue, _ = filled(gate, overflow=lambda queue, job: queue)
    with pytest.raises(ValueError, match="another queue"):
        queue.submit(int)
    gate.open()
    queue.stop(WAIT)


def test_a_function_is_not_asked_while_there_is_room(gate):
    """Nor by a queue that has been stopped."""
    asked = []
    with WorkerQueue(1, 64, overflow=lambda queue, job: asked.append(job)) as queue:
        for _ in range(64):
            queue.submit(int).result(WAIT)
    with pytest.raises(QueueStopped):
        queue.submit(int)
    assert asked == []


# ---- into another queue ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["said", "decided"])
@pytest.mark.parametrize("planned", [False, True])
def test_what_finds_no_room_goes_to_the_other_queue(gate, how, planned):
    """Plain calls and Jobs, whose name, retry and time limits are theirs wherever they run."""
    with WorkerQueue(1, 8, name="other") as other:
        policy = other if how == "said" else lambda queue, job: other
        queue, _ = filled(gate, overflow=policy, lanes={"a": Lane()} if planned else None)
        tries = []

        def job(text, base=10):
            tries.append(threading.current_thread().name)
            if len(tries) % 2:
                raise OSError
            return int(text, base)

        futures = [queue.submit(Job(job, "17", kwargs={"base": 8}, retry=Retry(base=0), deadline=WAIT))]
        assert futures[0].result(WAIT) == 15
        assert queue.submit(int, "17", base=8).result(WAIT) == 15
        assert tries == ["other_0", "other_0"]
        stats = queue.stats()
        assert (stats.spilled, stats.accepted, stats.rejected) == (2, 3, 0)
        assert (other.stats().accepted, other.stats().retries) == (2, 1)
        gate.open()
        assert queue.stop(WAIT).done == 3


@pytest.mark.parametrize(
    ("end", "error"), [("stop", QueueStopped), ("fill", QueueFull)], ids=["it is stopped", "it is full too"]
)
def test_when_the_other_queue_refuses_so_does_submit(gate, end, error):
    """Both count it as rejected, and neither as spilled."""
    other = WorkerQueue(1, 1, name="other", overflow="raise")
    other.submit(gate)
    gate.wait_until_entered()
    if end == "fill":
        other.submit(int)
    else:
        other.stop(0)
    queue, _ = filled(gate, overflow=other)
    with pytest.raises(error, match="other"):
        queue.submit(int)
    assert (queue.stats().spilled, queue.stats().rejected, other.stats().rejected) == (0, 1, 1)
    gate.open()
    assert queue.stop(WAIT).done == 3
    assert other.stop(WAIT).complete


def test_a_job_for_a_lane_that_the_other_queue_has_not_is_an_error(gate):
    """Named as any wrong lane is; the job is not lost without a word."""
    with WorkerQueue(1, 8, name="other") as other:
        queue, _ = filled(gate, overflow=other, lanes={"a": Lane()})
        with pytest.raises(ValueError, match="lane must be one of"):
            queue.submit(Job(int, lane="a"))
        gate.open()
        assert queue.stop(WAIT).done == 3


def test_the_hooks_of_the_first_queue_do_not_see_what_it_sent_on(gate):
    """It is the other's job from then on."""
    seen = []
    with WorkerQueue(1, 8, name="other") as other:
        queue, _ = filled(gate, overflow=other, on_done=seen.append, on_start=seen.append)
        spilled = queue.submit(int)
        assert spilled.result(WAIT) == 0
        gate.open()
        assert queue.stop(WAIT).done == 3
    assert spilled not in seen
    assert len(seen) == 6


# ---- the end, and the others ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("planned", [False, True])
def test_a_stopped_queue_refuses_under_each_policy(gate, name, planned):
    """Full or not: no policy makes it take a job, run one or drop one."""
    queue, _ = filled(gate, overflow=name, lanes={"a": Lane()} if planned else None)
    queue.stop(0)
    for job in (int, Job(int)):
        with pytest.raises(QueueStopped):
            queue.submit(job)
    assert (queue.stats().rejected, queue.stats().accepted) == (2, 3)
    gate.open()
    assert queue.stop(WAIT).done == 3


@pytest.mark.parametrize("name", NAMES[1:])
@pytest.mark.parametrize("planned", [False, True])
def test_try_submit_and_submit_within_have_no_policy(gate, until, name, planned):
    """They say themselves what is to happen: nothing, or a wait."""
    queue, jobs = filled(gate, overflow=name, lanes={"a": Lane()} if planned else None)
    for job in (int, Job(int)):
        with pytest.raises(QueueFull):
            queue.try_submit(job)
        with pytest.raises(QueueFull):
            queue.submit_within(0.01, job)
    unlimited = threading.Thread(target=queue.submit_within, args=(None, int))
    unlimited.start()
    until(lambda: queue.stats().blocked == 3)
    assert not any(job.done() for job in jobs)
    assert queue.stats().rejected == 4
    gate.open()
    assert queue.submit_within(WAIT, int, "7").result(WAIT) == 7
    unlimited.join(WAIT)
    assert queue.stop(WAIT).complete


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [{}, {"on_start": lambda future: None}, {"stuck_after": WAIT}], ids=repr)
def test_a_map_waits_for_room_whatever_the_policy(gate, name, options):
    """In the middle of a loop, a refused or a dropped item would end it."""
    queue, jobs = filled(gate, overflow=name, **options)
    opener = threading.Timer(MOMENT, gate.open)
    opener.start()
    assert list(queue.map(int, map(str, range(20)))) == list(range(20))
    opener.join()
    assert queue.stop(WAIT).complete
    assert [job.result(0) for job in jobs] == [0, 0]
    assert (queue.stats().dropped, queue.stats().rejected, queue.stats().caller_ran) == (0, 0, 0)


@pytest.mark.parametrize("planned", [False, True])
def test_producers_that_wait_get_in_in_the_order_in_which_they_came(gate, until, planned):
    """One by one, as room appears."""
    queue, _ = filled(gate, capacity=1, overflow="block", lanes={"a": Lane()} if planned else None)
    ran = []
    gates = [threading.Semaphore(0) for _ in range(6)]

    def job(i):
        ran.append(i)
        assert gates[i].acquire(timeout=WAIT)

    producers = []
    for i in range(6):
        producer = threading.Thread(target=queue.submit, args=(job, i))
        producer.start()
        producers.append(producer)
        until(lambda: queue.stats().queued == 1)
        assert not gates[0].acquire(timeout=MOMENT / 2)  # time to fall asleep, one after the other
    gate.open()
    for one in gates:
        one.release()
    for producer in producers:
        producer.join(WAIT)
    assert queue.stop(WAIT).complete
    assert ran == list(range(6))


@pytest.mark.parametrize("planned", [False, True])
def test_a_stop_releases_the_producers_that_wait(gate, planned):
    """Blocked by a policy or by none: QueueStopped, at once."""
    queue, _ = filled(gate, overflow=lambda queue, job: "block", lanes={"a": Lane()} if planned else None)
    refused = threading.Semaphore(0)

    def produce(submit, *before):
        with pytest.raises(QueueStopped):
            submit(*before, int)
        refused.release()

    ways = [(queue.submit,), (queue.submit_within, WAIT), (queue.submit_later, 1.0)]
    producers = [threading.Thread(target=produce, args=way) for way in ways]
    for producer in producers:
        producer.start()
    assert not refused.acquire(timeout=MOMENT)
    queue.stop(0)
    for producer in producers:
        assert refused.acquire(timeout=WAIT)
        producer.join(WAIT)
    assert queue.stats().rejected == 3
    gate.open()
    assert queue.stop(WAIT).done == 3


@pytest.mark.parametrize("name", ["caller_runs", "drop_newest", "drop_oldest", "return", "raise", "block"])
@pytest.mark.parametrize("options", [{}, {"lanes": {"a": Lane()}}, {"on_start": lambda future: None}], ids=repr)
def test_every_job_ends_once_whatever_producers_and_a_stop_do(run_in_threads, adds_up, name, options):
    """Four producers against two workers and four places: each future ends, each counter agrees."""
    queue = WorkerQueue(2, 4, overflow=name, **options)
    ran = []

    def produce(i):
        futures, refused = [], 0
        for n in range(400):
            try:
                futures.append(queue.submit(ran.append, (i, n)))
            except (QueueFull, QueueStopped):
                refused += 1
            if i == 0 and n == 300:
                queue.stop(0)
        return futures, refused

    outcomes = run_in_threads(4, produce)
    assert queue.stop(WAIT).complete
    futures = [future for some, _ in outcomes for future in some]
    stats = queue.stats()
    adds_up(stats)
    assert all(future.done() for future in futures)
    assert len(ran) == len(set(ran)) == stats.succeeded
    assert stats.rejected == sum(refused for _, refused in outcomes) + stats.returned
    assert stats.accepted == len(futures) - stats.returned
    assert stats.dropped == sum(isinstance(future.exception(), JobDropped) for future in futures)
    assert (stats.queued, stats.in_flight) == (0, 0)


@pytest.mark.parametrize("moment", [0, MOMENT], ids=["before it is read", "while somebody waits for it"])
def test_a_map_whose_jobs_are_dropped_says_so(gate, moment):
    """
    Nobody is left to run its items: whoever reads them must not wait for ever.
    """
    with WorkerQueue(1, 1, overflow="drop_oldest") as queue:
        busy = queue.submit(gate)
        gate.wait_until_entered()
        results = queue.map(int, "123", timeout=WAIT)
        other = threading.Timer(moment, queue.submit, [int])  # in the place of the map's
        other.start()
        if not moment:
            other.join()
        with pytest.raises(JobDropped, match="dropped its oldest"):
            next(results)
        other.join()
        assert queue.stats().dropped == 1
        assert list(results) == []
        assert not busy.done()  # it was told at once, not when a worker was free
        gate.open()


def test_a_reader_that_feeds_its_map_waits_for_room_until_the_maps_limit(gate):
    """
    A place for what reads the next item is waited for, as a result is.
    """
    with WorkerQueue(1, 1) as queue:
        results = queue.map(int, "12345", timeout=MOMENT, buffersize=1)
        assert next(results) == 1
        busy = queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(int)
        with pytest.raises(TimeoutError):
            list(results)
        assert not busy.done()
        gate.open()


def test_a_map_that_keeps_a_worker_is_none_the_worse_for_a_job_that_is_dropped():
    """
    Of its jobs, one runs, and runs all items.
    """
    first, go_on, held = threading.Event(), threading.Event(), threading.Event()

    def item(n):
        first.set()
        assert go_on.wait(WAIT)
        return n

    with WorkerQueue(2, 1, overflow="drop_oldest") as queue:
        queue.submit(lambda: held.wait(WAIT))
        results = queue.map(item, range(3), timeout=WAIT)
        assert first.wait(WAIT)
        queue.submit(int)
        go_on.set()
        assert list(results) == [0, 1, 2]
        held.set()
