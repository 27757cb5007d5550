"""stats().spins: how often workers looked out for a job before they slept, and whether that paid."""

import os

import pytest

cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

PROGRAM = """
import time
from ringpool import WorkerQueue

deadline = time.monotonic() + 20
with WorkerQueue(2, 8) as queue:
    rounds, grew = 0, True
    for turn in range(1, 8):
        while rounds < 20 * turn or (TILL and not queue.stats().spin_hits and time.monotonic() < deadline):
            rounds += 1
            queue.submit(int).result()
        before = queue.stats()
        queue.resize(1)  # now the one leaves, and now the other
        while queue.stats().workers > 1 and time.monotonic() < deadline:
            time.sleep(0.0005)
        grew = grew and before.spins <= queue.stats().spins
        queue.resize(2)
    stats = queue.stats()
    print(grew, stats.spin_hits <= stats.spins <= 3 * rounds)
    print(stats.spins > 0, stats.spin_hits > 0)
"""


@pytest.mark.skipif(cpus < 2, reason="nobody looks out where there is one processor")
def test_a_worker_that_looks_out_is_counted_and_so_is_whether_that_paid(run_script):
    """
    For a millisecond, in which the next job comes sooner or later; a worker that has left has been counted.
    """
    result = run_script(PROGRAM.replace("TILL", "True"), env={"RINGPOOL_SPIN_US": "1000"})
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "True True\nTrue True\n")


def test_where_nobody_looks_out_nobody_is_counted(run_script):
    result = run_script(PROGRAM.replace("TILL", "False"), env={"RINGPOOL_SPIN_US": "0"})
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "True True\nFalse False\n")


@pytest.mark.parametrize("said", ["", "20", "1000"])
def test_an_empty_limit_is_the_default(run_script, said):
    """
    As where a file of settings leaves it out.
    """
    result = run_script("import ringpool; print('there')", env={"RINGPOOL_SPIN_US": said})
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "there\n")
