"""``python -m ringpool run``: what a terminal shows of it."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")


def test_progress_is_rewritten_in_place_and_not_too_often(start, terminal):
    start_s = time.monotonic()
    process = start("run", "jobs:nap", "--workers", "1", stderr=terminal.theirs, stdout=subprocess.DEVNULL)
    os.close(terminal.theirs)
    process.feed(b"0.001\n" * 500 + b"x\n")
    process.stdin.close()
    terminal.read()
    seconds = time.monotonic() - start_s

    imported, last = terminal.rows()
    drawn = re.findall(r"(?<=\r)(\d+) done, (\d+) failed, \d+/s", terminal.text)
    assert re.fullmatch(r"501 done, 1 failed, \d+/s", last)
    assert drawn == sorted(drawn, key=lambda each: int(each[0]))
    assert 3 <= len(drawn) <= 10 * seconds + 2


def test_results_and_progress_share_a_terminal(start, terminal):
    process = start("run", "jobs:nap", "--ordered", stderr=terminal.theirs, stdout=terminal.theirs)
    os.close(terminal.theirs)
    process.feed(b"0.12\n" * 20)
    process.stdin.close()
    terminal.read()

    imported, *lines, last = terminal.rows()
    assert re.fullmatch(r"20 done, 0 failed, \d+/s", last)
    assert [json.loads(line)["input"] for line in lines] == ["0.12"] * 20


def test_the_terminal_tells_what_a_stop_waits_for(start, terminal):
    process = start("run", "jobs:stuck", stderr=terminal.theirs)
    os.close(terminal.theirs)
    process.feed(b"x\ny\n")
    terminal.read(until="running x")
    terminal.read(until="running y")
    process.send_signal(signal.SIGINT)

    terminal.read(until="2 to finish, unless interrupted again")
