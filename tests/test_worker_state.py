"""worker_init, worker_exit and current_worker(): what a worker keeps for its jobs."""

import threading
from concurrent import futures
from concurrent.futures.thread import BrokenThreadPool

import pytest

from ringpool import Job, QueueStopped, WorkerQueue, current_worker

WAIT = 30


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


class Staff:
    """Counts who came and who left, on which thread, with which state."""

    def __init__(self):
        self.came, self.left = [], []

    def init(self):
        state = {"thread": threading.current_thread(), "jobs": 0}
        self.came.append(state)
        return state

    def exit(self, state):
        self.left.append((state, threading.current_thread()))

    def settings(self):
        return {"worker_init": self.init, "worker_exit": self.exit}


@pytest.fixture
def staff():
    return Staff()


def state():
    return current_worker().state


def test_each_worker_has_the_state_that_was_made_on_its_thread(dispatch, staff):
    """
    Made before its first job, seen by all its jobs, given up after its last.
    """
    meeting = threading.Barrier(3)

    def job():
        meeting.wait(WAIT)
        state()["jobs"] += 1
        return state()["thread"] is threading.current_thread()

    with WorkerQueue(3, 64, dispatch=dispatch, **staff.settings()) as queue:
        assert staff.came == []
        assert all([future.result(WAIT) for future in [queue.submit(job) for _ in range(30)]])
        assert staff.left == []
    assert len(staff.came) == len(staff.left) == 3
    assert sum(one["jobs"] for one in staff.came) == 30
    assert all(one["thread"] is thread for one, thread in staff.left)


def test_a_worker_knows_who_it_is(dispatch):
    """
    Number, name, and no state where none was asked for; nobody on other threads.
    """
    assert current_worker() is None
    meeting = threading.Barrier(2)

    def job():
        meeting.wait(WAIT)
        me = current_worker()
        return me.number, me.name, me.state, threading.current_thread().name

    with WorkerQueue(2, 8, name="mail", dispatch=dispatch) as queue:
        who = sorted(future.result(WAIT) for future in [queue.submit(job), queue.submit(job)])
    assert who == [(n, f"mail_{n}", None, f"mail_{n}") for n in range(2)]


def test_either_of_the_two_may_be_given_alone(dispatch, staff):
    """
    worker_exit gets None then; and a state of None is a state.
    """
    with WorkerQueue(1, 4, dispatch=dispatch, worker_exit=staff.exit) as queue:
        assert queue.submit(state).result(WAIT) is None
    assert [one for one, _ in staff.left] == [None]
    with WorkerQueue(1, 4, dispatch=dispatch, worker_init=staff.init) as queue:
        assert queue.submit(state).result(WAIT) is staff.came[0]


@pytest.mark.parametrize("end", ["stop", "stop_now", "dropped"])
def test_worker_exit_runs_however_the_queue_ends(dispatch, staff, end):
    """
    stop() and wait() return when it has run.
    """
    queue = WorkerQueue(2, 8, dispatch=dispatch, **staff.settings())
    queue.submit(int).result(WAIT)
    threads = [one["thread"] for one in staff.came]
    if end == "dropped":
        del queue
    else:
        getattr(queue, end)()
        assert queue.wait(WAIT)
    for thread in threads:
        thread.join(WAIT)
    assert [one for one, _ in staff.left] == staff.came


def test_worker_exit_is_still_a_worker_of_the_queue(dispatch, staff):
    """
    current_worker() tells who, with its state; stop() inside does not wait for itself.
    """
    seen = []

    def leave(mine):
        seen.append((current_worker().number, current_worker().name, mine))
        queue.stop()

    queue = WorkerQueue(1, 8, name="q", dispatch=dispatch, worker_init=lambda: 5, worker_exit=leave)
    queue.submit(int).result(WAIT)
    assert queue.stop(WAIT).complete
    assert seen == [(0, "q_0", 5)]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_worker_exit_raises_is_logged(dispatch, caplog, error):
    """
    And the thread ends.
    """

    def leave(mine):
        raise error("no exit")

    queue = WorkerQueue(1, 8, dispatch=dispatch, worker_exit=leave)
    assert queue.submit(int, 3).result(WAIT) == 3
    assert queue.stop(WAIT).complete
    assert "exception in worker_exit" in caplog.text
    assert "no exit" in caplog.text


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_queue_whose_worker_init_fails_takes_no_more_jobs(dispatch, staff, caplog, error):
    """
    What is queued ends in BrokenThreadPool, keyed and delayed jobs too, and worker_exit is not called.
    """
    go_on = threading.Event()

    def init():
        assert go_on.wait(WAIT)
        raise error("no state")

    queue = WorkerQueue(1, 16, dispatch=dispatch, worker_init=init, worker_exit=staff.exit)
    jobs = [queue.submit(int), queue.submit(Job(int, key="k")), queue.submit(Job(int, key="k"))]
    jobs += [queue.submit(Job(int, delay=1000)), queue.submit(Job(int, priority=3))]
    go_on.set()
    assert [type(job.exception(WAIT)) for job in jobs] == 5 * [BrokenThreadPool]
    with pytest.raises(QueueStopped, match="worker_init failed"):
        queue.submit(int)
    assert queue.stop(WAIT).complete
    assert staff.left == []
    assert "exception in worker_init" in caplog.text and "no state" in caplog.text


def test_one_worker_whose_init_fails_ends_the_queue_and_not_the_running_jobs(dispatch, gate, caplog):
    """
    The others finish what they have and leave, with their state.
    """
    staff = Staff()
    queued = threading.Event()

    def init():
        if staff.came:
            assert queued.wait(WAIT)
            raise OSError("one too many")
        return staff.init()

    queue = WorkerQueue(2, 16, dispatch=dispatch, worker_init=init, worker_exit=staff.exit)
    first = queue.submit(Job(gate, 7, key="k"))
    gate.wait_until_entered()
    behind = queue.submit(Job(int, key="k"))
    queued.set()
    assert isinstance(behind.exception(WAIT), BrokenThreadPool)
    gate.open()
    assert first.result(WAIT) == 7
    assert queue.stop(WAIT).complete
    assert [one for one, _ in staff.left] == staff.came
    assert "one too many" in caplog.text


def test_workers_that_leave_give_up_their_state_and_new_ones_have_their_own(dispatch, staff, until):
    """
    After a resize, up and down, each that came is there or has left.
    """
    with WorkerQueue(1, 64, dispatch=dispatch, **staff.settings()) as queue:
        for size in (4, 1, 3, 1):
            queue.resize(size)
            meeting = threading.Barrier(size)
            for job in [queue.submit(meeting.wait, WAIT) for _ in range(size)]:
                job.result(WAIT)
            until(lambda size=size: queue.stats().workers == size)
            assert len(staff.came) - len(staff.left) == size
    assert len(staff.came) == len(staff.left) == 1 + 3 + 2
    assert all(one["thread"] is thread for one, thread in staff.left)


def test_workers_that_leave_because_they_are_idle_give_up_their_state(dispatch, staff, until):
    """
    And come back with a new one.
    """
    settings = {"min_workers": 1, "idle_timeout": 0.01, **staff.settings()}
    with WorkerQueue(3, 64, dispatch=dispatch, **settings) as queue:
        for _ in range(3):
            meeting = threading.Barrier(3)
            for job in [queue.submit(meeting.wait, WAIT) for _ in range(3)]:
                job.result(WAIT)
            until(lambda: queue.stats().workers == 1)
            assert len(staff.came) - len(staff.left) == 1
    assert len(staff.came) == len(staff.left) >= 7


def test_a_job_on_a_spare_worker_has_a_state(dispatch, staff):
    """
    It is a job as any other, wherever it runs.
    """
    with WorkerQueue(1, 8, dispatch=dispatch, **staff.settings()) as queue:

        def outer():
            inner = queue.submit(lambda: (state(), threading.current_thread()))
            futures.wait([inner], WAIT)
            return inner.result(0)

        inner_state, thread = queue.submit(outer).result(WAIT)
        assert inner_state["thread"] is thread
        assert thread is not staff.came[0]["thread"]
    assert len(staff.came) == len(staff.left) == 2


def test_a_job_put_while_the_only_idle_worker_leaves_does_not_wait_for_it(dispatch, until):
    """
    worker_exit takes its time, during which its place is taken; then somebody comes for the job.
    """
    leaving, leave = threading.Event(), threading.Event()

    def on_exit(mine):
        leaving.set()
        assert leave.wait(WAIT)

    settings = {"min_workers": 1, "idle_timeout": 0.01, "worker_exit": on_exit}
    with WorkerQueue(2, 16, dispatch=dispatch, **settings) as queue:
        both = threading.Barrier(2)
        for job in [queue.submit(both.wait, WAIT) for _ in range(2)]:
            job.result(WAIT)
        assert leaving.wait(WAIT)
        again = threading.Barrier(2)
        jobs = [queue.submit(again.wait, WAIT) for _ in range(2)]
        until(lambda: queue.stats().in_flight == 1)
        leave.set()
        assert sorted(job.result(WAIT) for job in jobs) == [0, 1]


@pytest.mark.parametrize("name", ["worker_init", "worker_exit"])
@pytest.mark.parametrize("value", [5, "print", False, ()], ids=repr)
def test_what_cannot_be_called_is_refused_and_named(name, value):
    """
    At construction.
    """
    with pytest.raises(TypeError, match=f"{name} must be callable or None"):
        WorkerQueue(1, 1, **{name: value})
