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
CALLGRIND_JOBS = 5 * 2_000  # of each part

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
    "blocks of pending jobs of a queue, cold process": Cost((10001, 10001, 10001, 10001), more=50),
    "blocks of pending jobs of a queue, warm process": Cost((1, 1, 1, 18), more=50),
    "blocks of pending jobs of a ready queue, cold process": Cost((10001, 10001, 10001, 10001), more=50),
    "blocks of pending jobs of a ready queue, warm process": Cost((1, 1, 1, 18), more=50),
    "blocks of a map": Cost((5, 5, 5, 5), more=50),
    "bytes of one pending job": Cost((128, 128, 128, 128), more=4),
    "collections in ten bursts": Cost((0, 0, 0, 0)),
    "workers woken in a burst, of 16": Cost((2, 2, 2, 310), more=2, percent=200),
    "workers of a queue woken in a burst, of 16": Cost((2, 2, 2, 299), more=2, percent=200),
    "workers of a ready queue woken in a burst, of 16": Cost((16, 16, 16, 9999), more=2, percent=100),
    "instructions of a job": Cost((1686, 1831, 1669, 2583), percent=3),
    "instructions of a job, ringpool's": Cost((547, 587, 591, 686), percent=3),
    "instructions of a queue's job": Cost((1849, 2008, 1845, 2924), percent=3),
    "instructions of a queue's job, ringpool's": Cost((699, 746, 749, 886), percent=3),
    "instructions of a ready queue's job": Cost((3533, 3688, 3528, 4630), percent=3),
    "instructions of a ready queue's job, ringpool's": Cost((1660, 1706, 1710, 1892), percent=3),
    "instructions of an item": Cost((721, 805, 777, 810), percent=3),
    "instructions of an item, ringpool's": Cost((165, 188, 192, 234), percent=3),
    "instructions of a number": Cost((821, 957, 935, 836), percent=3),
    "instructions of a number, ringpool's": Cost((140, 163, 167, 195), percent=3),
    "precise times in 10 000 jobs": Cost((38, 33, 36, 40), more=50),
    "precise times in 10 000 queue's jobs": Cost((503, 508, 497, 508), more=50),
    "precise times in 10 000 ready queue's jobs": Cost((10510, 10509, 10508, 10518), more=50),
    "precise times in 10 000 items": Cost((36, 30, 31, 40), more=50),
    "precise times in 10 000 numbers": Cost((36, 32, 32, 40), more=50),
    "locks in 10 000 jobs": Cost((0, 0, 0, 5250), more=50),
    "locks in 10 000 queue's jobs": Cost((0, 0, 0, 20455), more=50),
    "locks in 10 000 ready queue's jobs": Cost((0, 0, 0, 50446), more=50),
    "locks in 10 000 items": Cost((0, 0, 0, 30), more=50),
    "locks in 10 000 numbers": Cost((0, 0, 0, 31), more=50),
}
COLUMN = f"{sys.version_info[0]}.{sys.version_info[1]}" + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")

pytestmark = pytest.mark.skipif(
    COLUMN not in COLUMNS or (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason=f"costs were not measured on CPython {COLUMN}, {sys.platform}, {platform.machine()}",
)


def run(program, *numbers, under=()):
    command = [*under, sys.executable, str(MEASURE), program, *map(str, numbers)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


measured = functools.cache(run)

FACES = pytest.mark.parametrize(
    ("face", "of"), [("executor", ""), ("queue", " of a queue"), ("ready", " of a ready queue")]
)


def within(name, figure):
    """Is the figure within the row's budget?  Says so, too, for whoever reads the log or records new figures."""
    cost = COSTS[name]
    print(f"{name}: {figure:g}; budget {cost.budget:g}")
    return figure <= cost.budget


# ---- memory ----------------------------------------------------------------------------


@FACES
def test_a_pending_job_is_one_block(face, of):
    """
    Record and future are one, with its arguments in it; no context, no condition, no lock of its own. Nor has a plain
    job of a queue a plan, or an extension unless it is a sample, wherever it waits.
    """
    assert within(f"blocks of pending jobs{of}, cold process", measured("blocks", face)["cold"])


@FACES
def test_in_a_warm_process_a_pending_job_takes_no_new_block(face, of):
    """
    Records are used again (Recycler): a burst costs no allocation and no step towards a collection.
    """
    assert within(f"blocks of pending jobs{of}, warm process", measured("blocks", face)["warm"])


def test_context_is_copied_only_when_there_is_something_in_it():
    """
    One block a job if the submitter has set a variable, which also shows that the other gates would see a block a
    job; and none again afterwards.
    """
    blocks = measured("blocks", "executor")
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


@FACES
def test_a_burst_wakes_few_workers(face, of):
    """
    One wake-up is on its way at a time. With the GIL, the first job's, and one that the worker passes on. Without it
    the worker goes to sleep whenever it has caught up with its producer, 245 to 456 times, idle machine or busy; when
    every submit wakes one, thousands of times. A ready queue gives a job to each idle worker, once with the GIL; if
    who is done did not take the next one itself, but had it given as well, all 10 000 jobs would wake one.
    """
    if face == "ready" and COLUMN == "3.13t":
        pytest.skip("on one processor without the GIL a worker is idle again before the next job is put")
    assert within(f"workers{of} woken in a burst, of 16", measured("wake_ups", face, 16, 25))


# ---- instructions ------------------------------------------------------------------------------


PARTS = ("a job", "a queue's job", "a ready queue's job", "an item", "a number")  # as costs/measure.py counts them


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    """Of each part, the instructions of the whole process, and of ringpool's extension modules in it."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed: instructions are not counted")
    file = tmp_path_factory.mktemp("callgrind") / "out"
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", "--dump-before=*counts_*waiting*"]
    run("instructions", under=[*callgrind, "--compress-strings=no", "--compress-pos=no"])
    # it is called before and after each part: every other file is what came between
    return {part: counted(Path(f"{file}.{2 * number}")) for number, part in enumerate(PARTS, 1)}


class Counted(NamedTuple):
    total: int  # instructions
    ours: int
    times: int  # looks of ours at the precise clock
    locks: int  # mutexes that we take


def counted(file):
    total = ours = times = locks = 0
    in_ours = inclusive = False
    callee = ""
    for line in file.read_text().splitlines():
        if inclusive:  # what the line before calls is counted where it stands
            inclusive = False
        elif line.startswith("ob="):
            in_ours = "/ringpool/_core/" in line
        elif line.startswith("cfn="):
            callee = line
        elif line.startswith("calls="):
            inclusive = True
            calls = int(line.removeprefix("calls=").split()[0]) * in_ours
            times += calls * ("steady_clock" in callee)
            locks += calls * ("pthread_mutex_lock" in callee)
        elif line[:1].isdigit():
            count = int(line.split()[1])
            total += count
            ours += count * in_ours
    return Counted(total, ours, times, locks)


@pytest.mark.parametrize("part", PARTS)
def test_instructions(part, instructions):
    """
    Of submit, run and result(), or of map, over a list and over a range; the loops around them and the function that they call included, when
    everything is warm. A queue's job is counted by its worker, delivered, and timed if it is a sample. Under valgrind
    threads take turns, also without the GIL: what they cost each other by sharing memory is not seen. Counts of the
    same code differ by a thousandth; a mutex for each job is a twenty-fifth.
    """
    total, ours = (count / CALLGRIND_JOBS for count in instructions[part][:2])
    all_within = within(f"instructions of {part}", total)
    assert within(f"instructions of {part}, ringpool's", ours) and all_within


@pytest.mark.parametrize("part", PARTS)
def test_who_looks_at_the_clock_or_takes_a_lock(part, instructions):
    """
    Few enough instructions to hide in the budget above, and dear where a clock is a system call or a lock is shared.
    A plain job takes no lock, unless the ring is full and it overflows, and a queue's is timed if it is a sample. A
    queue takes one to keep what has ended for results() and one to forget what it has kept before, and a ready queue
    that of its shelf to put a job, to take it and to put it down.
    """
    counts = instructions[part]
    in_time = within(f"precise times in 10 000 {part.split(maxsplit=1)[1]}s", counts.times)
    assert within(f"locks in 10 000 {part.split(maxsplit=1)[1]}s", counts.locks) and in_time
