"""What the jobs do."""

import functools
import hashlib
import itertools
import time

BLOCK = bytes(64 * 1024)


def noop():
    pass


def increment(x):
    return x + 1


def digest():
    """SHA-256 of 64 KiB; the GIL is released meanwhile."""
    hashlib.sha256(BLOCK).digest()


def spin(rounds):
    for _ in itertools.repeat(None, rounds):  # not a range, whose small numbers cost less than its large ones
        pass


def working(us):
    """A job of *us* microseconds of pure Python; 0: the no-op."""
    return functools.partial(spin, round(us * rounds_per_us())) if us else noop


@functools.cache
def rounds_per_us():
    """Of spin(), on a core at its best: the shortest of several tries."""
    rounds = 10_000
    times = []
    for _ in range(50):
        start = time.perf_counter_ns()
        spin(rounds)
        times.append(time.perf_counter_ns() - start)
    return rounds / min(times) * 1000
