"""Which idle worker a job would like, and what there is to choose from."""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ringpool import checks
from ringpool._core.counts import workers
from ringpool.job import Job

if TYPE_CHECKING:
    from ringpool.worker_queue import WorkerQueue


class WorkerView(NamedTuple):
    """A worker at the moment of a look, which has passed when it is read."""

    number: int
    """From 0; no two workers of a queue have the same at a time. What *choose* returns."""
    name: str
    """Of its thread."""
    idle: bool
    """Does it sleep for want of a job?"""
    seconds: float
    """For how long it has: been idle, or been at its job; of the latter on a clock of some milliseconds."""
    done: int
    """Jobs that it has run to their end, those that raised included."""
    state: Any
    """What ``worker_init`` returned on its thread, which may be using it just now; None without one."""


def check(choose: Any, dispatch: str) -> Any:
    """*choose*, if it is one of those that a queue of this *dispatch* can have."""
    if callable(choose):
        checks.not_awaited("choose", choose)
    else:
        checks.one_of("choose", choose, ("any", "affinity"))
    if choose != "any" and dispatch != "ready":
        raise ValueError('choose is for dispatch="ready": with "shared", whoever is free takes the job')
    return choose


def preferred(queue: "WorkerQueue", job: Job[Any]) -> int:
    """The number of the worker that *job* would like, or -1; raises what a function that chooses raises."""
    choose = queue._settings.choose
    if choose == "any":
        return -1
    if choose == "affinity":
        return -1 if job.key is None else hash(job.key) % queue._max_workers
    number = choose(job, views(queue))
    return -1 if number is None else checks.whole_number("what choose returned", number, least=0)


def views(queue: "WorkerQueue") -> tuple[WorkerView, ...]:
    """The workers that take jobs, by number: past ``worker_init``, not about to leave, and no spare ones."""
    return tuple(map(_view, workers(queue)))


_view = partial(tuple.__new__, WorkerView)
