"""The rows as text."""

from ringpool.bench import machine
from ringpool.bench.rivals import REFERENCE, RIVALS
from ringpool.bench.rows import UNITS, find, ratio
from ringpool.bench.workloads import SWEEP, WORKERS, WORKLOADS, length_name

BUSY_US = (10, 1000)  # lengths for which the table shows how busy the cores were


def heading(facts, turns):
    """Where and how it was measured, and who takes part."""
    lines = [
        f"ringpool {facts['ringpool']}, {facts['date']}, load before: {facts['load']}",
        machine.line(facts),
        f"{WORKERS} workers; median of {turns} interleaved turns; 2.0x: half of what {REFERENCE} takes, median of the "
        "turns' ratios (quartiles)",
        "",
    ]
    for name, rival in RIVALS.items():
        why = rival.missing()
        lines.append(f"{name:16}{rival.explained}{f' - not measured: {why}' if why else ''}")
    return "\n".join(lines)


def block(name, rows):
    """The table of one workload."""
    workload = WORKLOADS[name]
    lines = [f"{name}: {workload.explained}"]
    for measured in workload.shown:
        lines.append(f"  {UNITS[measured]}")
        for row in rows:
            if (row.workload, row.measured) == (name, measured):
                digits = 2 if measured == "cores" else 0
                lines.append(f"    {row.rival:16}{row.median:12,.{digits}f}{compared(row, rows)}")
    return "\n".join(lines)


def compared(row, rows):
    its = ratio(row, rows)
    return "" if its is None else f"{shown(its.median):>9}  ({shown(its.low)} - {shown(its.high)})"


def shown(number):
    """Three digits are as many as can be trusted."""
    return f"{number:.{0 if number >= 100 else 1 if number >= 10 else 2}f}x"


def sweep(rows):
    """The table of time by job length."""
    names = {length_name(us): us for us in SWEEP}
    rivals = list(dict.fromkeys(row.rival for row in rows if row.workload in names))
    lines = [
        "work: pure Python jobs of this length in us: submit them, then result() of each",
        "  us a job",
        f"  {'':>8}" + "".join(f"{rival:>18}" for rival in rivals),
    ]
    for name, us in names.items():
        lines.append(f"  {us:>8}" + "".join(sweep_cell(find(rows, name, rival, "ns"), rows) for rival in rivals))
    lines.append(f"  {UNITS['cores']}")
    for us in BUSY_US:
        busy = [find(rows, length_name(us), rival, "cores") for rival in rivals]
        lines.append(f"  {us:>8}" + "".join(f"{row.median:10.2f}{'':8}" if row else " " * 18 for row in busy))
    return "\n".join(line.rstrip() for line in lines)


def sweep_cell(row, rows):
    if row is None:
        return " " * 18
    its = ratio(row, rows)
    return f"{row.median / 1000:10,.1f}{'' if its is None else shown(its.median):>8}"
