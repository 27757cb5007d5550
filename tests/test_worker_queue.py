"""WorkerQueue: construction, every argument, the ways to submit, threads, names, contexts."""

import contextvars
import copy
import gc
import pickle
import threading
import weakref
from concurrent import futures
from decimal import Decimal
from fractions import Fraction

import pytest

import ringpool
from ringpool import QueueFull, QueueStopped, WorkerQueue

WAIT = 30
NAN = float("nan")
INF = float("inf")
SUBMITS = [("submit", ()), ("try_submit", ()), ("submit_within", (WAIT,))]
by_each_submit = pytest.mark.parametrize(("method", "before"), SUBMITS, ids=[name for name, _ in SUBMITS])


@pytest.fixture
def queue():
    queue = WorkerQueue(2, 16)
    yield queue
    assert queue.stop(WAIT).complete


# ---- construction ------------------------------------------------------------

NUMBERS = [
    (0, ValueError, "{} must be greater than 0, got 0"),
    (-1, ValueError, "{} must be greater than 0, got -1"),
    (False, ValueError, "{} must be greater than 0"),
    (2**31, ValueError, "{} must be at most 2147483647"),
    (2**70, ValueError, "{} must be at most 2147483647"),
    (NAN, ValueError, "{} must be a whole number, got NaN"),
    (INF, TypeError, "{} must be a whole number, got inf"),
    (1.0, TypeError, r"{} must be a whole number, got 1\.0"),
    ("4", TypeError, "{} must be a whole number, got '4'"),
    (None, TypeError, "{} must be a whole number, got None"),
    ([1], TypeError, r"{} must be a whole number, got \[1\]"),
]
BAD = [(name, *case) for name in ("workers", "capacity") for case in NUMBERS]
BAD += [
    ("keep_results", -1, ValueError, "{} must be 0 or greater, got -1"),
    ("keep_results", 2**31, ValueError, "{} must be at most 2147483647"),
    ("keep_results", NAN, ValueError, "{} must be a whole number, got NaN"),
    ("keep_results", 1.5, TypeError, "{} must be a whole number"),
    ("keep_results", "1", TypeError, "{} must be a whole number"),
    ("name", 5, TypeError, "{} must be a str, got 5"),
    ("name", b"x", TypeError, "{} must be a str"),
    ("name", "a\0b", ValueError, "{} must not contain a NUL"),
    ("context", "none", ValueError, '{} must be "copy" or None'),
    ("context", True, ValueError, '{} must be "copy" or None'),
    ("context", contextvars.Context(), ValueError, '{} must be "copy" or None'),
]


@pytest.mark.parametrize(("name", "value", "error", "words"), BAD, ids=[f"{case[0]}={case[1]!r:.12}" for case in BAD])
def test_a_wrong_argument_is_refused_and_named(name, value, error, words):
    """
    Found at construction, where it was written, and not at the first job.
    """
    with pytest.raises(error, match=words.format(name)):
        WorkerQueue(**{"workers": 1, "capacity": 1, name: value})


class Index:
    def __index__(self):
        return 3


@pytest.mark.parametrize(
    "arguments",
    [
        {"workers": True, "capacity": True},
        {"workers": Index(), "capacity": Index(), "keep_results": Index()},
        {"workers": 2**31 - 1, "capacity": 1},
        {"workers": 1, "capacity": 2**20},
        {"workers": 1, "capacity": 3, "keep_results": 2**31 - 1},
        {"workers": 1, "capacity": 1, "name": "%d%s {} \u2603 " + 10_000 * "x"},
        {"workers": 1, "capacity": 1, "name": ""},
        {"workers": 1, "capacity": 1, "context": None},
    ],
    ids=lambda arguments: f"{arguments!r:.40}",
)
def test_whatever_is_a_number_in_range_makes_a_queue_that_runs_jobs(arguments):
    """
    Unusual and legal: large values cost nothing until used, names are taken literally.
    """
    with WorkerQueue(**arguments) as queue:
        assert queue.submit(divmod, 7, 4).result(WAIT) == (1, 3)


def test_a_capacity_that_memory_cannot_hold_is_named():
    """
    It is reserved when the queue is made.
    """
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**34, limits[1]))
    try:
        with pytest.raises(MemoryError, match="capacity is too great for the memory there is: 2147483647"):
            WorkerQueue(1, 2**31 - 1)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_only_workers_and_capacity_may_be_given_by_position():
    """
    Options by name can grow later without breaking anybody.
    """
    with pytest.raises(TypeError):
        WorkerQueue(1, 1, "name")
    with pytest.raises(TypeError, match="bound"):
        WorkerQueue(1, 1, bound=3)


def test_a_queue_is_made_once_and_not_copied(queue):
    """
    It owns threads: two objects on them would each stop the other's.
    """
    with pytest.raises(RuntimeError, match="twice"):
        queue.__init__(1, 1, name="other")
    with pytest.raises(TypeError):
        copy.copy(queue)
    with pytest.raises(TypeError):
        pickle.dumps(queue)


def test_a_second_init_leaves_the_queue_as_it_was(queue):
    """
    A refused call has no effect, here as everywhere.
    """
    name = queue.name
    with pytest.raises(RuntimeError, match="twice"):
        queue.__init__(1, 1, name="other")

    assert (queue.name, queue.stats().capacity) == (name, 16)


@pytest.mark.parametrize("method", ["submit", "try_submit", "submit_within", "stop", "stop_now", "wait", "stats"])
def test_a_queue_whose_init_was_not_called_says_so(method):
    """
    A subclass that forgets super().__init__() must not crash the process.
    """
    queue = WorkerQueue.__new__(WorkerQueue)
    arguments = {"submit": (int,), "try_submit": (int,), "submit_within": (0, int)}.get(method, ())

    with pytest.raises(RuntimeError, match=r"WorkerQueue\.__init__\(\) was not called"):
        getattr(queue, method)(*arguments)


def test_a_subclass_may_add_arguments_and_attributes():
    """
    Nothing in the core may depend on the exact type.
    """

    class Named(WorkerQueue):
        def __init__(self, label):
            super().__init__(1, 1)
            self.label = label

    with Named("x") as queue:
        assert (queue.submit(int, "7").result(WAIT), queue.label) == (7, "x")


# ---- bad calls -----------------------------------------------------------------

BAD_CALLS = [
    ("submit", (), {}, TypeError, "fn"),
    ("submit", (), {"fn": int}, TypeError, "fn"),
    ("submit", (None,), {}, TypeError, "fn must be callable or a Job, got None"),
    ("try_submit", (), {}, TypeError, "fn"),
    ("try_submit", (5,), {}, TypeError, "fn must be callable or a Job, got 5"),
    ("submit_within", (), {}, TypeError, "seconds"),
    ("submit_within", (1,), {}, TypeError, "fn"),
    ("submit_within", (1, "int"), {}, TypeError, "fn must be callable"),
    ("submit_within", ("1", int), {}, TypeError, "must be a number"),
    ("submit_within", ([], int), {}, TypeError, "must be a number"),
    ("submit_within", (1j, int), {}, TypeError, "must be a number"),
    ("submit_within", (NAN, int), {}, ValueError, "must not be NaN"),
    ("submit_many", (int,), {}, TypeError, "positional arguments"),
    ("submit_many", (int, 5), {}, TypeError, "iterable"),
    ("submit_many", (None, [1]), {}, TypeError, "fn must be callable"),
    ("stop", ("1",), {}, TypeError, "timeout must be a number"),
    ("stop", (b"1",), {}, TypeError, "timeout must be a number"),
    ("stop", ([],), {}, TypeError, "timeout must be a number"),
    ("stop", (NAN,), {}, ValueError, "timeout must not be NaN"),
    ("stop_now", (1,), {}, TypeError, "argument"),
    ("wait", ("1",), {}, TypeError, "timeout must be a number"),
    ("wait", (NAN,), {}, ValueError, "timeout must not be NaN"),
    ("results", (1,), {}, TypeError, "argument"),
]


@pytest.mark.parametrize(
    ("method", "args", "kwargs", "error", "words"),
    BAD_CALLS,
    ids=[f"{case[0]}(*{case[1]!r}, **{case[2]!r})" for case in BAD_CALLS],
)
def test_a_wrong_call_is_refused_and_leaves_no_trace(queue, method, args, kwargs, error, words):
    """
    The error comes out of the call; the queue is open and has seen no job.
    """
    with pytest.raises(error, match=words):
        getattr(queue, method)(*args, **kwargs)

    stats = queue.stats()
    assert (stats.accepted, stats.rejected) == (0, 0)
    assert queue.submit(int).result(WAIT) == 0


@pytest.mark.parametrize(
    "seconds",
    [0, -1, -0.0, 1e-9, True, INF, -INF, 1e300, 2**2000, -(2**2000), Fraction(1, 3), Decimal(1), None],
    ids=lambda seconds: f"{seconds!r:.12}",
)
def test_any_number_of_seconds_is_a_time_limit(seconds):
    """
    Below zero means zero, beyond the clock means for ever: no OverflowError, no hang.
    """
    queue = WorkerQueue(1, 1)

    assert queue.submit_within(seconds, int).result(WAIT) == 0
    queue.wait(seconds)
    queue.stop(seconds)
    assert queue.stop(WAIT).complete


def test_a_coroutine_function_as_a_job_is_warned_about(queue):
    """
    It would make a coroutine that nobody awaits, and look like success.
    """

    async def job():
        pass

    with pytest.warns(RuntimeWarning, match="coroutine function"):
        future = queue.submit(job)
    future.result(WAIT).close()


# ---- submitting ------------------------------------------------------------------


@by_each_submit
def test_every_keyword_belongs_to_the_job(queue, method, before):
    """
    fn, timeout, self and seconds are common names of arguments; none may be swallowed.
    """
    given = {"fn": 1, "timeout": 2, "self": 3, "seconds": 4, "args": 5, "kwargs": 6, "iterable": 7}

    assert getattr(queue, method)(*before, dict, **given).result(WAIT) == given


@by_each_submit
@pytest.mark.parametrize("n", range(6))
def test_a_job_gets_exactly_its_arguments(queue, method, before, n):
    """
    Short argument lists live in the record, longer ones beside it.
    """
    args = tuple(object() for _ in range(n))
    kwargs = {f"k{i}": object() for i in range(n)}

    for named in ({}, kwargs):
        got = getattr(queue, method)(*before, lambda *args, **kwargs: (args, kwargs), *args, **named).result(WAIT)
        assert got == (args, named)


@by_each_submit
def test_what_submit_returns_is_a_future_of_the_standard_library_too(queue, method, before):
    """
    wait(), as_completed() and asyncio ask for it by type.
    """
    future = getattr(queue, method)(*before, int)

    assert isinstance(future, ringpool.Future)
    assert futures.wait([future], WAIT).done == {future}


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), BaseException("odd")], ids=repr
)
def test_a_job_that_raises_hands_over_its_very_exception_and_the_worker_lives(error):
    """
    Also those exceptions that end a thread.
    """

    def job():
        raise error

    with WorkerQueue(1, 4) as queue:
        future = queue.submit(job)
        assert future.exception(WAIT) is error
        threads = [queue.submit(threading.get_ident).result(WAIT) for _ in range(2)]
        assert threads[0] == threads[1]
        assert (queue.stats().failed, queue.stats().workers) == (1, 1)


def test_jobs_of_one_producer_start_in_the_order_of_submission():
    """
    With one worker that is the order in which they run.
    """
    ran = []
    with WorkerQueue(1, 7) as queue:
        for i in range(1000):
            queue.submit(ran.append, i)

    assert ran == list(range(1000))


def test_the_same_job_submitted_a_thousand_times_runs_a_thousand_times(queue):
    """
    Identity of the callable means nothing; refusals are retried.
    """
    ran = []
    accepted = 0
    while accepted < 1000:
        try:
            queue.try_submit(ran.append, 1)
            accepted += 1
        except QueueFull:
            queue.submit(int).result(WAIT)
    assert queue.stop(WAIT).complete
    assert len(ran) == 1000


@by_each_submit
def test_after_a_stop_no_job_is_taken_and_none_runs(method, before):
    """
    Refused means: it never ran.
    """
    ran = []
    queue = WorkerQueue(1, 4, name="mail")
    queue.stop(WAIT)

    with pytest.raises(QueueStopped, match="mail takes no more jobs: it was stopped"):
        getattr(queue, method)(*before, ran.append, 1)
    assert (ran, queue.stats().rejected, queue.stats().accepted) == ([], 1, 0)


def test_the_errors_are_runtime_errors():
    """
    So that code written for the standard library's executor catches them.
    """
    assert issubclass(QueueFull, RuntimeError)
    assert issubclass(QueueStopped, RuntimeError)


# ---- contexts ------------------------------------------------------------------------

variable = contextvars.ContextVar("variable", default="unset")


def read_and_set(value):
    before = variable.get()
    variable.set(value)
    return before


def test_a_job_runs_in_a_copy_of_its_submitters_context():
    """
    It sees what the submitter set, and what it sets is seen by nobody.
    """

    def submit(value):
        variable.set(value)
        return queue.submit(read_and_set, "by job")

    with WorkerQueue(1, 8) as queue:
        jobs = [contextvars.copy_context().run(submit, value) for value in ("a", "b")]
        # in an empty context nothing is copied; what a job sets is dropped all the same
        nothing = contextvars.Context()
        jobs.append(nothing.run(queue.submit, read_and_set, "by job"))
        jobs.append(nothing.run(queue.submit, read_and_set, "by job"))

        assert [job.result(WAIT) for job in jobs] == ["a", "b", "unset", "unset"]
        assert len(nothing) == 0
    assert variable.get() == "unset"


def test_the_context_is_copied_when_the_job_is_submitted(gate):
    """
    What the submitter sets afterwards is not seen.
    """

    def submit():
        variable.set("before")
        job = queue.submit(variable.get)
        variable.set("after")
        return job

    with WorkerQueue(1, 8) as queue:
        queue.submit(gate)
        job = contextvars.copy_context().run(submit)
        gate.open()
        assert job.result(WAIT) == "before"


def test_without_contexts_jobs_share_their_workers_own():
    """
    context=None: nothing is copied, so what a job sets stays with the worker.
    """

    def submit():
        variable.set("submitter's")
        return queue.submit(read_and_set, "by job")

    with WorkerQueue(1, 8, context=None) as queue:
        jobs = [contextvars.copy_context().run(submit), queue.submit(variable.get)]
        assert [job.result(WAIT) for job in jobs] == ["unset", "by job"]


def test_a_job_run_in_place_does_not_change_its_waiters_context():
    """
    A job that waits for a queued one of its own queue runs it; their contexts stay apart.
    """

    def outer():
        variable.set("outer")
        inner = queue.submit(read_and_set, "inner")
        return inner.result(WAIT), variable.get()

    with WorkerQueue(1, 8) as queue:
        assert queue.submit(outer).result(WAIT) == ("outer", "outer")


# ---- what is kept ---------------------------------------------------------------------


class Thing:
    pass


@pytest.mark.parametrize("keep_results", [0, None])
def test_an_idle_worker_keeps_nothing_of_its_last_job(keep_results):
    """
    Neither its arguments nor, once the future is gone, its result.
    """
    queue = WorkerQueue(1, 4, keep_results=keep_results)
    argument = Thing()
    seen = weakref.ref(argument)
    future = queue.submit(lambda thing: None, argument)
    del argument
    future.result(WAIT)
    queue.wait(WAIT)
    gc.collect()
    assert seen() is None

    result = weakref.ref(queue.submit(Thing).result(WAIT))
    queue.wait(WAIT)
    assert queue.stop(WAIT).complete
    del queue, future
    gc.collect()
    assert result() is None
