"""
A pytest plugin for runs under ThreadSanitizer: what our modules would intern in several threads at once is interned.

CPython 3.13 changes a string that it interns after others can find it (intern_common() sets its state, and makes it
immortal), and its list of its own races does not have that one; eight threads that call sys.intern() on equal new
strings show it without any module of ours. Two threads in which an error passes one line of a module for the first time
do the same with the names in its traceback. Here one thread does so before; nothing is suppressed, so that each report
is a fault.
"""

import re
import sys
from pathlib import Path

CORE = Path(__file__).parents[2] / "src/ringpool/_core"  # with the C++ of which the modules were made
NAMES = [
    sys.intern(name)
    for module in CORE.glob("*.cpp")
    for name in re.findall(r'"(src/ringpool/[\w./]+|ringpool[\w.]+)"', module.read_text())
]
assert NAMES, f"no C++ in {CORE}"
