"""
CPython's own tests as the oracle: unedited, with ringpool's executor and future
in the place of the standard library's.  How that is done is in cpython/.
"""

import contextlib
import faulthandler
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs process groups")

RUN_SUITE = Path(__file__).parent / "cpython" / "run_suite.py"
RUN_TIMEOUT_S = 300

# How many tests of a module must have run: a selection that comes out empty must
# not pass.  The numbers are those of the interpreter that has the fewest, and
# allow for a machine without IPv6.
#
# Left out since they make neither an executor nor a future of ours: test_deadlock
# (process pools only), and asyncio's test_futures2, test_runners, test_context.
SUITES = {
    "test.test_concurrent_futures.test_thread_pool": 15,
    "test.test_concurrent_futures.test_shutdown": 14,
    "test.test_concurrent_futures.test_wait": 9,
    "test.test_concurrent_futures.test_as_completed": 5,
    "test.test_concurrent_futures.test_init": 2,
    "test.test_concurrent_futures.test_future": 20,
    "test.test_asyncio.test_threads": 6,
    "test.test_asyncio.test_base_events": 100,
    "test.test_asyncio.test_events": 14,
    "test.test_asyncio.test_futures": 18,
    "test.test_asyncio.test_tasks": 5,
    "test.test_asyncio.test_sendfile": 60,
}
# Modules of which most tests take long and no executor.
ONLY = {
    "test.test_asyncio.test_events": [
        "*.test_create_connection_local_addr_*",
        "*.test_create_datagram_endpoint_sock",
        "*.test_create_server_dual_stack",
        "*.test_get_event_loop_new_process",
        "*.test_run_in_executor*",
    ],
    "test.test_asyncio.test_futures": ["*.test_wrap_future*"],
    "test.test_asyncio.test_tasks": ["*.RunCoroutineThreadsafeTests.*"],
}

QUICK_SUITE = "test.test_asyncio.test_threads"


@pytest.fixture(autouse=True)
def own_timeout():
    """
    A run outlasts pytest's timeout per test, and has one of its own.
    """
    faulthandler.cancel_dump_traceback_later()


def require(suite):
    _, package, module = suite.split(".")
    test = importlib.util.find_spec("test")
    folders = test.submodule_search_locations if test else []
    if any(Path(folder, package, f"{module}.py").exists() for folder in folders):
        return
    reason = f"this CPython was installed without {suite}"
    if sys.version_info >= (3, 13):
        pytest.fail(reason)
    pytest.skip(reason)  # `make install` of 3.11.7 and 3.12.1 forgot a package


def run(suite, folder, *options):
    """
    Run one suite in a process group of its own and return its report.

    The report gets two more entries: the exit status, and the log.
    """
    require(suite)
    report, log = folder / "report.json", folder / "log.txt"
    command = [sys.executable, RUN_SUITE, suite, "--report", report, *options]

    # To a file: a child that outlives the run would hold a pipe open for ever.
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,  # the tests leave scratch files where they run
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = f"killed after {RUN_TIMEOUT_S} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    text = log.read_text(errors="replace")
    if not report.exists():
        pytest.fail(f"{suite} wrote no report, exit status {status}\n{text}")
    return json.loads(report.read_text()) | {"status": status, "log": text}


def problems(report):
    kinds = ("failures", "errors", "hung", "leaked")
    return {kind: report[kind] for kind in kinds if report[kind]}


def candidate(executor):
    # With the standard library's future: these runs are about the harness, and
    # must not depend on ringpool.
    return "--executor", executor, "--future", "concurrent.futures:Future"


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes_on_ringpool(suite, tmp_path):
    only = ["--only", *ONLY[suite]] if suite in ONLY else []
    report = run(suite, tmp_path, *only)

    assert problems(report) == {}, report["log"]
    assert report["status"] == 0, report["log"]
    assert report["ran"] >= SUITES[suite], report["log"]


def test_harness_passes_the_standard_library(tmp_path):
    """
    What the next tests find is due to the planted fault, not to the harness.
    """
    report = run(QUICK_SUITE, tmp_path, *candidate("concurrent.futures:ThreadPoolExecutor"))

    assert problems(report) == {}, report["log"]
    assert report["status"] == 0, report["log"]


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("LosesResults", "failures", 1),
        ("NeverFinishes", "hung", 1),
        ("Crashes", "hung", -signal.SIGSEGV),
        ("LeavesThread", "leaked", 1),
    ],
)
def test_harness_finds_planted_fault(fault, kind, status, tmp_path):
    report = run(QUICK_SUITE, tmp_path, *candidate(f"planted:{fault}"), "--timeout", "5")

    assert list(problems(report)) == [kind], report["log"]
    assert "ToThreadTests.test_to_thread" in str(report[kind])
    assert report["status"] == status


def test_swap_reaches_isolated_children(tmp_path):
    """
    An executor that fails in isolated interpreters only must fail the tests
    that start one, and no other.
    """
    suite = "test.test_concurrent_futures.test_shutdown"
    report = run(suite, tmp_path, *candidate("planted:FailsWhenIsolated"))

    assert list(problems(report)) == ["failures"], report["log"]
    assert {name.rpartition(".")[2] for name, _ in report["failures"]} == {
        "test_cancel_futures_wait_false",
        "test_hang_gh83386",
        "test_interpreter_shutdown",
        "test_submit_after_interpreter_shutdown",
    }
