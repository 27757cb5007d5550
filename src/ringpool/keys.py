"""A number for each key that is in use: the core tells keys apart by numbers, and a hash may be that of several."""

import itertools
from _weakref import _remove_dead_weakref  # type: ignore[attr-defined]  # what WeakValueDictionary is made of
from collections.abc import Hashable
from weakref import ref


class KeyNumber:
    """What the jobs of one key have in common; each keeps it until it cannot run any more."""

    __slots__ = ("__weakref__", "value")

    _next = itertools.count().__next__

    def __init__(self) -> None:
        self.value = self._next()


class Keys:
    """
    The numbers of the keys of one queue, equal keys being one, as in a dict.

    Safe from any thread, signal handler and destructor, without a lock: each
    step is one operation of a dict, and what is removed is only ever a dead one.
    """

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[Hashable, ref[KeyNumber]] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, key: Hashable) -> KeyNumber:
        """Of *key*: the same for as long as somebody keeps it. What comparing keys raises comes out of here."""
        numbers = self._numbers
        known = numbers.get(key)
        found = None if known is None else known()
        while found is None:
            new = KeyNumber()
            reference = ref(new, _Removal(numbers, key))
            found = numbers.setdefault(key, reference)()
            if found is None:
                _remove_dead_weakref(numbers, key)  # about to be removed by who let go of it
        return found


class _Removal:
    __slots__ = ("key", "numbers")

    def __init__(self, numbers, key):
        self.numbers = numbers
        self.key = key

    def __call__(self, reference):
        _remove_dead_weakref(self.numbers, self.key)
