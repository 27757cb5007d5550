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
    if reason == "lane":
        lane = next(iter(job.queue._settings.lanes)) if job.job.lane is None else job.job.lane
        return DeadlockError(
            f"{_name(job)} waits for a place in the lane {lane!r}, "
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
        if function is None:
            function = next(following)
            steps.append(f"{_name(who)} waits for the key {shown(who.job.key)}, which {_name(function)} holds")
        else:
            steps.append(f"{_name(who)} waits for {_name(function)}")
        who = function
    if len(steps) > _SHOWN:
        steps[_SHOWN // 2 : -_SHOWN // 2] = ["…"]
    return "none of these can end before the next: " + ", ".join(steps)


def _name(function):
    return function.job.title if isinstance(function, Plan) else title(function)


refuse_waits_with(_refusal)
