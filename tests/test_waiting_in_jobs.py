"""A job that waits for another of its queue, which is not ready yet or has no place: made up for, or refused."""

import sys
import threading
from concurrent import futures

import pytest

from ringpool import DeadlockError, Job, Lane, Retry, WorkerQueue, current_job

WAIT = 30
SHORT = 0.02


def own_wait(future):
    return future.result()


def standard_wait(future):
    futures.wait([future])
    return future.result(0)


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


@pytest.fixture(params=[own_wait, standard_wait])
def wait(request):
    return request.param


@pytest.mark.parametrize("workers", [1, 2])
def test_all_workers_may_wait_for_jobs_that_are_not_due(dispatch, wait, workers):
    """
    When those become due nobody else is there to run them: the queue hires for the time of the wait.
    """
    with WorkerQueue(workers, 16, dispatch=dispatch) as queue:

        def parent(n):
            return wait(queue.submit_later(SHORT, int, n))

        jobs = [queue.submit(parent, str(n)) for n in range(workers)]
        assert [job.result(WAIT) for job in jobs] == list(range(workers))


def test_what_is_waited_for_may_itself_wait_for_what_is_not_due(dispatch, wait):
    """
    Several deep on one worker: each wait is made up for, not only the first.
    """
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:

        def deep(n):
            return 1 + wait(queue.submit_later(SHORT, deep, n - 1)) if n else 0

        assert queue.submit(deep, 4).result(WAIT) == 4
        assert queue.submit(deep, 4).result(WAIT) == 4
    assert queue.stats().workers == 0


def test_a_job_may_wait_for_one_that_is_to_be_tried_again(dispatch, wait):
    """
    The back-off leaves nobody behind who would make the next attempt.
    """

    def flaky():
        if current_job().attempt < 3:
            raise OSError("not yet")
        return "done"

    with WorkerQueue(1, 16, dispatch=dispatch) as queue:

        def parent():
            return wait(queue.submit(Job(flaky, retry=Retry(attempts=5, base=SHORT))))

        assert queue.submit(parent).result(WAIT) == "done"


def test_a_job_may_wait_for_one_that_a_rate_limit_holds_back(dispatch, wait):
    """
    The end of the hold is nobody's submit.
    """
    answers = iter([None, SHORT, None])
    with WorkerQueue(1, 16, dispatch=dispatch, rate_limit=lambda: next(answers)) as queue:
        assert queue.submit(lambda: wait(queue.submit(int, "7"))).result(WAIT) == 7


def test_no_more_than_max_workers_are_at_work_when_something_becomes_due(dispatch, gate):
    """
    A worker that is busy is not made up for, only one that waits.
    """
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:
        busy = queue.submit(gate)
        gate.wait_until_entered()
        due = queue.submit_later(SHORT, threading.current_thread)
        with pytest.raises(TimeoutError):
            due.result(10 * SHORT)
        assert queue.stats().workers == 1
        gate.open()
        busy.result(WAIT)
        assert due.result(WAIT).name == f"{queue.name}_0"


def test_jobs_that_fill_their_lane_and_wait_for_its_places_are_refused(dispatch):
    """
    The last of them is told; the others then get a place.
    """
    both = threading.Barrier(2)
    lanes = {"bulk": Lane(max_workers=2), "web": Lane()}
    with WorkerQueue(4, 16, dispatch=dispatch, lanes=lanes) as queue:

        def parent():
            both.wait(WAIT)  # none of the inner ones before both places are taken
            inner = queue.submit(Job(int, "7", lane="bulk"))
            both.wait(WAIT)
            try:
                return inner.result()
            except DeadlockError as error:
                return str(error)

        ends = [queue.submit(Job(parent, lane="bulk")) for _ in range(2)]
        answers = sorted((end.result(WAIT) for end in ends), key=str)
    assert answers[0] == 7
    assert "place in the lane 'bulk'" in answers[1]


def test_a_wait_that_is_about_to_end_holds_no_place(dispatch):
    """
    What it was for has run, and by the worker that ran it a second wait begins before the first one has woken up.
    """
    seconds = []
    lanes = {"bulk": Lane(max_workers=2), "web": Lane()}
    interval = sys.getswitchinterval()
    with WorkerQueue(3, 64, dispatch=dispatch, lanes=lanes) as queue:

        def second():
            return queue.submit(Job(int, "7", lane="bulk")).result()

        def child():
            seconds.append(queue.submit(Job(second, lane="bulk")))  # next in the child's place

        def parent():
            queue.submit(Job(child, lane="bulk")).result()

        sys.setswitchinterval(1000)  # with a GIL, whoever has it keeps it until it sleeps
        try:
            for _ in range(50):
                queue.submit(Job(parent, lane="bulk")).result(WAIT)
                assert seconds.pop().result(WAIT) == 7
        finally:
            sys.setswitchinterval(interval)


@pytest.mark.parametrize("delay", [0.0, SHORT])
def test_an_idle_worker_that_is_set_aside_for_another_lane_is_no_help(dispatch, wait, delay):
    """
    While its submitter waits, one that is hired runs the job: at once, or when it is due.
    """
    lanes = {"bulk": Lane(), "web": Lane(reserve=1)}
    with WorkerQueue(2, 8, dispatch=dispatch, lanes=lanes) as queue:
        both = threading.Barrier(2)
        for job in [queue.submit(Job(both.wait, lane="web")) for _ in range(2)]:
            job.result(WAIT)  # now both workers are there

        def parent():
            inner = queue.submit(Job(int, "7", lane="bulk", delay=delay))
            while not queue.stats().idle:
                pass  # the other one has looked at it in vain
            return wait(inner)

        assert queue.submit(Job(parent, lane="bulk")).result(WAIT) == 7


def test_an_idle_worker_that_is_woken_for_another_lane_is_no_help(dispatch, wait):
    """
    Nor once it has run what it was woken for: who was relied on when the wait began sees to it before he sleeps.
    """
    lanes = {"bulk": Lane(), "web": Lane(reserve=2)}
    interval = sys.getswitchinterval()
    with WorkerQueue(3, 8, dispatch=dispatch, lanes=lanes) as queue:
        all_of_them = threading.Barrier(3)
        for job in [queue.submit(Job(all_of_them.wait, lane="web")) for _ in range(3)]:
            job.result(WAIT)  # now all workers are there

        def parent():
            while queue.stats().idle < 2:
                pass
            sys.setswitchinterval(10)  # one is woken and does not come to it yet, the other one stays idle
            queue.submit(Job(int, lane="web"))
            inner = queue.submit(Job(int, "7", lane="bulk"))
            return wait(inner)

        try:
            assert queue.submit(Job(parent, lane="bulk")).result(WAIT) == 7
        finally:
            sys.setswitchinterval(interval)


@pytest.mark.parametrize("way", ["group", "race"])
def test_a_group_or_race_in_a_job_of_the_same_key_is_refused(dispatch, way):
    """
    Their wait is not result(), and could end no more than that.
    """
    with WorkerQueue(2, 8, dispatch=dispatch) as queue:

        def group():
            with queue.group() as jobs:
                jobs.submit(Job(int, key="k"))

        def race():
            queue.race(Job(int, key="k"))

        error = queue.submit(Job({"group": group, "race": race}[way], key="k")).exception(WAIT)
    if isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, DeadlockError)


def test_a_race_that_one_of_its_jobs_can_win_is_not_refused(dispatch, gate):
    """
    Only where none of them could ever be done.
    """
    with WorkerQueue(2, 8, dispatch=dispatch) as queue:
        running = queue.submit(gate)
        gate.wait_until_entered()

        def race(*calls):
            return queue.race(*calls)

        both = queue.submit(Job(race, Job(int, key="k"), Job(str, key="k"), key="k"))
        assert isinstance(both.exception(WAIT), DeadlockError)
        free = queue.submit(Job(race, Job(int, key="k"), Job(int, "7", delay=SHORT), key="k"))
        assert free.result(WAIT) == 7
        gate.open()
        assert running.result(WAIT) is None


def test_a_wait_with_a_limit_is_not_refused():
    """
    It ends by itself.
    """
    with WorkerQueue(2, 16, lanes={"bulk": Lane(max_workers=1), "web": Lane()}) as queue:

        def parent():
            with pytest.raises(TimeoutError):
                queue.submit(Job(int, "7", lane="bulk")).result(SHORT)
            return "on"

        assert queue.submit(Job(parent, lane="bulk")).result(WAIT) == "on"


# ---- jobs that run, and come again --------------------------------------------------


def test_a_group_may_wait_for_a_job_that_it_has_seen_run_and_that_is_tried_again(dispatch):
    """
    The worker that waits looks anew when another job has come; the one that runs then fails, and its worker leaves.
    """
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:
        groups = []

        def flaky():
            if current_job().attempt == 1:
                other = groups[0].submit(int)
                while not other.done():
                    pass  # by then who waits has seen this one run
                raise OSError("not yet")
            return "done"

        def parent():
            with queue.group() as group:
                groups.append(group)
                group.submit(Job(flaky, retry=Retry(base=SHORT), timeout=WAIT))  # by another worker
            return list(group.results())

        assert queue.submit(parent).result(WAIT) == ["done", 0]


def limited_wait(future):
    return future.result(WAIT)


@pytest.mark.parametrize("wait", [own_wait, limited_wait, standard_wait])
def test_a_job_may_wait_for_one_that_runs_and_is_tried_again(dispatch, wait):
    """
    A spare worker has run its first attempt, and has left by the next.
    """
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:
        go = threading.Event()

        def flaky():
            if current_job().attempt == 1:
                assert go.wait(WAIT)
                raise OSError("not yet")
            return "done"

        def parent():
            child = queue.submit(Job(flaky, retry=Retry(base=SHORT)))
            while not child.running():
                with pytest.raises(TimeoutError):
                    child.result(SHORT)
            threading.Timer(SHORT, go.set).start()  # while it is waited for
            return wait(child)

        assert queue.submit(parent).result(WAIT) == "done"


def test_who_waits_for_a_job_that_runs_is_not_at_work(dispatch, gate):
    """
    What becomes due meanwhile finds a worker, as if it were idle.
    """
    with WorkerQueue(2, 16, dispatch=dispatch) as queue:

        def parent():
            running = queue.submit(gate)
            gate.wait_until_entered()
            queue.submit_later(SHORT, gate.open)
            return running.result()

        assert queue.submit(parent).result(WAIT) is None


@pytest.mark.parametrize("ordered", [True, False])
def test_who_waits_for_an_item_of_a_map_is_not_at_work(dispatch, gate, ordered):
    """
    The other worker runs the item, and what ends it becomes due.
    """
    with WorkerQueue(2, 16, dispatch=dispatch) as queue:

        def parent():
            results = queue.map(gate, [7], ordered=ordered)
            gate.wait_until_entered()
            queue.submit_later(SHORT, gate.open)
            return list(results)

        assert queue.submit(parent).result(WAIT) == [7]


def test_two_that_become_due_at_once_find_a_worker_each(dispatch):
    """
    One worker looks for work, the other's job waits for just these two, of which the first ends by the second.
    """
    with WorkerQueue(2, 8, dispatch=dispatch) as queue:

        def parent(second_runs):
            first = queue.submit_later(SHORT, second_runs.wait, WAIT)
            second = queue.submit_later(SHORT, second_runs.set)
            return futures.wait([first, second]) and first.result()

        for _ in range(40):
            assert queue.submit(parent, threading.Event()).result(WAIT)


def test_of_more_jobs_than_idle_workers_the_last_finds_a_spare(dispatch):
    """
    Whoever is idle is woken by one of those before it.
    """
    for _ in range(40):
        with WorkerQueue(3, 16, dispatch=dispatch) as queue:
            list(queue.map(int, range(9)))

            def parent(queue=queue):
                last_runs = threading.Event()
                jobs = [queue.submit(Job(last_runs.wait, WAIT, timeout=2 * WAIT)) for _ in range(2)]
                queue.submit(last_runs.set)
                return jobs[0].result()

            assert queue.submit(parent).result(WAIT)


def test_who_is_resized_away_leaves_nothing_behind(dispatch):
    """
    What has just become due, and who waits for it relied on the one who left.
    """
    for spin in range(300):
        with WorkerQueue(2, 8, dispatch=dispatch) as queue:
            waits = threading.Event()

            def parent(queue=queue, waits=waits):
                job = queue.submit_later(0.0005, int)
                waits.set()
                return job.result()

            job = queue.submit(parent)
            assert waits.wait(WAIT)
            for _ in range(20 * spin):
                pass
            queue.resize(1)
            assert job.result(WAIT) == 0


# ---- in callbacks -----------------------------------------------------------------------


@pytest.mark.parametrize("planned", [False, True])
@pytest.mark.parametrize("way", ["later", "group", "as_completed", "race", "map"])
def test_a_callback_may_wait_as_a_job_may(dispatch, way, planned, gate):
    """
    It runs on a worker, which is none while it waits.
    """
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:
        answer = futures.Future()

        def calls_back(_):
            if way == "later":
                answer.set_result([queue.submit_later(SHORT, str, "done").result()])
            elif way == "race":
                answer.set_result([queue.race(lambda: "done", lambda: "done")])
            elif way == "map":
                answer.set_result(list(queue.map(str, ["done"], ordered=False)))
            else:
                with queue.group() as group:
                    jobs = [group.submit(str, "done"), group.submit(Job(str, "done", delay=SHORT))]
                    if way == "as_completed":
                        jobs = list(group.as_completed())
                answer.set_result([job.result() for job in jobs])

        first = queue.submit(Job(gate, priority=1) if planned else gate)
        first.add_done_callback(calls_back)
        gate.open()
        assert set(answer.result(WAIT)) == {"done"}


def len_of_each(items):
    return [len(item) for item in items]


@pytest.mark.parametrize("way", ["job", "item"])
def test_where_one_worker_more_is_no_help_two_are_hired(dispatch, way, gate):
    """
    One is set aside, and jobs that wait are on all of those that there may be.
    """
    with WorkerQueue(3, 16, dispatch=dispatch, lanes={"b": Lane(), "a": Lane(reserve=1)}) as queue:
        batcher = queue.batch(len_of_each, max_size=1, max_wait=WAIT)

        def inner():
            if way == "item":
                return batcher.submit("item").result()
            return queue.submit(Job(len, "item", timeout=WAIT)).result()

        other = queue.submit(gate)
        gate.wait_until_entered()
        for _ in range(20):
            assert queue.submit(lambda: queue.submit(Job(inner, timeout=WAIT)).result()).result(WAIT) == 4
        gate.open()
        assert other.result(WAIT) is None
