"""Jobs that somebody waits for together: which have finished, and a wait that a worker may make."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import suppress
from functools import partial
from typing import Any

from ringpool._core.here import current_future
from ringpool._core.plan import worker_number
from ringpool._core.waiting import after_wait, before_wait
from ringpool.errors import DeadlockError
from ringpool.future import Future

MANY = 1000
"""Of more jobs at a time, a wait for any of them is not looked at to see whether it could end: each would cost that."""

Awaited = tuple[Future[Any] | None, list[Future[Any]] | None]
"""
A job that a worker which waits has to see to, and what the wait needs: None: that one; a list: any of these, or, of an
empty one, of too many to say which.
"""


class Bells:
    """What rings when one of several jobs has finished, and a wait for that which a worker may make."""

    def __init__(self) -> None:
        self._bells: set[Future[None]] = set()

    def ring(self) -> None:
        """Wake whoever sleeps here, to look again. Change first, ring then."""
        for bell in self._bells.copy():
            with suppress(futures.InvalidStateError):  # it rings already
                bell.set_result(None)

    def sleep_while(
        self,
        unchanged: Callable[[], object],
        awaited: Callable[[], Awaited] | None = None,
        deadline: float | None = None,
    ) -> None:
        """
        Sleep until somebody rings, unless something has changed; may return early, so look again.

        *awaited*: what for, asked of a worker. *deadline*: on time.monotonic(), after which it returns; None: none.
        """
        # The bell is hung up before the look, and who rings changes first and
        # looks for bells then: one of us sees the other.
        bell: Future[None] = Future()
        self._bells.add(bell)
        waits = False
        try:
            if unchanged():
                if awaited is not None and _is_at_work():
                    # by which a worker gets another one to take its place, or is told that this could not end
                    job, among = awaited()
                    waits = job is not None  # from here on: a signal handler may raise as soon as it has begun
                    if waits:
                        try:
                            before_wait(job, deadline is None, among)
                        except DeadlockError:
                            waits = False
                            if unchanged():  # else by one that was not among those any more, and has rung
                                raise
                with suppress(TimeoutError):
                    bell.result(seconds_until(deadline))
        finally:
            self._bells.discard(bell)
            if waits:
                after_wait()


class Progress(Bells):
    """
    Two lists that only grow: *jobs*, in order, and *finished*, in the order in which they did.

    A job stands in the first before it can stand in the second. Nothing here
    takes a lock of ours, so a callback may run in a signal handler on top of
    any other method. *on_finish* is called with each finished job before it is
    listed, in the thread that finished or cancelled it.
    """

    def __init__(self, on_finish: Callable[[Future[Any]], object] | None = None):
        super().__init__()
        self.jobs: list[Future[Any]] = []
        self.finished: list[Future[Any]] = []
        self._on_finish = on_finish

    def add(self, job: Future[Any]) -> None:
        """List *job*. Where others may wait here at the same time, ring() next."""
        self.jobs.append(job)
        try:
            job.add_done_callback(self._note)
        except BaseException:
            self.jobs.remove(job)  # no memory: it would be waited for, and never be finished
            raise

    def _note(self, job):
        if (look := self._on_finish) is not None:
            look(job)
        self.finished.append(job)
        self.ring()

    def close(self) -> None:
        """All have finished, and none will come: lets go of *on_finish*, whose owner may own this."""
        self._on_finish = None

    def as_completed(self) -> Iterator[Future[Any]]:
        """Every job as it finishes, also those that come meanwhile; ends when none is unfinished."""
        position = 0
        lookout = Lookout(self.jobs)
        unsaid = Unsaid(self.jobs, self.finished)

        def awaited():
            few = len(self.jobs) - len(self.finished) <= MANY
            return lookout.job(), unsaid() if few else []

        while True:
            known = len(self.jobs)  # read first: what has finished by the next line may have brought more
            if position < len(self.finished):
                yield self.finished[position]
                position += 1
            elif position == known:
                return
            else:
                self.sleep_while(partial(self._is_now, known, position), awaited)

    def wait_for_all(self) -> int:
        """Wait until no job is unfinished; return how many there were."""
        return self._wait_in_job() if _is_at_work() else self._wait_outside()

    def _wait_outside(self):
        position = 0
        while position < len(self.jobs):
            job = self.jobs[position]
            with suppress(futures.CancelledError):
                job.exception()
            if job.done():
                position += 1
        return position

    def _wait_in_job(self):
        # The jobs may need this very worker: it runs those that have not
        # started, and is told of those that come while it sleeps.
        lookout = Lookout(self.jobs)
        while True:
            known = len(self.jobs)
            finished = len(self.finished)
            if finished == known:
                return known
            self.sleep_while(partial(self._is_now, known, finished), lambda: (lookout.job(), None))

    def sleep_while_all(self, unchanged: Callable[[], object]) -> None:
        """As sleep_while(), for what ends after all of the jobs."""
        self.sleep_while(unchanged, lambda: (Lookout(self.jobs).job(), None))

    def _is_now(self, known, finished):
        return len(self.jobs) == known and len(self.finished) == finished


class Lookout:
    """Which of a growing list of jobs one who waits for them has to see to; for one thread."""

    def __init__(self, jobs: list[Future[Any]]):
        self._jobs = jobs
        self._next = 0  # each job before this place has started, or will not
        self._started: deque[Future[Any]] = deque()  # of these, those that had not ended

    def job(self) -> Future[Any] | None:
        """One that has not started, or is to be tried again; else one that runs; None: all have ended."""
        while self._next < len(self._jobs):
            job = self._jobs[self._next]
            if not job.done():
                if not job.running():
                    return job
                self._started.append(job)
            self._next += 1
        for _ in range(len(self._started)):
            job = self._started[0]
            if job.done():
                self._started.popleft()
            elif job.running():
                self._started.rotate(-1)
            else:
                return job
        return self._started[0] if self._started else None


class Unsaid:
    """
    Those of a growing list of jobs that are not among the *finished* yet; for one thread.

    One that has ended is about to be: whoever waits for any of these is sure to be woken.
    """

    def __init__(self, jobs: list[Future[Any]], finished: list[Future[Any]]):
        self._jobs = jobs
        self._finished = finished
        self._listed = self._said = 0
        self._unsaid: dict[Future[Any], None] = {}

    def __call__(self) -> list[Future[Any]]:
        said = self._finished[self._said :]  # read first: what stands here stands among the jobs
        listed = self._jobs[self._listed :]
        self._said += len(said)
        self._listed += len(listed)
        self._unsaid.update(dict.fromkeys(listed))
        for job in said:
            self._unsaid.pop(job, None)
        return list(self._unsaid)


class Window(Bells):
    """Jobs that one reader takes as they finish; what it has taken is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[Future[Any], None] = {}
        self._finished: deque[Future[Any]] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Future[Any]]:
        return iter(tuple(self._jobs))

    def append(self, job: Future[Any]) -> None:
        """One more."""
        self._jobs[job] = None
        job.add_done_callback(self._note)

    def _note(self, job):
        self._finished.append(job)
        self.ring()

    def take(self, deadline: float | None) -> Future[Any]:
        """The next that has finished; TimeoutError if none has by *deadline*, on time.monotonic(); None: no limit."""
        while not self._finished:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            self.sleep_while(self._has_none, self._awaited, deadline)
        job = self._finished.popleft()
        del self._jobs[job]
        return job

    def _has_none(self):
        return not self._finished

    def _awaited(self):
        pending = (job for job in self._jobs if not job.running() and not job.done())
        return next(pending, next(iter(self._jobs), None)), list(self._jobs) if len(self._jobs) <= MANY else []


def _is_at_work() -> bool:
    # Does the calling thread run a job, or, as a worker, a callback of one that has ended?
    return current_future() is not None or worker_number() is not None


def seconds_until(deadline: float | None) -> float | None:
    """From now to *deadline*, on time.monotonic(); None: for ever."""
    return None if deadline is None else deadline - time.monotonic()
