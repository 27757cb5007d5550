"""Producers that wait for room are served in the order in which they came."""

import signal
import threading
import time

import pytest

from ringpool import Job, QueueFull, WorkerQueue

WAIT = 30
N = 12


class Held:
    """A queue whose one worker starts a job for each go(), with a capacity of *capacity* that is used up."""

    def __init__(self, capacity, planned):
        self.ran = []
        self.planned = planned
        self._go = threading.Semaphore(0)
        self.queue = WorkerQueue(1, capacity)
        self.queue.submit(self._job, None)
        while not self.queue.running():
            pass
        for _ in range(capacity):
            self.queue.submit(self._job, None)

    def _job(self, number):
        assert self._go.acquire(timeout=WAIT)
        if number is not None:
            self.ran.append(number)

    def go(self, times=1):
        self._go.release(times)

    def submit(self, number, limit=None):
        if self.planned:
            return self.queue.submit_within(limit, Job(self._job, number))
        return self.queue.submit_within(limit, self._job, number)

    def line_up(self, numbers, *limit):
        """Threads that wait for room, each behind the one before it."""
        threads = []
        for number in numbers:
            before = self.queue.stats().blocked
            threads.append(threading.Thread(target=self.submit, args=(number, *limit)))
            threads[-1].start()
            while self.queue.stats().blocked == before:
                time.sleep(0.0005)
        return threads

    def end(self, threads):
        for thread in threads:
            thread.join(WAIT)
            assert not thread.is_alive(), f"still waits; ran: {self.ran}"
        self.go(1000)
        assert self.queue.stop(WAIT).complete


@pytest.fixture(params=[False, True], ids=["plain", "planned"])
def planned(request):
    return request.param


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
@pytest.mark.parametrize("capacity", [1, 4])
def test_who_came_first_is_served_first(planned, at_once, capacity):
    """
    Also when there is room for many at once: who was woken and is slow to come is not passed by those behind it. (As it
    was, most of these runs had some out of order.)
    """
    for _ in range(5):
        held = Held(capacity, planned)
        threads = held.line_up(range(N))
        for _ in range(1 if at_once else N + capacity):
            held.go(1000 if at_once else 1)
        held.end(threads)
        assert held.ran == list(range(N))


def test_who_gives_up_holds_up_nobody_and_the_others_keep_their_places(planned):
    held = Held(2, planned)
    refused = []

    def give_up(number):
        with pytest.raises(QueueFull):
            held.submit(number, 0.05)
        refused.append(number)

    threads = held.line_up([0, 1])
    leaves = [threading.Thread(target=give_up, args=(number,)) for number in ("a", "b")]
    for thread in leaves:
        thread.start()
    threads += held.line_up([2, 3])
    for thread in leaves:
        thread.join(WAIT)
    assert sorted(refused) == ["a", "b"]
    held.go(1000)
    held.end(threads)
    assert held.ran == [0, 1, 2, 3]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="sends itself a signal")
def test_a_signal_handler_may_wait_for_room_on_top_of_who_is_first_in_the_line(planned):
    """
    It comes last; and what it waits for must not be what the submit below it is to put first.
    """
    held = Held(1, planned)
    entered = threading.Event()
    main = threading.get_ident()

    def handler(number, frame):
        entered.set()
        held.submit("handler")

    def meddle():
        while not held.queue.stats().blocked:
            time.sleep(0.0005)
        threads.extend(held.line_up([1, 2]))
        signal.pthread_kill(main, signal.SIGUSR1)
        assert entered.wait(WAIT)
        while held.queue.stats().blocked < 4:
            time.sleep(0.0005)
        held.go(1000)

    threads = []
    meddler = threading.Thread(target=meddle)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        meddler.start()
        held.submit(0)
        meddler.join(WAIT)
    finally:
        signal.signal(signal.SIGUSR1, before)
    held.end(threads)
    assert sorted(held.ran, key=str) == [0, 1, 2, "handler"]
    assert [number for number in held.ran if number != 0] == [1, 2, "handler"]


def test_nobody_is_left_behind_while_all_kinds_of_producers_come_and_go(planned, run_in_threads):
    """
    With limits that pass just when there is room, and workers of the queue among them, which are refused when they are
    the last that could make some. A wake-up that was lost leaves somebody asleep for ever.
    """
    with WorkerQueue(2, 2) as queue:
        accepted = []

        def again():
            try:
                queue.submit(Job(int) if planned else int)
            except QueueFull:
                return
            accepted.append(1)

        def produce(i):
            for n in range(200):
                try:
                    queue.submit_within(None if i % 2 else 0.0001 * (n % 3), again if i == 3 else int)
                except QueueFull:
                    continue
                accepted.append(1)

        run_in_threads(6, produce)
        assert queue.wait(WAIT)
        assert queue.stats().succeeded == len(accepted)
