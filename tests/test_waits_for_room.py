"""Workers that wait for room in their own queue, while others wait for jobs: a spare makes room, or the last is told."""

import threading
from concurrent import futures

import pytest

from ringpool import DeadlockError, QueueFull, WorkerQueue

WAIT = 30


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


@pytest.mark.parametrize("max_spares", [0, 1, None])
def test_room_is_made_while_others_wait_for_who_waits_for_it(dispatch, max_spares, gate):
    """
    By a spare; where none may come, the last to wait is refused.
    """
    settings = {} if max_spares is None else {"max_spares": max_spares}
    with WorkerQueue(2, 1, dispatch=dispatch, report_unread=False, **settings) as queue:

        def fills():
            gate()
            return [queue.submit(int) for _ in range(5)]

        first = queue.submit(fills)
        gate.wait_until_entered()
        second = queue.submit(first.result)
        while queue.stats().in_flight < 2:
            pass
        gate.open()
        assert isinstance(first.exception(WAIT), QueueFull if max_spares == 0 else type(None))
        assert second.exception(WAIT) is first.exception()


@pytest.mark.parametrize("max_spares", [0, None])
def test_who_waits_last_for_one_that_waits_for_room_is_no_worker_either(dispatch, max_spares):
    """
    As above, the other way round: it is told, since the other was there first.
    """
    settings = {} if max_spares is None else {"max_spares": max_spares}
    with WorkerQueue(2, 1, dispatch=dispatch, report_unread=False, **settings) as queue:
        listed = threading.Event()
        jobs = {}

        def fills():
            listed.set()
            return len([queue.submit(int) for _ in range(5)])

        def follows():
            assert listed.wait(WAIT)
            jobs["fills"] = queue.submit(fills)
            while not queue.stats().blocked:
                pass
            return jobs["fills"].result()

        follows = queue.submit(follows)
        listed.set()
        error = follows.exception(WAIT)
        assert isinstance(error, DeadlockError if max_spares == 0 else type(None))
        assert jobs["fills"].result(WAIT) == 5


def test_the_last_that_wait_for_room_are_told_when_the_others_are_resized_away(dispatch, gate):
    """
    They slept while somebody was left who could have made any.
    """
    with WorkerQueue(3, 1, dispatch=dispatch, report_unread=False) as queue:
        last = queue.submit(gate)
        gate.wait_until_entered()
        both_run = threading.Barrier(2)

        def fills():
            both_run.wait(WAIT)
            return [queue.submit(int) for _ in range(3)]

        ends = [queue.submit(fills) for _ in range(2)]
        while queue.stats().in_flight < 3 or queue.stats().blocked < 2:
            pass
        queue.resize(2)
        gate.open()
        assert last.result(WAIT) is None
        errors = [job.exception(WAIT) for job in ends]
        assert any(isinstance(error, QueueFull) for error in errors)


@pytest.mark.parametrize("how", [futures.wait, lambda jobs: list(futures.as_completed(jobs))])
def test_who_waits_the_standard_librarys_way_for_a_job_that_runs_is_made_up_for(dispatch, how, gate):
    """
    That one fills the queue, and nobody else is left to make room.
    """
    with WorkerQueue(2, 1, dispatch=dispatch) as queue:

        def fills():
            gate()
            return len([queue.submit(int) for _ in range(5)])

        first = queue.submit(fills)
        gate.wait_until_entered()
        second = queue.submit(how, [first])
        while queue.stats().in_flight < 2:
            pass
        gate.open()
        assert first.result(WAIT) == 5
        assert second.exception(WAIT) is None


def test_a_spare_makes_room_though_more_are_at_work_than_there_are_to_be(dispatch, gate):
    """
    All but one of them wait for room, and the one for these.
    """
    with WorkerQueue(3, 1, dispatch=dispatch) as queue:
        fills = []
        both_run = threading.Barrier(2)

        def fill():
            both_run.wait(WAIT)
            return len([queue.submit(int) for _ in range(3)])

        def wait():
            gate()
            return fills[0].result()

        last = queue.submit(wait)
        gate.wait_until_entered()
        fills += [queue.submit(fill) for _ in range(2)]
        while queue.stats().in_flight < 3 or queue.stats().blocked < 2:
            pass
        queue.resize(2)
        gate.open()
        assert last.result(WAIT) == 3
        assert fills[1].result(WAIT) == 3
