"""Promises of docs/guarantees.md that no other file's subject is."""

import array
from concurrent import futures

import pytest

from ringpool import Block, Histogram, Job, Lane, Retry, ThreadPoolExecutor, WorkerQueue

WAIT = 30  # seconds after which a wait has failed


def from_a_callback(queue, future):
    called = futures.Future()
    future.add_done_callback(called.set_result)
    called.result(WAIT)


WAYS = {
    "result": lambda queue, future: future.result(WAIT),
    "exception": lambda queue, future: future.exception(WAIT),
    "wait": lambda queue, future: futures.wait([future], WAIT),
    "as_completed": lambda queue, future: list(futures.as_completed([future], WAIT)),
    "done": lambda queue, future: [None for _ in iter(future.done, True)],
    "callback": from_a_callback,
    "results": lambda queue, future: next(queue.results()).result(0),
    "stop": lambda queue, future: queue.stop(WAIT),
}


@pytest.mark.parametrize("kind", ["plain", "keyed", "delayed"])
@pytest.mark.parametrize("way", WAYS)
def test_what_was_done_before_is_seen_after(way, kind):
    """
    Plain numbers in plain memory, each written by one thread and read by the
    other, with nothing but the queue between them.
    """
    order = {"plain": {}, "keyed": {"key": 1}, "delayed": {"delay": 0.0001}}[kind]
    there, back = array.array("q", [0] * 64), array.array("q", [0] * 64)

    def job(n):
        for i in range(64):
            back[i] = there[i] + n

    for n in range(20 if way != "stop" else 3):
        queue = WorkerQueue(1, 8)
        if way == "results":
            queue.results()
        for i in range(64):
            there[i] = n
        WAYS[way](queue, queue.submit(Job(job, n, **order)) if order else queue.submit(job, n))
        assert list(back) == [2 * n] * 64
        queue.stop(WAIT)


@pytest.mark.parametrize("how", ["shutdown", "block"])
def test_what_jobs_did_is_seen_after_the_executors_end(how):
    """
    Of all jobs, whoever ran them.
    """
    back = array.array("q", [0] * 200)
    with ThreadPoolExecutor(4) as pool:
        for i in range(200):
            pool.submit(back.__setitem__, i, i)
        if how == "shutdown":
            pool.shutdown()
            assert list(back) == list(range(200))
    assert list(back) == list(range(200))


def test_values_do_not_change(gate):
    """
    So threads may share them: nothing public can be set, not even a new name.
    """
    with WorkerQueue(1, 8, lanes={"a": Lane()}) as queue:
        queue.submit(gate)
        gate.wait_until_entered()
        values = [Retry(), Lane(), Block(1.0), Histogram([1]), queue.stats(), queue.times()]
        values += [queue.running()[0], queue.stop(0), queue.stats().lanes["a"]]
        gate.open()
    for value in values:
        public = [name for name in dir(type(value)) if not name.startswith("_")]
        for name in [*public, "anything"]:
            before = getattr(value, name, None)
            with pytest.raises((AttributeError, TypeError)):
                setattr(value, name, 1)
            assert getattr(value, name, None) == before
