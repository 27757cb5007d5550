"""Keys: jobs of one key run one at a time and in order, whatever becomes of them."""

import random
import sys
import threading
from concurrent.futures import CancelledError

import pytest

from ringpool import DeadlockError, Job, Retry, WorkerQueue

WAIT = 30


@pytest.fixture(params=["shared", "ready", "affinity"])
def settings(request):
    """By each way of giving out jobs."""
    return {
        "shared": {},
        "ready": {"dispatch": "ready"},
        "affinity": {"dispatch": "ready", "choose": "affinity"},
    }[request.param]


class Turns:
    """Jobs of a key that say when two of them are at it at a time."""

    def __init__(self):
        self.order = []
        self.inside = 0
        self.most = 0

    def __call__(self, what):
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.order.append(what)
        self.inside -= 1
        return what


def test_jobs_of_a_key_run_one_at_a_time_and_in_order(settings):
    """
    With more workers than one, and plain jobs among them.
    """
    turns = {key: Turns() for key in range(5)}
    with WorkerQueue(4, 256, **settings) as queue:
        for n in range(2000):
            queue.submit(Job(turns[n % 5], n, key=n % 5))
            queue.submit(int)
    for key, turn in turns.items():
        assert turn.order == list(range(key, 2000, 5))
        assert turn.most == 1


def test_a_priority_does_not_change_the_order_of_a_key(settings, gate):
    """
    It decides when the front one starts.
    """
    ran = []
    with WorkerQueue(1, 64, **settings) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        for n in range(5):
            queue.submit(Job(ran.append, n, key="k", priority=n))
        gate.open()
    assert ran == [0, 1, 2, 3, 4]


def test_keys_run_beside_each_other(settings):
    """
    As many at a time as there are workers, while each has more waiting.
    """
    meeting = threading.Barrier(3)
    with WorkerQueue(3, 64, **settings) as queue:
        rounds = [queue.submit(Job(meeting.wait, WAIT, key=n % 3)) for n in range(9)]
        assert sorted(job.result(WAIT) for job in rounds) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_busy_key_holds_up_nobody_else(settings, gate):
    """
    Jobs behind it do not occupy the other worker.
    """
    with WorkerQueue(2, 64, **settings) as queue:
        queue.submit(Job(gate, key="k"))
        gate.wait_until_entered()
        behind = [queue.submit(Job(int, n, key="k")) for n in range(5)]
        assert [queue.submit(Job(int, n, key="other")).result(WAIT) for n in range(5)] == list(range(5))
        assert queue.submit(int, 9).result(WAIT) == 9
        assert (queue.stats().queued, queue.stats().in_flight) == (5, 1)
        gate.open()
        assert [job.result(WAIT) for job in behind] == list(range(5))


@pytest.mark.parametrize("key", [0, "", (), False, -1, 2**70, frozenset(), object(), 1.5, "\u2603"], ids=repr)
def test_whatever_is_hashable_is_a_key(key, gate):
    """
    Also what is false. Only None is no key.
    """
    with WorkerQueue(2, 8) as queue:
        queue.submit(Job(gate, key=key))
        gate.wait_until_entered()
        behind = queue.submit(Job(int, key=key))
        assert queue.submit(Job(int, key=None)).result(WAIT) == 0
        assert not behind.done() and not behind.running()
        gate.open()
        assert behind.result(WAIT) == 0


@pytest.mark.parametrize("key", [[], {}, ([],)], ids=repr)
def test_what_cannot_be_hashed_is_refused_and_named(key):
    """
    Where the Job is made.
    """
    with pytest.raises(TypeError, match="key must be hashable, got"):
        Job(int, key=key)


def test_equal_keys_are_one_key(gate):
    """
    As in a dict: 1, 1.0 and True.
    """
    with WorkerQueue(2, 8) as queue:
        queue.submit(Job(gate, key=1))
        gate.wait_until_entered()
        behind = [queue.submit(Job(int, key=1.0)), queue.submit(Job(int, key=True))]
        assert queue.submit(int).result(WAIT) == 0
        assert queue.stats().queued == 2
        gate.open()
        assert [job.result(WAIT) for job in behind] == [0, 0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_a_key_costs_nothing_when_nobody_waits_for_it(run_script):
    """
    A hundred thousand keys, each used twice, in no more memory than the first twenty thousand.
    """
    source = """
import gc, os
from ringpool import Job, WorkerQueue

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def use(queue, keys):
    for key in keys:
        queue.submit(Job(int, key=("user", key)))
        queue.submit(Job(int, key=("user", key)))
    assert queue.wait(20)

with WorkerQueue(2, 1000, keep_results=0) as queue:
    use(queue, range(20_000))
    before = resident()
    use(queue, range(20_000, 120_000))
    print(resident() - before)
"""
    result = run_script(source, timeout=55)
    assert (result.returncode, result.stderr) == (0, "")
    assert int(result.stdout) < 4_000_000


# ---- how a job of a key may end ----------------------------------------------------


def held(queue, gate, *jobs):
    """The key's first job stands at the gate; *jobs* are submitted behind it."""
    first = queue.submit(Job(gate, key="k"))
    gate.wait_until_entered()
    return first, [queue.submit(job) for job in jobs]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["head", "middle", "tail"])
def test_a_cancelled_job_is_passed_over(settings, gate, which):
    """
    Wherever it stands, the others keep their order and the key goes on.
    """
    ran = []
    with WorkerQueue(2, 16, **settings) as queue:
        _, jobs = held(queue, gate, *(Job(ran.append, n, key="k") for n in range(3)))
        assert jobs[which].cancel()
        gate.open()
        rest = [n for n in range(3) if n != which]
        for n in rest:
            assert jobs[n].result(WAIT) is None
        assert queue.submit(Job(int, key="k")).result(WAIT) == 0
    assert ran == rest
    assert queue.stats().cancelled == 1


def test_a_job_that_holds_its_key_in_the_queue_may_be_cancelled(gate):
    """
    It is in its lane, not running: the next of its key takes its place.
    """
    ran = []
    with WorkerQueue(1, 16) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        jobs = [queue.submit(Job(ran.append, n, key="k")) for n in range(3)]
        assert jobs[0].cancel()
        gate.open()
        assert jobs[2].result(WAIT) is None
    assert ran == [1, 2]


def test_all_of_a_key_may_be_cancelled(settings, gate):
    """
    Nothing of it is left, and the key can be used again.
    """
    with WorkerQueue(2, 16, **settings) as queue:
        _, jobs = held(queue, gate, *(Job(int, key="k") for _ in range(5)))
        assert all(job.cancel() for job in jobs)
        again = queue.submit(Job(int, 7, key="k"))
        gate.open()
        assert again.result(WAIT) == 7
        assert queue.wait(WAIT)
        assert (queue.stats().cancelled, queue.stats().queued) == (5, 0)


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, CancelledError])
def test_a_failure_lets_the_next_one_go(settings, gate, error):
    """
    Whatever was raised.
    """

    def fail():
        gate()
        raise error("no")

    with WorkerQueue(2, 16, **settings) as queue:
        failed = queue.submit(Job(fail, key="k"))
        gate.wait_until_entered()
        after = queue.submit(Job(int, key="k"))
        gate.open()
        assert after.result(WAIT) == 0
        assert type(failed.exception(WAIT)) is error


def test_a_retry_keeps_its_key(settings, until):
    """
    Also while it waits for the next attempt, when it occupies no worker.
    """
    ran = []

    def fails_twice():
        ran.append("try")
        if len(ran) < 3:
            raise OSError

    with WorkerQueue(2, 16, **settings) as queue:
        first = queue.submit(Job(fails_twice, key="k", retry=Retry(attempts=3, base=0.3, jitter="none")))
        second = queue.submit(Job(ran.append, "second", key="k"))
        until(lambda: queue.stats().retrying == 1)
        assert (queue.submit(int).result(WAIT), second.done()) == (0, False)
        assert (first.result(WAIT), second.result(WAIT)) == (None, None)
    assert ran == ["try", "try", "try", "second"]


def test_a_job_cancelled_between_two_attempts_gives_its_key_back(settings, until):
    """
    At once, and not when the next attempt would have been due.
    """

    def fail():
        raise OSError

    with WorkerQueue(2, 16, **settings) as queue:
        first = queue.submit(Job(fail, key="k", retry=Retry(attempts=2, base=1000, cap=1000, jitter="none")))
        second = queue.submit(Job(int, key="k"))
        until(lambda: queue.stats().retrying == 1)
        assert first.cancel()
        assert second.result(WAIT) == 0


def test_a_delayed_job_has_no_key_before_it_is_due(settings, gate, until):
    """
    Its place among those of its key is where it is when its time has come.
    """
    ran = []
    with WorkerQueue(2, 16, **settings) as queue:
        much_later = queue.submit(Job(ran.append, "much later", key="k", delay=1000))
        assert queue.submit(Job(ran.append, "at once", key="k")).result(WAIT) is None
        held(queue, gate, Job(ran.append, "first", key="k"))
        later = queue.submit(Job(ran.append, "later", key="k", delay=0.02))
        until(lambda: queue.stats().delayed == 1)
        after = queue.submit(Job(ran.append, "after", key="k"))
        gate.open()
        assert (later.result(WAIT), after.result(WAIT)) == (None, None)
        assert much_later.cancel()
    assert ran == ["at once", "first", "later", "after"]


def test_a_cancelled_delayed_job_leaves_its_key_alone(settings):
    """
    Neither taken nor freed by it.
    """
    with WorkerQueue(2, 16, **settings) as queue:
        later = queue.submit(Job(int, key="k", delay=1000))
        assert later.cancel()
        assert [queue.submit(Job(int, n, key="k")).result(WAIT) for n in range(3)] == [0, 1, 2]
    assert queue.stats().cancelled == 1


def test_a_full_queue_counts_jobs_behind_their_key(gate):
    """
    They are queued, if not ready.
    """
    with WorkerQueue(2, 2) as queue:
        held(queue, gate, Job(int, key="k"), Job(int, key="k"))
        with pytest.raises(RuntimeError, match="is full"):
            queue.try_submit(Job(int))
        gate.open()


# ---- the end -------------------------------------------------------------------------


def test_stop_runs_what_waits_for_its_key(settings, gate):
    """
    Accepted means resolved.
    """
    ran = []
    queue = WorkerQueue(3, 64, **settings)
    held(queue, gate, *(Job(ran.append, n, key="k") for n in range(20)))
    assert queue.stop(0).not_started == 20
    gate.open()
    assert queue.stop(WAIT).succeeded == 21
    assert ran == list(range(20))


def test_stop_now_cancels_what_waits_for_its_key(settings, gate):
    """
    Also behind a job that runs: it does not run afterwards.
    """
    ran = []
    queue = WorkerQueue(2, 64, **settings)
    first, jobs = held(queue, gate, *(Job(ran.append, n, key="k") for n in range(20)))
    report = queue.stop_now()
    assert (report.cancelled, report.not_started, len(report.running)) == (20, 0, 1)
    assert all(job.cancelled() for job in jobs)
    gate.open()
    assert queue.wait(WAIT)
    assert (first.done(), ran) == (True, [])


def test_stop_now_cancels_what_waits_behind_a_job_that_is_tried_again(settings, until):
    """
    The key's holder is in no lane and on no worker.
    """

    def fail():
        raise OSError

    queue = WorkerQueue(2, 64, **settings)
    first = queue.submit(Job(fail, key="k", retry=Retry(attempts=2, base=1000, cap=1000, jitter="none")))
    jobs = [queue.submit(Job(int, key="k")) for _ in range(5)]
    until(lambda: queue.stats().retrying == 1)
    assert queue.stop_now().not_started == 0
    assert queue.wait(WAIT)
    assert all(job.cancelled() for job in [first, *jobs])


# ---- waits that cannot end -----------------------------------------------------------------


@pytest.mark.parametrize("wait", ["result", "exception"])
def test_a_job_that_waits_for_one_of_its_own_key_is_told(settings, wait):
    """
    It could never end: the key is free when the waiting job is done.
    """
    with WorkerQueue(2, 16, **settings) as queue:
        inner = []

        def outer():
            inner.append(queue.submit(Job(int, 3, key="k")))
            getattr(inner[0], wait)()

        error = queue.submit(Job(outer, key="k", name="outer")).exception(WAIT)
        assert isinstance(error, DeadlockError)
        assert "key" in str(error)
        assert inner[0].result(WAIT) == 3


@pytest.mark.parametrize("dispatch", ["shared", "ready"])
def test_a_job_run_in_place_of_a_wait_holds_the_key_of_who_waits(dispatch):
    """
    A keyed job waits for a plain one, which its worker runs, and which waits for the key.
    """
    with WorkerQueue(1, 16, dispatch=dispatch) as queue:

        def inner():
            with pytest.raises(DeadlockError):
                queue.submit(Job(int, key="k")).result()

        def outer():
            return queue.submit(inner).exception()

        assert queue.submit(Job(outer, key="k")).result(WAIT) is None


def test_what_can_end_is_waited_for(settings):
    """
    Another key, no key, one that is done, and the own key after the job's end.
    """
    with WorkerQueue(2, 64, **settings) as queue:

        def outer():
            done = queue.submit(int, 1)
            return done.result(), queue.submit(Job(int, 2, key="other")).result(), queue.submit(Job(int, 3)).result()

        for _ in range(20):
            assert queue.submit(Job(outer, key="k")).result(WAIT) == (1, 2, 3)

        def plain():
            return queue.submit(Job(int, 4, key="k")).result()

        assert [job.result(WAIT) for job in [queue.submit(plain) for _ in range(20)]] == 20 * [4]


def test_a_done_job_of_the_same_key_has_its_result(settings):
    """
    Nothing is waited for.
    """
    with WorkerQueue(2, 64, **settings) as queue:
        done = queue.submit(Job(int, 5, key="k"))
        assert queue.submit(Job(done.result, key="k")).result(WAIT) == 5
        cancelled = []

        def cancels():
            cancelled.append(queue.submit(Job(int, key="k")))
            cancelled[0].cancel()
            cancelled[0].result()

        assert isinstance(queue.submit(Job(cancels, key="k")).exception(WAIT), CancelledError)


def test_a_key_of_another_queue_is_another_key(settings):
    """
    A job may wait for one of the same key elsewhere.
    """
    with WorkerQueue(1, 16, **settings) as other, WorkerQueue(1, 16, **settings) as queue:

        def outer():
            return other.submit(Job(int, 6, key="k")).result(WAIT)

        assert queue.submit(Job(outer, key="k")).result(WAIT) == 6


# ---- stress --------------------------------------------------------------------------------


@pytest.mark.stress
def test_no_job_of_a_key_is_lost_or_overtaken(settings, run_in_threads):
    """
    Ledger: four producers with keys of their own, some jobs cancelled, failing, retried, delayed keys left out.
    """
    turns = {(number, key): Turns() for number in range(4) for key in range(7)}
    cancelled = set()
    tried = set()

    def job(turn, what):
        turn(what)
        if what % 11 == 0 and (id(turn), what) not in tried:
            tried.add((id(turn), what))
            turn.order.pop()
            raise OSError

    retry = Retry(attempts=2, base=0, cap=0, jitter="none", on=OSError)
    with WorkerQueue(3, 64, **settings) as queue:

        def produce(number):
            chance = random.Random(number)
            for n in range(1500):
                key = (number, chance.randrange(7))
                future = queue.submit(Job(job, turns[key], n, key=key, priority=n % 3, retry=retry))
                if n % 13 == 0 and n % 11 and future.cancel():
                    cancelled.add((number, n))

        run_in_threads(4, produce)
        assert queue.wait(WAIT)
        stats = queue.stats()
        assert (stats.accepted, stats.queued, stats.failed, stats.cancelled) == (6000, 0, 0, len(cancelled))
    seen = set()
    for (number, _), turn in turns.items():
        assert turn.most <= 1
        assert turn.order == sorted(turn.order)
        seen |= {(number, n) for n in turn.order}
    assert seen == {(number, n) for number in range(4) for n in range(1500)} - cancelled
