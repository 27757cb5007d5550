"""``python -m ringpool soak``: random jobs on random pools, each of which is accounted for."""

import argparse
import contextlib
import faulthandler
import functools
import json
import logging
import os
import secrets
import signal
import sys
import threading
import time

from ringpool import checks
from ringpool.commands.bench import show, try_to_write, write
from ringpool.commands.progress import Repeated
from ringpool.commands.run import STATUS_CANNOT_RUN, STATUS_SIGNAL, number
from ringpool.commands.trouble import CannotRun, say
from ringpool.version import version

DESCRIPTION = """\
Play rounds, drawn from a seed: an executor or a queue of any settings; threads
that submit numbered jobs to it, plain ones or such as fail, are tried again, run
out of time, have keys, lanes and priorities; others that cancel, resize, collect,
fork, and stop it in the middle. At the end of each round every job must have ended
exactly once and run at most once an attempt, those of a key in order, and the
counters must agree with what those who submitted saw.
"""

EPILOG = """\
The first mistake ends it: what is wrong, the seed and the round are printed. The
same --seed and --round make the same round, as far as threads do anything twice.
A round takes about a second; one that takes more than a minute hangs, and
ends it with the stacks of all threads. Ctrl-C ends it after the round.

exit status:
  0 all is well           2 could not run
  1 a mistake, or a hang  130 ended by Ctrl-C (SIGINT)
                          141 stdout was closed early
"""

HANG_S = 55
PROGRESS_S = 0.2  # between two looks, on a terminal
LOG_S = 10.0  # elsewhere
SHOWN = 20  # mistakes, of a round that has many

STATUS_WRONG = 1


def add_parser(commands):
    """Add this command to *commands*, the subparsers of the command line."""
    parser = commands.add_parser(
        "soak",
        help="run random jobs and account for each of them",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=soak)
    parser.add_argument("--minutes", metavar="M", type=minutes, default=2.0, help="for how long (default: %(default)g)")
    parser.add_argument("--seed", metavar="N", type=number("seed"), help="what to draw from (default: a new one)")
    parser.add_argument("--round", metavar="K", type=number("round"), help="play this round of the seed, over and over")
    parser.add_argument("--only", choices=("plain", "mixed"), help="only rounds of plain jobs, or only the others")
    parser.add_argument("--json", metavar="FILE", help="write there what was played, and what was wrong")


def minutes(text):
    value = text
    with contextlib.suppress(ValueError):
        value = float(text)
    try:
        return checks.number("minutes", value, positive=True)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def soak(arguments):
    """Do what the command line asks for and return the exit status. What it takes of the process, it keeps."""
    # With asyncio, which the other commands are not to wait for.
    from ringpool.soak.soak import KINDS, Soak

    try:
        if arguments.json is not None:
            try_to_write(arguments.json)
        logging.getLogger("ringpool").addHandler(logging.NullHandler())  # between rounds nobody listens
        stopping = threading.Event()
        watch_for_interrupt(stopping)
        kinds = [arguments.only] if arguments.only else list(KINDS)
        seed = arguments.seed or secrets.randbelow(2**32) + 1
        whole = Soak(seed, kinds, arguments.round, stopping)
        start = time.monotonic()
        with Repeated(functools.partial(tell_progress, whole), PROGRESS_S if on_terminal() else LOG_S):
            wrong = whole.play(60 * arguments.minutes, watch_for_hang)
        faulthandler.cancel_dump_traceback_later()
        seconds = time.monotonic() - start
        show(summary(whole, seconds))
        if arguments.json is not None:
            report = {"ringpool": version(), "seconds": round(seconds, 3), **whole.as_json(), "wrong": wrong}
            write(arguments.json, json.dumps(report, indent=1).encode() + b"\n")
    except CannotRun as why:
        say(why)
        return STATUS_CANNOT_RUN
    if wrong:
        say(f"seed {seed}, round {whole.number} is wrong: {whole.told}")
        for mistake in wrong[:SHOWN]:
            print(f"  {mistake}", file=sys.stderr)
        say(f"again: python -m ringpool soak --seed {seed} --round {whole.number}{only(arguments)}")
        return STATUS_WRONG
    if stopping.is_set():
        say("interrupted")
        return STATUS_SIGNAL + signal.SIGINT
    return 0


def only(arguments):
    # The kind of a round is drawn from those that there may be.
    return f" --only {arguments.only}" if arguments.only else ""


def watch_for_interrupt(stopping):
    """The first Ctrl-C sets *stopping*, the second ends the process."""

    def on_interrupt(signum, frame):
        if stopping.is_set():
            os._exit(STATUS_SIGNAL + signum)
        stopping.set()

    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as a shell starts what is in the background
        signal.signal(signal.SIGINT, on_interrupt)


def watch_for_hang():
    """Unless this is called again in time, all stacks are dumped, and the process ends."""
    faulthandler.enable()  # a forked child that hangs is told to by a signal
    faulthandler.dump_traceback_later(HANG_S, exit=True)


def summary(whole, seconds):
    """What was played, as a table."""
    jobs = sum(whole.jobs.values())
    lines = [f"seed {whole.seed}: {jobs:,} jobs in {sum(whole.rounds.values()):,} rounds, {seconds:.0f} s"]
    for kind, rounds in whole.rounds.items():
        number, rate = whole.jobs[kind], whole.jobs[kind] / whole.seconds[kind]
        lines.append(f"    {kind:<10}{rounds:>8,} rounds {number:>13,} jobs {rate:>11,.0f} a second")
    lines += [f"    {way:<10}{number:>29,} jobs" for way, number in whole.ways.most_common()]
    return "\n".join(lines)


def tell_progress(whole):
    """How far it is: over the line on a terminal, else in a line more."""
    text = f"seed {whole.seed}, round {whole.number}: {sum(whole.jobs.values()):,} jobs done"
    if not on_terminal():
        say(text)
        return
    with contextlib.suppress(OSError):
        sys.stderr.write(f"\r{text} \r")
        sys.stderr.flush()


def on_terminal():
    return sys.stderr is not None and sys.stderr.isatty()
