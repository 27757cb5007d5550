"""
One queue, driven step by step through whatever it can be asked, against a model of what it owes.

The machine decides what runs: every job waits at its own gate and says when it
has been reached, so the machine knows what has started, and nothing is timed.
Jobs that need a clock (delays, expiry, time limits) are only ever given so
little time, or so much, that the outcome is known or may be either.
"""

import threading
from concurrent.futures import CancelledError

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ringpool import (
    Block,
    Job,
    JobDropped,
    JobExpired,
    JobTimeout,
    Lane,
    QueueFull,
    QueueStopped,
    Retry,
    WorkerQueue,
)

WAIT = 20
CAPACITY = 6
LANES = {"main": Lane(weight=2), "narrow": Lane(max_workers=1), "side": Lane()}
POLICIES = ("block", "raise", "return", "caller_runs", "drop_newest", "drop_oldest", Block(0.001))


class Failure(Exception):
    """What a job of these tests raises."""


class Task:
    """A job's function: notes each attempt, waits at its gate, and fails *failures* times."""

    def __init__(self, machine, number, failures, wish):
        self.machine = machine
        self.number = number
        self.failures = failures
        self.wish = wish
        self.gate = threading.Event()
        self.attempts = 0
        self.ended = 0
        self.future = None
        self.queued = 0  # the machine's tick after it was; 0: not yet
        self.in_order = not (wish.get("key") or wish.get("delay")) and machine.policy != "caller_runs"
        self.allowed = wish["retry"].attempts if "retry" in wish else 1

    def __call__(self):
        with self.machine.lock:
            self.attempts += 1
            attempt = self.attempts
            self.machine.began(self)
        try:
            assert self.gate.wait(WAIT), "the gate was never opened"
            if attempt <= self.failures:
                raise Failure(attempt)
            return self.number
        finally:
            with self.machine.lock:
                self.machine.running.discard(self)
                if threading.current_thread() is not self.machine.thread:  # which runs what finds no room
                    self.machine.freed = self.machine.tick()

    def count_end(self, _):
        with self.machine.lock:
            self.ended += 1


class Machine(RuleBasedStateMachine):
    dispatch = "shared"
    order = "fifo"
    one_worker = False
    spills = False  # one of the policies is another queue

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
        self.running = set()
        self.tasks = []
        self.starts = []
        self.wrong = []
        self.workers = 1 if self.one_worker else 3
        self.ticks = 0
        self.freed = 0  # when a worker last ended an attempt
        self.thread = threading.current_thread()
        self.policy = "raise"
        self.stopped = False
        self.threads = set(threading.enumerate())
        self.spill = WorkerQueue(2, CAPACITY, overflow="raise", keep_results=0) if self.spills else None
        self.queue = WorkerQueue(
            self.workers,
            CAPACITY,
            dispatch=self.dispatch,
            order=self.order,
            lanes=LANES,
            overflow=lambda queue, job: self.spill if self.policy == "spill" else self.policy,
            choose="affinity" if self.dispatch == "ready" else "any",
            keep_results=0,
        )

    def tick(self):
        # Under the lock.
        self.ticks += 1
        return self.ticks

    # ---- what jobs tell ----

    def began(self, task):
        # Under the lock, on the job's thread.
        if task in self.running:
            self.wrong.append(f"{task.number} runs twice at a time")
        key = task.wish.get("key")
        if key is not None:
            if any(other.wish.get("key") == key for other in self.running):
                self.wrong.append(f"two of key {key} run at a time")
            for other in self.tasks[: task.number]:
                if other.wish.get("key") == key and self.is_before(other, task):
                    self.wrong.append(f"{task.number} overtook {other.number} of its key")
        self.running.add(task)
        if task.attempts == 1:
            self.starts.append(task)
            if self.order == "lifo" and self.one_worker and task.in_order:
                for other in self.tasks[task.number + 1 :]:
                    if self.was_there(other, task):
                        self.wrong.append(f"{task.number} started before {other.number}, which is newer")

    def is_before(self, other, task):
        # Must *other*, which came first, have ended when *task* starts?  What is
        # taken out to be dropped or cancelled gives its key up first.
        if other.future is None or other.future.done() or self.stopped or self.policy == "drop_oldest":
            return False
        if other.wish["delay"] or task.wish["delay"]:
            return False
        return other.attempts < min(other.allowed, other.failures + 1)  # else it is just about to end

    def was_there(self, other, task):
        # Did *other* wait in the same place when the one worker looked for its next job?
        same = all(other.wish.get(name, 0) == task.wish.get(name, 0) for name in ("priority", "lane"))
        waits = other.in_order and not other.attempts and other.future is not None and not other.future.done()
        return same and waits and 0 < other.queued < self.freed

    def check_order(self):
        # Of one level and lane the first to come was the first to start, where one worker took them all.
        if not self.one_worker or self.order == "lifo":
            return
        last = {}
        for task in self.starts:
            if task.in_order:
                level = task.wish.get("priority", 0), task.wish.get("lane", "main")
                assert last.get(level, -1) < task.number, f"{task.number} started after {last[level]}"
                last[level] = task.number

    # ---- rules ----

    def submit(self, wish, failures):
        task = Task(self, len(self.tasks), failures, wish)
        self.tasks.append(task)
        if self.policy == "caller_runs":
            task.gate.set()  # it may run right here
        if self.policy == "block":
            self.let_all_go()
        if self.policy == "spill":
            wish.pop("key", None)  # each queue keeps its own
        try:
            # A plan only for those that ask for anything.
            task.future = self.queue.submit(Job(task, **wish) if wish else task)
        except (QueueFull, QueueStopped):
            task.wish = {}
            assert not task.attempts
            return
        task.future.add_done_callback(task.count_end)
        with self.lock:
            task.queued = self.tick()

    @rule()
    def submit_plain(self):
        self.submit({}, 0)

    @rule(
        priority=st.integers(-2, 2),
        key=st.sampled_from([None, None, "a", "b"]),
        lane=st.sampled_from(list(LANES)),
        delay=st.sampled_from([0, 0, 0, 0.001, 0.003, 60]),
        expires_in=st.sampled_from([None, None, None, 0.001, 60]),
        timeout=st.sampled_from([None, None, None, 0.001, 60]),
        retry=st.sampled_from([None, None, 1, 2, 3]),
        failures=st.integers(0, 2),
    )
    def submit_job(self, priority, key, lane, delay, expires_in, timeout, retry, failures):
        if self.one_worker and timeout == 0.001:
            timeout = None  # another worker would come in its place
        wish = dict(priority=priority, key=key, lane=lane, delay=delay, expires_in=expires_in, timeout=timeout)
        if retry is not None:
            wish["retry"] = Retry(attempts=retry, base=0)
        self.submit(wish, failures)

    @rule(policy=st.sampled_from((*POLICIES, "spill", "spill")))
    def change_policy(self, policy):
        if policy != "spill" or self.spills:
            self.policy = policy

    @rule(pick=st.integers(0, 99))
    def let_one_go(self, pick):
        with self.lock:
            running = sorted(self.running, key=lambda task: task.number)
        if running:
            running[pick % len(running)].gate.set()

    @rule(pick=st.integers(0, 99))
    def let_one_through(self, pick):
        if self.tasks:
            self.tasks[pick % len(self.tasks)].gate.set()

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick):
        task = self.tasks[pick % len(self.tasks)] if self.tasks else None
        if task is not None and task.future is not None and task.future.cancel():
            assert task.future.cancelled()

    @rule(pick=st.integers(0, 99), priority=st.integers(-3, 3))
    def reprioritise(self, pick, priority):
        task = self.tasks[pick % len(self.tasks)] if self.tasks else None
        if task is not None and task.future is not None:
            ended = task.future.done()
            task.in_order = False
            assert not (self.queue.reprioritise(task.future, priority) and ended)

    @rule(workers=st.integers(1, 4), least=st.integers(1, 4))
    def resize(self, workers, least):
        if not self.one_worker:
            self.queue.resize(workers, min(workers, least))

    def let_all_go(self):
        for task in self.tasks:
            task.gate.set()
            if task.future is not None and task.wish.get("delay") == 60:
                task.future.cancel()

    @rule()
    def drain(self):
        self.let_all_go()
        for queue in self.queues():
            assert queue.wait(WAIT), f"never quiet: {queue.stats()}"
        self.check_ends()

    @rule(now=st.booleans(), dice=st.integers(0, 7))
    def stop(self, now, dice):
        if dice:
            return  # or most runs would be short
        self.stopped = True
        if now:
            self.queue.stop_now()
            unstarted = [task for task in self.tasks if task.future and not task.attempts and not task.future.done()]
            # Each is in the hands of a worker that has taken it, or was spilled.
            assert self.spills or len(unstarted) <= len(self.queue._threads)
        else:
            self.queue.stop(timeout=0)

    # ---- checks ----

    @invariant()
    def the_books_are_right(self):
        for queue in self.queues():
            stats = queue.stats()
            ended = stats.succeeded + stats.failed + stats.cancelled + stats.dropped + stats.expired
            assert stats.accepted == stats.queued + stats.in_flight + ended
            assert 0 <= stats.queued <= CAPACITY + 2 * len(self.tasks)
        assert not self.wrong, self.wrong

    def queues(self):
        return [queue for queue in (self.queue, self.spill) if queue is not None]

    @invariant()
    def a_future_that_is_done_has_ended_once(self):
        for task in self.tasks:
            if task.future is not None:
                assert task.ended <= 1
                assert task.attempts <= task.allowed

    def check_ends(self):
        tally = dict(succeeded=0, failed=0, cancelled=0, dropped=0, expired=0)
        for task in self.tasks:
            if task.future is None:
                continue
            assert task.future.done(), task.number
            if task.future.cancelled():
                tally["cancelled"] += 1
                continue
            error = task.future.exception()
            if error is None:
                assert task.future.result() == task.number and task.attempts > task.failures
                tally["succeeded"] += 1
            elif isinstance(error, JobDropped):
                assert task.attempts < task.allowed
                tally["dropped"] += 1
            elif isinstance(error, JobExpired):
                assert not task.attempts
                tally["expired"] += 1
            elif not isinstance(error, QueueFull):
                assert isinstance(error, (Failure, JobTimeout, CancelledError)), error
                tally["failed"] += 1
        both = [queue.stats() for queue in self.queues()]
        assert all((stats.queued, stats.in_flight) == (0, 0) for stats in both), both
        assert {name: sum(getattr(stats, name) for stats in both) for name in tally} == tally
        assert sum(stats.accepted for stats in both) == sum(tally.values())
        if self.spills:
            assert both[0].spilled == both[1].accepted

    def teardown(self):
        self.let_all_go()
        for queue in self.queues():
            report = queue.stop(WAIT)
            assert report.complete, report
        self.check_ends()
        self.check_order()
        for task in self.tasks:
            assert task.future is None or task.ended == 1
        assert not self.wrong, self.wrong
        left = {thread for thread in set(threading.enumerate()) - self.threads if thread.is_alive()}
        for thread in left:  # one that had left before may be in its last lines
            thread.join(WAIT)
            assert not thread.is_alive(), thread


def machine(dispatch, order, one_worker, spills=False):
    kind = type("Machine", (Machine,), dict(dispatch=dispatch, order=order, one_worker=one_worker, spills=spills))
    kind.TestCase.settings = settings(
        max_examples=60,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return kind.TestCase


TestSharedFifo = machine("shared", "fifo", False)
TestSharedLifo = machine("shared", "lifo", False)
TestReadyFifo = machine("ready", "fifo", False)
TestReadyLifo = machine("ready", "lifo", False)
TestSharedFifoOneWorker = machine("shared", "fifo", True)
TestReadyFifoOneWorker = machine("ready", "fifo", True)
TestSharedLifoOneWorker = machine("shared", "lifo", True)
TestReadyLifoOneWorker = machine("ready", "lifo", True)
TestSharedSpill = machine("shared", "fifo", False, spills=True)
TestReadySpill = machine("ready", "fifo", False, spills=True)
