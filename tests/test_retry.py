"""Retry: how long until the next attempt, after which errors, and what an argument may be."""

import copy
import dataclasses
import email.utils
import io
import math
import pickle
import random
import time
import traceback
import urllib.error
from concurrent.futures import CancelledError
from datetime import timedelta
from email.message import Message
from types import SimpleNamespace

import pytest

from ringpool import retry as module
from ringpool.retry import Retry, RetryBudget, describe, keep_errors
from ringpool.retry_after import asked_delay

EXACT = {"jitter": "none"}
ERROR = OSError("gone")


def delays(retry, n=10, error=ERROR):
    return [retry.delay_after(attempt, error) for attempt in range(1, n + 1)]


# ---- back-off ---------------------------------------------------------------------


def test_the_backoff_doubles_up_to_the_cap():
    retry = Retry(attempts=None, base=0.5, cap=10, **EXACT)
    assert delays(retry, 7) == [0.5, 1, 2, 4, 8, 10, 10]


def test_the_multiplier_is_what_it_grows_by():
    assert delays(Retry(None, base=1, multiplier=3, **EXACT), 4) == [1, 3, 9, 27]
    assert delays(Retry(None, base=1, multiplier=1, **EXACT), 3) == [1, 1, 1]


@pytest.mark.parametrize(("jitter", "least"), [("full", 0.0), ("equal", 0.5)])
def test_jitter_is_even_between_its_bounds(jitter, least):
    retry = Retry(attempts=None, base=1, cap=8, jitter=jitter)
    for attempt, backoff in [(1, 1), (3, 4), (50, 8)]:
        drawn = sorted(retry.delay_after(attempt, ERROR) / backoff for _ in range(4_000))
        assert least <= drawn[0] < least + 0.05
        assert 0.95 < drawn[-1] <= 1
        assert drawn[2_000] == pytest.approx((1 + least) / 2, abs=0.05)


def test_jitter_is_drawn_from_the_whole_range(monkeypatch):
    for drawn, full, equal in [(0.0, 0.0, 2.0), (0.25, 1.0, 2.5), (math.nextafter(1, 0), 4.0, 4.0)]:
        monkeypatch.setattr(module, "_random", lambda drawn=drawn: drawn)
        assert Retry(None, base=1, jitter="full").delay_after(3, ERROR) == pytest.approx(full)
        assert Retry(None, base=1, jitter="equal").delay_after(3, ERROR) == pytest.approx(equal)


def test_a_seeded_program_still_gets_different_delays():
    drawn = set()
    for _ in range(10):
        random.seed(1)
        drawn.add(Retry().delay_after(1, ERROR))
    assert len(drawn) == 10


@pytest.mark.parametrize("attempt", [1_000, 1_100, 10**6, 2**31, 10**400])
def test_attempts_without_number_overflow_nothing(attempt):
    assert Retry(None, **EXACT).delay_after(attempt, ERROR) == 30
    assert Retry(None, base=0, **EXACT).delay_after(attempt, ERROR) == 0
    assert Retry(None, multiplier=1e9, **EXACT).delay_after(attempt, ERROR) == 30


# ---- how often --------------------------------------------------------------------


def test_attempts_counts_the_first_one_too():
    assert [d is not None for d in delays(Retry(), 4)] == [True, True, False, False]
    assert delays(Retry(attempts=1), 2) == [None, None]
    assert None not in delays(Retry(attempts=None), 100)


# ---- which errors -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "retried", "not_retried"),
    [
        ({}, [OSError(), ValueError()], []),
        ({"on": OSError}, [ConnectionResetError()], [ValueError()]),
        ({"on": (OSError, KeyError)}, [OSError(), KeyError()], [ValueError()]),
        ({"on": lambda error: "503" in str(error)}, [ValueError("503")], [ValueError("404")]),
        ({"give_up": FileNotFoundError}, [OSError()], [FileNotFoundError()]),
        ({"on": OSError, "give_up": (FileNotFoundError, PermissionError)}, [OSError()], [PermissionError()]),
        ({"on": OSError, "give_up": lambda error: error.errno == 28}, [OSError(5, "")], [OSError(28, "")]),
        ({"give_up": BaseException}, [], [OSError()]),
    ],
)
def test_on_says_which_and_give_up_wins(policy, retried, not_retried):
    retry = Retry(**policy)
    assert all(retry.delay_after(1, error) is not None for error in retried)
    assert all(retry.delay_after(1, error) is None for error in not_retried)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), CancelledError()], ids=repr)
def test_what_ends_a_program_or_a_job_is_never_retried(error):
    for policy in ({}, {"on": lambda error: True}, {"retry": lambda state: True}):
        assert Retry(None, **policy).delay_after(1, error) is None


def test_a_cancelled_asyncio_task_is_never_retried():
    import asyncio

    assert Retry(on=lambda error: True).delay_after(1, asyncio.CancelledError()) is None


def test_what_a_predicate_raises_comes_out():
    with pytest.raises(ZeroDivisionError):
        Retry(on=lambda error: 1 / 0).delay_after(1, ERROR)


@pytest.mark.parametrize("name", ["on", "give_up", "retry", "stop", "wait"])
def test_an_async_function_is_refused_by_name_and_not_taken_for_yes(name):
    async def strategy(_):
        return True

    with pytest.raises(TypeError, match=f"{name} must be an ordinary function, not one to be awaited"):
        Retry(**{name: strategy})
    with pytest.raises(TypeError, match=f"{name}.* must be an ordinary function: it returned coroutine"):
        Retry(**{name: lambda _: strategy(_)}).delay_after(1, ERROR)


# ---- budget -----------------------------------------------------------------------


def test_each_retry_is_taken_from_the_budget():
    budget = RetryBudget(minimum=2)
    retry = Retry(attempts=None, budget=budget)
    assert [d is not None for d in delays(retry, 4)] == [True, True, False, False]


def test_what_is_refused_anyway_is_not_taken_from_the_budget():
    budget = RetryBudget(minimum=1)
    assert Retry(attempts=1, budget=budget).delay_after(1, ERROR) is None
    assert Retry(on=KeyError, budget=budget).delay_after(1, ERROR) is None
    assert Retry(give_up=OSError, budget=budget).delay_after(1, ERROR) is None
    assert Retry(stop=lambda state: True, budget=budget).delay_after(1, ERROR) is None
    assert budget.balance == 1


# ---- what a server asks for -------------------------------------------------------


class Asked(Exception):
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def response(value, name="Retry-After"):
    return SimpleNamespace(headers={name: value})


def http_date(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Asked(retry_after=7), 7),
        (Asked(retry_after=7.25), 7.25),
        (Asked(retry_after=timedelta(minutes=2)), 120),
        (Asked(retry_after="12"), 12),
        (Asked(retry_after=0), 0),
        (Asked(retry_after=-3), 0),
        (Asked(retry_after=10**400), 2**31 - 1),
        (Asked(response=response("120")), 120),
        (Asked(response=response(b"120")), 120),
        (Asked(response=response("5", name="retry-after")), 5),
        (Asked(headers={"Retry-After": "4"}), 4),
        (Asked(retry_after=1, response=response("2"), headers={"Retry-After": "3"}), 1),
        (Asked(retry_after="soon", response=response("2"), headers={"Retry-After": "3"}), 2),
        (Asked(response=SimpleNamespace(headers=None), headers={"Retry-After": "3"}), 3),
    ],
    ids=lambda value: repr(getattr(value, "__dict__", value))[:60],
)
def test_a_delay_that_was_asked_for_is_read(error, seconds):
    assert asked_delay(error) == seconds


def test_a_date_that_was_asked_for_is_read():
    assert asked_delay(Asked(response=response(http_date(100)))) == pytest.approx(100, abs=3)
    assert asked_delay(Asked(response=response(http_date(-100)))) == 0


@pytest.mark.parametrize(
    "value",
    [None, True, float("nan"), float("inf"), "", "soon", "nan", "-inf", object(), [], "Mon, 99 Foo 2026"],
    ids=repr,
)
def test_what_is_no_time_was_not_asked_for(value):
    assert asked_delay(Asked(retry_after=value)) is None
    assert asked_delay(Asked(response=response(value))) is None
    assert asked_delay(Asked(response=value, headers=value)) is None
    assert asked_delay(ERROR) is None


def test_properties_that_fail_are_passed_over():
    class Hostile(Exception):
        @property
        def retry_after(self):
            raise RuntimeError("not yet")

        response = retry_after
        headers = {"Retry-After": "6"}

    assert asked_delay(Hostile()) == 6


def test_the_error_of_urllib_is_understood():
    headers = Message()
    headers["Retry-After"] = "33"
    with urllib.error.HTTPError("http://x", 503, "busy", headers, io.BytesIO()) as error:
        assert asked_delay(error) == 33


def test_what_was_asked_for_is_never_cut_short_not_by_the_cap_either():
    assert Retry(**EXACT).delay_after(1, Asked(retry_after=300)) == 300
    assert Retry(wait=lambda state: 1).delay_after(1, Asked(retry_after=300)) == 300


def test_a_longer_backoff_stays():
    assert Retry(base=20, **EXACT).delay_after(1, Asked(retry_after=3)) == 20


def test_attempts_and_errors_still_decide():
    assert Retry(attempts=1).delay_after(1, Asked(retry_after=3)) is None
    assert Retry(on=OSError).delay_after(1, Asked(retry_after=3)) is None
    too_long = Retry(give_up=lambda error: (asked_delay(error) or 0) > 300)
    assert too_long.delay_after(1, Asked(retry_after=301)) is None


# ---- functions of a state ---------------------------------------------------------


def test_wait_stop_and_retry_see_the_attempt():
    seen = []

    def wait(state):
        seen.append((state.attempt_number, state.outcome.exception(), state.seconds_since_start, state.idle_for))
        return timedelta(seconds=3)

    def stop(state):
        return state.upcoming_sleep == 3 and state.attempt_number == 2

    retry = Retry(wait=wait, stop=stop, retry=lambda state: state.outcome.failed)
    assert retry.delay_after(1, ERROR, elapsed=8.0, slept=2.0) == 3
    assert retry.delay_after(2, ERROR) is None
    assert seen[0] == (1, ERROR, pytest.approx(8.0), 2.0)
    assert seen[1] == (2, ERROR, None, 0.0)


def test_the_outcome_is_a_finished_future():
    def stop(state):
        assert state.outcome.done() and not state.outcome.cancelled()
        assert state.outcome.attempt_number == 4
        with pytest.raises(OSError, match="gone"):
            state.outcome.result()

    assert Retry(stop=stop).delay_after(4, OSError("gone")) is not None


def test_attempts_not_given_stay_so_in_a_changed_copy():
    def never(state):
        return False

    plain = dataclasses.replace(Retry(), base=1.0)
    assert (plain.attempts, plain) == (3, Retry(3, base=1.0))
    for copied in (plain, copy.copy(plain), pickle.loads(pickle.dumps(plain))):
        assert dataclasses.replace(copied, stop=never).attempts is None
    assert dataclasses.replace(Retry(3), stop=never).attempts == 3
    assert dataclasses.replace(Retry(stop=never), stop=None).attempts is None
    assert dataclasses.replace(Retry(stop=never), stop=None, attempts=3).attempts == 3


def test_stop_alone_decides_unless_attempts_is_given_too():
    assert None not in delays(Retry(stop=lambda state: False), 20)
    assert delays(Retry(attempts=3, stop=lambda state: False), 3)[2] is None


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (None, TypeError, "wait must return a number of seconds, got None"),
        ("5", TypeError, "wait must return a number of seconds, got '5'"),
        (float("nan"), ValueError, "wait must return a finite number of seconds, got nan"),
        (float("inf"), ValueError, "wait must return a finite number of seconds, got inf"),
    ],
)
def test_a_wait_that_returns_no_seconds_is_named(answer, error, message):
    with pytest.raises(error, match=message):
        Retry(wait=lambda state: answer).delay_after(1, ERROR)


# ---- a value ----------------------------------------------------------------------


def test_it_is_an_immutable_value():
    retry = Retry(attempts=5, on=OSError)
    assert retry == Retry(5, on=OSError)
    assert hash(retry) == hash(Retry(5, on=OSError))
    assert retry != Retry(6, on=OSError)
    assert pickle.loads(pickle.dumps(retry)) == retry
    assert dataclasses.replace(retry, attempts=6) == Retry(6, on=OSError)
    with pytest.raises(dataclasses.FrozenInstanceError):
        retry.attempts = 6


def test_what_it_was_made_with_can_be_read():
    retry = Retry(base=timedelta(seconds=2))
    assert (retry.attempts, retry.base, retry.cap, retry.multiplier) == (3, 2.0, 30.0, 2.0)
    assert isinstance(retry.attempts, int)
    assert "attempts=3, base=2.0" in repr(retry)
    assert Retry(stop=lambda state: False).attempts is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"attempts": 0}, ValueError, "attempts must be greater than 0, got 0"),
        ({"attempts": 2.5}, TypeError, "attempts must be a whole number, got 2.5"),
        ({"attempts": True}, TypeError, "attempts must be a whole number or None, got True"),
        ({"base": -1}, ValueError, "base must be from 0 to .*, got -1"),
        ({"base": "1s"}, TypeError, "base must be a number, got '1s'"),
        ({"base": 60}, ValueError, "cap must be at least base, which is 60, got 30"),
        ({"cap": float("inf")}, ValueError, "cap must be from 0 to .*, got inf"),
        ({"cap": None}, TypeError, "cap must be a number, got None"),
        ({"multiplier": 0.5}, ValueError, "multiplier must be from 1 to .*, got 0.5"),
        ({"multiplier": float("nan")}, ValueError, "multiplier must be from 1 to .*, got nan"),
        ({"jitter": "some"}, ValueError, 'jitter must be "full", "equal" or "none", got \'some\''),
        ({"jitter": None}, ValueError, "jitter must be"),
        ({"on": None}, TypeError, "on must be an exception class, a tuple of them, or a function of the error"),
        ({"on": int}, TypeError, "on must be an exception class"),
        ({"on": [OSError]}, TypeError, "on must be an exception class"),
        ({"on": ()}, ValueError, "on must not be an empty tuple"),
        ({"on": (OSError, print)}, TypeError, "on must be an exception class"),
        ({"on": OSError()}, TypeError, "on must be an exception class"),
        ({"on": BaseException}, ValueError, "on must name subclasses of Exception, got BaseException"),
        ({"on": (OSError, KeyboardInterrupt)}, ValueError, "on must name subclasses .* got KeyboardInterrupt"),
        ({"give_up": "never"}, TypeError, "give_up must be an exception class"),
        ({"budget": 0.1}, TypeError, "budget must be a RetryBudget or None, got 0.1"),
        ({"wait": 3}, TypeError, "wait must be a function of a RetryState, as tenacity's are, or None, got 3"),
        ({"stop": float}, TypeError, r"stop must be a function .* make one: float\(...\)"),
        ({"retry": OSError}, TypeError, "retry must be a function of a RetryState"),
        ({"wait": bool.__call__, "base": 1}, ValueError, "wait takes the place of base, cap, multiplier and jitter"),
        ({"retry": bool.__call__, "on": OSError}, ValueError, "retry takes the place of on"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Retry(**arguments)


# ---- the errors of earlier attempts ------------------------------------------------


def test_the_last_error_shows_the_earlier_ones():
    final = OSError("third")
    keep_errors([OSError("first"), ValueError("second,\n  on two lines")], final)
    assert traceback.format_exception_only(final) == [
        "OSError: third\n",
        "ringpool: attempt 1 failed: OSError: first\n",
        "ringpool: attempt 2 failed: ValueError: second, on two lines\n",
    ]
    assert final.__cause__ is None and final.__context__ is None


def test_lines_made_early_are_taken_as_they_are():
    final = OSError()
    keep_errors([describe(1, KeyError("a")), describe(2, RuntimeError())], final)
    assert final.__notes__ == ["ringpool: attempt 1 failed: KeyError: 'a'", "ringpool: attempt 2 failed: RuntimeError"]


@pytest.mark.parametrize(
    ("n", "notes", "middle"), [(0, 0, None), (10, 10, None), (11, 11, "1 more attempt"), (500, 11, "490 more attempts")]
)
def test_the_first_five_and_the_last_five_are_kept(n, notes, middle):
    final = OSError()
    keep_errors([ValueError(i) for i in range(1, n + 1)], final)
    lines = getattr(final, "__notes__", [])
    assert len(lines) == notes
    if middle:
        assert lines[5] == f"ringpool: {middle} failed"
        assert lines[4] == "ringpool: attempt 5 failed: ValueError: 5"
        assert lines[-1] == f"ringpool: attempt {n} failed: ValueError: {n}"


def test_one_error_object_that_comes_out_of_every_job_does_not_grow():
    error = OSError("the only one")
    error.add_note("the program's own")
    for _ in range(50):
        keep_errors([error] * 20, error)
    assert len(error.__notes__) == 12
    assert error.__notes__[0] == "the program's own"
    keep_errors([], error)
    assert error.__notes__ == ["the program's own"]


def test_a_long_text_is_cut_and_one_that_fails_is_told():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert len(describe(1, OSError("x" * 10_000))) < 250
    assert describe(2, Mute()).endswith("Mute: (no text: its str() failed)")


def test_an_error_that_takes_no_notes_stays_as_it_is():
    class Sealed(Exception):
        def __setattr__(self, name, value):
            raise AttributeError(name)

    class Odd(Exception):
        __notes__ = 7

    for error in (Sealed(), Odd()):
        keep_errors([OSError()], error)
