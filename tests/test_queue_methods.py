"""The methods of a WorkerQueue that are about this queue: map, run, group, race, batch, install_signal_handlers."""

import asyncio
import itertools
import signal
import threading
from concurrent.futures import CancelledError
from functools import partial

import pytest

from ringpool import GroupClosed, Job, QueueFull, QueueStopped, Retry, WorkerQueue, current_job

WAIT = 30


def here():
    """The queue whose thread this is."""
    return threading.current_thread().name.rpartition("_")[0]


def fail():
    raise OSError("no")


@pytest.fixture
def queue():
    with WorkerQueue(2, 16, name="mine") as queue:
        yield queue


# A queue whose map hands out batches, and those whose items are jobs of their own.
@pytest.fixture(params=[{}, {"order": "lifo"}, {"retry": Retry(attempts=2, base=0)}, {"on_done": lambda future: None}])
def settings(request):
    return request.param


# ---- map -----------------------------------------------------------------------------


def test_map_gives_results_in_order_on_the_queues_own_workers(settings):
    with WorkerQueue(2, 16, name="mine", **settings) as queue:
        assert list(queue.map(pow, range(100), itertools.repeat(2), timeout=WAIT)) == [n * n for n in range(100)]
        assert set(queue.map(lambda _: here(), range(20), timeout=WAIT)) == {"mine"}


@pytest.mark.parametrize("buffersize", [None, 1, 5])
def test_map_reads_no_further_ahead_than_it_may(settings, gate, buffersize):
    """By its buffersize, or the queue's capacity; the input may be endless."""
    read = itertools.count()
    with WorkerQueue(1, 4, **settings) as queue:
        results = queue.map(lambda n: gate(n), read, buffersize=buffersize, timeout=WAIT)
        gate.wait_until_entered()
        gate.open()
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        results.close()
        assert next(read) <= 3 + (buffersize or 4)


def test_map_ends_with_the_first_error(settings):
    with WorkerQueue(1, 16, **settings) as queue:
        results = queue.map(int, ["1", "x", "3"], timeout=WAIT)
        assert next(results) == 1
        with pytest.raises(ValueError, match="'x'"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)


def test_map_tries_each_item_again_that_failed():
    failed = set()

    def once(n):
        if n not in failed:
            failed.add(n)
            raise OSError
        return n

    with WorkerQueue(2, 16, retry=Retry(attempts=2, base=0)) as queue:
        assert list(queue.map(once, range(20), timeout=WAIT)) == list(range(20))
        assert queue.stats().retries == 20


def test_map_of_a_stopped_queue_is_refused(settings):
    queue = WorkerQueue(1, 16, **settings)
    queue.stop()
    with pytest.raises(QueueStopped):
        list(queue.map(int, "12", timeout=WAIT))


# ---- run -----------------------------------------------------------------------------


def in_loop(main):
    async def limited():
        return await asyncio.wait_for(main(), WAIT)

    return asyncio.run(limited())


def test_run_returns_an_awaitable_of_the_result(queue):
    async def main():
        assert await queue.run(here) == "mine"
        assert await queue.run(int, "ff", base=16) == 255
        with pytest.raises(OSError, match="no"):
            await queue.run(fail)

    in_loop(main)


def test_run_takes_a_job(queue):
    def second():
        return fail() if current_job().attempt == 1 else "second"

    async def main():
        return await queue.run(Job(second, retry=Retry(attempts=2, base=0)))

    assert in_loop(main) == "second"


def test_run_never_waits_for_room(gate):
    """Nor does it ask the overflow policy, which may."""

    async def main():
        with WorkerQueue(1, 1, overflow="caller_runs") as queue:
            running = queue.run(gate, "first")
            await asyncio.to_thread(gate.wait_until_entered)
            queued = queue.run(int, "2")
            with pytest.raises(QueueFull):
                queue.run(int, "3")
            gate.open()
            assert await asyncio.gather(running, queued) == ["first", 2]
            assert queue.stats().rejected == 1

    in_loop(main)


def test_a_cancelled_awaitable_cancels_its_job_and_asks_a_running_one_to_end():
    seen = []
    entered = threading.Event()

    def patient():
        entered.set()
        job = current_job()
        for _ in range(WAIT * 100):
            if job.cancelled:
                seen.append("asked")
                return
            threading.Event().wait(0.01)

    async def main():
        with WorkerQueue(1, 4) as queue:
            running = queue.run(patient)
            assert await asyncio.to_thread(entered.wait, WAIT)
            queued = queue.run(seen.append, "ran")
            assert queued.cancel() and queued.job.cancelled()
            assert running.cancel() and not running.job.cancelled()
            for awaitable in (running, queued):
                with pytest.raises(asyncio.CancelledError):
                    await awaitable

    in_loop(main)
    assert seen == ["asked"]


def test_stop_now_cancels_the_awaitable_of_what_has_not_started(gate):
    async def main():
        queue = WorkerQueue(1, 4)
        running = queue.run(gate)
        await asyncio.to_thread(gate.wait_until_entered)
        queued = queue.run(int)
        queue.stop_now()
        with pytest.raises(asyncio.CancelledError):
            await queued
        gate.open()
        assert await running is None
        with pytest.raises(QueueStopped):
            queue.run(int)
        await asyncio.to_thread(queue.wait, WAIT)

    in_loop(main)


def test_loops_in_several_threads_share_a_queue(run_in_threads):
    def one(number):
        async def main():
            return await asyncio.gather(*[queue.run(lambda i=i: (number, i)) for i in range(200)])

        return in_loop(main)

    with WorkerQueue(2, 1000) as queue:
        for number, got in enumerate(run_in_threads(4, one)):
            assert got == [(number, i) for i in range(200)]


def test_run_outside_of_a_loop_is_refused_and_queues_nothing(queue):
    with pytest.raises(RuntimeError, match="no running event loop"):
        queue.run(int)
    assert queue.stats().accepted == 0


# ---- group and race --------------------------------------------------------------------


def test_a_group_runs_its_jobs_in_this_queue_and_waits_for_them(queue):
    with queue.group() as group:
        for _ in range(5):
            group.submit(here)
    assert list(group.results()) == ["mine"] * 5
    assert queue.stats().succeeded == 5


def test_a_group_fails_together(gate):
    with WorkerQueue(1, 16) as queue:
        with pytest.raises(ExceptionGroup) as caught, queue.group() as group:
            rest = [group.submit(gate)]
            gate.wait_until_entered()  # so that nothing has failed before all are there
            group.submit(fail)
            rest += [group.submit(int) for _ in range(2)]
            gate.open()
        assert [type(error) for error in caught.value.exceptions] == [OSError]
        assert all(job.done() for job in rest)
        with pytest.raises(GroupClosed):
            group.submit(int)


def test_two_groups_of_a_queue_are_two(queue):
    with queue.group() as one, queue.group() as other:
        one.submit(int, "1")
        other.submit(int, "2")
    assert (list(one.results()), list(other.results())) == ([1], [2])


def test_a_race_runs_in_this_queue_and_the_first_success_wins(queue):
    assert queue.race(fail, here) == "mine"
    with pytest.raises(ExceptionGroup) as caught:
        queue.race(fail, fail)
    assert len(caught.value.exceptions) == 2
    with pytest.raises(ValueError, match="at least one"):
        queue.race()


def test_a_race_cancels_what_has_not_started(gate):
    with WorkerQueue(1, 16) as queue:
        # One worker: it takes the second call after the first has won, if it takes it at all.
        assert queue.race(partial(int, "1"), *[gate] * 3) == 1
        gate.open()
        queue.wait(WAIT)
        stats = queue.stats()
        assert stats.cancelled >= stats.accepted - 2


# ---- batch -------------------------------------------------------------------------------


def test_a_batch_is_one_job_of_this_queue(queue):
    calls = []

    def double(items):
        calls.append((here(), items))
        return [2 * item for item in items]

    with queue.batch(double, max_size=3, max_wait=WAIT) as batcher:
        futures = [batcher.submit(n) for n in range(3)]
        assert [future.result(WAIT) for future in futures] == [0, 2, 4]
    assert calls == [("mine", [0, 1, 2])]
    assert queue.stats().accepted == 1


def test_a_batch_goes_off_when_its_time_has_come(queue):
    with queue.batch(list, 100, 0.01) as batcher:
        assert batcher.submit("alone").result(WAIT) == "alone"


def test_leaving_a_batcher_on_an_exception_cancels_what_waits(queue):
    with pytest.raises(ZeroDivisionError), queue.batch(list, 100, WAIT) as batcher:
        future = batcher.submit(1)
        raise ZeroDivisionError
    with pytest.raises(CancelledError):
        future.result(WAIT)


# ---- install_signal_handlers ----------------------------------------------------------------


@pytest.fixture
def caught():
    """A handler to come back to, that does not end the test."""
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    yield received
    signal.signal(signal.SIGTERM, before)


def test_the_first_signal_drains_this_queue_and_the_second_stops_it_now(gate, caught):
    queue = WorkerQueue(1, 16)
    other = WorkerQueue(1, 16)
    with queue.install_signal_handlers() as handlers:
        running = queue.submit(gate, "done")
        gate.wait_until_entered()
        queued = queue.submit(int)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(QueueStopped):
            queue.submit(int)
        assert not queued.cancelled()
        signal.raise_signal(signal.SIGTERM)
        assert queued.cancelled()
        assert handlers.received == (signal.SIGTERM, signal.SIGTERM)
        assert other.submit(int, "7").result(WAIT) == 7  # nobody else's
    gate.open()
    assert running.result(WAIT) == "done"
    assert queue.wait(WAIT)
    assert other.stop(WAIT).complete
    signal.raise_signal(signal.SIGTERM)
    assert caught == [signal.SIGTERM]


def test_only_the_signals_that_are_named_are_handled(queue, caught):
    before = signal.getsignal(signal.SIGINT)
    with queue.install_signal_handlers([signal.SIGINT]):
        assert signal.getsignal(signal.SIGINT) is not before
        signal.raise_signal(signal.SIGTERM)
        assert queue.submit(int, "7").result(WAIT) == 7
    assert caught == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGINT) is before
