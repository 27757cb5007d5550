"""Jobs that somebody waits for together: which have finished, and a wait that a worker may make."""

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import suppress
from functools import partial
from typing import Any

from ringpool._core.waiting import after_wait, before_wait
from ringpool.current import current_job
from ringpool.future import Future


class Progress:
    """
    Two lists that only grow: *jobs*, in order, and *finished*, in the order in which they did.

    A job stands in the first before it can stand in the second. Nothing here
    takes a lock of ours, so a callback may run in a signal handler on top of
    any other method. *on_finish* is called with each finished job before it is
    listed, in the thread that finished or cancelled it.
    """

    def __init__(self, on_finish: Callable[[Future[Any]], object] | None = None):
        self.jobs: list[Future[Any]] = []
        self.finished: list[Future[Any]] = []
        self._on_finish = on_finish
        self._bells: set[Future[None]] = set()
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
                self.sleep_while(partial(self._is_now, known, position))

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

    # ---- bells -------------------------------------------------------------------

    def ring(self) -> None:
        """Wake whoever sleeps here, to look again. Change first, ring then."""
        for bell in self._bells.copy():
            with suppress(futures.InvalidStateError):  # it rings already
                bell.set_result(None)

    def sleep_while(self, unchanged: Callable[[], object]) -> None:
        """Sleep until somebody rings, unless something has changed; may return early, so look again."""
        # The bell is hung up before the look, and who rings changes first and
        # looks for bells then: one of us sees the other.
        bell: Future[None] = Future()
        self._bells.add(bell)
        try:
            if not unchanged():
                return
            pending = None if current_job() is None else self._pending()
            if pending is None:
                bell.result()
            else:  # by which a worker gets another one to take its place, or is told that this could not end
                waits = before_wait(pending, True)
                try:
                    futures.wait([bell, pending], return_when=futures.FIRST_COMPLETED)
                finally:
                    if waits:
                        after_wait()
        finally:
            self._bells.discard(bell)

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


def _ran_here(job):
    # Without waiting for it where somebody else has started it, or it is another queue's.
    try:
        job.exception(0)
    except futures.CancelledError:
        pass
    except TimeoutError:
        return False
    return True
