"""Which keys are one: the equal ones, whatever their hashes; and what is left of one that nobody uses."""

import threading

import pytest

from ringpool import Job, JobTimeout, Retry, WorkerQueue

WAIT = 30


class Same:
    """Of one hash, and equal to those of the same name."""

    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return 7

    def __eq__(self, other):
        return self.name == other.name if isinstance(other, Same) else NotImplemented


PAIRS = [(-1, -2), (0, 2**61 - 1), (Same("a"), Same("b")), ((-1,), (-2,))]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=["ints", "modulus", "objects", "tuples"])
def test_keys_of_one_hash_run_beside_each_other(one, other):
    """
    As any two that are not equal.
    """
    assert hash(one) == hash(other)
    meeting = threading.Barrier(2)
    with WorkerQueue(2, 8) as queue:
        jobs = [queue.submit(Job(meeting.wait, WAIT, key=key)) for key in (one, other)]
        assert sorted(job.result(WAIT) for job in jobs) == [0, 1]


def test_a_job_may_wait_for_one_of_another_key_of_its_hash():
    """
    That is no deadlock.
    """
    with WorkerQueue(2, 8) as queue:
        outer = queue.submit(Job(lambda: queue.submit(Job(int, 3, key=-2)).result(), key=-1))
        assert outer.result(WAIT) == 3


def test_equal_objects_are_one_key(gate):
    """
    Not only the same ones.
    """
    with WorkerQueue(2, 8) as queue:
        queue.submit(Job(gate, key=Same("a")))
        gate.wait_until_entered()
        behind = queue.submit(Job(int, key=Same("a")))
        assert queue.submit(Job(int, key=Same("b"))).result(WAIT) == 0
        assert not behind.done()
        gate.open()
        assert behind.result(WAIT) == 0


def test_what_comparing_keys_raises_comes_out_of_submit(gate):
    """
    And nothing of that job is left.
    """

    class Broken:
        def __hash__(self):
            return 7

        def __eq__(self, other):
            raise ArithmeticError("no")

    with WorkerQueue(2, 8) as queue:
        queue.submit(Job(gate, key=Same("a")))
        with pytest.raises(ArithmeticError, match="no"):
            queue.submit(Job(int, key=Broken()))
        gate.open()
        assert queue.wait(WAIT)
        assert queue.stats().accepted == 1


def test_a_function_that_goes_on_after_its_time_keeps_its_key(gate):
    """
    Its future has ended, and the next of its key has to wait for it all the same.
    """
    with WorkerQueue(2, 8) as queue:
        late = queue.submit(Job(gate, key="k", timeout=0.01))
        assert isinstance(late.exception(WAIT), JobTimeout)
        after = queue.submit(Job(int, key="k"))
        assert queue.submit(Job(int, key="other")).result(WAIT) == 0
        assert not after.done()
        gate.open()
        assert after.result(WAIT) == 0


def test_a_key_that_nobody_uses_is_forgotten(gate, until):
    """
    However its jobs have ended.
    """

    def fail():
        raise OSError

    with WorkerQueue(2, 16, overflow="raise") as queue:
        futures = [queue.submit(Job(gate, key="k"))]
        gate.wait_until_entered()
        futures += [queue.submit(Job(int, key="k")), queue.submit(Job(int, key="other"))]
        futures.append(queue.submit(Job(fail, key="failing", retry=Retry(attempts=2, base=0, cap=0))))
        futures.append(queue.submit(Job(int, key="later", delay=1000)))
        futures.append(queue.submit(Job(int, key="expired", expires_in=0.01, delay=1000)))
        assert "later" in queue._settings.keys._numbers
        assert futures[4].cancel()
        gate.open()
        assert queue.wait(WAIT)
        until(lambda: not len(queue._settings.keys))
        assert all(future.done() for future in futures)


@pytest.mark.stress
def test_keys_come_and_go_in_many_threads(run_in_threads):
    """
    Ledger: four producers share few keys that are idle again and again, and no two jobs of one overlap.
    """
    inside = dict.fromkeys(range(3), 0)
    overlaps = []

    def job(key):
        inside[key] += 1
        if inside[key] != 1:
            overlaps.append(key)
        inside[key] -= 1

    with WorkerQueue(4, 8) as queue:

        def produce(number):
            for n in range(3000):
                queue.submit(Job(job, n % 3, key=Same(n % 3)))
                if n % 5 == number:
                    queue.wait(WAIT)

        run_in_threads(4, produce)
        assert queue.wait(WAIT)
        assert queue.stats().failed == 0
    assert (overlaps, inside, len(queue._settings.keys)) == ([], dict.fromkeys(range(3), 0), 0)
