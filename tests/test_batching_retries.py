"""A Batcher on a queue with a retry: the call is tried again with its items, which end with the last attempt."""

import pytest

from ringpool import Retry, WorkerQueue

WAIT = 30
LONG = 60  # seconds of max_wait in tests that must not need it
RETRY = Retry(attempts=3, base=0, cap=0)


class Flaky:
    """Fails so many times, then doubles."""

    def __init__(self, times):
        self.times = times
        self.calls = []

    def __call__(self, items):
        self.calls.append(items)
        if len(self.calls) <= self.times:
            raise OSError(f"try {len(self.calls)}")
        return [2 * item for item in items]


@pytest.fixture
def queue():
    with WorkerQueue(1, 8, retry=RETRY) as queue:
        yield queue


def test_a_batch_that_fails_is_tried_again_with_its_items(queue):
    """
    The counters tell of one job that was retried and has succeeded.
    """
    flaky = Flaky(2)
    with queue.batch(flaky, 3, LONG) as batcher:
        futures = [batcher.submit(i) for i in range(3)]
        assert [future.result(WAIT) for future in futures] == [0, 2, 4]
    assert flaky.calls == [[0, 1, 2]] * 3
    queue.stop()
    stats = queue.stats()
    assert (stats.succeeded, stats.failed, stats.retries) == (1, 0, 2)


def test_only_the_last_error_ends_the_items(queue):
    """
    All of them in the one that the job ends in, with the notes on those before.
    """
    flaky = Flaky(5)
    with queue.batch(flaky, 2, LONG) as batcher:
        futures = [batcher.submit(i) for i in range(2)]
        errors = [future.exception(WAIT) for future in futures]
    assert errors[0] is errors[1]
    assert str(errors[0]) == "try 3"
    assert any("try 1" in note for note in errors[0].__notes__)
    assert flaky.calls == [[0, 1]] * 3


def test_between_two_attempts_the_items_are_running(until):
    """
    They cannot be cancelled any more, and close() waits for them; stop_now() ends them.
    """
    with WorkerQueue(1, 8, retry=Retry(attempts=2, base=LONG, cap=LONG, jitter="none")) as queue:
        batcher = queue.batch(Flaky(5), 1, LONG)
        future = batcher.submit(1)
        until(lambda: queue.stats().retrying == 1)
        assert future.running() and not future.cancel()
        assert batcher._under_way
        queue.stop_now()
        batcher.close()
        assert future.done() and not batcher._under_way


def test_an_item_that_was_settled_by_hand_is_left_out(queue):
    """
    The next attempt is for those that have no result yet.
    """
    calls = []

    def settles_the_first(items):
        calls.append(items)
        if len(calls) == 1:
            futures[0].set_result("by hand")
            raise OSError
        return items

    with queue.batch(settles_the_first, 2, LONG) as batcher:
        futures = []
        queue.submit(lambda: futures.extend([batcher.submit(0)])).result(WAIT)
        futures.append(batcher.submit(1))
        assert [future.result(WAIT) for future in futures] == ["by hand", 1]
    assert calls == [[0, 1], [1]]


def test_a_batch_that_its_submitter_lost_ends_its_items(queue):
    """
    A signal handler may raise after the queue took the job, before anybody watches it.
    """

    class Lost(Exception):
        pass

    class Loses(WorkerQueue):
        lost = False

        def submit(self, *args):
            job = super().submit(*args)
            if not self.lost:
                self.lost = True
                job.exception(WAIT)
                raise Lost
            return job

    with Loses(1, 8, retry=RETRY) as queue:
        batcher = queue.batch(Flaky(5), 2, LONG)
        future = batcher.submit(0)
        with pytest.raises(Lost):
            batcher.submit(1)
        assert str(future.exception(WAIT)) == "try 3"
        batcher.close()


def test_the_error_of_a_batch_does_not_refer_to_its_items(queue):
    """
    Its traceback has the frame that called the function, which refers to no item any more.
    """

    def fail(items):
        raise OSError

    with queue.batch(fail, 1, LONG) as batcher:
        traceback = batcher.submit(1).exception(WAIT).__traceback__
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    (frame,) = [frame for frame in frames if frame.f_code.co_qualname == "Batch.run"]
    assert not {"self", "started"} & set(frame.f_locals)
