"""Lanes: several queues in one, that share its workers by limits, reserves and weights."""

import threading

import pytest

from ringpool import Job, Lane, QueueFull, WorkerQueue

WAIT = 30


@pytest.fixture(params=["shared", "ready"])
def dispatch(request):
    return request.param


class Sequence:
    """A queue of one worker, which stands at the gate, in a lane of its own, while jobs are submitted."""

    def __init__(self, gate, dispatch, **lanes):
        self.ran = []
        self.gate = gate
        self.queue = WorkerQueue(1, 4096, lanes={**lanes, "gate": Lane(weight=1000)}, dispatch=dispatch)
        self.queue.submit(Job(gate, lane="gate"))
        gate.wait_until_entered()

    def submit(self, lanes):
        for lane in lanes:
            self.queue.submit(Job(self.ran.append, lane, lane=lane))
        return self

    def finish(self):
        self.gate.open()
        assert self.queue.stop(WAIT).complete
        return "".join(self.ran)


def test_the_first_lane_gets_what_names_none(dispatch, until):
    """
    Plain jobs too.
    """
    release = threading.Event()
    with WorkerQueue(4, 16, lanes={"first": Lane(), "second": Lane()}, dispatch=dispatch) as queue:
        queue.submit(release.wait, WAIT)
        queue.submit(Job(release.wait, WAIT))
        queue.submit(Job(release.wait, WAIT, lane="first"))
        queue.submit(Job(release.wait, WAIT, lane="second"))
        until(lambda: queue.stats().in_flight == 4)
        lanes = queue.stats().lanes
        release.set()
    assert {name: (lane.ready, lane.running) for name, lane in lanes.items()} == {"first": (0, 3), "second": (0, 1)}


def test_stats_know_each_lane(dispatch, gate):
    """
    What is ready and what runs; not what is behind a key or not due. Without lanes there are none.
    """
    with WorkerQueue(1, 64, lanes={"a": Lane(), "b": Lane()}, dispatch=dispatch) as queue:
        queue.submit(Job(gate, lane="b", key="k"))
        gate.wait_until_entered()
        for _ in range(3):
            queue.submit(Job(int, lane="a"))
        queue.submit(Job(int, lane="b"))
        queue.submit(Job(int, lane="b", key="k"))
        queue.submit(Job(int, lane="b", delay=0.5))
        lanes = queue.stats().lanes
        assert [(name, lane.ready, lane.running) for name, lane in lanes.items()] == [("a", 3, 0), ("b", 1, 1)]
        gate.open()
        assert queue.wait(WAIT)
        assert [(lane.ready, lane.running) for lane in queue.stats().lanes.values()] == [(0, 0), (0, 0)]
    with WorkerQueue(1, 1) as queue:
        assert queue.stats().lanes == {}


def test_the_order_inside_a_lane_is_that_of_its_levels(gate, dispatch):
    """
    Priorities count among jobs of one lane: no level passes another lane's turn.
    """
    line = Sequence(gate, dispatch, a=Lane(), b=Lane())
    for n, (lane, priority) in enumerate([("a", 0), ("a", 1), ("b", 0), ("b", 1000), ("b", 1000)]):
        line.queue.submit(Job(line.ran.append, f"{lane}{n}", lane=lane, priority=priority))
    assert line.finish() == "a1b3a0b4b2"


# ---- weight --------------------------------------------------------------------


def strides(jobs, weights):
    """The order in which one worker takes *jobs*, strings of one letter a lane, all there from the start."""
    waiting = {lane: jobs.count(lane) for lane in weights}
    passes = dict.fromkeys(weights, 0.0)
    order = ""
    while any(waiting.values()):
        lane = min((lane for lane in weights if waiting[lane]), key=lambda lane: passes[lane])
        passes[lane] += 1 / weights[lane]
        waiting[lane] -= 1
        order += lane
    return order


def test_equal_weights_take_turns(gate, dispatch):
    """
    However many wait in each, and whoever came first.
    """
    line = Sequence(gate, dispatch, a=Lane(), b=Lane(), c=Lane())
    assert line.submit("aaaaaabbbbcc").finish() == "abcabcababaa"


def test_a_lane_of_twice_the_weight_starts_twice_as_often(gate, dispatch):
    """
    Spread evenly, and not in heaps.
    """
    line = Sequence(gate, dispatch, a=Lane(weight=2), b=Lane())
    assert line.submit("b" * 4 + "a" * 8).finish() == "abaabaabaaba"


@pytest.mark.parametrize("weights", [(1, 1), (4, 1), (1, 8), (0.5, 0.25), (0.001, 0.001), (1000, 1000), (1000, 0.001)])
def test_shares_are_as_the_weights(gate, dispatch, weights):
    """
    Exactly those of stride scheduling, at the ends of the range as well.
    """
    a, b = weights
    jobs = "a" * 40 + "b" * 40
    line = Sequence(gate, dispatch, a=Lane(weight=a), b=Lane(weight=b))
    assert line.submit(jobs).finish() == strides(jobs, {"a": a, "b": b})


def test_a_lane_that_comes_back_from_idle_has_saved_nothing(gate, dispatch):
    """
    It takes turns from now on; what it left unused is gone.
    """
    line = Sequence(gate, dispatch, a=Lane(), b=Lane())
    again = threading.Event()
    ready = threading.Event()
    line.submit("a" * 100)
    line.queue.submit(Job(ready.set, lane="a"))
    line.queue.submit(Job(again.wait, WAIT, lane="a"))
    line.gate.open()
    assert ready.wait(WAIT)
    line.submit("ababababab" + "b" * 20)
    again.set()
    end = line.finish()[100:]
    assert sorted(end) == sorted("a" * 5 + "b" * 25)
    assert end.startswith("bababa")


def test_a_lane_that_was_at_its_limit_has_saved_nothing(dispatch, until):
    """
    As after idling: while it could not start a job it was not its turn, and it makes up for none.
    """
    ran = []
    held, go_on, ready = threading.Event(), threading.Event(), threading.Event()
    with WorkerQueue(2, 4096, lanes={"a": Lane(max_workers=1), "b": Lane()}, dispatch=dispatch) as queue:
        queue.submit(Job(held.wait, WAIT, lane="a"))
        until(lambda: queue.stats().lanes["a"].running == 1)
        for _ in range(50):
            queue.submit(Job(ran.append, "a", lane="a"))
        for _ in range(200):
            queue.submit(Job(int, lane="b"))
        queue.submit(Job(ready.set, lane="b"))
        assert ready.wait(WAIT)
        # One of the two workers stays with this one; the other is free for either lane.
        queue.submit(Job(go_on.wait, WAIT, lane="b"))
        until(lambda: queue.stats().lanes["b"].running == 1)
        for _ in range(50):
            queue.submit(Job(ran.append, "b", lane="b"))
        held.set()
        until(lambda: len(ran) == 100)
        go_on.set()
    assert all(abs(ran[:n].count("a") - n / 2) <= 1.5 for n in range(1, 98))


# ---- max_workers -------------------------------------------------------------------


def test_no_more_jobs_of_a_lane_run_than_it_may(dispatch, until):
    """
    Others use the workers that it may not have.
    """
    running, most = [], []
    lock = threading.Lock()

    def job():
        with lock:
            running.append(None)
            most.append(len(running))
        threading.Event().wait(0.0001)
        with lock:
            running.pop()

    with WorkerQueue(4, 256, lanes={"few": Lane(max_workers=2), "all": Lane()}, dispatch=dispatch) as queue:
        jobs = [queue.submit(Job(job, lane="few")) for _ in range(200)]
        jobs += [queue.submit(Job(int, lane="all")) for _ in range(200)]
        for future in jobs:
            future.result(WAIT)
    assert len(most) == 200
    assert max(most) <= 2


def test_a_lane_at_its_limit_holds_up_nobody(dispatch, gate):
    """
    Also when its jobs came first and have higher levels; and it goes on when one of its own ends.
    """
    with WorkerQueue(2, 64, lanes={"one": Lane(max_workers=1), "b": Lane()}, dispatch=dispatch) as queue:
        queue.submit(Job(gate, lane="one"))
        gate.wait_until_entered()
        waiting = [queue.submit(Job(int, n, lane="one", priority=9)) for n in range(5)]
        assert [queue.submit(Job(int, n, lane="b")).result(WAIT) for n in range(5)] == list(range(5))
        assert (queue.stats().lanes["one"].ready, queue.stats().lanes["one"].running) == (5, 1)
        gate.open()
        assert [job.result(WAIT) for job in waiting] == list(range(5))


@pytest.mark.parametrize("how", ["raises", "cancelled"])
def test_a_lanes_place_is_free_again_however_its_job_ended(dispatch, gate, how):
    """
    A limit of one, many jobs, and no wait that does not end.
    """
    with WorkerQueue(3, 256, lanes={"one": Lane(max_workers=1)}, dispatch=dispatch) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        jobs = [queue.submit(int, "x" if how == "raises" else "1") for _ in range(50)]
        if how == "cancelled":
            assert all(job.cancel() for job in jobs)
        last = queue.submit(int, "7")
        gate.open()
        assert last.result(WAIT) == 7
        assert all(job.done() for job in jobs)


# ---- reserve --------------------------------------------------------------------------


def test_reserved_workers_wait_for_their_lane(dispatch, gate):
    """
    Others do not get them however long they wait, and the lane's job starts at once.
    """
    with WorkerQueue(3, 64, lanes={"bulk": Lane(), "urgent": Lane(reserve=1)}, dispatch=dispatch) as queue:
        for _ in range(5):
            queue.submit(Job(gate, lane="bulk"))
        gate.wait_until_entered(2)
        for n in range(20):
            assert queue.submit(Job(int, n, lane="urgent")).result(WAIT) == n
            assert (queue.stats().lanes["bulk"].running, queue.stats().lanes["bulk"].ready) == (2, 3)
        gate.open()


def test_a_lane_may_use_more_than_it_has_reserved(dispatch):
    """
    The reserve is the least, not the most.
    """
    meeting = threading.Barrier(3)
    with WorkerQueue(3, 64, lanes={"bulk": Lane(), "urgent": Lane(reserve=1)}, dispatch=dispatch) as queue:
        jobs = [queue.submit(Job(meeting.wait, WAIT, lane="urgent")) for _ in range(3)]
        assert sorted(job.result(WAIT) for job in jobs) == [0, 1, 2]


def test_a_reserve_that_is_used_is_set_aside_no_more(dispatch, gate):
    """
    One reserved, one of its jobs running: the rest is everybody's.
    """
    meeting = threading.Barrier(2)
    with WorkerQueue(3, 64, lanes={"bulk": Lane(), "urgent": Lane(reserve=1)}, dispatch=dispatch) as queue:
        queue.submit(Job(gate, lane="urgent"))
        gate.wait_until_entered()
        jobs = [queue.submit(Job(meeting.wait, WAIT, lane="bulk")) for _ in range(2)]
        assert sorted(job.result(WAIT) for job in jobs) == [0, 1]
        gate.open()


def test_all_workers_may_be_reserved(dispatch, gate):
    """
    Each for its lane; what has reserved none runs when a lane with a reserve uses more than that, or not at all.
    """
    with WorkerQueue(2, 64, lanes={"a": Lane(reserve=1), "b": Lane(reserve=1)}, dispatch=dispatch) as queue:
        for _ in range(3):
            queue.submit(Job(gate, lane="a"))
        gate.wait_until_entered()
        assert queue.submit(Job(int, 5, lane="b")).result(WAIT) == 5
        assert (queue.stats().lanes["a"].running, queue.stats().lanes["a"].ready) == (1, 2)
        gate.open()


# ---- arguments --------------------------------------------------------------------------


def test_an_unknown_lane_is_refused_with_the_names_of_those_there_are(dispatch):
    """
    At submit, and nothing is queued.
    """
    with WorkerQueue(1, 4, lanes={"a": Lane(), "b": Lane()}, dispatch=dispatch) as queue:
        with pytest.raises(ValueError, match="lane must be one of the queue's, which are 'a', 'b'; got 'c'"):
            queue.submit(Job(int, lane="c"))
        with pytest.raises(ValueError, match="got 5"):
            queue.try_submit(Job(int, lane=5))
        assert (queue.stats().accepted, queue.stats().rejected) == (0, 0)
    with WorkerQueue(1, 4, dispatch=dispatch) as queue:
        with pytest.raises(ValueError, match="which are none; got 'a'"):
            queue.submit(Job(int, lane="a"))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"max_workers": 0}, ValueError, "max_workers must be greater than 0, got 0"),
        ({"max_workers": 1.5}, TypeError, "max_workers must be a whole number"),
        ({"reserve": -1}, ValueError, "reserve must be 0 or greater, got -1"),
        ({"reserve": "1"}, TypeError, "reserve must be a whole number"),
        ({"reserve": 2, "max_workers": 1}, ValueError, r"reserve must be at most max_workers \(1\), got 2"),
        ({"weight": 0}, ValueError, "weight must be from 0.001 to 1000, got 0"),
        ({"weight": -1}, ValueError, "weight must be"),
        ({"weight": float("nan")}, ValueError, "weight must be"),
        ({"weight": float("inf")}, ValueError, "weight must be"),
        ({"weight": "1"}, TypeError, "weight must be a number, got '1'"),
        ({"weight": True}, TypeError, "weight must be a number, got True"),
        ({"weight": None}, TypeError, "weight must be a number, got None"),
    ],
    ids=repr,
)
def test_a_lane_that_makes_no_sense_is_refused(arguments, error, words):
    """
    Where it is written.
    """
    with pytest.raises(error, match=words):
        Lane(**arguments)


@pytest.mark.parametrize(
    ("lanes", "error"),
    [
        ({}, TypeError), ([], TypeError), ("ab", TypeError), ({1: Lane()}, TypeError), ({None: Lane()}, TypeError),
        ({"a": 1}, TypeError), ({"a": Lane}, TypeError), ({"a": Lane(reserve=2), "b": Lane(reserve=1)}, ValueError),
    ],
    ids=repr,
)  # fmt: skip
def test_lanes_that_make_no_sense_are_refused(lanes, error):
    """
    Reserves of more workers than there are among them.
    """
    with pytest.raises(error, match="(lanes|workers) must"):
        WorkerQueue(2, 4, lanes=lanes)


def test_a_queue_cannot_become_smaller_than_its_reserves(dispatch):
    """
    Else a lane could wait for ever; nothing is changed then.
    """
    meeting = threading.Barrier(3)
    lanes = {"a": Lane(reserve=1), "b": Lane(reserve=1), "c": Lane()}
    with WorkerQueue(4, 4, lanes=lanes, dispatch=dispatch) as queue:
        with pytest.raises(ValueError, match="workers must be at least 3: what the lanes reserve, and one for lanes"):
            queue.resize(2)
        assert queue.stats().resizes == 0
        jobs = [queue.submit(Job(meeting.wait, WAIT, lane=lane)) for lane in "abc"]
        assert sorted(job.result(WAIT) for job in jobs) == [0, 1, 2]
        queue.resize(3)
        assert queue.submit(Job(int, lane="a")).result(WAIT) == 0


def test_a_resize_moves_what_is_left_beside_the_reserves(dispatch, gate):
    """
    Bulk jobs get the workers that come, and the reserved one stays free.
    """
    with WorkerQueue(2, 64, lanes={"bulk": Lane(), "urgent": Lane(reserve=1)}, dispatch=dispatch) as queue:
        for _ in range(6):
            queue.submit(Job(gate, lane="bulk"))
        gate.wait_until_entered(1)
        queue.resize(4)
        gate.wait_until_entered(2)
        assert (queue.stats().lanes["bulk"].running, queue.stats().lanes["bulk"].ready) == (3, 3)
        assert queue.submit(Job(int, lane="urgent")).result(WAIT) == 0
        gate.open()


def test_the_bound_is_one_for_all_lanes(gate, dispatch):
    """
    Lanes share the capacity as they share the workers.
    """
    with WorkerQueue(1, 2, lanes={"a": Lane(), "b": Lane()}, dispatch=dispatch) as queue:
        queue.submit(Job(gate, lane="a"))
        gate.wait_until_entered()
        queue.submit(Job(int, lane="a"))
        queue.submit(Job(int, lane="b"))
        with pytest.raises(QueueFull):
            queue.try_submit(Job(int, lane="b"))
        gate.open()


@pytest.mark.stress
def test_nothing_is_lost_between_lanes(dispatch, run_in_threads):
    """
    Ledger: four producers, limits, reserves, keys and priorities at once.
    """
    ran = []
    lanes = {"a": Lane(max_workers=1), "b": Lane(reserve=1, weight=3), "c": Lane(max_workers=2, weight=0.1)}
    with WorkerQueue(4, 64, lanes=lanes, dispatch=dispatch) as queue:

        def produce(number):
            for n in range(1500):
                key = n % 5 if n % 2 else None
                queue.submit(Job(ran.append, (number, n), lane="abc"[n % 3], key=key, priority=n % 7))

        run_in_threads(4, produce)
    assert len(ran) == len(set(ran)) == 6000
    assert [(lane.ready, lane.running) for lane in queue.stats().lanes.values()] == 3 * [(0, 0)]
