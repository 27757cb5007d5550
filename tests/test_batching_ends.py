"""The end of a Batcher and of its queue: everything accepted is resolved."""

import os
from concurrent.futures import wait

import pytest

from ringpool import QueueStopped, WorkerQueue
from ringpool.batching import Batcher

WAIT = 30
LONG = 60  # seconds of max_wait in tests that must not need it


def double(items):
    return [2 * item for item in items]


@pytest.fixture
def queue():
    with WorkerQueue(2, 64) as queue:
        yield queue


def test_a_closed_batcher_refuses(queue):
    """
    Any number of closes.
    """
    batcher = Batcher(queue, double, 100, LONG)
    batcher.close()
    batcher.close()
    with pytest.raises(QueueStopped, match="the batcher takes no more items: it was closed"):
        batcher.submit(1)


def test_a_stopped_queue_refuses():
    """
    With the queue's own words.
    """
    queue = WorkerQueue(1, 8, name="mail")
    batcher = Batcher(queue, double, 100, LONG)
    queue.stop()
    with pytest.raises(QueueStopped, match="mail takes no more jobs: it was stopped"):
        batcher.submit(1)


def test_who_fills_a_batch_that_a_stopped_queue_refuses_is_told():
    """
    By the error; the others, by their futures.
    """

    class StoppedMeanwhile(WorkerQueue):
        def submit(self, *args):
            self.stop()
            return super().submit(*args)

    batcher = Batcher(StoppedMeanwhile(1, 8), double, 2, LONG)
    future = batcher.submit(1)
    with pytest.raises(QueueStopped) as info:
        batcher.submit(2)
    assert future.exception(0) is info.value


@pytest.mark.parametrize("end", ["timekeeper", "flush", "close"])
@pytest.mark.parametrize("stop", ["stop", "stop_now"])
def test_items_that_wait_when_their_queue_stops_end_in_an_error(end, stop):
    """
    Within a second also where max_wait is long.
    """
    queue = WorkerQueue(1, 8)
    batcher = Batcher(queue, double, 100, LONG)
    future = batcher.submit(1)
    getattr(queue, stop)()
    if end != "timekeeper":
        getattr(batcher, end)()
    with pytest.raises(QueueStopped):
        future.result(WAIT)
    queue.wait()


def test_batches_in_the_queue_are_run_by_stop_and_cancelled_by_stop_now(gate):
    """
    As any other job; when stop() returns, the items are resolved.
    """
    for end in ("stop", "stop_now"):
        queue = WorkerQueue(1, 8)
        queue.submit(gate)
        batcher = Batcher(queue, double, 1, LONG)
        future = batcher.submit(1)
        if end == "stop_now":
            gate.wait_until_entered()
            queue.stop_now()
            assert future.cancelled()
            assert wait([future], timeout=WAIT).done
        gate.open()
        queue.stop()
        assert future.done()
        if end == "stop":
            assert future.result(0) == 2
            gate = type(gate)()


def test_submit_and_close_race_until_one_wins(queue, run_in_threads):
    """
    An item is refused, or has its result when close() has returned and submit has.
    """
    for _ in range(100):
        batcher = Batcher(queue, double, 2, LONG)

        def part(i, batcher=batcher):
            if not i:
                return batcher.close()
            try:
                return batcher.submit(i)
            except QueueStopped:
                return None

        assert all(future.result(WAIT) for future in run_in_threads(4, part) if future is not None)


def test_what_waits_at_exit_is_run(run_script):
    """
    Before the queue is drained; and the exit does not wait for max_wait.
    """
    result = run_script(f"""
from ringpool import WorkerQueue
from ringpool.batching import Batcher
queue = WorkerQueue(1, 8)
queue.submit(int)  # CPython 3.12 starts no worker any more at exit
Batcher(queue, lambda items: print(items) or items, 100, {LONG}).submit(1)
""")
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "[1]\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_in_a_forked_child_the_batcher_starts_over(run_script):
    """
    What waited goes on in the parent only.
    """
    result = run_script(f"""
import os, warnings
from ringpool import WorkerQueue
from ringpool.batching import Batcher
warnings.simplefilter("ignore", DeprecationWarning)
queue = WorkerQueue(1, 8)
batcher = Batcher(queue, lambda items: items, 2, {LONG})
future = batcher.submit(1)
pid = os.fork()
if pid == 0:
    print(type(future.exception(0)).__name__, [batcher.submit(i) for i in "ab"][0].result(10), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
batcher.close()
print(future.result(0))
queue.stop()
""")
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "BrokenThreadPool a\n1\n")
