"""How finished jobs get to their loop: also one that is closed, or fails; also jobs that come twice, or are not ours."""

import asyncio
import contextvars
import gc
import logging
import threading
import weakref
from concurrent import futures

import pytest

from ringpool import ThreadPoolExecutor

WAIT = 30  # seconds after which a wait has failed


def in_loop(main, loop_factory=None):
    """``asyncio.run(main())`` that cannot hang."""

    async def limited():
        return await asyncio.wait_for(main(), WAIT)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(limited())


# ---- a closed loop is not kept ----------------------------------------------------------


def refer(pool, gate):
    """A task that leaves jobs behind: one that runs, one that is queued; weak references to them and the loop."""

    async def main():
        jobs = pool.run(gate), pool.run(int)
        return [weakref.ref(each) for each in (asyncio.get_running_loop(), *jobs)]

    return main()


def all_gone(references):
    def look():
        gc.collect()
        return not any(reference() is not None for reference in references)

    return look


def test_a_loop_that_is_closed_before_its_jobs_have_ended_goes_when_they_have(gate, until):
    with ThreadPoolExecutor(1) as pool:
        references = asyncio.run(refer(pool, gate))
        gate.open()
        until(all_gone(references))  # with nobody's help: no other loop comes


def test_a_loop_that_is_closed_before_it_was_told_goes_when_the_next_one_comes(gate, until):
    with ThreadPoolExecutor(1) as pool:
        loop = asyncio.new_event_loop()
        references = loop.run_until_complete(refer(pool, gate))
        gate.open()
        pool.submit(int).result(WAIT)  # the worker has posted both, and called the loop
        loop.close()
        del loop

        async def main():
            return await pool.run(int)

        assert in_loop(main) == 0
        until(all_gone(references))


# ---- a loop that cannot be called ---------------------------------------------------------


class FailsOnce(asyncio.SelectorEventLoop):
    calls = 0

    def call_soon_threadsafe(self, callback, *args, context=None):
        self.calls += 1
        if self.calls == 1:
            raise MemoryError("no room for a handle")
        return super().call_soon_threadsafe(callback, *args, context=context)


def test_a_job_that_could_not_call_its_loop_arrives_with_the_next(caplog):
    async def main():
        with ThreadPoolExecutor(1) as pool:
            first = pool.run(int, "1")
            first.job.result(WAIT)
            pool.submit(int).result(WAIT)  # the worker has tried to call
            return await asyncio.gather(first, pool.run(int, "2"))

    with caplog.at_level(logging.ERROR, logger="concurrent.futures"):
        assert in_loop(main, FailsOnce) == [1, 2]
    assert [record.exc_info[0] for record in caplog.records] == [MemoryError]


# ---- jobs of a submit that somebody has overridden ----------------------------------------------


def test_a_job_that_is_returned_twice_ends_both_awaitables(gate):
    """As where equal calls are made once."""

    class Once(ThreadPoolExecutor):
        made = None

        def submit(self, fn, /, *args, **kwargs):
            if self.made is None:
                self.made = super().submit(fn, *args, **kwargs)
            return self.made

    async def main():
        with Once(1) as pool:
            jobs = [pool.run(gate, "shared") for _ in range(3)]
            gate.wait_until_entered()
            jobs[0].cancel()  # it runs: its awaitable alone is cancelled
            jobs.append(pool.run(gate))
            gate.open()
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert isinstance(results[0], asyncio.CancelledError)
            assert results[1:] == ["shared"] * 3
            assert await pool.run(gate) == "shared"  # has ended long since

    in_loop(main)


class Foreign(futures.Future):
    """One whose cancelled() fails with *error* when it is first asked on the loop."""

    error = None

    def cancelled(self):
        error, self.error = self.error, None
        if error is not None:
            raise error
        return super().cancelled()


class Foreigners(ThreadPoolExecutor):
    """fn is what is returned."""

    def submit(self, fn, /, *args, **kwargs):
        return fn


def ended_together(error):
    """The awaitables of three jobs, which are posted together; the second one fails to say how it ended."""
    jobs = [Foreign() for _ in range(3)]
    with Foreigners(1) as pool:
        awaited = [pool.run(job) for job in jobs]
    for number, job in enumerate(jobs):
        job.set_result(number)
    jobs[1].error = error
    return awaited


def test_a_job_that_does_not_say_how_it_ended_is_reported_and_keeps_no_other_waiting(caplog):
    async def main():
        first, _, third = ended_together(ZeroDivisionError("of the job"))
        assert await asyncio.gather(first, third) == [0, 2]

    with caplog.at_level(logging.ERROR, logger="asyncio"):
        in_loop(main)
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError]


def test_an_interrupt_in_between_loses_no_job():
    async def main():
        return await asyncio.gather(*ended_together(KeyboardInterrupt("now")))

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt, match="now"):
            loop.run_until_complete(task)
        assert loop.run_until_complete(asyncio.wait_for(task, WAIT)) == [0, 1, 2]


def test_a_job_that_takes_no_callback_is_cancelled_and_forgotten():
    """As for want of memory: nobody would hear of it."""

    class Deaf(futures.Future):
        def add_done_callback(self, fn):
            raise MemoryError("no room for it")

    async def main():
        job = Deaf()
        with Foreigners(1) as pool:
            with pytest.raises(MemoryError, match="no room"):
                pool.run(job)
        assert job.cancelled()
        gone = weakref.ref(job)
        del job
        gc.collect()
        assert gone() is None

    in_loop(main)


# ---- who runs jobs in the middle of that -----------------------------------------------------------


def test_a_destructor_may_run_jobs_while_the_first_one_of_a_loop_makes_its_way(monkeypatch):
    """A signal handler or a destructor may come anywhere in Python code, also where the way to a loop is made."""
    from ringpool import awaiting

    ended = []

    class Mailbox(awaiting.Mailbox):
        def __init__(self, loop):
            super().__init__(loop)
            if not ended:
                ended.append(None)
                ended.append(pool.run(int, "7"))

    async def main():
        assert await pool.run(int, "8") == 8
        assert await ended[1] == 7

    monkeypatch.setattr(awaiting, "Mailbox", Mailbox)
    with ThreadPoolExecutor(1) as pool:
        thread = threading.Thread(target=contextvars.Context().run, args=(in_loop, main), daemon=True)
        thread.start()
        thread.join(WAIT)
        assert not thread.is_alive(), "the lock was taken by the same thread"
