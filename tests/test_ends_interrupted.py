"""A signal handler that raises while jobs are ended that nobody will run: what is left of them is ended all the same."""

import os
import signal
import threading

import pytest

from ringpool import Job, WorkerQueue

WAIT = 30
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")


class Alarm(Exception):
    pass


@pytest.fixture
def on_signal():
    def raise_alarm(*_):
        handled.set()
        raise Alarm

    handled = threading.Event()
    before = signal.signal(signal.SIGUSR1, raise_alarm)
    yield handled
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("planned", [False, True], ids=["plain", "planned"])
@pytest.mark.parametrize("way", ["stop_now", "drop_oldest"])
def test_no_job_is_lost_when_a_signal_interrupts_their_end(way, planned, gate, on_signal):
    """
    It comes while the first of them cannot be told of its end, since another thread holds its condition. That job was
    then in nobody's hands, and those behind it nobody's to end.
    """
    queue = WorkerQueue(1, 3, overflow="drop_oldest", report_unread=False)
    queue.submit(gate)
    gate.wait_until_entered()
    jobs = [queue.submit(Job(int, priority=1)) if planned else queue.submit(int) for _ in range(3)]
    held, ending = threading.Event(), threading.Event()

    def hold():
        with jobs[0]._condition:
            held.set()
            assert ending.wait(WAIT)
            on_signal.wait(0.05)  # by then it waits for us
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            assert on_signal.wait(WAIT)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(WAIT)
    with pytest.raises(Alarm):
        ending.set()
        queue.stop_now() if way == "stop_now" else queue.submit(int)
    holder.join()
    gate.open()
    assert queue.stop(WAIT).complete
    assert all(job.done() for job in jobs)
