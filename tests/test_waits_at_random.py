"""
Jobs that wait for each other in every way, at random: each ends, and only what could never end is refused.

A seed draws a queue's settings and what each of its jobs does, whichever way the threads take. In a tree a job waits for
its own jobs only, and holds keys and places that none below it wants: nothing of it is a circle. In a net it waits for those
above it and for any other as well. Neither draws what docs/waiting.md says is not found out.

RINGPOOL_WAITS_SEEDS=1000:9000 runs these seeds; one that fails says which it was.
"""

import contextlib
import faulthandler
import os
import random
import sys
import threading
from concurrent import futures

import pytest

from ringpool import DeadlockError, Job, Lane, QueueFull, Retry, WorkerQueue, current_job, current_worker

STALLED = 15  # seconds without an end of any job
FIRST, LAST = map(int, os.environ.get("RINGPOOL_WAITS_SEEDS", "0:120").split(":"))
AT_ONCE = 60  # seeds of one test
DEPTH = 3
JOBS = 60  # of a queue, about
MEANT = (DeadlockError, QueueFull, OSError, TimeoutError, futures.CancelledError, ExceptionGroup)


class Net:
    """A queue and the jobs that its seed draws."""

    def __init__(self, seed, tree):
        self.seed, self.tree = seed, tree
        rng = random.Random(f"{seed} {tree}")
        workers = rng.randint(1, 4)
        self.spares = rng.choice([None, None, None, 0, 1, 2])
        self.workers = workers
        self.lanes = [f"lane {n}" for n in range(DEPTH + 1)] if rng.random() < 0.4 else []
        # In a net: nobody looks behind a key whose holder waits for its place in a lane.
        self.keys = rng.random() < 0.4 and (tree or not self.lanes)
        settings = {
            "capacity": 1000 if self.lanes or self.keys else rng.choice([1, 2, 8, 100]),
            "dispatch": rng.choice(["shared", "ready"]),
            "order": rng.choice(["fifo", "fifo", "lifo"]),
            "report_unread": False,
        }
        if self.lanes:
            settings["lanes"] = {
                lane: Lane(
                    max_workers=rng.choice([None, 1, 2]) if n else None,
                    reserve=int(self.spares is None and workers > 2 and n == 1 and rng.random() < 0.3),
                )
                for n, lane in enumerate(self.lanes)
            }
        if self.spares is not None:
            settings["max_spares"] = self.spares
        if rng.random() < 0.3:
            settings |= {"min_workers": 1, "idle_timeout": rng.choice([0, 0.001])}
        self.settings = settings
        self.rng = rng
        self.jobs = []  # all futures, as they come
        self.refused = []  # what DeadlockErrors said, where they arose
        self.ends = 0

    # ---- what a job does ------------------------------------------------------------------

    def body(self, path, above):
        rng = random.Random(f"{self.seed} {self.tree} {path}")
        me = current_job()
        attempt, future = (me.attempt, me.future) if me else (1, None)
        mine = []
        for step in range(rng.randint(1, 3) if len(path) < 2 * DEPTH and len(self.jobs) < JOBS else 0):
            try:
                self.step(rng, (*path, step), [*above, future], mine)
            except MEANT as error:
                self.note(error)
        for _ in range(rng.choice([0, 0, 30, 300])):
            pass
        if rng.random() < 0.1 or (rng.random() < 0.3 and attempt == 1):
            raise OSError(f"of {path}")
        return path

    def note(self, error):
        if isinstance(error, ExceptionGroup):
            for each in error.exceptions:
                self.note(each)
        elif isinstance(error, DeadlockError):
            self.refused.append(str(error))

    def job(self, rng, path, above, planned=0.6):
        depth = len(path) // 2
        if rng.random() > planned:
            return (self.body, path, above)
        options = {"priority": rng.randint(-2, 2)}
        if self.lanes and rng.random() < 0.7:
            options["lane"] = self.lanes[depth if self.tree else rng.randrange(DEPTH)]
        if self.keys and rng.random() < 0.4:
            options["key"] = f"{depth if self.tree else 0} {rng.randrange(2)}"
        if rng.random() < 0.3:
            options["delay"] = rng.choice([0, 0.001, 0.01])
        if rng.random() < 0.3:
            options["retry"] = Retry(attempts=3, base=rng.choice([0.0001, 0.005]))
        if rng.random() < 0.2 and self.spares is None:
            options["timeout"] = 0.5  # a circle over it ends by that
        return (Job(self.body, path, above, **options),)

    def submit(self, rng, path, above, to=None, planned=0.6):
        job = (to or self.queue).submit(*self.job(rng, path, above, planned))
        self.jobs.append(job)
        job.add_done_callback(self.has_ended)
        return job

    def has_ended(self, _):
        self.ends += 1

    def step(self, rng, path, above, mine):
        kind = rng.choice(["submit", "submit", "group", "completed", "race", "map", "item", "wait", "late", "cancel"])
        n = rng.randint(1, 3)
        spin = rng.choice([0, 0, 10, 100, 500])
        queue = self.queue
        if kind == "submit":
            mine.append(self.submit(rng, (*path, 0), above))
            for _ in range(spin):
                pass
            self.wait_for(rng, mine[-1])
        elif kind == "group":
            with queue.group() as group:
                mine += [self.submit(rng, (*path, i), above, group) for i in range(n)]
        elif kind == "completed":
            with queue.group() as group:
                mine += [self.submit(rng, (*path, i), above, group) for i in range(n)]
                for _ in group.as_completed():
                    pass
        elif kind == "race":
            calls = [self.job(rng, (*path, i), above, 1)[0] for i in range(n)]
            queue.race(*calls)
        elif kind == "map":
            ordered = self.tree and self.spares is None and rng.random() < 0.5  # one in order is not looked into
            for _ in queue.map(self.body, [(*path, i) for i in range(n)], [above] * n, ordered=ordered):
                pass
        elif kind == "item":
            self.wait_for(rng, self.batcher.submit(path))
        elif kind == "late":  # a callback waits
            mine.append(self.submit(rng, (*path, 0), above))
            mine[-1].add_done_callback(lambda _: self.call_back(rng, (*path, 1), above))
        elif kind == "cancel":
            self.submit(rng, (*path, 0), above).cancel()
        elif self.tree:
            if mine:
                self.wait_for(rng, rng.choice(mine))
        else:
            others = [job for job in (*above, *mine, *self.jobs[-20:]) if job is not None]
            self.wait_for(rng, rng.choice(others), foreign=False)

    def call_back(self, rng, path, above):
        if current_worker() is None:
            return  # what a time limit has ended calls back on the thread that keeps the time
        try:
            self.submit(rng, path, above, planned=0).exception()
        except MEANT as error:
            self.note(error)

    def wait_for(self, rng, job, foreign=True):
        way = rng.choice(["result", "result", "exception", "soon", "foreign", "none"])
        if way == "result":
            job.result()
        elif way == "exception":
            job.exception()
        elif way == "soon":
            job.exception(rng.choice([0, 0.001, 0.01]))
        elif way == "foreign" and foreign and self.tree and self.spares is None:
            futures.wait([job])

    # ---- the run ------------------------------------------------------------------------

    def run(self):
        rng = self.rng
        with WorkerQueue(self.workers, **self.settings) as queue:
            self.queue = queue
            with queue.batch(list, max_size=rng.randint(1, 3), max_wait=0.001) as self.batcher:
                roots = [self.submit(rng, (i,), []) for i in range(rng.randint(1, 4))]
                resize = rng.random() < 0.2 and self.spares is None
                for root in roots:
                    if resize:
                        queue.resize(rng.randint(2, 4))
                    self.watch(root)
                for job in self.jobs:  # which may bring more
                    self.watch(job)
                    self.note(job.exception() if not job.cancelled() else None)
            if not queue.wait(STALLED):
                self.stalled()
        stats = queue.stats()
        ended = stats.succeeded + stats.failed + stats.cancelled + stats.dropped + stats.expired
        assert stats.accepted == ended, (self, stats)
        if self.tree:  # where too few spares may come, the last to wait is refused
            assert not [text for text in self.refused if self.spares is None or "waits for a worker" not in text], self

    def watch(self, job):
        ends = -1
        while not job.done():
            if self.ends == ends:
                self.stalled()
            ends = self.ends
            with contextlib.suppress(TimeoutError, futures.CancelledError):
                job.exception(STALLED)

    def stalled(self):
        """Say what hangs, and let it go on."""
        running = self.queue.running()
        print(f"stalled: {self!r}", self.queue.stats(), *running, sep="\n", file=sys.stderr)
        faulthandler.dump_traceback(sys.stderr)
        for job in running:
            with contextlib.suppress(futures.InvalidStateError):
                job.future.set_exception(OSError("it hung"))
        raise AssertionError(f"stalled: {self!r}")

    def __repr__(self):
        return f"{'tree' if self.tree else 'net'} of seed {self.seed}: {self.workers} workers, {self.settings}"


@pytest.mark.parametrize("first", range(FIRST, LAST, AT_ONCE))
@pytest.mark.parametrize("tree", [True, False], ids=["tree", "net"])
def test_waits_end_and_none_is_refused_for_nothing(tree, first, run_in_threads):
    """
    Several queues at once, whose threads are switched as often as may be.
    """
    seeds = iter(range(first, min(LAST, first + AT_ONCE)))
    draws = threading.Lock()

    def run(_):
        while True:
            with draws:
                seed = next(seeds, None)
            if seed is None:
                return
            Net(seed, tree).run()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        run_in_threads(3, run)
    finally:
        sys.setswitchinterval(interval)
