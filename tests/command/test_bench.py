"""``python -m ringpool bench``: what it measures, what it writes, and what cannot be run."""

import io
import json
import os
import signal
import subprocess
import sys

import pytest

from ringpool.bench import table, turns
from ringpool.bench.jobs import rounds_per_us
from ringpool.bench.report import Report
from ringpool.bench.rows import Row, ratio
from ringpool.bench.workloads import SWEEP, WORKLOADS
from ringpool.commands import bench as command

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals and pipes as POSIX has them")

TIMEOUT_S = 50  # a quick one takes about six


def expected():
    return {(name, measured, rival) for name, w in WORKLOADS.items() for measured in w.shown for rival in able(w)}


def able(workload):
    return turns.able(workload.rivals)


# ---- what it measures ------------------------------------------------------------------


def test_a_quick_one_measures_everything(start, tmp_path):
    process = start("bench", "--quick", "--json", "report")
    out, err = process.communicate(timeout=TIMEOUT_S)
    report = json.loads((tmp_path / "report").read_text(), parse_constant=pytest.fail)

    assert (process.returncode, err) == (0, b"")
    assert {(row["workload"], row["measured"], row["rival"]) for row in report["rows"]} == expected()
    for row in report["rows"]:
        assert len(row["values"]) == report["turns"]
        assert row["jobs"] > 0
        assert all(value > 0 for value in row["values"]) or row["measured"] == "cores"  # of a coarse clock
        compared = row["rival"] != "stdlib" and row["measured"] != "cores"
        assert (row["ratio"] is not None) == compared
        assert not compared or 0 < row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
    for key in ("ringpool", "interpreter", "gil", "cpu", "cores", "date"):
        assert report[key] not in (None, "")
    shown = out.decode()
    assert all(f"\n{name}: " in shown for name in WORKLOADS if not name.startswith("work_"))
    assert all(f"\n{us:>10} " in shown for us in SWEEP)


def test_each_rival_is_the_first_of_a_turn():
    """The first one finds the caches as the last one of another turn left them."""
    assert [turns.in_turn(("a", "b", "c"), turn) for turn in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_ratios_are_of_turns_and_not_of_medians():
    """The machine was slow in the second turn, for both."""
    theirs = Row("drain", "stdlib", "ns", 10, [20.0, 90.0, 10.0])
    ours = Row("drain", "ringpool", "ns", 10, [2.0, 30.0, 2.0])

    assert vars(ratio(ours, [theirs, ours])) == {"median": 5.0, "low": 4.0, "high": 7.5}
    assert ratio(theirs, [theirs, ours]) is None


def test_a_longer_job_is_longer():
    """The calibration holds, roughly; the no-op is no loop."""
    rounds_per_us()
    loop = {us: turns.measure(SWEEP[us], "loop", 50)["ns"] for us in (0, 10, 1000)}

    assert loop[0] * 3 < loop[10] < loop[1000] / 10


# ---- what it writes --------------------------------------------------------------------


@pytest.fixture
def report():
    """As if measured: ringpool takes 1, the others 2."""
    report = Report(turns=3, share=1.0)
    report.rows = [
        Row(name, rival, measured, 1, [1.0 if rival == "ringpool" else 2.0] * 3) for name, measured, rival in expected()
    ]
    return report


def test_tables_show_medians_and_ratios(report):
    drain = table.block("drain", report.rows).split("\n")
    assert "    ringpool                   1    2.00x  (2.00x - 2.00x)" in drain
    assert "    stdlib                     2" in drain
    assert "       0.0   2.00x" in table.sweep(report.rows)


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_chart_is_drawn_as_its_suffix_says(report, kind, start):
    pytest.importorskip("matplotlib")
    from ringpool.bench import chart

    assert chart.drawer(kind)(report).startswith(start)


def test_progress_is_for_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = {}
    for stderr in (Terminal(), io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stderr)
        progress = command.Progress(steps=4)
        progress.step()
        progress.step()
        progress.clear()
        shown[type(stderr)] = stderr and stderr.getvalue()

    assert shown == {Terminal: "\r0 %   \r\r25 %  \r\r      \r", io.StringIO: "", type(None): None}


# ---- what cannot be run ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slow"], "unrecognized arguments: --slow (see python -m ringpool bench --help)"),
        (["x"], "unrecognized arguments: x"),
        (["--json"], "argument --json: expected one argument"),
        (["--plot"], "argument --plot: expected one argument"),
        (["--json", "no/such/folder"], "cannot write 'no/such/folder': No such file or directory"),
        (["--json", "."], "cannot write '.': Is a directory"),
        (["--json", ""], "cannot write '': No such file or directory"),
    ],
)
@posix
def test_what_it_cannot_do_is_said_in_one_line_and_at_once(start, arguments, message):
    status, _, err = start("bench", *arguments, stdout=subprocess.DEVNULL).finish()

    assert status == 2
    assert err.startswith(f"ringpool: {message}")
    assert err.count("\n") == 1


@posix
def test_a_chart_without_matplotlib_is_told_how_to_get_it(start, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('no', name='matplotlib')")

    status, _, err = start("bench", "--plot", "chart.png").finish()

    assert (status, err) == (2, "ringpool: --plot needs matplotlib: python -m pip install 'ringpool[plot]'\n")


@pytest.mark.parametrize("name", ["chart", "chart.", "chart.txt"])
@posix
def test_a_chart_of_no_known_kind_is_refused(start, name):
    pytest.importorskip("matplotlib")
    status, _, err = start("bench", "--plot", name).finish()

    assert status == 2
    assert err.startswith(f"ringpool: --plot cannot draw '{name}': its suffix must be one of ")
    assert err.count("\n") == 1


@posix
def test_an_interrupt_ends_it_at_once(start):
    process = start("bench")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.stdout.read()

    assert process.finish() == (130, [], "ringpool: interrupted\n")


@posix
def test_an_interrupt_leaves_the_file_as_it_was(start, tmp_path):
    (tmp_path / "old").write_text("kept")
    for name in ("old", "new"):
        process = start("bench", "--quick", "--json", name)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.finish()[0] == 130
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old": "kept"}


@posix
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is full")
def test_a_stdout_that_is_full_is_told(start):
    with open("/dev/full", "wb") as full:
        process = start("bench", "--quick", stdout=full)
        assert process.finish() == (2, [], "ringpool: cannot write to stdout: No space left on device\n")


@posix
def test_a_stdout_that_is_closed_ends_it(start):
    process = start("bench", "--quick")
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None

    assert process.finish() == (141, [], "")


@posix
def test_a_stdout_that_was_closed_before_is_told_at_once(start):
    assert start("bench", closed=1).finish() == (2, [], "ringpool: cannot write to stdout: it is closed\n")
