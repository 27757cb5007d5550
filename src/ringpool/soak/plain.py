"""Rounds of plain jobs: as many as possible, in the ways and through the ends that there are."""

import random

from ringpool import QueueFull, QueueStopped, ThreadPoolExecutor, WorkerQueue
from ringpool.soak.meddling import CAN_FORK, collect, fork_once
from ringpool.soak.page import UNSEEN, Page
from ringpool.soak.round import Round

JOBS = 100_000  # of a round where the queue has room: a fifth of a second or two
JOBS_NARROW = 5_000  # where producers and workers wait for each other
NARROW = 64  # places
CHUNK = 1_000  # jobs submitted in one way


def plain(dice, stopping, share):
    """A Round of a *share* of these jobs, by *dice*; it ends early when *stopping* is set."""
    executor = dice.random() < 0.5
    workers = dice.choice([1, 2, 4, 8])
    capacity = dice.choice([1, 3, NARROW, 1024, 4096, 4096])
    dispatch = dice.choice(["shared", "shared", "shared", "ready"])
    end = dice.choice(["stop", "stop", "stop", "early", "now", "drop"])
    readers = 0 if executor or end == "drop" else dice.choice([0, 0, 1, 2])
    keep = None if readers else dice.choice([None, 0])
    switch_s = 1e-6 if dice.random() < 0.1 else None
    wide = (executor or (capacity > NARROW and dispatch == "shared")) and switch_s is None
    if executor:
        pool = ThreadPoolExecutor(workers)
    else:
        pool = WorkerQueue(workers, capacity, dispatch=dispatch, keep_results=keep)
    producers = dice.choice([1, 2, 4])
    count = max(1, int(share * (JOBS if wide else JOBS_NARROW)) // producers)
    pages = [Page(i * count, count) for i in range(producers)]
    fatal = dice.randrange(count) if end in ("early", "now") else None
    bodies = [
        Producer(pool, page, random.Random(dice.random()), stopping, end, fatal if page is pages[0] else None).produce
        for page in pages
    ]
    meddlers = []
    if dice.random() < 0.2:
        meddlers.append(collect(random.Random(dice.random())))
    if CAN_FORK and dice.random() < 0.05:
        meddlers.append(fork_once(random.Random(dice.random()), pool, pages))
    kind = "executor" if executor else f'queue of {capacity}, dispatch "{dispatch}", keep_results={keep}'
    return Round(
        told=f"plain jobs: {kind}, {workers} workers, {producers} producers, {readers} readers, end: {end}, "
        f"{len(meddlers)} meddlers, switch interval {switch_s}",
        pool=pool,
        pages=pages,
        producers=bodies,
        meddlers=meddlers,
        readers=readers,
        drops=end == "drop",
        switch_s=switch_s,
    )


class Producer:
    """Fills its *page*, and stops the pool before the chunk in which job *fatal* is."""

    def __init__(self, pool, page, dice, stopping, end, fatal):
        self._pool = pool
        self._page = page
        self._dice = dice
        self._stopping = stopping
        self._end = end
        self._fatal = fatal
        self._closed = False
        self._ways = [self._one_by_one, self._one_by_one, self._one_by_one, self._many]
        if isinstance(pool, WorkerQueue):
            self._ways += [self._without_waiting, self._within]

    def produce(self):
        page, dice = self._page, self._dice
        for begin in range(0, page.count, CHUNK):
            end = min(page.count, begin + CHUNK)
            if self._stopping.is_set() or self._closed:
                return
            if self._fatal is not None and begin <= self._fatal < end:
                self._stop()
            dice.choice(self._ways)(begin, end)
            if dice.random() < 0.3:
                for future in page.futures[begin : end : dice.randrange(1, 20)]:
                    if future is not None and future is not UNSEEN:
                        future.cancel()

    def _stop(self):
        if not isinstance(self._pool, WorkerQueue):
            self._pool.shutdown(wait=False, cancel_futures=self._end == "now")
        elif self._end == "now":
            self._pool.stop_now()
        else:
            self._pool.stop(timeout=0)

    # ---- the ways -----------------------------------------------------------------------

    def _one_by_one(self, begin, end):
        self._each(self._pool.submit, begin, end)

    def _without_waiting(self, begin, end):
        self._each(self._pool.try_submit, begin, end)

    def _within(self, begin, end):
        submit = self._pool.submit_within
        self._each(lambda run, index: submit(0.001, run, index), begin, end)

    def _each(self, submit, begin, end):
        page = self._page
        run, futures, refused, ended = page.run, page.futures, page.refused, page.ended.append
        for index in range(begin, end):
            try:
                future = submit(run, index)
            except RuntimeError as error:
                self._refused(error)
                refused.append(index)
                continue
            futures[index] = future  # as Page.keep does
            future.add_done_callback(ended)

    def _many(self, begin, end):
        page = self._page
        page.futures[begin:end] = [UNSEEN] * (end - begin)  # what is refused in the middle gives no future
        try:
            futures = self._pool.submit_many(page.run, range(begin, end))
        except RuntimeError as error:
            self._refused(error)
            return
        page.futures[begin:end] = futures
        for future in futures:
            future.add_done_callback(page.ended.append)

    def _refused(self, error):
        if isinstance(self._pool, WorkerQueue) and not isinstance(error, (QueueFull, QueueStopped)):
            raise error
        self._closed = self._closed or not isinstance(error, QueueFull)
