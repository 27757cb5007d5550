"""Waits in jobs for any of several, for all of several, for an item of a batch: told where they could never end."""

import threading

import pytest

from ringpool import DeadlockError, Job, Lane, ThreadPoolExecutor, WorkerQueue, current_job
from ringpool._core.waiting import after_wait, before_wait
from ringpool.progress import Progress, Unsaid

WAIT = 30


def told(future):
    """Whether its job has ended in DeadlockError, be it in a group."""
    error = future.exception(WAIT)
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return isinstance(error, DeadlockError)


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


# ---- all of them ------------------------------------------------------------------


def test_a_group_that_ends_by_a_job_that_waits_for_its_owner_is_told(dispatch):
    """
    Whoever of the two comes last.
    """
    for _ in range(50):
        with WorkerQueue(2, 8, dispatch=dispatch) as queue:
            jobs = {}
            all_know = threading.Barrier(3)

            def child(jobs=jobs, all_know=all_know):
                all_know.wait(WAIT)
                return jobs["owner"].result()

            def owner(queue=queue, jobs=jobs, all_know=all_know):
                with queue.group() as group:
                    jobs["child"] = group.submit(Job(child, name="child"))
                    all_know.wait(WAIT)

            jobs["owner"] = queue.submit(Job(owner, name="owner"))
            all_know.wait(WAIT)
            assert told(jobs["owner"])
            error = jobs["child"].exception(WAIT)
            assert error is not None


def test_a_group_is_told_of_its_last_job_too(dispatch, gate):
    """
    One that the others end before: the circle is found when these have.
    """
    with WorkerQueue(3, 8, dispatch=dispatch, report_unread=False) as queue:
        jobs = {}
        listed = threading.Event()
        runs = threading.Event()

        def child():
            runs.set()
            assert listed.wait(WAIT)
            return jobs["owner"].result()

        def owner():
            with queue.group() as group:
                group.submit(gate)
                group.submit(child)
                assert runs.wait(WAIT)

        jobs["owner"] = queue.submit(owner)
        gate.wait_until_entered()
        listed.set()
        gate.open()
        assert told(jobs["owner"])


# ---- any of them ------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("way", ["race", "as_completed", "map"])
def test_who_waits_for_any_of_some_that_all_wait_for_him_is_told(dispatch, way, n):
    """
    Whichever of them comes last. The others then hear of the end of who was told.
    """
    jobs = {}

    def child(i, all_run):
        all_run.wait(WAIT)
        return jobs["owner"].result()

    def owner(queue, all_run):
        calls = [Job(child, i, all_run, name=f"child {i}") for i in range(n)]
        if way == "race":
            return queue.race(*calls)
        if way == "map":
            return list(queue.map(child, range(n), [all_run] * n, ordered=False))
        with queue.group() as group:
            for call in calls:
                group.submit(call)
            return [job.exception() for job in group.as_completed()]

    for _ in range(20):
        listed = threading.Event()
        all_run = threading.Barrier(n, lambda listed=listed: listed.wait(WAIT))
        with WorkerQueue(n + 1, 8, dispatch=dispatch, report_unread=False) as queue:
            jobs["owner"] = queue.submit(Job(owner, queue, all_run, name="owner"))
            listed.set()
            assert told(jobs["owner"]), jobs["owner"].exception()


def test_a_race_that_one_of_its_jobs_may_win_is_left_alone(dispatch, gate):
    """
    The others wait for the very race, and get its result.
    """
    with WorkerQueue(4, 8, dispatch=dispatch) as queue:
        jobs = {}
        listed = threading.Event()
        answers = []

        def child():
            assert listed.wait(WAIT)
            answers.append(jobs["owner"].result())

        jobs["owner"] = queue.submit(lambda: queue.race(child, lambda: gate("won"), child))
        listed.set()
        gate.wait_until_entered()
        while queue.stats().in_flight < 4:
            pass
        gate.open()
        assert jobs["owner"].result(WAIT) == "won"
        assert queue.wait(WAIT)
        assert answers == ["won", "won"]


def test_two_races_whose_jobs_wait_for_each_other_are_told(dispatch):
    """
    Nobody waits for one job alone, and yet none of it can end.
    """
    for _ in range(20):
        with WorkerQueue(6, 16, dispatch=dispatch, report_unread=False) as queue:
            owners = {}
            all_run = threading.Barrier(5)

            def child(other, all_run=all_run, owners=owners):
                all_run.wait(WAIT)
                return owners[other].result()

            def owner(other, queue=queue, child=child):
                return queue.race(*[Job(child, other)] * 2)

            owners.update(a=queue.submit(owner, "b"), b=queue.submit(owner, "a"))
            all_run.wait(WAIT)
            assert any([told(future) for future in owners.values()])


def test_a_race_in_a_job_hears_of_its_winner_while_a_loser_runs(dispatch, gate):
    """
    The worker that waits does not run a call in place: that one would go on until it is asked to end.
    """
    with WorkerQueue(2, 8, dispatch=dispatch) as queue:
        busy = queue.submit(gate)
        gate.wait_until_entered()

        def slow():
            gate.open()  # now the other worker is free for the fast one
            current_job().sleep(WAIT)

        def owner():
            return queue.race(slow, lambda: "fast")

        assert queue.submit(owner).result(WAIT / 2) == "fast"
        assert busy.result(WAIT) is None


@pytest.mark.parametrize("way", ["race", "as_completed"])
def test_where_nobody_else_can_the_worker_that_waits_runs_one_of_them(dispatch, way):
    """
    No spare worker may come, or the lane has no place but its own.
    """

    def owner():
        if way == "race":
            return queue.race(int, int)
        with queue.group() as group:
            for _ in range(3):
                group.submit(int)
            return sum(job.result() for job in group.as_completed())

    with WorkerQueue(1, 8, dispatch=dispatch, max_spares=0) as queue:
        assert queue.submit(owner).result(WAIT) == 0
    with WorkerQueue(2, 8, dispatch=dispatch, lanes={"bulk": Lane(max_workers=1), "web": Lane()}) as queue:
        assert queue.submit(Job(owner, lane="bulk")).result(WAIT) == 0


# ---- items of a batch -----------------------------------------------------------------


def test_who_waits_for_an_item_of_a_batch_that_waits_for_him_is_told(dispatch):
    """
    The call of the function ends all of its items, and stands still.
    """
    for _ in range(20):
        with WorkerQueue(2, 8, dispatch=dispatch) as queue:
            jobs = {}
            listed = threading.Event()

            def insert(items, jobs=jobs, listed=listed):
                assert listed.wait(WAIT)
                return [jobs["owner"].result()] * len(items)

            with queue.batch(insert, max_size=2, max_wait=60) as batcher:

                def owner(batcher=batcher):
                    batcher.submit("other")
                    return batcher.submit("mine").result()

                jobs["owner"] = queue.submit(Job(owner, name="owner"))
                listed.set()
                assert told(jobs["owner"])
                assert "owner" in str(jobs["owner"].exception())


def test_an_item_of_a_batch_whose_lane_is_full_of_who_waits_for_it_is_told(dispatch):
    """
    The call goes into the first lane.
    """
    lanes = {"bulk": Lane(max_workers=1), "web": Lane()}
    with WorkerQueue(2, 8, dispatch=dispatch, lanes=lanes) as queue, queue.batch(list, 1, 60) as batcher:

        def owner():
            return batcher.submit("item").result()

        assert queue.submit(Job(owner, lane="web")).result(WAIT) == "item"
        error = queue.submit(Job(owner, lane="bulk", name="owner")).exception(WAIT)
        assert isinstance(error, DeadlockError)
        assert "an item of a batch waits for a place in the first lane, which owner holds" in str(error)


def test_an_item_whose_batch_has_a_time_limit_is_waited_for(dispatch):
    """
    Time ends the call, and so the wait.
    """
    with WorkerQueue(2, 8, dispatch=dispatch, timeout=0.05) as queue:
        jobs = {}
        listed = threading.Event()

        def insert(items):
            assert listed.wait(WAIT)
            jobs["owner"].exception()
            return items

        with queue.batch(insert, max_size=1, max_wait=60) as batcher:

            def owner():
                return batcher.submit("mine").exception()

            jobs["owner"] = queue.submit(Job(owner, timeout=float("inf")))
            listed.set()
            assert isinstance(jobs["owner"].result(WAIT), TimeoutError)


# ---- places in lanes ------------------------------------------------------------------


@pytest.mark.parametrize("places", [1, 2])
def test_lanes_that_are_full_of_jobs_which_wait_for_each_others_places_are_told(dispatch, places):
    """
    The last of them; then there is a place.
    """
    lanes = {"a": Lane(max_workers=places), "b": Lane(max_workers=places), "c": Lane()}
    all_run = threading.Barrier(2 * places)

    def job(other):
        all_run.wait(WAIT)
        inner = queue.submit(Job(str, other, lane=other, name=f"next of {other}"))
        all_run.wait(WAIT)
        try:
            return inner.result()
        except DeadlockError as error:
            return error

    with WorkerQueue(2 * places, 16, dispatch=dispatch, lanes=lanes) as queue:
        ends = [queue.submit(Job(job, pair[1], lane=pair[0])) for pair in ["ab", "ba"] * places]
        ends = [end.result(WAIT) for end in ends]
    (error,) = (end for end in ends if isinstance(end, DeadlockError))
    assert "next of a waits for a place in the lane 'a', which " in str(error)
    assert "next of b waits for a place in the lane 'b', which " in str(error)


def test_a_lane_that_is_full_of_a_job_which_waits_for_another_that_wants_its_place_is_told(dispatch):
    """
    The one that waits for a place is not the one that has it.
    """
    lanes = {"bulk": Lane(max_workers=1), "web": Lane()}
    with WorkerQueue(2, 8, dispatch=dispatch, lanes=lanes) as queue:

        def other():
            return queue.submit(Job(int, lane="bulk")).result()

        def owner():
            running = queue.submit(Job(other, lane="web"))
            while not running.running():
                pass
            return running.result()

        assert told(queue.submit(Job(owner, lane="bulk")))


def test_a_lane_with_a_place_left_is_waited_for(dispatch, gate):
    """
    One of those that fill it goes on.
    """
    lanes = {"bulk": Lane(max_workers=2), "web": Lane()}
    with WorkerQueue(3, 8, dispatch=dispatch, lanes=lanes) as queue:
        running = queue.submit(Job(gate, lane="bulk"))
        gate.wait_until_entered()
        waiting = queue.submit(Job(lambda: queue.submit(Job(int, lane="bulk")).result(), lane="bulk"))
        while queue.stats().lanes["bulk"].running < 2:
            pass
        gate.open()
        assert waiting.result(WAIT) == 0
        assert running.result(WAIT) is None


@pytest.mark.parametrize("first", ["owner", "follows"])
def test_one_that_has_ended_and_not_said_so_is_no_reason_to_refuse(first):
    """
    Of the two that are waited for, one waits for who waits; the other has ended, and he is about to hear of it.
    """
    with WorkerQueue(2, 8, report_unread=False) as queue:
        ended = queue.submit(int)
        assert ended.result(WAIT) == 0
        jobs, turns = {}, {"owner": threading.Event(), "follows": threading.Event()}
        waits_for = {"owner": lambda: (jobs["follows"], [ended, jobs["follows"]]), "follows": lambda: (jobs["owner"], None)}
        all_run, all_wait = threading.Barrier(3), threading.Barrier(2)

        def job(name, other):
            all_run.wait(WAIT)
            assert turns[name].wait(WAIT)
            entered = before_wait(waits_for[name]()[0], True, waits_for[name]()[1])
            turns[other].set()
            all_wait.wait(WAIT)
            if entered:
                after_wait()
            return entered

        jobs["owner"] = queue.submit(job, "owner", "follows")
        jobs["follows"] = queue.submit(job, "follows", "owner")
        all_run.wait(WAIT)
        turns[first].set()
        assert [jobs[name].result(WAIT) for name in turns] == [True, True]


def test_one_that_has_ended_is_waited_for_until_it_has_said_so(gate):
    progress = Progress(lambda job: gate() if job is jobs[0] else None)
    with ThreadPoolExecutor(3) as pool:
        begin = threading.Event()
        jobs = [pool.submit(begin.wait, WAIT) for _ in range(2)]
        for job in jobs:
            progress.add(job)
        unsaid = Unsaid(progress.jobs, progress.finished)
        assert unsaid() == jobs
        begin.set()
        gate.wait_until_entered()
        while progress.finished != jobs[1:]:
            pass
        assert jobs[0].done() and unsaid() == jobs[:1]
        jobs.append(pool.submit(int))
        progress.add(jobs[2])
        gate.open()
        while len(progress.finished) < 3:
            pass
        assert unsaid() == []
