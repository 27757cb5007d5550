"""choose= with a function: what it sees of the workers, and what its answer does."""

import gc
import itertools
import sys
import threading
import weakref

import pytest

from ringpool import Job, QueueStopped, WorkerQueue, WorkerView, current_worker

WAIT = 30


def number():
    return current_worker().number


class Chooser:
    """Notes what it is shown, and answers by a function of it."""

    def __init__(self, answer=lambda job, workers: None):
        self.seen = []
        self.answer = answer

    def __call__(self, job, workers):
        self.seen.append(workers)
        return self.answer(job, workers)

    def look(self, queue):
        """What a job that is submitted now is shown."""
        queue.submit(int).result(WAIT)
        return self.seen[-1]


def staff(queue, workers, until):
    """Has all of them started, and idle."""
    meeting = threading.Barrier(workers)
    for future in [queue.submit(meeting.wait, WAIT) for _ in range(workers)]:
        future.result(WAIT)
    until(lambda: queue.stats().idle == workers)


# ---- what it sees ------------------------------------------------------------------


def test_it_sees_no_workers_before_there_are_any():
    """
    They are started as jobs need them; the first job is what starts the first.
    """
    choose = Chooser()
    with WorkerQueue(2, 8, dispatch="ready", choose=choose) as queue:
        assert choose.look(queue) == ()


def test_it_sees_who_is_idle_and_who_is_busy(gate, until):
    """
    All of them, by number, with what each has done and for how long it has been at it.
    """
    choose = Chooser()
    with WorkerQueue(3, 8, name="mail", dispatch="ready", choose=choose) as queue:
        staff(queue, 3, until)
        choose.answer = lambda job, workers: 1
        running = queue.submit(gate)
        gate.wait_until_entered()
        before = choose.seen[-1]
        choose.answer = lambda job, workers: 2
        busy = choose.look(queue)
        until(lambda: queue.stats().idle == 2)
        later = choose.look(queue)
        gate.open()
        running.result(WAIT)
    assert type(before) is tuple and {type(one) for one in before} == {WorkerView}
    assert [one.number for one in before] == [0, 1, 2]
    assert [one.name for one in before] == ["mail_0", "mail_1", "mail_2"]
    assert [one.idle for one in before] == [True, True, True]
    assert [one.done for one in before] == [1, 1, 1]
    assert [one.idle for one in busy] == [True, False, True]
    assert [one.done for one in later] == [1, 1, 2]
    assert all(one.state is None for one in busy)
    assert 0 <= busy[1].seconds <= later[1].seconds < WAIT  # at its job
    assert 0 < busy[0].seconds < later[0].seconds < WAIT  # has not worked since
    assert later[2].seconds < later[0].seconds  # has


def test_a_worker_that_was_given_a_job_is_idle_no_more(until):
    """
    From the moment on in which it was: of two jobs in a row each gets its own worker, woken or not.
    """
    choose = Chooser(lambda job, workers: next((one.number for one in workers if one.idle), None))
    meeting = threading.Barrier(3)

    def meet():
        meeting.wait(WAIT)
        return number()

    with WorkerQueue(3, 8, dispatch="ready", choose=choose) as queue:
        staff(queue, 3, until)
        for _ in range(30):
            until(lambda: queue.stats().idle == 3)
            assert [job.result(WAIT) for job in [queue.submit(meet) for _ in range(3)]] == [0, 1, 2]


def test_it_sees_the_state_that_worker_init_made(until):
    """
    Each worker's own, the very object; so a job can go to the one that has what it needs.
    """
    names = itertools.count()
    made = {}

    def init():
        state = {"host": f"host {next(names)}"}
        made[state["host"]] = state
        return state

    def connected(job, workers):
        return next(one.number for one in workers if one.idle and one.state["host"] == job.name)

    def host():
        return current_worker().state

    choose = Chooser()
    with WorkerQueue(3, 8, dispatch="ready", choose=choose, worker_init=init) as queue:
        staff(queue, 3, until)
        choose.answer = connected
        for name, state in 5 * sorted(made.items()):
            assert queue.submit(Job(host, name=name)).result(WAIT) is state
            until(lambda: queue.stats().idle == 3)


def test_a_worker_is_shown_from_worker_init_to_worker_exit(gate, until):
    """
    Nobody is to look for a state that is not there yet, or not there any more.
    """
    choose = Chooser()
    entered, leave = threading.Event(), threading.Event()

    def last(state):
        entered.set()
        assert leave.wait(WAIT)

    with WorkerQueue(1, 8, dispatch="ready", choose=choose, worker_init=gate, worker_exit=last) as queue:
        queue.submit(int)
        gate.wait_until_entered()
        queue.submit(int)
        gate.open()
        until(lambda: queue.stats().idle == 1)
        queue.submit(queue.stop).result(WAIT)
        assert entered.wait(WAIT)
        with pytest.raises(QueueStopped):
            queue.submit(int)
        leave.set()
    assert [len(workers) for workers in choose.seen] == [0, 0, 1, 0]


def test_spare_workers_are_not_shown(until):
    """
    They take what waits, and nobody gives them a job.
    """
    choose = Chooser()

    def parent():
        child = queue.submit(lambda: queue.submit(int) and threading.current_thread().name)
        return child.result(WAIT)

    with WorkerQueue(1, 8, dispatch="ready", choose=choose) as queue:
        assert queue.submit(parent).result(WAIT).endswith("_spare")
    assert [[one.number for one in workers] for workers in choose.seen] == [[], [0], [0]]


def test_who_has_left_is_shown_no_more(until):
    """
    A resize takes workers away, and brings new ones.
    """
    choose = Chooser()
    with WorkerQueue(3, 8, dispatch="ready", choose=choose) as queue:
        staff(queue, 3, until)
        assert len(choose.look(queue)) == 3
        queue.resize(1)
        until(lambda: queue.stats().workers == 1)
        assert len(choose.look(queue)) == 1
        queue.resize(2)
        staff(queue, 2, until)
        numbers = [one.number for one in choose.look(queue)]
        assert len(numbers) == 2 and numbers == sorted(set(numbers))


# ---- what it may do ----------------------------------------------------------------


def test_it_may_use_the_queue():
    """
    It is called without any lock of the queue's; a job that it submits is one to choose for.
    """
    depths = iter(range(5))
    deep = []

    def answer(job, workers):
        if next(depths, None) is not None:
            deep.append(queue.submit(int))
        assert queue.stats().workers >= len(workers)

    with WorkerQueue(2, 64, dispatch="ready", choose=answer) as queue:
        queue.submit(int).result(WAIT)
        assert [job.result(WAIT) for job in deep] == 5 * [0]


def test_it_is_asked_for_every_item_of_a_map_and_of_submit_many():
    """
    Each is a job that goes to one worker.
    """
    choose = Chooser()
    with WorkerQueue(2, 64, dispatch="ready", choose=choose) as queue:
        assert list(queue.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
        queue.submit_many(abs, range(5))
    assert len(choose.seen) == 10


def test_a_view_is_no_number():
    """
    There is one way to answer: the number of one.
    """
    choose = Chooser(lambda job, workers: workers[0] if workers else None)
    with WorkerQueue(1, 8, dispatch="ready", choose=choose) as queue:
        queue.submit(int).result(WAIT)
        with pytest.raises(TypeError, match="what choose returned must be a whole number, got WorkerView"):
            queue.submit(int)


def test_no_job_is_lost_to_a_function_that_chooses_while_workers_come_and_go(run_in_threads):
    """
    Ledger: four producers that look at workers, and at their states, while these leave and come.
    """
    ran = []

    def longest_idle(job, workers):
        assert all(one.state.number in (one.number, "left") for one in workers)  # it may leave as we look
        return max((one for one in workers if one.idle), key=lambda one: one.seconds, default=State).number

    settings = {"min_workers": 1, "idle_timeout": 0.0, "worker_init": State, "worker_exit": State.leave}
    with WorkerQueue(3, 8, dispatch="ready", choose=longest_idle, **settings) as queue:

        def produce(producer):
            for n in range(300):
                queue.submit(ran.append, (producer, n)).result(WAIT)

        run_in_threads(4, produce)
    assert sorted(ran) == [(producer, n) for producer in range(4) for n in range(300)]


class State:
    number = None  # as a default of max(): any worker

    def __init__(self):
        self.number = number()

    def leave(self):
        self.number = "left"


# ---- what it costs ------------------------------------------------------------------


def test_what_it_was_shown_is_kept_alive_by_nobody(until):
    """
    Neither the queue's workers nor their states, when they have ended.
    """

    class Thing:
        pass

    made = []

    def init():
        thing = Thing()
        made.append(weakref.ref(thing))
        return thing

    choose = Chooser()
    with WorkerQueue(2, 8, dispatch="ready", choose=choose, worker_init=init) as queue:
        staff(queue, 2, until)
        assert {one.state for one in choose.look(queue)} == {thing() for thing in made}
        choose.seen.clear()
        counts = [sys.getrefcount(thing()) for thing in made]
        for _ in range(50):
            choose.look(queue)
        choose.seen.clear()
        assert [sys.getrefcount(thing()) for thing in made] == counts
    gc.collect()
    assert [thing() for thing in made] == [None, None]


@pytest.mark.parametrize("choose", ["any", "affinity"])
def test_a_queue_that_chooses_without_a_function_makes_no_views(monkeypatch, choose):
    """
    Nor does one without a choice.
    """
    monkeypatch.setattr("ringpool.choosing.views", None)
    for settings in ({"dispatch": "ready", "choose": choose}, {"dispatch": "ready"}, {}):
        with WorkerQueue(2, 8, **settings) as queue:
            assert queue.submit(Job(int, key=1)).result(WAIT) == 0
