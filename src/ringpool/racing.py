"""First success wins: the result of the first of several calls that succeeds."""

from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, NoReturn, TypeVar

from ringpool._core.engine import Engine
from ringpool.checks import shown
from ringpool.future import Future
from ringpool.job import Job
from ringpool.progress import Progress

T = TypeVar("T")

BARE = (KeyboardInterrupt, SystemExit, GeneratorExit)  # no error to be put into a group


def race(queue: Engine, *calls: Callable[[], T] | Job[T]) -> T:
    """
    Run *calls* as jobs of *queue* and return the result of the first that succeeds.

    Args:
        calls: what ``queue.submit`` takes, without arguments; at least one.
            :func:`functools.partial` makes such a call of any other.

    The others are cancelled: those that have not started never will, those that
    run are asked to stop (:func:`ringpool.current_job`) and not waited for; the
    queue waits for them at its end. :meth:`JobGroup.race` waits for them when
    its block is left. Calls not yet submitted when one succeeds are left out.

    Raises:
        ExceptionGroup: every call failed; the errors in the order of *calls*,
            a CancelledError for a call that was cancelled from outside. (A
            BaseExceptionGroup where one of them is no Exception; but
            KeyboardInterrupt and SystemExit come out bare.)
        concurrent.futures.CancelledError: every call was cancelled from outside.
        QueueStopped, QueueFull: from ``queue.submit``. What was submitted
            before is cancelled.
        TypeError: one of *calls* cannot be called. ValueError: no calls.
            Nothing was submitted.

    Safe from any thread and in a job of the same queue. An exception that a
    signal handler raises in the wait cancels all calls.
    """
    if isinstance(queue, type) or not callable(getattr(queue, "submit", None)):
        raise TypeError(f"queue must be a WorkerQueue, got {shown(queue)}")
    return first_success(queue.submit, calls)


def first_success(submit: Callable[[Any], Future[T]], calls: tuple[Callable[[], T] | Job[T], ...]) -> T:
    """As :func:`race`, with any *submit*."""
    if not calls:
        raise ValueError("calls must be at least one")
    for call in calls:  # before any is submitted
        if not callable(call) and not isinstance(call, Job):
            raise TypeError(f"calls must be callable or Jobs, got {shown(call)}")
    winners: list[Future[T]] = []

    def look(job):
        if error_of(job) is None:
            winners.append(job)

    progress = Progress(look)
    try:
        for call in calls:
            progress.add(submit(call))
            if winners:
                break
        else:
            for _ in progress.as_completed():
                if winners:
                    break
    finally:
        for job in progress.jobs:
            job.cancel()
    if winners:
        return winners[0].result()
    errors = [error for job in progress.jobs if (error := error_of(job)) is not None]
    if all(isinstance(error, CancelledError) for error in errors):
        raise CancelledError("every call of the race was cancelled")
    raise_together(f"all {len(calls)} calls of the race failed", errors)


def error_of(job: Future[Any]) -> BaseException | None:
    """Why a finished job has no result; None if it has one."""
    return CancelledError() if job.cancelled() else job.exception()


def raise_together(message: str, errors: list[BaseException]) -> NoReturn:
    """Raise a group of *errors*, or the one of them that must not be hidden in a group."""
    for error in errors:
        if isinstance(error, BARE):
            raise error
    raise BaseExceptionGroup(message, errors) from None  # an ExceptionGroup, if all of them are Exceptions
