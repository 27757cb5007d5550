"""What goes on beside the producers: each makes a meddler of a Round."""

import gc
import os
import signal
import sys
import time
import warnings
from concurrent.futures import wait
from functools import partial

from ringpool.soak.books import consistent
from ringpool.soak.page import UNSEEN

CHILD_S = 20  # seconds that a forked child may take; then it is aborted, which dumps its stack
LOOK_S = 0.002  # between two looks for its end


def collect(dice):
    """The collector, again and again."""

    def meddle(over):
        while not over.wait(dice.random() * 0.01):
            gc.collect()

    return meddle


def cancel(dice, queue, pages):
    """Somebody who cancels, moves, and waits for, any job."""

    def meddle(over):
        while not over.wait(dice.random() * 0.001):
            futures = dice.choice(pages).futures
            future = futures[dice.randrange(len(futures))]
            if future is None or future is UNSEEN:
                continue
            throw = dice.random()
            if throw < 0.5:
                future.cancel()
            elif throw < 0.8:
                queue.reprioritise(future, dice.randrange(-3, 4))
            else:
                wait([future], dice.random() * 0.0005)

    return meddle


def look(dice, queue, pages):
    """Somebody who looks at all there is to see."""
    with_stacks = partial(queue.running, stacks=True)
    looks = [queue.running, with_stacks, queue.times, queue.__repr__, partial(queue.wait, 0.0001)]

    def meddle(over):
        while not over.wait(dice.random() * 0.002):
            pages[0].wrong.extend(consistent(queue.stats()))
            dice.choice(looks)()

    return meddle


def resize(dice, queue):
    """More workers, fewer workers; never fewer than are reserved for a lane, and one."""

    def meddle(over):
        while not over.wait(dice.random() * 0.004):
            workers = dice.randrange(2, 9)
            queue.resize(workers, dice.choice([None, dice.randint(1, workers)]))

    return meddle


def stop(dice, queue, now):
    """The end, in the middle."""

    def meddle(over):
        over.wait(dice.random() * 0.2)
        if now:
            queue.stop_now()
        else:
            queue.stop(timeout=dice.choice([0, 0.0005]))

    return meddle


# What another thread has locked at that moment stays locked in the child. Without a GIL that may be any list to which a
# job or a hook appends.
CAN_FORK = hasattr(os, "fork") and getattr(sys, "_is_gil_enabled", lambda: True)()


def fork_once(dice, pool, pages):
    """A forked child, which looks at what it has of *pages* and uses *pool*."""

    def meddle(over):
        over.wait(dice.random() * 0.05)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the fork of a process with threads
            child = os.fork()
        if child == 0:
            _in_child(pool, pages)
        status = _status_of(child)
        if status:
            pages[0].wrong.append(f"a forked child ended with {status}: see its lines on stderr")

    return meddle


def _status_of(child):
    until = time.monotonic() + CHILD_S
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(child, signal.SIGABRT)
            until += CHILD_S
        time.sleep(LOOK_S)


def _in_child(pool, pages):
    status = 3
    try:
        wrong = _wrong_in_child(pool, pages)
        if wrong:
            os.write(2, f"ringpool: in a forked child: {wrong}\n".encode())
        else:
            status = 0
    except BaseException as error:
        os.write(2, f"ringpool: in a forked child: {error!r}\n".encode())
    finally:
        os._exit(status)


def _wrong_in_child(pool, pages):
    pending = sum(not future.done() for page in pages for future in page.accepted())
    if pending:
        return f"{pending} futures of the parent's are pending"
    try:
        future = pool.submit(int, "7")
    except RuntimeError:
        return None  # it had been stopped before
    return None if future.result() == 7 else "a job has another's result"
