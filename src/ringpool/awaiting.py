"""Jobs for asyncio: awaited, and delivered to their loop a burst at a time."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent import futures
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

from ringpool._core.submit import Submission
from ringpool.errors import QueueFull
from ringpool.lobby import Guest, lobby_of

_mailboxes: "WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox]" = WeakKeyDictionary()
_opening = threading.Lock()
_recent: "Mailbox | None" = None  # nearly always the right one


def run(submit: Callable[..., futures.Future[Any]], fn: Callable[..., Any], args: tuple, kwargs: dict) -> "AwaitedJob":
    """Submit the job and return its awaitable, for the loop that runs in this thread."""
    loop = asyncio.get_running_loop()
    return _awaitable_of(submit(fn, *args, **kwargs), loop)


async def submit(queue: Any, fn: Callable[..., Any], args: tuple, kwargs: dict) -> "AwaitedJob":
    """As :func:`run`, but wait for room first; tasks that wait already come first."""
    loop = asyncio.get_running_loop()
    if queue._lobby is None or queue._lobby.empty:
        with suppress(QueueFull):
            return _awaitable_of(Submission().make(queue.try_submit, (fn, *args), kwargs), loop)
    guest = Guest(fn, args, kwargs)
    lobby_of(queue).enter(queue, guest)
    try:
        job, error = await guest.told
    except BaseException:
        guest.leave()
        raise
    if error is not None:
        try:
            raise error
        finally:
            del guest, error  # the error's traceback refers to this frame
    return _awaitable_of(job, loop)


def _awaitable_of(job, loop):
    mailbox = _recent
    if mailbox is None or mailbox.loop() is not loop:
        mailbox = _mailbox_of(loop)
    awaited = AwaitedJob(loop=loop)
    awaited.job = job
    mailbox.expected[job] = awaited
    job.add_done_callback(mailbox.post)
    return awaited


def _mailbox_of(loop):
    global _recent
    with _opening:
        mailbox = _mailboxes.get(loop)
        if mailbox is None:
            mailbox = _mailboxes[loop] = Mailbox(loop)
        _recent = mailbox
    return mailbox


class AwaitedJob(asyncio.Future):
    """An asyncio future that cancels its job, if that has not started, when it is cancelled."""

    job: futures.Future[Any]

    def cancel(self, msg=None):
        if not super().cancel(msg):
            return False
        self.job.cancel()
        return True


class Mailbox:
    """
    Finished jobs on their way to one loop.

    Any thread posts; the loop is called only when it has not been called since
    it last looked. The lock is that mark: who posts and fails to take it knows
    that the loop will let go of it, and then look, later.
    """

    def __init__(self, loop):
        self.loop = ref(loop)
        self.expected = {}  # job: its awaitable; used on the loop's thread only
        self.post = self._post  # bound once
        self._posted = deque()
        self._called = threading.Lock()

    def _post(self, job):
        self._posted.append(job)
        if self._called.acquire(False):
            loop = self.loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                if not loop.is_closed():  # else nobody waits any more
                    raise

    def _deliver(self):
        self._called.release()
        take, awaitable_of = self._posted.popleft, self.expected.pop
        while self._posted:
            job = take()
            awaited = awaitable_of(job)
            if awaited.done():  # it was cancelled: whoever did that expects no outcome, and no report of one
                with suppress(futures.CancelledError):
                    job.exception()
                continue
            if job.cancelled():
                awaited.cancel()
                continue
            error = job.exception()
            if error is None:
                awaited.set_result(job.result())
            elif isinstance(error, StopIteration):
                stopped = RuntimeError("the job raised StopIteration, which no awaitable can raise")
                stopped.__cause__ = error
                awaited.set_exception(stopped)
            else:
                awaited.set_exception(error)
