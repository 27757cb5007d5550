"""A warning when a job is stuck."""

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary, ref

from ringpool import lifecycle, tallies
from ringpool._core.counts import count
from ringpool._core.timekeeper import call_at, keep_time, now
from ringpool.observing import running

if TYPE_CHECKING:
    from ringpool.worker_queue import WorkerQueue

logger = logging.getLogger("ringpool")

# By id, since valuerefs() is a copy that nobody can change under us.
_watched: "WeakValueDictionary[int, WorkerQueue]" = WeakValueDictionary()


def watch(queue: "WorkerQueue", stuck_after: float) -> None:
    """Warn of jobs that have run for *stuck_after* seconds, each once."""
    _watched[id(queue)] = queue
    keep_time(queue)
    Watchdog(queue, stuck_after).again()


class Watchdog:
    """Looks twice in every *stuck_after* seconds; does not keep the queue alive."""

    def __init__(self, queue, stuck_after):
        self._queue = ref(queue)
        self._stuck_after = stuck_after
        self._reported = WeakSet()

    def again(self):
        queue = self._queue()
        if queue is not None and not (queue._closed and queue._wait_until_quiet(0, False)):
            call_at(queue, now() + int(self._stuck_after * 5e8), self.look)

    def look(self):
        with suppress(BaseException):  # of a handler of the user's, or no memory
            self._look()
        self.again()

    def _look(self):
        queue = self._queue()
        for job in running(queue, False) if queue is not None else ():
            if job.age >= self._stuck_after and job.future not in self._reported:
                self._reported.add(job.future)
                self._report(queue, job)

    def _report(self, queue, job):
        count(queue, tallies.STUCK)
        for one in running(queue, True):
            if one.future is job.future:
                logger.warning(
                    "%s has been running in %s for %.1f s on thread %s: %r%s",
                    one.name, queue.name, one.age, one.thread, one.future, f"\n{one.stack}" if one.stack else "",
                )  # fmt: skip


def _watch_again():
    # In a forked child, where the timekeeper is a thread of the parent's.
    for reference in _watched.valuerefs():
        if (queue := reference()) is not None and not queue._closed:
            with suppress(RuntimeError):  # no thread can be started: the other queues are watched all the same
                watch(queue, queue._settings.stuck_after)


# After lifecycle's hook, which gives each queue a core to be watched in.
assert lifecycle
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch_again)
