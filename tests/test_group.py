"""JobGroup: what is submitted in a block ends with it, and fails together."""

import threading
from concurrent.futures import CancelledError

import pytest

from ringpool import Future, WorkerQueue
from ringpool.group import GroupClosed, JobGroup

WAIT = 30


class Failure(Exception):
    """What jobs of these tests raise."""


def fail(error=None):
    raise error or Failure()


@pytest.fixture
def queue():
    with WorkerQueue(4, 1024) as queue:
        yield queue


def errors_of(info):
    return list(info.value.exceptions)


# ---- all goes well ------------------------------------------------------------------


def test_leaving_the_block_waits_for_every_job(queue, gate):
    """
    Also for one that is let go only by the end of the body.
    """
    with JobGroup(queue) as group:
        jobs = [group.submit(gate, i) for i in range(8)]
        gate.wait_until_entered()
        assert not any(job.done() for job in jobs)
        gate.open()
    assert all(job.done() for job in jobs)
    assert list(group.results()) == list(range(8))


def test_leaving_the_block_waits_for_a_job_that_ends_later(queue, gate):
    """
    The block is left by another thread: it must still be in there while the job runs.
    """
    left = threading.Event()

    def block():
        with JobGroup(queue) as group:
            group.submit(gate)
        left.set()

    thread = threading.Thread(target=block)
    thread.start()
    gate.wait_until_entered()
    soon = left.wait(0.1)
    gate.open()
    thread.join(WAIT)
    assert (soon, left.is_set()) == (False, True)


def test_results_come_in_the_order_of_submission_and_futures_as_they_finish(queue):
    """
    The first job waits for the second.
    """
    second_done = threading.Event()
    with JobGroup(queue) as group:
        first = group.submit(second_done.wait, WAIT)
        second = group.submit(int, "2")
        completed = group.as_completed()
        assert next(completed) is second
        second_done.set()
        assert list(completed) == [first]
    assert list(group.results()) == [True, 2]
    assert list(group.as_completed()) == [second, first]


def test_keywords_all_belong_to_the_job(queue):
    """
    None of the group's own names can collide with them.
    """
    with JobGroup(queue) as group:
        job = group.submit(dict, fn=1, self=2, enlist=3, queue=4)
    assert job.result() == {"fn": 1, "self": 2, "enlist": 3, "queue": 4}


def test_jobs_of_the_group_may_submit_into_it(queue):
    """
    A job that submits is not finished, so the group cannot be closed under it.
    """
    seen = []

    def spread(depth):
        seen.append(depth)
        for _ in range(2 if depth else 0):
            group.submit(spread, depth - 1)

    with JobGroup(queue) as group:
        group.submit(spread, 6)
        completed = sum(1 for _ in group.as_completed())
    assert (len(seen), completed) == (127, 127)


def test_many_threads_may_submit(queue, run_in_threads):
    """
    Every job is run, and no result lost.
    """
    with JobGroup(queue) as group:
        run_in_threads(4, lambda i: [group.submit(int, i) for _ in range(500)])
    assert sum(group.results()) == 500 * (0 + 1 + 2 + 3)


def test_a_submission_that_waits_for_room_is_waited_for(gate):
    """
    It was let in before the body ended: it comes back with a future, and its job is run in the block.
    """
    queue = WorkerQueue(1, 1)
    queue.submit(gate)
    gate.wait_until_entered()
    queue.submit(int)
    futures, let_in = [], threading.Event()

    class Face:
        def submit(self, fn, *args):
            let_in.set()
            return queue.submit(fn, *args)

    group = JobGroup(Face()).__enter__()
    submitter = threading.Thread(target=lambda: futures.append(group.submit(int, "7")))
    submitter.start()
    assert let_in.wait(WAIT)
    opener = threading.Timer(0.1, gate.open)
    opener.start()
    group.__exit__(None, None, None)
    assert group._jobs[0].done()
    submitter.join(WAIT)
    assert futures[0].result(0) == 7
    opener.join(WAIT)
    queue.stop()


def test_submit_and_leave_race_until_one_wins(queue, run_in_threads):
    """
    A submit beside the end either is refused, or its job has been run when the block is left.
    """
    for _ in range(200):
        group = JobGroup(queue).__enter__()
        group.submit(int)
        done_at_end = []

        def part(i, group=group, done_at_end=done_at_end):
            if i:
                try:
                    return group.submit(int, i)
                except GroupClosed:
                    return None
            group.__exit__(None, None, None)
            done_at_end.extend(job.done() for job in group._jobs)
            return None

        futures = run_in_threads(3, part)[1:]
        assert all(done_at_end)
        assert len(done_at_end) == 1 + sum(future is not None for future in futures)


def test_what_comes_while_the_block_is_being_closed_is_waited_for(queue):
    """
    After the last look at the jobs, and before the group refuses: here from the very thread that closes.
    """
    with JobGroup(queue) as group:
        wait_for_all = group._progress.wait_for_all
        jobs, done = [], threading.Event()

        def late():
            known = wait_for_all()
            if not jobs:
                jobs.append(group.submit(done.wait, 0.1))
            return known

        group._progress.wait_for_all = late
    assert jobs[0].done()


# ---- failures -----------------------------------------------------------------------


def test_the_first_failure_cancels_what_has_not_started(gate):
    """
    Thousands of queued calls for nothing are what a group is against.
    """
    with WorkerQueue(1, 1024) as queue:
        with pytest.raises(ExceptionGroup) as info, JobGroup(queue) as group:
            failing = group.submit(lambda: (gate(), fail()))
            rest = [group.submit(int) for _ in range(100)]
            gate.open()
        assert errors_of(info) == [failing.exception()]
        assert all(job.cancelled() for job in rest)
        assert queue.stats().cancelled == 100


def test_running_jobs_are_waited_for_after_a_failure(queue, gate):
    """
    A group that fails leaves nothing running behind.
    """
    with pytest.raises(ExceptionGroup), JobGroup(queue) as group:
        running = group.submit(gate, "done")
        gate.wait_until_entered()
        group.submit(fail).exception(WAIT)
        gate.open()
    assert running.done()


def test_all_errors_are_raised_in_the_order_of_submission(queue):
    """
    Both jobs run when the second fails first.
    """
    second_failed, both_run = threading.Event(), threading.Barrier(2)
    one, two = Failure("one"), Failure("two")

    def first():
        both_run.wait(WAIT)
        second_failed.wait(WAIT)
        raise one

    def second():
        both_run.wait(WAIT)
        raise two

    with pytest.raises(ExceptionGroup) as info, JobGroup(queue) as group:
        group.submit(first)
        group.submit(second).add_done_callback(lambda job: second_failed.set())
    assert errors_of(info) == [one, two]


def test_an_error_in_the_body_cancels_the_rest_and_comes_first(gate):
    """
    In asyncio.TaskGroup's manner: in one group with the jobs' errors.
    """
    body, job = Failure("body"), Failure("job")
    with WorkerQueue(1, 64) as queue, pytest.raises(ExceptionGroup) as info:
        with JobGroup(queue) as group:
            group.submit(lambda: (gate(), fail(job)))
            gate.wait_until_entered()
            queued = group.submit(int)
            queued.add_done_callback(lambda _: gate.open())
            raise body
    assert (errors_of(info), queued.cancelled()) == ([body, job], True)


def test_what_the_body_gets_from_a_job_is_one_error(queue):
    """
    result() raises the job's exception: the same object.
    """
    with pytest.raises(ExceptionGroup) as info, JobGroup(queue) as group:
        group.submit(fail).result(WAIT)
    assert len(errors_of(info)) == 1


@pytest.mark.parametrize("bare", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["body", "job"])
def test_what_ends_the_program_comes_out_bare(bare, where):
    """
    No ``except*`` may swallow Ctrl-C, whatever else has failed.
    """
    error, both_run = bare(), threading.Barrier(2)

    def failing(with_error):
        both_run.wait(WAIT)
        raise with_error

    with WorkerQueue(2, 8) as queue, pytest.raises(bare) as info, JobGroup(queue) as group:
        jobs = [group.submit(failing, Failure()), group.submit(failing, error if where == "job" else Failure())]
        if where == "body":
            assert all(isinstance(job.exception(WAIT), Failure) for job in jobs)
            raise error
    assert info.value is error


def test_other_base_exceptions_are_in_the_group(queue):
    """
    Which is then a BaseExceptionGroup.
    """

    class Odd(BaseException):
        pass

    with pytest.raises(BaseExceptionGroup) as info, JobGroup(queue) as group:
        group.submit(fail, Odd())
    assert (type(info.value), type(errors_of(info)[0])) == (BaseExceptionGroup, Odd)


def test_after_a_failure_submit_says_so(queue, gate):
    """
    In the body and in a job; the refusal is not one more error.
    """
    marked = threading.Event()

    def late():
        marked.wait(WAIT)
        group.submit(int)

    with pytest.raises(ExceptionGroup) as info, JobGroup(queue) as group:
        group.submit(late)
        failing = group.submit(lambda: (gate(), fail()))
        failing.add_done_callback(lambda _: marked.set())  # after the group's own
        gate.open()
        assert marked.wait(WAIT)
        assert group.cancelled
        with pytest.raises(GroupClosed, match="takes no more jobs: it was cancelled") as refusal:
            group.submit(int)
        assert refusal.value.group is group
        group.submit(int)
    assert errors_of(info) == [failing.exception()]


def test_the_refusal_of_another_group_is_an_error(queue):
    """
    That one follows from nothing here.
    """
    with JobGroup(queue) as other:
        pass
    with pytest.raises(ExceptionGroup) as info, JobGroup(queue) as group:
        group.submit(other.submit, int)
    assert isinstance(errors_of(info)[0], GroupClosed)


def test_a_job_that_was_on_its_way_when_the_group_was_cancelled_is_cancelled(gate):
    """
    Whoever cancels cannot see it yet.
    """

    class Face:
        def submit(self, fn):
            group.cancel()
            return queue.submit(fn)

    with WorkerQueue(1, 8) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        with JobGroup(Face()) as group:
            job = group.submit(int)
        gate.open()
    assert job.cancelled()


@pytest.mark.parametrize("how", ["future", "stop_now", "group", "raises"])
def test_cancelling_from_outside_is_no_failure(how, gate):
    """
    As for asyncio's tasks; results() tells.
    """
    queue = WorkerQueue(1, 64)
    with JobGroup(queue) as group:
        group.submit(gate)
        gate.wait_until_entered()
        job = group.submit(fail, CancelledError()) if how == "raises" else group.submit(int)
        {"future": job.cancel, "stop_now": queue.stop_now, "group": group.cancel, "raises": int}[how]()
        gate.open()
    with pytest.raises(CancelledError):
        list(group.results())
    queue.stop()


def test_cancelled_error_ends_the_body_bare_when_nothing_failed(queue):
    """
    And not hidden in a group; with a failure, the failure is what counts.
    """
    with pytest.raises(CancelledError), JobGroup(queue):
        raise CancelledError
    with pytest.raises(ExceptionGroup) as info, JobGroup(queue) as group:
        job = group.submit(fail)
        job.exception(WAIT)
        raise CancelledError
    assert errors_of(info) == [job.exception()]


# ---- misuse ---------------------------------------------------------------------------


def test_a_group_is_used_as_a_block_and_once(queue):
    """
    Outside of its block nobody would wait for the job.
    """
    group = JobGroup(queue)
    with pytest.raises(GroupClosed, match="it was not entered"):
        group.submit(int)
    with group:
        with pytest.raises(RuntimeError, match="once only"):
            group.__enter__()
    with pytest.raises(GroupClosed, match="it was left"):
        group.submit(int)
    with pytest.raises(RuntimeError, match="once only"):
        group.__enter__()


@pytest.mark.parametrize("queue", [None, 3, WorkerQueue, Future()], ids=["None", "number", "class", "future"])
def test_what_is_no_queue_is_refused(queue):
    """
    At once, and by its name.
    """
    with pytest.raises(TypeError, match="queue must be a WorkerQueue, got"):
        JobGroup(queue)


def test_a_submit_that_is_refused_leaves_no_trace(queue):
    """
    The queue says what is wrong with a job.
    """
    with JobGroup(queue) as group:
        with pytest.raises(TypeError, match="fn must be callable or a Job, got 3"):
            group.submit(3)
        with pytest.raises(TypeError):
            group.submit()
    assert list(group.results()) == []


def test_repr_says_how_far_it_is(queue, gate):
    """
    For the log.
    """
    with JobGroup(queue) as group:
        group.submit(gate)
        assert repr(group) == "<JobGroup open, 0 of 1 jobs finished>"
        gate.open()
    assert repr(group) == "<JobGroup left, 1 of 1 jobs finished>"
