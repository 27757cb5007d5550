"""
Times counted in buckets that grow with them: percentiles of any number of jobs in 7.5 KiB.

Each power of two of nanoseconds is cut into 16 buckets of equal width, so that
a bucket is at most a sixteenth of what it holds; times below 16 ns are counted
one by one. Index of a time, as C, for ns from 0 to 2**63 - 1::

    unsigned shift = 59 - __builtin_clzll(ns | 16);
    size_t index = (shift << 4) + (size_t)(ns >> shift);

``ns | 16`` has the highest bit of *ns*, and bit 4 at least: *shift* is how many
low bits go when the five highest are kept, 0 below 32. The five highest bits,
without the first, are the place among the 16; the first adds 16 to it, which
counts the bits themselves one shift on, so indexes run without a gap.

Source: the idea of HdrHistogram, in the variant with a power of two of buckets.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import islice
from typing import Self

from ringpool import checks
from ringpool.checks import shown

SUB_BUCKETS = 16  # in each power of two; the error is at most 1/16 of the time
BUCKETS = 960  # bucket_of(2**63 - 1) + 1


def bucket_of(ns: int) -> int:
    """
    Index of the bucket that counts *ns* nanoseconds: the reference of what the core computes.

    Below zero counts as zero, from 2**63 on as 2**63 - 1.
    """
    ns = min(max(ns, 0), 2**63 - 1)
    shift = (ns | SUB_BUCKETS).bit_length() - 5  # 59 - clz64(ns | 16)
    return (shift << 4) + (ns >> shift)


def lower_bound(index: int) -> int:
    """
    The least number of nanoseconds that bucket *index* counts; the greatest is lower_bound(index + 1) - 1.

    *index* is from 0 to :data:`BUCKETS`, where it is 2**63; IndexError otherwise.
    """
    if not 0 <= index <= BUCKETS:
        raise IndexError(f"index must be from 0 to {BUCKETS}, got {index}")
    shift = max((index >> 4) - 1, 0)
    return (index - (shift << 4)) << shift


class Histogram:
    """
    How often each length of time occurred; immutable.

    Args:
        counts: how many times each bucket counted, by index (:func:`bucket_of`);
            at most 960, those not given are zero.
        total_ns: the sum of all times in nanoseconds, for an exact
            :attr:`mean`; None: estimated from the buckets.

    Raises TypeError or ValueError that names the argument.

    Times come out in seconds, as everywhere in this library. Safe from any
    thread. Making one of 960 counts, or taking a percentile, costs some 50 microseconds.
    """

    __slots__ = ("_count", "_counts", "_total_ns")

    def __init__(self, counts: Sequence[int] = (), total_ns: int | None = None):
        try:
            self._counts = tuple(islice(counts, BUCKETS + 1))
        except TypeError:
            raise TypeError(f"counts must be a sequence of whole numbers, got {shown(counts)}") from None
        if len(self._counts) > BUCKETS:
            raise ValueError(f"counts must have at most {BUCKETS} numbers, got {len(self._counts)} or more")
        if set(map(type, self._counts)) - {int} or min(self._counts, default=0) < 0:
            index, number = next((i, n) for i, n in enumerate(self._counts) if type(n) is not int or n < 0)
            raise ValueError(f"counts must be whole numbers of 0 or greater, got {shown(number)} at {index}")
        self._count = sum(self._counts)
        if total_ns is not None and (type(total_ns) is not int or total_ns < 0):
            raise ValueError(f"total_ns must be a whole number of 0 or greater, or None, got {shown(total_ns)}")
        self._total_ns = total_ns

    @classmethod
    def of(cls, times_ns: Iterable[int]) -> Self:
        """One that has counted each of *times_ns*, in nanoseconds."""
        if not isinstance(times_ns, Iterable):
            raise TypeError(f"times_ns must be an iterable of whole numbers, got {shown(times_ns)}")
        counts = [0] * BUCKETS
        total = 0
        for ns in times_ns:
            if not isinstance(ns, int):
                raise TypeError(f"times_ns must be whole numbers, got {shown(ns)}")
            counts[bucket_of(ns)] += 1
            total += max(ns, 0)
        return cls(counts, total)

    def __repr__(self) -> str:
        if not self._count:
            return "<Histogram of nothing>"
        return f"<Histogram of {self._count}: median {self.percentile(50):.3g} s, 99 % {self.percentile(99):.3g} s>"

    @property
    def counts(self) -> tuple[int, ...]:
        """How many times each bucket counted; what is missing at the end is zero."""
        return self._counts

    @property
    def count(self) -> int:
        """How many times were counted."""
        return self._count

    @property
    def mean(self) -> float | None:
        """
        Mean of the times in seconds; None of none.

        Exact where the sum was given; else within 3.2 %, as if each time had
        been the middle of its bucket.
        """
        if not self._count:
            return None
        if self._total_ns is not None:
            return self._total_ns / self._count / 1e9
        twice = sum(n * (lower_bound(i) + lower_bound(i + 1) - 1) for i, n in enumerate(self._counts) if n)
        return twice / 2 / self._count / 1e9

    def percentile(self, p: float) -> float | None:
        """
        Seconds that *p* percent of the times did not exceed; None of none.

        Args:
            p: from 0 to 100, taken as the decimal number that it is written
                as: 50 is the median, 0 the shortest time, 100 the longest.

        The time of nearest rank, rounded up to the end of its bucket: never
        less than the exact one, and at most 6.25 % more.
        """
        checks.number("p", p, most=100.0)
        if not self._count:
            return None
        # In whole numbers: 99.9 / 100 * 1000 as floats is a little more than 999.
        rank = max(1, -(-Fraction(repr(float(p))) * self._count // 100))
        index = -1
        while rank > 0:
            index += 1
            rank -= self._counts[index]
        return (lower_bound(index + 1) - 1) / 1e9

    def merge(self, other: "Histogram") -> "Histogram":
        """One that has counted what this and *other* have; TypeError for what is no Histogram."""
        return self._combined("other", other, 1)

    def since(self, earlier: "Histogram") -> "Histogram":
        """
        One that has counted what this has and *earlier* has not: the times between two snapshots of one queue.

        ValueError if *earlier* has counted more than this somewhere.
        """
        return self._combined("earlier", earlier, -1)

    def _combined(self, name: str, other: "Histogram", sign: int) -> "Histogram":
        if not isinstance(other, Histogram):
            raise TypeError(f"{name} must be a Histogram, to be combined with another one, got {shown(other)}")
        size = max(len(self._counts), len(other._counts))
        mine, others = (h._counts + (0,) * (size - len(h._counts)) for h in (self, other))
        counts = [a + sign * b for a, b in zip(mine, others)]
        if min(counts, default=0) < 0:
            raise ValueError("earlier has counted times that this one has not: it is no earlier snapshot of the same")
        total = None
        if self._total_ns is not None and other._total_ns is not None:
            total = max(0, self._total_ns + sign * other._total_ns)
        return Histogram(counts, total)
