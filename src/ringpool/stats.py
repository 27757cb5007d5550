"""What a queue can say of itself: counters and the report of a stop."""

from dataclasses import dataclass

from ringpool.future import Future


@dataclass(frozen=True, slots=True)
class Stats:
    """
    One consistent snapshot of a queue.

    ``accepted == queued + in_flight + succeeded + failed + cancelled`` holds in
    every snapshot, also while all threads run.
    """

    capacity: int
    """Jobs that may be queued at a time."""
    queued: int
    """Accepted and not started."""
    in_flight: int
    """Started and not finished."""
    workers: int
    """Threads started; they are started as jobs need them and end with the queue."""
    idle: int
    """Workers that sleep."""
    accepted: int
    """Every job that a submit has returned a future for."""
    succeeded: int
    """Returned a result."""
    failed: int
    """Raised an exception."""
    cancelled: int
    """Cancelled before they started."""
    rejected: int
    """Refused with QueueFull or QueueStopped; not among the accepted."""
    forgotten: int
    """Finished futures that results() can no longer deliver, because nobody had called it."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that was still running when its queue had been told to stop."""

    future: Future
    thread: str
    """Name of the worker's thread."""


@dataclass(frozen=True, slots=True)
class StopReport:
    """What had become of the accepted jobs when a stop returned."""

    done: int
    """Returned or raised."""
    cancelled: int
    """Cancelled before they started."""
    not_started: int
    """Still queued. They go on being run, unless stop_now() cancels them."""
    running: tuple[RunningJob, ...]
    """Still running, and they go on."""

    @property
    def complete(self) -> bool:
        """Is nothing left to do?"""
        return not self.not_started and not self.running
