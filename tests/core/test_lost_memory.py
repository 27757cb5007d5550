"""
What the ring, the shelf and the parking allocate is given back; memcheck says so.

It also sees what no sanitizer of this compiler does, a branch on what nobody has written. Seen to fail: with the slots
of a ring that are not freed.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("stress_program.py")


@pytest.fixture(scope="module")
def rig(build_core):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed: nobody looks for lost memory")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("memcheck cannot see what mimalloc's blocks refer to")
    return build_core("1")


@pytest.mark.parametrize(
    ("capacity", "producers", "workers", "keys", "ready"),
    [(3, 2, 2, 0, 0), (0, 3, 2, 0, 0), (8, 3, 2, 5, 0), (16, 2, 3, 7, 1)],
    ids=["ring", "overflow", "keys", "ready-keys"],
)
def test_nothing_is_lost(rig, tmp_path, capacity, producers, workers, keys, ready):
    report = tmp_path / "report.xml"
    command = ["valgrind", "--leak-check=full", "--show-leak-kinds=definite", "--fair-sched=yes", "--xml=yes"]
    arguments = [str(x) for x in (rig, capacity, producers, workers, keys, ready, 200, 3)]
    done = subprocess.run(
        [*command, f"--xml-file={report}", sys.executable, str(PROGRAM), *arguments],
        env={**os.environ, "PYTHONMALLOC": "malloc"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout + done.stderr
    # the interpreter has errors of its own: ours have a frame of ours
    errors = [error for error in xml.parse(report).iter("error") if any(o.text == str(rig) for o in error.iter("obj"))]
    assert not errors, "\n".join(told(error) for error in errors)


def told(error):
    frames = [f"{frame.findtext('fn')} in {frame.findtext('obj')}" for frame in error.iter("frame")]
    return "\n    ".join([error.findtext("what") or error.findtext("xwhat/text"), *frames[:8]])
