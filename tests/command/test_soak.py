"""``python -m ringpool soak``: a sound library passes, and one that loses or doubles anything is found out."""

import json
import os
import random
import re
import signal
import threading
from collections import Counter

import pytest

from ringpool import Future, JobDropped, Stats
from ringpool.__main__ import main
from ringpool.soak.books import balance, consistent
from ringpool.soak.page import UNSEEN, Failure, Page
from ringpool.soak.soak import KINDS, Soak

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and pipes as POSIX has them")

TIMEOUT_S = 50
SHORT = 0.05  # share of a round's jobs

# ---- the command -----------------------------------------------------------------------


@posix
def test_a_short_one_is_clean(start, tmp_path):
    process = start("soak", "--minutes", "0.02", "--seed", "3", "--json", "report")
    out, err = process.communicate(timeout=TIMEOUT_S)
    report = json.loads((tmp_path / "report").read_text(), parse_constant=pytest.fail)

    assert (process.returncode, err, report["wrong"]) == (0, b"", [])
    assert report["seed"] == 3
    jobs = sum(kind["jobs"] for kind in report["kinds"].values())
    assert jobs == sum(report["ended"].values()) > 1000
    assert out.decode().startswith(f"seed 3: {jobs:,} jobs in ")


# Each changes the library; then the command runs on it.
PLANTS = {
    "a job is hidden": """
        def submit(self, fn, /, *args):
            return plain.submit(self, fn, *args) if args != (77,) else ringpool.Future()
    """,
    "a job runs twice": """
        def submit(self, fn, /, *args):
            if args == (77,):
                plain.submit(self, fn, *args)
            return plain.submit(self, fn, *args)
    """,
    "a job has another's result": """
        def submit(self, fn, /, *args):
            return plain.submit(self, lambda n: fn(n) and 78 if n == 77 else fn(n), *args)
    """,
    "a cancelled job runs": """
        def submit(self, fn, /, *args):
            future = plain.submit(self, fn, *args)
            if args == (77,):
                try:
                    future.result()
                except Exception:           # the round ended first
                    return future
                future = ringpool.Future()
                future.cancel()
            return future
    """,
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_found(run_script, plant):
    result = run_script(f"""
import sys, textwrap
import ringpool
from ringpool.__main__ import main
from ringpool.soak import plain as rounds

plain = ringpool.ThreadPoolExecutor
exec(textwrap.dedent({PLANTS[plant]!r}))
rounds.ThreadPoolExecutor = type("Planted", (plain,), {{"submit": submit}})
rounds.JOBS = rounds.JOBS_NARROW = 1000
sys.exit(main(["soak", "--only", "plain", "--minutes", "0.1", "--seed", "1"]))
""")
    assert result.returncode == 1, result.stderr
    assert "ringpool: seed 1, round " in result.stderr
    assert re.search(r"(77|27)\b", result.stderr), result.stderr  # of any producer


def test_an_order_that_is_not_kept_is_found(run_script):
    """
    Keys that the queue never hears of: their jobs run beside each other.
    """
    result = run_script("""
import sys
import ringpool
from ringpool.__main__ import main
from ringpool.soak import jobs

jobs.Job = lambda fn, *args, key=None, **asks: ringpool.Job(fn, *args, **asks)
sys.exit(main(["soak", "--only", "mixed", "--minutes", "0.2", "--seed", "1"]))
""")
    assert result.returncode == 1, result.stderr
    assert " its key\n" in result.stderr


def test_a_hang_ends_with_the_stacks_of_all_threads(run_script):
    result = run_script("""
import sys, threading
import ringpool.commands.soak
from ringpool.__main__ import main
from ringpool.soak.page import Page

def keep_for_ever(page, index, future):
    threading.Event().wait()

Page.keep = keep_for_ever
ringpool.commands.soak.HANG_S = 1
sys.exit(main(["soak", "--only", "mixed", "--minutes", "1", "--seed", "1"]))
""")
    assert result.returncode != 0
    assert "in keep_for_ever" in result.stderr


@posix
def test_an_interrupt_ends_it_after_the_round(start, terminal):
    process = start("soak", "--minutes", "5", stderr=terminal.theirs)
    os.close(terminal.theirs)
    terminal.read(until="jobs done")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    terminal.read()

    assert process.returncode == 130
    assert out.startswith(b"seed ")
    assert terminal.text.endswith("ringpool: interrupted\r\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "argument --minutes: minutes must be greater than 0 and at most 2147483647, got 0.0"),
        (["--minutes", "x"], "argument --minutes: minutes must be a number, got 'x'"),
        (["--seed", "x"], "argument --seed: seed must be a whole number, got 'x'"),
        (["--round", "0"], "argument --round: round must be greater than 0, got 0"),
        (["--only", "x"], "argument --only: invalid choice: 'x'"),
        (["--json", "."], "cannot write '.': Is a directory"),
    ],
)
def test_what_it_cannot_do_is_said_in_one_line_and_at_once(capsys, arguments, message):
    try:
        status = main(["soak", *arguments])
    except SystemExit as end:
        status = end.code
    out, err = capsys.readouterr()

    assert (status, out) == (2, "")
    assert err.startswith(f"ringpool: {message}")
    assert err.count("\n") == 1


# ---- the rounds ------------------------------------------------------------------------


def test_a_seed_and_a_number_make_the_same_round_again():
    told = []
    for _ in range(2):
        one = KINDS["plain"](random.Random("7/1"), threading.Event(), SHORT)
        told.append(one.told)
        one.pool = None
    assert told[0] == told[1]


def test_a_soak_that_is_to_stop_plays_no_further_round():
    stopping = threading.Event()
    stopping.set()
    begun = []
    soak = Soak(1, ["plain"], None, stopping, SHORT)
    assert soak.play(60, lambda: begun.append(1)) == []
    assert (len(begun), soak.rounds["plain"], soak.jobs["plain"]) == (1, 1, 0)


# ---- the account -----------------------------------------------------------------------


def page_of(*futures):
    """A Page whose jobs have ended as these, and were called once where they were not cancelled."""
    page = Page(100, len(futures))
    for index, future in enumerate(futures):
        page.futures[index] = future
        if future not in (None, UNSEEN):
            page.keep(index, future)
            if not future.cancelled():
                page.calls.append(index)
    return page


def ended(value=None, error=None):
    future = Future()
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
    return future


def cancelled():
    future = Future()
    future.cancel()
    return future


def test_a_page_in_order_has_nothing_to_complain_of():
    page = page_of(ended(0), ended(error=Failure()), cancelled(), None, UNSEEN)
    page.calls += [1 + page.count, 4]  # a second attempt; the unseen one
    page.deliver(4, 4)
    assert page.check() == ({"succeeded": 1, "failed": 1, "cancelled": 1}, [])


@pytest.mark.parametrize(
    ("calls", "complaint"),
    [
        ([0, 0, 1], "ran twice in one attempt: 100"),
        ([0, 1, 0 + 3 * 3], "had an attempt too many: 100"),
        ([0, 1, 0 + 2 * 3], "left out an attempt: 100"),
        ([0, 1, 2], "ran although refused: 102"),
        ([1], "never ran, and succeeded: 100"),
    ],
)
def test_a_call_too_many_or_too_few_is_complained_of(calls, complaint):
    page = page_of(ended(0), ended(1), None)
    page.calls[:] = calls
    assert complaint in page.check()[1]


def test_an_end_too_many_or_too_few_is_complained_of():
    page = page_of(ended(0), ended(1), ended(2))
    page.ended[1] = page.ended[0]
    assert page.check()[1] == ["did not end exactly once: 100, 101", "3 ends of 3 jobs"]


def test_what_ended_as_it_cannot_have_is_complained_of():
    page = page_of(ended(1), ended(error=ValueError("x")), Future(), cancelled(), ended(error=JobDropped()), UNSEEN)
    page.calls.append(3)
    page.deliver(5, 6)
    assert set(page.check()[1]) >= {
        "ran, and returned 1: 100",
        "ran, and raised ValueError('x'): 101",
        "ran, and did not end: 102",
        "has a result and never ran: 105",
        "job 105 got 6 as its result",
    }


def stats_of(**numbers):
    zero = {name: 0 for name in Stats.__dataclass_fields__} | {"lanes": {}, "levels": {}}
    return Stats(**(zero | numbers))


def test_counters_must_agree_with_what_was_seen():
    stats = stats_of(accepted=3, succeeded=2, failed=1, rejected=1)
    assert balance([stats], Counter(succeeded=2, failed=1), 0, 1) == []
    assert balance([stats], Counter(succeeded=3), 0, 1) == [
        "succeeded is 2, the producers saw 3",
        "failed is 1, the producers saw 0",
    ]
    assert balance([stats], Counter(succeeded=1, failed=1), 1, None) == []
    assert balance([stats], Counter(succeeded=2, failed=1), 0, 0) == ["rejected is 1, the producers saw 0"]
    assert balance([stats_of(workers=1)], Counter(), 0, 0) == ["1 workers in a queue that has stopped"]


def test_a_snapshot_must_add_up():
    assert consistent(stats_of(accepted=2, queued=1, expired=1)) == []
    assert consistent(stats_of(accepted=2, queued=1))[0].startswith("accepted is 2, its parts are 1: ")
