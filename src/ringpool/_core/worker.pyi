"""Types of the compiled worker."""

from typing import Any

from ringpool.future import Future

INITIALIZER_FAILED: str

def current_future() -> Future[Any] | None: ...

class StopFlag:
    def __bool__(self) -> bool: ...

def current_stop_flag() -> StopFlag | None: ...
