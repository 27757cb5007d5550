"""Types of the compiled worker."""

from logging import Logger
from typing import Any

from ringpool.future import Future

INITIALIZER_FAILED: str
logger: Logger

def current_future() -> Future[Any] | None: ...

class StopFlag:
    def __bool__(self) -> bool: ...

def current_stop_flag() -> StopFlag | None: ...
