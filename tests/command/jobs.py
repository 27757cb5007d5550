"""What the children call: ``jobs:NAME``. What they tell, or print, comes to the test on stderr."""

import gc
import os
import subprocess
import threading
import time

from ringpool import WorkerQueue, current_job

TIMEOUT_S = 30
A_WHILE_S = 0.3  # in which what must not happen would have happened

print("imported")
nan = float("nan")
started = []
released = threading.Event()


def tell(text):
    os.write(2, f"{text}\n".encode())  # at a time, which print() does not


class Unspeakable(Exception):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


def value(line):
    return eval(line)


def error(line):
    raise eval(line)


def shell(line):
    print("printed")
    return subprocess.run("cat; echo from a child", shell=True).returncode


async def coroutine(line):
    pass


def generator(line):
    yield line


async def async_generator(line):
    yield line


def nap(line):
    time.sleep(float(line))


def say(line):
    tell(f"running {line}")


def first_waits_for_last(line):
    if line == "first":
        assert released.wait(TIMEOUT_S)
    if line == "last":
        released.set()


def first_counts(line):
    started.append(line)
    return standstill() if line == "0" else None


def bulky(line):
    started.append(line)
    if len(started) == 1:
        threading.Thread(target=lambda: tell(f"standstill {standstill()}"), daemon=True).start()
    return "x" * 1000


def standstill():
    """How many have been started, when no more are for a while."""
    before = -1
    while before != len(started):
        before = len(started)
        time.sleep(A_WHILE_S)
    return before


def obedient(line):
    """Says when the queue is full, and ends when told to; "fail" by failing."""
    queue = next(each for each in gc.get_objects() if type(each) is WorkerQueue)
    while queue.stats().queued < queue.stats().capacity:
        time.sleep(0.001)
    tell("full")
    wait_until_told()
    return 1 / (line != "fail")


def stuck(line):
    tell(f"running {line}")
    wait_until_told()
    threading.Event().wait()


def wait_until_told():
    while not current_job().cancelled:
        time.sleep(0.001)
    tell("told")


def peak(line):
    """For the line "peak", prints the kB of memory that the process has had at the most."""
    if line == "peak":
        with open("/proc/self/status") as status:
            tell(next(each.split()[1] for each in status if each.startswith("VmHWM")))
