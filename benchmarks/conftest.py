"""Turns as pytest runs them, and the table at the end: see ringpool.bench.turns."""

import functools
from collections import defaultdict

import pytest

import designs
from ringpool.bench import machine, table, turns
from ringpool.bench.rows import Row
from ringpool.bench.workloads import SWEEP, WORKLOADS, length_name

TURNS = 7


def takers(name):
    """Who takes part in the workload *name*."""
    return (*WORKLOADS[name].rivals, *(designs.DESIGNS if name == "submit_result" else ()))


def pytest_generate_tests(metafunc):
    if "rival" in metafunc.fixturenames:
        plays = [(n, turn, r) for n in WORKLOADS for turn in range(TURNS) for r in turns.in_turn(takers(n), turn)]
        metafunc.parametrize(("name", "turn", "rival"), plays)


@pytest.fixture(scope="session")
def go(tmp_path_factory):
    """``go()``: the program of the Go designs; skips the test where there is no Go."""
    build = functools.cache(lambda: designs.build(tmp_path_factory.mktemp("go")))

    def program():
        return build() or pytest.skip("go is not on PATH")

    return program


def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    rows = complete(session.benchmarks) if session is not None else []
    if not rows:
        return
    terminalreporter.section("ringpool and its rivals")
    terminalreporter.line(table.heading(machine.facts(), TURNS))
    for design, explained in designs.EXPLAINED.items():
        terminalreporter.line(f"{design:16}{explained}")
    names = dict.fromkeys(row.workload for row in rows)
    swept = {length_name(us) for us in SWEEP}
    pieces = [table.block(name, rows) for name in names if name not in swept]
    if swept & names.keys():
        pieces.append(table.sweep(rows))
    for piece in pieces:
        terminalreporter.line("")
        terminalreporter.line(piece)


def complete(benchmarks):
    """A row for each measure that has been taken in every turn."""
    values = defaultdict(list)
    for bench in benchmarks:
        info = bench.extra_info
        if not bench.has_error and "measures" in info:
            for measured, value in info["measures"].items():
                values[info["name"], measured, info["rival"]].append(value)
    return [
        Row(name, rival, measured, workload.count, values[name, measured, rival])
        for name, workload in WORKLOADS.items()
        for measured in workload.shown
        for rival in takers(name)
        if len(values[name, measured, rival]) == TURNS
    ]
