"""dispatch="ready": each job goes to one chosen idle worker, or to the first that becomes idle."""

import os
import threading

import pytest

from ringpool import Job, QueueStopped, WorkerQueue, current_worker

WAIT = 30


def number():
    return current_worker().number


def all_idle(queue, workers):
    stats = queue.stats()
    return stats.workers == stats.idle == workers


@pytest.fixture
def staffed(until):
    """A queue of so many workers, all of which exist and are idle."""
    made = []

    def make(workers, capacity=64, **settings):
        queue = WorkerQueue(workers, capacity, dispatch="ready", **settings)
        made.append(queue)
        meeting = threading.Barrier(workers + 1)
        for _ in range(workers):
            queue.submit(meeting.wait, WAIT)
        meeting.wait(WAIT)
        until(all_idle, queue, workers)
        return queue

    yield make
    for queue in made:
        assert queue.stop(WAIT).complete


# ---- which worker ------------------------------------------------------------------


def test_any_takes_the_worker_that_was_busy_last(staffed, until):
    """
    One job at a time keeps one worker warm, and wakes one thread for each.
    """
    queue = staffed(3)
    woken = queue.stats().wakes
    seen = []
    for _ in range(50):
        seen.append(queue.submit(number).result(WAIT))
        until(all_idle, queue, 3)
    assert len(set(seen)) == 1
    assert queue.stats().wakes == woken + 50


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_a_function_chooses_the_worker(staffed, until, chosen):
    """
    It gets the Job, also of a plain call, and its worker is taken when that is idle.
    """
    jobs = []

    def choose(job, workers):
        jobs.append(job)
        return chosen

    queue = staffed(3, choose=choose)
    del jobs[:]
    for n in range(30):
        if n % 2:
            future = queue.submit(Job(number, name="named"))
        else:
            future = queue.submit(number)
        assert future.result(WAIT) == chosen
        until(all_idle, queue, 3)
    assert [job.title for job in jobs] == 15 * ["number", "named"]
    assert all(isinstance(job, Job) for job in jobs)


def test_none_and_a_number_that_nobody_has_mean_any(staffed):
    """
    The function has no wish; or its wish is beyond the workers there are.
    """
    queue = staffed(2, choose=lambda job, workers: None)
    assert queue.submit(number).result(WAIT) in (0, 1)
    queue = staffed(2, choose=lambda job, workers: 2**31 - 1)
    assert queue.submit(number).result(WAIT) in (0, 1)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (-1, ValueError, "what choose returned must be 0 or greater, got -1"),
        ("0", TypeError, "what choose returned must be a whole number, got '0'"),
        (1.0, TypeError, "what choose returned must be a whole number"),
        (2**31, ValueError, "what choose returned must be at most"),
        (ZeroDivisionError("in choose"), ZeroDivisionError, "in choose"),
        (KeyboardInterrupt("in choose"), KeyboardInterrupt, "in choose"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("method", ["submit", "try_submit"])
def test_a_function_that_answers_nonsense_is_told_at_submit(answer, error, words, method):
    """
    The error comes out, no trace of the job is left, and the queue goes on.
    """
    answers = [answer, None]

    def choose(job, workers):
        value = answers.pop(0)
        if isinstance(value, BaseException):
            raise value
        return value

    ran = []
    with WorkerQueue(1, 4, dispatch="ready", choose=choose) as queue:
        with pytest.raises(error, match=words):
            getattr(queue, method)(ran.append, 1)
        assert queue.stats().accepted == 0
        assert queue.submit(int).result(WAIT) == 0
    assert ran == []


def test_a_chosen_worker_that_is_busy_is_not_waited_for(staffed, gate):
    """
    Another idle one takes the job: a wish, and not a place.
    """
    queue = staffed(2, choose=lambda job, workers: 0)
    running = queue.submit(lambda: (gate(), number())[1])
    gate.wait_until_entered()
    assert [queue.submit(number).result(WAIT) for _ in range(10)] == 10 * [1]
    gate.open()
    assert running.result(WAIT) == 0


def test_jobs_wait_for_the_first_worker_that_becomes_idle(staffed):
    """
    Whoever was chosen: nobody is idle while anything waits.
    """
    queue = staffed(2, choose=lambda job, workers: 0)
    gates = [threading.Semaphore(0), threading.Semaphore(0)]
    entered = threading.Semaphore(0)

    def stand():
        mine = number()
        entered.release()
        assert gates[mine].acquire(timeout=WAIT)
        return mine

    first = [queue.submit(stand), queue.submit(stand)]
    for _ in range(2):
        assert entered.acquire(timeout=WAIT)
    late = [queue.submit(number) for _ in range(5)]
    gates[1].release()
    assert [job.result(WAIT) for job in late] == 5 * [1]
    gates[0].release()
    assert sorted(job.result(WAIT) for job in first) == [0, 1]


def test_affinity_gives_a_key_its_worker(staffed, until):
    """
    The same for equal keys, and with integers, whose hash is known, each its own.
    """
    queue = staffed(3, choose="affinity")
    for n in range(45):
        key = (n * 7) % 9 - 3
        assert queue.submit(Job(number, key=key)).result(WAIT) == key % 3 if key != -1 else True
        until(all_idle, queue, 3)
    seen = set()
    for _ in range(10):
        seen.add(queue.submit(Job(number, key="some user")).result(WAIT))
        until(all_idle, queue, 3)
    assert len(seen) == 1


def test_affinity_without_a_key_is_any(staffed):
    """
    Plain jobs are run by whoever is idle.
    """
    queue = staffed(2, choose="affinity")
    assert {queue.submit(number).result(WAIT) for _ in range(20)} <= {0, 1}


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"dispatch": "other"}, ValueError, 'dispatch must be one of "shared", "ready"'),
        ({"dispatch": None}, ValueError, "dispatch must be"),
        ({"dispatch": "ready", "choose": "nearest"}, ValueError, 'choose must be one of "any", "affinity"'),
        ({"dispatch": "ready", "choose": 3}, ValueError, "choose must be"),
        ({"dispatch": "ready", "choose": None}, ValueError, "choose must be"),
        ({"choose": "affinity"}, ValueError, 'choose is for dispatch="ready"'),
        ({"choose": len}, ValueError, 'choose is for dispatch="ready"'),
    ],
    ids=repr,
)
def test_what_makes_no_sense_is_refused(settings, error, words):
    """
    At construction.
    """
    with pytest.raises(error, match=words):
        WorkerQueue(1, 1, **settings)


# ---- nothing is lost on its way to a worker --------------------------------------------


@pytest.mark.parametrize(
    "choose", ["any", "affinity", lambda job, workers: job.args[0][1] % 4], ids=["any", "key", "function"]
)
@pytest.mark.stress
def test_every_job_is_run_once(choose, run_in_threads):
    """
    Ledger: four producers, three workers that go idle again and again.
    """
    ran = []
    with WorkerQueue(3, 8, dispatch="ready", choose=choose) as queue:

        def produce(producer):
            for n in range(2000):
                if n % 3 == 0:
                    queue.submit(Job(ran.append, (producer, n), key=n % 4))
                else:
                    queue.submit(ran.append, (producer, n))
                if n % 50 == 0:
                    queue.wait(WAIT)

        run_in_threads(4, produce)
    assert sorted(ran) == [(producer, n) for producer in range(4) for n in range(2000)]


@pytest.mark.parametrize("end", ["stop", "stop_now"])
@pytest.mark.stress
def test_a_queue_may_close_while_jobs_are_handed_out(run_in_threads, end):
    """
    What was accepted is run, or cancelled by stop_now(); what is in an inbox too.
    """
    for _ in range(60):
        ran, accepted = [], []
        queue = WorkerQueue(3, 16, dispatch="ready")
        closing = threading.Barrier(5)

        def produce(producer, queue=queue, ran=ran, accepted=accepted, closing=closing):
            if producer == 4:
                closing.wait(WAIT)
                getattr(queue, end)()
                return
            for n in range(60):
                if n == 20:
                    closing.wait(WAIT)
                try:
                    accepted.append(queue.submit(ran.append, (producer, n)))
                except QueueStopped:
                    return

        run_in_threads(5, produce)
        assert queue.wait(WAIT)
        assert all(future.done() for future in accepted)
        done = sum(not future.cancelled() for future in accepted)
        assert len(set(ran)) == len(ran) == done
        stats = queue.stats()
        assert (stats.accepted, stats.succeeded, stats.queued) == (len(accepted), done, 0)


@pytest.mark.stress
def test_idle_workers_may_leave_while_jobs_are_handed_out(run_in_threads):
    """
    A worker whose time is up may have been chosen in that moment.
    """
    ran = []
    with WorkerQueue(3, 8, dispatch="ready", min_workers=1, idle_timeout=0.0) as queue:

        def produce(producer):
            for n in range(700):
                queue.submit(ran.append, (producer, n)).result(WAIT)

        run_in_threads(4, produce)
    assert sorted(ran) == [(producer, n) for producer in range(4) for n in range(700)]


ON_ONE_PROCESSOR = """
import os, resource, threading, time
from ringpool import WorkerQueue

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
with WorkerQueue(8, 2000, dispatch="ready") as queue:
    meeting = threading.Barrier(9)
    for _ in range(8):
        queue.submit(meeting.wait, 20)
    meeting.wait(20)
    while queue.stats().idle < 8:
        time.sleep(0.001)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for future in [queue.submit(int) for _ in range(2000)]:
        future.result(20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be kept to one processor here")
def test_who_is_given_a_job_meets_nobody_at_the_lock_who_gave_it(run_script):
    """
    On one processor the woken worker may have run its job before the one who woke it goes on. Without the GIL, given its
    token under the lock, it then slept for that lock as well: twice a job, 4 000 times and more here.
    """
    done = run_script(ON_ONE_PROCESSOR)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) <= 1.25 * 2000
