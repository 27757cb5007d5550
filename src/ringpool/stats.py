"""What a queue can say of itself: counters and the report of a stop."""

from dataclasses import dataclass, field

from ringpool.checks import shown
from ringpool.future import Future
from ringpool.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Stats:
    """
    One consistent snapshot of a queue.

    ``accepted == queued + in_flight + succeeded + failed + cancelled + dropped +
    expired`` holds in every snapshot, also while all threads run.
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
    dropped: int
    """Accepted, and dropped before they started: by the overflow policy, or shed."""
    expired: int
    """Did not start in the time that they were good for."""
    rejected: int
    """Refused with QueueFull or QueueStopped; not among the accepted."""
    forgotten: int
    """Finished futures that results() can no longer deliver, because nobody had called it."""
    delayed: int
    """Of the queued, those not due yet that have not been tried."""
    retrying: int
    """Of the queued, those that wait to be tried again."""
    retries: int
    """Attempts after which a job was to be tried again."""
    timed_out: int
    """Attempts that were not done in their time."""
    late: int
    """Running jobs whose future has ended in JobTimeout."""
    stuck: int
    """Jobs that the watchdog has reported."""
    spilled: int
    """Jobs that went to the queue given as *overflow*; not among the accepted."""
    caller_ran: int
    """Jobs that their submitter ran for want of room; among the accepted."""
    returned: int
    """Futures returned that carry QueueFull; among the rejected."""
    dropped_newest: int
    """Jobs dropped for want of room as they came; among the dropped."""
    dropped_oldest: int
    """Jobs dropped to make room for a new one; among the dropped."""
    blocked: int
    """Producers that slept for want of room, ever."""
    block_timed_out: int
    """Of these, those whose time was up before there was any; among the rejected."""
    shed: int
    """Jobs dropped because all of them waited too long; among the dropped."""
    resizes: int
    """Calls of resize()."""
    wakes: int
    """Workers woken, ever."""
    spins: int
    """How often a worker looked out for a job for some microseconds before it slept, ever."""
    spin_hits: int
    """Of these, how often it was woken meanwhile, and did not have to sleep."""
    levels: dict[int, int]
    """
    Of the queued that are due, how many wait, by level; plain calls are of level 0.

    Where jobs have an order of their own, plain calls that were cancelled count until a worker comes by.
    """
    oldest: float | None
    """
    Seconds that the one of these waits which waits longest; None: none does.

    Plain calls note no time: of them it is the most that it can be, and too much by no more than the time between two
    calls of stats(), or a 32nd; before the second call, by the time since a worker slept or took a sampled job.
    """
    alive: float
    """Seconds that its workers have lived, all together."""
    slept: float
    """Of these, the seconds that they slept for want of a job."""
    lanes: dict[str, "LaneStats"]
    """Of each lane; empty without lanes."""

    @property
    def busy(self) -> int:
        """Workers that run a job: those that do not sleep, of so many as there are jobs in flight."""
        return max(0, min(self.in_flight, self.workers - self.idle))

    def utilisation(self, since: "Stats | None" = None) -> float:
        """
        What share of their time, from 0 to 1, the workers had a job; 0 before there was any worker.

        *since*: an earlier snapshot of the same queue; None: from the beginning.
        """
        if since is not None and not isinstance(since, Stats):
            raise TypeError(f"since must be a Stats or None, got {shown(since)}")
        alive = self.alive - (since.alive if since is not None else 0.0)
        slept = self.slept - (since.slept if since is not None else 0.0)
        return min(1.0, max(0.0, 1.0 - slept / alive)) if alive > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Times:
    """How long the sampled jobs of a queue took."""

    wait: Histogram
    """From submit, or the end of a delay, until the job began."""
    run: Histogram
    """From then until it returned or raised."""


@dataclass(frozen=True, slots=True)
class LaneStats:
    """A lane at one moment."""

    ready: int
    """Jobs that wait for a worker; those behind a key or not due are not among them."""
    running: int
    """Jobs that run."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs."""

    future: Future
    thread: str
    """Name of the worker's thread."""
    age: float = field(default=0.0, compare=False)
    """Seconds since it began, on a clock of some milliseconds."""
    stack: str | None = field(default=None, compare=False, repr=False)
    """
    What its thread was at, as a traceback; None: nobody asked, or there is no GIL, without which no other thread's
    frames can be read while it runs.
    """
    name: str = field(default="?", compare=False)
    """What the job was called in ``Job(name=)``, or its function."""
    late: bool = field(default=False, compare=False)
    """Its future has ended already, in JobTimeout or by hand, and its function has not."""


@dataclass(frozen=True, slots=True)
class StopReport:
    """
    What had become of the accepted jobs when a stop returned.

    The numbers are of all jobs that the queue has ever accepted. Listed are those of which somebody may want to know
    which: at most *capacity* and those that wait to be tried again, and one a worker. Jobs that are done are a number
    only, since nobody may keep them all; read ``results()`` for them.
    """

    done: int
    """Returned or raised."""
    cancelled: int
    """Cancelled before they started."""
    not_started: int
    """Still queued. They go on being run, unless stop_now() cancels them."""
    running: tuple[RunningJob, ...]
    """Still running, and they go on."""
    succeeded: int = field(default=0, compare=False)
    """Of the done, those that returned."""
    failed: int = field(default=0, compare=False)
    """Of the done, those that raised."""
    dropped: int = field(default=0, compare=False)
    """Dropped before they started."""
    expired: int = field(default=0, compare=False)
    """Did not start in time."""
    cancelled_futures: tuple[Future, ...] = field(default=(), compare=False, repr=False)
    """Of the cancelled, those that this call of stop_now() has cancelled."""
    not_started_futures: tuple[Future, ...] = field(default=(), compare=False, repr=False)
    """Of the not started, those that were still in the queue; a worker may just have taken another."""

    @property
    def complete(self) -> bool:
        """Is nothing left to do?"""
        return not self.not_started and not self.running
