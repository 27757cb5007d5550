"""
Every object of ringpool that holds objects of its user is seen by the collector.

Each way closes a circle: *thing* holds what ringpool made, and that holds *thing*. With nobody outside the collector
must find it. Seen to fail: with the callbacks left out of what a future shows the collector, and without what a map
shows.
"""

import asyncio
import gc
import threading
import weakref

import pytest

from ringpool import Job, Retry, ThreadPoolExecutor, WorkerQueue, current_job

WAIT = 30


class Thing:
    """Can be referred to weakly, called, and raised from."""

    def __call__(self, *args):
        return self


class Trouble(Exception):
    pass


@pytest.fixture
def collected(until):
    """Asserts that *thing*, which only a circle holds by now, goes."""

    def check(watched):
        until(lambda: gc.collect() >= 0 and watched() is None)

    return check


def fail_with(thing):
    error = Trouble()
    error.thing = thing
    raise error


def a_result(queue, thing):
    thing.held = queue.submit(lambda: thing)


def an_exception(queue, thing):
    thing.held = queue.submit(fail_with, thing)
    assert isinstance(thing.held.exception(WAIT), Trouble)


def a_callback(queue, thing):
    thing.held = queue.submit(int)
    thing.held.add_done_callback(thing)


def an_attribute(queue, thing):
    thing.held = queue.submit(int)
    thing.held.thing = thing


def a_future_of_nobody(queue, thing):
    thing.held = type(queue.submit(int))()
    thing.held.add_done_callback(thing)


def a_cancelled_job(queue, thing):
    thing.held = queue.submit_later(3600, thing, thing, key=thing)
    assert thing.held.cancel()


def a_retried_job(queue, thing):
    retry = Retry(attempts=2, base=0, on=lambda error: thing is not None)
    thing.held = queue.submit(Job(fail_with, thing, retry=retry))
    assert isinstance(thing.held.exception(WAIT), Trouble)


def a_job_that_was_not_submitted(queue, thing):
    retry = Retry(attempts=2, give_up=lambda error: thing is None)
    thing.held = Job(thing, thing, kwargs={"thing": thing}, retry=retry)


def the_key_of_a_job(queue, thing):
    thing.held = queue.submit(Job(int, key=thing))


def the_job_that_runs(queue, thing):
    thing.held = queue.submit(Job(current_job, name="held")).result(WAIT)
    thing.future = queue.submit(Job(lambda: (current_job(), thing)))


def a_map(queue, thing):
    thing.held = queue.map(lambda x: (thing, x), [1, 2, 3], buffersize=2)
    assert next(thing.held) == (thing, 1)


def a_map_as_they_come(queue, thing):
    thing.held = queue.map(lambda x: (thing, x), [1, 2, 3], buffersize=2, ordered=False)
    assert next(thing.held)[0] is thing


def a_group(queue, thing):
    with queue.group() as thing.held:
        thing.held.submit(lambda: thing)


def a_batcher(queue, thing):
    thing.held = queue.batch(lambda items: [thing for _ in items], max_size=2, max_wait=0)
    assert thing.held.submit(1).result(WAIT) is thing


def an_iterator_over_results(queue, thing):
    own = WorkerQueue(1, 8, on_done=thing)
    thing.held = own.results()
    own.submit(lambda: thing)
    own.stop(WAIT)


def a_report(queue, thing):
    own, go_on, runs = WorkerQueue(1, 8), threading.Event(), threading.Event()
    own.submit(lambda: (runs.set(), go_on.wait(WAIT)))
    assert runs.wait(WAIT)
    own.submit(thing).thing = thing
    thing.held = own.stop_now()
    go_on.set()
    own.stop(WAIT)
    assert len(thing.held.cancelled_futures) == 1


def a_list_of_running_jobs(queue, thing):
    go_on, runs = threading.Event(), threading.Event()
    queue.submit(lambda: (runs.set(), go_on.wait(WAIT))).thing = thing
    assert runs.wait(WAIT)
    thing.held = queue.running()
    go_on.set()
    assert len(thing.held) == 1


def what_asyncio_awaits(queue, thing):
    async def main():
        assert await queue.run(lambda: thing) is thing
        thing.held = [queue.run(lambda: thing)]
        await thing.held[0]

    asyncio.run(main())


WAYS = [
    a_result,
    an_exception,
    a_callback,
    an_attribute,
    a_future_of_nobody,
    a_cancelled_job,
    a_retried_job,
    a_job_that_was_not_submitted,
    the_key_of_a_job,
    the_job_that_runs,
    a_map,
    a_map_as_they_come,
    a_group,
    a_batcher,
    an_iterator_over_results,
    a_report,
    a_list_of_running_jobs,
    what_asyncio_awaits,
]


@pytest.mark.parametrize("dispatch", ["shared", "ready"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_circle_is_collected_while_its_queue_lives(way, dispatch, collected):
    with WorkerQueue(2, 16, keep_results=0, dispatch=dispatch) as queue:
        thing = Thing()
        watched = weakref.ref(thing)
        way(queue, thing)
        del thing
        collected(watched)
        assert queue.submit(int).result(WAIT) == 0


HOOKS = "on_start on_done on_retry on_drop on_error worker_init worker_exit choose overflow rate_limit shed".split()


def option_of(thing, hook):
    """What a queue may be given as *hook*, and that refers to *thing*."""
    thing.should_drop = lambda wait, now, last: thing is None
    return {
        "shed": thing,
        "worker_init": lambda: (thing, None)[1],
        "worker_exit": lambda state: (thing, None)[1],
        "choose": lambda job, workers: (thing, None)[1],
        "rate_limit": lambda *job: (thing, None)[1],
    }.get(hook, lambda *args: (thing, None)[1])


# A worker that lives refers to what it calls at its begin and end, as in the standard library.
@pytest.mark.parametrize(
    ("hook", "stopped"),
    [(hook, stopped) for hook in HOOKS for stopped in (True, False) if stopped or not hook.startswith("worker_")],
)
def test_a_queue_and_what_its_options_refer_to_are_collected(hook, stopped, collected):
    thing = Thing()
    option = option_of(thing, hook)
    dispatch = {"dispatch": "ready"} if hook == "choose" else {}
    queue = WorkerQueue(1, 4, **{hook: option}, **dispatch)
    thing.queue = queue
    watched = weakref.ref(thing)
    assert queue.submit(int).result(WAIT) == 0
    threads = list(queue._threads)
    if stopped:
        queue.stop(WAIT)
    del thing, option, queue
    collected(watched)
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive()


def test_an_executor_whose_futures_refer_to_it_is_collected(collected):
    thing = Thing()
    thing.pool = ThreadPoolExecutor(1, initializer=int)
    thing.held = thing.pool.submit(thing)
    assert thing.held.result(WAIT) is thing
    watched = weakref.ref(thing)
    del thing
    collected(watched)
