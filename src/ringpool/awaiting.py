"""Jobs for asyncio: awaited, and delivered to their loop a burst at a time."""

import asyncio
import threading
from collections.abc import Callable
from concurrent import futures
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from ringpool._core.awaited import AwaitedJob, Mailbox
from ringpool._core.submit import Submission
from ringpool.errors import QueueFull
from ringpool.lobby import Guest, lobby_of

_mailboxes: "WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox]" = WeakKeyDictionary()
_opening = threading.RLock()  # a signal handler or a destructor may run jobs, too
_recent: "Mailbox | None" = None  # nearly always the right one


def run(
    submit: Callable[..., futures.Future[Any]], fn: Callable[..., Any], args: tuple, kwargs: dict
) -> "AwaitedJob[Any]":
    """Submit the job and return its awaitable, for the loop that runs in this thread."""
    loop = asyncio.get_running_loop()
    return _awaitable_of(submit(fn, *args, **kwargs), loop)


async def submit(queue: Any, fn: Callable[..., Any], args: tuple, kwargs: dict) -> "AwaitedJob[Any]":
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
    return mailbox.expect(job, loop)


def _mailbox_of(loop):
    global _recent
    with _opening:
        mailbox = _mailboxes.get(loop)
        if mailbox is None:
            for other in list(_mailboxes.values()):
                other.forget_if_closed()
            mailbox = _mailboxes[loop] = Mailbox(loop)
        _recent = mailbox
    return mailbox
