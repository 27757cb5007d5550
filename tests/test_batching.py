"""Batcher: single items in, lists to the function, each one its own result."""

import contextvars
import threading
import time
from concurrent.futures import CancelledError, wait

import pytest

from ringpool import QueueFull, QueueStopped, ThreadPoolExecutor, WorkerQueue
from ringpool.batching import Batcher

WAIT = 30
LONG = 60  # seconds of max_wait in tests that must not need it


class Recorder:
    """Doubles numbers and remembers in which lists they came."""

    def __init__(self):
        self.batches = []

    def __call__(self, items):
        self.batches.append(items)
        return [2 * item for item in items]


@pytest.fixture
def double():
    return Recorder()


@pytest.fixture
def queue():
    with WorkerQueue(2, 64) as queue:
        yield queue


@pytest.fixture
def held(gate):
    """
    A queue whose only worker is at the gate, with one place that is free.
    """
    with WorkerQueue(1, 1) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        yield queue
        gate.open()


# ---- going off ------------------------------------------------------------------------


def test_a_batch_goes_off_when_it_is_full(queue, double):
    """
    And not before: the third item of the second batch is missing.
    """
    batcher = Batcher(queue, double, 3, LONG)
    futures = [batcher.submit(i) for i in range(5)]
    assert [future.result(WAIT) for future in futures[:3]] == [0, 2, 4]
    assert not futures[3].done()
    batcher.close()
    assert ([future.result(0) for future in futures[3:]], double.batches) == ([6, 8], [[0, 1, 2], [3, 4]])


@pytest.mark.parametrize("max_wait", [0, 0.05])
def test_a_batch_goes_off_when_its_first_item_has_waited(queue, double, max_wait):
    """
    Not earlier than max_wait seconds after it, and without any help.
    """
    batcher = Batcher(queue, double, 100, max_wait)
    before = time.monotonic()
    future = batcher.submit(1)
    assert future.result(WAIT) == 2
    assert max_wait <= time.monotonic() - before < max_wait + 5


def test_the_time_is_that_of_the_first_item(queue, double):
    """
    The second does not put it off.
    """
    batcher = Batcher(queue, double, 100, 0.2)
    first, second = batcher.submit(1), batcher.submit(2)
    assert second.result(WAIT) == 4
    assert (first.result(0), double.batches) == (2, [[1, 2]])


def test_one_batch_after_the_other_goes_off_in_time(queue, double):
    """
    The helper thread is there for each, whether it has ended in between or not.
    """
    batcher = Batcher(queue, double, 100, 0.001)
    for i in range(20):
        assert batcher.submit(i).result(WAIT) == 2 * i
        if i % 5 == 4:
            for thread in threading.enumerate():
                if thread.name == "ringpool-timekeeper":
                    thread.join(WAIT)
    assert double.batches == [[i] for i in range(20)]


def test_flush_sends_what_waits(queue, double):
    """
    And does not close.
    """
    batcher = Batcher(queue, double, 100, LONG)
    future = batcher.submit(1)
    batcher.flush()
    assert future.result(WAIT) == 2
    batcher.flush()
    with batcher:
        last = batcher.submit(2)
    assert (last.result(0), double.batches) == (4, [[1], [2]])


def test_many_threads_may_submit(queue, double, run_in_threads):
    """
    Everyone gets their own result, and every batch but the last is full.
    """
    with Batcher(queue, double, 7, LONG) as batcher:
        futures = run_in_threads(4, lambda t: [(i, batcher.submit(i)) for i in range(1000 * t, 1000 * t + 1000)])
    assert all(future.result(0) == 2 * i for several in futures for i, future in several)
    assert sorted(i for batch in double.batches for i in batch) == list(range(4000))
    assert sorted(map(len, double.batches))[1:] == [7] * (4000 // 7)


def test_who_comes_too_late_to_fill_a_batch_does_not_send_the_next_one(queue, double):
    """
    Two threads that both saw a full batch: the second finds what came after it, which may wait.
    """
    batcher = Batcher(queue, double, 3, LONG)
    future = batcher.submit(1)
    batcher._send(batcher._waiting[0])
    assert (len(batcher._waiting), future.running()) == (1, False)
    batcher.close()
    assert future.result(0) == 2


def test_items_are_never_compared(queue, double):
    """
    What == means for an array is no business of a queue.
    """

    class Array:
        def __eq__(self, other):
            raise AssertionError("compared")

    batcher = Batcher(queue, lambda items: [0] * len(items), 2, LONG)
    futures = [batcher.submit(Array()) for _ in range(2)]
    assert [future.result(WAIT) for future in futures] == [0, 0]
    queue.stop()
    with pytest.raises(QueueStopped):
        batcher.submit(Array())


def test_the_function_runs_in_an_empty_context(queue):
    """
    Its items come from many contexts; none of them is better than the others.
    """
    variable = contextvars.ContextVar("variable", default="empty")
    variable.set("submitter's")
    with Batcher(queue, lambda items: [variable.get() for _ in items], 1, LONG) as batcher:
        assert batcher.submit(0).result(WAIT) == "empty"


# ---- what comes back --------------------------------------------------------------------


def test_an_exception_among_the_results_is_raised_for_its_item_only(queue):
    """
    One bad row does not fail the insert of the others.
    """
    with Batcher(queue, lambda items: [ValueError(i) if i == 1 else i for i in items], 3, LONG) as batcher:
        futures = [batcher.submit(i) for i in range(3)]
    assert (futures[0].result(0), futures[2].result(0)) == (0, 2)
    with pytest.raises(ValueError, match="^1$"):
        futures[1].result(0)


def test_what_the_function_raises_is_raised_for_every_item(queue):
    """
    And its job counts as failed.
    """
    error = KeyError("all")

    def fail(items):
        raise error

    with Batcher(queue, fail, 2, LONG) as batcher:
        futures = [batcher.submit(i) for i in range(2)]
    assert [future.exception(0) for future in futures] == [error, error]
    assert queue.stats().failed == 1


@pytest.mark.parametrize(
    ("results", "error"),
    [
        ([], "ValueError.* must return one result for each item: got 0 for 2 items"),
        ((1, 2, 3), "ValueError.* must return one result for each item: got 3 for 2 items"),
        (None, "TypeError.* must return a sequence with one result for each item, got NoneType"),
        ("ab", "TypeError.*got str"),
        ({1: 2, 3: 4}, "TypeError.*got dict"),
        ({1, 2}, "TypeError.*got set"),
        (iter([1, 2]), "TypeError.*got list_iterator"),
    ],
    ids=["short", "long", "None", "str", "dict", "set", "iterator"],
)
def test_a_wrong_result_is_an_error_for_every_item(queue, results, error):
    """
    Nobody waits for ever, and the message names the function.
    """

    def wrong(items):
        return results

    with Batcher(queue, wrong, 2, LONG) as batcher:
        futures = [batcher.submit(i) for i in range(2)]
    for future in futures:
        with pytest.raises((TypeError, ValueError)) as info:
            future.result(0)
        assert "wrong" in str(info.value)
        assert info.match(error.partition(".*")[2].replace(".*", ""))
        assert type(info.value).__name__ == error.partition(".*")[0]


# ---- cancelling --------------------------------------------------------------------------


def test_a_cancelled_item_is_not_passed_on(queue, double):
    """
    Whoever waits for it hears of it; the others get their own results.
    """
    with Batcher(queue, double, 3, LONG) as batcher:
        first, second = batcher.submit(1), batcher.submit(2)
        assert first.cancel()
        third = batcher.submit(3)
    assert (double.batches, second.result(0), third.result(0)) == ([[2, 3]], 4, 6)
    assert wait([first], timeout=WAIT).done == {first}


def test_a_batch_of_cancelled_items_calls_nothing(queue, double):
    """
    The function is never given an empty list.
    """
    with Batcher(queue, double, 100, LONG) as batcher:
        assert batcher.submit(1).cancel()
    assert double.batches == []


def test_an_item_that_has_started_is_not_cancelled(queue, gate):
    """
    As a job.
    """
    batcher = Batcher(queue, lambda items: (gate(), items)[1], 1, LONG)
    future = batcher.submit(1)
    gate.wait_until_entered()
    assert (future.running(), future.cancel()) == (True, False)
    gate.open()
    assert future.result(WAIT) == 1


def test_an_item_settled_by_hand_keeps_what_it_has(queue, double):
    """
    The first one counts, and the others of the batch get theirs.
    """
    with Batcher(queue, double, 2, LONG) as batcher:
        by_hand = batcher.submit(1)
        by_hand.set_result("mine")
        other = batcher.submit(2)
    assert (by_hand.result(0), other.result(0)) == ("mine", 4)


def test_leaving_the_block_on_an_exception_cancels_what_waits(queue, double):
    """
    As the queue's own block does.
    """
    with pytest.raises(KeyError), Batcher(queue, double, 100, LONG) as batcher:
        future = batcher.submit(1)
        raise KeyError
    assert future.cancelled()
    assert double.batches == []


# ---- a full queue -----------------------------------------------------------------------------


def test_a_batch_that_is_due_while_the_queue_is_full_stays_open(double, gate):
    """
    It takes more items, is offered again and again, and goes off when there is room.
    """
    offered = threading.Semaphore(0)

    class Telling(WorkerQueue):
        def try_submit(self, *args):
            offered.release()
            return super().try_submit(*args)

    with Telling(1, 1) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(int)
        batcher = Batcher(queue, double, 100, 0)
        first = batcher.submit(1)
        assert offered.acquire(timeout=WAIT) and offered.acquire(timeout=WAIT)
        second = batcher.submit(2)
        gate.open()
        assert (first.result(WAIT), second.result(WAIT)) == (2, 4)
    assert sorted(sum(double.batches, [])) == [1, 2]


def test_who_fills_a_batch_waits_for_room(held, double, gate):
    """
    Backpressure: the submit comes back when the queue has taken the batch.
    """
    held.submit(int)
    batcher = Batcher(held, double, 2, LONG)
    futures = [batcher.submit(1)]
    submitter = threading.Thread(target=lambda: futures.append(batcher.submit(2)))
    submitter.start()
    submitter.join(0.1)
    assert submitter.is_alive()
    gate.open()
    submitter.join(WAIT)
    assert [future.result(WAIT) for future in futures] == [2, 4]


def test_in_a_job_of_the_full_queue_submit_raises_and_the_others_wait_on(double):
    """
    Waiting would deadlock; the refused item is not run.
    """

    def job():
        waiting = [batcher.submit(1), batcher.submit(2)]
        queue.submit(int)
        with pytest.raises(QueueFull):
            batcher.submit(3)
        return waiting

    with WorkerQueue(1, 1) as queue:
        batcher = Batcher(queue, double, 3, LONG)
        waiting = queue.submit(job).result(WAIT)
        batcher.close()
    assert ([future.result(0) for future in waiting], double.batches) == ([2, 4], [[1, 2]])


# ---- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value", "error", "message"),
    [
        ("fn", 3, TypeError, "fn must be callable, got 3"),
        ("max_size", 0, ValueError, "max_size must be greater than 0, got 0"),
        ("max_size", 1.5, TypeError, "max_size must be a whole number, got 1.5"),
        ("max_wait", None, ValueError, "max_wait must be a finite number of seconds, got None"),
        ("max_wait", float("inf"), ValueError, "max_wait must be a finite number of seconds, got inf"),
        ("max_wait", float("nan"), ValueError, "max_wait must not be NaN"),
        ("max_wait", "1", TypeError, "max_wait must be a number of seconds or None, got '1'"),
        ("queue", None, TypeError, "queue must be a WorkerQueue, got None"),
    ],
)
def test_wrong_arguments_are_named(queue, double, argument, value, error, message):
    """
    At the call that got them.
    """
    arguments = {"queue": queue, "fn": double, "max_size": 1, "max_wait": 0, argument: value}
    with pytest.raises(error) as info:
        Batcher(**arguments)
    assert str(info.value) == message


def test_an_executor_is_no_queue(double):
    """
    It has no bound, and no way to be asked for room without waiting.
    """
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="queue must be a WorkerQueue"):
        Batcher(pool, double, 1, 0)


def test_repr_says_what_waits(queue):
    """
    For the log.
    """
    batcher = Batcher(queue, len, 8, LONG)
    future = batcher.submit(1)
    assert repr(batcher) == "<Batcher of <built-in function len> open, 1 of 8 items waiting>"
    assert future.cancel()
    batcher.close()
    assert repr(batcher) == "<Batcher of <built-in function len> closed, 0 of 8 items waiting>"
    with pytest.raises(CancelledError):
        future.result(0)
