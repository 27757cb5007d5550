"""The worker queues in go/, which take part in submit_result."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from ringpool.bench.workloads import WORKERS

SOURCE = Path(__file__).parent / "go"
REPEATS = 3  # runs in a turn

DESIGNS = {"Go, shared": "shared", "Go, ready": "ready"}
EXPLAINED = {
    "Go, shared": "a channel of jobs that all workers share, and one of results",
    "Go, ready": "a dispatcher that hands each job to a worker that has said it is idle",
}


def build(folder):
    """The program that times them, made in *folder*; None: there is no Go here."""
    go = shutil.which("go")
    if go is None:
        return None
    program = folder / ("designs.exe" if os.name == "nt" else "designs")
    subprocess.run([go, "build", "-o", program, "."], cwd=SOURCE, check=True, timeout=300)
    return program


def ns_per_job(program, name, count):
    design = DESIGNS[name]
    flags = {"design": design, "n": count, "workers": WORKERS, "repeats": REPEATS}
    command = [program, *(f"-{flag}={value}" for flag, value in flags.items())]
    return json.loads(subprocess.check_output(command, timeout=300))["ns_per_job"][design]
