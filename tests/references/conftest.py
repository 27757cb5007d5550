"""How the references of the whole process are counted."""

import gc
import os
import sys
import time
from array import array

import pytest

TIMES = int(os.environ.get("RINGPOOL_REFERENCES_TIMES", "50"))


def counted():
    """
    The references there are once nobody drops any more: what a thread gave up a moment ago may still be on its way, and
    of what threads of a free-threaded build leave to each other some goes with one collection and some with the next.
    """
    before, now, until = 0, sys.gettotalrefcount(), time.monotonic() + 5
    while now != before and time.monotonic() < until:
        time.sleep(0.001)
        gc.collect()
        before, now = now, sys.gettotalrefcount()
    return now


@pytest.fixture
def assert_flat():
    if not hasattr(sys, "gettotalrefcount"):
        pytest.skip("only a debug build of the interpreter counts its references")
    return flat


def flat(act, times=TIMES, before=2):
    """
    Of the totals after each window of *times* acts the same comes three times.

    It may be one more or less, by what a worker did last, and without the GIL many more until a worker that sleeps has let
    go of what others gave it back; but where something is kept, or given up too often, each
    time, none comes twice. *before* windows are not counted: what is made at the first use, a name, a record to be used
    again, is kept.
    """
    totals = array("q", [0] * 40)
    for window in range(-before, len(totals)):
        for _ in range(times):
            act()
        if window >= 0:
            totals[window] = counted()
            if totals[: window + 1].count(totals[window]) == 3:
                return
    grown = [after - before for before, after in zip(totals, totals[1:])]
    pytest.fail(f"references more after each {times} times: {grown}")
