"""
Runs one module of CPython's own tests, unedited, against a swapped executor.

    python run_suite.py test.test_concurrent_futures.test_wait --report out.json

A process of its own for each module: the swap cannot be undone, and a crash or
a hang must not take other modules with it.  The report is JSON:

    ran       how many tests ran to their end without being skipped
    ids       which ones
    failures, errors, skipped
              pairs of test and text
    leaked    pairs of test and what it left behind
    hung      the test the process died in: hung, or crashed
"""

import argparse
import faulthandler
import gc
import importlib
import json
import os
import sys
import time
import unittest
from _thread import _count
from pathlib import Path

import swap
from test import support

SETTLE_S = 3  # for threads that are just ending; only a leak waits this long
TASKS = "/proc/self/task"


def os_threads():
    # Native threads included, which _thread._count() and with it CPython's own
    # leak check cannot see.
    return len(os.listdir(TASKS)) if os.path.isdir(TASKS) else _count()


class Watch:
    """
    Stands around each test and keeps the report on disk up to date.
    """

    def __init__(self, path, timeout):
        self.path = path
        self.timeout = timeout
        self.threads = os_threads()
        self.ids, self.leaked = [], []

    def around(self, case):
        # Around run(), not in the result's startTest() and stopTest(): asyncio's
        # own TestCase ends the loop's executor after stopTest().
        run = case.run

        def watched(result):
            # Written down first: a test that hangs or crashes ends the process,
            # and leaves its name in the file.
            self.write(result, hung=[case.id()])
            self.arm()
            run(result)
            faulthandler.cancel_dump_traceback_later()
            self.check_left_behind(case.id())
            if case.id() not in {skipped.id() for skipped, _ in result.skipped}:
                self.ids.append(case.id())

        case.run = watched
        return case

    def finish(self, result):
        self.check_left_behind("module cleanup")
        self.write(result)
        self.arm()  # leaving the interpreter joins pools, which may hang too

    def arm(self):
        # sys.stderr may be a capture of the test's.
        faulthandler.dump_traceback_later(self.timeout, exit=True, file=sys.__stderr__)

    def check_left_behind(self, name):
        deadline = time.monotonic() + SETTLE_S
        while (left := os_threads()) > self.threads and time.monotonic() < deadline:
            gc.collect()  # a pool in a reference cycle ends when it is collected
            time.sleep(0.01)
        if left > self.threads:
            self.leaked.append((name, f"{left - self.threads} OS threads"))
        self.threads = left

        if support.environment_altered:
            self.leaked.append((name, "support.environment_altered"))
            support.environment_altered = False

    def write(self, result, hung=()):
        def named(outcomes):
            return [(test.id(), text) for test, text in outcomes]

        unexpected = [(test, "unexpected success") for test in result.unexpectedSuccesses]
        report = {
            "ran": len(self.ids),
            "failures": named(result.failures + unexpected),
            "errors": named(result.errors),
            "skipped": named(result.skipped),
            "hung": hung,
            "leaked": self.leaked,
            "ids": self.ids,
        }
        self.path.write_text(json.dumps(report, indent=1))


def cases(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from cases(item)
        else:
            yield item


def select(loaded, executor):
    # A module that tests several kinds of pool says in each case which one it
    # is about.  A module that says it nowhere has one subject.
    found = list(cases(loaded))
    typed = [case for case in found if hasattr(case, "executor_type")]
    if not typed:
        return found
    return [case for case in typed if case.executor_type is executor]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", help="module, e.g. test.test_asyncio.test_threads")
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--executor", default="ringpool:ThreadPoolExecutor")
    parser.add_argument("--future", default="ringpool:Future")
    parser.add_argument("--timeout", type=float, default=60, help="seconds per test")
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="of test names")
    options = parser.parse_args()

    faulthandler.enable()
    swap.install(options.executor, options.future)
    swap.install_in_children(options.executor, options.future)

    loader = unittest.TestLoader()
    loader.testNamePatterns = options.only
    loaded = loader.loadTestsFromModule(importlib.import_module(options.suite))
    chosen = select(loaded, swap.load(options.executor))

    watch = Watch(options.report, options.timeout)
    runner = unittest.TextTestRunner(verbosity=2)
    result = runner.run(unittest.TestSuite(map(watch.around, chosen)))
    watch.finish(result)
    return 0 if result.wasSuccessful() and not watch.leaked else 1


if __name__ == "__main__":
    sys.exit(main())
