"""Rounds of jobs that ask for anything, in queues that may be set to anything, with meddlers beside."""

import asyncio
import random
from contextlib import contextmanager
from functools import partial

from ringpool import Job, WorkerQueue
from ringpool.soak import meddling
from ringpool.soak.jobs import ENDS, REFUSALS, Key, Kind
from ringpool.soak.page import UNSEEN, Page
from ringpool.soak.round import Round
from ringpool.soak.settings import Hooks, States, draw

JOBS = 3_000  # of a round: some tenths of a second
KEYS = 4
MOST_TOGETHER = 30  # jobs submitted in one of the ways for many


def mixed(dice, stopping, share):
    """A Round of a *share* of these jobs, by *dice*; it ends early when *stopping* is set."""
    hooks, states = Hooks(), States()
    workers, capacity, rest = draw(dice, hooks, states)
    spill = rest["overflow"] if isinstance(rest["overflow"], WorkerQueue) else None
    queue = WorkerQueue(workers, capacity, **rest)
    end = dice.choice(["stop", "stop", "early", "now", "drop"])
    readers = 0 if end == "drop" or rest["keep_results"] == 0 else dice.choice([0, 0, 1, 2])
    keys = [Key(number) for number in range(KEYS)] if spill is None else []  # each queue keeps its own
    producers = dice.choice([2, 3, 4])
    count = max(1, int(share * JOBS) // producers)
    pages = [Page(i * count, count, again=True) for i in range(2 * producers)]
    streams = dice.random() < 0.4
    lanes = rest.get("lanes", ())
    bodies = [
        Producer(queue, page, inner, keys, lanes, random.Random(dice.random()), stopping, streams).produce
        for page, inner in zip(pages[:producers], pages[producers:])
    ]
    meddlers = [
        meddling.cancel(random.Random(dice.random()), queue, pages),
        meddling.look(random.Random(dice.random()), queue, pages),
    ]
    if dice.random() < 0.5:
        meddlers.append(meddling.resize(random.Random(dice.random()), queue))
    if dice.random() < 0.5:
        meddlers.append(meddling.collect(random.Random(dice.random())))
    if meddling.CAN_FORK and dice.random() < 0.05:
        meddlers.append(meddling.fork_once(random.Random(dice.random()), queue, pages))
    if end in ("early", "now"):
        meddlers.append(meddling.stop(random.Random(dice.random()), queue, end == "now"))
    switch_s = dice.choice([None, None, 1e-6])

    def complaints(stats, all_seen):
        for key in keys:
            yield from key.wrong()
        yield from states.wrong
        if sorted(states.made) != sorted(states.released):
            yield f"{len(states.made)} states of workers were made, {len(states.released)} released"
        if stats is not None:
            yield from hooks.wrong(stats, sum(len(page.calls) for page in pages) if all_seen and not spill else None)

    return Round(
        told=f"mixed jobs: {workers} workers, capacity {capacity}, {rest}, {producers} producers, streams {streams}, "
        f"{readers} readers, end: {end}, {len(meddlers)} meddlers, switch interval {switch_s}",
        pool=queue,
        pages=pages,
        producers=bodies,
        meddlers=meddlers,
        readers=readers,
        drops=end == "drop",
        switch_s=switch_s,
        others=[spill] if spill else [],
        exact=spill is None,
        complaints=complaints,
    )


@contextmanager
def tolerant():
    """What may happen to jobs may come out of this, and is the end of it."""
    try:
        yield
    except (*ENDS, *REFUSALS, ExceptionGroup, asyncio.CancelledError) as error:
        error.__traceback__ = None  # a future may keep it, and this the queue


class Producer:
    """Fills its *page* in every way there is; its jobs have some of *inner* run."""

    def __init__(self, queue, page, inner, keys, lanes, dice, stopping, streams):
        self._queue = queue
        self._page = page
        self._inner = inner
        self._keys = keys
        self._lanes = lanes
        self._dice = dice
        self._stopping = stopping
        self._next = 0
        self._ways = [self._job] * 20 + [self._plain] * 12 + [self._later] * 2 + [self._many, self._group]
        if streams:
            self._ways += [self._map, self._batch, self._race, self._awaited]

    def produce(self):
        while self._next < self._page.count and not self._stopping.is_set():
            self._dice.choice(self._ways)()

    def _take(self, most=1):
        # The indexes of the next jobs, at least one.
        begin = self._next
        self._next = min(self._page.count, begin + self._dice.randint(1, most))
        return range(begin, self._next)

    def _kind(self, index):
        return Kind(self._page, self._inner, index, self._dice, self._keys, self._lanes)

    def _offer(self, index, submit, *args):
        try:
            future = submit(*args)
        except REFUSALS:
            self._page.refused.append(index)
        else:
            self._page.keep(index, future)

    # ---- one at a time ------------------------------------------------------------------

    def _submit(self):
        throw = self._dice.random()
        if throw < 0.7:
            return self._queue.submit
        if throw < 0.85:
            return self._queue.try_submit
        return partial(self._queue.submit_within, self._dice.choice([0, 0.0005, None]))

    def _plain(self):
        for index in self._take(MOST_TOGETHER):
            self._offer(index, self._submit(), self._page.run_attempt, index)

    def _job(self):
        (index,) = self._take()
        self._offer(index, self._submit(), self._kind(index).job(self._queue))

    def _later(self):
        (index,) = self._take()
        self._offer(index, self._queue.submit_later, self._dice.choice([0, 0.001]), self._page.run_attempt, index)

    # ---- many at a time -----------------------------------------------------------------

    def _many(self):
        page, indexes = self._page, self._take(MOST_TOGETHER)
        self._unseen(indexes)  # what is refused in the middle gives no future
        try:
            futures = self._queue.submit_many(Job(page.run_attempt, priority=self._dice.randrange(3)), indexes)
        except REFUSALS:
            return
        for index, future in zip(indexes, futures):
            page.keep(index, future)

    def _group(self):
        with tolerant():
            with self._queue.group() as group:
                for index in self._take(MOST_TOGETHER):
                    self._offer(index, group.submit, self._kind(index).job(self._queue))

    # ---- without a future of the queue's -------------------------------------------------

    def _unseen(self, indexes):
        for index in indexes:
            self._page.futures[index] = UNSEEN

    def _map(self):
        indexes = self._take(MOST_TOGETHER)
        self._unseen(indexes)
        ahead = self._dice.choice([None, 1, 8])
        with tolerant():
            for index, value in zip(indexes, self._queue.map(self._page.run_attempt, indexes, buffersize=ahead)):
                self._page.deliver(index, value)

    def _batch(self):
        page, indexes = self._page, self._take(MOST_TOGETHER)
        self._unseen(indexes)
        size, wait_s = self._dice.choice([1, 4, 100]), self._dice.choice([0, 0.0005])

        def call(items):
            return [page.run_attempt(item) for item in items]

        with tolerant():
            with self._queue.batch(call, size, wait_s) as batcher:
                futures = [(index, batcher.submit(index)) for index in indexes]
            for index, future in futures:
                page.deliver(index, future.result())

    def _race(self):
        page, indexes = self._page, self._take(3)
        self._unseen(indexes)
        with tolerant():
            first = self._queue.race(*(partial(page.run_attempt, index) for index in indexes))
            page.deliver(first, first)

    def _awaited(self):
        page, indexes = self._page, self._take(MOST_TOGETHER)
        self._unseen(indexes)

        async def one(index):
            with tolerant():
                page.deliver(index, await self._queue.run(page.run_attempt, index))

        async def all_of():
            await asyncio.gather(*map(one, indexes))

        asyncio.run(all_of())
