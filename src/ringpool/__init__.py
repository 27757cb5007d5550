"""Worker queues for Python: a drop-in ThreadPoolExecutor and a bounded WorkerQueue on one native engine."""

from ringpool.errors import QueueFull, QueueStopped
from ringpool.executor import ThreadPoolExecutor
from ringpool.future import Future

__all__ = ["Future", "QueueFull", "QueueStopped", "ThreadPoolExecutor"]
