"""A child process that runs the command line, and a terminal for it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT_S = 30


class Child(subprocess.Popen):
    """``python -m ringpool`` with *arguments*; what jobs.py prints comes out on its stderr."""

    def __init__(self, *arguments, cwd, ignored=(), closed=None, **streams):
        path = [str(Path(__file__).parent), *filter(None, sys.path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        for name in ("PYTHONSAFEPATH", "PYTHONUNBUFFERED"):
            environment.pop(name, None)

        def prepare():
            # The tests themselves may have been started with one of them ignored.
            for each in (signal.SIGINT, signal.SIGTERM):
                signal.signal(each, signal.SIG_IGN if each in ignored else signal.SIG_DFL)
            if closed is not None:
                os.close(closed)

        super().__init__(
            [sys.executable, "-m", "ringpool", *arguments],
            cwd=cwd,
            env=environment,
            bufsize=0,  # what expect() has not taken is left to finish()
            preexec_fn=prepare if os.name == "posix" else None,
            **{**dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE), **streams},
        )

    def feed(self, text):
        assert self.stdin.write(text) == len(text)

    def expect(self, *lines):
        """Wait for these on stderr, in any order."""
        assert sorted(self.stderr.readline().decode().strip() for _ in lines) == sorted(lines)

    def finish(self, text=None):
        """
        (exit status, results, the rest of stderr) when it has ended.

        *text* is the rest of its input; None: the input stays open.
        """
        stdin = self.stdin
        if text is None:
            self.stdin = None
        try:
            out, err = self.communicate(text, TIMEOUT_S)
        finally:
            if stdin:
                stdin.close()
        lines = [json.loads(line, parse_constant=pytest.fail) for line in (out or b"").splitlines()]
        return self.returncode, lines, (err or b"").decode()


@pytest.fixture
def start(tmp_path):
    """Start a Child in *tmp_path*; it ends with the test at the latest."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **options):
            child = stack.enter_context(Child(*arguments, cwd=tmp_path, **options))
            stack.callback(child.kill)
            return child

        yield start


@pytest.fixture
def run(start):
    """Run ``ringpool run`` with *arguments* on *text*; what Child.finish returns."""

    def run(*arguments, text=b"", **streams):
        return start("run", *arguments, **streams).finish(None if "stdin" in streams else text)

    return run


class Terminal:
    """What has been written to it, and what a screen would show of that."""

    def __init__(self):
        import pty

        self._ours, self.theirs = pty.openpty()
        self.text = ""

    def read(self, until=None):
        """Until it holds this text; None: until nobody can write to it any more."""
        while until is None or until not in self.text:
            try:
                piece = os.read(self._ours, 4096)
            except OSError:  # how Linux tells the end
                piece = b""
            if not piece:
                assert until is None, f"{until!r} never came"
                break
            self.text += piece.decode()

    def rows(self):
        for row in self.text.split("\r\n")[:-1]:
            shown = ""
            for piece in row.split("\r"):
                shown = piece + shown[len(piece) :]
            yield shown.rstrip()

    def close(self):
        os.close(self._ours)


@pytest.fixture
def terminal():
    with contextlib.closing(Terminal()) as terminal:
        yield terminal
