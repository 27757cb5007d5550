"""How far a run is, on a terminal."""

import contextlib
import shutil
import threading
import time

PROGRESS_S = 0.1  # between two looks


class Repeated:
    """Calls *act* every *seconds*, on a thread of its own, while entered."""

    def __init__(self, act, seconds):
        self._act = act
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_acting, name="progress", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._over.set()
        self._thread.join()

    def _keep_acting(self):
        while not self._over.wait(self._seconds):
            self._act()


class Progress(Repeated):
    """A line of a terminal that tells how far the run is, written over and over while entered."""

    def __init__(self, queue, terminal):
        super().__init__(self._redraw, PROGRESS_S)
        self.stopping = False
        self._queue = queue
        self._terminal = terminal
        self._start = time.monotonic()
        self._shown = ""
        self._drawing = threading.Lock()

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.stopping = False
        self._draw(self._text(), end="\n")

    @contextlib.contextmanager
    def out_of_the_way(self):
        """While another line is written, perhaps to the same terminal."""
        with self._drawing:
            self._draw("", end="\r")
            yield

    def _redraw(self):
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
