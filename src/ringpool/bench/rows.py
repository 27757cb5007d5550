"""What was measured, and what may be said of it."""

import statistics
from dataclasses import dataclass

from ringpool.bench.rivals import REFERENCE


@dataclass(frozen=True)
class Row:
    """What *rival* has reached in *workload*: a value for each turn."""

    workload: str
    rival: str
    measured: str  # one of UNITS
    jobs: int
    values: list[float]

    @property
    def median(self):
        return statistics.median(self.values)


UNITS = {
    "ns": "ns a job",
    "p50": "ns, median",
    "p99": "ns, 99th percentile",
    "bytes": "bytes a job",
    "cores": "processor time over wall time",
}


@dataclass(frozen=True)
class Ratio:
    """Median and quartiles of the turns' ratios; of a Row: how many times less than the reference it takes."""

    median: float
    low: float
    high: float


def ratio(row, rows):
    """The Ratio of *row* to the reference's among *rows*; None: there is none, or it is the reference's own."""
    if row.rival == REFERENCE or row.measured == "cores":
        return None
    reference = find(rows, row.workload, REFERENCE, row.measured)
    if reference is None:
        return None
    return ratio_of(reference.values, row.values)


def ratio_of(values, others):
    """The Ratio of *values* to *others*, turn by turn."""
    ratios = [value / other for value, other in zip(values, others, strict=True)]
    if len(ratios) == 1:
        return Ratio(*ratios * 3)
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(statistics.median(ratios), low, high)


def find(rows, workload, rival, measured):
    for row in rows:
        if (row.workload, row.rival, row.measured) == (workload, rival, measured):
            return row
    return None


def as_json(row, rows):
    """*row* as what JSON can express, with its Ratio and the values it comes from."""
    compared = ratio(row, rows)
    return {
        "workload": row.workload,
        "rival": row.rival,
        "measured": row.measured,
        "jobs": row.jobs,
        "median": row.median,
        "ratio": compared and vars(compared),
        "values": row.values,
    }
