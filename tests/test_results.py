"""WorkerQueue.results(): every finished future once, in order, in bounded memory, until the end."""

import threading
from collections import Counter
from concurrent import futures

import pytest

from ringpool import WorkerQueue

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened


class Reader:
    """Reads a queue's results in a thread of its own, to their end."""

    def __init__(self, results):
        self.read = []
        self.ended = threading.Event()
        self._one = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(results,))
        self._thread.start()

    def _run(self, results):
        for future in results:
            self.read.append(future)
            self._one.release()
        self.ended.set()

    def wait_for(self, n):
        for _ in range(n):
            assert self._one.acquire(timeout=WAIT), f"only {len(self.read)} came"

    def join(self):
        assert self.ended.wait(WAIT), f"does not end after {len(self.read)}"
        self._thread.join(WAIT)
        return self.read


# ---- order and end -------------------------------------------------------------


def test_results_come_in_the_order_in_which_they_finished():
    """
    Whoever saw a job's result before he let another go gets them in that order.
    """
    with WorkerQueue(2, 4) as queue:
        results = queue.results()
        for _ in range(2000):
            first_may, second_may = threading.Event(), threading.Event()
            second = queue.submit(second_may.wait, WAIT)
            first = queue.submit(first_may.wait, WAIT)
            first_may.set()
            first.result(WAIT)
            second_may.set()
            assert [next(results), next(results)] == [first, second]


def test_a_slow_callback_does_not_change_the_order(gate):
    """
    A future is finished when it is done, not when its callbacks are.
    """
    with WorkerQueue(2, 4) as queue:
        reader = Reader(queue.results())
        go_on = threading.Event()
        slow = queue.submit(go_on.wait, WAIT)
        slow.add_done_callback(gate)
        go_on.set()
        gate.wait_until_entered()
        fast = queue.submit(int)
        fast.result(WAIT)
        gate.open()
        reader.wait_for(2)
        assert reader.read == [slow, fast]


def test_results_do_not_wait_for_jobs_submitted_earlier(gate):
    """
    Completion order, not submission order: one slow job holds nobody back.
    """
    with WorkerQueue(2, 4) as queue:
        results = queue.results()
        slow = queue.submit(gate)
        gate.wait_until_entered()
        fast = queue.submit(int)
        assert next(results) is fast
        gate.open()
        assert next(results) is slow


def test_results_end_when_stopped_and_all_is_handed_out_and_not_before(gate):
    """
    Neither an idle queue nor one that is stopping has ended.
    """
    queue = WorkerQueue(2, 4)
    reader = Reader(queue.results())
    first = queue.submit(int)
    reader.wait_for(1)
    queue.wait(WAIT)
    assert not reader.ended.wait(MOMENT), "ended while the queue takes jobs"

    last = [queue.submit(gate), queue.submit(gate)]
    gate.wait_until_entered(2)
    queue.stop(0)
    assert not reader.ended.wait(MOMENT), "ended while jobs ran"

    gate.open()
    assert reader.join()[0] is first
    assert set(reader.read[1:]) == set(last)
    assert queue.stop(WAIT).complete


@pytest.mark.parametrize("end", ["stop", "stop_now"])
def test_readers_that_wait_are_released_by_the_end_of_an_idle_queue(end):
    """
    Nothing will come any more, so nobody may wait for it.
    """
    queue = WorkerQueue(1, 4)
    readers = [Reader(queue.results()) for _ in range(3)]
    queue.submit(int)
    queue.wait(WAIT)
    getattr(queue, end)()

    assert sum(len(reader.join()) for reader in readers) == 1
    assert queue.stop(WAIT).complete


def test_readers_are_released_when_a_spare_worker_finishes_last(gate):
    """
    The job that made the spare necessary is long over, and so is every other worker.
    """
    queue = WorkerQueue(1, 8)
    readers = [Reader(queue.results()) for _ in range(2)]

    def outer():
        inner = queue.submit(gate)
        futures.wait([inner], timeout=MOMENT)  # has a spare worker hired

    queue.submit(outer).result(WAIT)
    gate.wait_until_entered()
    for reader in readers:
        assert not reader.ended.wait(MOMENT), "ended while a job ran"
    queue.stop(0)
    gate.open()
    assert sum(len(reader.join()) for reader in readers) == 2
    assert queue.stop(WAIT).complete


def test_results_of_a_stopped_queue_are_what_was_kept_and_then_nothing():
    """
    The iterator stays at its end, and so does a new one.
    """
    queue = WorkerQueue(1, 4)
    jobs = [queue.submit(int) for _ in range(5)]
    queue.stop(WAIT)
    results = queue.results()

    assert iter(results) is results
    assert list(results) == jobs
    assert (list(results), list(queue.results()), next(results, "end")) == ([], [], "end")
    assert list(unused_and_stopped().results()) == []


def unused_and_stopped():
    queue = WorkerQueue(1, 1)
    queue.stop(WAIT)
    return queue


# ---- every future once ---------------------------------------------------------------


def test_every_kind_of_end_comes_out():
    """
    Returned, raised, cancelled, settled by hand: each resolved future once.
    """
    go_on = threading.Event()
    queue = WorkerQueue(1, 8)
    jobs = [queue.submit(go_on.wait, WAIT), queue.submit(int), queue.submit(int, "x")]
    jobs += [queue.submit(int), queue.submit(int)]
    assert jobs[3].cancel()
    jobs[4].set_result("by hand")
    go_on.set()
    queue.stop(WAIT)

    assert Counter(queue.results()) == Counter(jobs)
    assert all(job.done() for job in jobs)


def test_what_stop_now_cancels_comes_out_too(gate):
    """
    A reader that counts what it submitted must not wait for ever.
    """
    queue = WorkerQueue(1, 8)
    reader = Reader(queue.results())
    jobs = [queue.submit(gate)]
    gate.wait_until_entered()
    jobs += [queue.submit(int) for _ in range(8)]
    queue.stop_now()
    reader.wait_for(8)
    assert all(future.cancelled() for future in reader.read)
    gate.open()

    assert Counter(reader.join()) == Counter(jobs)
    assert queue.stop(WAIT).cancelled == 8


def test_several_readers_share_one_stream_and_each_future_comes_out_once(run_in_threads):
    """
    Ledger: what four readers got together is what three producers submitted,
    cancelled ones included.
    """
    n = 6000
    queue = WorkerQueue(3, 16, keep_results=8)
    streams = [queue.results() for _ in range(4)]
    read = [[] for _ in range(4)]
    submitted = [[] for _ in range(3)]
    left = threading.Semaphore(2)

    def body(i):
        if i < 4:
            read[i].extend(streams[i])
            return
        for k in range(n):
            future = queue.submit(int)
            submitted[i - 4].append(future)
            if k % 7 == 0:
                future.cancel()
        if not left.acquire(blocking=False):
            queue.stop(0)

    run_in_threads(7, body)
    assert Counter(sum(read, [])) == Counter(sum(submitted, []))
    assert len(sum(read, [])) == 3 * n
    assert queue.stop(WAIT).complete


def test_a_reader_that_leaves_early_leaves_the_rest_to_the_next():
    """
    A broken-off for loop loses nothing.
    """
    queue = WorkerQueue(1, 8)
    jobs = [queue.submit(int) for _ in range(8)]
    queue.stop(WAIT)
    read = []
    for future in queue.results():
        read.append(future)
        if len(read) == 3:
            break

    assert read + list(queue.results()) == jobs


def test_results_of_a_queue_that_was_not_made_are_refused():
    """
    A subclass that forgot super().__init__() is told so, and not something about keep_results.
    """

    class Forgetful(WorkerQueue):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match=r"Forgetful.__init__\(\) was not called"):
        Forgetful().results()
