"""What the annotations say of the documented calls: a type checker takes them and knows what comes out."""

import os
import pathlib
import subprocess
import sys

import pytest

import ringpool

pytest.importorskip("mypy")

CALLS = """
from collections.abc import Iterator
from typing import assert_type

from ringpool import CoDel, Future, Job, JobGroup, Retry, RetryBudget, ThreadPoolExecutor, WorkerQueue, WorkerView, race


def length(text: str) -> int:
    return len(text)


def answer() -> str:
    return "42"


class Sheds:
    def should_drop(self, wait_s: float, now_s: float, last: bool = False) -> bool:
        return False


class Budgets:
    def deposit(self) -> None: ...
    def try_withdraw(self) -> bool:
        return True


queue = WorkerQueue(2, 8, shed=Sheds(), retry=Retry(budget=Budgets()))
WorkerQueue(2, 8, shed=CoDel(), retry=Retry(budget=RetryBudget()))


def longest_idle(job: Job[object], workers: tuple[WorkerView, ...]) -> int | None:
    return max(workers, key=lambda worker: worker.seconds).number


WorkerQueue(2, 8, dispatch="ready", choose=longest_idle)
job = Job(length, "text", retry=Retry(attempts=2), priority=3)
assert_type(job, Job[int])
for one in (queue, ThreadPoolExecutor(2)):
    assert_type(one.submit(length, "text"), Future[int])
    assert_type(one.map(length, ["text"]), Iterator[int])
assert_type(queue.submit(job), Future[int])
assert_type(queue.try_submit(length, "text"), Future[int])
assert_type(queue.try_submit(job), Future[int])
assert_type(queue.submit_within(1.0, length, "text"), Future[int])
assert_type(queue.submit_within(None, job), Future[int])
assert_type(queue.submit_many(length, ["text"]), list[Future[int]])
assert_type(queue.submit_many(Job(length, lane="bulk"), ["text"]), list[Future[int]])
assert_type(queue.race(answer, answer), str)
assert_type(queue.race(Job(answer), Job(answer)), str)
assert_type(race(queue, answer), str)
assert_type(race(queue, Job(answer)), str)
with queue.group() as group:
    assert_type(group, JobGroup)
    assert_type(group.submit(length, "text"), Future[int])
    assert_type(group.submit(job), Future[int])
    assert_type(group.race(answer), str)
    assert_type(group.race(Job(answer)), str)


async def main() -> None:
    assert_type(await queue.run(length, "text"), int)
    assert_type(await queue.run(job), int)
    assert_type(await (await queue.submit_async(length, "text")), int)
    assert_type(await (await queue.submit_async(job)), int)
"""

WRONG = """
from ringpool import Retry, WorkerQueue

queue = WorkerQueue(2, 8)
queue.submit(len)
queue.submit_many(len, [1])
WorkerQueue(2, 8, dispatch="ready", choose=len)
WorkerQueue(2, 8, shed=object())
Retry(budget=object())
"""


def check(folder, source):
    """The lines with an error, and what mypy said."""
    (folder / "calls.py").write_text(source)
    where = pathlib.Path(ringpool.__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", f"--cache-dir={folder / 'cache'}", "calls.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        # of the installed package mypy knows by itself, and says so if told
        env={**os.environ, "MYPYPATH": "" if where.name in ("site-packages", "dist-packages") else str(where)},
    )
    assert ran.returncode in (0, 1) and not ran.stderr, ran.stdout + ran.stderr
    return [int(line.split(":")[1]) for line in ran.stdout.splitlines() if ": error:" in line], ran.stdout


def test_the_documented_calls_have_the_types_that_they_have(tmp_path):
    """With a Job as with a function, on the queue, in a group and in a race."""
    wrong, said = check(tmp_path, CALLS)
    assert wrong == [], said


def test_calls_that_would_fail_are_errors(tmp_path):
    """So the first test does not pass because everything is Any."""
    wrong, said = check(tmp_path, WRONG)
    assert wrong == [5, 6, 7, 8, 9], said
