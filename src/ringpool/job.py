"""What a job can ask about itself while it runs."""

from concurrent.futures import CancelledError
from typing import Any

from ringpool._core import worker
from ringpool.future import Future


class CurrentJob:
    """The job that the calling thread is running; from :func:`current_job`."""

    __slots__ = ("_stop_flag", "future")

    def __init__(self, future: Future[Any], stop_flag: worker.StopFlag):
        self.future = future
        """The job's own future. Waiting for it in the job would never end."""
        self._stop_flag = stop_flag

    @property
    def cancelled(self) -> bool:
        """
        Was the queue told to stop now? A long job looks here now and then, and returns early.

        A helper thread that the job gave this object to may look as well.
        """
        return bool(self._stop_flag)

    def check(self) -> None:
        """Raise :class:`concurrent.futures.CancelledError` if :attr:`cancelled`."""
        if self.cancelled:
            raise CancelledError("the queue was told to stop now")


def current_job() -> CurrentJob | None:
    """The job that the calling thread is running; None outside of any job. Costs no lock."""
    future = worker.current_future()
    flag = worker.current_stop_flag()
    return None if future is None or flag is None else CurrentJob(future, flag)
