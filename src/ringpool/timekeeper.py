"""One helper thread a process that calls functions when their time has come, and ends when there are none."""

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_S = 0.05  # seconds without anything to do after which the thread ends; an exit may have to wait for it

Tick = Callable[[], float | None]


class Timekeeper:
    """
    Calls functions on its thread, at a time on the monotonic clock or soon after.

    Safe from any thread, signal handlers and destructors. The functions must
    neither wait nor raise.
    """

    def __init__(self) -> None:
        # What has been asked for and not seen by the thread. Whoever puts and
        # then takes the mark starts the thread; a thread that ends gives the mark
        # back and then looks: one of them sees to it.
        self._asked: SimpleQueue[tuple[float, Tick] | None] = SimpleQueue()
        self._mark = threading.Lock()

    def call_at(self, when: float, tick: Tick) -> None:
        """
        Call *tick* at *when*, and again at the time that it returns, till that is None.

        RuntimeError when there is no thread and none can be started; *tick* may
        then be called all the same, by the next one.
        """
        self._asked.put((when, tick))
        if self._mark.acquire(False):
            # A signal handler may raise in start() although the thread will run:
            # whoever takes the ticket first decides.
            ticket = threading.Lock()
            try:
                threading.Thread(target=self._run, args=(ticket,), name="ringpool-timekeeper").start()
            except BaseException:
                if ticket.acquire(False):
                    self._mark.release()
                raise

    def call_all_now(self) -> None:
        """Call what is due later once now as well, so that what has nothing left to do is forgotten."""
        if self._mark.locked():
            self._asked.put(None)

    def _run(self, ticket):
        if not ticket.acquire(False):
            return
        order = itertools.count()  # of what is due at the same time
        agenda: list[tuple[float, int, Tick]] = []
        while True:
            pause = max(agenda[0][0] - time.monotonic(), 0) if agenda else IDLE_S
            try:
                asked = self._asked.get(timeout=min(pause, threading.TIMEOUT_MAX))
            except Empty:
                asked = None
            else:
                if asked is None:
                    agenda = sorted((0.0, *entry[1:]) for entry in agenda)  # also a heap
                else:
                    heapq.heappush(agenda, (asked[0], next(order), asked[1]))
                    asked = None  # it refers to what somebody may drop meanwhile
                continue
            if agenda:
                self._call_due(agenda, order)
                continue
            self._mark.release()
            if self._asked.empty() or not self._mark.acquire(False):
                return

    def _call_due(self, agenda, order):
        now = time.monotonic()
        while agenda and agenda[0][0] <= now:
            tick = heapq.heappop(agenda)[2]
            again = tick()
            if again is not None:
                heapq.heappush(agenda, (again, next(order), tick))


timekeeper = Timekeeper()


def _start_over():
    timekeeper.__init__()  # type: ignore[misc]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)
