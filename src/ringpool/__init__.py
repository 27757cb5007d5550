"""Worker queues for Python: a drop-in ThreadPoolExecutor and a bounded WorkerQueue on one native engine."""

from ringpool.errors import QueueFull, QueueStopped
from ringpool.executor import ThreadPoolExecutor
from ringpool.future import Future
from ringpool.job import CurrentJob, current_job
from ringpool.stats import RunningJob, Stats, StopReport
from ringpool.worker_queue import WorkerQueue

__all__ = [
    "CurrentJob",
    "Future",
    "QueueFull",
    "QueueStopped",
    "RunningJob",
    "Stats",
    "StopReport",
    "ThreadPoolExecutor",
    "WorkerQueue",
    "current_job",
]
