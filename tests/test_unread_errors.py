"""Errors that nobody reads: however a job failed they are reported once, by the log or by on_error."""

import gc
import logging
import sys
import threading
import time
import weakref

import pytest

from ringpool import Job, JobTimeout, Retry, WorkerQueue

WAIT = 30
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
LONG = 60  # seconds of max_wait in tests that must not need it


class Told:
    """What on_error was called with, or the log has been told; *wait* until there were so many."""

    def __init__(self):
        self.errors = []
        self._came = threading.Semaphore(0)

    def __call__(self, error):
        self.errors.append(error)
        self._came.release()

    def wait(self, times=1):
        # Looks again and again: without the GIL a thread that sleeps does not drop what other threads have let go of.
        deadline = time.monotonic() + WAIT
        for _ in range(times):
            while not self._came.acquire(timeout=0.01):
                assert time.monotonic() < deadline, f"nobody was told but of {self.errors}"
        gc.collect()
        assert not self._came.acquire(blocking=False), f"told more than once: {self.errors}"
        return self.errors


class Handler(logging.Handler):
    def __init__(self, told):
        super().__init__(logging.ERROR)
        self._told = told

    def emit(self, record):
        if "nobody looked" in record.getMessage():
            self._told(record.exc_info[1] if record.exc_info else None)


@pytest.fixture(params=["log", "on_error"])
def told(request):
    """And the options of a queue that tells it."""
    told = Told()
    if request.param == "on_error":
        yield told, {"on_error": told}
        return
    handler = Handler(told)
    logging.getLogger("ringpool").addHandler(handler)
    yield told, {}
    logging.getLogger("ringpool").removeHandler(handler)


def fail(*args):
    raise OSError("lost")


def test_of_a_plain_call(told):
    told, options = told
    with WorkerQueue(1, 8, keep_results=0, **options) as queue:
        queue.submit(fail)
    assert [error.args for error in told.wait()] == [("lost",)]


def test_of_a_job_after_its_last_attempt(told):
    told, options = told
    with WorkerQueue(1, 8, keep_results=0, **options) as queue:
        queue.submit(Job(fail, retry=Retry(attempts=3, base=0)))
    (error,) = told.wait()
    assert len(error.__notes__) == 2


def test_of_a_job_whose_time_was_up_while_it_ran(told, gate):
    told, options = told
    with WorkerQueue(1, 8, keep_results=0, **options) as queue:
        queue.submit(Job(gate, timeout=0.01))
        gate.wait_until_entered()
        while not queue.stats().late:
            pass
        gate.open()
    (error,) = told.wait()
    assert type(error) is JobTimeout


def test_of_a_job_whose_time_was_up_between_two_attempts(told):
    """
    A back-off that reaches beyond the deadline is not begun; a rate limit's pause is.
    """
    told, options = told
    answers = iter([None])
    with WorkerQueue(1, 8, keep_results=0, rate_limit=lambda: next(answers, LONG), **options) as queue:
        queue.submit(Job(fail, retry=Retry(base=0), deadline=0.1))
        (error,) = told.wait()
    assert type(error) is JobTimeout and len(error.__notes__) == 1


def test_of_a_batch_once_for_all_of_its_items(told):
    """
    They have one error, which is reported by the first of them that is dropped.
    """
    told, options = told
    with WorkerQueue(1, 8, keep_results=0, **options) as queue:
        with queue.batch(fail, 3, LONG) as batcher:
            for item in range(3):
                batcher.submit(item)
    assert [error.args for error in told.wait()] == [("lost",)]


def test_of_single_items_of_a_batch(told):
    told, options = told
    with WorkerQueue(1, 8, keep_results=0, **options) as queue:
        with queue.batch(lambda items: [KeyError(item) for item in items], 2, LONG) as batcher:
            batcher.submit("a")
            batcher.submit("b")
    assert sorted(error.args for error in told.wait(2)) == [("a",), ("b",)]


def test_of_items_whose_queue_was_stopped_before_they_were_sent(told):
    told, options = told
    queue = WorkerQueue(1, 8, **options)
    batcher = queue.batch(fail, 3, LONG)
    batcher.submit(1)
    batcher.submit(2)
    queue.stop()
    (error,) = told.wait()
    assert "takes no more jobs" in str(error)


def test_not_of_an_item_that_somebody_has_looked_at(told):
    """
    Nor because the block that waits for all of them has.
    """
    told, options = told
    with WorkerQueue(1, 8, keep_results=0, **options) as queue:
        with queue.batch(lambda items: [KeyError(item) for item in items], 2, LONG) as batcher:
            read = batcher.submit("read")
            batcher.submit("unread")
        assert read.exception().args == ("read",)
        del read
    assert [error.args for error in told.wait()] == [("unread",)]


def test_of_a_group_of_errors_with_what_is_in_it(told):
    told, options = told

    def fail_twice():
        raise ExceptionGroup("both", [OSError(1), ExceptionGroup("inner", [OSError(2)])])

    with WorkerQueue(1, 8, keep_results=0, **options) as queue:
        queue.submit(fail_twice)
    (error,) = told.wait()
    assert error.exceptions[1].exceptions[0].args == (2,)


def test_of_a_long_chain_of_errors_in_a_moment(told):
    """
    Each is the cause and the context of the next: who looks at both for each looks at 2 ** 40.
    """
    told, options = told

    def fail_with_chain():
        error = OSError(0)
        for number in range(1, 40):
            after = OSError(number)
            after.__cause__ = after.__context__ = error
            error = after
        raise error

    with WorkerQueue(1, 8, keep_results=0, **options) as queue:
        queue.submit(fail_with_chain)
    assert [error.args for error in told.wait()] == [(39,)]


def test_what_on_error_raises_is_logged_and_nothing_is_switched_off(caplog):
    def broken(error):
        raise SystemExit("from the hook")

    with WorkerQueue(1, 8, keep_results=0, report_unread=False, on_error=broken) as queue:
        queue.submit(fail)
        queue.submit(fail)
    gc.collect()
    said = [record.getMessage() for record in caplog.records if record.name == "ringpool"]
    assert said == 2 * ["exception in on_error"]


def test_a_hook_that_refers_to_its_queue_keeps_neither():
    """
    The futures that its queue keeps refer to the hook.
    """
    class Owner:
        def note(self, error):
            pass

    owner = Owner()
    owner.queue = WorkerQueue(1, 8, on_error=owner.note)
    owner.queue.submit(fail)
    owner.queue.stop()
    gone = weakref.ref(owner)
    del owner
    for _ in range(3):
        gc.collect()
    assert gone() is None


SCRIPT = """
import sys
from ringpool import WorkerQueue

def fail():
    raise OSError("lost")

queue = WorkerQueue(1, 8)
future = queue.submit(fail)
{}
queue.stop()
print("the end", flush=True)
"""


def test_at_the_end_of_a_program_of_what_a_queue_keeps_for_a_reader(run_script):
    """
    A queue that is a module's own goes when most of the interpreter is gone. (As it was, all that came was
    "--- Logging error ---".)
    """
    done = run_script(SCRIPT.format("del future"))
    assert (done.returncode, done.stdout) == (0, "the end\n")
    first, *_, last = done.stderr.splitlines()
    assert first == "a job failed and nobody looked at its error: OSError"
    assert last == "OSError: lost"
    assert done.stderr.count("nobody looked") == 1


def test_at_the_end_of_a_program_of_what_a_module_keeps(run_script):
    """
    No traceback can be written any more. (Without the GIL the interpreter drops it without a word.)
    """
    done = run_script(SCRIPT.format(""))
    said = "a job failed and nobody looked at its error: OSError: lost\n"
    assert (done.returncode, done.stdout) == (0, "the end\n")
    assert done.stderr == said or (not HAS_GIL and done.stderr == "")


def test_at_the_end_of_a_program_of_nothing_that_was_read(run_script):
    done = run_script(SCRIPT.format("assert future.exception(10).args"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "the end\n", "")
