"""``python -m ringpool run``: how a run ends before its input does."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ringpool import WorkerQueue
from ringpool.commands import output, source
from ringpool.commands import run as command

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and pipes as POSIX has them")

TIMEOUT_S = 30


@pytest.mark.parametrize(("signum", "status", "how"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
@pytest.mark.parametrize("order", [[], ["--ordered"]], ids=["any order", "ordered"])
def test_a_signal_finishes_what_runs_and_counts_what_does_not(start, signum, status, how, order):
    """Two run, one of them to fail; three are queued; the seventh line was not accepted; the input is open."""
    process = start("run", "jobs:obedient", "--workers", "2", "--capacity", "3", *order)
    process.feed(b"good\nfail\nx\ny\nz\n")
    process.expect("imported", "full", "full")

    process.send_signal(getattr(signal, signum))
    code, lines, err = process.finish()

    assert code == status
    assert sorted((line["input"], line["ok"]) for line in lines) == [("fail", False), ("good", True)]
    assert err == f"told\ntold\nringpool: {how}: 2 done, 1 of them failed; 3 accepted lines not done\n"


def test_ordered_results_behind_a_cancelled_line_are_written_at_the_end():
    """A worker may take a line after one that a stop has taken to cancel it."""
    written = []
    order = output.InOrder(written.append, window=4)
    for index in (0, 3, 2):
        order.put(index, index)
    assert written == [0]
    order.put_rest()
    assert written == [0, 2, 3]


def test_a_signal_ends_a_run_that_waits_for_input(start):
    process = start("run", "builtins:len")
    process.feed(b"x\n")
    process.stdout.readline()

    process.send_signal(signal.SIGINT)

    assert process.finish() == (130, [], "ringpool: interrupted: 1 done, 0 of them failed; 0 accepted lines not done\n")


@pytest.mark.parametrize("window", [0, 4], ids=["any order", "ordered"])
def test_a_stopped_run_ends_its_wait_for_input(tmp_path, window):
    def job(index, line):
        run._stop()
        return index, "{}"

    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as file, open(theirs, "wb") as writer, open(tmp_path / "output", "wb") as out:
        run = command.Run(WorkerQueue(1, 2), job, source.Source(file), out.fileno(), window)
        writer.write(b"x\n")
        writer.flush()
        run.run()
        assert not threads_named("feed")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is full")
def test_an_output_that_breaks_ends_the_wait_for_room():
    """The line that could not be written is never done with, and makes none."""

    def job(index, line):
        return index, "x" * output.WRITE_BYTES

    with open(os.devnull, "rb", buffering=0) as file, open("/dev/full", "wb") as out:
        lines = source.Source(file)
        lines.lines = lambda: itertools.repeat("x")
        run = command.Run(WorkerQueue(1, 2), job, lines, out.fileno(), window=1)
        assert run.run() == 2
        assert not threads_named("feed")


def threads_named(name):
    return [thread for thread in threading.enumerate() if thread.name == name]


@pytest.mark.parametrize(("first", "second", "status"), [("SIGINT", "SIGINT", 130), ("SIGINT", "SIGTERM", 143)])
def test_a_second_signal_ends_a_run_whose_call_hangs(start, first, second, status):
    process = start("run", "jobs:stuck")
    process.feed(b"x\n")
    process.expect("imported", "running x")

    process.send_signal(getattr(signal, first))
    process.expect("told")
    while process.poll() is None:  # more than once, since two that come together count as one
        process.send_signal(getattr(signal, second))
        time.sleep(command.SAME_SIGNAL_S / 2)

    assert process.finish() == (status, [], "")


def test_a_signal_that_is_sent_twice_counts_once(monkeypatch):
    """``timeout`` sends to the process and to its group."""
    exits, now = [], 100.0
    monkeypatch.setattr(os, "_exit", exits.append)
    monkeypatch.setattr(command.time, "monotonic", lambda: now)
    run = command.Run(WorkerQueue(1, 1), len, source.Source(None), 1, 0)

    run.on_signal(signal.SIGTERM, None)
    now += command.SAME_SIGNAL_S / 2
    run.on_signal(signal.SIGTERM, None)
    assert exits == []
    now += command.SAME_SIGNAL_S
    run.on_signal(signal.SIGTERM, None)
    assert exits == [143]


def test_an_ignored_signal_stays_ignored(start):
    """As for what a shell has put into the background."""
    process = start("run", "jobs:say", ignored=[signal.SIGINT])
    process.feed(b"x\n")
    process.expect("imported", "running x")
    process.stdout.readline()

    process.send_signal(signal.SIGINT)
    status, lines, err = process.finish(b"y\n")

    assert (status, [line["input"] for line in lines], err) == (0, ["y"], "running y\n")


@contextlib.contextmanager
def endless(first, others):
    """A pipe with lines without end."""
    source = f"print({first!r})\nwhile True: print({others!r})"
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.stdout
        finally:
            process.kill()


@pytest.mark.parametrize("order", [[], ["--ordered"]], ids=["any order", "ordered"])
def test_a_stdout_that_is_closed_ends_an_endless_run(start, order):
    """As ``head -1`` does it."""
    with endless("1", "1") as lines:
        process = start("run", "builtins:int", *order, stdin=lines)
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None

        assert process.finish() == (141, [], "")


def test_a_stdout_that_is_closed_ends_a_run_whose_call_hangs(start):
    with endless("released.wait()", "1") as lines:
        process = start("run", "jobs:value", stdin=lines)
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None

        assert process.finish() == (141, [], "imported\n")
