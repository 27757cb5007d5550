"""
A pytest plugin for runs under ThreadSanitizer: what CPython 3.13 does with a race at the first time, one thread does.

Two races of its own are not in CPython's list of them; eight threads that call the same at once show each, now and then,
without any module of ours. They are kept out of the way, and nothing is suppressed, so that each report is a fault.

sys.intern() on equal new strings: a string is changed after others can find it (intern_common() sets its state, and
makes it immortal). Threads in which an error passes one line of a module of ours for the first time do that with the
names in its traceback.

socket.socketpair(), and with it asyncio.new_event_loop(): whether the system knows SOCK_CLOEXEC is kept in a word that
all of them set (sock_cloexec_works).
"""

import asyncio
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
asyncio.new_event_loop().close()
