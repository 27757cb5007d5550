"""When a job that failed is tried again: the policy alone; who waits and who calls is the queue's matter."""

import random
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

from ringpool import checks
from ringpool.checks import shown
from ringpool.retry_after import asked_delay
from ringpool.retry_budget import Budget, RetryBudget

__all__ = ["Retry", "RetryBudget", "RetryState", "describe", "keep_errors"]

Errors = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], Any]

# Knows no seed: not the program's, and not one that a forked child would share.
_random = random.SystemRandom().random


class _Unsaid(int):
    """A default that can be told from the same number when it was given."""


_THREE = _Unsaid(3)


@dataclass(frozen=True, slots=True)
class Retry:
    """
    How often, when and after what errors a job is tried again. An immutable value.

    Args:
        attempts: how often a job is run at the most, the first time included;
            1: never again; None: no limit. With *stop* there is no limit
            unless this is given as well; then both hold. In
            ``dataclasses.replace()`` what was not given stays so, but for the
            None that *stop* has brought.
        base: seconds before the second attempt, before jitter; 0 or greater.
        cap: seconds that back-off never exceeds; at least *base*. It does not
            bound what a server asks for, nor what *wait* says.
        multiplier: by which the back-off grows with each attempt; 1 or greater.
        jitter: ``"full"``: anything from 0 to the back-off, evenly;
            ``"equal"``: from half of it to all of it; ``"none"``: all of it.
        on: the errors after which there is another attempt: a class, a tuple
            of classes, or a function that gets the error and says so.
        give_up: the same, for errors after which there is none; wins over
            *on* and *retry*. None: no such error.
        budget: a :class:`RetryBudget`, or another with its methods, that each
            retry is taken from; None: no bound but the others, and in a queue
            the budget of its own Retry.
        wait: a function of a :class:`RetryState` that returns seconds (or a
            timedelta), in place of *base*, *cap*, *multiplier* and *jitter*;
            None: those.
        stop: a function of a RetryState that is true when there is to be no
            further attempt; None: *attempts* alone decides.
        retry: a function of a RetryState that is true when there is to be one,
            in place of *on*; None: *on* decides.

    The objects of the tenacity package are such functions and are taken as
    they are: ``Retry(wait=wait_exponential() + wait_random(0, 1),
    stop=stop_after_delay(60), retry=retry_if_exception_type(OSError))``. Those
    for asyncio are not, and ``retry_if_result`` never sees a result here.

    Raises TypeError or ValueError that names the argument, when it is made.

    The back-off after attempt n is ``min(cap, base * multiplier ** (n - 1))``.
    Source: AWS Architecture Blog, "Exponential Backoff And Jitter".

    Never tried again, whatever *on* and *retry* say: what is no
    :class:`Exception` (KeyboardInterrupt, SystemExit, asyncio's
    CancelledError), and :class:`concurrent.futures.CancelledError`.

    Safe to share between queues and threads, as far as the functions given
    are. :meth:`delay_after` costs some two microseconds, and what the functions
    and the budget cost.
    """

    attempts: int | None = _THREE
    base: float = 0.1
    cap: float = 30.0
    multiplier: float = 2.0
    jitter: Literal["full", "equal", "none"] = "full"
    on: Errors = Exception
    give_up: Errors | None = None
    budget: Budget | None = None
    wait: Callable[[Any], Any] | None = None
    stop: Callable[[Any], Any] | None = None
    retry: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        attempts = self.attempts
        if isinstance(attempts, _Unsaid):
            attempts = None if self.stop is not None else _THREE  # still unsaid, for dataclasses.replace()
        elif attempts is not None:
            if isinstance(attempts, bool):
                raise TypeError(f"attempts must be a whole number or None, got {shown(attempts)}")
            attempts = checks.whole_number("attempts", attempts, least=1)
        base = checks.number("base", self.base)
        cap = checks.number("cap", self.cap)
        multiplier = checks.number("multiplier", self.multiplier, least=1.0)
        if cap < base:
            raise ValueError(f"cap must be at least base, which is {base:g}, got {cap:g}")
        if not isinstance(self.jitter, str) or self.jitter not in ("full", "equal", "none"):
            raise ValueError(f'jitter must be "full", "equal" or "none", got {shown(self.jitter)}')
        _check_errors("on", self.on, Exception)
        if self.give_up is not None:
            _check_errors("give_up", self.give_up, BaseException)
        if self.budget is not None and (
            isinstance(self.budget, type)
            or not callable(getattr(self.budget, "deposit", None))
            or not callable(getattr(self.budget, "try_withdraw", None))
        ):
            raise TypeError(f"budget must be a RetryBudget or None, got {shown(self.budget)}")
        for name in ("wait", "stop", "retry"):
            _check_strategy(name, getattr(self, name))
        if self.wait is not None and (base, cap, multiplier, self.jitter) != (0.1, 30.0, 2.0, "full"):
            raise ValueError("wait takes the place of base, cap, multiplier and jitter: give one or the other")
        if self.retry is not None and self.on is not Exception:
            raise ValueError("retry takes the place of on: give one or the other")
        for name, value in (("attempts", attempts), ("base", base), ("cap", cap), ("multiplier", multiplier)):
            object.__setattr__(self, name, value)

    def delay_after(
        self, attempt: int, error: BaseException, *, elapsed: float | None = None, slept: float = 0.0
    ) -> float | None:
        """
        Seconds until the next attempt, now that one has failed; None: there is to be no further one.

        Call it once for each attempt that failed: with a *budget* it takes the
        retry from there when all else speaks for one, so it is the last to be asked.

        Args:
            attempt: which attempt failed; the first is 1.
            error: what it raised.
            elapsed: seconds from the start of the first attempt to the end of
                this one; None: not known, which tenacity's ``stop_after_delay``
                and ``stop_before_delay`` refuse with RuntimeError.
            slept: seconds of *elapsed* that went by between attempts.

        A delay that a server asked for (:func:`ringpool.retry_after.asked_delay`)
        is never cut short: the result is that or the back-off, whichever is
        longer, and it may exceed *cap*. To give up rather than wait that long,
        say so: ``give_up=lambda error: (asked_delay(error) or 0) > 300``.
        The result is from 0 to 2**31 - 1.

        What a function given to :class:`Retry` raises comes out of here, as
        does TypeError or ValueError for a *wait* that returns no seconds.
        """
        _check_attempt(attempt, error)
        if elapsed is not None:
            elapsed = checks.number("elapsed", elapsed)
        slept = checks.number("slept", slept)
        state = None
        if self.wait is not None or self.stop is not None or self.retry is not None:
            state = RetryState(attempt, error, elapsed, slept)
        if not self._takes(attempt, error, state):
            return None
        if self.wait is None:
            delay = self._backoff(attempt)
        else:
            delay = _seconds("wait", checks.ordinary("wait", self.wait(state)))
        asked = asked_delay(error)
        if asked is not None and asked > delay:
            delay = asked
        if self.stop is not None and state is not None:
            state.upcoming_sleep = delay
            if checks.ordinary("stop", self.stop(state)):
                return None
        if self.budget is not None and not self.budget.try_withdraw():
            return None
        return delay

    def with_budget(self, budget: Budget | None) -> "Retry":
        """The same with *budget*; itself when it has one of its own, or there is none."""
        return self if budget is None or self.budget is not None else replace(self, budget=budget)

    def takes(self, attempt: int, error: BaseException) -> bool:
        """
        Would there be another attempt after this one, as far as *attempts*, *on*, *retry* and *give_up* say?

        Asks neither *stop* nor *wait* and takes nothing from the budget.
        """
        _check_attempt(attempt, error)
        return self._takes(attempt, error, None if self.retry is None else RetryState(attempt, error, None, 0.0))

    def _takes(self, attempt, error, state):
        if self.attempts is not None and attempt >= self.attempts:
            return False
        if not isinstance(error, Exception) or isinstance(error, CancelledError):
            return False
        if self.give_up is not None and _is_one(error, self.give_up):
            return False
        if self.retry is not None:
            return bool(checks.ordinary("retry", self.retry(state)))
        return _is_one(error, self.on)

    def _backoff(self, attempt: int) -> float:
        if not self.base:
            return 0.0
        try:
            delay = min(self.cap, self.base * self.multiplier ** (attempt - 1))
        except OverflowError:
            delay = self.cap
        if self.jitter == "full":
            return delay * _random()
        if self.jitter == "equal":
            return delay / 2 + delay / 2 * _random()
        return delay


class RetryState:
    """
    What a *wait*, *stop* or *retry* function is told: the attributes of tenacity's ``RetryCallState``.

    ``fn``, ``args``, ``kwargs``, ``retry_object`` and ``next_action`` are
    there and empty. Made for one failed attempt and used by one thread.
    """

    __slots__ = ("attempt_number", "idle_for", "outcome", "outcome_timestamp", "start_time", "upcoming_sleep")

    fn = args = kwargs = retry_object = next_action = None

    def __init__(self, attempt: int, error: BaseException, elapsed: float | None, slept: float):
        now = time.monotonic()
        self.attempt_number = attempt
        """Of the attempt that failed; the first is 1."""
        self.outcome = _Outcome(attempt, error)
        """How it ended: ``failed`` is True, ``exception()`` the error, ``result()`` raises it."""
        self.outcome_timestamp = None if elapsed is None else now
        """When, on the clock of :func:`time.monotonic`; None if *elapsed* is not known."""
        self.start_time = now - (elapsed or 0.0)
        """When the first attempt started, on the same clock."""
        self.idle_for = slept
        """Seconds that went by between attempts."""
        self.upcoming_sleep = 0.0
        """Seconds until the next attempt; 0 until *wait* has been asked."""

    @property
    def seconds_since_start(self) -> float | None:
        """From the start of the first attempt to the end of this one; None if not known."""
        return None if self.outcome_timestamp is None else self.outcome_timestamp - self.start_time


class _Outcome:
    """A finished future, as far as strategies read one."""

    __slots__ = ("_error", "attempt_number")

    failed = True

    def __init__(self, attempt: int, error: BaseException):
        self.attempt_number = attempt
        self._error = error

    def exception(self, timeout: float | None = None) -> BaseException:
        return self._error

    def result(self, timeout: float | None = None) -> Any:
        raise self._error

    def done(self) -> bool:
        return True

    def cancelled(self) -> bool:
        return False


# ---- arguments -------------------------------------------------------------------


def _check_attempt(attempt: Any, error: Any) -> None:
    if not isinstance(attempt, int):
        raise TypeError(f"attempt must be a whole number, got {shown(attempt)}")
    if attempt < 1:
        raise ValueError(f"attempt must be greater than 0, got {shown(attempt)}")
    if not isinstance(error, BaseException):
        raise TypeError(f"error must be what the attempt raised, got {shown(error)}")


def _check_errors(name: str, value: Any, limit: type[BaseException]) -> None:
    classes = value if isinstance(value, tuple) else (value,)
    if not classes:
        raise ValueError(f"{name} must not be an empty tuple")
    for one in classes:
        if isinstance(one, type) and issubclass(one, BaseException):
            if not issubclass(one, limit):
                raise ValueError(
                    f"{name} must name subclasses of Exception, got {one.__name__}: "
                    "what is outside of Exception is never tried again"
                )
        elif isinstance(one, type) or isinstance(value, tuple) or not callable(one):
            raise TypeError(
                f"{name} must be an exception class, a tuple of them, or a function of the error, got {shown(value)}"
            )
        else:
            checks.not_awaited(name, one)


def _check_strategy(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, type) or not callable(value)):
        hint = f"; make one: {value.__name__}(...)" if isinstance(value, type) else ""
        kind = "a function of a RetryState, as tenacity's are, or None"
        raise TypeError(f"{name} must be {kind}, got {shown(value)}{hint}")
    if value is not None:
        checks.not_awaited(name, value)


def _is_one(error: BaseException, errors: Errors) -> bool:
    if isinstance(errors, (type, tuple)):
        return isinstance(error, errors)
    return bool(checks.ordinary("on and give_up", errors(error)))


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    seconds = checks.seconds_of(value)
    if seconds is not None:
        return seconds
    if isinstance(value, float):
        raise ValueError(f"{name} must return a finite number of seconds, got {shown(value)}")
    raise TypeError(f"{name} must return a number of seconds, got {shown(value)}")


# ---- the errors of the attempts before the last ------------------------------------

_MOST_NOTES = 10  # lines on one error: the first five attempts and the last five
_MOST_TEXT = 200  # characters of an error's own text in a line
_MARK = "ringpool: "  # begins each line
_OURS = re.compile(_MARK + r"(attempt \d+|\d+ more attempts?) failed")  # a line of an earlier job, to be replaced


def describe(attempt: int, error: BaseException) -> str:
    """
    One line on an attempt that failed: number, class and the first 200 characters of the text.

    For who has to remember many of them: it keeps no traceback alive. An
    error whose text cannot be made is described by its class. Never raises.
    """
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(no text: its str() failed)"
    if len(text) > _MOST_TEXT:
        text = text[: _MOST_TEXT - 1] + "…"
    name = type(error).__qualname__
    return f"attempt {attempt} failed: {name}: {text}" if text else f"attempt {attempt} failed: {name}"


def keep_errors(errors: Sequence[BaseException | str], final: BaseException) -> None:
    """
    Write the earlier attempts' errors on the last one, as notes that a traceback shows.

    Args:
        errors: one for each attempt before the last, in order: the error, or
            what :func:`describe` made of it.
        final: the last attempt's error, which gets at most ten such lines:
            one for each of the first five and the last five attempts, and
            between them one that says how many were left out.

    The notes are text, so no error refers to another and no traceback is kept.
    Where the same error object comes out of many jobs, new lines take the
    place of the old ones. An error that takes no notes stays as it is; never
    raises.
    """
    lines = list(enumerate(errors, 1))
    half = _MOST_NOTES // 2
    left_out = max(0, len(lines) - _MOST_NOTES)
    if left_out:
        lines = lines[:half] + lines[-half:]
    notes = [_MARK + (one if isinstance(one, str) else describe(attempt, one)) for attempt, one in lines]
    if left_out:
        noun = "attempt" if left_out == 1 else "attempts"
        notes.insert(half, f"{_MARK}{left_out} more {noun} failed")
    try:
        before = getattr(final, "__notes__", ())
        others = [note for note in before if not (isinstance(note, str) and _OURS.match(note))]
        if notes or len(others) != len(before):
            final.__notes__ = others + notes
    except Exception:  # slots, a __setattr__ of its own, notes that are no list
        pass
