"""A full queue and what its overflow policy makes of the next job; on plain queues and on planned ones."""

import contextvars
import gc
import signal
import sys
import threading
import weakref
from concurrent.futures import CancelledError

import pytest

from ringpool import (
    Block,
    Job,
    JobDropped,
    Lane,
    QueueFull,
    QueueStopped,
    Retry,
    WorkerQueue,
    current_job,
    current_worker,
)

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened

PLAIN = {}
PLANNED = {"lanes": {"only": Lane()}}
HOOKED = {"on_start": lambda future: None}  # every job has a plan
KINDS = pytest.mark.parametrize("kind", [PLAIN, PLANNED, HOOKED], ids=["plain", "lanes", "plans"])


@pytest.fixture
def make(gate, adds_up):
    """A queue of one worker, which stands at the gate, filled to its capacity; and the jobs in it."""
    queues = []

    def make(capacity=2, fill=True, workers=1, **options):
        queue = WorkerQueue(workers, capacity, name="full", **options)
        queues.append(queue)
        for _ in range(workers):
            queue.submit(gate)
        gate.wait_until_entered(workers)
        return queue, [queue.try_submit(int, str(i)) for i in range(capacity if fill else 0)]

    yield make
    gate.open()
    for queue in queues:
        assert queue.stop(WAIT).complete
        adds_up(queue.stats())


# ---- each policy -----------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    "policy",
    ["block", Block(None), lambda queue, job: "block", lambda queue, job: Block(None)],
    ids=["0", "1", "2", "3"],
)
def test_block_waits_for_room(make, gate, kind, policy):
    """The default, also said as Block(None), and by a function."""
    queue, _ = make(overflow=policy, **kind)
    done = threading.Event()
    futures = []
    thread = threading.Thread(target=lambda: (futures.append(queue.submit(int, "7")), done.set()))
    thread.start()
    assert not done.wait(MOMENT)
    gate.open()
    assert done.wait(WAIT)
    thread.join()
    assert futures[0].result(WAIT) == 7
    assert (queue.stats().blocked, queue.stats().block_timed_out) == (1, 0)


@KINDS
@pytest.mark.parametrize("how", ["said", "decided"])
def test_block_with_a_limit_refuses_when_it_has_passed(make, kind, how):
    """Not before; and the job has left no trace."""
    policy = Block(0.05)
    queue, _ = make(overflow=policy if how == "said" else lambda queue, job: policy, **kind)
    argument = threading.Event()
    seen = weakref.ref(argument)
    with pytest.raises(QueueFull):
        queue.submit(print, argument)
    del argument
    gc.collect()
    assert seen() is None
    stats = queue.stats()
    assert (stats.rejected, stats.accepted) == (1, 3)
    assert (stats.blocked, stats.block_timed_out) == (1, 1)


@KINDS
def test_block_with_a_limit_lets_a_job_in_when_room_comes_in_time(make, gate, kind):
    """The wake-up is that of a plain submit."""
    queue, _ = make(overflow=Block(WAIT), **kind)
    opener = threading.Timer(MOMENT / 2, gate.open)
    opener.start()
    assert queue.submit(int, "7").result(WAIT) == 7
    opener.join()


@KINDS
def test_raise_refuses_at_once(make, kind):
    """Without a trace, however often: no reference is lost and none is given back twice."""
    queue, _ = make(overflow="raise", **kind)
    argument = threading.Event()
    seen = weakref.ref(argument)
    for _ in range(200):
        with pytest.raises(QueueFull, match="full is full"):
            queue.submit(print, argument, file=argument)
        with pytest.raises(QueueFull):
            queue.submit(Job(print, argument))
    del argument
    gc.collect()
    assert seen() is None
    assert (queue.stats().rejected, queue.stats().accepted) == (400, 3)


@KINDS
def test_return_gives_a_future_that_carries_the_refusal(make, kind):
    """For who has many futures to look at anyway."""
    queue, _ = make(overflow="return", **kind)
    future = queue.submit(int)
    assert isinstance(future.exception(0), QueueFull)
    assert not future.cancel()
    stats = queue.stats()
    assert (stats.returned, stats.rejected, stats.accepted) == (1, 1, 3)


@KINDS
def test_drop_newest_ends_the_job_that_came(make, gate, kind):
    """Those that wait stay as they are."""
    queue, jobs = make(overflow="drop_newest", **kind)
    future = queue.submit(int)
    with pytest.raises(JobDropped, match="full was full, and drops the newest"):
        future.result(0)
    stats = queue.stats()
    assert (stats.dropped, stats.accepted, stats.queued) == (1, 4, 2)
    assert (stats.dropped_newest, stats.dropped_oldest, stats.blocked) == (1, 0, 0)
    gate.open()
    assert [job.result(WAIT) for job in jobs] == [0, 1]


@KINDS
def test_drop_oldest_ends_the_one_that_waits_longest(make, gate, kind):
    """One goes for each that comes, in their order."""
    queue, jobs = make(overflow="drop_oldest", **kind)
    jobs += [queue.submit(int, str(i)) for i in range(2, 5)]
    assert [isinstance(job.exception(0), JobDropped) if job.done() else None for job in jobs] == [True] * 3 + [None] * 2
    assert queue.stats().dropped == queue.stats().dropped_oldest == 3
    gate.open()
    assert [job.result(WAIT) for job in jobs[3:]] == [3, 4]


@KINDS
def test_drop_oldest_takes_the_place_of_a_cancelled_job_first(make, kind):
    """That one has ended already, and is not dropped as well."""
    queue, jobs = make(overflow="drop_oldest", **kind)
    assert jobs[0].cancel()
    fresh = queue.submit(int)
    assert jobs[0].cancelled()
    assert not jobs[1].done() and not fresh.done()
    assert (queue.stats().dropped, queue.stats().cancelled) == (0, 1)
    assert queue.stats().dropped_oldest == 0


def test_drop_oldest_takes_from_the_lowest_level(make, gate):
    """However young it is: what is urgent stays."""
    queue, _ = make(capacity=4, fill=False, overflow="drop_oldest")
    jobs = [queue.submit(Job(int, priority=level)) for level in (0, 5, -3, -3)]
    fresh = [queue.submit(Job(int, priority=9)) for _ in range(3)]
    assert [job.done() for job in jobs] == [True, False, True, True]
    last = queue.submit(Job(int, priority=-1000))
    assert jobs[1].done() and not last.done() and not any(job.done() for job in fresh)


def test_drop_oldest_takes_from_its_own_lane_or_refuses(make):
    """Another lane's jobs are not in the way of a job that they outrank by lane."""
    queue, _ = make(fill=False, overflow="drop_oldest", lanes={"a": Lane(), "b": Lane()})
    jobs = [queue.submit(Job(int, lane="a")) for _ in range(2)]
    with pytest.raises(QueueFull):
        queue.submit(Job(int, lane="b"))
    fresh = queue.submit(Job(int, lane="a"))
    assert [job.done() for job in [*jobs, fresh]] == [True, False, False]
    assert (queue.stats().dropped, queue.stats().rejected) == (1, 1)


def test_drop_oldest_refuses_when_only_jobs_that_are_not_due_fill_the_queue(make):
    """A delayed job is not waiting in vain."""
    queue, _ = make(fill=False, overflow="drop_oldest")
    jobs = [queue.submit_later(WAIT, int) for _ in range(2)]
    with pytest.raises(QueueFull):
        queue.submit(int)
    assert all(job.cancel() for job in jobs)


def test_drop_oldest_lets_the_key_of_the_dropped_go_on(make, gate):
    """Who stood behind it comes next."""
    queue, _ = make(fill=False, capacity=3, overflow="drop_oldest")
    ran = []
    jobs = [queue.submit(Job(ran.append, i, key="k")) for i in range(3)]
    for i in range(3, 5):
        jobs.append(queue.submit(Job(ran.append, i, key="k")))
    gate.open()
    assert queue.wait(WAIT)
    assert ran == [2, 3, 4]
    assert [isinstance(job.exception(), JobDropped) for job in jobs] == [True, True, False, False, False]


def test_drop_oldest_refuses_while_nobody_reads_the_results(gate):
    """No place is what it lacks: it would drop the whole queue and keep every future."""
    queue = WorkerQueue(1, 4, keep_results=2, overflow="drop_oldest")
    results = queue.results()
    for _ in range(2):
        queue.submit(int)
    assert queue.wait(WAIT)
    for _ in range(10):
        with pytest.raises(QueueFull):
            queue.submit(int)
    assert next(results).result() == 0
    assert queue.submit(int).result(WAIT) == 0
    queue.stop(WAIT)
    assert len(list(results)) == 2


@pytest.mark.parametrize("policy", ["drop_newest", "caller_runs", "return"])
def test_what_was_not_in_the_queue_is_not_among_its_results(gate, policy):
    """The results that wait stay bounded, however fast a producer goes on."""
    queue = WorkerQueue(1, 4, keep_results=2, overflow=policy)
    results = queue.results()
    for _ in range(2):
        queue.submit(int)
    assert queue.wait(WAIT)
    for _ in range(50):
        queue.submit(int)
    queue.stop(WAIT)
    assert len(list(results)) == 2


# ---- caller_runs -------------------------------------------------------------------------


@KINDS
def test_caller_runs_runs_it_on_the_thread_that_submits(make, kind):
    """That slows the producer down by just what its job takes."""
    queue, _ = make(overflow="caller_runs", **kind)
    future = queue.submit(threading.get_ident)
    assert future.result(0) == threading.get_ident()
    stats = queue.stats()
    assert (stats.caller_ran, stats.accepted, stats.succeeded, stats.in_flight) == (1, 4, 1, 1)


@KINDS
@pytest.mark.parametrize("error", [OSError, CancelledError, GeneratorExit])
def test_caller_runs_keeps_what_the_job_raises_in_its_future(make, kind, error):
    """As a worker does: the submitter did not ask for the job's error."""
    queue, _ = make(overflow="caller_runs", **kind)

    def job():
        raise error("mine")

    assert isinstance(queue.submit(job).exception(0), error)
    assert queue.stats().failed == 1


var = contextvars.ContextVar("var", default="none")


@KINDS
@pytest.mark.parametrize("before", [None, "set"])
def test_caller_runs_keeps_the_callers_context_apart(make, kind, before):
    """The job sees it and does not change it, whether there was anything in it or not."""
    queue, _ = make(overflow="caller_runs", **kind)

    def job():
        seen = var.get()
        var.set("by the job")
        return seen

    def submit():
        if before:
            var.set(before)
        return [queue.submit(job).result(0), queue.submit(job).result(0), var.get()]

    assert contextvars.copy_context().run(submit) == [before or "none"] * 3
    thread_saw = []
    thread = threading.Thread(target=lambda: thread_saw.extend(submit()))
    thread.start()
    thread.join(WAIT)
    assert thread_saw == [before or "none"] * 3


@KINDS
def test_a_job_that_its_caller_runs_is_the_current_job(make, kind):
    """It can look whether it is wanted; the thread does not become a worker for it."""
    queue, _ = make(overflow="caller_runs", **kind)

    def job():
        me = current_job()
        return me.future, me.attempt, me.cancelled, current_worker(), [job.thread for job in queue.running()]

    future = queue.submit(job)
    seen = future.result(0)
    assert seen[:4] == (future, 1, False, None)
    assert sorted(seen[4]) == sorted(["full_0", threading.current_thread().name])
    assert current_job() is None


def test_a_job_that_its_caller_runs_may_stop_the_queue_and_wait_for_it(make, gate):
    """It cannot see its own end, so it only looks; outside of it, stop() waits for it."""
    queue, _ = make(overflow="caller_runs")

    def job():
        return queue.stop(WAIT).complete, queue.wait(WAIT)

    assert queue.submit(job).result(0) == (False, False)
    with pytest.raises(QueueStopped):
        queue.submit(int)


def test_stop_waits_for_a_job_that_its_caller_runs(make, gate):
    """It was accepted, so it is run before the queue has ended."""
    queue, _ = make(overflow="caller_runs")
    entered, go_on = threading.Event(), threading.Event()
    caller = threading.Thread(target=queue.submit, args=(lambda: (entered.set(), go_on.wait(WAIT)),))
    caller.start()
    assert entered.wait(WAIT)
    gate.open()
    assert not queue.stop(MOMENT).complete
    go_on.set()
    assert queue.stop(WAIT).complete
    caller.join(WAIT)
    assert queue.stats().succeeded == 4


@pytest.mark.parametrize("stopped", [False, True])
def test_a_job_that_its_caller_ran_is_tried_again_by_a_worker(make, gate, stopped):
    """Nobody waits in submit for a back-off; a stop that comes meanwhile waits for the retry."""
    queue, _ = make(overflow="caller_runs")
    threads = []

    def job():
        threads.append(threading.current_thread().name)
        if len(threads) == 1:
            if stopped:
                queue.stop(0)
                gate.open()
                while queue.stats().queued:
                    threading.Event().wait(0.001)
            raise OSError("once")
        return "done"

    future = queue.submit(Job(job, retry=Retry(base=0.01)))
    gate.open()
    assert future.result(WAIT) == "done"
    assert threads == [threading.current_thread().name, "full_0"]
    stats = queue.stats()
    assert (stats.retries, stats.caller_ran) == (1, 1)


@KINDS
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_program_comes_out_of_submit_too(make, kind, error):
    """It is the caller's thread, perhaps the main one, that Ctrl-C came to; the future ends in it all the same."""
    futures = []

    def job():
        futures.append(current_job().future)
        raise error("mine")

    done = []
    queue, _ = make(overflow="caller_runs", on_done=done.append, **kind)
    with pytest.raises(error, match="mine"):
        queue.submit(job)
    assert isinstance(futures[0].exception(0), error)
    assert done == futures
    stats = queue.stats()
    assert (stats.failed, stats.caller_ran, stats.in_flight) == (1, 1, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="sends itself a signal")
def test_ctrl_c_in_a_job_that_the_main_thread_runs_is_not_swallowed(make):
    """On a queue without hooks, from a real signal."""
    queue, _ = make(overflow="caller_runs")
    with pytest.raises(KeyboardInterrupt):
        queue.submit(signal.raise_signal, signal.SIGINT)
    assert queue.stats().failed == 1


def test_caller_runs_raises_for_a_job_with_a_key(make):
    """Its key's order is the queue's to keep."""
    queue, _ = make(overflow="caller_runs")
    with pytest.raises(QueueFull):
        queue.submit(Job(int, key=1))
    assert (queue.stats().caller_ran, queue.stats().rejected) == (0, 1)


@pytest.mark.parametrize("many", [False, True], ids=["submit", "submit_many"])
def test_caller_runs_raises_for_a_job_with_a_delay(make, many):
    """Its caller would run it before its time."""
    ran = []
    queue, _ = make(overflow="caller_runs")
    with pytest.raises(QueueFull):
        if many:
            queue.submit_many(Job(ran.append, delay=60), [1])
        else:
            queue.submit_later(60, ran.append, 1)
    assert (queue.stats().caller_ran, queue.stats().rejected, ran) == (0, 1, [])


def test_caller_runs_raises_for_a_job_of_a_lane_with_a_limit(make):
    """How many of it run is the queue's to keep; other lanes have their callers."""
    queue, _ = make(overflow="caller_runs", lanes={"free": Lane(), "limited": Lane(max_workers=1)})
    with pytest.raises(QueueFull):
        queue.submit(Job(int, lane="limited"))
    assert queue.submit(Job(int, lane="free")).result(0) == 0
    assert queue.submit(int).result(0) == 0
    assert (queue.stats().caller_ran, queue.stats().rejected) == (2, 1)


def test_a_job_that_submits_to_its_own_full_queue_runs_that_job_itself():
    """No deadlock, whatever the depth; the worker stays the worker that it is."""

    def job(depth):
        fillers.append(queue.try_submit(int))
        inner = queue.submit(middle, depth - 1).result(0) if depth else 0
        fillers.pop().cancel()
        return inner + 1 if current_worker().number == 0 else None

    def middle(depth):
        return queue.submit(middle, depth - 1).result(0) + 1 if depth else current_worker().number

    fillers = []
    with WorkerQueue(1, 1, overflow="caller_runs") as queue:
        assert queue.submit(job, 5).result(WAIT) == 5
