"""Types of the compiled worker."""

from typing import Any

from ringpool.future import Future

INITIALIZER_FAILED: str

def current_future() -> Future[Any] | None: ...
def stop_asked() -> bool: ...
