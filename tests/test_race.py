"""race() and JobGroup.race(): the first success wins."""

import threading
from concurrent.futures import CancelledError
from functools import partial

import pytest

from ringpool import QueueStopped, WorkerQueue
from ringpool.group import GroupClosed, JobGroup
from ringpool.racing import race

WAIT = 30


class Failure(Exception):
    """What calls of these tests raise."""


def fail(error=None):
    raise error or Failure()


@pytest.fixture
def queue():
    with WorkerQueue(4, 64) as queue:
        yield queue


@pytest.fixture(params=["race", "group.race"])
def run(request, queue):
    """
    Either way to race calls; in the second the losers are waited for afterwards.
    """
    if request.param == "race":
        yield partial(race, queue)
    else:
        with JobGroup(queue) as group:
            yield group.race


def test_the_first_success_is_the_result(run, gate):
    """
    Slower calls are not waited for.
    """
    assert run(gate, partial(int, "7"), gate) == 7
    gate.open()


def test_failures_do_not_count_while_one_may_succeed(run):
    """
    The one that succeeds starts after the others have failed.
    """
    failed = threading.Barrier(3)

    def failing():
        failed.wait(WAIT)
        raise Failure

    assert run(failing, failing, lambda: failed.wait(WAIT) >= 0) is True


def test_when_every_call_failed_all_errors_come_in_the_order_of_the_calls(run):
    """
    Whichever failed first.
    """
    one, two = Failure("one"), Failure("two")
    second_failed = threading.Event()

    def first():
        second_failed.wait(WAIT)
        raise one

    def second():
        second_failed.set()
        raise two

    with pytest.raises(ExceptionGroup, match="all 2 calls of the race failed") as info:
        run(first, second)
    assert list(info.value.exceptions) == [one, two]


@pytest.mark.parametrize("bare", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_comes_out_bare(run, bare):
    """
    If no call succeeded.
    """
    error = bare()
    with pytest.raises(bare) as info:
        run(fail, partial(fail, error))
    assert info.value is error


def test_the_losers_are_cancelled(gate):
    """
    Those that have not started never will.
    """
    with WorkerQueue(1, 64) as queue:
        calls = []
        with JobGroup(queue) as group:
            group.submit(gate)
            gate.wait_until_entered()
            racing = threading.Thread(target=lambda: calls.append(group.race(int, *[lambda: calls.append(1)] * 20)))
            racing.start()
            gate.open()
            racing.join(WAIT)
        assert calls.count(0) == 1
        assert queue.stats().cancelled + calls.count(1) == queue.stats().accepted - 2


def test_calls_not_yet_submitted_when_one_succeeds_are_left_out():
    """
    A full queue must not hold up a result that is there.
    """
    submitted = []

    class Face:
        def submit(self, call):
            submitted.append(call)
            job = queue.submit(call)
            job.exception(WAIT)
            done = threading.Event()
            job.add_done_callback(lambda _: done.set())
            assert done.wait(WAIT)
            return job

    with WorkerQueue(1, 1) as queue:
        assert race(Face(), fail, int, fail, fail) == 0
    assert len(submitted) == 2


def test_a_race_in_a_job_of_the_same_queue_of_one_worker():
    """
    Another worker takes the place of the one that waits.
    """
    with WorkerQueue(1, 64) as queue:
        assert queue.submit(lambda: race(queue, fail, partial(int, "7"), fail)).result(WAIT) == 7
        with pytest.raises(ExceptionGroup):
            queue.submit(race, queue, fail, fail).result(WAIT)


def test_losers_that_run_are_waited_for_when_the_block_is_left(queue, gate):
    """
    And not before.
    """
    with JobGroup(queue) as group:
        assert group.race(gate, int) == 0
        loser = group._progress.jobs[0]
        gate.open()
    assert loser.done()
    assert (list(group.results()), list(group.as_completed())) == ([], [])


def test_a_race_that_is_caught_does_not_fail_its_group(queue):
    """
    The other jobs go on.
    """
    with JobGroup(queue) as group:
        with pytest.raises(ExceptionGroup):
            group.race(fail, fail)
        job = group.submit(int)
    assert job.result() == 0


def test_a_failed_job_of_the_group_ends_the_race(gate):
    """
    Its calls are cancelled with the rest.
    """
    with WorkerQueue(1, 64) as queue, pytest.raises(ExceptionGroup) as info:
        with JobGroup(queue) as group:
            failing = group.submit(lambda: (gate(), fail()))
            opener = threading.Thread(target=lambda: (gate.wait_until_entered(), gate.open()))
            opener.start()
            try:
                group.race(int, int)
            finally:
                opener.join(WAIT)
            group.submit(int).result(WAIT)  # should the race have been faster than the callback
    assert failing.exception() in info.value.exceptions


def test_cancelled_from_outside(gate):
    """
    All cancelled: CancelledError; some: it is among the errors.
    """
    queue = WorkerQueue(1, 64)
    queue.submit(gate)
    gate.wait_until_entered()
    submitted = threading.Semaphore(0)

    class Face:
        def submit(self, call):
            job = queue.submit(call)
            submitted.release()
            return job

    def stop():
        for _ in range(2):
            assert submitted.acquire(timeout=WAIT)
        queue.stop_now()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(CancelledError, match="every call of the race was cancelled"):
        race(Face(), int, int)
    stopper.join(WAIT)
    gate.open()
    queue.stop()
    with WorkerQueue(1, 64) as queue, pytest.raises(ExceptionGroup) as info:
        race(queue, fail, partial(fail, CancelledError()))
    assert [type(error) for error in info.value.exceptions] == [Failure, CancelledError]


def test_no_calls_are_refused(run):
    """
    There is nothing to return.
    """
    with pytest.raises(ValueError, match="calls must be at least one"):
        run()


def test_what_cannot_be_called_is_refused_before_any_call_is_submitted(gate):
    """
    Half a race is none.
    """
    with WorkerQueue(1, 64) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        with pytest.raises(TypeError, match="calls must be callable or Jobs, got 3"):
            race(queue, int, 3)
        gate.open()
    assert queue.stats().accepted == 1


def test_a_stopped_queue_and_a_closed_group_refuse():
    """
    As their submit does.
    """
    with WorkerQueue(1, 64) as queue:
        group = JobGroup(queue)
        with pytest.raises(GroupClosed):
            group.race(int)
    with pytest.raises(QueueStopped):
        race(queue, int)


def test_an_interrupted_race_cancels_its_calls(run_script):
    """
    Ctrl-C in the wait comes out at once.
    """
    result = run_script("""
import os, signal, threading
from ringpool import WorkerQueue
from ringpool.racing import race

queue = WorkerQueue(1, 8)
go_on = threading.Event()

def slow():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    go_on.wait(20)
    raise ValueError

try:
    race(queue, slow, int)
except KeyboardInterrupt:
    print("interrupted", queue.stats().cancelled)
go_on.set()
queue.stop()
""")
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "interrupted 1\n")
