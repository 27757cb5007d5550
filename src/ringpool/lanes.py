"""Lanes: several queues in one, that share its workers."""

from dataclasses import dataclass

from ringpool import checks
from ringpool.checks import shown


@dataclass(frozen=True, slots=True)
class Lane:
    """
    A share of a queue's workers.

    Args:
        max_workers: jobs of this lane that run at a time, at the most; None:
            as many as there are workers.
        reserve: workers kept free for this lane while fewer of its jobs run; a
            queue must have one more than all of its lanes reserve, unless each
            reserves some.
        weight: among lanes that could start a job, this one's share of the
            starts; greater than 0.
    """

    max_workers: int | None = None
    reserve: int = 0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.max_workers is not None:
            object.__setattr__(self, "max_workers", checks.whole_number("max_workers", self.max_workers, least=1))
        object.__setattr__(self, "reserve", checks.whole_number("reserve", self.reserve, least=0))
        if isinstance(self.weight, bool) or not isinstance(self.weight, (int, float)):
            raise TypeError(f"weight must be a number, got {shown(self.weight)}")
        if not 0.001 <= self.weight <= 1000:
            raise ValueError(f"weight must be from 0.001 to 1000, got {shown(self.weight)}")
        if self.max_workers is not None and self.reserve > self.max_workers:
            raise ValueError(f"reserve must be at most max_workers ({self.max_workers}), got {self.reserve}")


MOST = 2**32 - 1


def as_tuples(lanes: dict[str | None, Lane]) -> list[tuple[int, int, float]]:
    """What the core wants to know of each."""
    return [
        (MOST if lane.max_workers is None else lane.max_workers, lane.reserve, lane.weight) for lane in lanes.values()
    ]
