"""How a command says that it cannot do what it was asked for."""

import contextlib
import sys


class CannotRun(Exception):
    """Why not, for the user."""


def say(message):
    """One line on stderr, if there is anybody to read it."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            print("ringpool:", " ".join(str(message).split()), file=sys.stderr, flush=True)


def message_of(error):
    """The message of any exception, also of one that cannot say it."""
    try:
        return str(error)
    except BaseException as another:
        return f"(its message raised {type(another).__name__})"


def reason_of(error):
    """The same, as the system says it where it does."""
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {message_of(error)}"
