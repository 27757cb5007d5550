"""``await queue.submit_async(...)``: backpressure for tasks of asyncio, which hold up no loop."""

import asyncio
import contextvars
import random
import threading

import pytest

from ringpool import Job, JobExpired, QueueStopped, WorkerQueue

WAIT = 30  # seconds after which a wait has failed


def in_loop(main):
    """``asyncio.run(main())`` that cannot hang."""

    async def limited():
        return await asyncio.wait_for(main(), WAIT)

    return asyncio.run(limited())


async def comes_true(condition):
    while not condition():
        await asyncio.sleep(0.0005)


class Full:
    """A queue of one worker, which stands at a gate, and of one place, which is taken."""

    def __init__(self, gate, **settings):
        self.queue = WorkerQueue(1, 1, **settings)
        self.ran = []
        self.gate = gate
        self.queue.submit(gate)
        gate.wait_until_entered()
        self.queue.submit(self.ran.append, "first")

    async def guests(self, *names):
        """A task for each name, which waits for room; the first one's thread does too."""
        tasks = []
        for name in names:
            tasks.append(asyncio.create_task(self.queue.submit_async(self.ran.append, name)))
            await asyncio.sleep(0)
        await comes_true(lambda: self.queue.stats().blocked == 1)
        return tasks


@pytest.fixture
def full(gate):
    made = []

    def make(**settings):
        made.append(Full(gate, **settings))
        return made[-1]

    yield make
    gate.open()
    for one in made:
        assert one.queue.stop(WAIT).complete


def test_it_returns_the_awaitable_of_a_job_when_that_is_queued(gate):
    async def main():
        with WorkerQueue(1, 4) as queue:
            awaitable = await queue.submit_async(gate, 5)
            await comes_true(queue.running)
            assert not awaitable.done()
            gate.open()
            assert await awaitable == awaitable.job.result() == 5
            assert await (await queue.submit_async(Job(int, "ff", kwargs={"base": 16}, priority=1))) == 255
            assert queue._lobby is None  # nobody has ever waited

    in_loop(main)


def test_nothing_is_submitted_before_it_is_awaited():
    ran = []
    with WorkerQueue(1, 4) as queue:
        queue.submit_async(ran.append, 1).close()
    assert ran == []


def test_a_full_queue_is_waited_for_while_the_loop_goes_on(full, adds_up):
    """
    First come, first served; it is no refusal, and the thread that waited in their place is gone afterwards.
    """
    one = full()

    async def main():
        tasks = await one.guests(*range(10))
        assert [task.done() for task in tasks] == 10 * [False]
        one.gate.open()
        await asyncio.gather(*[await task for task in tasks])

    in_loop(main)
    assert one.ran == ["first", *range(10)]
    adds_up(stats := one.queue.stats())
    assert (stats.accepted, stats.rejected) == (12, 0)


def test_more_than_fits_goes_through_a_small_queue():
    """
    As many producers as one likes, and no more jobs in the queue than it holds.
    """

    async def main():
        async def produce(n):
            most.append(queue.stats().queued)
            return await (await queue.submit_async(pow, n, 2))

        with WorkerQueue(2, 3) as queue:
            assert await asyncio.gather(*map(produce, range(500))) == [n * n for n in range(500)]

    most = []
    in_loop(main)
    assert max(most) <= 3


def test_newcomers_do_not_pass_those_who_wait():
    """
    Whoever finds room, jobs are queued in the order of the calls.
    """
    ran = []

    async def main():
        async def produce(n):
            await queue.submit_async(ran.append, n)

        with WorkerQueue(1, 1) as queue:
            tasks = []
            for n in range(1000):
                tasks.append(asyncio.create_task(produce(n)))
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)

    in_loop(main)
    assert ran == list(range(1000))


def test_the_thread_that_waits_may_leave_and_come_again_and_again():
    """
    Whoever comes while it is leaving is seen to.
    """

    async def main():
        async def produce():
            for _ in range(300):
                await queue.submit_async(int)

        with WorkerQueue(1, 1) as queue:
            await produce()
            await asyncio.gather(produce(), produce())

    in_loop(main)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", ["cancel", "timeout", "close"])
def test_who_does_not_wait_any_more_is_not_queued(full, adds_up, which, how):
    """Neither the one whose turn it is nor one behind it; the others are."""
    one = full()

    async def main():
        if how == "cancel":
            tasks = await one.guests(0, 1, 2)
            tasks[which].cancel()
        else:
            coroutines = [one.queue.submit_async(one.ran.append, n) for n in range(3)]
            if how == "timeout":
                coroutines[which] = asyncio.wait_for(coroutines[which], 0.01)
            else:
                waits = one.queue.submit_async(one.ran.append, which)
                coroutines[which].close()
                coroutines[which] = closing(waits)
            tasks = []
            for coroutine in coroutines:
                tasks.append(asyncio.create_task(coroutine))
                await asyncio.sleep(0)
        with pytest.raises((asyncio.CancelledError, TimeoutError)):
            await tasks[which]
        one.gate.open()
        del tasks[which]
        await asyncio.gather(*[await task for task in tasks])

    async def closing(waits):
        waits.send(None)
        await comes_true(lambda: which or one.queue.stats().blocked)  # else it may come late: accepted, then cancelled
        waits.close()
        raise asyncio.CancelledError

    in_loop(main)
    assert one.ran == ["first", *({0, 1, 2} - {which})]
    adds_up(stats := one.queue.stats())
    assert (stats.accepted, stats.cancelled, stats.rejected) == (4, 0, 0)


@pytest.mark.parametrize("told", [False, True])
def test_a_job_that_is_queued_before_its_task_is_cancelled_is_cancelled_with_it(gate, until, adds_up, told):
    """
    The loop has yet to hear of it, or the task has: nobody would know of its result.
    """
    ran = []
    second = threading.Event()

    async def main():
        task = asyncio.create_task(queue.submit_async(ran.append, 1))
        while not queue.stats().blocked:
            await asyncio.sleep(0)
        gate.open()
        until(lambda: queue.stats().accepted == 3)  # the loop stands still
        if told:
            lobby = queue._lobby
            until(lambda: lobby.empty)
            asyncio.get_running_loop().call_soon(task.cancel)  # after what the lobby has posted
            await asyncio.sleep(0)
        else:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    with WorkerQueue(1, 1) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        queue.submit(second.wait, WAIT)
        in_loop(main)
        second.set()
    assert ran == []
    stats = queue.stats()
    adds_up(stats)
    assert (stats.accepted, stats.cancelled) == (3, 1)


def test_tasks_that_are_cancelled_at_any_moment_leave_the_queue_in_order(adds_up):
    """
    Ledger: a job was queued if and only if its task got an awaitable, or was cancelled in that very moment.
    """
    ran, got = [], []

    async def main():
        async def produce(n):
            awaitable = await queue.submit_async(ran.append, n)
            got.append(n)
            await awaitable

        with WorkerQueue(2, 2) as queue:
            tasks = [asyncio.create_task(produce(n)) for n in range(400)]
            dice = random.Random(3)
            while not all(task.done() for task in tasks):
                dice.choice(tasks).cancel()
                await asyncio.sleep(0)
            await asyncio.to_thread(queue.wait, WAIT)
            for _ in range(50):
                assert await (await queue.submit_async(int)) == 0
            stats = queue.stats()
            adds_up(stats)
            assert (stats.queued, stats.in_flight, stats.rejected) == (0, 0, 0)
            assert stats.succeeded == len(ran) + 50

    in_loop(main)
    assert len(set(ran)) == len(ran)
    assert 0 < len(got) < 400


@pytest.mark.parametrize("end", ["stop", "stop_now", "block"])
def test_who_waits_when_the_queue_stops_is_told(full, until, end):
    one = full()

    async def main():
        tasks = await one.guests(1, 2, 3)
        if end == "stop_now":
            one.queue.stop_now()
        elif end == "stop":
            one.queue.stop(0)
        else:
            none_is_left = lambda: one.queue._stops_now and one.queue.stats().queued == 0  # noqa: E731
            threading.Thread(target=lambda: until(none_is_left) and one.gate.open()).start()
            with pytest.raises(ZeroDivisionError), one.queue:
                raise ZeroDivisionError
        for task in tasks:
            with pytest.raises(QueueStopped, match="it was stopped"):
                await task

    in_loop(main)
    one.gate.open()
    assert one.queue.stop(WAIT).complete
    assert one.ran == (["first"] if end == "stop" else [])


def test_a_queue_that_was_stopped_refuses_at_once():
    async def main():
        with pytest.raises(QueueStopped):
            await queue.submit_async(int)

    queue = WorkerQueue(1, 1)
    queue.stop()
    in_loop(main)


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize(
    ("args", "error", "words"),
    [
        (("no function",), TypeError, "fn must be callable or a Job"),
        ((Job(int), 1), TypeError, "takes no arguments beside a Job"),
        ((Job(int, lane="none"),), ValueError, "lane must be one of"),
        ((Job(int, name="unwanted"),), LookupError, "unwanted"),
    ],
)
def test_what_submit_would_raise_comes_out_of_it(full, is_full, args, error, words):
    def choose(job, workers):
        if job.name == "unwanted":
            raise LookupError(job.name)

    async def main():
        with pytest.raises(error, match=words):
            await queue.submit_async(*args)

    if is_full:
        queue = full(dispatch="ready", choose=choose).queue
        in_loop(main)
    else:
        with WorkerQueue(1, 1, dispatch="ready", choose=choose) as queue:
            in_loop(main)


def test_a_choice_that_fails_only_after_the_wait_comes_out_too(full):
    """
    The second call of *choose*, when there is room, is on another thread.
    """
    calls = iter([None, None, None])  # the two jobs that fill it, and the first look

    def choose(job, workers):
        return next(calls)

    one = full(dispatch="ready", choose=choose)

    async def main():
        with pytest.raises(RuntimeError, match="StopIteration"):
            await one.queue.submit_async(int)

    in_loop(main)


def test_the_job_sees_the_variables_of_its_task(full):
    variable = contextvars.ContextVar("variable")
    one = full()

    async def task(value):
        variable.set(value)
        return await (await one.queue.submit_async(variable.get))

    async def main():
        tasks = [asyncio.create_task(task(n)) for n in range(5)]
        await comes_true(lambda: one.queue.stats().blocked == 1)
        one.gate.open()
        assert await asyncio.gather(*tasks) == list(range(5))

    in_loop(main)


@pytest.mark.parametrize("overflow", ["raise", "drop_newest", "drop_oldest", "caller_runs"])
def test_overflow_has_no_say(full, overflow):
    one = full(overflow=overflow)

    async def main():
        (task,) = await one.guests("second")
        one.gate.open()
        await (await task)

    in_loop(main)
    assert one.ran == ["first", "second"]


def test_a_job_that_is_good_no_more_when_there_is_room_ends_in_job_expired(full):
    """
    As that of a submit which waits for room.
    """
    one = full()

    async def main():
        task = asyncio.create_task(one.queue.submit_async(Job(int, expires_in=0.0)))
        await comes_true(lambda: one.queue.stats().blocked == 1)
        one.gate.open()
        with pytest.raises(JobExpired):
            await (await task)

    in_loop(main)


def test_a_reader_of_results_holds_tasks_back_as_it_does_threads():
    """
    And lets them go on.
    """

    async def main():
        queue = WorkerQueue(1, 8, keep_results=2)
        results = queue.results()
        for _ in range(2):
            await (await queue.submit_async(int))
        task = asyncio.create_task(queue.submit_async(int))
        await comes_true(lambda: queue.stats().blocked == 1)
        assert not task.done()
        assert next(results).result() == 0
        assert await (await task) == 0
        queue.stop()
        assert len(list(results)) == 2

    in_loop(main)


def test_loops_in_several_threads_wait_for_one_queue(run_in_threads):
    with WorkerQueue(2, 2) as queue:

        def loop_of(name):
            async def main():
                async def one(n):
                    return await (await queue.submit_async(lambda: (name, n)))

                return await asyncio.gather(*map(one, range(200)))

            return in_loop(main)

        for name, got in enumerate(run_in_threads(3, loop_of)):
            assert got == [(name, n) for n in range(200)]


def test_a_thread_that_cannot_be_started_is_an_error_of_the_call(full, monkeypatch):
    """
    No trace of the job is left, and the next call tries again.
    """
    one = full()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    async def main():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await one.queue.submit_async(one.ran.append, "never")
        (task,) = await one.guests("second")
        one.gate.open()
        await (await task)

    in_loop(main)
    assert one.ran == ["first", "second"]


def test_a_loop_that_ends_leaves_nobody_waiting(full):
    """
    asyncio.run() cancels what still waits; the thread ends with the queue, or as soon as there is room.
    """
    one = full()

    async def main():
        await one.guests("never", "neither")

    in_loop(main)
    one.gate.open()
    one.queue.wait(WAIT)
    assert one.ran == ["first"]


def test_at_interpreter_exit_nobody_is_waited_for(run_script):
    """
    What a task waits for room with is refused, and what is queued runs.
    """
    done = run_script(
        """
import asyncio, threading
from ringpool import WorkerQueue

gate = threading.Event()
queue = WorkerQueue(1, 1)
running = queue.submit(gate.wait)
while not queue.running():
    pass
queue.submit(print, "queued")
loop = asyncio.new_event_loop()
task = loop.create_task(queue.submit_async(print, "never"))
while not queue.stats().blocked:
    loop.run_until_complete(asyncio.sleep(0))
threading.Timer(0.2, gate.set).start()
task._log_destroy_pending = False
"""
    )
    assert (done.returncode, done.stdout) == (0, "queued\n"), done.stderr


def test_outside_of_a_loop_it_cannot_be_awaited():
    with WorkerQueue(1, 1) as queue:
        coroutine = queue.submit_async(int)
        with pytest.raises(RuntimeError, match="no running event loop"):
            coroutine.send(None)
        assert queue.stats().accepted == 0
