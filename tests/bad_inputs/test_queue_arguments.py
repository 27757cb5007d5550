"""Bad arguments of the queue's constructor: nothing has been started when they are refused."""

import math

import pytest
from foul import (
    BELOW_ZERO,
    NOT_CALLABLE,
    NOT_SECONDS,
    NOT_WHOLE,
    TO_BE_AWAITED,
    AlwaysEqual,
    Asynchronous,
    Foul,
    Unspeakable,
    Wrong,
    coroutine,
    rows,
)

from ringpool import Block, CoDel, Lane, Retry, RetryBudget, WorkerQueue

ZERO = {"0": (0, ValueError), "False": (False, ValueError)}
OPTIONAL = {name: value for name, value in NOT_WHOLE.items() if name != "None"}
HOOKS = ("on_start", "on_done", "on_retry", "on_drop", "on_error", "worker_init", "worker_exit", "rate_limit")


def give(argument):
    """A call that makes a queue of its own with one bad argument."""
    return lambda _, value: WorkerQueue(**{"workers": 1, "capacity": 1, argument: value})


def choice(argument):
    """Rows for what is one of a few names."""
    values = {
        "None": (None, ValueError), "other": ("FIFO", ValueError), "empty": ("", ValueError), "int": (1, ValueError),
        "bytes": (b"fifo", ValueError), "list": ([], ValueError), "foul": (Foul(), ValueError),
        "unspeakable": (Unspeakable(), ValueError),
    }  # fmt: skip
    return rows(give(argument), argument, values)


TABLE = {
    **rows(give("workers"), "workers", NOT_WHOLE | ZERO),
    **rows(give("capacity"), "capacity", NOT_WHOLE | ZERO),
    **rows(give("keep_results"), "keep_results", OPTIONAL),
    **rows(give("ageing"), "ageing", OPTIONAL | ZERO),
    **rows(give("min_workers"), "min_workers", OPTIONAL | ZERO),
    **rows(give("max_late"), "max_late", OPTIONAL),
    **rows(give("max_spares"), "max_spares", OPTIONAL),
    **rows(give("sample"), "sample", NOT_WHOLE),
    **rows(give("idle_timeout"), "idle_timeout", NOT_SECONDS | BELOW_ZERO),
    **rows(give("timeout"), "timeout", NOT_SECONDS | BELOW_ZERO),
    **rows(give("stuck_after"), "stuck_after", NOT_SECONDS | BELOW_ZERO | {"0": (0, ValueError), "1e-9": (1e-9,
        ValueError)}),
    **choice("order"),
    **choice("dispatch"),
    **choice("choose"),
    **{
        name: row
        for hook in HOOKS
        for name, row in rows(give(hook), hook, NOT_CALLABLE | TO_BE_AWAITED).items()
    },
    **rows(
        give("name"),
        "name",
        {
            "int": (5, TypeError), "bytes": (b"x", TypeError), "False": (False, TypeError), "class": (str, TypeError),
            "NUL": ("a\0b", ValueError), "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), TypeError),
        },
    ),
    **rows(
        give("context"),
        "context",
        {"True": (True, ValueError), "other": ("none", ValueError), "unspeakable": (Unspeakable(), ValueError)},
    ),
    **rows(
        give("retry"),
        "retry",
        {
            "class": (Retry, TypeError), "int": (3, TypeError), "True": (True, TypeError), "budget": (RetryBudget(),
                TypeError),
            "function": (lambda error: True, TypeError), "unspeakable": (Unspeakable(), TypeError),
        },
    ),
    **rows(
        give("shed"),
        "shed",
        {
            "class": (CoDel, TypeError), "int": (1, TypeError), "True": (True, TypeError), "str": ("codel", TypeError),
            "unspeakable": (Unspeakable(), TypeError),
        },
    ),
    **rows(
        give("lanes"),
        "lanes",
        {
            "empty": ({}, TypeError), "list": (["a"], TypeError), "class": ({"a": Lane}, TypeError),
            "None": ({"a": None}, TypeError), "number": ({1: Lane()}, TypeError), "int": ({"a": 2}, TypeError),
            "str": ("a", TypeError), "no name": ({None: Lane()}, TypeError), "one lane": (Lane(), TypeError),
            "unspeakable": ({"a": Unspeakable()}, TypeError),
        },
    ),
    **rows(
        give("overflow"),
        "overflow",
        {
            "None": (None, TypeError), "other": ("drop", ValueError), "empty": ("", ValueError), "int": (1, TypeError),
            "Block": (Block, TypeError), "WorkerQueue": (WorkerQueue, TypeError), "True": (True, TypeError),
            "list": (["block", "raise"], TypeError), "unspeakable": (Unspeakable(), TypeError),
        } | TO_BE_AWAITED,
    ),
    **rows(
        lambda _, choose: WorkerQueue(1, 1, dispatch="ready", choose=choose),
        "ready choose",
        {"coroutine": (coroutine, TypeError), "asynchronous": (Asynchronous(), TypeError), "int": (0, ValueError)},
        "choose must",
    ),
    "report_unread=foul": (lambda _: WorkerQueue(1, 1, report_unread=Foul()), Wrong, ""),
    "order of another equality": (lambda _: WorkerQueue(1, 1, order=AlwaysEqual("x"), ageing=0), ValueError,
        "ageing must"),
    "choose with shared": (lambda _: WorkerQueue(1, 1, choose="affinity"), ValueError,
        'choose is for dispatch="ready"'),
    "min above workers": (lambda _: WorkerQueue(1, 1, min_workers=2), ValueError,
        "min_workers must be at most workers"),
    "reserves above workers": (
        lambda _: WorkerQueue(2, 1, lanes={"a": Lane(reserve=2), "b": Lane()}), ValueError, "workers must be at least 3"
    ),
    "nothing": (lambda _: WorkerQueue(), TypeError, "'workers' and 'capacity'"),
    "no capacity": (lambda _: WorkerQueue(2), TypeError, "'capacity'"),
    "the executor's name": (lambda _: WorkerQueue(max_workers=2, capacity=1), TypeError, "'max_workers'"),
    "three by position": (lambda _: WorkerQueue(1, 1, "x"), TypeError, "positional"),
    "wrong name": (lambda _: WorkerQueue(1, 1, priority=1), TypeError, "'priority'"),
    "twice": (lambda _: WorkerQueue(1, workers=1, capacity=1), TypeError, "'workers'"),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_a_bad_argument_is_named_before_anything_is_made(plain, row, refused):
    """No thread, no queue, and those there are go on."""
    refused(plain, row)


@pytest.mark.parametrize("options", [{"idle_timeout": math.inf}, {"timeout": 1e300}, {"stuck_after": 10**400}], ids=str)
def test_a_time_beyond_all_clocks_means_never(options):
    """As None does."""
    with WorkerQueue(1, 8, **options) as queue:
        assert queue.submit(int, "7").result(30) == 7
