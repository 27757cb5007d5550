"""Types of the compiled record."""

from ringpool._core.future import FutureBase

def adopt(future_type: type[FutureBase]) -> None: ...
