"""Worker queues for Python: a drop-in ThreadPoolExecutor and a bounded WorkerQueue on one native engine."""

from ringpool.batching import Batcher
from ringpool.choosing import WorkerView
from ringpool.current import CurrentJob, CurrentWorker, current_job, current_worker
from ringpool.errors import DeadlockError, JobDropped, JobExpired, JobTimeout, QueueFull, QueueStopped
from ringpool.executor import ThreadPoolExecutor
from ringpool.future import Future
from ringpool.group import GroupClosed, JobGroup
from ringpool.histogram import Histogram
from ringpool.job import Job
from ringpool.lanes import Lane
from ringpool.overflow import Block
from ringpool.racing import race
from ringpool.retry import Retry
from ringpool.retry_budget import RetryBudget
from ringpool.shedding import CoDel
from ringpool.signals import SignalHandlers, install_signal_handlers
from ringpool.stats import LaneStats, RunningJob, Stats, StopReport, Times
from ringpool.worker_queue import WorkerQueue

__all__ = [
    "Batcher",
    "Block",
    "CoDel",
    "CurrentJob",
    "CurrentWorker",
    "DeadlockError",
    "Future",
    "GroupClosed",
    "Histogram",
    "Job",
    "JobDropped",
    "JobExpired",
    "JobGroup",
    "JobTimeout",
    "Lane",
    "LaneStats",
    "QueueFull",
    "QueueStopped",
    "Retry",
    "RetryBudget",
    "RunningJob",
    "SignalHandlers",
    "Stats",
    "StopReport",
    "ThreadPoolExecutor",
    "Times",
    "WorkerQueue",
    "WorkerView",
    "current_job",
    "current_worker",
    "install_signal_handlers",
    "race",
]
