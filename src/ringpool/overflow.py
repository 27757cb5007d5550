"""What happens to a job for which a full queue has no room."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ringpool import checks, tallies
from ringpool._core import plan as core
from ringpool._core.batch import Batch
from ringpool._core.counts import count
from ringpool._core.engine import call_of
from ringpool._core.timekeeper import is_timekeeper, now
from ringpool.checks import shown
from ringpool.errors import JobDropped, QueueFull, QueueStopped
from ringpool.future import Future
from ringpool.job import Job
from ringpool.plan import Plan

if TYPE_CHECKING:
    from ringpool.worker_queue import WorkerQueue

NAMES = ("block", "raise", "return", "caller_runs", "drop_newest", "drop_oldest")


@dataclass(frozen=True, slots=True)
class Block:
    """Wait for room, at most *timeout* seconds; then QueueFull. None: without limit, as ``"block"``."""

    timeout: float | None

    def __post_init__(self) -> None:
        checks.duration("timeout", self.timeout)


Policy: TypeAlias = (
    Literal["block", "raise", "return", "caller_runs", "drop_newest", "drop_oldest"]
    | Block
    | "WorkerQueue"
    | Callable[["WorkerQueue", Job[Any]], Any]
)  # fmt: skip


def check(value: Any, queue_type: type) -> Any:
    """*value* as a policy."""
    if isinstance(value, str):
        return checks.one_of("overflow", value, NAMES)
    if isinstance(value, (Block, queue_type)):
        return value
    if callable(value) and not isinstance(value, type):  # Block, say, without its seconds
        return checks.not_awaited("overflow", value)
    raise TypeError(f"overflow must be one of {NAMES}, a Block, a WorkerQueue or a callable, got {shown(value)}")


def apply(policy: Any, queue: "WorkerQueue", future: Future[Any], queue_type: type) -> Future[Any]:
    """
    Do with a job that was not queued what *policy* says; returns the future that submit returns.

    Raises QueueFull or QueueStopped, or what a function that decides raises;
    then no trace of the job is left.
    """
    try:
        return _apply(policy, queue, future, queue_type)
    except (QueueFull, QueueStopped):
        core.reject(queue, future, None)
        raise


def _apply(policy, queue, future, queue_type):
    if callable(policy):
        policy = check(policy(queue, _job_of(future)[0]), queue_type)
        if callable(policy):
            raise TypeError(f"an overflow function must return a policy that is none itself, got {shown(policy)}")
        if policy is queue:
            raise ValueError(f"an overflow function must return another queue than the full one, got {shown(policy)}")
    if policy == "block":
        policy = Block(None)
    if isinstance(policy, Block):
        return _block(policy, queue, future)
    if not isinstance(policy, str):
        return _spill(policy, queue, future)
    return _POLICIES[policy](queue, future)


def _job_of(future):
    fn, args, kwargs = call_of(future)
    return (fn.job, fn) if isinstance(fn, Plan) else (Job(fn, *args, kwargs=kwargs), None)


def _block(policy, queue, future):
    deadline = -1 if policy.timeout is None else now() + int(min(policy.timeout, 9e9) * 1e9)
    return _queued(queue, future, core.put_within(queue, future, deadline), policy.timeout is None)


def _queued(queue, future, put, waited=False):
    if put:
        return future
    raise queue._refusal() if put is None else queue._full(waited)


def full(queue: "WorkerQueue", without_limit: bool) -> QueueFull:
    """The error of a submit that found no room; *without_limit*: it would have waited for some, and may not."""
    why = f"{queue.name} is full"
    if not without_limit:
        return QueueFull(f"{why}: {queue.capacity} jobs queued or their results unread")
    if is_timekeeper(queue):
        return QueueFull(f"{why}, and a callback on its clock's thread cannot wait: nothing would be due meanwhile")
    return QueueFull(f"{why}, and all its workers wait for room in it: waiting would deadlock")


def _raise(queue, future):
    raise queue._full(False)


def _return(queue, future):
    core.reject(queue, future, queue._full(False))
    count(queue, tallies.RETURNED)
    return future


def _caller_runs(queue, future):
    if not _may_run_here(queue, future):
        return _raise(queue, future)
    if not core.run_unqueued(queue, future):
        raise queue._refusal()
    count(queue, tallies.CALLER_RAN)
    _let_out(queue, future)
    return future


def _let_out(queue, future):
    # What ends a program, as Ctrl-C, came to the submitter's thread and not to a worker's: it goes on from there.
    error = future.exception(0) if future.done() and not future.cancelled() else None
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        if "on_done" in queue._settings.hooks:
            queue._settings.done(future)  # submit does not come to it
        try:
            raise error
        finally:
            del future, error


def _may_run_here(queue, future):
    # The order of a key, a delay, the places of a lane and the rate are the queue's to keep.
    lane, keyed = core.lane_of(future)
    fn = call_of(future)[0]
    return not (
        keyed
        or (isinstance(fn, Plan) and fn.job.delay)
        or list(queue._settings.lanes.values())[lane].max_workers is not None
        or queue._settings.rate_limit is not None
    )


def _drop_newest(queue, future):
    core.drop_unqueued(queue, future, JobDropped(f"{queue.name} was full, and drops the newest"))
    count(queue, tallies.DROPPED_NEWEST)
    queue._settings.dropped(future)
    return future


def _drop_oldest(queue, future):
    if core.reader_lags(queue):
        return _raise(queue, future)  # a place in the queue is not what it lacks
    why = f"{queue.name} was full, and dropped its oldest job for a new one"
    put = core.put_again(queue, future)
    while put is False:
        error = JobDropped(why)
        victim, ended, fn = core.drop_oldest(queue, core.lane_of(future)[0], error)
        if ended:
            if isinstance(fn, Batch):
                fn.lose_runner(error)  # no future of it, but its map's reader is to know
            count(queue, tallies.DROPPED_OLDEST)
            queue._settings.dropped(victim)
        put = core.put_again(queue, future)
        if put is False and victim is None:
            return _raise(queue, future)  # only other lanes, or what is not due, are to blame
    return _queued(queue, future, put)


def _spill(other, queue, future):
    job, plan = _job_of(future)
    spilled = other.submit(job)
    if plan is not None:
        plan.went_elsewhere = True
    core.reject(queue, future, None, False)
    count(queue, tallies.SPILLED)
    return spilled


_POLICIES = {
    "raise": _raise,
    "return": _return,
    "caller_runs": _caller_runs,
    "drop_newest": _drop_newest,
    "drop_oldest": _drop_oldest,
}
