"""Where a measurement was made."""

import os
import platform
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from ringpool.version import version

available_cpus = getattr(os, "process_cpu_count", os.cpu_count)


def facts():
    """What must stand beside any number, by name."""
    return {
        "ringpool": version(),
        "interpreter": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "compiler": platform.python_compiler(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": cpu(),
        "cores": available_cpus() or 1,
        "load": load(),
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
    }


def cpu():
    """The processor's name as far as the system tells."""
    try:
        if sys.platform == "darwin":
            name = subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True)
        else:
            lines = Path("/proc/cpuinfo").read_text().splitlines()
            name = next(line.partition(":")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, subprocess.SubprocessError):
        name = ""
    return name.strip() or platform.processor() or "unknown processor"


def load():
    """How many wanted a core in the last minute, this process not yet among them; None: the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def free_memory():
    """Bytes that may be taken without pressing on anybody; None: the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024
    except (OSError, StopIteration):
        return None


def interpreter(facts):
    return f"{facts['interpreter']} ({'GIL' if facts['gil'] else 'no GIL'})"


def line(facts):
    """*facts* in one line, without the date."""
    cores = "1 core" if facts["cores"] == 1 else f"{facts['cores']} cores"
    return f"{interpreter(facts)}, {cores} of {facts['cpu']}, {facts['machine']}, {facts['system'].split()[0]}"
