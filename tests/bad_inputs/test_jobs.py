"""Bad jobs: refused where they are made, or by the queue that cannot have them."""

import math
import warnings
from collections import UserDict

import pytest
from foul import (
    BELOW_ZERO,
    NOT_CALLABLE,
    NOT_FINITE,
    NOT_SECONDS,
    TOO_LONG,
    Foul,
    Text,
    Unspeakable,
    Wrong,
    Yields,
    coroutine,
    rows,
)

from ringpool import Job, JobExpired, Lane, Retry, WorkerQueue


class HashedOnce:
    """A key that can be made a Job of, and not be submitted."""

    hashed = False

    def __hash__(self):
        if self.hashed:
            raise Wrong("from hash()")
        self.hashed = True
        return 1


def give(argument):
    """A call that submits a job with one bad argument."""
    return lambda live, value: live.submit(Job(int, "7", **{argument: value}))


MAPPING = {
    "int": (5, TypeError), "str": ("ab", TypeError), "list": ([("base", 8)], TypeError), "class": (dict, TypeError),
    "tuple": (("base", 8), TypeError), "False": (False, TypeError), "unspeakable": (Unspeakable(), TypeError),
    "number": ({1: 2}, TypeError), "None in it": ({None: 2}, TypeError), "bytes": ({b"base": 8}, TypeError),
    "not all": ({"base": 8, 1: 2}, TypeError), "yields": (Yields(), TypeError),
}  # fmt: skip

TABLE = {
    **rows(lambda live, fn: live.submit(Job(fn)), "fn", NOT_CALLABLE | {"None": (None, TypeError), "job": (Job(int),
        TypeError)}),
    **rows(give("kwargs"), "kwargs", MAPPING),
    **rows(
        give("name"),
        "name",
        {
            "int": (5, TypeError), "bytes": (b"x", TypeError), "False": (False, TypeError), "class": (str, TypeError),
            "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), TypeError),
        },
    ),
    **rows(
        give("priority"),
        "priority",
        {
            "None": (None, TypeError), "str": ("1", TypeError), "Text": (Text("1"), TypeError), "float": (1.5,
                TypeError),
            "nan": (math.nan, TypeError), "inf": (math.inf, TypeError), "-1001": (-1001, ValueError), "1001": (1001,
                ValueError),
            "2**63": (2**63, ValueError), "10**5000": (TOO_LONG, ValueError), "unspeakable": (Unspeakable(), TypeError),
            "foul": (Foul(), Wrong),
        },
    ),
    **rows(
        give("key"),
        "key",
        {
            "list": ([], TypeError), "dict": ({}, TypeError), "set": (set(), TypeError), "inside": ((1, []), TypeError),
            "unspeakable": (Unspeakable(), TypeError), "bytearray": (bytearray(), TypeError), "foul": (Foul(), Wrong),
        },
    ),
    **rows(give("delay"), "delay", NOT_SECONDS | BELOW_ZERO | NOT_FINITE),
    **rows(give("expires_in"), "expires_in", NOT_SECONDS | BELOW_ZERO),
    **rows(give("deadline"), "deadline", NOT_SECONDS | BELOW_ZERO),
    **rows(give("timeout"), "timeout", NOT_SECONDS | BELOW_ZERO),
    **rows(
        give("retry"),
        "retry",
        {
            "class": (Retry, TypeError), "int": (3, TypeError), "True": (True, TypeError),
            "function": (lambda error: True, TypeError), "unspeakable": (Unspeakable(), TypeError),
        },
    ),
    **rows(
        give("lane"),
        "lane",
        {
            "unknown": ("c", ValueError), "number": (0, ValueError), "empty": ("", ValueError), "bytes": (b"a",
                ValueError),
            "list": ([], ValueError), "Lane": (Lane(), ValueError), "unspeakable": (Unspeakable(), ValueError),
        },
    ),
    "a key hashed once": (lambda live: live.submit(Job(int, key=HashedOnce())), Wrong, ""),
    "nothing": (lambda live: live.submit(Job()), TypeError, "'fn'"),
    "fn by name": (lambda live: live.submit(Job(fn=int)), TypeError, "'fn'"),
    "args by name": (lambda live: live.submit(Job(int, args=("7",))), TypeError, "'args'"),
    "the job's own name": (lambda live: live.submit(Job(int, "7", base=8)), TypeError, "'base'"),
    "submit_many lane": (lambda live: live.submit_many(Job(int, lane="c"), "78"), ValueError, "lane must"),
    "submit_many of a class": (lambda live: live.submit_many(Job, 5), TypeError, "iterable must"),
    "call": (lambda live: live.submit(Job(int)()), TypeError, "not callable"),
}  # fmt: skip


@pytest.mark.parametrize("lanes", [None, {"a": Lane(), "b": Lane()}], ids=["one_lane", "lanes"])
@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_a_bad_job_is_refused_by_name_and_leaves_nothing(lanes, row, refused):
    """Where it is made, if that can be known there."""
    with WorkerQueue(2, 8, lanes=lanes) as queue:
        refused(queue, row)


CHOICES = {
    "str": ("1", TypeError), "float": (0.0, TypeError), "-1": (-1, ValueError), "2**31": (2**31, ValueError),
    "10**5000": (TOO_LONG, ValueError), "nan": (math.nan, ValueError), "worker": (object(), TypeError),
    "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), Wrong),
}  # fmt: skip


@pytest.mark.parametrize(("value", "error"), CHOICES.values(), ids=CHOICES)
def test_a_bad_choice_of_a_worker_is_an_error_of_submit(value, error, refused):
    """Not even the clock that the job would need has been started."""
    bad = Job(int, timeout=5, name="bad")
    with WorkerQueue(2, 8, dispatch="ready", choose=lambda job, workers: value if job.name == "bad" else None) as queue:
        refused(queue, (lambda q: q.submit(bad), error, "" if error is Wrong else "what choose returned must"))


@pytest.mark.parametrize("error", [Wrong, SystemExit, KeyboardInterrupt])
def test_what_choose_raises_is_an_error_of_submit(error, refused):
    """The same."""

    def choose(job, workers):
        if job.name == "bad":
            raise error("from choose")

    with WorkerQueue(2, 8, dispatch="ready", choose=choose) as queue:
        refused(queue, (lambda q: q.submit(Job(int, timeout=5, name="bad")), error, "from choose"))


SUBMISSIONS = {
    "plain": (lambda queue: queue.submit(coroutine), {}),
    "job": (lambda queue: queue.submit(Job(coroutine)), {}),
    "later": (lambda queue: queue.submit_later(0, coroutine), {}),
    "planned": (lambda queue: queue.submit(coroutine), {"timeout": 30}),
    "map": (lambda queue: queue.map(coroutine, [1]), {}),
    "planned map": (lambda queue: queue.map(coroutine, [1]), {"timeout": 30}),
    "many": (lambda queue: queue.submit_many(coroutine, [1]), {}),
    "many jobs": (lambda queue: queue.submit_many(Job(coroutine), [1]), {}),
}


@pytest.mark.parametrize(("call", "options"), SUBMISSIONS.values(), ids=SUBMISSIONS)
def test_a_coroutine_function_is_warned_of_or_refused_with_warnings_as_errors(call, options, refused):
    """By each way into the queue, at the line that submits."""
    with WorkerQueue(2, 8, **options) as queue:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("error")
            refused(queue, (call, RuntimeWarning, "is a coroutine function"))
        assert not caught


def test_the_warning_points_at_the_line_that_makes_the_job(plain):
    """And not at one in here."""
    with pytest.warns(RuntimeWarning, match="coroutine function") as caught:
        Job(coroutine)
        plain.submit_later(0, coroutine).result(30).close()
    assert {warning.filename for warning in caught} == {__file__}


def test_any_mapping_of_names_is_taken(plain):
    """As a call takes it."""
    assert plain.submit(Job(int, "17", kwargs=UserDict(base=8))).result(30) == 15
    assert plain.submit(Job(int, "17", kwargs={Text("base"): 8})).result(30) == 15


def test_an_endless_timeout_is_none_also_where_the_queue_has_one(gate):
    """It was given, so it counts."""
    with WorkerQueue(2, 8, timeout=0.02) as queue:
        unlimited = queue.submit(Job(gate, "done", timeout=math.inf))
        limited = queue.submit(gate)
        assert isinstance(limited.exception(30), TimeoutError)
        gate.open()
        assert unlimited.result(30) == "done"


class Nameless:
    """A function that raises when it is asked for its name."""

    def __getattr__(self, name):
        raise Wrong(name)

    def __repr__(self):
        raise Wrong("repr")

    def __call__(self):
        return 7


def test_a_function_without_a_name_expires_runs_and_is_shown_as_any_other(gate):
    """What cannot be said of it keeps nobody from ending it."""
    with WorkerQueue(1, 8) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        stale = queue.submit(Job(Nameless(), expires_in=0.01))
        assert isinstance(stale.exception(30), JobExpired)
        gate.open()
        assert queue.submit(Job(Nameless())).result(30) == 7
