"""Threads that start together."""

import threading
import traceback


class Crew:
    """Calls each of *bodies* in a thread of its own, from :meth:`start` on."""

    def __init__(self, name, bodies):
        self._start = threading.Barrier(len(bodies)) if bodies else None
        self._raised: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(body,), name=f"{name}-{i}") for i, body in enumerate(bodies)
        ]

    def _run(self, body):
        try:
            self._start.wait()
            body()
        except BaseException:
            self._raised.append(f"{threading.current_thread().name} raised: {traceback.format_exc()}")

    def start(self):
        for thread in self._threads:
            thread.start()

    def join(self):
        """What they raised, as text, when all have ended."""
        for thread in self._threads:
            thread.join()
        return self._raised
