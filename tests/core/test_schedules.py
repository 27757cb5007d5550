"""
The ring, the shelf and the parking on thousands of schedules, each chosen by a seed.

A fault's seed runs it again: ``python tests/core/schedules.py MODULE SEED 1``,
with the module that ``RINGPOOL_STRESS=scheduled python setup.py build_ext``
makes.
"""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("schedules.py")


@pytest.fixture(scope="module")
def scheduled(build_core):
    if not sys.platform.startswith("linux"):
        pytest.skip("fibers are made as glibc makes them")
    return build_core("scheduled")


def test_no_schedule_loses_a_job_or_a_wake_up(scheduled):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(scheduled), "0", "20000"], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("ok: 20000 schedules"), done.stdout
