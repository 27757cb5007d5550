"""All workloads, once: as text piece by piece, and then as a whole."""

from ringpool.bench import machine, table
from ringpool.bench.rows import as_json
from ringpool.bench.turns import play, steps
from ringpool.bench.workloads import SWEEP, WORKERS, WORKLOADS, length_name


class Report:
    """*turns* turns, each with a *share* of every workload's jobs."""

    def __init__(self, turns, share):
        self.facts = machine.facts()
        self.rows = []
        self.steps = steps(WORKLOADS, turns)
        self._turns = turns
        self._share = share

    def pieces(self, step):
        """Measure, and yield the tables as they are ready; *step* is called before each of the *steps*."""
        yield table.heading(self.facts, self._turns)
        swept = {length_name(us) for us in SWEEP}
        for name in WORKLOADS:
            self.rows += play(name, self._turns, self._share, step)
            if name not in swept:
                yield table.block(name, self.rows)
        yield table.sweep(self.rows)

    def as_json(self):
        """What JSON can express of it, which is all."""
        return {
            **self.facts,
            "workers": WORKERS,
            "turns": self._turns,
            "share": self._share,
            "rows": [as_json(row, self.rows) for row in self.rows],
        }
