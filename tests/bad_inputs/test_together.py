"""Bad calls of groups, races, batches and signal handlers, all on one live queue."""

import math
import signal
import threading

import pytest
from foul import (
    BELOW_ZERO,
    NOT_CALLABLE,
    NOT_SECONDS,
    NOT_WHOLE,
    TO_BE_AWAITED,
    TOO_LONG,
    Foul,
    Unspeakable,
    Wrong,
    Yields,
    raises_after,
    rows,
)

from ringpool import (
    Batcher,
    Future,
    GroupClosed,
    Job,
    JobGroup,
    ThreadPoolExecutor,
    WorkerQueue,
    install_signal_handlers,
    race,
)

NO_QUEUE = {
    "None": (None, TypeError), "int": (3, TypeError), "class": (WorkerQueue, TypeError), "future": (Future(),
        TypeError),
    "str": ("queue", TypeError), "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), TypeError),
}  # fmt: skip
NO_CALL = NOT_CALLABLE | {"None": (None, TypeError), "foul": (Foul(), TypeError), "future": (Future(), TypeError)}


def in_group(call):
    """On a group of the live queue, in its block."""

    def run(queue, value=None):
        with JobGroup(queue) as group:
            try:
                call(group) if value is None else call(group, value)
            except Exception as error:
                caught = error
        raise caught

    return run


GROUPS = {
    **rows(lambda _, queue: JobGroup(queue), "queue", NO_QUEUE),
    **rows(in_group(lambda group, fn: group.submit(fn)), "submit fn", NOT_CALLABLE, "fn must"),
    **rows(in_group(lambda group, call: group.race(int, call)), "race calls", NOT_CALLABLE, "calls must"),
    **rows(lambda queue, call: race(queue, int, call), "calls", NO_CALL),
    **rows(lambda queue, call: queue.race(call, int), "queue.race calls", NO_CALL, "calls must"),
    **rows(lambda _, queue: race(queue, int), "race queue", NO_QUEUE, "queue must"),
    "race of nothing": (lambda queue: race(queue), ValueError, "calls must be at least one"),
    "queue.race of nothing": (lambda queue: queue.race(), ValueError, "calls must be at least one"),
    "group.race of nothing": (in_group(lambda group: group.race()), ValueError, "calls must be at least one"),
    "race by name": (lambda queue: race(queue, calls=[int]), TypeError, "'calls'"),
    "race of a list": (lambda queue: race(queue, [int, int]), TypeError, "calls must"),
    "group with an argument": (lambda queue: queue.group(5), TypeError, "group()"),
    "group of nothing": (lambda _: JobGroup(), TypeError, "'queue'"),
    "submit nothing": (in_group(lambda group: group.submit()), TypeError, "'fn'"),
    "submit a job and more": (in_group(lambda group: group.submit(Job(int), 1)), TypeError, "beside a Job"),
    "enter twice": (in_group(lambda group: group.__enter__()), RuntimeError, "once only"),
    "not entered": (lambda queue: JobGroup(queue).submit(int), GroupClosed, "not entered"),
    "race not entered": (lambda queue: JobGroup(queue).race(int), GroupClosed, "not entered"),
    "cancel argument": (in_group(lambda group: group.cancel(1)), TypeError, "cancel()"),
    "left": (lambda queue: left(queue).submit(int), GroupClosed, "it was left"),
    "left and entered": (lambda queue: left(queue).__enter__(), RuntimeError, "once only"),
}  # fmt: skip


def left(queue):
    with JobGroup(queue) as group:
        pass
    return group


@pytest.mark.parametrize("row", GROUPS.values(), ids=GROUPS)
def test_a_bad_call_of_a_group_or_race_submits_nothing(queue, row, refused):
    """Not even the calls that are good."""
    refused(queue, row)


def batcher(queue, **bad):
    return Batcher(**{"queue": queue, "fn": list, "max_size": 8, "max_wait": 1000, **bad})


def entered(call):
    """On a batcher in which nothing waits."""

    def run(queue):
        with batcher(queue) as open_one:
            call(open_one)

    return run


FINITE = NOT_SECONDS | BELOW_ZERO | {"None": (None, ValueError), "inf": (math.inf, ValueError), "10**5000": (TOO_LONG,
    ValueError)}
BATCHES = {
    **rows(lambda _, queue: batcher(queue), "queue", NO_QUEUE),
    **rows(lambda queue, fn: batcher(queue, fn=fn), "fn", NO_CALL | TO_BE_AWAITED),
    **rows(lambda queue, n: batcher(queue, max_size=n), "max_size", NOT_WHOLE | {"0": (0, ValueError)}),
    **rows(lambda queue, s: batcher(queue, max_wait=s), "max_wait", FINITE),
    **rows(lambda queue, fn: queue.batch(fn, 8, 1), "batch fn", NO_CALL | TO_BE_AWAITED, "fn must"),
    "batch nothing": (lambda queue: queue.batch(), TypeError, "'fn', 'max_size', and 'max_wait'"),
    "batch wrong name": (lambda queue: queue.batch(list, 8, seconds=1), TypeError, "'seconds'"),
    "submit nothing": (entered(lambda open_one: open_one.submit()), TypeError, "'item'"),
    "submit two": (entered(lambda open_one: open_one.submit(1, 2)), TypeError, "submit()"),
    "flush argument": (entered(lambda open_one: open_one.flush(1)), TypeError, "flush()"),
    "close argument": (entered(lambda open_one: open_one.close(1)), TypeError, "close()"),
}  # fmt: skip


@pytest.mark.parametrize("row", BATCHES.values(), ids=BATCHES)
def test_a_bad_call_of_a_batcher_submits_nothing(queue, row, refused):
    """Nor does it start a clock."""
    refused(queue, row)


class StopsNowOnly:
    """Has half of what the handlers need."""

    def stop_now(self):
        """Never called."""


SIGNALS = {
    **rows(lambda _, queue: install_signal_handlers(queue), "queue", NO_QUEUE | {"half": (StopsNowOnly(), TypeError)}),
    "an executor": (lambda _: install_signal_handlers(ThreadPoolExecutor(1)), TypeError, "queue must"),
    **rows(
        lambda queue, signals: install_signal_handlers(queue, signals),
        "signals",
        {
            "None": (None, TypeError), "int": (2, TypeError), "str": ("SIGINT", TypeError), "names": (["SIGINT"],
                TypeError),
            "nothing": ([], ValueError), "bool": ([True], TypeError), "float": ([2.0], TypeError),
            "None in it": ([None], TypeError),
            "0": ([0], ValueError), "-1": ([-1], ValueError), "12345": ([2, 12345], ValueError), "2**63": ([2**63],
                ValueError),
            "10**5000": ([2, TOO_LONG], ValueError), "KILL": ([2, 9], ValueError), "class": (signal.Signals,
                ValueError),
            "unhashable": ([[2]], TypeError), "unspeakable": ([Unspeakable()], TypeError), "yields": (Yields(),
                TypeError),
            "foul": ([Foul()], Wrong), "raises": (raises_after(0), Wrong),
        },
    ),
    "of a queue": (lambda queue: queue.install_signal_handlers(5), TypeError, "signals must"),
    "nothing": (lambda _: install_signal_handlers(), TypeError, "'queue'"),
    "wrong name": (lambda queue: queue.install_signal_handlers(signal=2), TypeError, "'signal'"),
}  # fmt: skip


@pytest.mark.parametrize("row", SIGNALS.values(), ids=SIGNALS)
def test_bad_signals_change_no_handler(plain, row, refused):
    """Also those after good ones."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    refused(plain, row)
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def test_another_thread_than_the_main_one_installs_no_handler(plain, refused, run_in_threads):
    """Only the main thread would ever run it."""
    before = signal.getsignal(signal.SIGINT)
    run_in_threads(1, lambda i: refused(plain, (install_signal_handlers, RuntimeError, "in the main thread")))
    assert signal.getsignal(signal.SIGINT) is before
    assert threading.current_thread() is threading.main_thread()
