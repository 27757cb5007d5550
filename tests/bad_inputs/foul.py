"""What one may be given in the place of an argument, for the tables of this directory."""

import math
from decimal import Decimal
from fractions import Fraction


class Wrong(Exception):
    """What the objects in here raise: it comes out as it is."""


def _raise(self, *args):
    raise Wrong("from an argument")


class Foul:
    """Raises whatever it is asked for."""

    __hash__ = __eq__ = __lt__ = __gt__ = __bool__ = __float__ = __index__ = __iter__ = __len__ = __getitem__ = _raise

    def __repr__(self):
        return "<Foul>"


class Unspeakable:
    """Is nothing that anybody asks for, and cannot even be shown."""

    __hash__ = None

    def __repr__(self):
        raise Wrong("from repr()")


class AlwaysEqual(str):
    """A str that equals everything."""

    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


class Text(str):
    """A subclass is no other than its base."""


class Yields:
    """Says that it is iterable, and is not."""

    def __iter__(self):
        return 5


async def coroutine(*args):
    """Nobody awaits this one."""


class Asynchronous:
    """An object to be called, and what that returns to be awaited."""

    async def __call__(self, *args):
        """Nobody awaits this one either."""


def raises_after(n):
    """An iterable of so many items and then Wrong."""
    yield from range(n)
    raise Wrong("from an iterable")


TOO_LONG = 10**5000  # more digits than Python turns into text

# Not a whole number, and what is raised for it.
NOT_WHOLE = {
    "None": (None, TypeError),
    "str": ("4", TypeError),
    "bytes": (b"4", TypeError),
    "Text": (Text("4"), TypeError),
    "float": (1.5, TypeError),
    "whole float": (4.0, TypeError),
    "nan": (math.nan, ValueError),
    "inf": (math.inf, TypeError),
    "Decimal": (Decimal(2), TypeError),
    "list": ([1], TypeError),
    "class": (int, TypeError),
    "complex": (1j, TypeError),
    "unspeakable": (Unspeakable(), TypeError),
    "-1": (-1, ValueError),
    "2**31": (2**31, ValueError),
    "2**63": (2**63, ValueError),
    "10**400": (10**400, ValueError),
    "10**5000": (TOO_LONG, ValueError),
    "-10**5000": (-TOO_LONG, ValueError),
    "million": ((0,) * 1_000_000, TypeError),
    "foul": (Foul(), Wrong),
}

# Not a number of seconds.
NOT_SECONDS = {
    "str": ("1", TypeError),
    "bytes": (b"1", TypeError),
    "bytearray": (bytearray(b"1"), TypeError),
    "Text": (Text("1"), TypeError),
    "nan": (math.nan, ValueError),
    "Decimal nan": (Decimal("nan"), ValueError),
    "complex": (1j, TypeError),
    "list": ([1], TypeError),
    "class": (float, TypeError),
    "unspeakable": (Unspeakable(), TypeError),
    "million": ((0,) * 1_000_000, TypeError),
    "foul": (Foul(), Wrong),
}
BELOW_ZERO = {
    "-1": (-1, ValueError),
    "-1e-9": (-1e-9, ValueError),
    "-inf": (-math.inf, ValueError),
    "-10**5000": (-TOO_LONG, ValueError),
    "Fraction": (Fraction(-1, 3), ValueError),
}
# Where neither infinity nor None says something.
NOT_FINITE = {
    "None": (None, TypeError),
    "bool": (True, TypeError),
    "inf": (math.inf, ValueError),
    "1e300": (1e300, ValueError),
    "10**5000": (TOO_LONG, ValueError),
}
NOT_CALLABLE = {
    "int": (5, TypeError),
    "str": ("print", TypeError),
    "False": (False, TypeError),
    "list": ([], TypeError),
    "unspeakable": (Unspeakable(), TypeError),
}
TO_BE_AWAITED = {"coroutine": (coroutine, TypeError), "asynchronous": (Asynchronous(), TypeError)}


def rows(call, argument, values, words=None):
    """A row for each of *values*: call(queue, value) raises its error, which names *argument*."""
    return {
        f"{argument}={name}": (
            lambda live, value=value: call(live, value),
            error,
            "" if error is Wrong else words or f"{argument} must",
        )
        for name, (value, error) in values.items()
    }
