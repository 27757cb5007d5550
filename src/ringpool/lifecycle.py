"""What happens to all pools at once: interpreter exit and fork."""

import os
import threading
import weakref

from ringpool._core.engine import Engine

_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()
_exiting = False


def watch(engine: Engine) -> None:
    """Have *engine* drained at interpreter exit and started over in a forked child."""
    _engines.add(engine)
    if _exiting:
        engine._close()


def exiting() -> bool:
    """Has the interpreter begun to exit? No pool takes jobs from then on."""
    return _exiting


def _drain_all():
    # Before the interpreter waits for its non-daemon threads, of which ours
    # would wait for jobs for ever. Jobs that are queued run; a job that makes
    # a new pool now gets one that refuses.
    global _exiting
    _exiting = True
    engines = list(_engines)
    for engine in engines:
        engine._close()
    for engine in engines:
        engine._wait_until_quiet(None, True)


def _start_over():
    for engine in list(_engines):
        engine._after_fork()


# The standard library's own hook; atexit functions run too late, after the
# interpreter has waited for the threads.
threading._register_atexit(_drain_all)  # type: ignore[attr-defined]
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
