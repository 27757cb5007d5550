"""What holds for a whole round: how often threads switch, and who hears what goes wrong where nobody can catch it."""

import contextlib
import logging
import sys
import threading


@contextlib.contextmanager
def switching(seconds):
    """Threads take turns after *seconds*; None: as usual."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual if seconds is None else seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class Alarms(logging.Handler):
    """While entered, *heard* has what was logged, or raised where nobody could catch it."""

    EXPECTED = ("nobody looked at its error", "has been running")  # what the rounds mean to happen

    def __init__(self):
        super().__init__()
        self.heard: list[str] = []
        self._loggers = [logging.getLogger(name) for name in ("ringpool", "concurrent.futures")]

    def emit(self, record):
        text = record.getMessage()
        if not any(part in text for part in self.EXPECTED):
            self.heard.append(f"logged: {text} {record.exc_info[1]!r}" if record.exc_info else f"logged: {text}")

    def __enter__(self):
        self._usual = (threading.excepthook, sys.unraisablehook)
        threading.excepthook = lambda args: self.heard.append(f"raised in a thread: {args.exc_value!r}")
        sys.unraisablehook = lambda args: self.heard.append(f"unraisable: {args.exc_value!r} in {args.object!r}")
        for logger in self._loggers:
            logger.addHandler(self)
            logger.propagate = False
        return self

    def __exit__(self, *exception):
        threading.excepthook, sys.unraisablehook = self._usual
        for logger in self._loggers:
            logger.removeHandler(self)
            logger.propagate = True
