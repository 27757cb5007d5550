"""Workers that make up for waits in jobs: how many there may be, what needs none, and for whom they come."""

import contextlib
import logging
import threading
from concurrent import futures

import pytest

from ringpool import DeadlockError, Job, Lane, Retry, ThreadPoolExecutor, WorkerQueue, current_job
from ringpool._core.here import current_future
from ringpool.deadlocks import MAX_SPARES

WAIT = 30
SHORT = 0.02


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


def limited(fn, *args):
    """A job that no wait for it runs in place: its future may end before its function."""
    return Job(fn, *args, timeout=10 * WAIT)


# ---- run in place ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"priority": -5}, {"key": "k"}, {"lane": "b"}, {"retry": Retry(attempts=2)}, {"expires_in": WAIT}]
)
def test_a_job_with_a_plan_is_run_by_who_waits_for_it(dispatch, settings):
    """
    No spare is hired for what may start at once, whatever its plan says of its place in the queue.
    """
    lanes = {"a": Lane(), "b": Lane(max_workers=1)}
    with WorkerQueue(1, 16, dispatch=dispatch, lanes=lanes, max_spares=0) as queue:

        def parent():
            return queue.submit(Job(threading.current_thread, **settings)).result(), threading.current_thread()

        for _ in range(3):
            child, mine = queue.submit(parent).result(WAIT)
            assert child is mine
    assert queue.stats().succeeded == 6


def test_the_place_in_a_lane_of_what_ran_in_place_is_given_back(dispatch):
    """
    Nor does it keep a worker from other lanes, while it runs or after.
    """
    lanes = {"a": Lane(reserve=1), "b": Lane(max_workers=2), "c": Lane(reserve=1)}
    with WorkerQueue(3, 16, dispatch=dispatch, lanes=lanes) as queue:

        def child():
            return [queue.submit(Job(int, lane=lane)) for lane in "ac"]

        def parent():
            inner = queue.submit(Job(child, lane="b")).result()
            return [job.result(WAIT) for job in inner]

        for _ in range(5):
            assert queue.submit(Job(parent, lane="b")).result(WAIT) == [0, 0]


def test_a_reserved_worker_comes_while_a_job_runs_in_place_of_a_wait(dispatch, gate):
    """
    The two jobs on one thread count as one worker.
    """
    lanes = {"a": Lane(reserve=1), "b": Lane(reserve=1), "c": Lane()}
    with WorkerQueue(3, 16, dispatch=dispatch, lanes=lanes) as queue:
        outer = queue.submit(Job(lambda: queue.submit(Job(gate, lane="c")).result(), lane="c"))
        gate.wait_until_entered()
        assert queue.submit(Job(int, lane="a")).result(WAIT) == 0
        gate.open()
        assert outer.result(WAIT) is None


def test_what_ran_in_place_and_failed_is_tried_again(dispatch, adds_up):
    """
    At once in place; after a back-off by whoever is there then. The job that waits is not taken for it.
    """
    for base in (0, SHORT):
        attempts = []

        def flaky(attempts=attempts):
            attempts.append(threading.get_ident())
            if len(attempts) < 3:
                raise OSError("not yet")
            return current_job().attempt

        with WorkerQueue(1, 16, dispatch=dispatch) as queue:

            def parent(flaky=flaky, base=base):
                return queue.submit(Job(flaky, retry=Retry(attempts=4, base=base, jitter="none"))).result()

            outer = queue.submit(Job(parent, priority=1))
            assert outer.result(WAIT) == 3
        stats = queue.stats()
        assert (stats.succeeded, stats.retries, stats.failed) == (2, 2, 0)
        assert len(list(queue.results())) == 2
        adds_up(stats)


def test_a_wait_ends_in_time_where_what_it_is_for_has_a_limit(dispatch, gate):
    """
    So that one is not run in place: the wait would last as long as the function.
    """
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:

        def parent():
            error = queue.submit(Job(gate, timeout=SHORT)).exception()
            gate.open()
            return error

        assert isinstance(queue.submit(parent).result(WAIT), TimeoutError)


def test_a_wait_with_a_limit_ends_in_time(dispatch, gate):
    """
    Likewise: a spare runs the job.
    """
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:

        def parent():
            job = queue.submit(Job(gate, priority=1))
            with pytest.raises(TimeoutError):
                job.result(SHORT)
            gate.open()
            return job.result()

        assert queue.submit(parent).result(WAIT) is None


def test_a_deep_recursion_of_jobs_takes_few_threads():
    """
    Each runs 32 of them on top of each other; a spare goes on from there.
    """
    most = []

    def deep(n):
        if n == 0:
            most.append(threading.active_count())
            return 0
        return 1 + queue.submit(Job(deep, n - 1)).result()

    with WorkerQueue(1, 8) as queue:
        before = threading.active_count()
        assert queue.submit(Job(deep, 1500)).result(WAIT) == 1500
    assert most[0] - before < 60


def test_a_job_run_in_place_has_a_context_of_its_own():
    """
    What it sets is not seen by the job that waits.
    """
    import contextvars

    variable = contextvars.ContextVar("variable", default="unset")

    def child():
        variable.set("child")

    def parent():
        variable.set("parent")
        queue.submit(Job(child, key="k")).result()
        return variable.get()

    with WorkerQueue(1, 8) as queue:
        assert queue.submit(parent).result(WAIT) == "parent"


# ---- the bound ------------------------------------------------------------------------


@pytest.mark.parametrize("most", [0, 1, 3])
def test_where_no_spare_may_come_the_last_wait_is_refused(dispatch, most):
    """
    When every worker waits nobody is left; who is told goes on, and the others get what they wait for.
    """
    told = []

    def deep(n):
        child = queue.submit_later(5 * SHORT, deep, n + 1)  # not due when it is waited for
        try:
            return child.result()
        except DeadlockError as error:
            told.append((n, str(error)))
            child.cancel()
            return n

    with WorkerQueue(1, 16, dispatch=dispatch, max_spares=most) as queue:
        assert queue.submit(deep, 0).result(WAIT) == most
    ((level, message),) = told
    assert level == most
    assert "waits for a worker" in message


@pytest.mark.parametrize("make", [ThreadPoolExecutor, lambda workers: WorkerQueue(workers, 8)])
def test_there_are_so_many_spares_and_no_more(make, caplog):
    """
    Where no number is said, 256; also for waits that no error can be given to.
    """
    threads = []

    def deep(n):
        child = pool.submit(deep, n + 1)
        threads.append(threading.get_ident())
        futures.wait([child], SHORT if n == MAX_SPARES else None)
        child.cancel()

    with make(1) as pool:
        pool.submit(deep, 0).result(WAIT)
    assert len(set(threads)) == len(threads) == 257
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_of_several_that_wait_at_once_one_is_refused():
    """
    Then there is a worker again.
    """
    with WorkerQueue(3, 16, max_spares=0) as queue:
        for _ in range(30):
            all_run = threading.Barrier(3)
            told = []

            def parent(all_run=all_run, told=told):
                all_run.wait(WAIT)
                child = queue.submit(limited(int, "7"))
                try:
                    return child.result()
                except DeadlockError:
                    told.append(1)
                    return None

            jobs = [queue.submit(parent) for _ in range(3)]
            answers = [job.result(WAIT) for job in jobs]
            assert answers.count(None) == len(told) <= 1


def test_who_waits_beyond_the_bound_for_a_job_that_waits_so_itself_is_refused(caplog):
    """
    What it waits for runs, and will not end: nobody is left for what that one waits for.
    """
    jobs = {}

    def first():
        return queue.submit(limited(int, "7")).result()

    def second():
        while not caplog.records:
            pass  # it is said that no spare takes the first one's place
        return jobs["first"].result()

    with WorkerQueue(2, 16, max_spares=0) as queue, caplog.at_level(logging.WARNING, "ringpool"):
        running = queue.submit(second)
        jobs["first"] = queue.submit(first)
        assert isinstance(running.exception(WAIT), DeadlockError)
        assert jobs["first"].result(WAIT) == 7


def test_a_wait_beyond_the_bound_goes_on_while_somebody_works(gate, caplog):
    """
    Who is free next runs what it is for. It is said once that no spare came.
    """
    with WorkerQueue(2, 16, max_spares=0, name="tight") as queue:
        busy = queue.submit(gate)
        gate.wait_until_entered()
        children = []

        def parent():
            children.append(queue.submit(limited(int, "7")))
            return children[0].result()

        with caplog.at_level(logging.WARNING, "ringpool"):
            waiting = queue.submit(parent)
            while not caplog.records:
                pass
            assert not waiting.done()
            gate.open()
            assert waiting.result(WAIT) == 7
            assert busy.result(WAIT) is None
            assert queue.submit(lambda: queue.submit(limited(int, "7")).result()).result(WAIT) == 7
    (record,) = caplog.records
    assert record.getMessage().startswith("tight: a job waits for another, and no spare worker")


def test_a_wait_beyond_the_bound_goes_on_while_a_job_runs_outside(gate):
    """
    One worker waits for a job that its submitter runs for want of room, the other for one that a worker is to run.
    """
    jobs = {}
    runs, waits = threading.Event(), threading.Event()

    def outside():
        jobs["outside"] = current_future()
        assert jobs["queued"].cancel()  # and there is room
        runs.set()
        return gate()

    def first():
        assert runs.wait(WAIT)
        waits.set()
        return jobs["outside"].result()

    def second():
        assert waits.wait(WAIT)
        child = queue.submit(limited(int, "7"))
        jobs["child"] = child
        return child.result()

    with WorkerQueue(2, 1, overflow="caller_runs", max_spares=0) as queue:
        both = [queue.submit(fn) for fn in (first, second)]
        while queue.stats().in_flight < 2:
            pass
        jobs["queued"] = queue.submit(int)
        caller = threading.Thread(target=queue.submit, args=(outside,))
        caller.start()
        while "child" not in jobs:
            pass
        try:
            with pytest.raises(TimeoutError):
                both[1].result(SHORT)
        finally:
            gate.open()
        assert [job.result(WAIT) for job in both] == [None, 7]
        caller.join(WAIT)


def test_a_spare_that_waits_itself_is_made_up_for(dispatch):
    """
    Though its own worker has one already: that one.
    """
    stands = threading.Event()
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:

        def stands_still():
            later = queue.submit_later(WAIT, int)
            stands.set()
            futures.wait([later])

        def parent():
            first = queue.submit(stands_still)
            with pytest.raises(TimeoutError):
                futures.wait([first], SHORT)
                first.result(0)
            assert stands.wait(WAIT)
            while queue.stats().workers > 2:
                pass  # the spare's own one has found nothing
            result = queue.submit(limited(int, "7")).result()
            return result

        job = queue.submit(parent)
        assert job.result(WAIT) == 7
        queue.stop_now()


# ---- items of a batch -----------------------------------------------------------------


@pytest.mark.parametrize("way", ["result", "exception", "wait", "as_completed"])
@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("workers", [1, 2])
def test_all_workers_may_wait_for_items_of_a_batch(dispatch, way, size, workers):
    """
    It is sent when it is full, or in time; and then a spare runs it.
    """

    def doubled(items):
        return [2 * item for item in items]

    def job(n):
        all_run.wait(WAIT)
        item = batcher.submit(n)
        if way == "exception":
            assert item.exception() is None
        elif way == "wait":
            futures.wait([item])
        elif way == "as_completed":
            list(futures.as_completed([item]))
        return item.result()

    all_run = threading.Barrier(workers)
    with WorkerQueue(workers, 16, dispatch=dispatch) as queue, queue.batch(doubled, size, SHORT) as batcher:
        jobs = [queue.submit(job, n) for n in range(workers)]
        assert [job.result(WAIT) for job in jobs] == [2 * n for n in range(workers)]


def test_items_may_be_waited_for_while_the_queue_is_full(until):
    """
    A batch that finds no room is no reason to leave the queue full.
    """
    waits = threading.Event()

    def job():
        item = batcher.submit(7)
        waits.set()
        return item.result()

    with WorkerQueue(1, 2) as queue, queue.batch(list, 10, SHORT) as batcher:
        waiting = queue.submit(job)
        assert waits.wait(WAIT)
        others = [queue.submit(int) for _ in range(5)]
        assert waiting.result(WAIT) == 7
        assert [other.result(WAIT) for other in others] == [0] * 5


def test_items_of_a_batch_that_is_tried_again_may_be_waited_for(dispatch):
    """
    Between two attempts nobody has the batch.
    """
    calls = []

    def flaky(items):
        calls.append(items)
        if len(calls) < 3:
            raise OSError("not yet")
        return items

    with (
        WorkerQueue(1, 16, dispatch=dispatch, retry=Retry(attempts=4, base=SHORT)) as queue,
        queue.batch(flaky, 10, SHORT) as batcher,
    ):
        assert queue.submit(lambda: batcher.submit(7).result()).result(WAIT) == 7


def test_a_race_that_ran_an_attempt_in_place_is_made_up_for_when_the_next_is_due(dispatch):
    """
    What waited in the attempt has ended its wait, and not the race's. The only spare that may come was busy then.
    """
    with WorkerQueue(1, 16, dispatch=dispatch, max_spares=1) as queue:
        goes_on, is_busy, tried = threading.Event(), threading.Event(), threading.Event()

        def occupies():
            is_busy.set()
            assert goes_on.wait(WAIT)

        def flaky():
            if current_job().attempt == 1:
                with contextlib.suppress(TimeoutError):
                    queue.submit(limited(int)).result(SHORT)
                tried.set()
                raise OSError("again")
            return "won"

        def owner():
            busy = queue.submit(limited(occupies))
            while not is_busy.is_set():
                with contextlib.suppress(TimeoutError):
                    busy.result(SHORT)
            again = Retry(base=10 * SHORT, jitter="none")
            return queue.race(Job(flaky, retry=again), Job(flaky, retry=again))

        job = queue.submit(owner)
        assert tried.wait(WAIT)
        goes_on.set()
        assert job.result(WAIT) == "won"


def test_who_waits_may_have_relied_on_workers_that_are_resized_away(dispatch, gate):
    """
    Spares may come instead, where else none may.
    """
    with WorkerQueue(3, 8, dispatch=dispatch, max_spares=0) as queue:
        wait_for_it = threading.Semaphore(0)

        def waits():
            wait_for_it.release()
            return queue.submit(Job(int, key="k", timeout=WAIT)).result()

        holder = queue.submit(Job(gate, key="k"))
        gate.wait_until_entered()
        jobs = [queue.submit(waits) for _ in range(2)]
        assert all(wait_for_it.acquire(timeout=WAIT) for _ in jobs)
        while queue.stats().queued < 2:
            pass
        queue.resize(2)
        gate.open()
        assert [job.result(WAIT) for job in jobs] == [0, 0]
        assert holder.result(WAIT) is None
