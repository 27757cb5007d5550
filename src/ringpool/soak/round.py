"""One round: producers at a pool, meddlers beside them, readers behind it, an end, and the account."""

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ringpool import WorkerQueue
from ringpool.soak.books import balance
from ringpool.soak.crew import Crew
from ringpool.soak.page import Page
from ringpool.soak.weather import Alarms, switching

LOOK_S = 0.002  # between two looks whether the threads of a dropped pool have ended


@dataclass
class Round:
    """Everything is drawn when it is made; it is played once."""

    told: str
    """How it was made, in one line."""
    pool: Any
    pages: list[Page]
    producers: list[Callable[[], None]]
    """Each a thread; return when everything is submitted."""
    meddlers: list[Callable[[threading.Event], None]]
    """Each a thread; called with what is set when the producers have ended."""
    readers: int
    """Threads that read results()."""
    drops: bool
    """Is the pool dropped in the end, and not stopped?"""
    switch_s: float | None
    """The interpreter's switch interval; None: as usual."""
    others: list[WorkerQueue] = field(default_factory=list)
    """Where the pool sends what it has no room for."""
    exact: bool = True
    """Does each refused job count once?"""
    complaints: Callable[[Any, bool], Iterable[str]] = lambda stats, all_seen: ()
    """What else is wrong in the end; *stats*: of the pool, None if there are none."""

    def play(self):
        """(how many ended in which way, what is wrong)."""
        before = set(threading.enumerate())
        with switching(self.switch_s), Alarms() as alarms:
            read, wrong = self._work()
            stats = self._end(wrong, before)
        wrong += alarms.heard
        ways = Counter()
        for page in self.pages:
            page_ways, page_wrong = page.check()
            ways += page_ways
            wrong += page_wrong
        unseen = sum(page.unseen for page in self.pages)
        if stats:
            refused = sum(len(page.refused) for page in self.pages) if self.exact else None
            wrong += balance(stats, ways, unseen, refused)
        wrong += self.complaints(stats[0] if stats else None, not unseen)
        if self.readers and not unseen:
            wrong += self._wrong_in(read, stats[0])
        return ways, wrong

    def _work(self):
        read = []
        over = threading.Event()
        readers = Crew("reader", [self._reader(read) for _ in range(self.readers)])
        meddlers = Crew("meddler", [lambda meddle=meddle: meddle(over) for meddle in self.meddlers])
        producers = Crew("producer", self.producers)
        for crew in (readers, meddlers, producers):
            crew.start()
        wrong = producers.join()
        over.set()
        wrong += meddlers.join()
        self.producers = self.meddlers = ()  # they know the pool
        if self.readers:
            self.pool.stop()
        return read, wrong + readers.join()

    def _reader(self, read):
        results = self.pool.results()
        return lambda: read.extend(results)

    def _end(self, wrong, before):
        # The statistics of all the pools that have some.
        name = getattr(self.pool, "name", None)
        if self.drops:
            self._forget_frames()
            self.pool = None
            while self._threads_left(before, self.others):
                gc.collect()  # of cycles, of which some hold the pool until a timer has fired
                time.sleep(LOOK_S)
        stats = []
        for pool in filter(None, [self.pool, *self.others]):
            if not isinstance(pool, WorkerQueue):
                pool.shutdown()
                continue
            report = pool.stop()
            if not report.complete:
                wrong.append(f"{pool.name} was stopped, and said {report}")
            stats.append(pool.stats())
        left = self._threads_left(before, ())
        if left:
            wrong.append(f"threads outlive {name}: {left}")
        return [] if self.drops else stats

    def _forget_frames(self):
        # A job's frames, in the traceback of its error, know the job that is current, and so the pool.
        for page in self.pages:
            for future in page.accepted():
                with suppress(CancelledError):
                    error = future.exception()
                    while error is not None:
                        error.__traceback__ = None
                        error = error.__cause__ or error.__context__

    def _threads_left(self, before, others):
        names = tuple(f"{other.name}_" for other in others)
        return [
            thread.name for thread in threading.enumerate()
            if thread not in before and not (names and thread.name.startswith(names))
        ]  # fmt: skip

    def _wrong_in(self, read, stats):
        # results() has what was in the queue, and each once. A job that its submitter ran is in the queue if it is
        # tried again.
        seen = {id(future) for page in self.pages for future in page.accepted()}
        different = set(map(id, read))
        least = stats.accepted - stats.dropped_newest - stats.caller_ran
        most = least + min(stats.caller_ran, stats.retries)
        if not least <= len(read) <= most or len(different) < len(read) or not different <= seen:
            return [
                f"results() gave {len(read)} futures, {len(different)} different and {len(different - seen)} strange "
                f"ones, of {least} to {most}"
            ]
        return []
