"""Types of the compiled counts; what each does stands in counts.pyx."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ringpool._core.engine import Engine
from ringpool.future import Future

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
    blocked: int
    block_timed_out: int

def counts(pool: Engine) -> Counts: ...
def running(pool: Engine) -> list[tuple[int, Future[Any], int, Callable[..., Any], bool]]: ...
def unstarted(pool: Engine) -> list[Future[Any]]: ...
def waiting(pool: Engine) -> int: ...
def late(pool: Engine) -> int: ...
def count(pool: Engine, what: int) -> None: ...
def counted(pool: Engine) -> list[int]: ...
def lane_counts(pool: Engine) -> list[tuple[int, int]]: ...
def levels(pool: Engine) -> tuple[dict[int, int], int | None]: ...
def times(pool: Engine) -> tuple[tuple[list[int], int], tuple[list[int], int]]: ...
def spins(pool: Engine) -> tuple[int, int]: ...
def worker_times(pool: Engine) -> tuple[int, int]: ...
