"""
Does a job cost the same however many are pending, however many workers there are, however many threads submit?

And what does it cost to watch a queue?
"""

import functools
import gc
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ringpool.bench import looking, machine
from ringpool.bench.jobs import noop
from ringpool.bench.rivals import executor, worker_queue
from ringpool.bench.rows import ratio_of
from ringpool.bench.table import shown
from ringpool.bench.turns import in_turn, timed
from ringpool.bench.workloads import WORKERS, Workload, hold

JOBS = 16_000  # of those series that vary something else: no more than records are kept to use again
MOST_PENDING = 10_000_000
BYTES_PENDING = 200  # a job at least, with its place in the queue and in the list of futures
PART_OF_MEMORY = 2  # at most one part in so many of what is free is taken
SUPPOSED_FREE = 1 << 30  # bytes, where the system does not tell


def pending(_, pool, count):
    """Nanoseconds a job: submit them while no worker takes any, then result() of each."""
    gate = hold(pool)
    start = time.perf_counter_ns()
    submit, result = pool.submit, pool.result
    handles = [submit(noop) for _ in range(count)]
    gate.set()
    for handle in handles:
        result(handle)
    return {"ns": (time.perf_counter_ns() - start) / count}


def working(_, pool, count):
    pool.run(noop, count)


def producing(number, pool, count):
    """Nanoseconds a job, *number* threads doing a part each; their own start and end are not in it."""

    def produce():
        ready.wait()
        pool.run(noop, count // number)
        done.wait()

    ready, done = threading.Barrier(number + 1), threading.Barrier(number + 1)
    producers = [threading.Thread(target=produce) for _ in range(number)]
    for producer in producers:
        producer.start()
    start = time.perf_counter_ns()
    ready.wait()
    done.wait()
    took = time.perf_counter_ns() - start
    for producer in producers:
        producer.join()
    return {"ns": took / count}


def two_workers(_):
    return executor(WORKERS)


def sampling(number):
    return worker_queue(WORKERS, sample=number)


@dataclass(frozen=True)
class Series:
    """
    *run(number, pool, count)* is timed for each of *numbers*, unless it returns what it has measured itself.

    *open(number)* makes the pool; *count* is that of jobs or calls, where the number is none.
    """

    run: Callable[[int, Any, int], dict[str, float] | None]
    numbers: tuple[int, ...]
    explained: str
    open: Callable[[int], Any] = two_workers
    count: int = JOBS

    def jobs(self, number, share):
        return number if self.run is pending else max(1, round(self.count * share))


def looks(run, count, call):
    explained = f"{call} of a WorkerQueue, so many workers, all busy, {looking.QUEUED:,} jobs behind those that run"
    return Series(run, (2, 16, 64), explained, looking.Loaded, count)


SERIES = {
    "pending": Series(
        pending,
        (10_000, 100_000, 1_000_000, MOST_PENDING),
        "so many no-op jobs submitted while the workers are held, then result() of each",
    ),
    "workers": Series(
        working, (1, 2, 4, 8, 16, 32, 64), "so many workers; submit no-op jobs, then result() of each", executor
    ),
    "producers": Series(producing, (1, 2, 4, 8, 16), "the same from so many threads at once, a part of the jobs each"),
    "sample": Series(
        working, (0, 64, 1), "the same, a WorkerQueue that times every so-manieth; 0: none, 64: by default", sampling
    ),
    "stats": looks(looking.stats, 500, "stats()"),
    "times": looks(looking.times, 50, "times()"),
    "running": looks(looking.running, 100, "running()"),
    "stacks": looks(looking.stacks, 20, "running(stacks=True)"),
}


def possible(name, share):
    """The numbers of the series *name* that are measured here with this *share* of the most."""
    numbers = SERIES[name].numbers
    if name != "pending":
        return numbers
    free = machine.free_memory() or SUPPOSED_FREE
    most = min(MOST_PENDING * share, free // PART_OF_MEMORY // BYTES_PENDING)
    return tuple(number for number in numbers if number <= max(most, numbers[0]))


@dataclass(frozen=True)
class Point:
    """What a job costs with this *number* of something: nanoseconds, a value for each turn."""

    series: str
    number: int
    jobs: int
    values: list[float]

    @property
    def median(self):
        return statistics.median(self.values)


class Flatness:
    """*turns* turns of every series; has the face of a Report."""

    def __init__(self, turns, share):
        self.facts = machine.facts()
        self.points = []
        self._numbers = {name: possible(name, share) for name in SERIES}
        self.steps = sum(map(len, self._numbers.values())) * turns + len(SERIES)
        self._turns = turns
        self._share = share

    def pieces(self, step):
        """Measure, and yield the tables as they are ready; *step* is called before each of the *steps*."""
        yield heading(self.facts, self._turns)
        for name in SERIES:
            self._play(name, step)
            yield block(name, self.points)

    def _play(self, name, step):
        numbers = self._numbers[name]
        values = defaultdict(list)
        step()
        self._measure(name, numbers[0])  # warms up
        for turn in range(self._turns):
            for number in in_turn(numbers, turn):
                step()
                values[number].append(self._measure(name, number))
        jobs = SERIES[name].jobs
        self.points += [Point(name, number, jobs(number, self._share), values[number]) for number in numbers]

    def _measure(self, name, number):
        series = SERIES[name]
        pool = series.open(number)
        gc.collect()
        try:
            jobs = series.jobs(number, self._share)
            return timed(Workload(functools.partial(series.run, number), jobs, (), ""), pool, jobs)["ns"]
        finally:
            pool.close()

    def as_json(self):
        """What JSON can express of it, which is all."""
        return {
            **self.facts,
            "turns": self._turns,
            "share": self._share,
            "points": [
                {**vars(point), "median": point.median, "times": vars(times(point, self.points))}
                for point in self.points
            ],
        }


def times(point, points):
    """The Ratio of *point* to the first of its series."""
    first = next(other for other in points if other.series == point.series)
    return ratio_of(point.values, first.values)


def heading(facts, turns):
    return "\n".join(
        [
            f"ringpool {facts['ringpool']}, {facts['date']}, load before: {facts['load']}",
            machine.line(facts),
            f"ringpool.ThreadPoolExecutor, {WORKERS} workers where nothing else is said; median of {turns} interleaved "
            "turns, ns a job or a call;",
            "1.10x: a tenth more than the first line of the series, median of the turns' ratios (quartiles)",
        ]
    )


def block(name, points):
    """The table of one series."""
    lines = [f"{name}: {SERIES[name].explained}"]
    for point in points:
        if point.series == name:
            its = times(point, points)
            of_first = f"{shown(its.median):>9}  ({shown(its.low)} - {shown(its.high)})"
            lines.append(f"    {point.number:<16,}{point.median:12,.0f}{of_first}")
    return "\n".join(lines)
