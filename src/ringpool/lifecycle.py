"""What happens to all pools at once: interpreter exit and fork."""

import atexit
import os
import threading
import weakref
from contextlib import suppress

from ringpool._core.counts import let_go_of_finished
from ringpool._core.engine import Engine

# By id, since valuerefs() is a copy that nobody can change under us: pools may
# be made by other threads while we go through them.
_engines: "weakref.WeakValueDictionary[int, Engine]" = weakref.WeakValueDictionary()
_exiting = False


def watch(engine: Engine) -> None:
    """Have *engine* drained at interpreter exit and started over in a forked child."""
    _engines[id(engine)] = engine
    if _exiting:
        engine._close()


def exiting() -> bool:
    """Has the interpreter begun to exit? No pool takes jobs from then on."""
    return _exiting


def _alive() -> list[Engine]:
    return [engine for reference in _engines.valuerefs() if (engine := reference()) is not None]


def _drain_all():
    # Before the interpreter waits for its non-daemon threads, of which ours
    # would wait for jobs for ever. Jobs that are queued run; a job that makes
    # a new pool now gets one that refuses.
    global _exiting
    _exiting = True
    engines = _alive()
    for engine in engines:
        engine._close()
        engine._cancel_later()
    for engine in engines:
        engine._wait_until_quiet(None, True)


def _report_all():
    # What queues keep for a reader would be dropped with the modules' names, when no log can be written any more.
    for engine in _alive():
        with suppress(Exception):  # one that was not made
            let_go_of_finished(engine)


def _start_over():
    for engine in _alive():
        engine._after_fork()


# The standard library's own hook; atexit functions run too late, after the
# interpreter has waited for the threads.
threading._register_atexit(_drain_all)  # type: ignore[attr-defined]
atexit.register(_report_all)  # after them, when no thread is left to read results
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
