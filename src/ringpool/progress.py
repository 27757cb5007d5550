"""Jobs that somebody waits for together: which have finished, and a wait that a worker may make."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import suppress
from functools import partial
from typing import Any

from ringpool._core.waiting import after_wait, before_wait
from ringpool.current import current_job
from ringpool.errors import DeadlockError
from ringpool.future import Future


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
        self, unchanged: Callable[[], object], deadline: float | None = None, *, for_all: bool = True
    ) -> None:
        """
        Sleep until somebody rings, unless something has changed; may return early, so look again.

        *deadline*: on time.monotonic(), after which it returns; None: none.
        *for_all*: until no job is unfinished; else any of them will do.
        """
        # The bell is hung up before the look, and who rings changes first and
        # looks for bells then: one of us sees the other.
        bell: Future[None] = Future()
        self._bells.add(bell)
        try:
            if not unchanged():
                return
            pending = None if current_job() is None else self._pending()
            if pending is None:
                with suppress(TimeoutError):
                    bell.result(seconds_until(deadline))
            else:  # by which a worker gets another one to take its place, or is told that this could not end
                waits = self._before_wait(pending, deadline is None, for_all)
                try:
                    # one that somebody else has started meanwhile got nobody: the next that has not may need him
                    if not pending.running():
                        futures.wait([bell, pending], seconds_until(deadline), futures.FIRST_COMPLETED)
                finally:
                    if waits:
                        after_wait()
        finally:
            self._bells.discard(bell)

    def _pending(self) -> Future[Any] | None:
        # One of the jobs that has not started, which a worker that waits has to see to.
        raise NotImplementedError

    def _before_wait(self, pending, endless, for_all):
        return before_wait(pending, endless)


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
        self._first_pending = 0  # no job before this place is pending

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
        while True:
            known = len(self.jobs)  # read first: what has finished by the next line may have brought more
            if position < len(self.finished):
                yield self.finished[position]
                position += 1
            elif position == known:
                return
            else:
                self.sleep_while(partial(self._is_now, known, position), for_all=False)

    def wait_for_all(self) -> int:
        """Wait until no job is unfinished; return how many there were."""
        return self._wait_outside() if current_job() is None else self._wait_in_job()

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
        while True:
            known = len(self.jobs)
            finished = len(self.finished)
            if finished == known:
                return known
            pending = self._pending()
            if pending is None or not (_ran_here(pending) or pending.running()):
                self.sleep_while(partial(self._is_now, known, finished))

    def _is_now(self, known, finished):
        return len(self.jobs) == known and len(self.finished) == finished

    def _before_wait(self, pending, endless, for_all):
        # Where one job is enough it is refused only if none of them could ever be done.
        others = [job for job in self.jobs.copy() if job is not pending and not job.done()]
        if not endless or for_all or not others:
            return before_wait(pending, endless)
        for job in (pending, *others):
            with suppress(DeadlockError):
                return before_wait(job, True, True)
        return before_wait(pending, True)

    def _pending(self):
        position = self._first_pending
        job = None
        while position < len(self.jobs):
            job = self.jobs[position]
            if not job.running() and not job.done():
                break
            job = None
            position += 1
        self._first_pending = position
        return job


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
            self.sleep_while(self._has_none, deadline)
        job = self._finished.popleft()
        del self._jobs[job]
        return job

    def _has_none(self):
        return not self._finished

    def _pending(self):
        for job in self._jobs:
            if not job.running() and not job.done():
                return job
        return None


def seconds_until(deadline: float | None) -> float | None:
    """From now to *deadline*, on time.monotonic(); None: for ever."""
    return None if deadline is None else deadline - time.monotonic()


def _ran_here(job):
    # Without waiting for it where somebody else has started it, or it is another queue's.
    try:
        job.exception(0)
    except futures.CancelledError:
        pass
    except TimeoutError:
        return False
    return True
