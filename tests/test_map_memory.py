"""What a map keeps, and for how long."""

import gc
import itertools
import sys
import time
import weakref

import pytest

from ringpool import ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed


class Thing:
    """Something that can be watched as it goes."""


def until(condition):
    """
    Poll what has no event to wait for.
    """
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


def drop(holder):
    holder.clear()


def close(holder):
    holder[0].close()


@pytest.fixture
def no_collector():
    """
    What is freed in the test is freed by its reference count.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("buffersize", [None, 4, 70_000])
def test_an_item_goes_when_it_has_run_and_a_result_when_it_was_handed_out(buffersize, no_collector):
    with ThreadPoolExecutor(1) as pool:
        things = [Thing() for _ in range(200)]
        items = [weakref.ref(thing) for thing in things]
        inputs = (things.pop() for _ in range(len(things)))
        results = pool.map(lambda _: Thing(), inputs, timeout=WAIT, buffersize=buffersize)
        for item in reversed(items):
            watched = weakref.ref(next(results))
            until(lambda: pool.submit(int).result(WAIT) == 0 and watched() is None and item() is None)  # noqa: B023
        results.close()


@pytest.mark.parametrize("end", [close, drop])
@pytest.mark.parametrize("buffersize", [None, 10])
def test_nothing_is_kept_of_a_map_that_was_ended(end, buffersize, gate, no_collector):
    """
    Neither items nor results, nor the input, nor the function.
    """

    class Job(Thing):
        def __call__(self, n):
            return gate() if n == 5 else n

    with ThreadPoolExecutor(1) as pool:
        job, source = Job(), map(lambda n: n, range(100))
        things = [Thing() for _ in range(100)]
        watched = [weakref.ref(job), *map(weakref.ref, things)]
        holder = [
            pool.map(
                lambda n, thing, job=job: (job(n), thing), source, iter(things), timeout=WAIT, buffersize=buffersize
            )
        ]
        next(holder[0])
        gate.wait_until_entered()
        end(holder)
        things.clear()
        del job, source
        gate.open()
        until(lambda: pool.submit(int).result(WAIT) == 0 and not any(ref() for ref in watched))


def test_cycles_through_the_iterator_are_collected():
    """
    Through a result, an item, the function and the input.
    """
    with ThreadPoolExecutor(1) as pool:
        for way in range(4):
            thing = Thing()
            watched = weakref.ref(thing)
            fn = (lambda x, thing=thing: x) if way == 2 else (lambda x: x)
            items = itertools.chain([thing if way < 2 else 0] * 3, [thing] if way == 3 else [])
            thing.results = pool.map(fn, items, timeout=WAIT, buffersize=2)
            if way == 1:
                assert next(thing.results) is thing
            pool.submit(int).result(WAIT)
            del thing, fn, items
            until(lambda: pool.submit(int).result(WAIT) == 0 and gc.collect() >= 0 and watched() is None)  # noqa: B023


def test_a_long_map_with_a_window_does_not_grow():
    """
    Blocks of memory that are in use at the start and after 200 000 items.
    """
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(str, itertools.count(10**6), timeout=2 * WAIT, buffersize=16)
        for _ in range(1_000):
            next(results)
        before = sys.getallocatedblocks()
        for _ in range(200_000):
            next(results)
        assert sys.getallocatedblocks() - before < 1_000
        results.close()
