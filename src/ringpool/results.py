"""The finished futures of a queue, as they finish."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ringpool.future import Future

if TYPE_CHECKING:
    from ringpool.worker_queue import WorkerQueue


class Results(Iterator[Future[Any]]):
    """Iterator over the finished futures of one queue; any number of them share one stream."""

    def __init__(self, queue: "WorkerQueue"):
        self._queue = queue

    def __next__(self) -> Future[Any]:
        future = self._queue._next_finished()
        if future is None:
            raise StopIteration
        return future
