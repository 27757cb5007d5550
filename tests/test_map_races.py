"""Maps of many threads, or whose runners and reader just miss each other."""

import itertools
import random
import time

import pytest

from ringpool import ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed
SOON = 5  # the same, where WAIT has to pass before anybody looks again


def test_threads_that_share_an_iterator_never_get_the_same_result(run_in_threads):
    """
    Each next() is refused, or has a result of its own.
    """

    def read(i, results):
        mine = []
        while True:
            try:
                mine.append(next(results))
            except StopIteration:
                return mine
            except ValueError:
                time.sleep(0)  # or, with a GIL, it would be long before the other one has it

    with ThreadPoolExecutor(2) as pool:
        for buffersize in (None, 3, 100):
            results = pool.map(abs, range(500), timeout=WAIT, buffersize=buffersize)
            parts = run_in_threads(4, read, results)
            assert sorted(itertools.chain(*parts)) == list(range(500))
            assert all(part == sorted(part) for part in parts)


@pytest.mark.parametrize("workers", [1, 4])
def test_maps_of_many_threads_that_end_anyhow_have_the_right_results(workers, run_in_threads):
    end = time.monotonic() + 1.5

    def body(i, pool):
        chance, maps = random.Random(i), 0
        while time.monotonic() < end:
            n = chance.choice([0, 1, 2, 63, 64, 65, chance.randrange(400)])
            start = chance.randrange(10**6)
            window = chance.choice([None, None, 1, 2, 5, 64, 100])
            results = pool.map(abs, range(start, start + n), timeout=WAIT, buffersize=window)
            wanted = n if chance.random() < 0.5 else chance.randrange(n + 1)
            assert list(itertools.islice(results, wanted)) == list(range(start, start + wanted))
            if chance.random() < 0.3:
                results.close()
            maps += 1
        return maps

    with ThreadPoolExecutor(workers) as pool:
        assert all(run_in_threads(8, body, pool))


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_no_wake_up_is_lost_between_an_item_and_runners_that_leave(workers):
    """
    One item at a time, so that a runner is on its way out each time, and the reader on its way to sleep.
    """
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(abs, itertools.count(), timeout=WAIT, buffersize=1)
        for n in range(20_000):
            begin = time.monotonic()
            assert next(results) == n
            assert time.monotonic() - begin < SOON, "it was there, and nobody woke the reader"
        results.close()
