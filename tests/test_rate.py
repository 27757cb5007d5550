"""Rate limits: what an answer means, and the limiters of two packages behind one question."""

import math
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from ringpool import rate


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (None, 0.0),
        (True, 0.0),
        (0, 0.0),
        (-0.01, 0.0),
        (2, 2.0),
        (0.25, 0.25),
        (timedelta(milliseconds=20), 0.02),
        (timedelta(-1), 0.0),
        (10**400, 2.0**31 - 1),
    ],
)
def test_an_answer_means_now_or_not_before(answer, seconds):
    assert rate.as_seconds(answer) == seconds
    assert type(rate.as_seconds(answer)) is float


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (False, TypeError, "got False, which does not say when"),
        ("1", TypeError, "rate_limit must return None or True for now, or the seconds to wait; got '1'"),
        ([], TypeError, r"got \[\]"),
        (math.nan, ValueError, "rate_limit must return a finite number of seconds, got nan"),
        (math.inf, ValueError, "rate_limit must return a finite number of seconds, got inf"),
    ],
)
def test_any_other_answer_is_an_error_that_says_so(answer, error, message):
    with pytest.raises(error, match=message):
        rate.as_seconds(answer)


def test_a_coroutine_is_no_answer():
    async def limit():
        return None

    with pytest.raises(TypeError, match="rate_limit must be an ordinary function: it returned coroutine"):
        rate.as_seconds(limit())


class TestLimits:
    @pytest.fixture(autouse=True)
    def package(self):
        self.limits = pytest.importorskip("limits")
        pytest.importorskip("limits.strategies")
        # So that a window begins when the test does: a new one of its own each time.
        self.storage = self.limits.storage.MemoryStorage()
        yield
        timer = self.storage.timer
        if timer is not None:
            timer.cancel()
            timer.join(30)

    @pytest.mark.parametrize(
        "strategy", ["FixedWindowRateLimiter", "MovingWindowRateLimiter", "SlidingWindowCounterRateLimiter"]
    )
    def test_as_many_go_as_the_limit_says_and_the_next_is_told_when(self, strategy):
        limiter = getattr(self.limits.strategies, strategy)(self.storage)
        ask = rate.limits(limiter, self.limits.parse("3/minute"), "api", "me")
        assert [ask() for _ in range(3)] == [None, None, None]
        assert 0 < ask() <= 60
        other = rate.limits(limiter, self.limits.parse("3/minute"), "api", "you")
        assert other() is None

    def test_whoever_waits_as_long_as_told_may_go(self):
        limiter = self.limits.strategies.MovingWindowRateLimiter(self.storage)
        ask = rate.limits(limiter, self.limits.parse("1/second"))
        assert rate.as_seconds(ask()) == 0.0
        started = time.monotonic()
        asked = 1
        while seconds := rate.as_seconds(ask()):
            time.sleep(seconds)
            asked += 1
        assert time.monotonic() - started > 0.9
        assert asked < 20  # it does not spin

    def test_a_refusal_is_never_taken_for_leave(self):
        """The window has ended between the refusal and the question when: it was refused all the same."""
        limiter = SimpleNamespace(hit=lambda *_: False, get_window_stats=lambda *_: (time.time() - 5, 1))
        assert rate.limits(limiter, self.limits.parse("1/second"))() == 0.001

    def test_what_cannot_work_is_refused_when_it_is_made(self):
        item = self.limits.parse("1/second")
        limiter = self.limits.strategies.FixedWindowRateLimiter(self.storage)
        with pytest.raises(TypeError, match="limiter must be one of limits.strategies"):
            rate.limits(self.storage, item)
        with pytest.raises(TypeError, match=r'item must be a RateLimitItem, as limits.parse\("10/second"\) returns'):
            rate.limits(limiter, "1/second")

    def test_a_limiter_for_asyncio_is_refused(self):
        aio = pytest.importorskip("limits.aio")
        limiter = aio.strategies.FixedWindowRateLimiter(aio.storage.MemoryStorage())
        with pytest.raises(TypeError, match="not to be awaited"):
            rate.limits(limiter, self.limits.parse("1/second"))


class TestPyrate:
    @pytest.fixture(autouse=True)
    def package(self):
        self.pyrate = pytest.importorskip("pyrate_limiter")

    def limiter(self, *rates):
        """With a bucket that no thread of the package looks after."""
        from pyrate_limiter.limiter import SingleBucketFactory

        bucket = self.pyrate.InMemoryBucket([self.pyrate.Rate(*rate) for rate in rates])
        return self.pyrate.Limiter(SingleBucketFactory(bucket, schedule_leak=False))

    def test_as_many_go_as_the_limit_says_and_the_next_is_told_when(self):
        ask = rate.pyrate(self.limiter((3, 60_000)), "api")
        assert [ask() for _ in range(3)] == [None, None, None]
        assert 59 < ask() < 60.01

    def test_the_rate_that_refused_says_when(self):
        ask = rate.pyrate(self.limiter((1, 1_000), (10, 60_000)))
        assert ask() is None
        assert 0 < ask() < 1.01

    def test_whoever_waits_as_long_as_told_may_go(self):
        ask = rate.pyrate(self.limiter((1, 200)))
        assert rate.as_seconds(ask()) == 0.0
        started = time.monotonic()
        asked = 1
        while seconds := rate.as_seconds(ask()):
            time.sleep(seconds)
            asked += 1
        assert time.monotonic() - started > 0.15
        assert asked < 20

    def test_another_threads_hold_on_the_limiter_means_ask_again(self, run_in_threads):
        limiter = self.limiter((5, 1_000))
        with limiter.lock:
            [answer] = run_in_threads(1, lambda _: rate.pyrate(limiter)())
        assert answer == 0.001

    def test_one_that_is_refused_is_told_when_though_others_are_let_in(self, run_in_threads):
        """What the bucket has noted of a refusal is gone when it lets the next one in."""
        ask = rate.pyrate(self.limiter((1, 1)))
        answers = run_in_threads(4, lambda _: [rate.as_seconds(ask()) for _ in range(2000)])
        assert {0.0} < {seconds for each in answers for seconds in each}

    @pytest.mark.parametrize("limiter", [None, 3, SimpleNamespace(try_acquire=lambda name: True)], ids=repr)
    def test_what_is_no_limiter_is_refused_when_it_is_made(self, limiter):
        with pytest.raises(TypeError, match="limiter must be a pyrate_limiter.Limiter of version 4 or newer"):
            rate.pyrate(limiter)

    def test_a_name_is_a_str(self):
        with pytest.raises(TypeError, match="name must be a str, got 3"):
            rate.pyrate(self.limiter((1, 1_000)), 3)

    def test_a_bucket_for_asyncio_is_refused_when_asked(self):
        """Such a limiter returns what is to be awaited, which would pass for leave."""
        limiter = self.limiter((1, 1_000))

        async def try_acquire(name, blocking):
            return True

        limiter.try_acquire = try_acquire
        with pytest.raises(TypeError, match="limiter must be an ordinary function: it returned coroutine"):
            rate.pyrate(limiter)()
