"""RetryBudget: the law on a clock of the test's own, and that threads cannot break it."""

import gc
import random
import signal
import sys
from datetime import timedelta

import pytest

from ringpool.retry import RetryBudget as SameOne
from ringpool.retry_budget import RetryBudget


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def withdrawn(budget, tries=1000):
    return sum(budget.try_withdraw() for _ in range(tries))


def test_it_is_found_beside_retry():
    assert SameOne is RetryBudget


def test_without_a_deposit_the_minimum_is_allowed(clock):
    budget = RetryBudget(minimum=3, clock=clock)
    assert budget.balance == 3
    assert [budget.try_withdraw() for _ in range(5)] == [True, True, True, False, False]
    assert budget.balance == 0


def test_ten_first_attempts_earn_a_retry_to_the_unit(clock):
    """A tenth is no float, ten of which would not be one."""
    budget = RetryBudget(ratio=0.1, minimum=0, clock=clock)
    for _ in range(9):
        budget.deposit()
    assert not budget.try_withdraw()
    budget.deposit()
    assert budget.try_withdraw()
    assert not budget.try_withdraw()


@pytest.mark.parametrize(("ratio", "deposits", "retries"), [(0, 500, 0), (0.25, 10, 2), (1, 7, 7), (2.5, 3, 7)])
def test_the_ratio_counts_on_top_of_the_minimum(clock, ratio, deposits, retries):
    budget = RetryBudget(ratio=ratio, minimum=1, clock=clock)
    for _ in range(deposits):
        budget.deposit()
    assert budget.balance == retries + 1
    assert withdrawn(budget) == retries + 1


def test_first_attempts_are_forgotten_after_per(clock):
    budget = RetryBudget(ratio=1, minimum=0, per=10, clock=clock)
    for _ in range(5):
        budget.deposit()
    clock.now += 9.9
    assert budget.balance == 5
    clock.now += 0.2
    assert budget.balance == 0
    assert not budget.try_withdraw()


def test_retries_are_forgotten_after_per(clock):
    budget = RetryBudget(minimum=2, per=10, clock=clock)
    assert withdrawn(budget) == 2
    clock.now += 5
    assert withdrawn(budget) == 0
    clock.now += 5
    assert withdrawn(budget) == 2


def test_a_refusal_costs_nothing(clock):
    budget = RetryBudget(minimum=1, per=10, clock=clock)
    assert withdrawn(budget, 10_000) == 1
    clock.now += 10
    assert withdrawn(budget) == 1


def test_the_law_holds_in_every_window(clock):
    """Random history; checked against the events themselves."""
    rng = random.Random(3)
    budget = RetryBudget(ratio=0.2, minimum=4, per=10, clock=clock)
    first, retries = [], []
    for _ in range(5_000):
        clock.now += rng.choice([0, 0, 0.01, 0.1, 1, 7]) * rng.random()
        if rng.random() < 0.5:
            budget.deposit()
            first.append(clock.now)
        if rng.random() < 0.5 and budget.try_withdraw():
            retries.append(clock.now)
            earned = sum(t > clock.now - 10 for t in first) * 0.2
            # what lies at the far edge of the window is forgotten up to a tenth too early
            assert sum(t > clock.now - 9 for t in retries) <= 4 + earned + 1e-9
    assert len(retries) > 500


def test_a_clock_that_is_read_late_does_no_harm(clock):
    """Threads may come with a time that others have gone past."""
    budget = RetryBudget(ratio=1, minimum=1, per=10, clock=clock)
    budget.deposit()
    clock.now += 3
    assert budget.try_withdraw()
    clock.now -= 3
    budget.deposit()
    assert budget.try_withdraw()
    clock.now += 3
    assert withdrawn(budget) == 1


def test_memory_is_bounded_however_long_it_runs(clock):
    budget = RetryBudget(minimum=5, per=1, clock=clock)
    for _ in range(10_000):
        clock.now += 0.05
        budget.deposit()
        budget.try_withdraw()
    assert len(budget._first) <= 21
    assert len(budget._taken) <= 21
    assert sum(map(len, budget._taken.values())) < 100


def test_threads_lose_no_deposit(run_in_threads, clock):
    budget = RetryBudget(ratio=1, minimum=0, clock=clock)

    def deposit(_):
        for _ in range(5_000):
            budget.deposit()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        run_in_threads(8, deposit)
    finally:
        sys.setswitchinterval(before)
    assert budget.balance == 40_000


def test_threads_never_get_more_than_there_is(run_in_threads, clock):
    budget = RetryBudget(ratio=0, minimum=2_000, clock=clock)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        got = sum(run_in_threads(8, lambda _: withdrawn(budget, 1_000)))
    finally:
        sys.setswitchinterval(before)
    assert got <= 2_000
    assert got + withdrawn(budget, 3_000) == 2_000  # nothing that was refused stays counted


def test_threads_that_open_new_slices_lose_no_retry(run_in_threads):
    """A slice is made by whoever comes first; the others must count in the same one."""
    clock = Clock()
    budget = RetryBudget(ratio=0, minimum=500, per=1e9, clock=clock)

    def withdraw(_):
        got = 0
        for _ in range(500):
            clock.now += 1e5  # threads overwrite each other's; it stays within the 1e9
            got += budget.try_withdraw()
        return got

    assert 0 < sum(run_in_threads(4, withdraw)) <= 500


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_a_signal_handler_may_use_it_at_any_point():
    budget = RetryBudget(minimum=10**6)
    handled = 0

    def handler(*_):
        nonlocal handled
        handled += 1
        budget.deposit()
        budget.try_withdraw()

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while handled < 200:
            budget.deposit()
            budget.try_withdraw()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_destructor_may_use_it_at_any_point():
    budget = RetryBudget(minimum=10**6)
    calls = 0

    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            nonlocal calls
            calls += 1
            budget.deposit()
            budget.try_withdraw()

    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for _ in range(2_000):
            Cycle()
            budget.deposit()
            budget.try_withdraw()
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert calls == 2_000


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ratio": -0.1}, ValueError, "ratio must be from 0 to 1000, got -0.1"),
        ({"ratio": 1001}, ValueError, "ratio must be from 0 to 1000, got 1001"),
        ({"ratio": float("nan")}, ValueError, "ratio must be from 0 to 1000, got nan"),
        ({"ratio": "10%"}, TypeError, "ratio must be a number, got '10%'"),
        ({"minimum": -1}, ValueError, "minimum must be 0 or greater, got -1"),
        ({"minimum": 1.5}, TypeError, "minimum must be a whole number, got 1.5"),
        ({"per": 0}, ValueError, "per must be from 0.001 to"),
        ({"per": float("inf")}, ValueError, "per must be from 0.001 to .* got inf"),
        ({"per": None}, TypeError, "per must be a number, got None"),
        ({"clock": 3}, TypeError, "clock must be a callable that returns seconds, got 3"),
        ({"ratio": 0, "minimum": 0}, ValueError, "ratio or minimum must be greater than 0"),
        ({"ratio": 1e-9, "minimum": 0}, ValueError, "ratio or minimum must be greater than 0"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        RetryBudget(**arguments)


def test_what_it_was_made_with_can_be_read():
    budget = RetryBudget(0.5, 7, timedelta(minutes=1))
    assert (budget.ratio, budget.minimum, budget.per) == (0.5, 7, 60.0)
    assert repr(budget) == "RetryBudget(ratio=0.5, minimum=7, per=60)"
