"""Groups in jobs of the same queue, in each other, and interrupted by signals."""

import threading

import pytest

from ringpool import QueueFull, WorkerQueue, progress
from ringpool.group import JobGroup
from ringpool.progress import Progress

WAIT = 30


class Failure(Exception):
    """What jobs of these tests raise."""


def fail():
    raise Failure


def test_a_group_in_a_job_of_the_same_queue_of_one_worker():
    """
    The worker that waits for the group runs its jobs.
    """

    def tree(depth):
        if not depth:
            return 1
        with JobGroup(queue) as group:
            for _ in range(2):
                group.submit(tree, depth - 1)
        return sum(group.results())

    with WorkerQueue(1, 256) as queue:
        assert queue.submit(tree, 5).result(WAIT) == 32


def test_jobs_that_wait_for_each_other_get_the_worker_that_waits():
    """
    Two workers, of which one waits for the group: it is one of the two that the jobs need.
    """

    def parent(by):
        meeting = threading.Barrier(2)
        with JobGroup(queue) as group:
            for _ in range(2):
                group.submit(meeting.wait, WAIT / 2)
            if by == "as_completed":
                assert len(list(group.as_completed())) == 2

    with WorkerQueue(2, 64) as queue:
        for by in ("exit", "as_completed"):
            queue.submit(parent, by).result(WAIT)


def test_the_next_job_gets_a_worker_when_the_first_starts_just_as_the_wait_begins(gate, until, monkeypatch):
    """
    The wait has looked for a job that has not started; when it asks for a worker for that one it has, and needs none.
    """

    def parent():
        meeting = threading.Barrier(2)
        with JobGroup(queue) as group:
            jobs = [group.submit(meeting.wait, WAIT / 2) for _ in range(2)]
            before_wait = progress.before_wait

            def late(*args):
                gate.open()
                until(jobs[0].running)
                return before_wait(*args)

            monkeypatch.setattr(progress, "before_wait", late)
            assert len(list(group.as_completed())) == 2

    with WorkerQueue(2, 64) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(parent).result(WAIT)


@pytest.mark.parametrize("by", ["exit", "as_completed"])
def test_a_job_that_comes_while_a_worker_waits_for_the_group_is_run(by, gate):
    """
    Both workers are taken: one waits for the group, one runs the job that only the new one ends.
    """
    groups = []

    def parent():
        with JobGroup(queue) as group:
            group.submit(gate)
            groups.append(group)
            gate.wait_until_entered()
            entered.set()
            if by == "as_completed":
                assert [job.result() for job in group.as_completed()][0] is None

    entered = threading.Event()
    with WorkerQueue(2, 64) as queue:
        job = queue.submit(parent)
        assert entered.wait(WAIT)
        assert not job.done()
        groups[0].submit(gate.open)
        job.result(WAIT / 2)


def test_what_changed_before_the_bell_was_hung_up_is_not_slept_through():
    """
    Nobody would ring for it any more.
    """
    progress = Progress()
    sleeper = threading.Thread(target=progress.sleep_while, args=(lambda: False,))
    sleeper.start()
    sleeper.join(5)
    overslept = sleeper.is_alive()
    progress.ring()
    sleeper.join(WAIT)
    assert not overslept


def test_nested_blocks():
    """
    An inner failure is an error of the outer body, in a group of its own.
    """
    with WorkerQueue(4, 64) as queue, pytest.raises(ExceptionGroup) as info, JobGroup(queue) as outer:
        job = outer.submit(int)
        with JobGroup(queue) as inner:
            failing = inner.submit(fail)
    assert info.value.exceptions[0].exceptions == (failing.exception(),)
    assert job.done()


def test_a_full_queue_in_a_job_is_an_error_and_not_a_deadlock(gate):
    """
    The engine refuses the wait of its last worker; the group hands the error on.
    """

    def parent():
        with JobGroup(queue) as group:
            for _ in range(3):
                group.submit(int)

    with WorkerQueue(1, 2) as queue, pytest.raises(ExceptionGroup) as info:
        queue.submit(parent).result(WAIT)
    assert isinstance(info.value.exceptions[0], QueueFull)


# ---- signals ----------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, threading
from ringpool import WorkerQueue
from ringpool.group import JobGroup
from ringpool.progress import Progress

queue = WorkerQueue(1, 8)
entered, go_on = threading.Event(), threading.Event()
try:
    with JobGroup(queue) as group:
        group.submit(lambda: (entered.set(), go_on.wait(20)))
        queued = group.submit(int)
        entered.wait(20)
        {when_cancelled}
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
except KeyboardInterrupt:
    print("interrupted", queued.cancelled(), group)
go_on.set()
queue.stop()
"""


def test_ctrl_c_while_leaving_cancels_the_rest_and_waits_for_what_runs(run_script):
    """
    The job in the way ends because the queued one is cancelled.
    """
    result = run_script(INTERRUPTED.format(when_cancelled="queued.add_done_callback(lambda _: go_on.set())"))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "interrupted True <JobGroup left, 2 of 2 jobs finished>\n"


def test_ctrl_c_while_leaving_a_cancelled_group_leaves_at_once(run_script):
    """
    There is nothing left to cancel, and the job might never end.
    """
    result = run_script(INTERRUPTED.format(when_cancelled="group.cancel()"))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "interrupted True <JobGroup left, 1 of 2 jobs finished>\n"
