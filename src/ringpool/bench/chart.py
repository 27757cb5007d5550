"""The rows as a picture."""

import io

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ringpool.bench import machine
from ringpool.bench.rivals import REFERENCE
from ringpool.bench.rows import find, ratio
from ringpool.bench.workloads import SWEEP, length_name

INCHES = (10, 4.8)
DPI = 160

# Okabe and Ito's colours, told apart by the colour-blind, and a marker for who prints in grey.
STYLES = {
    "ringpool": ("#0072B2", "o"),
    "WorkerQueue": ("#56B4E9", "D"),
    REFERENCE: ("#D55E00", "s"),
    "ThreadPool": ("#009E73", "^"),
    "joblib": ("#CC79A7", "v"),
    "loop": ("#000000", ""),
}
BARS = ("ringpool", "WorkerQueue", "ThreadPool")
BARRED = (  # a workload, a measure of it, and its name in the picture
    ("submit_result", "ns", "submit, result"),
    ("drain", "ns", "submit, shutdown"),
    ("four_producers", "ns", "four producers"),
    ("map", "ns", "map"),
    ("gather", "ns", "gather"),
    ("memory_pending", "bytes", "memory of a job"),
    ("ping_pong", "ns", "submit, wait, repeat"),
    ("wake", "p50", "wake-up, median"),
    ("wake", "p99", "wake-up, 99 %"),
)


def drawer(kind):
    """A function of a Report that returns its picture; ValueError: there is no such *kind* of picture."""
    kinds = Figure().canvas.get_supported_filetypes()
    if kind not in kinds:
        raise ValueError(f"its suffix must be one of {', '.join(sorted(kinds))}")
    return lambda report: picture(report, kind)


def picture(report, kind):
    figure = Figure(figsize=INCHES, dpi=DPI, layout="constrained")
    facts = report.facts
    figure.suptitle(f"ringpool {facts['ringpool']}, {facts['date'][:10]}\n{machine.line(facts)}", fontsize=10)
    lengths, bars = figure.subplots(1, 2)
    draw_lengths(lengths, report.rows)
    draw_bars(bars, report.rows)
    content = io.BytesIO()
    figure.savefig(content, format=kind)
    return content.getvalue()


def draw_lengths(axes, rows):
    """A line for each rival: time for each job over the job's length."""
    axes.set_title("Time for each job of pure Python", fontsize=10)
    for rival, (colour, marker) in STYLES.items():
        times = [find(rows, length_name(us), rival, "ns") for us in SWEEP]
        if all(times):
            name = "no pool" if rival == "loop" else rival
            style = "--" if rival == "loop" else "-"
            us = [row.median / 1000 for row in times]
            axes.plot(list(SWEEP), us, style, color=colour, marker=marker, markersize=5, label=name)
    axes.set_xscale("symlog", linthresh=1)  # so that there is a place for 0
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda us, _: f"{us:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda us, _: f"{us:g}"))
    axes.set_xlabel("length of the job, µs")
    axes.set_ylabel("µs a job")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)


def draw_bars(axes, rows):
    """A bar for each rival: how many times less than the reference."""
    axes.set_title(f"How many times less than {REFERENCE} (no-op jobs)", fontsize=10)
    height = 0.8 / len(BARS)
    for place, rival in enumerate(BARS):
        found = [find(rows, workload, rival, measured) for workload, measured, _ in BARRED]
        heights = [y + (place - (len(BARS) - 1) / 2) * height for y, row in enumerate(found) if row]
        ratios = [ratio(row, rows) for row in found if row]
        medians = [each.median for each in ratios]
        spread = [[each.median - each.low for each in ratios], [each.high - each.median for each in ratios]]
        # From 1, where there is no difference, to either side.
        axes.barh(
            heights,
            [median - 1 for median in medians],
            height,
            left=1,
            xerr=spread,
            color=STYLES[rival][0],
            ecolor="#666666",
            error_kw={"elinewidth": 1},
            label=rival,
        )
        if rival == "ringpool":
            for y, each in zip(heights, ratios):
                axes.annotate(
                    f"{each.median:.{0 if each.median >= 10 else 1}f}",
                    (max(each.high, 1), y),
                    (4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=9,
                )
    axes.set_xscale("log")
    axes.margins(x=0.1)  # for the numbers beside the bars
    axes.axvline(1, color="#000000", linewidth=1)
    axes.set_yticks(range(len(BARRED)), [name for _, _, name in BARRED], fontsize=9)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(FuncFormatter(lambda times, _: f"{times:g}"))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=9, loc="lower right")
