"""Bad calls of a queue's methods."""

import math

import pytest
from foul import (
    BELOW_ZERO,
    NOT_CALLABLE,
    NOT_SECONDS,
    NOT_WHOLE,
    TOO_LONG,
    Foul,
    Text,
    Unspeakable,
    Wrong,
    Yields,
    raises_after,
    rows,
)

from ringpool import Future, Job, WorkerQueue

UNUSABLE = {name: NOT_CALLABLE[name] for name in NOT_CALLABLE} | {"None": (None, TypeError), "foul": (Foul(),
    TypeError)}
WHAT_JOB = "fn must be callable or a Job"
LEVELS = {
    **{name: NOT_WHOLE[name] for name in ("None", "str", "Text", "float", "list", "class", "complex", "foul")},
    "nan": (math.nan, TypeError),
    "unspeakable": (Unspeakable(), TypeError),
    "-1001": (-1001, ValueError),
    "1001": (1001, ValueError),
    "2**63": (2**63, ValueError),
    "10**5000": (TOO_LONG, ValueError),
}
NO_FUTURE = {
    "None": (None, TypeError),
    "class": (Future, TypeError),
    "int": (5, TypeError),
    "unspeakable": (Unspeakable(), TypeError),
    "foul": (Foul(), TypeError),
}

SUBMIT = {
    **rows(lambda q, fn: q.submit(fn), "submit fn", UNUSABLE, WHAT_JOB),
    **rows(lambda q, fn: q.try_submit(fn, 1, x=2), "try_submit fn", UNUSABLE, WHAT_JOB),
    **rows(lambda q, fn: q.submit_within(1, fn), "submit_within fn", UNUSABLE, WHAT_JOB),
    **rows(lambda q, fn: q.submit_later(1, fn), "submit_later fn", UNUSABLE, "fn must be callable"),
    **rows(lambda q, fn: q.submit_many(fn, [1, 2]), "submit_many fn", UNUSABLE, WHAT_JOB),
    **rows(lambda q, fn: q.submit_many(fn, []), "submit_many nothing fn", UNUSABLE, WHAT_JOB),
    **rows(lambda q, fn: q.map(fn, [1, 2]), "map fn", UNUSABLE, "fn must be callable"),
    **rows(lambda q, fn: q.map(fn, []), "map nothing fn", UNUSABLE, "fn must be callable"),
    **rows(lambda q, s: q.submit_within(s, int), "submit_within seconds", NOT_SECONDS, "seconds must"),
    "submit nothing": (lambda q: q.submit(), TypeError, "'fn'"),
    "submit fn by name": (lambda q: q.submit(fn=int), TypeError, "'fn'"),
    "try_submit nothing": (lambda q: q.try_submit(), TypeError, "'fn'"),
    "submit_within nothing": (lambda q: q.submit_within(), TypeError, "'seconds' and 'fn'"),
    "submit_within no fn": (lambda q: q.submit_within(1), TypeError, "'seconds' and 'fn'"),
    "submit_within exchanged": (lambda q: q.submit_within(int, 1), TypeError, "seconds must"),
    "submit_later nothing": (lambda q: q.submit_later(), TypeError, "'delay' and 'fn'"),
    "submit_later no fn": (lambda q: q.submit_later(1), TypeError, "'fn'"),
    "submit_later exchanged": (lambda q: q.submit_later(int, 1), TypeError, "fn must be callable"),
    "submit_later a job": (lambda q: q.submit_later(1, Job(int)), TypeError, "fn must be callable"),
    "submit_later by name": (lambda q: q.submit_later(delay=1, fn=int), TypeError, "'delay' and 'fn'"),
    "submit a job and more": (lambda q: q.submit(Job(int), "7"), TypeError, "no arguments beside a Job"),
    "submit a job and names": (lambda q: q.submit(Job(int), base=8), TypeError, "no arguments beside a Job"),
    "try_submit a job and more": (lambda q: q.try_submit(Job(int), "7"), TypeError, "no arguments beside a Job"),
    "submit the class of jobs": (lambda q: q.submit(Job.with_item(Job(int), 1), 2), TypeError, "beside a Job"),
    "submit_many nothing": (lambda q: q.submit_many(), TypeError, "submit_many()"),
    "submit_many no items": (lambda q: q.submit_many(int), TypeError, "submit_many()"),
    "submit_many too much": (lambda q: q.submit_many(int, [1], [2]), TypeError, "submit_many()"),
    "submit_many wrong name": (lambda q: q.submit_many(int, items=[1]), TypeError, "submit_many()"),
    "submit_many int": (lambda q: q.submit_many(int, 5), TypeError, "iterable must"),
    "submit_many None": (lambda q: q.submit_many(int, None), TypeError, "iterable must"),
    "submit_many class": (lambda q: q.submit_many(int, list), TypeError, "iterable must"),
    "submit_many exchanged": (lambda q: q.submit_many([1], int), TypeError, WHAT_JOB),
    "submit_many yields": (lambda q: q.submit_many(int, Yields()), TypeError, "iterable must"),
    "submit_many unspeakable": (lambda q: q.submit_many(int, Unspeakable()), TypeError, "iterable must"),
    "submit_many foul": (lambda q: q.submit_many(int, Foul()), Wrong, ""),
    "submit_many raises": (lambda q: q.submit_many(int, raises_after(0)), Wrong, ""),
    "submit_many jobs of int": (lambda q: q.submit_many(Job(int), 5), TypeError, "iterable must"),
    "the descriptor": (lambda q: WorkerQueue.submit(5, int), TypeError, "submit"),
    "an unmade queue": (lambda q: WorkerQueue.__new__(WorkerQueue).submit(int), RuntimeError, "__init__() was not"),
}  # fmt: skip

REST = {
    "map nothing": (lambda q: q.map(), TypeError, "'fn'"),
    "map int": (lambda q: q.map(int, 5), TypeError, "iterables must"),
    "map None second": (lambda q: q.map(int, [1], None), TypeError, "iterables must"),
    "map yields": (lambda q: q.map(int, Yields()), TypeError, "iter"),
    "map unspeakable": (lambda q: q.map(int, Unspeakable()), TypeError, "iterables must"),
    "map foul": (lambda q: q.map(int, Foul()), Wrong, ""),
    "map raises": (lambda q: q.map(int, raises_after(0)), Wrong, ""),
    "map chunksize": (lambda q: q.map(int, "7", chunksize=1), TypeError, "chunksize"),
    **rows(lambda q, s: q.map(int, "7", timeout=s), "map timeout", NOT_SECONDS, "timeout must"),
    **rows(
        lambda q, n: q.map(int, "7", buffersize=n),
        "map buffersize",
        {
            "str": ("4", TypeError), "float": (1.5, TypeError), "nan": (math.nan, TypeError), "0": (0, ValueError),
            "False": (False, ValueError), "-1": (-1, ValueError), "-10**5000": (-TOO_LONG, ValueError),
            "list": ([1], TypeError), "unspeakable": (Unspeakable(), TypeError), "foul": (Foul(), TypeError),
        },
        "buffersize must",
    ),
    **rows(lambda q, s: q.stop(s), "stop timeout", NOT_SECONDS, "timeout must"),
    **rows(lambda q, s: q.wait(timeout=s), "wait timeout", NOT_SECONDS, "timeout must"),
    "stop two": (lambda q: q.stop(1, 2), TypeError, "stop()"),
    "stop wrong name": (lambda q: q.stop(wait=True), TypeError, "'wait'"),
    "stop_now timeout": (lambda q: q.stop_now(1), TypeError, "stop_now()"),
    "wait wrong name": (lambda q: q.wait(seconds=1), TypeError, "'seconds'"),
    "stats argument": (lambda q: q.stats(1), TypeError, "stats()"),
    "times argument": (lambda q: q.times(1), TypeError, "times()"),
    "running by position": (lambda q: q.running(True), TypeError, "running()"),
    "running foul": (lambda q: q.running(stacks=Foul()), Wrong, ""),
    "results argument": (lambda q: q.results(1), TypeError, "results()"),
    "utilisation of int": (lambda q: q.stats().utilisation(5), TypeError, "since must"),
    "utilisation of times": (lambda q: q.stats().utilisation(q.times()), TypeError, "since must"),
    "utilisation unspeakable": (lambda q: q.stats().utilisation(Unspeakable()), TypeError, "since must"),
    **rows(lambda q, n: q.resize(n), "resize workers", NOT_WHOLE | {"0": (0, ValueError)}, "workers must"),
    **rows(
        lambda q, n: q.resize(2, n),
        "resize min_workers",
        {name: NOT_WHOLE[name] for name in ("str", "float", "nan", "-1", "2**63", "10**5000", "foul")},
        "min_workers must",
    ),
    "resize nothing": (lambda q: q.resize(), TypeError, "'workers'"),
    "resize min above": (lambda q: q.resize(2, 3), ValueError, "min_workers must be at most workers (2), got 3"),
    "resize wrong name": (lambda q: q.resize(n=2), TypeError, "'n'"),
    **rows(lambda q, n: q.reprioritise(Future(), n), "reprioritise priority", LEVELS, "priority must"),
    **rows(lambda q, f: q.reprioritise(f, 1), "reprioritise future", NO_FUTURE, "future must"),
    "reprioritise a job": (lambda q: q.reprioritise(Job(int), 1), TypeError, "future must"),
    "reprioritise exchanged": (lambda q: q.reprioritise(1, Future()), TypeError, "future must"),
    "reprioritise no priority": (lambda q: q.reprioritise(Future()), TypeError, "'priority'"),
    "run without a loop": (lambda q: q.run(int), RuntimeError, "no running event loop"),
    "run nothing": (lambda q: q.run(), TypeError, "'fn'"),
    "capacity set": (lambda q: setattr(q, "capacity", 5), AttributeError, "capacity"),
    "name set": (lambda q: setattr(q, "name", "x"), AttributeError, "name"),
    "second init": (lambda q: q.__init__(1, 1, overflow="raise"), RuntimeError, "called twice"),
    "call": (lambda q: q(), TypeError, "not callable"),
}  # fmt: skip


@pytest.mark.parametrize("row", SUBMIT.values(), ids=SUBMIT)
def test_a_bad_submission_is_refused_by_name_and_leaves_nothing(queue, row, refused):
    """With either dispatch, in time, and the queue is as it was."""
    refused(queue, row)


@pytest.mark.parametrize("row", REST.values(), ids=REST)
def test_any_other_bad_call_is_refused_by_name_and_changes_nothing(queue, row, refused):
    """With either dispatch, in time, and the queue is as it was."""
    refused(queue, row)


# What looks wrong and has a documented result: the call, and that.
HARMLESS = {
    "wait negative": (lambda q: q.wait(-1), True),
    "wait -10**5000": (lambda q: q.wait(-TOO_LONG), True),
    "wait 10**5000": (lambda q: q.wait(TOO_LONG), True),
    "wait infinity": (lambda q: q.wait(math.inf), True),
    "reprioritise a future of nobody": (lambda q: q.reprioritise(Future(), 1), False),
    "reprioritise a done one": (lambda q: [q.reprioritise(f, 1) for f in q.submit_many(int, "7") if f.result(30)],
        [False]),
    "cancel a future of nobody": (lambda q: Future().cancel(), True),
    "submit_many no items": (lambda q: q.submit_many(int, []), []),
    "map no items": (lambda q: list(q.map(int, [])), []),
    "map no inputs": (lambda q: list(q.map(int)), []),
    "map buffersize 10**5000": (lambda q: list(q.map(int, "7", buffersize=TOO_LONG)), [7]),
    "map timeout 10**5000": (lambda q: list(q.map(int, "7", timeout=TOO_LONG)), [7]),
    "submit_within 10**5000": (lambda q: q.submit_within(TOO_LONG, int, "7").result(30), 7),
    "submit_within negative": (lambda q: q.submit_within(-1, int, "7").result(30), 7),
    "a str of another type": (lambda q: q.submit(Job(int, "7", name=Text("x"))).result(30), 7),
    "the job's own names": (lambda q: q.submit(dict, fn=1, self=2, timeout=3).result(30), {"fn": 1, "self": 2,
        "timeout": 3}),
}  # fmt: skip


@pytest.mark.parametrize(("call", "result"), HARMLESS.values(), ids=HARMLESS)
def test_what_only_looks_bad_has_its_documented_result(queue, call, result):
    """And no error: the limits are those that are written down."""
    assert call(queue) == result
    assert queue.submit(int, "7").result(30) == 7


def test_a_future_of_another_queue_is_no_job_of_this_one(queue, gate):
    """It stays where it waits, at the level that it has."""
    with WorkerQueue(1, 8) as other:
        other.submit(gate)
        gate.wait_until_entered()
        foreign = other.submit(Job(int, "7", priority=3))
        assert queue.reprioritise(foreign, 5) is False
        assert other.stats().levels == {3: 1}
        gate.open()
        assert foreign.result(30) == 7


BELOW = [(name, value) for name, (value, _) in BELOW_ZERO.items()]


@pytest.mark.parametrize(("name", "value"), BELOW, ids=[name for name, _ in BELOW])
def test_a_delay_below_zero_is_refused(queue, name, value, refused):
    """Where a time limit below zero means zero, a delay does not."""
    refused(queue, (lambda q: q.submit_later(value, int), ValueError, "delay must"))
