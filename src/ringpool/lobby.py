"""Where tasks of asyncio wait for room in a queue, without holding up their loops."""

import asyncio
import contextvars
import os
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ringpool._core.submit import Submission

if TYPE_CHECKING:
    from ringpool.worker_queue import WorkerQueue

_opening = threading.Lock()


def lobby_of(queue: "WorkerQueue") -> "Lobby":
    """Its own, made when a task waits for the first time, and anew in a forked process."""
    with _opening:
        if queue._lobby is None or queue._lobby.process != os.getpid():
            queue._lobby = Lobby()
        return queue._lobby


class Lobby:
    """
    Calls that wait for room in one queue, first come, first served.

    A thread submits them in place of their tasks, and waits as any producer
    does; it exists while there are any. `_attended` is held from before its
    start until it is about to leave: who enters and fails to take it knows that
    the thread will look again.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self._guests: deque[Guest] = deque()
        self._attended = threading.Lock()

    @property
    def empty(self) -> bool:
        """Does nobody wait here who would come first?"""
        return not self._guests

    def enter(self, queue: "WorkerQueue", guest: "Guest") -> None:
        """Have the call of *guest* submitted to *queue*."""
        self._guests.append(guest)
        if self._attended.acquire(False):
            try:
                threading.Thread(target=self._attend, args=(queue,), name=f"{queue.name}_lobby").start()
            except Exception as error:  # no thread can be started
                self._attended.release()
                while self._guests:
                    self._guests.popleft().tell(None, error)

    def _attend(self, queue):
        while True:
            while self._guests:
                self._guests[0].submit(queue)
                self._guests.popleft()
            self._attended.release()
            if not self._guests or not self._attended.acquire(False):
                return


class Guest:
    """A call whose task waits until it is queued."""

    def __init__(self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self._call = fn, args, kwargs
        self._context = contextvars.copy_context()  # the job is to see the task's variables
        self._submission = Submission()
        self._loop = asyncio.get_running_loop()
        self._job: Future[Any] | None = None
        self.told: asyncio.Future[tuple[Future[Any] | None, BaseException | None]] = self._loop.create_future()
        """(the job, None), or (None, why there is none)."""

    def leave(self) -> None:
        """On the loop: the task waits no more. The call is not queued, or what has just been is cancelled."""
        self._submission.withdraw()
        if self._job is not None:
            self._job.cancel()

    def submit(self, queue: "WorkerQueue") -> None:
        """On the lobby's thread: wait for room, or until the queue is stopped or the task waits no more."""
        if self._submission.withdrawn:
            return
        fn, args, kwargs = self._call
        try:
            job = self._context.run(self._submission.make, queue.submit_within, (None, fn, *args), kwargs)
        except BaseException as error:
            self.tell(None, error)
            return
        if self._submission.withdrawn:  # in the moment in which it found room
            job.cancel()
        self.tell(job, None)

    def tell(self, job: Future[Any] | None, error: BaseException | None) -> None:
        """From any thread: the task goes on."""
        try:
            self._loop.call_soon_threadsafe(self._tell, job, error)
        except RuntimeError:
            if not self._loop.is_closed():  # else nobody waits any more
                raise

    def _tell(self, job, error):
        self._job = job
        if not self.told.done():
            self.told.set_result((job, error))
        elif job is not None:  # it was cancelled, and its task has yet to hear of it
            job.cancel()
