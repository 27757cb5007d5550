"""A map over a range: its numbers are made by the workers, as they come to them."""

import os
import subprocess
import sys
import threading

import pytest

from ringpool import ThreadPoolExecutor, WorkerQueue

WAIT = 30  # seconds after which a wait has failed
LEAST, MOST = -(2**63), 2**63 - 1  # of what the core counts with

RANGES = [
    range(0),
    range(7, 3),
    range(1),
    range(5, 6, 10**30),
    range(1000),
    range(-500, 500, 7),
    range(500, -500, -3),
    range(63),
    range(64),
    range(65),
    range(192),
    range(193),
    range(LEAST, LEAST + 3),
    range(LEAST, MOST, MOST),
    range(MOST, LEAST, LEAST),
    range(MOST - 2, MOST + 1),
    range(MOST - 2, MOST + 2),
    range(LEAST - 1, LEAST + 2),
    range(MOST + 100, MOST - 100, -1),
    range(10**30, 10**30 + 5),
    range(0, 10**30, 10**29),
]


def same(x):
    return x


@pytest.fixture(params=["executor", "queue"])
def pool(request):
    with ThreadPoolExecutor(2) if request.param == "executor" else WorkerQueue(2, 16) as pool:
        yield pool


@pytest.mark.parametrize("numbers", RANGES, ids=str)
@pytest.mark.parametrize("buffersize", [None, 1, 10, 70_000])
def test_they_are_those_of_the_range(pool, numbers, buffersize):
    assert list(pool.map(same, numbers, timeout=WAIT, buffersize=buffersize)) == list(numbers)


@pytest.mark.parametrize("first", [range(100), list(range(100))])
def test_a_range_beside_another_input_is_an_input_as_any(pool, first):
    assert list(pool.map(lambda *both: both, first, range(1, 200), timeout=WAIT)) == list(
        zip(first, range(1, 200), strict=False)
    )


def test_each_is_run_once_by_any_number_of_workers():
    ran = []
    with ThreadPoolExecutor(8) as pool:
        for n in range(300):
            assert list(pool.map(ran.append, range(n), timeout=WAIT)) == [None] * n
            assert sorted(ran) == list(range(n))
            ran.clear()


def test_no_more_workers_come_than_there_are_numbers():
    """
    And all of those at once, since a number may wait for what another one does.
    """
    meeting = threading.Barrier(3)
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(lambda _: meeting.wait(WAIT), range(3), timeout=WAIT)) == [0, 1, 2]
        assert len(pool._threads) == 3


def test_an_error_ends_it_and_cancels_the_rest():
    ran = []

    def fail(x):
        ran.append(x)
        if x == 3:
            raise LookupError(x)
        return x

    with ThreadPoolExecutor(1) as pool:
        results = pool.map(fail, range(10**6), timeout=WAIT, buffersize=10)
        got = []
        with pytest.raises(LookupError):
            got.extend(iter(results.__next__, None))
        assert list(results) == []
    assert ran[:4] == [0, 1, 2, 3] and len(ran) <= 15


NOT_MADE = """
import resource, sys, threading
from ringpool import ThreadPoolExecutor

gate = threading.Event()
with ThreadPoolExecutor(1) as pool:
    list(pool.map(int, range(10)))
    held = pool.submit(gate.wait, 30)
    blocks, kilobytes = sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = pool.map(int, range(10**8))
    print("blocks", sys.getallocatedblocks() - blocks < 50)
    gate.set()
    print([next(results) for _ in range(1000)] == list(range(1000)))
    del results
print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kilobytes < 600_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory that is asked for and not used counts elsewhere")
def test_what_nobody_comes_to_is_never_made(run_script):
    """
    A hundred million numbers, of which a thousand are read: neither they nor the memory for their results are touched.
    """
    result = run_script(NOT_MADE)
    assert (result.stderr, result.stdout) == ("", "blocks True\nTrue\nmemory True\n")


def test_more_than_there_is_memory_for_are_refused_at_once():
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(MemoryError):
            pool.map(same, range(2**62))
        assert list(pool.map(same, range(3), timeout=WAIT)) == [0, 1, 2]


ON_ONE_PROCESSOR = """
import os
from ringpool import ThreadPoolExecutor
from ringpool._core.counts import counts

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
most = 0
for turn in range(30):
    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(abs, range(1000))) == 499_500
        most = max(most, counts(pool).accepted)
print(most)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be kept to one processor here")
def test_nobody_is_woken_for_numbers_that_have_been_run():
    """
    The first runner may be through with all of them before the next is submitted, which would find nothing, and so
    would the one after it: there were hundreds, 5 us each.
    """
    command = [sys.executable, "-c", ON_ONE_PROCESSOR]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert done.stderr == ""
    assert int(done.stdout) <= 4  # two, and one in place of either that has left and found that there was more
