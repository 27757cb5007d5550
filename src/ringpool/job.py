"""What to run, and how."""

import copy
import math
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from ringpool import checks
from ringpool._core.shown import warn_of_coroutine
from ringpool.checks import shown
from ringpool.retry import Retry

T = TypeVar("T")


class Job(Generic[T]):
    """
    A call, and how it is to be queued, run, and tried again; for every method that submits but map and submit_later.

    Args:
        fn: the function, and its positional arguments.
        kwargs: its keyword arguments, a mapping; None: none.
        name: for logs, ``running()`` and the watchdog; None: the function's.
        priority: a level, any whole number from -1000 to 1000; greater is
            sooner. Inside a level, first come, first served.
        key: jobs of equal keys run one at a time, in the order in which they
            were submitted, and their retries before the next of them; None: no
            key. Anything hashable; equal keys are one, as in a dict.
        lane: one of the queue's lanes; None: the first.
        delay: seconds before which the job is not started; finite.
        expires_in: seconds, from when it was submitted, after which it is not
            started any more and ends in JobExpired; None: never.
        deadline: seconds, from when it was submitted, after which it ends in
            JobTimeout, queued or running or between two attempts; None: none.
        timeout: seconds for each attempt, after which it ends in JobTimeout
            (or, where *retry* takes that, is tried again as soon as it has
            come to an end); None: the queue's; infinity: none.
        retry: a :class:`ringpool.Retry`, which without a budget draws on that of
            the queue's; None: the queue's.

    Errors: TypeError or ValueError that names the argument. A Job is a value:
    it may be submitted any number of times, from any thread. It cannot be
    called, so that it is not taken for its function.
    """

    __slots__ = (
        "fn", "args", "kwargs", "name", "priority", "key", "lane", "delay", "expires_in", "deadline", "timeout",
        "retry",
    )  # fmt: skip

    def __init__(
        self,
        fn: Callable[..., T],
        /,
        *args: Any,
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        priority: int = 0,
        key: Hashable = None,
        lane: str | None = None,
        delay: float = 0.0,
        expires_in: float | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        retry: Retry | None = None,
    ):
        if not callable(fn):
            raise TypeError(f"fn must be callable, got {shown(fn)}")
        if retry is not None and not isinstance(retry, Retry):
            raise TypeError(f"retry must be a Retry or None, got {shown(retry)}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str or None, got {shown(name)}")
        checks.hashable("key", key)
        warn_of_coroutine(fn)
        self.fn = fn
        self.args = args
        self.kwargs = {} if kwargs is None else _keywords(kwargs)
        self.name = name
        self.priority = checks.level("priority", priority)
        self.key = key
        self.lane = lane
        self.delay = checks.number("delay", delay)
        self.expires_in = checks.duration("expires_in", expires_in)
        self.deadline = checks.duration("deadline", deadline)
        limit = checks.duration("timeout", timeout)
        self.timeout = math.inf if limit is None and timeout is not None else limit
        self.retry = retry

    def __repr__(self) -> str:
        return f"<Job {self.title}>"

    def with_item(self, item: Any) -> "Job[T]":
        """The same with one positional argument more, for submit_many()."""
        other = copy.copy(self)
        other.args = (*self.args, item)
        return other

    @property
    def title(self) -> str:
        """The name, or what the function is called."""
        return self.name or title(self.fn)


def as_job(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job[Any]:
    """What a submit was called with: a Job, or a function and its arguments."""
    if not isinstance(fn, Job):
        if not callable(fn):
            raise TypeError(f"fn must be callable or a Job, got {shown(fn)}")
        return Job(fn, *args, kwargs=kwargs)
    if args or kwargs:
        raise TypeError("submit() takes no arguments beside a Job, which has its own")
    return fn


def title(fn: Any) -> str:
    """What a function is called; of an object that cannot say it, what it is."""
    try:
        name = getattr(fn, "__qualname__", None)
    except Exception:
        name = None
    return name if name and isinstance(name, str) else shown(fn)


def _keywords(kwargs):
    # As a call takes them; else the job itself would fail, later.
    if not hasattr(kwargs, "keys"):
        raise TypeError(f"kwargs must be a mapping or None, got {shown(kwargs)}")
    try:
        keywords = dict(kwargs)
    except TypeError as error:
        raise TypeError(f"kwargs must be a mapping or None, got {shown(kwargs)}") from error
    for name in keywords:
        if not isinstance(name, str):
            raise TypeError(f"kwargs must have names as keys, got {shown(name)}")
    return keywords
