"""Bad arguments of the values that queues are made with, and of what queues return."""

import math
from datetime import timedelta
from decimal import Decimal

import pytest
from foul import (
    BELOW_ZERO,
    NOT_FINITE,
    NOT_SECONDS,
    NOT_WHOLE,
    TO_BE_AWAITED,
    TOO_LONG,
    Foul,
    Unspeakable,
    Wrong,
    raises_after,
    rows,
)

from ringpool import Block, CoDel, Histogram, Lane, Retry, RetryBudget
from ringpool.rate import as_seconds, limits, pyrate

NUMBER = NOT_SECONDS | BELOW_ZERO | NOT_FINITE
ZERO = {"0": (0, ValueError)}
ERROR = OSError("down")
CLASSES = {
    "None in it": ((OSError, None), TypeError), "empty": ((), ValueError), "list": ([OSError], TypeError),
    "str": ("OSError", TypeError), "int": (5, TypeError), "class": (int, TypeError), "instance": (OSError(), TypeError),
    "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), TypeError), **TO_BE_AWAITED,
}  # fmt: skip
STRATEGY = {
    "class": (RetryBudget, TypeError), "int": (5, TypeError), "str": ("stop", TypeError), "False": (False, TypeError),
    "unspeakable": (Unspeakable(), TypeError), **TO_BE_AWAITED,
}  # fmt: skip
UNBOUNDED = {name: value for name, value in NOT_WHOLE.items() if not name.startswith(("2**", "10**"))}


def give(made, argument, **others):
    """A call that makes one of *made* with one bad argument."""
    return lambda _, value: made(**others, **{argument: value})


def optional(values):
    """Where None is allowed."""
    return {name: value for name, value in values.items() if name != "None"}


RETRY = {
    **rows(give(Retry, "attempts"), "attempts", optional(NOT_WHOLE) | ZERO | {"True": (True, TypeError)}),
    **rows(give(Retry, "base"), "base", NUMBER),
    **rows(give(Retry, "cap"), "cap", NUMBER),
    **rows(give(Retry, "multiplier"), "multiplier", NUMBER | {"below 1": (0.9, ValueError)}),
    **rows(
        give(Retry, "jitter"),
        "jitter",
        {
            "None": (None, ValueError), "other": ("half", ValueError), "True": (True, ValueError), "list": ([],
                ValueError),
            "foul": (Foul(), ValueError), "unspeakable": (Unspeakable(), ValueError),
        },
    ),
    **rows(give(Retry, "on"), "on", CLASSES | {"None": (None, TypeError), "exit": (SystemExit, ValueError)}),
    **rows(give(Retry, "give_up"), "give_up", CLASSES),
    **rows(give(Retry, "wait"), "wait", STRATEGY),
    **rows(give(Retry, "stop"), "stop", STRATEGY),
    **rows(give(Retry, "retry"), "retry", STRATEGY),
    **rows(
        give(Retry, "budget"),
        "budget",
        {
            "class": (RetryBudget, TypeError), "int": (10, TypeError), "True": (True, TypeError),
            "unspeakable": (Unspeakable(), TypeError),
        },
    ),
    "cap below base": (lambda _: Retry(base=2, cap=1), ValueError, "cap must be at least base, which is 2, got 1"),
    "wait and base": (lambda _: Retry(wait=lambda state: 1, base=1), ValueError, "wait takes the place of base"),
    "retry and on": (lambda _: Retry(retry=lambda state: True, on=OSError), ValueError, "retry takes the place of on"),
    "another's name": (lambda _: Retry(max_attempts=3), TypeError, "'max_attempts'"),
    "changed": (lambda _: setattr(Retry(), "attempts", 5), AttributeError, "attempts"),
    **rows(lambda _, n: Retry().delay_after(n, ERROR), "delay_after attempt", UNBOUNDED | ZERO | {"nan": (math.nan,
        TypeError), "foul": (Foul(), TypeError)}, "attempt must"),
    **rows(
        lambda _, error: Retry().delay_after(1, error),
        "delay_after error",
        {"None": (None, TypeError), "class": (OSError, TypeError), "str": ("down", TypeError), "foul": (Foul(),
            TypeError)},
        "error must",
    ),
    **rows(lambda _, s: Retry().delay_after(1, ERROR, elapsed=s), "elapsed", optional(NUMBER)),
    **rows(lambda _, s: Retry().delay_after(1, ERROR, slept=s), "slept", NUMBER),
    "takes attempt": (lambda _: Retry().takes("1", ERROR), TypeError, "attempt must"),
    "takes error": (lambda _: Retry().takes(1, None), TypeError, "error must"),
    "delay_after nothing": (lambda _: Retry().delay_after(), TypeError, "'attempt' and 'error'"),
    "wait says": (lambda _: Retry(wait=lambda state: "1").delay_after(1, ERROR), TypeError, "wait must return"),
    "wait says nan": (lambda _: Retry(wait=lambda state: math.nan).delay_after(1, ERROR), ValueError,
        "wait must return"),
    "stop is foul": (lambda _: Retry(stop=lambda state: Foul()).delay_after(1, ERROR), Wrong, ""),
    "on is foul": (lambda _: Retry(on=lambda error: Foul()).delay_after(1, ERROR), Wrong, ""),
}  # fmt: skip

OTHERS = {
    **rows(give(Block, "timeout"), "timeout", optional(NOT_SECONDS | BELOW_ZERO)),
    "Block nothing": (lambda _: Block(), TypeError, "'timeout'"),
    "Block wrong name": (lambda _: Block(seconds=1), TypeError, "'seconds'"),
    **rows(give(Lane, "max_workers"), "max_workers", optional(NOT_WHOLE) | ZERO),
    **rows(give(Lane, "reserve"), "reserve", NOT_WHOLE),
    **rows(
        give(Lane, "weight"),
        "weight",
        {
            "None": (None, TypeError), "True": (True, TypeError), "str": ("1", TypeError), "Decimal": (Decimal(1),
                TypeError),
            "nan": (math.nan, ValueError), "inf": (math.inf, ValueError), "0": (0, ValueError), "-1": (-1, ValueError),
            "0.0009": (0.0009, ValueError), "1001": (1001, ValueError), "10**5000": (TOO_LONG, ValueError),
            "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), TypeError),
        },
    ),
    "Lane reserve above": (lambda _: Lane(max_workers=1, reserve=2), ValueError, "reserve must be at most max_workers"),
    "Lane wrong name": (lambda _: Lane(workers=1), TypeError, "'workers'"),
    **rows(give(CoDel, "target"), "target", NUMBER | ZERO),
    **rows(give(CoDel, "interval"), "interval", NUMBER | ZERO),
    "CoDel interval below": (lambda _: CoDel(target=1, interval=0.5), ValueError, "interval must be at least target"),
    "CoDel timedelta": (lambda _: CoDel(target=timedelta(seconds=-1)), ValueError, "target must"),
    "should_drop str": (lambda _: CoDel().should_drop("1", 0.0), TypeError, "wait_s must"),
    "should_drop None": (lambda _: CoDel().should_drop(1.0, None), TypeError, "now_s must"),
    "should_drop nothing": (lambda _: CoDel().should_drop(), TypeError, "'wait_s' and 'now_s'"),
    **rows(give(RetryBudget, "ratio"), "ratio", NUMBER | {"1001": (1001, ValueError)}),
    **rows(give(RetryBudget, "minimum"), "minimum", NOT_WHOLE),
    **rows(give(RetryBudget, "per"), "per", NUMBER | ZERO),
    **rows(
        give(RetryBudget, "clock"),
        "clock",
        {"None": (None, TypeError), "int": (0, TypeError), "unspeakable": (Unspeakable(), TypeError)},
    ),
    "RetryBudget of nothing": (lambda _: RetryBudget(0, 0), ValueError, "ratio or minimum must"),
    "RetryBudget four by position": (lambda _: RetryBudget(0.1, 10, 10.0, float), TypeError, "positional"),
    **rows(
        lambda _, counts: Histogram(counts),
        "counts",
        {
            "int": (5, TypeError), "None": (None, TypeError), "str": ("12", ValueError), "floats": ([1.0], ValueError),
            "bools": ([True], ValueError), "below": ([1, -1], ValueError), "too many": ([0] * 961, ValueError),
            "endless": (iter(int, 1), ValueError), "class": (list, TypeError), "unspeakable": ([Unspeakable()],
                ValueError),
            "10**5000": ([-TOO_LONG], ValueError), "foul": (Foul(), Wrong), "raises": (raises_after(3), Wrong),
        },
    ),
    **rows(
        lambda _, total: Histogram([1], total),
        "total_ns",
        {
            "float": (1.0, ValueError), "str": ("1", ValueError), "True": (True, ValueError), "-1": (-1, ValueError),
            "-10**5000": (-TOO_LONG, ValueError), "unspeakable": (Unspeakable(), ValueError), "foul": (Foul(),
                ValueError),
        },
    ),
    **rows(
        lambda _, times: Histogram.of(times),
        "times_ns",
        {
            "int": (5, TypeError), "None": (None, TypeError), "str": ("12", TypeError), "floats": ([1.5], TypeError),
            "None in it": ([1, None], TypeError), "unspeakable": ([Unspeakable()], TypeError), "foul": (Foul(), Wrong),
        },
    ),
    **rows(lambda _, p: Histogram([1]).percentile(p), "p", NUMBER | {"100.1": (100.1, ValueError)}),
    "merge list": (lambda _: Histogram().merge([1]), TypeError, "other must be a Histogram"),
    "merge class": (lambda _: Histogram().merge(Histogram), TypeError, "other must be a Histogram"),
    "since None": (lambda _: Histogram().since(None), TypeError, "earlier must be a Histogram"),
    "since a later one": (lambda _: Histogram().since(Histogram([1])), ValueError, "earlier has counted"),
    "limits of nothing": (lambda _: limits(None, None), TypeError, "limiter must"),
    "limits unspeakable": (lambda _: limits(Unspeakable(), None), TypeError, "limiter must"),
    "pyrate of nothing": (lambda _: pyrate(None), TypeError, "limiter must"),
    "pyrate unspeakable": (lambda _: pyrate(Unspeakable()), TypeError, "limiter must"),
    **rows(
        lambda _, answer: as_seconds(answer),
        "rate_limit",
        {
            "False": (False, TypeError), "str": ("1", TypeError), "nan": (math.nan, ValueError), "inf": (math.inf,
                ValueError),
            "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), Wrong),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", RETRY.values(), ids=RETRY)
def test_a_bad_policy_of_retries_is_refused_by_name(plain, row, refused):
    """When it is made, and not when the first job has failed."""
    refused(plain, row)


@pytest.mark.parametrize("row", OTHERS.values(), ids=OTHERS)
def test_any_other_bad_value_is_refused_by_name(plain, row, refused):
    """When it is made, and not when it is first used."""
    refused(plain, row)


def test_a_refused_retry_has_taken_nothing_from_the_budget():
    """Its balance is for retries that come."""
    budget = RetryBudget(ratio=0.1, minimum=2, per=1000)
    retry = Retry(budget=budget)
    for arguments in ((0, ERROR), ("1", ERROR), (1, None), (1, OSError)):
        with pytest.raises((TypeError, ValueError)):
            retry.delay_after(*arguments)
    assert budget.balance == 2


def test_a_refused_time_leaves_the_law_as_it_was():
    """The drop that was due is still due."""
    law = CoDel(target=1, interval=10)
    law.should_drop(2.0, 0.0)
    for arguments in (("2", 11.0), (2.0, "11"), (None, None)):
        with pytest.raises(TypeError):
            law.should_drop(*arguments)
    assert law.should_drop(2.0, 11.0) is True
