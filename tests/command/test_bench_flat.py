"""``python -m ringpool bench --flat``: what is measured, with how much memory, and how it is shown."""

import json
import os
import subprocess

import pytest

from ringpool.bench import flat, machine
from ringpool.bench.flat import SERIES, Flatness, Point

TIMEOUT_S = 50  # a quick one takes two to four

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and pipes as POSIX has them")


def expected():
    return {(name, number) for name in SERIES for number in flat.possible(name, share=0.1)}


def test_a_quick_one_measures_every_series(start, tmp_path):
    process = start("bench", "--flat", "--quick", "--json", "report")
    out, err = process.communicate(timeout=TIMEOUT_S)
    report = json.loads((tmp_path / "report").read_text(), parse_constant=pytest.fail)

    assert (process.returncode, err) == (0, b"")
    assert {(point["series"], point["number"]) for point in report["points"]} == expected()
    for point in report["points"]:
        assert len(point["values"]) == report["turns"]
        assert all(value > 0 for value in point["values"])
        assert 0 < point["times"]["low"] <= point["times"]["median"] <= point["times"]["high"]
        assert point["series"] != "pending" or point["jobs"] == point["number"]
    shown = out.decode()
    assert all(f"\n{name}: " in shown for name in SERIES)
    assert all(f"\n    {number:,} " in shown for _, number in expected())


@pytest.mark.parametrize(
    ("free", "share", "most"),
    [
        (1 << 40, 1.0, 10_000_000),
        (None, 1.0, 1_000_000),
        (1 << 40, 0.1, 1_000_000),
        (1 << 30, 1.0, 1_000_000),
        (100_000_000, 1.0, 100_000),
    ],
)
def test_no_more_jobs_are_pending_than_memory_allows(monkeypatch, free, share, most):
    monkeypatch.setattr(machine, "free_memory", lambda: free)

    assert max(flat.possible("pending", share)) == most
    assert flat.possible("workers", share) == SERIES["workers"].numbers


def test_too_little_memory_for_any_leaves_the_fewest(monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 1)

    assert flat.possible("pending", share=1.0) == (10_000,)


def test_points_are_compared_with_the_first_of_their_series_turn_by_turn():
    """The machine was slow in the second turn, for both."""
    points = [
        Point("workers", 1, 10, [9.0, 9.0, 9.0]),
        Point("producers", 1, 10, [10.0, 30.0, 10.0]),
        Point("producers", 2, 10, [20.0, 45.0, 20.0]),
    ]

    assert vars(flat.times(points[2], points)) == {"median": 2.0, "low": 1.75, "high": 2.0}
    assert flat.block("producers", points).split("\n")[1:] == [
        "    1                         10    1.00x  (1.00x - 1.00x)",
        "    2                         20    2.00x  (1.75x - 2.00x)",
    ]


def test_its_steps_are_those_that_progress_is_told():
    """Else the percentage on a terminal would end before or after 100."""
    steps = []
    flatness = Flatness(turns=1, share=0.002)
    for _ in flatness.pieces(lambda: steps.append(1)):
        pass

    assert len(steps) == flatness.steps


@posix
def test_there_is_no_chart_of_it(start):
    status, _, err = start("bench", "--flat", "--plot", "chart.png", stdout=subprocess.DEVNULL).finish()

    assert (status, err) == (2, "ringpool: --flat has no chart: leave out --plot\n")
