"""``python -m ringpool bench``: ringpool and its rivals, measured on this machine."""

import argparse
import contextlib
import json
import os
import signal
import sys

from ringpool.commands.run import STATUS_CANNOT_RUN, STATUS_SIGNAL, STATUS_STDOUT_CLOSED
from ringpool.commands.trouble import CannotRun, reason_of, say

DESCRIPTION = """\
Measure what a job costs here, in ringpool and in the pools that it can take the
place of, and print a table: no-op jobs, the wake-up of an idle worker, memory,
and jobs of 0 to 1000 us, where one sees from which length on it does not matter.
With --flat instead: ringpool alone, with up to ten million jobs pending, up to 64
workers, up to 16 threads that submit; what a job costs should not depend on it.

In each turn every rival runs once, and another one is the first: what drifts on
the machine hits all alike. Ratios are medians of the turns' ratios.
"""

EPILOG = """\
Two to three minutes (--flat: three), or with --quick ten seconds. Leave the machine alone meanwhile.

exit status:
  0 all is well           130 ended by Ctrl-C (SIGINT)
  2 could not run         141 stdout was closed early
"""

FULL = (15, 1.0)  # turns, and the share of each workload's jobs
QUICK = (3, 0.1)


def add_parser(commands):
    """Add this command to *commands*, the subparsers of the command line."""
    parser = commands.add_parser(
        "bench",
        help="measure ringpool and its rivals on this machine",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=bench)
    parser.add_argument("--quick", action="store_true", help="fewer turns of fewer jobs: ratios are rough")
    parser.add_argument(
        "--flat",
        action="store_true",
        help="measure instead whether jobs cost the same in any number, and what watching costs",
    )
    parser.add_argument("--json", metavar="FILE", help="write everything there, each turn's numbers, too")
    parser.add_argument("--plot", metavar="FILE", help="draw a chart; its suffix says how: .png, .svg, .pdf, ...")


def bench(arguments):
    """Do what the command line asks for and return the exit status. What it takes of the process, it keeps."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as a shell starts what is in the background
        signal.signal(signal.SIGINT, on_interrupt)
    try:
        if sys.stdout is None:
            raise CannotRun("cannot write to stdout: it is closed")
        if arguments.flat and arguments.plot is not None:
            raise CannotRun("--flat has no chart: leave out --plot")
        draw = drawer_for(arguments.plot) if arguments.plot is not None else None
        for name in (arguments.json, arguments.plot):
            if name is not None:
                try_to_write(name)
        report = measured(arguments.flat, *(QUICK if arguments.quick else FULL))
        if arguments.json is not None:
            write(arguments.json, json.dumps(report.as_json(), indent=1).encode() + b"\n")
        if draw is not None:
            write(arguments.plot, draw(report))
    except CannotRun as why:
        say(why)
        return STATUS_CANNOT_RUN
    return 0


def on_interrupt(signum, frame):
    """Ends the process: half a measurement is worth no waiting for the jobs of it."""
    say("interrupted")
    os._exit(STATUS_SIGNAL + signum)


def drawer_for(name):
    """What makes the content of the file *name* of a Report."""
    try:
        from ringpool.bench import chart
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise CannotRun("--plot needs matplotlib: python -m pip install 'ringpool[plot]'") from None
    try:
        return chart.drawer(os.path.splitext(name)[1].removeprefix("."))
    except ValueError as error:
        raise CannotRun(f"--plot cannot draw {name!r}: {error}") from None


def write(name, content, mode="wb"):
    try:
        with open(name, mode) as file:
            file.write(content)
    except (OSError, ValueError) as error:
        raise CannotRun(f"cannot write {name!r}: {reason_of(error)}") from None


def try_to_write(name):
    """What cannot be written is to be known now, not in two minutes; what is not there yet stays so."""
    is_new = not os.path.lexists(name)
    write(name, b"", "ab")
    if is_new:
        os.remove(name)


def measured(flat, turns, share):
    """A Report or, if *flat*, a Flatness with everything in it, printed meanwhile."""
    # With asyncio and multiprocessing, which the other commands are not to wait for.
    from ringpool.bench.flat import Flatness
    from ringpool.bench.report import Report

    report = (Flatness if flat else Report)(turns, share)
    progress = Progress(report.steps)
    try:
        for piece in report.pieces(progress.step):
            progress.clear()
            show(f"{piece}\n")
    finally:
        progress.clear()
    return report


def show(text):
    """A piece of what is told, on stdout."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os._exit(STATUS_STDOUT_CLOSED)  # as SIGPIPE does
    except OSError as error:
        with contextlib.suppress(OSError):
            sys.stdout.close()  # or the interpreter tries once more, and complains
        raise CannotRun(f"cannot write to stdout: {reason_of(error)}") from None


class Progress:
    """On a terminal's stderr, how many of the *steps* are done."""

    def __init__(self, steps):
        self._steps = steps
        self._done = 0
        self._terminal = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None

    def step(self):
        self._draw(f"{self._done * 100 // self._steps} %")
        self._done += 1

    def clear(self):
        self._draw("")

    def _draw(self, text):
        if self._terminal is not None:
            with contextlib.suppress(OSError):
                self._terminal.write(f"\r{text:6}\r")
                self._terminal.flush()
