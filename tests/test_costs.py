"""
What a job may cost, in things that do not depend on the clock: blocks, bytes, collections, wake-ups, instructions.

Each test holds one row of the table; the programs that measure are in costs/measure.py. A gate that fails says that a
job has become dearer: find out why. When that is meant, or a job has become much cheaper, measure again and change the
row in the same commit:

    PYTHONPATH=src python tests/costs/measure.py blocks

The figures are of CPython on x86-64 Linux as .ci/run finds it, gcc 12; "3.13t" is free-threaded. On an interpreter
without a column nothing is tested, since nothing was measured.
"""

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

MEASURE = Path(__file__).parent / "costs" / "measure.py"
BURST = 10_000  # jobs or items; so are the figures where nothing else is said
CALLGRIND_JOBS = 5 * 2_000  # what the dearer run does more

COLUMNS = ["3.11", "3.12", "3.13", "3.13t"]


class Cost(NamedTuple):
    measured: tuple[float, ...]  # one for each of COLUMNS
    more: float = 0  # margin, in the same unit
    percent: float = 0  # margin, as a share of what was measured

    @property
    def budget(self):
        measured = self.measured[COLUMNS.index(COLUMN)]
        return measured + self.more + measured * self.percent / 100


COSTS = {
    #                                            3.11   3.12   3.13  3.13t
    "blocks of pending jobs, cold process": Cost((10001, 10001, 10001, 10001), more=50),
    "blocks of pending jobs, warm process": Cost((1, 1, 1, 1), more=50),
    "the same, a variable in the context": Cost((10001, 10001, 10001, 10001), more=50),
    "blocks of a map": Cost((5, 5, 5, 5), more=50),
    "bytes of one pending job": Cost((128, 128, 128, 128), more=4),
    "collections in ten bursts": Cost((0, 0, 0, 0)),
    "workers woken in a burst, of 16": Cost((2, 2, 2, 310), more=2, percent=200),
    "instructions of a job": Cost((1660, 1811, 1651, 2538), percent=5),
    "instructions of a job, ringpool's": Cost((526, 567, 573, 664), percent=5),
    "instructions of an item": Cost((793, 882, 854, 901), percent=5),
    "instructions of an item, ringpool's": Cost((193, 224, 228, 282), percent=5),
}
COLUMN = f"{sys.version_info[0]}.{sys.version_info[1]}" + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")

pytestmark = pytest.mark.skipif(
    COLUMN not in COLUMNS or (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason=f"costs were not measured on CPython {COLUMN}, {sys.platform}, {platform.machine()}",
)


def run(program, *numbers, under=()):
    command = [*under, sys.executable, str(MEASURE), program, *map(str, numbers)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


measured = functools.cache(run)


def within(name, figure):
    """Is the figure within the row's budget?  Says so, too, for whoever reads the log or records new figures."""
    cost = COSTS[name]
    print(f"{name}: {figure:g}; budget {cost.budget:g}")
    return figure <= cost.budget


# ---- memory ----------------------------------------------------------------------------


def test_a_pending_job_is_one_block():
    """
    Record and future are one, with its arguments in it; no context, no condition, no lock of its own.
    """
    assert within("blocks of pending jobs, cold process", measured("blocks")["cold"])


def test_in_a_warm_process_a_pending_job_takes_no_new_block():
    """
    Records are used again (Recycler): a burst costs no allocation and no step towards a collection.
    """
    assert within("blocks of pending jobs, warm process", measured("blocks")["warm"])


def test_context_is_copied_only_when_there_is_something_in_it():
    """
    One block a job if the submitter has set a variable, which also shows that the other gates would see a block a
    job; and none again afterwards.
    """
    blocks = measured("blocks")
    assert blocks["with a variable"] > 0.9 * BURST
    assert within("the same, a variable in the context", blocks["with a variable"])
    assert within("blocks of pending jobs, warm process", blocks["without again"])


def test_items_of_a_map_are_no_jobs():
    """
    An item is a cell in memory of the map's: no job, no future, no tuple of arguments.
    """
    assert within("blocks of a map", measured("map_blocks"))


def test_bytes_of_a_pending_job():
    """
    Two cache lines: one more field would cost a third.
    """
    assert within("bytes of one pending job", measured("job_bytes"))


def test_bursts_start_no_collection():
    """
    A free-threaded collection stops every thread. One burst in the standard library's pool starts some, which shows
    that they are counted.
    """
    collections = measured("collections")
    assert collections["standard library"] > 0
    assert within("collections in ten bursts", collections["ringpool"])


# ---- system calls ---------------------------------------------------------------------------


def test_a_burst_wakes_few_workers():
    """
    One wake-up is on its way at a time. With the GIL, the first job's, and one that the worker passes on. Without it
    the worker goes to sleep whenever it has caught up with its producer, 245 to 456 times, idle machine or busy; when
    every submit wakes one, thousands of times.
    """
    assert within("workers woken in a burst, of 16", measured("wake_ups", 16, 25))


# ---- instructions ------------------------------------------------------------------------------


@functools.cache
def instructions(folder, *bursts):
    """Instructions of the whole process, and of ringpool's extension modules in it."""
    file = folder / f"callgrind-{bursts[0]}-{bursts[1]}"
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}"]
    run("instructions", *bursts, under=[*callgrind, "--compress-strings=no", "--compress-pos=no"])
    total = ours = 0
    in_ours = inclusive = False
    for line in file.read_text().splitlines():
        if inclusive:  # what the line before calls is counted where it stands
            inclusive = False
        elif line.startswith("ob="):
            in_ours = "/ringpool/_core/" in line
        elif line.startswith("calls="):
            inclusive = True
        elif line[:1].isdigit():
            count = int(line.split()[1])
            total += count
            ours += count * in_ours
    return total, ours


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed: instructions are not counted")
    return tmp_path_factory.mktemp("callgrind")


@pytest.mark.parametrize(("what", "more"), [("a job", (7, 2)), ("an item", (2, 7))], ids=["job", "item"])
def test_instructions(what, more, folder):
    """
    Of submit, run and result(), or of map; the loops around them and the function that they call included. It is the
    difference of two runs, of which one does five more bursts of 2 000 when everything is warm: no start-up is in it.
    Under valgrind threads take turns, also without the GIL: what they cost each other by sharing memory is not seen.
    """
    total, ours = (
        (dearer - base) / CALLGRIND_JOBS
        for dearer, base in zip(instructions(folder, *more), instructions(folder, 2, 2))
    )
    all_within = within(f"instructions of {what}", total)
    assert within(f"instructions of {what}, ringpool's", ours) and all_within
