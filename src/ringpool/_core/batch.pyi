"""Types of the compiled maps."""

from ringpool._core.future import FutureBase

class Batch:
    def __call__(self) -> None: ...
    def abandon(self, future: FutureBase) -> None: ...
