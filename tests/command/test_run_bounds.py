"""``python -m ringpool run``: nothing grows with the input, whoever is slow."""

import contextlib
import io
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from ringpool.commands import output, source

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes and files as POSIX has them")

TIMEOUT_S = 30
A_WHILE_S = 0.3  # in which what must not happen would have happened

WORKERS, CAPACITY = 4, 6
SMALL = ["--workers", str(WORKERS), "--capacity", str(CAPACITY)]
HELD = 2 * (WORKERS + CAPACITY)


def test_one_slow_line_holds_back_a_bounded_number_of_ordered_results(run):
    """The first line counts how many others are started until there are no more."""
    text = "\n".join(map(str, range(5000))).encode()

    status, lines, _ = run("jobs:first_counts", "--ordered", *SMALL, text=text)

    assert status == 0
    assert lines[0]["result"] == HELD
    assert [line["input"] for line in lines] == text.decode().split("\n")


@pytest.mark.parametrize("order", [[], ["--ordered"]], ids=["any order", "ordered"])
def test_results_that_nobody_reads_hold_back_the_calls(start, tmp_path, order):
    """What fits is in the pipe, in one write, and in the queue."""
    (tmp_path / "input").write_bytes(b"line\n" * 5000)
    process = start("run", "jobs:bulky", "input", *SMALL, *order, stdin=subprocess.DEVNULL)
    process.expect("imported")
    word, count = process.stderr.readline().split()
    status, lines, _ = process.finish()

    pipe = 2 * 65536  # at least 1000 bytes a line; not all systems have pipes of the same size
    assert word == b"standstill"
    assert int(count) <= (pipe + output.WRITE_BYTES) / 1000 + HELD + WORKERS
    assert (status, len(lines)) == (0, 5000)


@pytest.mark.parametrize("order", [[], ["--ordered"]], ids=["any order", "ordered"])
def test_the_input_is_read_as_fast_as_the_queue_takes_it(start, tmp_path, order):
    """The child's place in the file is also the test's."""
    length = 10_000
    (tmp_path / "input").write_bytes((b"x" * (length - 1) + b"\n") * 1000)
    with open(tmp_path / "input", "rb", buffering=0) as stdin:
        process = start("run", "jobs:obedient", *SMALL, *order, stdin=stdin)
        process.expect("imported", *["full"] * WORKERS)
        time.sleep(A_WHILE_S)
        read = os.lseek(stdin.fileno(), 0, os.SEEK_CUR)
        process.send_signal(signal.SIGTERM)
        process.finish()

    assert read <= (WORKERS + CAPACITY + 1) * length + 2 * source.READ_BYTES


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs to know the memory's peak")
@pytest.mark.parametrize("order", [[], ["--ordered"]], ids=["any order", "ordered"])
def test_memory_does_not_grow_with_the_input(run, tmp_path, order):
    """100 MB go in and out; kB at the first line and at the last."""
    with open(tmp_path / "input", "wb") as file:
        file.write(b"peak\n")
        for _ in range(100):
            file.write((b"x" * 9_999 + b"\n") * 100)
        file.write(b"peak\n")

    status, _, err = run("jobs:peak", "input", *SMALL, *order, stdout=subprocess.DEVNULL)

    before, after = map(int, err.split()[1:])
    assert status == 0
    assert after - before < 10_000


def test_a_writer_that_never_catches_up_writes_all_the_same(tmp_path):
    """There may always be another result ready."""
    with open(tmp_path / "output", "wb") as file:
        writer = output.Output(file.fileno(), contextlib.nullcontext)
        for _ in range(2 * output.WRITE_BYTES // 1000):
            writer.put("x" * 1000)

    assert os.path.getsize(tmp_path / "output") >= output.WRITE_BYTES


def test_an_input_that_somebody_else_has_read_is_waited_for():
    class Shared(io.FileIO):
        reads = [None, 3, 0, 0]

        def readinto(self, buffer):
            buffer[:3] = b"abc"
            return self.reads.pop(0)

    ours, theirs = os.pipe()
    os.close(theirs)
    with Shared(ours) as file:
        assert list(source.Source(file).lines()) == ["abc"]


def test_streams_that_do_not_block_are_waited_for(start):
    """Whoever shares them may have set them so."""
    (their_stdin, stdin), (stdout, their_stdout) = os.pipe(), os.pipe()
    for fd in (their_stdin, their_stdout):
        os.set_blocking(fd, False)
    process = start("run", "builtins:str", stdin=their_stdin, stdout=their_stdout)
    os.close(their_stdin)
    os.close(their_stdout)
    with open(stdin, "wb") as writer, open(stdout, "rb") as reader:
        writer.write(b"x\n")
        writer.flush()
        assert json.loads(reader.readline())["result"] == "x"
        feeder = threading.Thread(target=lambda: (writer.write(b"line\n" * 50_000), writer.close()))
        feeder.start()
        time.sleep(A_WHILE_S)
        lines = reader.read().splitlines()
        feeder.join(TIMEOUT_S)

    assert len(lines) == 50_000
    assert process.finish() == (0, [], "")
