"""What bounds a wait in a job: how many workers may make up for waits, and what is said to one that could never end."""

from collections.abc import Sequence
from typing import Any

from ringpool._core.waiting import refuse_waits_with
from ringpool.checks import shown
from ringpool.errors import DeadlockError
from ringpool.job import title
from ringpool.plan import Plan

MAX_SPARES = 256
"""Spare workers of a pool that says no other number. So many are Java's ForkJoinPool's, for the same."""

_SHOWN = 8  # jobs of a cycle that its error names


def _refusal(reason: str, functions: Sequence[Any]) -> DeadlockError:
    # As the core's refuse_waits_with() says.
    if reason == "cycle":
        return DeadlockError(_cycle(functions))
    *_, job = functions
    if reason == "clock":
        return DeadlockError(f"{_name(job)} is not due, and would not be while the thread that keeps the time waits for it")
    if reason == "lane":
        return DeadlockError(
            f"{_name(job)} waits for a place in {_lane(job)}, "
            f"all of which are held by jobs that wait for jobs of that lane"
        )
    return DeadlockError(
        f"{_name(job)} waits for a worker, all of which wait in jobs for jobs of this queue, spare ones included"
    )


def _cycle(functions):
    steps = []
    who = functions[0]
    following = iter(functions[1:])
    for function in following:
        if function is not None:
            steps.append(f"{_name(who)} waits for {_name(function)}")
        else:
            function = next(following)
            wish = f"the key {shown(who.job.key)}" if function is not None else f"a place in {_lane(who)}"
            function = next(following) if function is None else function
            steps.append(f"{_name(who)} waits for {wish}, which {_name(function)} holds")
        who = function
    if len(steps) > _SHOWN:
        steps[_SHOWN // 2 : -_SHOWN // 2] = ["…"]
    return "none of these can end before the next: " + ", ".join(steps)


def _lane(function):
    if not isinstance(function, Plan):
        return "the first lane"
    lane = function.job.lane
    if lane is None:
        lane = next(iter(function.queue._settings.lanes))
    return f"the lane {lane!r}"


def _name(function):
    if isinstance(function, str):
        return function  # no job
    return function.job.title if isinstance(function, Plan) else title(function)


refuse_waits_with(_refusal)
