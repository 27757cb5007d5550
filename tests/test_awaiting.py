"""``await pool.run(...)``: jobs for asyncio."""

import asyncio
import contextvars
import gc
import logging
import threading
import weakref

import pytest

from ringpool import Job, ThreadPoolExecutor, WorkerQueue, current_job

WAIT = 30  # seconds after which a wait has failed


def in_loop(main, loop_factory=None):
    """``asyncio.run(main())`` that cannot hang."""

    async def limited():
        return await asyncio.wait_for(main(), WAIT)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(limited())


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_run_returns_an_awaitable_of_the_result(pool):
    async def main():
        return await pool.run(int, "ff", base=16)

    assert in_loop(main) == 255


def test_run_submits_before_it_is_awaited(pool):
    """As run_in_executor does: the awaitable may be kept, gathered or shielded."""
    ran = threading.Event()

    async def main():
        awaitable = pool.run(ran.set)
        assert await asyncio.to_thread(ran.wait, WAIT)
        await awaitable

    in_loop(main)


def test_run_raises_what_the_job_raised(pool):
    def job():
        raise LookupError("here")

    async def main():
        with pytest.raises(LookupError, match="here") as caught:
            await pool.run(job)
        assert [entry.name for entry in caught.traceback][-1] == "job"

    in_loop(main)


def test_stop_iteration_of_a_job_becomes_a_runtime_error(pool):
    """No awaitable can raise it: it would end whoever awaits."""

    async def main():
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await pool.run(next, iter(()))
        assert isinstance(caught.value.__cause__, StopIteration)

    in_loop(main)


def test_ten_thousand_are_gathered_in_order(pool):
    async def main():
        return await asyncio.gather(*[pool.run(lambda i=i: i) for i in range(10_000)])

    assert in_loop(main) == list(range(10_000))


class CountingLoop(asyncio.SelectorEventLoop):
    calls = 0

    def call_soon_threadsafe(self, callback, *args, context=None):
        self.calls += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def test_a_burst_that_finishes_while_the_loop_is_busy_reaches_it_in_one_wake_up(pool):
    async def main():
        awaitables = [pool.run(int) for _ in range(1_000)]
        for awaitable in awaitables:
            awaitable.job.result(WAIT)  # the loop stands still meanwhile
        assert asyncio.get_running_loop().calls == 1
        assert await asyncio.gather(*awaitables) == [0] * 1_000

    in_loop(main, CountingLoop)


def test_each_job_reaches_an_idle_loop_at_once(pool):
    async def main():
        for i in range(100):
            assert await pool.run(lambda i=i: i) == i

    in_loop(main)


def test_cancelling_the_awaitable_cancels_a_job_that_has_not_started(gate):
    ran = []

    async def main():
        with ThreadPoolExecutor(1) as pool:
            running = pool.run(gate, "done")
            await asyncio.to_thread(gate.wait_until_entered)
            queued = pool.run(ran.append, 1)
            assert queued.cancel() and queued.job.cancelled()
            gate.open()
            assert await running == "done"
            with pytest.raises(asyncio.CancelledError):
                await queued

    in_loop(main)
    assert ran == []


def test_a_timeout_of_the_awaiting_task_cancels_the_job(gate):
    async def main():
        with ThreadPoolExecutor(1) as pool:
            running = pool.run(gate)
            queued = pool.run(int)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(queued, 0.01)
            assert queued.job.cancelled()
            gate.open()
            await running

    in_loop(main)


def test_cancelling_while_the_job_runs_drops_its_result_only(gate):
    async def main():
        with ThreadPoolExecutor(1) as pool:
            awaitable = pool.run(gate, "result")
            await asyncio.to_thread(gate.wait_until_entered)
            assert awaitable.cancel()
            assert not awaitable.job.cancelled()
            gate.open()
            assert awaitable.job.result(WAIT) == "result"
            assert await pool.run(int) == 0  # and the loop goes on

    in_loop(main)


def test_a_job_that_the_pool_cancels_cancels_its_awaitable(gate):
    async def main():
        pool = ThreadPoolExecutor(1)
        running = pool.run(gate)
        await asyncio.to_thread(gate.wait_until_entered)
        queued = pool.run(int)
        pool.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(asyncio.CancelledError):
            await queued
        gate.open()
        await running

    in_loop(main)


def test_loops_in_several_threads_share_a_pool(pool, run_in_threads):
    def one(number):
        async def main():
            return await asyncio.gather(*[pool.run(lambda i=i: (number, i)) for i in range(500)])

        return in_loop(main)

    for number, got in enumerate(run_in_threads(4, one)):
        assert got == [(number, i) for i in range(500)]


def test_one_loop_after_another_in_one_thread(pool):
    async def main():
        return await pool.run(int, "7")

    assert [in_loop(main) for _ in range(20)] == [7] * 20


def test_a_closed_loop_is_not_kept(pool, until):
    loops = []

    def is_gone():
        gc.collect()
        return loops[0]() is None

    async def main():
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await pool.run(int)

    in_loop(main)
    until(is_gone)  # the worker that called it may be on its way back yet


def test_a_loop_that_has_ended_before_its_job_is_left_alone(gate, caplog):
    """The result has nobody to go to, and nobody is to be told."""
    awaitables = []

    async def main():
        awaitables.append(pool.run(gate))

    with ThreadPoolExecutor(1) as pool:
        in_loop(main)
        with caplog.at_level(logging.WARNING):
            gate.open()
            assert awaitables[0].job.result(WAIT) is None
            assert pool.submit(int).result(WAIT) == 0  # the worker is past the callback
    assert caplog.records == []


def test_the_job_sees_the_variables_of_the_task_that_ran_it(pool):
    variable = contextvars.ContextVar("variable")

    async def task(value):
        variable.set(value)
        return await pool.run(variable.get)

    async def main():
        return await asyncio.gather(*map(task, range(50)))

    assert in_loop(main) == list(range(50))


def test_run_outside_of_a_loop_is_refused_and_queues_nothing(pool):
    ran = []
    with pytest.raises(RuntimeError, match="no running event loop"):
        pool.run(ran.append, 1)
    pool.shutdown()
    assert ran == []


def test_run_after_shutdown_is_refused_at_the_call(pool):
    async def main():
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.run(int)

    pool.shutdown()
    in_loop(main)


def test_run_goes_through_an_overridden_submit(gate):
    class Counting(ThreadPoolExecutor):
        submitted = 0

        def submit(self, fn, /, *args, **kwargs):
            self.submitted += 1
            return super().submit(fn, *args, **kwargs)

    async def main():
        with Counting(1) as pool:
            assert await pool.run(int) == 0
            assert pool.submitted == 1

    in_loop(main)


def test_importing_ringpool_does_not_import_asyncio(run_script):
    done = run_script("import sys, ringpool; assert 'asyncio' not in sys.modules, 'imported'")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_job_that_ends_because_its_awaitable_was_cancelled_is_not_reported(caplog):
    """
    Its error is what was asked for; nobody is left to look at it.
    """
    began = threading.Event()

    def job():
        began.set()
        current_job().sleep(WAIT)
        current_job().check()

    with WorkerQueue(1, 8, keep_results=0) as queue:

        async def main():
            awaitable = queue.run(Job(job))
            assert await asyncio.to_thread(began.wait, WAIT)
            awaitable.cancel()
            with pytest.raises(asyncio.CancelledError):
                await awaitable
            await asyncio.to_thread(queue.wait, WAIT)
            await asyncio.sleep(0)  # what the job posted is delivered

        in_loop(main)
    gc.collect()
    assert caplog.records == []
