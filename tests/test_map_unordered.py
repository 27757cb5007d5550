"""map(ordered=False): results as they come, from an input of any length."""

import gc
import itertools
import threading
import time
import weakref
from concurrent.futures import CancelledError

import pytest

from ringpool import QueueStopped, Retry, ThreadPoolExecutor, WorkerQueue

WAIT = 30  # seconds after which a wait has failed


@pytest.fixture(params=["queue", "executor", "planned"])
def pool(request):
    """Three that have two workers each."""
    if request.param == "executor":
        made = ThreadPoolExecutor(2)
    else:
        made = WorkerQueue(2, 16, retry=Retry(attempts=2, on=KeyError) if request.param == "planned" else None)
    with made:
        yield made


def test_every_result_comes_once(pool):
    for size in (0, 1, 2, 1000):
        assert sorted(pool.map(abs, range(-size, 0), ordered=False)) == list(range(1, size + 1))
    assert sorted(pool.map(pow, range(5), itertools.repeat(2), ordered=False)) == [0, 1, 4, 9, 16]


def test_a_slow_item_holds_up_none_behind_it(pool, gate):
    """
    They come as they finish: in order, with one worker left for them; and the input is read on.
    """

    def job(n):
        return gate(n) if n == 0 else n

    results = pool.map(job, range(100), ordered=False, buffersize=3)
    assert [next(results) for _ in range(99)] == list(range(1, 100))
    gate.open()
    assert list(results) == [0]


def test_it_reads_no_further_ahead_than_it_may(pool):
    """
    So many items at the call, and one for each result that is taken.
    """
    read = []

    def numbers():
        for n in itertools.count():
            read.append(n)
            yield n

    results = pool.map(abs, numbers(), ordered=False, buffersize=4)
    assert len(read) == 4
    got = []
    for n in range(50):
        got.append(next(results))
        assert len(read) == 5 + n
    results.close()
    assert len(set(got)) == 50 and max(got) < 54


def test_what_has_been_read_is_not_kept():
    """
    Of an endless input, no more than what is ahead.
    """

    class Thing:
        pass

    with WorkerQueue(2, 8, keep_results=0) as queue:
        results = queue.map(lambda n: Thing(), itertools.count(), ordered=False)
        things = [weakref.ref(next(results)) for _ in range(200)]
        gc.collect()
        assert sum(thing() is not None for thing in things) <= 1
        results.close()


def test_the_first_error_ends_it_and_cancels_the_rest(pool, gate):
    def job(n):
        ran.append(n)
        if n == 1:
            raise LookupError("here")
        return gate(n)

    ran = []
    results = pool.map(job, range(16), ordered=False)
    with pytest.raises(LookupError, match="here"):
        next(results)
    assert next(results, "end") == "end"
    gate.open()
    if isinstance(pool, WorkerQueue):
        pool.wait(WAIT)
    else:
        pool.shutdown()
    assert len(ran) <= 3


def test_an_error_does_not_outlive_its_reader():
    """
    The iterator's frames and the error do not hold each other.
    """

    class Lost(Exception):
        pass

    def fail(n):
        error = Lost()
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    errors = []
    gc.disable()
    try:
        with WorkerQueue(1, 8, keep_results=0, report_unread=False) as queue:
            with pytest.raises(Lost):
                list(queue.map(fail, [1], ordered=False))
        assert errors[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("end", ["close", "drop"])
@pytest.mark.parametrize("begun", [False, True])
def test_ending_it_cancels_the_rest_only_if_reading_has_begun(pool, gate, end, begun):
    """
    As that of an ordered map: unread, it may have been made for its effects.
    """

    def job(n):
        ran.append(n)
        return gate(n) if n else n

    ran = []
    results = pool.map(job, range(10), ordered=False)
    if begun:
        assert next(results) == 0
    gate.wait_until_entered(1)
    if end == "close":
        results.close()
    del results
    gate.open()
    if isinstance(pool, WorkerQueue):
        pool.wait(WAIT)
    else:
        pool.shutdown()
    assert len(ran) <= 3 if begun else sorted(ran) == list(range(10))


def test_a_result_that_is_late_ends_it(pool, gate):
    results = pool.map(gate, range(3), ordered=False, timeout=0.01)
    with pytest.raises(TimeoutError):
        next(results)
    assert next(results, "end") == "end"
    gate.open()


def test_a_result_that_is_there_is_never_late(pool):
    results = pool.map(abs, range(5), ordered=False, timeout=0.0)
    while isinstance(pool, WorkerQueue) and not pool.wait(WAIT):
        pass
    if isinstance(pool, ThreadPoolExecutor):
        pool.shutdown()
    assert sorted(results) == list(range(5))


def test_an_input_that_raises_ends_it(pool):
    def numbers():
        yield from range(2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pool.map(abs, numbers(), ordered=False)
    results = pool.map(abs, numbers(), ordered=False, buffersize=1)
    with pytest.raises(ZeroDivisionError):
        list(results)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"timeout": WAIT}])
def test_a_job_may_map_on_its_own_queue(workers, settings):
    """
    It runs what nobody else does, or another worker is there meanwhile.
    """

    def outer(n):
        return sum(queue.map(abs, range(n), ordered=False))

    with WorkerQueue(workers, 1024, **settings) as queue:
        assert sorted(queue.map(outer, range(20), ordered=False)) == sorted(sum(range(n)) for n in range(20))


def test_stop_now_ends_it_with_cancelled_error(gate):
    """
    And stop with QueueStopped, as soon as it would feed the next item.
    """
    with WorkerQueue(1, 8) as queue:
        results = queue.map(gate, range(4), ordered=False)
        gate.wait_until_entered()
        queue.stop_now()
        with pytest.raises(CancelledError):
            next(results)
        gate.open()
    queue = WorkerQueue(1, 8)
    results = queue.map(abs, itertools.count(), ordered=False)
    queue.stop()
    with pytest.raises(QueueStopped):
        next(results)


def test_readers_in_many_threads_have_maps_of_their_own(pool, run_in_threads):
    def read(thread):
        return sorted(pool.map(abs, range(300), ordered=False, buffersize=4))

    assert run_in_threads(4, read) == 4 * [list(range(300))]


def test_a_reader_that_sleeps_is_woken_by_the_first_that_finishes(gate):
    """
    By that and not by a later one, nor by a time limit.
    """
    with WorkerQueue(2, 8) as queue, ThreadPoolExecutor(1) as others:
        first = threading.Event()

        def job(n):
            assert first.wait(WAIT) if n else gate(True)
            return n

        results = queue.map(job, range(2), ordered=False, timeout=WAIT)
        reader = others.submit(next, results)
        began = time.monotonic()
        first.set()
        assert reader.result(WAIT) == 1
        assert time.monotonic() - began < WAIT / 2
        gate.open()
        results.close()
