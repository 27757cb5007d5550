"""The faults of a plain job, for jobs in each further state that a queue knows; numbers: of the fault catalogue."""

import gc
import itertools
import queue as queues
import signal
import sys
import threading
from concurrent import futures

import pytest

from ringpool import Job, Retry, ThreadPoolExecutor, WorkerQueue, current_job

WAIT = 30  # seconds after which a wait has failed
FAR = 3600  # seconds: what this delays does not start in a test

STATES = ["waiting", "keyed", "behind", "delayed", "retrying", "spilled"]
each_state = pytest.mark.parametrize("state", STATES)


class Scene:
    """A queue with one job in *state*, kept there by *gate* or by a time far off."""

    def __init__(self, state, gate, until, fn=int):
        self.state = state
        self.other = WorkerQueue(1, 8)
        self.queue = WorkerQueue(1, 2 if state == "spilled" else 8, overflow=self.other)
        self.tried = []
        if state == "retrying":
            retry = Retry(base=FAR, cap=FAR, jitter="none")
            self.future = self.queue.submit(Job(self._fail_once, fn, retry=retry))
            until(lambda: self.queue.stats().retrying)
            return
        if state != "delayed":
            for queue in {self.queue, self.other} if state == "spilled" else {self.queue}:
                queue.submit(Job(gate, key="k") if state == "behind" else gate)
                gate.wait_until_entered()
        if state == "spilled":
            self.queue.submit(int), self.queue.submit(int)
        keys = {"keyed": {"key": "free"}, "behind": {"key": "k"}, "delayed": {"delay": FAR}}.get(state, {})
        self.future = self.queue.submit(Job(fn, **keys) if keys else fn)
        assert self.queue.stats().spilled == (state == "spilled")

    def _fail_once(self, fn):
        self.tried.append(1)
        if current_job().attempt == 1:
            raise OSError
        return fn()

    def end(self, gate):
        """Both queues still run jobs, and end; the first one's statistics."""
        gate.open()
        for queue in (self.queue, self.other):
            assert queue.submit(int, "7").result(WAIT) == 7
            assert queue.stop(WAIT).complete
        return self.queue.stats()


@pytest.fixture
def scene(gate, until):
    return lambda state, fn=int: Scene(state, gate, until, fn)


# ---- settled, cancelled, told ------------------------------------------------------------------------


@each_state
def test_job_settled_by_hand_does_not_run_and_its_place_is_free(state, scene, gate):
    """
    Fault 1: its worker, key and timer are none the worse.
    """
    ran = []
    there = scene(state, lambda: ran.append(1))
    there.future.set_result("by hand")
    with pytest.raises(futures.InvalidStateError):
        there.future.set_result("again")

    there.end(gate)
    assert (there.future.result(0), ran) == ("by hand", [])


@each_state
@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_callback_that_raises_ends_nothing(state, error, scene, gate, caplog):
    """
    Fault 2, of a job that is cancelled in that state: logged, and the later ones are called.
    """
    there = scene(state)
    called = []

    def fail(_):
        raise error("from a callback")

    there.future.add_done_callback(fail)
    there.future.add_done_callback(called.append)
    assert there.future.cancel()
    assert called == [there.future]
    assert "from a callback" in caplog.text
    there.end(gate)


@each_state
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException])
def test_whatever_a_job_raises_is_its_futures(state, error, scene, gate):
    """
    Fault 3: also of a second attempt, of one behind a key, and of another queue's.
    """

    def fail():
        raise error

    there = scene(state, fail)
    gate.open()
    if state in ("delayed", "retrying"):
        with pytest.raises(futures.TimeoutError):
            there.future.result(0)
        there.future.cancel()
        there.future = there.queue.submit_later(0.001, fail)
    assert type(there.future.exception(WAIT)) is error
    there.end(gate)


WAYS = {
    "result": lambda future: future.result(WAIT),
    "wait": lambda future: futures.wait([future], WAIT).done,
    "as_completed": lambda future: list(futures.as_completed([future], WAIT)),
}


@each_state
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ["cancel", "stop_now"])
def test_who_waits_hears_of_the_cancelling_at_once(state, way, end, scene, gate, until):
    """
    Faults 5 and 6: while the only worker is still busy.
    """
    there = scene(state)
    with ThreadPoolExecutor(1) as others:
        waiting = others.submit(WAYS[way], there.future)
        until(lambda: waiting.running())
        owner = there.other if state == "spilled" else there.queue
        there.future.cancel() if end == "cancel" else owner.stop_now()
        if way == "result":
            assert type(waiting.exception(WAIT)) is futures.CancelledError
        else:
            assert list(waiting.result(WAIT)) == [there.future]
    if end == "cancel":
        assert there.end(gate).cancelled == (state != "spilled")
    gate.open()
    assert there.queue.stop(WAIT).complete and there.other.stop(WAIT).complete


@each_state
def test_cancel_answers_the_same_twice_and_in_a_callback(state, scene, gate):
    """
    Fault 16: True while it waits in whatever place, also of what is cancelled already.
    """
    there = scene(state)
    answers = []
    there.future.add_done_callback(lambda future: answers.append(future.cancel()))
    answers.append(there.future.cancel())
    answers.append(there.future.cancel())
    assert answers == [True, True, True]
    there.end(gate)


@each_state
def test_cancel_races_with_the_start(state, until, run_in_threads):
    """
    Fault 15: exactly one of ran and cancelled, and nothing is lost.
    """
    jobs, ran = [], set()
    with WorkerQueue(2, 4 if state == "spilled" else 64, overflow=(other := WorkerQueue(1, 1000))) as queue:

        def make(n):
            def work():
                if state == "retrying" and current_job().attempt == 1:
                    raise OSError
                assert n not in ran
                ran.add(n)

            return {
                "waiting": lambda: work,
                "spilled": lambda: work,
                "keyed": lambda: Job(work, key=n),
                "behind": lambda: Job(work, key=n % 2),
                "delayed": lambda: Job(work, delay=0.0001),
                "retrying": lambda: Job(work, retry=Retry(base=0.0001, jitter="none")),
            }[state]()

        def produce_or_cancel(i):
            if i == 0:
                jobs.extend(itertools.starmap(queue.submit, [(make(n),) for n in range(300)]))
            else:
                for n in range(300):
                    until(lambda n=n: len(jobs) > n or len(jobs) == 0)
                    if len(jobs) > n:
                        jobs[n].cancel()

        run_in_threads(2, produce_or_cancel)
        assert queue.stop(WAIT).complete and other.stop(WAIT).complete
    assert {n for n, job in enumerate(jobs) if not job.cancelled()} == ran


# ---- code that gets in between -----------------------------------------------------------------------


class Submits:
    """Submits one more job when it is deleted."""

    def __init__(self, queue, seen):
        self.queue, self.seen = queue, seen

    def __call__(self):
        return None

    def __del__(self):
        self.seen.put(self.queue.try_submit(int, "5"))


@each_state
def test_destructor_of_a_cancelled_job_may_submit(state, scene, gate):
    """
    Fault 23: what the job held goes in the thread that cancels, under no lock.
    """
    seen = queues.SimpleQueue()
    there = scene("waiting")
    waiting = there.queue
    there = scene(state, Submits(waiting, seen))
    assert there.future.cancel()
    gc.collect()
    there.end(gate)
    assert seen.get(timeout=WAIT).result(WAIT) == 5
    assert waiting.stop(WAIT).complete


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_signal_handler_may_submit_wherever_it_interrupts_a_planned_submit():
    """
    Faults 19 and 20: with a key, a delay, limits; at each line of Python on the way.
    """
    kinds = [{"key": 1}, {"delay": 0.0001}, {"deadline": 60}, {"retry": Retry()}, {"priority": 2}]
    inner, depth = [], 0

    def handler(signum, frame):
        nonlocal depth
        if depth == 0:
            depth += 1
            inner.append(queue.submit(Job(int, **kinds[len(inner) % 5])))
            depth -= 1

    def trace(frame, event, arg):
        if depth == 0 and "ringpool" in frame.f_code.co_filename:
            signal.raise_signal(signal.SIGUSR1)
        return trace

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with WorkerQueue(1, 100_000) as queue:
            for kind in kinds:
                sys.settrace(trace)
                try:
                    outer = queue.submit(Job(int, **kind))
                finally:
                    sys.settrace(None)
                assert outer.result(WAIT) == 0
            assert len(inner) > 50
            assert {future.result(WAIT) for future in inner} == {0}
            assert queue.stop(WAIT).complete
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_key_or_priority_that_submits_or_raises_hurts_nobody():
    """
    Faults 26 and 27: levels are whole numbers, and no code of a key runs under a lock.
    """

    class Level(int):
        def __lt__(self, other):
            raise AssertionError("compared")

        __gt__ = __le__ = __ge__ = __lt__

    class Key:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            for act in acts:
                act()
            return self is other

    def fail():
        raise OSError("from a key")

    inner = []
    acts = [lambda: inner.append(queue.submit(Job(int, key="inner")))]
    with WorkerQueue(1, 1000) as queue:
        hold = threading.Event()
        queue.submit(hold.wait, WAIT)
        jobs = [queue.submit(Job(int, key=Key(), priority=Level(n))) for n in (2, 3, 1)]
        acts.append(fail)
        with pytest.raises(OSError, match="from a key"):
            queue.submit(Job(int, key=Key()))
        acts.clear()
        assert inner
        hold.set()
        assert [job.result(WAIT) for job in jobs + inner] == [0] * (3 + len(inner))
        assert queue.stop(WAIT).complete


# ---- jobs that wait, or are too deep --------------------------------------------------------------------


def test_jobs_of_two_pools_may_wait_for_each_other_once_and_with_a_limit():
    """
    Fault 9: a pool whose every worker waits for another pool's job that waits for
    it is not seen through; a limit ends the wait, and both work on.
    """
    with ThreadPoolExecutor(1) as left, WorkerQueue(1, 8) as right:
        assert left.submit(lambda: right.submit(int, "7").result(WAIT)).result(WAIT) == 7
        back = left.submit(lambda: right.submit(lambda: left.submit(int).result(0.05)).exception(WAIT))
        assert type(back.result(WAIT)) is futures.TimeoutError
        assert (left.submit(int).result(WAIT), right.submit(int).result(WAIT)) == (0, 0)


@pytest.mark.parametrize("make", [lambda: ThreadPoolExecutor(1), lambda: WorkerQueue(1, 8)], ids=["executor", "queue"])
def test_recursion_error_in_a_job_and_in_a_repr_that_is_logged_leave_the_worker_alive(make, caplog):
    """
    Fault 80: the worker goes on at its own depth.
    """

    class Endless:
        def __repr__(self):
            return repr(self)

        def __call__(self, *_):
            return self(*_)

    with make() as pool:
        future = pool.submit(Endless())
        future.add_done_callback(Endless())
        assert type(future.exception(WAIT)) is RecursionError
        repr(future)
        assert pool.submit(sys.getrecursionlimit).result(WAIT) == sys.getrecursionlimit()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_wait_may_be_ended_by_the_handler_or_destructor_that_runs_inside_it(gate):
    """
    Fault 76: whoever sets what this very thread waits for, on top of the wait.
    """

    class Sets:
        def __init__(self, future):
            self.future = future

        def __del__(self):
            self.future.set_result("set")

    with WorkerQueue(1, 8) as queue:
        queue.submit(gate)
        job = queue.submit(int)
        cell = [Sets(job)]
        before = signal.signal(signal.SIGALRM, lambda *_: cell.clear())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert job.result(WAIT) == "set"
        finally:
            signal.signal(signal.SIGALRM, before)
        gate.open()
