"""How far a run is, on a terminal."""

import contextlib
import shutil
import threading
import time

PROGRESS_S = 0.1  # between two looks


class Progress:
    """A line of a terminal that tells how far the run is, written over and over while entered."""

    def __init__(self, queue, terminal):
        self.stopping = False
        self._queue = queue
        self._terminal = terminal
        self._start = time.monotonic()
        self._shown = ""
        self._drawing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="progress", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()
        self.stopping = False
        self._draw(self._text(), end="\n")

    @contextlib.contextmanager
    def out_of_the_way(self):
        """While another line is written, perhaps to the same terminal."""
        with self._drawing:
            self._draw("", end="\r")
            yield

    def _keep_drawing(self):
        while not self._over.wait(PROGRESS_S):
            with self._drawing:
                self._draw(self._text())

    def _text(self):
        stats = self._queue.stats()
        done = stats.succeeded + stats.failed
        rate = done / max(time.monotonic() - self._start, PROGRESS_S)
        text = f"{done} done, {stats.failed} failed, {rate:.0f}/s"
        if self.stopping:
            text += f"; {stats.in_flight} to finish, unless interrupted again"
        return text[: shutil.get_terminal_size().columns - 1]

    def _draw(self, text, end=""):
        if text != self._shown or end == "\n":
            with contextlib.suppress(OSError):
                self._terminal.write("\r" + text.ljust(len(self._shown)) + end)
                self._terminal.flush()
            self._shown = text
