"""map(): order, look-ahead, errors, contexts; how it ends early: test_map_ends.py."""

import contextvars
import itertools
import threading
import time
import traceback
from concurrent import futures
from concurrent.futures import CancelledError

import pytest

from ringpool import ThreadPoolExecutor, current_job

WAIT = 30  # seconds after which a wait has failed
SOON = 5  # the same, where WAIT has to pass before anybody looks again
MOMENT = 0.1  # seconds in which a thread comes to its wait

# A segment of an unbounded map has 64 cells, then 128, 256, ...; a window's ring is a power of two.
SIZES = [0, 1, 63, 64, 65, 127, 128, 129, 191, 192, 193, 10_000]


def square(n):
    return n * n


def fail_with(error):
    raise error


class Input:
    """Counts what has been read of an endless input."""

    def __init__(self):
        self.read = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.read += 1
        return self.read - 1


# ---- waiting ---------------------------------------------------------------------


def test_a_reader_that_sleeps_is_woken(gate):
    """
    When the result comes, and not when its time limit has passed and it looks once more.
    """
    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as others:
        results = pool.map(gate, [1, 2], timeout=WAIT)
        gate.wait_until_entered()
        reader = others.submit(next, results)
        assert not futures.wait([reader], MOMENT).done
        gate.open()
        assert reader.result(SOON) == 1


# ---- order -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 8, 64])
@pytest.mark.parametrize("size", SIZES)
def test_results_come_in_the_order_of_the_items(size, workers):
    with ThreadPoolExecutor(workers) as pool:
        assert list(pool.map(square, range(size), timeout=WAIT)) == [n * n for n in range(size)]


@pytest.mark.parametrize("buffersize", [1, 2, 63, 64, 65, 127, 128, 65_536, 65_537, 2**63, 2**80])
def test_a_window_of_any_width_keeps_the_order(buffersize):
    """
    Narrow ones go round in a ring, wide ones do not.
    """
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(square, range(1_000), timeout=WAIT, buffersize=buffersize)) == [
            n * n for n in range(1_000)
        ]


@pytest.mark.parametrize("buffersize", [65_536, 65_537])
def test_a_wide_window_goes_round(buffersize):
    """
    More items than the widest ring has cells.
    """
    n = 140_000
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(abs, range(n), timeout=2 * WAIT, buffersize=buffersize)
        assert all(a == b for a, b in zip(results, range(n), strict=True))


def test_a_later_item_that_finishes_first_waits_for_its_turn(gate):
    def job(n):
        return gate(n) if n == 0 else (gate.open(), n)[1]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(job, range(100), timeout=WAIT)) == list(range(100))


def test_several_inputs_end_with_the_shortest():
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(pow, itertools.count(1), [2, 3, 4], timeout=WAIT)) == [1, 8, 81]
        assert list(pool.map(lambda *args: args, "ab", [1, 2, 3], (None,))) == [("a", 1, None)]
        assert list(pool.map(max, [1, 5], iter([3, 4]), buffersize=1)) == [3, 5]


def test_no_input_at_all_is_no_item():
    with ThreadPoolExecutor(1) as pool:
        assert list(pool.map(square)) == []
        assert len(pool._threads) == 0


def test_a_tuple_is_one_item_of_one_input():
    """
    Only several inputs are spread over the arguments.
    """
    with ThreadPoolExecutor(1) as pool:
        assert list(pool.map(len, [(), (1, 2)], timeout=WAIT)) == [0, 2]


def test_a_result_may_be_an_exception_or_none():
    """
    What is returned is not raised.
    """
    error = ValueError()
    with ThreadPoolExecutor(1) as pool:
        assert list(pool.map(lambda x: x, [None, error, StopIteration], timeout=WAIT)) == [None, error, StopIteration]


# ---- look-ahead ----------------------------------------------------------------------


@pytest.mark.parametrize("buffersize", [1, 2, 63, 64, 65, 1_000])
def test_a_window_reads_so_many_items_ahead_and_one_for_each_result(buffersize):
    """
    As the standard library's from 3.14 on: the next item is asked for before the result is waited for.
    """
    source = Input()
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(square, source, timeout=WAIT, buffersize=buffersize)
        assert source.read == buffersize
        for n in range(200):
            assert next(results) == n * n
            assert source.read == buffersize + n + 1
        results.close()
        assert source.read == buffersize + 200


def test_without_a_window_all_is_read_at_the_call(gate):
    numbers = iter(range(1_000))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        pool.map(square, numbers)
        assert next(numbers, "end") == "end"
        gate.open()


@pytest.mark.parametrize("buffersize", [0, -1, False])
def test_a_window_without_room_is_refused(buffersize):
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="buffersize must be None or > 0"):
        pool.map(square, [1], buffersize=buffersize)


@pytest.mark.parametrize("buffersize", [1.0, "1", [1]])
def test_a_window_that_is_no_number_is_refused(buffersize):
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="buffersize must be an integer or None"):
        pool.map(square, [1], buffersize=buffersize)


def test_items_start_while_the_input_is_still_being_read():
    """
    An input may ask for what an earlier item did.
    """
    did = [threading.Event() for _ in range(100)]

    def numbers():
        for n in range(100):
            yield n
            assert did[n].wait(WAIT), f"item {n} was not started"

    with ThreadPoolExecutor(1) as pool:
        assert list(pool.map(lambda n: did[n].set(), numbers())) == [None] * 100


@pytest.mark.parametrize("buffersize", [None, 2, 100])
def test_an_item_may_wait_for_what_the_next_one_does(buffersize):
    """
    Workers claim one item at a time: none stands behind another that waits for it.
    """
    pairs = [threading.Barrier(2) for _ in range(500)]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda n: pairs[n // 2].wait(WAIT), range(1_000), timeout=WAIT, buffersize=buffersize)
        assert sum(results) == 500


@pytest.mark.parametrize("workers", [2, 8, 64])
def test_as_many_items_run_at_a_time_as_there_are_workers(workers):
    together = threading.Barrier(workers)
    with ThreadPoolExecutor(workers) as pool:
        assert sum(pool.map(lambda _: together.wait(WAIT), range(workers), timeout=WAIT)) == sum(range(workers))
        assert len(pool._threads) == workers


# ---- errors ------------------------------------------------------------------------------


def test_the_first_error_ends_the_iterator_for_ever():
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(int, ["1", "x", "2"], timeout=WAIT)
        assert next(results) == 1
        with pytest.raises(ValueError, match="'x'"):
            next(results)
        assert [next(results, "end") for _ in range(3)] == ["end"] * 3


@pytest.mark.parametrize(
    "error",
    [OSError(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), CancelledError(), TimeoutError()],
    ids=repr,
)
def test_whatever_an_item_raises_comes_out_and_the_worker_goes_on(error):
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(threading.get_ident).result(WAIT)
        with pytest.raises(type(error)) as caught:
            list(pool.map(fail_with, [error], timeout=WAIT))
        assert caught.value is error
        assert pool.submit(threading.get_ident).result(WAIT) == before


@pytest.mark.parametrize("spread", [1, 2])
def test_the_traceback_of_an_error_shows_the_function(spread):
    def divide(*numbers):
        return 1 / numbers[0]

    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError) as caught:
        list(pool.map(divide, *[[0]] * spread, timeout=WAIT))
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "divide"


def test_what_has_not_started_when_an_error_is_read_is_cancelled(gate):
    ran = []

    def job(n):
        if n == 0:
            raise OSError
        ran.append(n)
        gate()

    with ThreadPoolExecutor(1) as pool:
        results = pool.map(job, range(100), timeout=WAIT)
        gate.wait_until_entered()
        with pytest.raises(OSError):
            next(results)
        gate.open()
    assert ran == [1]


def test_an_error_that_nobody_has_read_cancels_nothing():
    ran = []

    def job(n):
        ran.append(n)
        raise OSError

    with ThreadPoolExecutor(1) as pool:
        pool.map(job, range(100))
    assert ran == list(range(100))


@pytest.mark.parametrize("fn", [None, 5, "len"])
def test_what_cannot_be_called_is_refused_at_the_call(fn):
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(TypeError, match="fn must be callable"):
            pool.map(fn, [1, 2])
        assert list(pool.map(int, "12", timeout=WAIT)) == [1, 2]


@pytest.mark.parametrize("inputs", [[5], [[1], 5], [None]])
def test_what_cannot_be_iterated_is_refused_at_the_call(inputs):
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="iter"):
        pool.map(square, *inputs)


# ---- what an item sees ---------------------------------------------------------------------

VARIABLE = contextvars.ContextVar("VARIABLE", default="default")


def look_and_set(n):
    seen = VARIABLE.get()
    VARIABLE.set(n)
    return seen


@pytest.mark.parametrize("buffersize", [None, 2])
def test_each_item_sees_the_callers_variables_and_no_other_items(buffersize):
    """
    What one sets is gone with it, for the next item and for later jobs.
    """
    mine = contextvars.copy_context()
    mine.run(VARIABLE.set, "mine")
    with ThreadPoolExecutor(1) as pool:
        results = mine.run(pool.map, look_and_set, range(100), timeout=WAIT, buffersize=buffersize)
        assert list(results) == ["mine"] * 100
        assert mine.run(VARIABLE.get) == "mine"
        assert contextvars.Context().run(pool.submit, VARIABLE.get).result(WAIT) == "default"


@pytest.mark.parametrize("nested", [False, True])
def test_items_of_an_empty_context_do_not_see_each_others_variables(nested):
    """
    There is nothing to copy then; the worker's own context must not fill up.
    """

    def mapped():
        return contextvars.Context().run(pool.map, look_and_set, range(100), timeout=WAIT)

    def outer():
        return list(mapped()), VARIABLE.get()

    with ThreadPoolExecutor(1) as pool:
        if nested:
            assert contextvars.Context().run(pool.submit, outer).result(WAIT) == (["default"] * 100, "default")
        else:
            assert list(mapped()) == ["default"] * 100
        assert contextvars.Context().run(pool.submit, VARIABLE.get).result(WAIT) == "default"


def test_without_context_items_share_their_workers():
    with ThreadPoolExecutor(1, context=None) as pool:
        mine = contextvars.copy_context()
        mine.run(VARIABLE.set, "mine")
        results = mine.run(pool.map, look_and_set, range(3), timeout=WAIT)
        assert list(results) == ["default", 0, 1]


def test_an_item_has_a_current_job():
    with ThreadPoolExecutor(1) as pool:
        [job] = pool.map(lambda _: current_job(), [1], timeout=WAIT)
        assert not job.cancelled
        assert current_job() is None


# ---- whose submit ----------------------------------------------------------------------------


class Counting(ThreadPoolExecutor):
    def submit(self, fn, /, *args, **kwargs):
        self.submitted = [*getattr(self, "submitted", []), args]
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("buffersize", [None, 1])
def test_a_submit_that_a_subclass_overrides_is_called_for_each_item(buffersize):
    with Counting(2) as pool:
        assert list(pool.map(pow, [1, 2, 3], [2, 2, 2], timeout=WAIT, buffersize=buffersize)) == [1, 4, 9]
        assert pool.submitted == [(1, 2), (2, 2), (3, 2)]


def test_a_submit_that_an_instance_overrides_is_called_for_each_item():
    with ThreadPoolExecutor(2) as pool:
        submit, seen = pool.submit, []
        pool.submit = lambda fn, *args: (seen.append(args), submit(fn, *args))[1]
        assert list(pool.map(square, range(3), timeout=WAIT)) == [0, 1, 4]
        assert seen == [(0,), (1,), (2,)]


def test_an_overridden_submit_that_raises_cancels_the_items_before(gate):
    with ThreadPoolExecutor(1) as pool:
        running, submit, made = pool.submit(gate), pool.submit, []
        pool.submit = lambda fn, n: made.append(submit(fn, n)) or made[-1] if n < 3 else fail_with(OSError())
        gate.wait_until_entered()
        with pytest.raises(OSError):
            pool.map(square, range(5))
        assert [future.cancelled() for future in made] == [True] * 3
        gate.open()
        assert running.result(WAIT) is None


# ---- other threads ---------------------------------------------------------------------------


def test_native_functions_let_other_threads_run():
    """
    No Python code runs in them that would give up the GIL.
    """
    stop, ticks = threading.Event(), []

    def other():
        while not stop.is_set():
            ticks.append(time.monotonic())

    thread = threading.Thread(target=other)
    with ThreadPoolExecutor(1) as pool:
        thread.start()
        try:
            items = "x" * 100_000
            begin = time.monotonic()
            while time.monotonic() - begin < 0.5:
                futures.wait([pool.submit(int)], WAIT)
                pool.map(len, items)
                pool.submit(int).result(WAIT)
            seen = [tick for tick in ticks if tick > begin]
        finally:
            stop.set()
            thread.join(WAIT)
    gaps = [b - a for a, b in itertools.pairwise(seen)]
    assert max(gaps) < 0.4, "a map kept the interpreter for itself"


def test_two_maps_at_once_do_not_mix(run_in_threads):
    def read(i, pool):
        start = i * 1_000_000
        return sum(
            list(pool.map(abs, range(start, start + n), timeout=WAIT)) != list(range(start, start + n))
            for n in range(150)
        )

    with ThreadPoolExecutor(2) as pool:
        assert run_in_threads(2, read, pool) == [0, 0]
