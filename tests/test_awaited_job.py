"""What ``pool.run()`` returns is a future to all of asyncio, and costs less than one of its own."""

import asyncio
import contextvars
import gc
import logging
import threading

import pytest

from ringpool import ThreadPoolExecutor, WorkerQueue

WAIT = 30  # seconds after which a wait has failed

variable = contextvars.ContextVar("variable", default="unset")


def in_loop(main, **options):
    """``asyncio.run(main())`` that cannot hang."""

    async def limited():
        return await asyncio.wait_for(main(), WAIT)

    return asyncio.run(limited(), **options)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def held(gate):
    """A pool whose only worker stands at the gate until the test opens it."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        gate.wait_until_entered()
        yield pool
        gate.open()


def fail():
    raise LookupError("here")


# ---- asyncio takes it ---------------------------------------------------------------------


async def by_await(pool):
    return [await pool.run(int, "7")]


async def by_gather(pool):
    return await asyncio.gather(pool.run(int, "7"), pool.run(int, "8"))


async def by_wait(pool):
    done, pending = await asyncio.wait([pool.run(int, "7"), pool.run(int, "7")])
    assert not pending
    return [job.result() for job in done]


async def by_as_completed(pool):
    return [await job for job in asyncio.as_completed([pool.run(int, "7"), pool.run(int, "7")])]


async def by_shield(pool):
    return [await asyncio.shield(pool.run(int, "7"))]


async def by_wait_for(pool):
    return [await asyncio.wait_for(pool.run(int, "7"), WAIT)]


async def by_timeout(pool):
    async with asyncio.timeout(WAIT):
        return [await pool.run(int, "7")]


async def by_task_group(pool):
    async def one():
        return await pool.run(int, "7")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(3)]
    return [task.result() for task in tasks]


async def by_ensure_future(pool):
    job = pool.run(int, "7")
    assert asyncio.ensure_future(job) is job
    return [await job]


async def by_yield_from(pool):
    class Old:
        def __await__(self):
            return (yield from pool.run(int, "7"))

    return [await Old()]


async def twice(pool):
    job = pool.run(int, "7")
    return [await job, await job, job.result()]


WAYS = [
    by_await, by_gather, by_wait, by_as_completed, by_shield, by_wait_for, by_timeout, by_task_group, by_ensure_future,
    by_yield_from, twice,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("tasks", ["C", "Python", "debug"])
def test_whatever_takes_a_future_takes_it(pool, way, tasks):
    async def main():
        if tasks == "Python":
            asyncio.get_running_loop().set_task_factory(
                lambda loop, coro, **options: asyncio.tasks._PyTask(coro, loop=loop, **options)
            )
            return await asyncio.get_running_loop().create_task(way(pool))
        return await way(pool)

    assert set(in_loop(main, debug=tasks == "debug")) <= {7, 8}


def test_a_loop_runs_until_it_has_ended(pool):
    with asyncio.Runner() as runner:
        job = runner.run(started(pool))
        assert runner.get_loop().run_until_complete(job) == 7


async def started(pool):
    return pool.run(int, "7")


def test_gather_tells_of_the_first_error_or_returns_them_all(pool):
    async def main():
        with pytest.raises(LookupError, match="here"):
            await asyncio.gather(pool.run(int), pool.run(fail))
        zero, error = await asyncio.gather(pool.run(int), pool.run(fail), return_exceptions=True)
        assert (zero, str(error)) == (0, "here")

    in_loop(main)


def test_a_cancelled_gather_cancels_its_jobs_and_gather_tells_of_a_cancelled_job(held):
    async def main():
        one, other, *jobs = [held.run(int) for _ in range(5)]
        other.cancel("not this one")
        with pytest.raises(asyncio.CancelledError, match="not this one"):
            await asyncio.gather(one, other)
        assert not one.cancelled()
        (error,) = await asyncio.gather(other, return_exceptions=True)
        assert isinstance(error, asyncio.CancelledError) and error.args == ("not this one",)
        everything = asyncio.gather(*jobs)
        everything.cancel()
        with pytest.raises(asyncio.CancelledError):
            await everything
        assert all(job.cancelled() and job.job.cancelled() for job in jobs)

    in_loop(main)


def test_a_shield_keeps_the_job(held, gate):
    async def main():
        job = held.run(int, "7")
        outer = asyncio.shield(job)
        outer.cancel()
        gate.open()
        assert await job == 7 and outer.cancelled()

    in_loop(main)


# ---- what it says ---------------------------------------------------------------------------


def test_it_says_how_it_is(held, gate):
    async def main():
        job = held.run(int, "7")
        assert asyncio.isfuture(job) and job.get_loop() is asyncio.get_running_loop()
        assert not job.done() and not job.cancelled()
        assert repr(job).startswith("<AwaitedJob pending job=<Future ")
        for look in (job.result, job.exception):
            with pytest.raises(asyncio.InvalidStateError, match="has not ended"):
                look()
        gate.open()
        await job
        assert job.done() and not job.cancelled() and not job.cancel()
        assert (job.result(), job.exception(), job.job.result()) == (7, None, 7)
        assert repr(job).startswith("<AwaitedJob finished job=<Future ")

    in_loop(main)


def test_it_is_done_when_the_loop_gets_to_it(pool):
    """Whoever looks twice without an await between sees the same, as of any future of a loop."""

    async def main():
        job = pool.run(int)
        assert job.job.result(WAIT) == 0 and not job.done()
        await job
        assert job.done()

    in_loop(main)


def test_a_cancelled_one_says_why(held):
    async def main():
        job = held.run(int)
        assert job.cancel("no use") and not job.cancel()
        for look in (job.result, job.exception):
            with pytest.raises(asyncio.CancelledError, match="no use"):
                look()
        assert repr(job).startswith("<AwaitedJob cancelled job=<Future ")

    in_loop(main)


@pytest.mark.parametrize("name", ["set_result", "set_exception"])
def test_nobody_sets_its_outcome(held, name):
    async def main():
        job = held.run(int)
        with pytest.raises(RuntimeError, match="ends as its job does"):
            getattr(job, name)(None)
        assert not job.done()

    in_loop(main)


def test_only_a_task_can_await_it(held):
    async def main():
        steps = held.run(int).__await__()
        next(steps)
        with pytest.raises(RuntimeError, match="awaited by something else"):
            next(steps)

    in_loop(main)


# ---- callbacks --------------------------------------------------------------------------------


async def ended(job):
    """Wait for its end by asking the loop, so that no callback of ours is there."""
    while not job.done():
        await asyncio.sleep(0)


def test_callbacks_are_called_on_the_loop_in_order_and_not_if_taken_back(held, gate):
    async def main():
        called = []

        def one(job):
            called.append(("one", job, threading.get_ident()))

        def other(job):
            called.append(("other", job, threading.get_ident()))

        job = held.run(int)
        for callback in (one, other, one, other):
            job.add_done_callback(callback)
        assert job.remove_done_callback(one) == 2 and job.remove_done_callback(one) == 0
        job.add_done_callback(one)
        gate.open()
        await ended(job)
        await asyncio.sleep(0)
        here = threading.get_ident()
        assert called == [("other", job, here), ("other", job, here), ("one", job, here)]
        job.add_done_callback(one)
        assert len(called) == 3  # by the loop, not by add_done_callback
        await asyncio.sleep(0)
        assert len(called) == 4

    in_loop(main)


def test_what_is_no_callback_is_refused(held):
    async def main():
        with pytest.raises(TypeError, match="fn must be callable"):
            held.run(int).add_done_callback(None)

    in_loop(main)


def test_all_of_a_burst_have_ended_before_the_first_is_told(held, gate):
    async def main():
        jobs = [held.run(int) for _ in range(3)]
        seen = []
        for job in jobs:
            job.add_done_callback(lambda job: seen.append([one.done() for one in jobs]))
        gate.open()
        held.submit(int).result(WAIT)  # its worker has posted all of them
        await asyncio.gather(*jobs)
        assert seen == [[True] * 3] * 3

    in_loop(main)


def test_a_callback_sees_the_context_in_which_it_was_added_and_no_other_callbacks(held, gate):
    async def main():
        seen = {}

        def note(name):
            def callback(job):
                seen[name] = variable.get()
                variable.set(f"left by {name}")

            return callback

        jobs = [held.run(int) for _ in range(3)]
        jobs[0].add_done_callback(note("unset"))
        jobs[1].add_done_callback(note("unset too"))
        variable.set("ours")
        jobs[1].add_done_callback(note("ours"))
        given = contextvars.copy_context()
        given.run(variable.set, "given")
        jobs[2].add_done_callback(note("given"), context=given)
        jobs[2].add_done_callback(note("ours too"))
        gate.open()
        await asyncio.gather(*jobs)
        assert seen == {"unset": "unset", "unset too": "unset", "ours": "ours", "given": "given", "ours too": "ours"}
        assert variable.get() == "ours" and given[variable] == "left by given"

    in_loop(main)


def test_a_callback_keeps_its_context_whoever_cancels_the_job_or_takes_another_callback_back(held, gate):
    async def main():
        seen = []

        def look(job):
            seen.append(variable.get())

        cancelled, kept = held.run(int), held.run(int)
        for job in (cancelled, kept):
            job.add_done_callback(look)
            job.add_done_callback(print)
        variable.set("of whoever came later")
        for job in (cancelled, kept):
            job.remove_done_callback(print)
        cancelled.cancel()
        await asyncio.sleep(0)
        assert seen == ["unset"]
        gate.open()
        await kept
        assert seen == ["unset", "unset"]

    contextvars.Context().run(in_loop, main)


def test_a_callback_that_fails_to_compare_is_kept_and_so_are_the_others(held, gate):
    class Incomparable:
        def __eq__(self, other):
            raise ZeroDivisionError("no")

        def __call__(self, job):
            called.append("incomparable")

    called = []

    async def main():
        job = held.run(int)
        job.add_done_callback(lambda job: called.append("other"))
        job.add_done_callback(Incomparable())
        with pytest.raises(ZeroDivisionError):
            job.remove_done_callback(print)
        gate.open()
        await job

    in_loop(main)
    assert called == ["other", "incomparable"]


def test_a_job_is_cancelled_though_its_loop_cannot_be_called_any_more(held):
    async def main():
        job = held.run(int)
        job.add_done_callback(print)
        return job

    job = in_loop(main)
    with pytest.raises(RuntimeError, match="closed"):
        job.cancel()
    assert job.cancelled() and job.job.cancelled()


def test_an_error_that_is_raised_often_has_the_traceback_of_once(pool):
    def length(traceback):
        return 0 if traceback is None else 1 + length(traceback.tb_next)

    async def main():
        job, lengths = pool.run(fail), []
        for _ in range(5):
            with pytest.raises(LookupError) as caught:
                await job
            lengths.append(length(caught.value.__traceback__))
        assert len(set(lengths[1:])) == 1, lengths  # the first time it was thrown into the task

    in_loop(main)


def test_what_a_callback_raises_is_the_loops_to_report_and_the_others_are_called(pool, caplog):
    async def main():
        told = asyncio.Event()

        def broken(job):
            raise ZeroDivisionError("of the callback")

        job = pool.run(int)
        job.add_done_callback(broken)
        job.add_done_callback(lambda job: told.set())
        await told.wait()

    with caplog.at_level(logging.ERROR, logger="asyncio"):
        in_loop(main)
    (record,) = caplog.records
    assert "broken" in record.getMessage() and record.exc_info[0] is ZeroDivisionError


def test_an_exit_in_a_callback_ends_the_loop_and_the_others_are_called_when_it_goes_on(held, gate):
    told = []

    def leave(job):
        raise SystemExit("enough")

    async def main():
        jobs = [held.run(int) for _ in range(3)]
        jobs[0].add_done_callback(leave)
        for job in jobs:
            job.add_done_callback(told.append)
        gate.open()
        held.submit(int).result(WAIT)  # its worker has posted all of them
        return await asyncio.gather(*jobs)

    with asyncio.Runner() as runner:
        task = runner.get_loop().create_task(main())
        with pytest.raises(SystemExit, match="enough"):
            runner.get_loop().run_forever()
        assert told == []
        assert runner.get_loop().run_until_complete(task) == [0, 0, 0]
        assert len(told) == len(set(told)) == 3


# ---- what it costs: gates that do not depend on a clock ----------------------------------------------


def test_a_burst_makes_no_handle_for_each_job(held, gate):
    """Each call through the loop is one: the burst's, gather's own and its task's."""

    async def main():
        loop, calls = asyncio.get_running_loop(), []
        jobs = asyncio.gather(*[held.run(int) for _ in range(1000)])
        for name in ("call_soon", "call_soon_threadsafe"):
            plain = getattr(loop, name)
            setattr(loop, name, lambda *args, plain=plain, **options: (calls.append(args), plain(*args, **options))[1])
        gate.open()
        held.submit(int).result(WAIT)  # the loop stands still until all have ended: what it takes meanwhile is its own
        await jobs
        assert len(calls) < 10, "calls of the loop for a burst of 1000"

    in_loop(main)


def test_a_pending_one_is_one_object_for_the_collector(gate):
    """Without the GIL it is their number that brings collections, and these stop the world."""

    def told(job):
        pass

    async def main():
        with WorkerQueue(1, 2001) as queue:
            queue.submit(gate)
            gate.wait_until_entered()
            warm = [queue.run(int) for _ in range(1000)]
            gc.collect()
            before = len(gc.get_objects())
            jobs = [queue.run(int) for _ in range(1000)]
            for job in jobs:
                job.add_done_callback(told)
            made = len(gc.get_objects()) - before
            gate.open()
            await asyncio.gather(*warm, *jobs)
        # itself, and its job; its first callback is in it, and needs no context of its own
        assert made <= 2 * 1000 + 50, made

    contextvars.Context().run(in_loop, main)  # or each job would have a copy of the test's
