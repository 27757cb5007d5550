"""
The protocol of queue and workers in every order of its steps: models in Promela, searched by SPIN.

What they say and leave out stands at the top of each, and in "The model" of _core/CHECKED.md. A clean run looks at all
states. Each planted bug must be found, or the model would not see the mistake that it is there for.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
LIMIT = 55  # seconds; a run takes some
SMALL = "PRODUCERS=3 WORKERS=2 JOBS=4"
SMALLER = "PRODUCERS=2 WORKERS=2 JOBS=3"
TINY = "PRODUCERS=1 WORKERS=2 JOBS=3"
RESULTS = "shelf TIMEKEEPER RESULTS PRODUCERS=1 WORKERS=2 JOBS=2"

pytestmark = [
    pytest.mark.skipif(shutil.which("spin") is None, reason="spin is not installed: the model is not searched"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed: the model is not searched"),
    pytest.mark.skipif(
        "model" in os.environ.get("RINGPOOL_SKIP", ""), reason="RINGPOOL_SKIP: the model is searched elsewhere"
    ),
]

# Three producers, three workers, five jobs, where nothing else is said (ring: two, two, four).
CLEAN = {
    "ring": "ring LIMIT=2",
    "ring-of-one-slot": "ring LIMIT=1",
    "overflow": "ring LIMIT=1 JOBS=3 OVERFLOW",
    "parking-word-by-word": "queue LIMIT=5 FINE",
    "jobs-that-wait-for-each-other": "queue LIMIT=5 FINE JOBS_WAIT",
    "room": "queue LIMIT=2 STOP_LAST DEADLINE",
    "room-stopped-at-any-time": f"queue LIMIT=2 DEADLINE {SMALL}",
    "wait-until-quiet": f"queue LIMIT=4 WAITS FINE {SMALL}",
    "ready": "shelf",
    "ready-jobs-that-wait": "shelf JOBS_WAIT STOP_LAST",
    "ready-retry": "shelf RETRY STOP_LAST",
    "shared-retry": "shelf SHARED RETRY STOP_LAST",
    "workers-that-leave": f"shelf ELASTIC RETRY {TINY}",
    "workers-that-leave-shared": "shelf ELASTIC SHARED RETRY PRODUCERS=1 JOBS=2",
    "cancel-and-stop-now": f"shelf RETRY CANCEL STOP_NOW {SMALLER}",
    "timekeeper": f"shelf TIMEKEEPER RETRY STOP_LAST {SMALLER}",
    "timekeeper-cancel": "shelf SHARED TIMEKEEPER RETRY CANCEL STOP_LAST PRODUCERS=1 WORKERS=2 JOBS=2",
    "results": RESULTS,
}

LOST = "invalid end state"  # nobody can go on: a lost wake-up
WRONG = "assertion violated"
PLANTED = {
    # bug: (found by, as)
    "FILL_WITHOUT_TURN": ("ring", WRONG),
    "FULL_WITHOUT_LOOK": ("ring", WRONG),
    "CLOSE_APART": ("ring", WRONG),
    "HAND_BACK_FIRST": ("ring", WRONG),
    "LEAVE_ON_EMPTY_LOOK": ("ring", WRONG),
    "TELL_BEFORE_PUT": (f"queue LIMIT=4 {SMALL}", LOST),
    "NO_W2": (f"queue LIMIT=4 {SMALL}", LOST),
    "LOOK_BEFORE_W1": (f"queue LIMIT=4 {SMALL}", LOST),
    "W2_IGNORES_CLOSE": (f"queue LIMIT=4 {SMALL}", LOST),
    "NO_F2": (f"queue LIMIT=4 JOBS_WAIT {SMALL}", LOST),
    "F2_BEFORE_F1": (f"queue LIMIT=4 JOBS_WAIT {SMALL}", LOST),
    "CLOSE_WITHOUT_WAKE": (f"queue LIMIT=4 {SMALL}", LOST),
    "TRY_BEFORE_ENTERING": (f"queue LIMIT=1 STOP_LAST {SMALL}", LOST),
    "WAITER_KEEPS_TOKEN": (f"queue LIMIT=1 STOP_LAST DEADLINE {SMALL}", LOST),
    "LEAVES_ROOM": (f"queue LIMIT=2 STOP_LAST {SMALL}", LOST),
    "NO_LOOK_AT_QUIET": (f"queue LIMIT=4 WAITS {SMALL}", LOST),
    "PUT_WITHOUT_TELL": (f"shelf {SMALLER}", LOST),
    "LAST_WAKES_NOBODY": (f"shelf RETRY {SMALLER}", LOST),
    "TIMER_FORGOTTEN": (f"shelf RETRY {SMALLER}", WRONG),
    "COME_AGAIN_IGNORES_STATE": (f"shelf RETRY CANCEL {SMALLER}", LOST),
    "COME_AGAIN_LOOKS_WITHOUT_LOCK": (f"shelf RETRY CANCEL {SMALLER}", LOST),
    "COME_AGAIN_IGNORES_STOP": (f"shelf RETRY STOP_NOW {SMALLER}", LOST),
    "LETS_NOBODY_GO": (f"shelf RETRY CANCEL {SMALLER}", LOST),
    "DRAINED_STAY": (f"shelf ELASTIC RETRY {TINY}", WRONG),
    "COUNTED_WITHOUT_LOOK": (f"shelf ELASTIC RETRY {TINY}", WRONG),
    "LEAVER_WAKES_NOBODY": (f"shelf ELASTIC RETRY {TINY}", LOST),
    "LOOKS_WITHOUT_LOCK": (RESULTS, WRONG),
}


@pytest.fixture
def search(tmp_path):
    """Searches a model as built with some defines; returns what the verifier printed."""

    def run(what):
        model, *defines = what.split()
        for source in HERE.glob("*.pml"):
            shutil.copy(source, tmp_path)
        for command in (
            ["spin", "-a", *(f"-D{define}" for define in defines), f"{model}.pml"],
            # not optimised: that takes longer than it saves
            ["gcc", "-w", "-DSAFETY", "-DNOREDUCE", "-DMEMLIM=2000", "-o", "pan", "pan.c"],
            ["./pan", "-m20000", "-w23"],
        ):
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT)
            if done.returncode != 0:
                pytest.fail(f"{command[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    return run


def check_clean(output):
    assert re.search(r"\berrors: 0$", output, re.MULTILINE), output
    for truncated in ("max search depth too small", "out of memory", "Search not completed", "hash-table"):
        assert truncated not in output, output
    assert "Full statespace search" in output


@pytest.mark.parametrize("what", CLEAN.values(), ids=CLEAN.keys())
def test_no_order_of_steps_loses_a_job_or_a_wake_up(search, what):
    """All states: accepted is taken once and resolved, and nobody waits for ever."""
    check_clean(search(what))


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(search, bug):
    """The model sees the mistake, in the way that it should."""
    what, how = PLANTED[bug]
    output = search(f"{what} BUG_{bug}")
    assert re.search(r"\berrors: 1$", output, re.MULTILINE), output
    assert how in output
