"""Where the results go, and in which order."""

import contextlib
import os
import select
import sys
from queue import SimpleQueue

from ringpool.commands.trouble import CannotRun

WRITE_BYTES = 64 * 1024  # put together for one write, as long as there are results


def own_stdout(stack):
    """A descriptor of what stdout was; prints go to stderr instead, from Python until *stack* is left."""
    if sys.stdout is None:
        raise CannotRun("cannot write to stdout: it is closed")
    if sys.stderr is None:
        sys.stderr = stack.enter_context(open(os.devnull, "w"))  # the lowest free descriptor, which is stderr's
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    stack.enter_context(contextlib.redirect_stdout(sys.stderr))
    return own


class Output:
    """Writes lines, many at a time, within *quiet()*."""

    def __init__(self, fd, quiet):
        self._fd = fd
        self._quiet = quiet
        self._lines = []
        self._bytes = 0

    def put(self, line):
        self._lines.append(line)
        self._bytes += len(line)  # all of it is ASCII
        if self._bytes >= WRITE_BYTES:
            self.flush()

    def flush(self):
        rest = memoryview("".join(self._lines).encode("ascii"))
        self._lines.clear()
        self._bytes = 0
        if not rest:
            return
        with self._quiet():
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    select.select([], [self._fd], [])


class AsTheyCome:
    """Hands lines on to *put*; it is the queue that holds back whoever feeds it."""

    def __init__(self, put):
        self._put = put

    def wait_for_room(self):
        pass

    def no_more_waiting(self):
        pass

    def put(self, index, line):
        self._put(line)

    def put_rest(self):
        pass


class InOrder:
    """Hands lines on to *put* in the order of their indexes, and has room for *window* that wait for another."""

    def __init__(self, put, window):
        self._put = put
        self._next = 0
        self._waiting = {}
        self._room = SimpleQueue()  # a semaphore, and a quicker one than threading's
        for _ in range(window):
            self._room.put(None)
        self.wait_for_room = self._room.get

    def no_more_waiting(self):
        """For one thread, whom the queue will refuse next."""
        self._room.put(None)

    def put(self, index, line):
        self._waiting[index] = line
        while self._next in self._waiting:
            self._put(self._waiting.pop(self._next))
            self._next += 1
            self._room.put(None)

    def put_rest(self):
        for index in sorted(self._waiting):  # what they wait for was cancelled
            self._put(self._waiting.pop(index))
