"""Types of the compiled readers of maps."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ringpool._core.engine import Engine

class BatchResults(Iterator[Any]):
    def __init__(
        self,
        engine: Engine,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        buffersize: int | None,
    ) -> None: ...
    def __next__(self) -> Any: ...
    def close(self) -> None: ...
