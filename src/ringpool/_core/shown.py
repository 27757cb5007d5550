"""What an error says of a value that was refused: its repr, but short, and of a value that has none as well."""

import reprlib
from typing import Any

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 200
_short.maxlong = 60
_short.maxtuple = _short.maxlist = _short.maxdict = 10


def shown(value: Any) -> str:
    """*value* for a message: whatever it is, this takes no time to speak of and raises nothing of its own."""
    try:
        return _short.repr(value)
    except Exception:  # an int of more digits than Python writes, a class that only looks like a list
        return f"<{type(value).__name__}>"
