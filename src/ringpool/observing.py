"""What a queue says of itself: its numbers, the jobs that run, the report of a stop."""

import sys
import threading
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ringpool import tallies
from ringpool._core import counts as core
from ringpool._core.timekeeper import now
from ringpool.future import Future
from ringpool.histogram import Histogram
from ringpool.job import title
from ringpool.plan import Plan
from ringpool.stats import LaneStats, RunningJob, Stats, StopReport, Times

if TYPE_CHECKING:
    from ringpool.worker_queue import WorkerQueue


def snapshot(queue: "WorkerQueue") -> Stats:
    """All the numbers; those that must add up are of one moment."""
    counts = core.counts(queue)
    tally = core.counted(queue)
    alive, slept = core.worker_times(queue)
    spins, spin_hits = core.spins(queue)
    levels, oldest = core.levels(queue)
    lanes = zip(queue._settings.lanes, core.lane_counts(queue))
    return Stats(
        capacity=queue._capacity,
        queued=counts.queued,
        in_flight=counts.in_flight,
        workers=counts.workers,
        idle=counts.idle,
        accepted=counts.accepted,
        succeeded=counts.succeeded,
        failed=counts.failed,
        cancelled=counts.cancelled,
        dropped=counts.dropped,
        expired=counts.expired,
        rejected=counts.rejected,
        forgotten=counts.forgotten,
        delayed=counts.delayed,
        retrying=counts.retrying,
        retries=counts.retries,
        timed_out=tally[tallies.TIMED_OUT],
        late=core.late(queue),
        stuck=tally[tallies.STUCK],
        spilled=tally[tallies.SPILLED],
        caller_ran=tally[tallies.CALLER_RAN],
        returned=tally[tallies.RETURNED],
        dropped_newest=tally[tallies.DROPPED_NEWEST],
        dropped_oldest=tally[tallies.DROPPED_OLDEST],
        blocked=counts.blocked,
        block_timed_out=counts.block_timed_out,
        shed=tally[tallies.SHED],
        resizes=tally[tallies.RESIZED],
        wakes=counts.woken,
        spins=spins,
        spin_hits=spin_hits,
        levels=levels,
        oldest=None if oldest is None else oldest * 1e-9,
        alive=alive * 1e-9,
        slept=slept * 1e-9,
        lanes={name: LaneStats(*lane) for name, lane in lanes if name is not None},
    )


def times(queue: "WorkerQueue") -> Times:
    """What was sampled."""
    waits, runs = core.times(queue)
    return Times(wait=Histogram(*waits), run=Histogram(*runs))


def running(queue: "WorkerQueue", stacks: bool) -> tuple[RunningJob, ...]:
    """The jobs that run, the longest first; with *stacks*, what their threads are at."""
    jobs = core.running(queue)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = _frames() if stacks else {}
    found = []
    for ident, future, began, fn, late in jobs:
        stack = "".join(traceback.format_stack(frames[ident])) if ident in frames else None
        name = fn.job.title if isinstance(fn, Plan) else title(fn)
        age = max(0.0, (now() - began) * 1e-9)
        found.append(RunningJob(future, names.get(ident, "?"), age, stack, name, late))
    frames.clear()  # our own is among them, and refers to it
    return tuple(sorted(found, key=lambda job: -job.age))


def _frames():
    # Without the GIL another thread may run on while its frames are read, and what
    # is read then may be no frame any more: the interpreter would crash.
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        return sys._current_frames()
    return {threading.get_ident(): sys._getframe()}


def report(queue: "WorkerQueue", cancelled: Iterable[Future[Any]] = ()) -> StopReport:
    """What has become of the accepted jobs; of the *cancelled*, by this very stop."""
    counts = core.counts(queue)
    left = core.unstarted(queue) if counts.queued else ()
    return StopReport(
        done=counts.succeeded + counts.failed,
        cancelled=counts.cancelled,
        not_started=counts.queued,
        running=running(queue, True),
        succeeded=counts.succeeded,
        failed=counts.failed,
        dropped=counts.dropped,
        expired=counts.expired,
        cancelled_futures=tuple(cancelled),
        not_started_futures=tuple(left),
    )
