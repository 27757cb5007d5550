"""The tenacity package's own objects, given to Retry as they are, against what tenacity itself makes of them."""

import random
import threading
import time

import pytest

from ringpool.retry import Retry

tenacity = pytest.importorskip("tenacity")
ERROR = OSError("gone")


def theirs(attempt, error, elapsed=0.0):
    """tenacity's own state after a failed attempt."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = attempt
    state.set_exception((type(error), error, None))
    state.start_time = state.outcome_timestamp - elapsed
    return state


WAITS = {
    "none": lambda: tenacity.wait_none(),
    "fixed": lambda: tenacity.wait_fixed(3),
    "random": lambda: tenacity.wait_random(1, 2),
    "incrementing": lambda: tenacity.wait_incrementing(start=1, increment=2, max=6),
    "exponential": lambda: tenacity.wait_exponential(multiplier=0.5, min=1, max=40),
    "random exponential": lambda: tenacity.wait_random_exponential(multiplier=1, max=60),
    "full jitter": lambda: tenacity.wait_full_jitter(multiplier=0.5, max=60),
    "exponential jitter": lambda: tenacity.wait_exponential_jitter(initial=1, max=10, jitter=2),
    "chain": lambda: tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(5), tenacity.wait_fixed(9)),
    "sum": lambda: tenacity.wait_exponential(max=9) + tenacity.wait_random(0, 2),
    "combine": lambda: tenacity.wait_combine(tenacity.wait_fixed(3), tenacity.wait_random(0, 2)),
    "by exception": lambda: tenacity.wait_exception(lambda error: 7.0 if isinstance(error, OSError) else 1.0),
}


@pytest.mark.parametrize("make", WAITS.values(), ids=WAITS)
def test_a_wait_object_says_the_same_to_both(make):
    for attempt in (1, 2, 3, 10, 200):
        random.seed(attempt)
        expected = make()(theirs(attempt, ERROR))
        random.seed(attempt)
        assert Retry(wait=make(), attempts=None).delay_after(attempt, ERROR) == expected


def test_every_wait_class_of_the_package_is_among_them():
    """So that a new one is noticed."""
    here = {type(make()).__name__ for make in WAITS.values()} | {"wait_full_jitter"}
    # an alias, what is abstract, and what asyncio alone can call
    there = {name for name in dir(tenacity) if name.startswith("wait_")} - {"wait_base", "wait_full_jitter"}
    assert there <= here


STOPS = {
    "never": (lambda: tenacity.stop_never, lambda n, t: False),
    "attempt": (lambda: tenacity.stop_after_attempt(3), lambda n, t: n >= 3),
    "delay": (lambda: tenacity.stop_after_delay(10), lambda n, t: t >= 10),
    "before": (lambda: tenacity.stop_before_delay(10), lambda n, t: t + 2 >= 10),
    "any": (lambda: tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(10), lambda n, t: n >= 3 or t >= 10),
    "all": (lambda: tenacity.stop_after_attempt(3) & tenacity.stop_after_delay(10), lambda n, t: n >= 3 and t >= 10),
}


@pytest.mark.parametrize(("make", "stops"), STOPS.values(), ids=STOPS)
def test_a_stop_object_decides(make, stops):
    retry = Retry(wait=tenacity.wait_fixed(2), stop=make())
    for attempt in (1, 2, 3, 4, 100):
        for elapsed in (0.0, 7.0, 8.5, 11.0):
            ended = retry.delay_after(attempt, ERROR, elapsed=elapsed) is None
            assert ended == stops(attempt, elapsed), (attempt, elapsed)


def test_a_stop_object_watches_an_event():
    event = threading.Event()
    retry = Retry(stop=tenacity.stop_when_event_set(event))
    assert retry.delay_after(100, ERROR) is not None
    event.set()
    assert retry.delay_after(1, ERROR) is None


def test_a_stop_that_needs_the_time_says_so_when_it_is_not_known():
    with pytest.raises(RuntimeError, match="seconds_since_start"):
        Retry(stop=tenacity.stop_after_delay(10)).delay_after(1, ERROR)


def because(error, cause):
    error.__cause__ = cause
    return error


RETRIES = {
    "always": (lambda: tenacity.retry_always, [OSError(), ValueError()], []),
    "never": (lambda: tenacity.retry_never, [], [OSError()]),
    "type": (lambda: tenacity.retry_if_exception_type(OSError), [OSError()], [ValueError()]),
    "not type": (lambda: tenacity.retry_if_not_exception_type(OSError), [ValueError()], [OSError()]),
    "unless": (lambda: tenacity.retry_unless_exception_type(OSError), [ValueError()], [OSError()]),
    "predicate": (lambda: tenacity.retry_if_exception(lambda e: e.args), [OSError(1)], [OSError()]),
    "cause": (
        lambda: tenacity.retry_if_exception_cause_type(OSError),
        [because(ValueError(), OSError())],
        [ValueError()],
    ),
    "message": (lambda: tenacity.retry_if_exception_message(match="50."), [OSError("503")], [OSError("404")]),
    "not message": (lambda: tenacity.retry_if_not_exception_message(message="no"), [OSError("yes")], [OSError("no")]),
    "or": (
        lambda: tenacity.retry_if_exception_type(OSError) | tenacity.retry_if_exception_type(KeyError),
        [OSError(), KeyError()],
        [ValueError()],
    ),
    "and": (
        lambda: tenacity.retry_if_exception_type(OSError) & tenacity.retry_if_exception_message(message="busy"),
        [OSError("busy")],
        [OSError("gone"), ValueError("busy")],
    ),
    "result": (lambda: tenacity.retry_if_result(lambda result: True), [], [OSError()]),
    "not result": (lambda: tenacity.retry_if_not_result(lambda result: False), [], [OSError()]),
}


@pytest.mark.parametrize(("make", "retried", "not_retried"), RETRIES.values(), ids=RETRIES)
def test_a_retry_object_decides(make, retried, not_retried):
    retry = Retry(retry=make())
    for error in retried + not_retried:
        assert bool(make()(theirs(1, error))) == (error in retried), "what the test expects of tenacity"
        assert (retry.delay_after(1, error) is not None) == (error in retried), error


def test_a_program_for_tenacity_sleeps_and_stops_alike():
    """The whole of it: the same strategies in tenacity's loop and in ours, the same delays and attempts."""
    strategies = {
        "wait": tenacity.wait_exponential(multiplier=1, max=5),
        "stop": tenacity.stop_after_attempt(6),
        "retry": tenacity.retry_if_exception_type(OSError),
    }
    slept = []

    def job():
        raise ERROR

    with pytest.raises(tenacity.RetryError):
        tenacity.Retrying(sleep=slept.append, **strategies)(job)

    retry, ours, attempt, started = Retry(**strategies), [], 1, time.monotonic()
    while (delay := retry.delay_after(attempt, ERROR, elapsed=time.monotonic() - started)) is not None:
        ours.append(delay)
        attempt += 1
    assert ours == slept == [1, 2, 4, 5, 5]


def test_strategies_for_asyncio_are_refused_by_name():
    from tenacity import asyncio as for_asyncio

    async def predicate(error):
        return True

    with pytest.raises(TypeError, match="retry must be an ordinary function"):
        Retry(retry=for_asyncio.retry_if_exception(predicate))


def test_a_class_in_place_of_an_object_is_refused():
    with pytest.raises(TypeError, match=r"make one: wait_exponential\(...\)"):
        Retry(wait=tenacity.wait_exponential)
