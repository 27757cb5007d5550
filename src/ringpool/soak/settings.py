"""Queues with anything set, as the dice say."""

import threading

from ringpool import Block, CoDel, Lane, Retry, WorkerQueue

LANES = {"main": Lane(weight=3), "narrow": Lane(max_workers=1), "kept": Lane(reserve=1)}
POLICIES = ("block", "raise", "return", "caller_runs", "drop_newest", "drop_oldest")


class Hooks:
    """How often each hook was called, as lists with what it was called with."""

    def __init__(self):
        self.on_start, self.on_done, self.on_retry, self.on_drop = [], [], [], []

    def settings(self):
        return {
            "on_start": self.on_start.append,
            "on_done": self.on_done.append,
            "on_retry": lambda future, error, seconds: self.on_retry.append(future),
            "on_drop": self.on_drop.append,
        }


    def wrong(self, stats, calls):
        """What disagrees with *stats* of the queue, if they were set; *calls* of functions, None: not known."""
        if not self.on_done:
            return
        if calls is not None and len(self.on_start) != calls:
            yield f"on_start was called {len(self.on_start)} times, functions {calls} times"
        done, ended = len(self.on_done), stats.accepted + stats.returned
        if done != ended or len(set(self.on_done)) != ended:
            yield f"on_done was called {done} times for {len(set(self.on_done))} of {ended} jobs"
        if len(self.on_retry) != stats.retries:
            yield f"on_retry was called {len(self.on_retry)} times for {stats.retries} retries"
        if len(self.on_drop) != stats.dropped + stats.expired:
            yield f"on_drop was called {len(self.on_drop)} times for {stats.dropped} + {stats.expired} jobs"


class States:
    """A state for each worker, made on its thread and given back there once."""

    def __init__(self):
        self.made, self.released = [], []
        self.wrong = []

    def make(self):
        state = threading.get_ident()
        self.made.append(state)
        return state

    def release(self, state):
        self.released.append(state)
        if state != threading.get_ident():
            self.wrong.append("a worker_exit got the state of another thread")

    def settings(self):
        return {"worker_init": self.make, "worker_exit": self.release}


def draw(dice, hooks, states):
    """(workers, capacity, the rest) of a queue; *hooks* and *states* may be used in it."""
    workers = dice.choice([2, 3, 4, 8])  # one is reserved for a lane
    rest = {
        "dispatch": dice.choice(["shared", "ready"]),
        "order": dice.choice(["fifo", "fifo", "fifo", "lifo"]),
        "context": dice.choice(["copy", None]),
        "keep_results": dice.choice([None, 0]),
        "report_unread": dice.choice([True, False]),
        "sample": dice.choice([0, 1, 64]),
        "overflow": policy(dice),
    }
    maybe = {
        "lanes": LANES,
        "ageing": dice.choice([1, 20]),
        "retry": Retry(attempts=2, base=0),
        "timeout": dice.choice([0.001, 30]),
        "max_late": dice.choice([0, 1]),
        "shed": CoDel(0.0005, 0.002),
        "rate_limit": rate(dice),
        "stuck_after": 0.001,
    }
    rest |= {name: value for name, value in maybe.items() if dice.random() < 0.25}
    if dice.random() < 0.4:
        rest |= {"min_workers": 1, "idle_timeout": dice.choice([0.0001, 0.001])}
    if rest["dispatch"] == "ready":
        rest["choose"] = dice.choice(["any", "affinity", lambda job, views: dice.randrange(workers)])
    if dice.random() < 0.3:
        rest |= hooks.settings()
    if dice.random() < 0.5:
        rest |= states.settings()
    return workers, dice.choice([1, 2, 7, 64, 500]), rest


def policy(dice):
    """A policy for a full queue; "spill" stands for another queue."""
    kind = dice.choice([*POLICIES, "Block", "spill", "function"])
    if kind == "Block":
        return Block(dice.choice([0, 0.0005]))
    if kind == "spill":
        return WorkerQueue(2, 5, keep_results=0, dispatch=dice.choice(["shared", "ready"]), lanes=LANES)
    if kind == "function":
        return lambda queue, job: dice.choice(POLICIES)
    return kind


def rate(dice):
    """Now and then nothing starts for a fifth of a millisecond."""
    return lambda: 0.0002 if dice.random() < 0.05 else None
