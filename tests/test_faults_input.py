"""Faults of what is passed in: a table per argument; the numbers are those of the fault catalogue."""

import copy
import math
import pickle
import threading
import warnings
from decimal import Decimal
from fractions import Fraction

import pytest

from ringpool import Future, ThreadPoolExecutor, WorkerQueue

WAIT = 30  # seconds after which a wait has failed


class Index:
    """What a numpy integer looks like to us."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class RaisesIndex:
    def __index__(self):
        raise OSError("from __index__")


def refused(argument, value, error, words, fault):
    return pytest.param({argument: value}, error, words, id=f"{fault}-{argument}-{repr(value)[:12]}")


POSITIVE = "max_workers must be greater than 0"
WHOLE = "max_workers must be a whole number"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        refused("max_workers", 0, ValueError, POSITIVE, 49),
        refused("max_workers", -1, ValueError, POSITIVE, 49),
        refused("max_workers", False, ValueError, POSITIVE, 49),
        refused("max_workers", -(2**70), ValueError, POSITIVE, 49),
        refused("max_workers", math.nan, ValueError, WHOLE, 50),
        refused("max_workers", 1.5, TypeError, WHOLE, 51),
        refused("max_workers", 4.0, TypeError, WHOLE, 51),
        refused("max_workers", math.inf, TypeError, WHOLE, 51),
        refused("max_workers", Decimal(2), TypeError, WHOLE, 51),
        refused("max_workers", Fraction(2), TypeError, WHOLE, 51),
        refused("max_workers", 2**31, ValueError, "max_workers must be at most", 51),
        refused("max_workers", 2**63, ValueError, "max_workers must be at most", 51),
        refused("max_workers", 2**70, ValueError, "max_workers must be at most", 51),
        refused("max_workers", "4", TypeError, WHOLE, 52),
        refused("max_workers", b"4", TypeError, WHOLE, 52),
        refused("max_workers", [1], TypeError, WHOLE, 52),
        refused("max_workers", int, TypeError, WHOLE, 52),
        refused("max_workers", 1j, TypeError, WHOLE, 52),
        refused("max_workers", RaisesIndex(), OSError, "from __index__", 52),
        refused("initargs", 5, TypeError, "initargs must be an iterable", 53),
        refused("initargs", None, TypeError, "initargs must be an iterable", 53),
        refused("initializer", 5, TypeError, "initializer must be a callable", 54),
        refused("initializer", "print", TypeError, "initializer must be a callable", 54),
        refused("initializer", False, TypeError, "initializer must be a callable", 54),
        refused("thread_name_prefix", 5, TypeError, "thread_name_prefix must be a str", 57),
        refused("thread_name_prefix", b"name", TypeError, "thread_name_prefix must be a str", 57),
        refused("thread_name_prefix", ["name"], TypeError, "thread_name_prefix must be a str", 57),
        refused("thread_name_prefix", "a\0b", ValueError, "thread_name_prefix must not contain a NUL", 57),
        refused("no_such_argument", 1, TypeError, "no_such_argument", 57),
    ],
)
def test_constructor_refuses(arguments, error, words):
    """
    Faults 49 to 54 and 57: at construction, by name, and no thread is started.
    """
    threads = threading.active_count()
    with pytest.raises(error, match=words):
        ThreadPoolExecutor(**arguments)
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("value", "workers"),
    [(True, 1), (1, 1), (Index(3), 3), (2**31 - 1, 2**31 - 1), (61_000, 61_000)],
    ids=["True", "1", "index", "most", "many"],
)
def test_constructor_accepts_workers(value, workers):
    """
    Fault 51: whatever is a whole number; threads are started as they are needed.
    """
    with ThreadPoolExecutor(value) as pool:
        assert (pool._max_workers, len(pool._threads)) == (workers, 0)
        assert pool.submit(int).result(WAIT) == 0
        assert len(pool._threads) == 1


@pytest.mark.parametrize(
    "initargs", [[1, 2], (1, 2), iter([1, 2]), {1: 0, 2: 0}, (n for n in (1, 2))], ids=lambda i: type(i).__name__
)
def test_initargs_may_be_any_iterable(initargs, gate):
    """
    Fault 53: each thread gets all of it, also from an iterator that gives it once.
    """
    seen = []
    with ThreadPoolExecutor(2, initializer=lambda *args: seen.append(args), initargs=initargs) as pool:
        for _ in range(2):
            pool.submit(gate)
        gate.wait_until_entered(2)
        gate.open()
    assert seen == [(1, 2), (1, 2)]


def test_initargs_that_do_not_fit_break_the_pool_with_the_reason_logged(caplog):
    """
    Fault 53, what only the call can show: no job hangs.
    """
    with ThreadPoolExecutor(1, initializer=lambda: None, initargs=(1,)) as pool:
        with pytest.raises(RuntimeError, match="A thread initializer failed"):
            for _ in range(10_000):
                pool.submit(int).result(WAIT)
    assert "takes 0 positional arguments but 1 was given" in caplog.text


# ---- submit ------------------------------------------------------------------------------


@pytest.mark.parametrize("fn", [None, 5, "print", [], object()], ids=lambda fn: type(fn).__name__)
def test_submit_refuses_what_cannot_be_called(fn):
    """
    Fault 55: where the mistake is, and not in a future that nobody may look at.
    """
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(TypeError, match="fn must be callable"):
            pool.submit(fn)
        assert pool._work_queue.qsize() == 0
        assert pool.submit(int).result(WAIT) == 0


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((), {"fn": int}), ((), {"x": 1})], ids=["nothing", "fn_by_name", "keyword"]
)
def test_submit_needs_a_function(args, kwargs):
    """
    Fault 55: fn is positional only, since every keyword belongs to the job.
    """
    with ThreadPoolExecutor(1) as pool, pytest.raises(TypeError, match="missing 1 required positional argument"):
        pool.submit(*args, **kwargs)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda queue: queue.try_submit(), r"try_submit\(\) missing 1 required positional argument"),
        (lambda queue: queue.submit_within(print, 1), "seconds must be .*print"),
        (lambda queue: queue.submit_within(1), r"submit_within\(\) takes the positional arguments 'seconds' and 'fn'"),
        (lambda queue: queue.submit_within("1", print), "seconds must be"),
    ],
    ids=["try_submit", "exchanged", "no_function", "str"],
)
def test_message_names_the_call_and_the_argument_that_is_wrong(call, words):
    """
    Fault 55: and not those of a function further in.
    """
    with WorkerQueue(1, 1) as queue, pytest.raises(TypeError, match=words):
        call(queue)


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda take: take.__name__)
@pytest.mark.parametrize(
    "make", [lambda: ThreadPoolExecutor(1), lambda: WorkerQueue(1, 1), Future], ids=["pool", "queue", "future"]
)
def test_what_cannot_be_copied_says_so_by_its_name(make, take):
    """
    As Python's own locks and files do; a process pool would otherwise hang on it or fail in the child.
    """
    original = make()
    with pytest.raises(TypeError, match=f"cannot pickle '{type(original).__name__}' object"):
        take(original)


def test_every_keyword_reaches_the_job():
    """
    Fault 55, the other side: no name is taken from the job.
    """
    words = {"fn": 1, "self": 2, "timeout": 3, "args": 4, "kwargs": 5, "future": 6}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(dict, **words).result(WAIT) == words


async def coroutine():
    """Nobody awaits this one."""


async def asynchronous_generator():
    yield


class HasCoroutine:
    async def method(self):
        """Nobody awaits this one either."""


@pytest.mark.parametrize(
    "fn",
    [coroutine, asynchronous_generator, HasCoroutine().method],
    ids=["function", "generator", "method"],
)
def test_submitting_a_coroutine_function_warns(fn):
    """
    Fault 56: calling it makes a coroutine, which runs nothing; the warning
    points at the line that submits.
    """
    with ThreadPoolExecutor(1) as pool:
        with pytest.warns(RuntimeWarning, match="coroutine function") as caught:
            made = pool.submit(fn).result(WAIT)
        if hasattr(made, "close"):
            made.close()
    assert caught[0].filename == __file__


def test_warning_turned_into_an_error_refuses_the_job():
    """
    Fault 56 for those who run with -W error: nothing is left in the queue.
    """
    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            pool.submit(coroutine)
        assert pool._work_queue.qsize() == 0
        assert pool.submit(int).result(WAIT) == 0


@pytest.mark.parametrize(
    "prefix",
    ["%d%s", "{0}", "name_", "x" * 10_000, "\N{SNOWMAN}" * 20, "\udcff", "a\nb", " "],
    ids=["percent", "braces", "underscore", "long", "wide", "surrogate", "newline", "blank"],
)
def test_thread_name_prefix_is_taken_literally(prefix):
    """
    Fault 57: whatever the system keeps of it, Python's name has all of it.
    """
    with ThreadPoolExecutor(1, thread_name_prefix=prefix) as pool:
        assert pool.submit(lambda: threading.current_thread().name).result(WAIT) == f"{prefix}_0"


class Strange:
    """A job that lies about everything that a container might ask it."""

    __hash__ = None

    def __eq__(self, other):
        return True

    def __bool__(self):
        raise AssertionError("asked for its truth")

    def __len__(self):
        raise AssertionError("asked for its length")

    def __repr__(self):
        raise AssertionError("asked for its repr")

    def __getattr__(self, name):
        raise AssertionError(f"asked for {name}")

    def __call__(self, value):
        return value


def test_jobs_are_told_apart_by_identity_only():
    """
    Fault 61: neither hashed, compared nor asked anything; the same holds for
    arguments, results and exceptions.
    """
    jobs = [Strange() for _ in range(200)]
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(job, n) for n, job in enumerate(jobs)]
        assert [future.result(WAIT) for future in futures] == list(range(200))
        argument = Strange()
        assert pool.submit(lambda x: x, argument).result(WAIT) is argument


def test_job_that_is_unhashable_can_be_cancelled_alone(gate):
    """
    Fault 61: cancelling one does not hit its equals.
    """
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate)
        job = Strange()
        futures = [pool.submit(job, n) for n in range(3)]
        assert futures[1].cancel()
        gate.open()
        assert (futures[0].result(WAIT), futures[2].result(WAIT), futures[1].cancelled()) == (0, 2, True)


class FalsyError(Exception):
    """An exception that is false in every way."""

    def __bool__(self):
        return False

    def __len__(self):
        return 0

    def __eq__(self, other):
        return other is None or isinstance(other, FalsyError)

    __hash__ = None


def test_falsy_exception_is_raised():
    """
    Fault 61, the exception's turn: what counts is that there is one.
    """

    def fail():
        raise FalsyError

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(fail)
        with pytest.raises(FalsyError):
            future.result(WAIT)
        assert type(future.exception(WAIT)) is FalsyError
