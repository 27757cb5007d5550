"""
Turns: in each turn of a workload every rival runs once, and another one is the first.

Timings drift on a shared machine, so no rival gets a block of time of its own,
and rivals are compared within a turn only.
"""

import contextvars
import gc
import time
from collections import defaultdict

from ringpool.bench.rivals import RIVALS
from ringpool.bench.rows import Row
from ringpool.bench.workloads import WORKERS, WORKLOADS

WARM_UP = 20  # a part of the jobs, before the first turn
LEAST = 4  # jobs


def in_turn(rivals, turn):
    """*rivals* in their order in this turn."""
    first = turn % len(rivals)
    return [*rivals[first:], *rivals[:first]]


def able(rivals):
    """Those of *rivals* who can be measured here."""
    return [name for name in rivals if RIVALS[name].missing() is None]


def timed(workload, pool, count):
    """Run *workload* once; its measures by name."""
    call = contextvars.Context().run  # an empty context, which a plain program has
    cpu_s, start_s = time.process_time(), time.perf_counter()
    own = call(workload.run, pool, count)
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
    return own or {"ns": wall_s / count * 1e9, "cores": cpu_s / wall_s}


def opened(rival):
    """A new pool of *rival*, and no garbage of another's."""
    pool = RIVALS[rival].open(WORKERS)
    gc.collect()
    return pool


def measure(workload, rival, count):
    """What *workload* measures of a pool that is made before and ended after."""
    pool = opened(rival)
    try:
        return timed(workload, pool, count)
    finally:
        pool.close()


def play(name, turns, share, step):
    """The rows of the workload *name*, with a *share* of its jobs; calls *step* before each measurement."""
    workload = WORKLOADS[name]
    rivals = able(workload.rivals)
    count = max(LEAST, round(workload.count * share))
    values = defaultdict(list)
    for rival in rivals:
        step()
        measure(workload, rival, max(LEAST, count // WARM_UP))
    for turn in range(turns):
        for rival in in_turn(rivals, turn):
            step()
            for measured, value in measure(workload, rival, count).items():
                values[rival, measured].append(value)
    return [
        Row(name, rival, measured, count, values[rival, measured]) for measured in workload.shown for rival in rivals
    ]


def steps(names, turns):
    """How often *step* will be called for these workloads."""
    return sum(len(able(WORKLOADS[name].rivals)) for name in names) * (1 + turns)
