"""Signals that end a queue: the first drains it, the second stops it now."""

import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from ringpool.checks import shown

DEFAULT = (signal.SIGINT, signal.SIGTERM)


class Stoppable(Protocol):
    """What the handlers need of a queue."""

    def stop(self, timeout: float | None = None) -> object: ...
    def stop_now(self) -> object: ...


def install_signal_handlers(queue: Stoppable, signals: Iterable[int] = DEFAULT) -> "SignalHandlers":
    """
    Let *signals* end *queue*, until the returned object is restored.

    Args:
        signals: numbers of the signals; one handler serves them all.

    ::

        queue = WorkerQueue(workers=8, capacity=1024)
        with install_signal_handlers(queue), queue:
            produce(queue)

    The first of these signals drains: the queue refuses new jobs, and what was
    accepted is run. The handler does not wait; what the main thread waits in
    goes on waiting, and a ``submit`` that waits for room raises QueueStopped.
    The second stops now: jobs that have not started are cancelled, running ones
    are asked to stop (:func:`ringpool.current_job`). Then the previous handlers
    come back, so that a third has the effect it always had.

    While SIGINT is among them Ctrl-C raises no KeyboardInterrupt. A body that
    lets QueueStopped out of the queue's ``with`` block leaves it on an exception,
    which cancels what has not started: catch it there to drain.

    Put the queue's block inside, as above: leaving a block of handlers brings
    the previous ones back, and leaving the queue's may take long.

    Raises:
        RuntimeError: not in the main thread, the only one that Python runs
            handlers in.
        TypeError: *queue* is no WorkerQueue, or *signals* no iterable of ints.
        ValueError: *signals* is empty, or has one that cannot be handled, or whose
            present handler was not installed by Python and could not come back.
            No handler has been changed then.
    """
    return SignalHandlers(queue, signals)


class SignalHandlers:
    """Handlers in force; from :func:`install_signal_handlers`. A context manager that restores."""

    def __init__(self, queue: Stoppable, signals: Iterable[int] = DEFAULT):
        methods = (getattr(queue, "stop", None), getattr(queue, "stop_now", None))
        if isinstance(queue, type) or not all(map(callable, methods)):
            raise TypeError(f"queue must be a WorkerQueue, got {shown(queue)}")
        _check_thread("install_signal_handlers")
        numbers = _checked(signals)
        self._queue = queue
        self._received: list[int] = []
        self._restored = False
        self._previous: dict[int, Any] = {}
        self._handler: Callable[[int, FrameType | None], None] = self._handle  # one object, to be compared
        try:
            for number in numbers:
                self._install(number)
        except BaseException:
            self.restore()
            raise

    def _install(self, number):
        previous = signal.getsignal(number)
        if previous is None:
            raise ValueError(f"signals must not have {_name(number)}: its handler was not installed by Python")
        self._previous[number] = previous
        try:
            signal.signal(number, self._handler)
        except (OSError, ValueError):
            del self._previous[number]
            raise ValueError(f"signals must not have {_name(number)}: it cannot be handled") from None

    @property
    def received(self) -> tuple[int, ...]:
        """The numbers of the signals that have come, in order. A program may exit with 128 + the first."""
        return tuple(self._received)

    def restore(self) -> None:
        """
        Bring the previous handlers back; may be called again.

        A handler that somebody has installed over ours stays, and what it passes
        on to ours goes to the previous one. RuntimeError outside of the main thread.
        """
        _check_thread("restore")
        self._restored = True
        for number, previous in self._previous.items():
            if signal.getsignal(number) is self._handler:
                signal.signal(number, previous)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.restore()

    def _handle(self, number, frame):
        # A second signal may come on top of this.
        if self._restored:
            self._pass_on(number, frame)
            return
        self._received.append(number)
        if len(self._received) == 1:
            self._queue.stop(timeout=0)
        else:
            self._queue.stop_now()
            self.restore()

    def _pass_on(self, number, frame):
        previous = self._previous[number]
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


def _checked(signals):
    try:
        numbers = list(dict.fromkeys(signals))
    except TypeError:
        raise TypeError(f"signals must be an iterable of signal numbers, got {shown(signals)}") from None
    if not numbers:
        raise ValueError("signals must have at least one signal")
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"signals must be an iterable of signal numbers, got {shown(number)} in it")
        if number not in signal.valid_signals():
            raise ValueError(f"signals must be valid signal numbers, got {shown(number)}")
    return numbers


def _name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _check_thread(caller):
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(f"{caller}() must be called in the main thread: only there does Python run signal handlers")
