"""Where the lines come from."""

import io
import os
import select
import sys

from ringpool.commands.trouble import CannotRun, reason_of

READ_BYTES = 64 * 1024
SELECTABLE = os.name == "posix"  # elsewhere, only sockets are


def own_input(name):
    """The file *name*, unbuffered; "-" is stdin, in whose place an empty one is left."""
    if name == "-" and sys.stdin is None:
        raise CannotRun("cannot read stdin: it is closed")
    try:
        if name != "-":
            return open(name, "rb", buffering=0)
        own = os.dup(sys.stdin.fileno())
        with open(os.devnull, "rb") as empty:
            os.dup2(empty.fileno(), sys.stdin.fileno())
        return open(own, "rb", buffering=0)
    except (OSError, ValueError) as error:
        raise CannotRun(f"cannot read {name or repr(name)}: {reason_of(error)}") from None


class Source(io.RawIOBase):
    """An input that can be ended from outside, also while it is being waited for."""

    def __init__(self, file):
        self._file = file
        self._ended, self._end = os.pipe()

    def end(self):
        os.write(self._end, b"\0")

    def lines(self):
        """The lines without their endings; file names come out as from :func:`os.fsdecode`."""
        buffered = io.BufferedReader(self, READ_BYTES)
        for line in io.TextIOWrapper(buffered, sys.getfilesystemencoding(), "surrogateescape", newline="\n"):
            if line.endswith("\n"):
                line = line[:-2] if line.endswith("\r\n") else line[:-1]
            yield line

    def readable(self):
        return True

    def readinto(self, buffer):
        size = None
        while size is None:  # None: it does not block, and somebody else was quicker
            if SELECTABLE and self._ended in select.select([self._file, self._ended], [], [])[0]:
                return 0
            size = self._file.readinto(buffer)
        return size
