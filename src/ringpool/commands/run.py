"""``python -m ringpool run``: a function, called once for each line of an input, on a WorkerQueue."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError

from ringpool import checks
from ringpool.commands.call import Failed, function_named, job_of
from ringpool.commands.output import AsTheyCome, InOrder, Output, own_stdout
from ringpool.commands.progress import Progress
from ringpool.commands.source import Source, own_input
from ringpool.commands.trouble import CannotRun, reason_of, say
from ringpool.errors import QueueStopped
from ringpool.worker_queue import WorkerQueue

DESCRIPTION = """\
Call FUNCTION once for each line of FILE, on many threads, and write one line of
JSON for each call to stdout:

  {"input": "a.txt", "ok": true, "result": 120, "seconds": 0.000007310}
  {"input": "b.txt", "ok": false, "error": {"type": ..., "message": ...}, "seconds": ...}

FUNCTION gets the line as a str without its ending, LF or CR LF. Bytes that
cannot be decoded are escaped as in file names (surrogateescape). A result that
JSON cannot express is written as its repr. The seconds are those of the call.
"""

EPILOG = """\
The input is read only as fast as it is worked off: about 2 * (CAPACITY + WORKERS)
lines are held at the most, however long the input is, however slow stdout, and
however long one call holds up the others with --ordered.

stdout gets nothing else: what FUNCTION or a child process of it prints goes to
stderr. When the lines come from stdin, these find theirs empty.

Ctrl-C and SIGTERM: no further call is started; those that run are waited for,
their results written, and what was left undone is counted on stderr. A second
one ends them at once.

exit status:
  0 all is well           130 ended by Ctrl-C (SIGINT)
  1 a call has failed     143 ended by SIGTERM
  2 could not run         141 stdout was closed early

example:
  find . -type f | python -m ringpool run os.path:getsize
"""

# Lines that wait for a worker, at the least. 2 cores, 6 workers, `seq 200000 |
# … run builtins:len`, thousand lines a second, median of 9 runs on a busy machine:
#
#     capacity          24    64   256  1024  4096
#     3.13             113   113   151   166   142
#     3.13t             93   119   134   130   105
#
# Below, the threads switch more than they work; above, an interrupted run has
# only read more lines in vain.
CAPACITY = 256
CAPACITY_PER_WORKER = 4

SAME_SIGNAL_S = 0.1  # what sends to a process and to its group sends twice, as timeout(1) does
END_OF_READING_S = 1.0  # allowed to a read that cannot be ended from outside

STATUS_FAILED = 1
STATUS_CANNOT_RUN = 2
STATUS_SIGNAL = 128
STATUS_STDOUT_CLOSED = STATUS_SIGNAL + 13  # as if SIGPIPE had ended it

available_cpus = getattr(os, "process_cpu_count", os.cpu_count)


def add_parser(commands):
    """Add this command to *commands*, the subparsers of the command line."""
    parser = commands.add_parser(
        "run",
        help="call a function for each line of an input",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    parser.add_argument("function", metavar="MODULE:FUNCTION", help="what to call; both may be dotted")
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="the input; - or nothing: stdin")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=number("workers"),
        default=min(32, (available_cpus() or 1) + 4),
        help="threads at the most (default: min(32, cpus + 4), here %(default)s)",
    )
    parser.add_argument(
        "--capacity",
        metavar="N",
        type=number("capacity"),
        help=f"lines that may wait for a thread (default: {CAPACITY_PER_WORKER} * WORKERS, {CAPACITY} at the least)",
    )
    parser.add_argument("--ordered", action="store_true", help="write in the order of the input")


def number(name):
    def parse(text):
        value = text
        with contextlib.suppress(ValueError):
            value = int(text)
        try:
            return checks.whole_number(name, value, least=1)
        except (TypeError, ValueError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def run(arguments):
    """Do what the command line asks for and return the exit status. What it takes of the process, it keeps."""
    try:
        with contextlib.ExitStack() as stack:
            stdout = own_stdout(stack)
            source = Source(own_input(arguments.file))
            call = job_of(function_named(arguments.function))
            workers = arguments.workers
            capacity = arguments.capacity or max(CAPACITY, CAPACITY_PER_WORKER * workers)
            try:
                queue = WorkerQueue(workers, capacity, name="run")
            except MemoryError:
                raise CannotRun(f"no memory for a capacity of {capacity}") from None
            window = 2 * (capacity + workers) if arguments.ordered else 0
            whole = Run(queue, call, source, stdout, window)
            for each in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(each) != signal.SIG_IGN:  # as a shell starts what is in the background
                    signal.signal(each, whole.on_signal)
            return whole.run()
    except CannotRun as why:
        say(why)
        return STATUS_CANNOT_RUN


class Run:
    """
    One run: a thread feeds the queue, and the main thread writes what comes out.

    The main thread waits in nothing but the queue and a write, so that it is
    always there for a signal. *window*: see InOrder; 0: as they come.
    """

    def __init__(self, queue, call, source, stdout, window):
        self._queue = queue
        self._call = call
        self._source = source
        self._progress = None
        if sys.stderr is not None and sys.stderr.isatty():
            self._progress = Progress(queue, sys.stderr)
        self._output = Output(stdout, self._progress.out_of_the_way if self._progress else contextlib.nullcontext)
        self._order = InOrder(self._output.put, window) if window else AsTheyCome(self._output.put)
        self._problem = None
        self._signum = None
        self._signalled = 0.0

    def run(self):
        results = self._queue.results()  # before the first job, so that none is forgotten
        feeder = threading.Thread(target=self._feed, name="feed", daemon=True)
        with self._progress or contextlib.nullcontext():
            feeder.start()
            try:
                self._write(results)
            except BrokenPipeError:
                os._exit(STATUS_STDOUT_CLOSED)  # as SIGPIPE does: who does not wait for results, waits for no call
            except OSError as error:
                self._problem = f"cannot write to stdout: {reason_of(error)}"
                self._stop()
            self._queue.wait()
            feeder.join(END_OF_READING_S)
        return self._report()

    def _feed(self):
        try:
            for index, line in enumerate(self._source.lines()):
                self._order.wait_for_room()
                self._queue.submit(self._call, index, line)
        except QueueStopped:
            pass
        except Exception as error:
            self._problem = f"gave up reading: {reason_of(error)}"
        finally:
            self._queue.stop(timeout=0)

    def _write(self, results):
        finished = 0
        for taken, future in enumerate(results, 1):
            try:
                self._order.put(*future.result())
            except Failed as failed:
                self._order.put(*failed.args)
            except CancelledError:
                pass
            if taken >= finished:
                stats = self._queue.stats()
                finished = stats.succeeded + stats.failed + stats.cancelled
                if taken >= finished:  # the next one will take a while
                    self._output.flush()
        self._order.put_rest()
        self._output.flush()

    # ---- the end -----------------------------------------------------------------------

    def on_signal(self, signum, frame):
        """The first one stops the run, the second one ends the process."""
        now = time.monotonic()
        if self._signum is None:
            self._signum = signum
            self._signalled = now
            self._stop()
        elif signum != self._signum or now - self._signalled > SAME_SIGNAL_S:
            os._exit(STATUS_SIGNAL + signum)

    def _stop(self):
        if self._progress:
            self._progress.stopping = True
        self._queue.stop_now()
        self._order.no_more_waiting()
        self._source.end()

    def _report(self):
        stats = self._queue.stats()
        if self._problem:
            say(self._problem)
        if self._signum is not None:
            how = "interrupted" if self._signum == signal.SIGINT else "terminated"
            done = stats.succeeded + stats.failed
            say(f"{how}: {done} done, {stats.failed} of them failed; {stats.cancelled} accepted lines not done")
            return STATUS_SIGNAL + self._signum
        if self._problem:
            return STATUS_CANNOT_RUN
        return STATUS_FAILED if stats.failed else 0
