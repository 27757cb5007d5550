"""
Interleaving, and the table at the end.

Timings drift on a shared machine, so no rival gets a block of time of its own:
every benchmark runs in TURNS turns, and in each turn every rival runs once.
The table shows the median over the turns and the median of the ratios of one
turn, which is what may be quoted.
"""

import contextvars
import platform
import statistics
import sys
from collections import defaultdict

import pytest

from rivals import RIVALS

TURNS = 7


def pytest_generate_tests(metafunc):
    if "rival" in metafunc.fixturenames:
        metafunc.parametrize(("turn", "rival"), [(t, r) for t in range(TURNS) for r in RIVALS])


@pytest.fixture
def measure(request, benchmark, turn, rival):
    """``measure(fn, jobs)``: time ``fn(executor_class)`` once a round, and report it as time for each of *jobs*."""

    def run(fn, jobs, rounds=3):
        benchmark.group = request.function.__name__.removeprefix("bench_")
        benchmark.extra_info["rival"] = rival
        benchmark.extra_info["jobs"] = jobs
        # An empty context, which a plain program has and pytest has not.
        call = contextvars.Context().run
        benchmark.pedantic(call, args=(fn, RIVALS[rival]), rounds=rounds, warmup_rounds=1)

    return run


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    if session is None or not session.benchmarks:
        return
    times = defaultdict(lambda: defaultdict(list))
    for bench in session.benchmarks:
        info = bench.extra_info
        if "jobs" in info and not bench.has_error:
            times[bench.group][info["rival"]].append(bench.stats.median / info["jobs"] * 1e9)
    gil = "GIL" if getattr(sys, "_is_gil_enabled", lambda: True)() else "no GIL"
    terminalreporter.section(f"ns per job, median of {TURNS} interleaved turns")
    terminalreporter.line(f"CPython {platform.python_version()} ({gil}), {platform.machine()}")
    for group, rivals in times.items():
        ours = rivals.pop("ringpool")
        line = f"{group:24} ringpool {statistics.median(ours):10,.0f}"
        for rival, theirs in rivals.items():
            ratio = statistics.median(t / o for o, t in zip(ours, theirs, strict=True))
            line += f"   {rival} {statistics.median(theirs):10,.0f}   ratio {ratio:6.1f}"
        terminalreporter.line(line)
