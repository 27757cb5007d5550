"""The end of a WorkerQueue: stop, stop_now, wait, the with block."""

import gc
import threading
import time
import weakref
from concurrent.futures import CancelledError

import pytest

from ringpool import QueueStopped, RunningJob, StopReport, WorkerQueue, current_job

WAIT = 30
MOMENT = 0.1  # seconds in which what must not happen would have happened


def report(done=0, cancelled=0, not_started=0, running=()):
    return StopReport(done=done, cancelled=cancelled, not_started=not_started, running=running)


@pytest.fixture
def busy(gate):
    """One worker at the gate, three jobs queued that append to ``ran``."""
    queue = WorkerQueue(1, 8, name="busy")
    queue.ran = []
    queue.jobs = [queue.submit(gate)]
    gate.wait_until_entered()
    queue.jobs += [queue.submit(queue.ran.append, i) for i in range(3)]
    yield queue
    gate.open()
    assert queue.stop(WAIT).complete


# ---- stop ----------------------------------------------------------------------


def test_stop_runs_everything_that_was_accepted_and_ends_the_threads():
    """
    That is the drain: nothing queued is dropped, nothing is left running.
    """
    ran = []
    queue = WorkerQueue(4, 64, name="drain")
    for i in range(500):
        queue.submit(ran.append, i)

    assert queue.stop(WAIT) == report(done=500)
    assert sorted(ran) == list(range(500))
    assert not any(thread.name.startswith("drain_") for thread in threading.enumerate())


def test_what_jobs_did_is_visible_after_stop():
    """
    Happens-before, also without a GIL: no lock in the jobs, none in the reader.
    """
    cells = [[0] for _ in range(64)]

    def job(cell):
        cell[0] += 1

    with WorkerQueue(8, 64) as queue:
        for _ in range(8):
            queue.submit_many(job, cells)
            queue.wait(WAIT)
    assert cells == [[8]] * 64


def test_stop_of_a_queue_that_never_ran_anything_returns_at_once():
    """
    No worker, no job, nothing to wait for.
    """
    assert WorkerQueue(4, 4).stop(WAIT) == report()


def test_stop_is_idempotent(busy, gate):
    """
    Every call reports the present state; none starts anything anew.
    """
    assert busy.stop(0).not_started == 3
    assert busy.stop(0).not_started == 3
    gate.open()
    assert busy.stop(WAIT) == busy.stop(WAIT) == busy.stop() == report(done=4)
    assert busy.stop_now() == report(done=4)
    assert busy.wait() is True


def test_stop_reports_what_goes_on_when_its_time_has_passed(busy, gate):
    """
    Who runs, on which thread, and how much is left; and it goes on being run.
    """
    before = time.monotonic()
    seen = busy.stop(MOMENT)

    assert MOMENT <= time.monotonic() - before < WAIT
    assert seen == report(not_started=3, running=(RunningJob(busy.jobs[0], "busy_0"),))
    assert not seen.complete
    gate.open()
    seen = busy.stop(WAIT)
    assert (seen, seen.complete, busy.ran) == (report(done=4), True, [0, 1, 2])


@pytest.mark.parametrize("timeout", [0, -1, 1e-9])
def test_stop_with_no_time_only_looks(busy, timeout):
    """
    It has closed the queue all the same.
    """
    assert busy.stop(timeout).not_started == 3
    with pytest.raises(QueueStopped):
        busy.submit(int)


def test_stop_releases_producers_that_wait_for_room(gate):
    """
    With QueueStopped, at once, and not when room appears; their jobs never run.
    """
    ran = []
    queue = WorkerQueue(1, 1)
    queue.submit(gate)
    gate.wait_until_entered()
    queue.submit(int)
    ways = [queue.submit, lambda *job: queue.submit_within(WAIT, *job), lambda *job: queue.submit_many(ran.append, [2])]
    refused = threading.Semaphore(0)

    def produce(submit):
        with pytest.raises(QueueStopped):
            submit(ran.append, 1)
        refused.release()

    producers = [threading.Thread(target=produce, args=(way,)) for way in ways * 2]
    for producer in producers:
        producer.start()
    assert not refused.acquire(timeout=MOMENT)
    queue.stop(0)
    for producer in producers:
        assert refused.acquire(timeout=WAIT / 6)
        producer.join(WAIT)
    gate.open()
    assert queue.stop(WAIT).done == 2
    assert ran == []


def test_jobs_may_cancel_each_other_while_the_queue_drains(busy, gate):
    """
    A cancelled job counts as cancelled and holds nobody up.
    """
    busy.stop(0)
    assert busy.jobs[2].cancel()
    gate.open()
    assert busy.stop(WAIT) == report(done=3, cancelled=1)
    assert busy.ran == [0, 2]


# ---- stop_now --------------------------------------------------------------------


def test_stop_now_cancels_what_has_not_started_and_does_not_wait(busy, gate):
    """
    The running job goes on; nobody hears of the others again.
    """
    assert busy.stop_now() == report(cancelled=3, running=(RunningJob(busy.jobs[0], "busy_0"),))
    assert [job.cancelled() for job in busy.jobs] == [False, True, True, True]
    assert busy.wait(0) is False
    gate.open()
    assert busy.wait(WAIT) is True
    assert busy.stop() == report(done=1, cancelled=3)
    assert busy.ran == []


def test_stop_now_asks_running_jobs_to_stop():
    """
    A job that looks sees it; one that does not look is not interrupted.
    """
    in_job = threading.Event()

    def patient():
        in_job.set()
        for _ in range(WAIT * 1000):
            current_job().check()
            threading.Event().wait(0.001)
        return "never asked"

    queue = WorkerQueue(1, 1)
    future = queue.submit(patient)
    assert in_job.wait(WAIT)
    queue.stop_now()
    assert queue.wait(WAIT)
    assert isinstance(future.exception(), CancelledError)
    assert queue.stop() == report(done=1)


def test_stop_now_after_a_stop_that_ran_out_of_time_cancels_the_rest(busy, gate):
    """
    The way to give a drain a limit.
    """
    assert busy.stop(0).not_started == 3
    assert busy.stop_now().cancelled == 3
    gate.open()
    assert busy.stop(WAIT) == report(done=1, cancelled=3)


def test_stop_now_tells_those_who_wait_for_a_cancelled_job(busy):
    """
    At once: result() in other threads, callbacks, waiters.
    """
    told = threading.Event()
    busy.jobs[1].add_done_callback(lambda future: told.set())
    errors = []

    def wait():
        try:
            busy.jobs[2].result(WAIT)
        except CancelledError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    busy.stop_now()
    waiter.join(WAIT)
    assert (told.is_set(), len(errors)) == (True, 1)


def test_arguments_of_jobs_that_never_ran_are_let_go_when_stop_now_returns(busy):
    """
    Although the caller holds the futures: files and sockets in them are closed.
    """

    class Argument:
        pass

    argument = Argument()
    seen = weakref.ref(argument)
    future = busy.submit(print, argument, file=argument)
    del argument
    busy.stop_now()
    gc.collect()
    assert (seen(), future.cancelled()) == (None, True)


@pytest.mark.parametrize("rounds", [100, pytest.param(1200, marks=pytest.mark.stress)])
def test_accepted_before_stop_now_is_cancelled_by_it(run_in_threads, rounds):
    """
    Whatever producers do at that moment: with every worker held, no job that was
    accepted may be left queued, to run later. One in 400 rounds left some when it
    gave up at a producer that was just putting its job, free-threaded.
    """
    for _ in range(rounds):
        queue = WorkerQueue(1, 4096)
        go_on, in_job = threading.Event(), threading.Event()
        queue.submit(lambda go_on=go_on, in_job=in_job: (in_job.set(), go_on.wait(WAIT)))
        assert in_job.wait(WAIT)

        def body(i, queue=queue):
            if not i:
                while not queue.stats().queued:
                    pass
                queue.stop_now()
                return []
            accepted = []
            try:
                while True:
                    accepted.append(queue.submit(int))
            except QueueStopped:
                return accepted

        accepted = sum(run_in_threads(5, body), [])
        left = [future for future in accepted if not future.done()]
        go_on.set()
        assert queue.stop(WAIT).complete
        assert (len(left), queue.stats().cancelled) == (0, len(accepted))


# ---- wait -----------------------------------------------------------------------------


def test_wait_tells_whether_an_open_queue_has_nothing_to_do(busy, gate):
    """
    False when the time passed first; the queue stays open.
    """
    assert (busy.wait(0), busy.wait(-1), busy.wait(MOMENT)) == (False, False, False)
    gate.open()
    assert (busy.wait(), busy.wait(0)) == (True, True)
    assert busy.submit(int).result(WAIT) == 0


def test_wait_is_over_when_cancelled_jobs_were_the_last(busy, gate):
    """
    A job that never runs is finished too.
    """
    waited = []
    waiter = threading.Thread(target=lambda: waited.append(busy.wait(WAIT)))
    waiter.start()
    for job in busy.jobs[1:]:
        assert job.cancel()
    gate.open()
    waiter.join(WAIT)
    assert waited == [True]


def test_wait_of_a_stopped_queue_waits_for_its_threads(busy, gate):
    """
    So that nothing of it is left when it returns.
    """
    busy.stop(0)
    gate.open()
    assert busy.wait(WAIT)
    assert not any(thread.name.startswith("busy_") for thread in threading.enumerate())


# ---- the with block ---------------------------------------------------------------------


def test_leaving_the_block_drains():
    """
    Everything accepted has been run, and nothing is taken any more.
    """
    ran = []
    with WorkerQueue(2, 64) as queue:
        assert isinstance(queue, WorkerQueue)
        for i in range(200):
            queue.submit(ran.append, i)
    assert sorted(ran) == list(range(200))
    with pytest.raises(QueueStopped):
        queue.submit(int)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_leaving_the_block_on_an_exception_cancels_asks_and_waits(error):
    """
    The exception comes out unchanged, after the running jobs have ended.
    """
    ended, in_job = threading.Event(), threading.Event()
    ran = []

    def patient():
        in_job.set()
        while not current_job().cancelled:
            threading.Event().wait(0.001)
        ended.set()

    raised = error("mine")
    with pytest.raises(error) as caught, WorkerQueue(1, 8) as queue:
        queue.submit(patient)
        assert in_job.wait(WAIT)
        for i in range(5):
            queue.submit(ran.append, i)
        raise raised
    assert caught.value is raised
    assert (ended.is_set(), ran, queue.stop(0)) == (True, [], report(done=1, cancelled=5))


def test_a_block_may_be_left_after_a_stop_and_entered_again():
    """
    Nested and repeated blocks are stops like any other.
    """
    with WorkerQueue(1, 8) as queue, queue:
        queue.submit(int)
        assert queue.stop(WAIT) == report(done=1)
    with queue:
        pass
