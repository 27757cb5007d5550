"""Types of the compiled engine; the docstrings of public methods stand in engine.pyx."""

import threading
from collections.abc import Callable, Iterable, Set
from typing import Any, NamedTuple, ParamSpec, TypeVar, overload

from ringpool.future import Future
from ringpool.job import Job

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

class Counts(NamedTuple):
    queued: int
    in_flight: int
    workers: int
    idle: int
    accepted: int
    succeeded: int
    failed: int
    cancelled: int
    dropped: int
    expired: int
    withdrawn: int
    rejected: int
    forgotten: int
    woken: int
    retries: int
    delayed: int
    retrying: int

def call_of(future: Future[Any]) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None: ...

class Engine:
    def __init__(
        self,
        future_type: type[Future[Any]],
        max_workers: int,
        capacity: int,
        keep: int,
        copies_context: bool,
        thread_name_prefix: str,
        initializer: Callable[[], bool] | None,
        finalizer: Callable[[], None] | None = None,
    ) -> None: ...
    @overload
    def submit(self, job: Job[T], /) -> Future[T]: ...
    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def try_submit(self, job: Job[T], /) -> Future[T]: ...
    @overload
    def try_submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    @overload
    def submit_within(self, seconds: float | None, job: Job[T], /) -> Future[T]: ...
    @overload
    def submit_within(
        self, seconds: float | None, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]: ...
    def submit_many(self, fn: Callable[[Item], T], iterable: Iterable[Item]) -> list[Future[T]]: ...
    def _call_in_place(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]: ...
    def _submits_itself(self) -> bool: ...
    def _close(self) -> None: ...
    def _cancel_queued(self) -> None: ...
    def _cancel_later(self) -> None: ...
    def _ask_to_stop(self) -> None: ...
    @property
    def _stops_now(self) -> bool: ...
    def _wait_until_quiet(self, timeout: float | None, workers_too: bool) -> bool: ...
    def _after_fork(self) -> None: ...
    def _start_reading(self) -> int: ...
    def _next_finished(self) -> Future[Any] | None: ...
    def _withdraw(self) -> tuple[Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None: ...
    def _running(self) -> list[tuple[int, Future[Any], int]]: ...
    def _counts(self) -> Counts: ...
    # read-only; declared as the standard library's are
    _threads: Set[threading.Thread]
    _thread_name_prefix: str | None
    _max_workers: int
    _worker_initializer: Any
    _settings: Any
    @property
    def _capacity(self) -> Any: ...
    @property
    def _keep(self) -> int: ...
    @property
    def _closed(self) -> bool: ...
    @property
    def _is_broken(self) -> bool: ...

