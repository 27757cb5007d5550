"""
Jobs as the tasks of an asyncio loop await them, and how they get there.

Why not asyncio's own futures: each of them calls each of its callbacks through
the loop, with a handle and a copy of the context of its own, and without the
GIL it is these objects, as the collector's, that a burst spends its time on.
"""

from asyncio import CancelledError, InvalidStateError
from collections import deque
from concurrent.futures import CancelledError as JobCancelledError
from contextvars import Context, copy_context
from functools import partial
from types import GenericAlias
from weakref import ref

from libc.stdint cimport uint32_t

from ringpool._core.layout cimport Word
from ringpool._core.python cimport context_is_empty, context_of, current_thread_state
from ringpool._core.run cimport enter_fresh_context, fresh_context, leave_context

from ringpool._core.shown import shown

cdef enum State:
    WAITING, ENDED, CANCELLED


cdef class AwaitedJob:
    """
    A job as a future of the loop that runs in the thread of its ``run()``.

    All of asyncio takes it as one (:func:`asyncio.isfuture`): it is to be
    awaited, gathered, shielded, waited for. Its outcome is its job's, so it has
    no ``set_result`` of use, as a task has none. Cancelling it cancels the job,
    or asks it to end. As with asyncio's futures, only the loop's thread may use
    it; callbacks are called on the loop after the end, in the order of adding,
    those of a burst of jobs in one go.
    """

    cdef readonly object job
    """The future that ``submit`` returned; safe from any thread."""
    cdef public bint _asyncio_future_blocking   # asyncio's: set by who yields it to a task, unset by the task
    cdef readonly object _cancel_message        # what cancel() was given; gather reads it
    cdef object _loop
    cdef object _stopped            # what StopIteration became
    cdef object _traceback          # the error's, as it was before anybody raised it here
    cdef object _callback           # the first, nearly always the only one; None: there is none
    cdef object _context            # to call it in; None: an empty one
    cdef list _others               # more of both; None: there are none
    cdef State _state
    cdef object __weakref__

    __class_getitem__ = classmethod(GenericAlias)

    def __cinit__(self, job, loop):
        self.job = job
        self._loop = loop

    def __repr__(self):
        state = ("pending", "finished", "cancelled")[<int>self._state]
        return f"<{type(self).__name__} {state} job={self.job!r}>"

    # ---- reading -----------------------------------------------------------

    def get_loop(self):
        """The loop whose future it is."""
        return self._loop

    def done(self):
        """Has it ended, or been cancelled?"""
        return self._state != WAITING

    def cancelled(self):
        """Was it, or its job, cancelled?"""
        return self._state == CANCELLED

    def result(self):
        """What the job returned; raises what it raised, CancelledError, or InvalidStateError before the end."""
        error = self.exception()
        if error is not None:
            raise error.with_traceback(self._traceback)     # or it grew with each who awaits
        return self.job.result()

    def exception(self):
        """What the job raised, None if it returned; raises CancelledError, or InvalidStateError before the end."""
        if self._state == CANCELLED:
            raise self._make_cancelled_error()
        if self._state == WAITING:
            raise InvalidStateError(f"{self!r} has not ended")
        error = self.job.exception()
        if isinstance(error, StopIteration):
            if self._stopped is None:
                self._stopped = RuntimeError("the job raised StopIteration, which no awaitable can raise")
                self._stopped.__cause__ = error
            return self._stopped
        if error is not None and self._traceback is None:
            self._traceback = error.__traceback__
        return error

    def __await__(self):
        return Awaiting(self)

    def __iter__(self):
        return Awaiting(self)

    def _make_cancelled_error(self):        # gather calls it
        return CancelledError() if self._cancel_message is None else CancelledError(self._cancel_message)

    # ---- not for this kind, as for tasks -------------------------------------

    def set_result(self, result, /):
        """Raise RuntimeError: its outcome is its job's."""
        raise RuntimeError(f"{self!r} ends as its job does: nobody sets its result")

    def set_exception(self, exception, /):
        """Raise RuntimeError: its outcome is its job's."""
        raise RuntimeError(f"{self!r} ends as its job does: nobody sets its exception")

    # ---- callbacks -----------------------------------------------------------

    def add_done_callback(self, fn, *, context=None):
        """Have ``fn(self)`` called on the loop after the end, in *context*; None: a copy of the present one."""
        if not callable(fn):
            raise TypeError(f"fn must be callable, got {shown(fn)}")
        if context is None and not context_is_empty(context_of(current_thread_state())):
            context = copy_context()
        if self._state != WAITING:
            self._loop.call_soon(fn, self, context=context)
        elif self._callback is None:
            self._callback = fn
            self._context = context
        elif self._others is None:
            self._others = [(fn, context)]
        else:
            self._others.append((fn, context))

    def remove_done_callback(self, fn, /):
        """Forget each callback that equals *fn*; how many there were."""
        callbacks = self._callbacks()
        kept = [entry for entry in callbacks if entry[0] != fn]     # what that raises changes nothing
        if len(kept) != len(callbacks):
            self._callback, self._context = kept[0] if kept else (None, None)
            self._others = kept[1:] or None
        return len(callbacks) - len(kept)

    def cancel(self, msg=None):
        """Cancel it and its job, which is asked to end if it runs; False if it has ended."""
        if self._state != WAITING:
            return False
        self._state = CANCELLED
        self._cancel_message = msg
        try:
            self._call_soon(self._take_callbacks())
        finally:
            self.job.cancel()       # also when the loop is closed, and calls nobody
        return True

    cdef list _callbacks(self):
        cdef list callbacks = [] if self._callback is None else [(self._callback, self._context)]
        return callbacks if self._others is None else callbacks + self._others

    cdef list _take_callbacks(self):
        callbacks = self._callbacks()
        self._callback = self._context = self._others = None
        return callbacks

    cdef int _call_soon(self, list callbacks) except -1:
        for fn, context in callbacks:
            self._loop.call_soon(fn, self, context=Context() if context is None else context)
        return 0

    # ---- the end -----------------------------------------------------------

    cdef bint end(self) except -1:
        # Its job has ended. False: nobody is to be told.
        if self._state == WAITING:
            self._state = CANCELLED if self.job.cancelled() else ENDED
            return self._callback is not None
        try:
            self.job.exception()    # whoever cancelled it expects no outcome, and no report of one
        except JobCancelledError:
            pass
        return False

    cdef int tell(self) except -1:
        # In an empty context, for those that have none. What is not called when one raises is the loop's to call.
        cdef list callbacks
        cdef Py_ssize_t called = 0
        if self._others is None:
            fn, context = self._callback, self._context
            self._callback = self._context = None
            return 0 if fn is None else _call(self, fn, context)
        callbacks = self._take_callbacks()
        try:
            for fn, context in callbacks:
                called += 1
                _call(self, fn, context)
        except BaseException:
            self._call_soon(callbacks[called:])
            raise
        return 0


cdef class Awaiting:
    # One await of it.  No generator, of which each would cost more, and the names' references.
    cdef AwaitedJob awaited
    cdef bint yielded

    def __cinit__(self, AwaitedJob awaited):
        self.awaited = awaited

    def __iter__(self):
        return self

    def __next__(self):
        if self.awaited._state != WAITING:
            raise StopIteration(self.awaited.result())
        if self.yielded:
            raise RuntimeError(f"{self.awaited!r} was awaited by something else than a task of asyncio")
        self.yielded = True
        self.awaited._asyncio_future_blocking = True
        return self.awaited


cdef int _call(AwaitedJob self, fn, context) except -1:
    # As a handle of asyncio's does it.
    try:
        if context is None:
            fn(self)
        else:
            context.run(fn, self)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        self._loop.call_exception_handler(
            {"message": f"Exception in callback {fn!r}", "exception": error, "future": self}
        )
    if context is None and not context_is_empty(context_of(current_thread_state())):
        fresh_context()             # the next one must not see what this one set
    return 0


cdef class Mailbox:
    """
    Finished jobs on their way to one loop.

    Any thread posts; the loop is called only when it has not been called since
    it last looked: who posts and finds it called knows that the loop will unset
    that, and then look, later.
    """

    cdef readonly object loop       # weak
    cdef readonly dict expected     # job: its awaitable; the loop's thread alone uses it, until the loop is closed
    cdef object _posted             # jobs; awaitables of those that were expected already
    cdef object _post               # bound once
    cdef Word[uint32_t] _called

    def __init__(self, loop):
        self.loop = ref(loop)
        self.expected = {}
        self._posted = deque()
        self._post = self.post

    def expect(self, job, loop):
        """The awaitable of *job*, which is posted when it has ended."""
        cdef AwaitedJob awaited = AwaitedJob(job, loop)
        if self.expected.setdefault(job, awaited) is not awaited:
            # A submit that somebody has overridden returned one job twice.
            job.add_done_callback(partial(self.post_instead, awaited))
            return awaited
        try:
            job.add_done_callback(self._post)
        except BaseException:
            del self.expected[job]
            job.cancel()            # nobody will hear of it
            raise
        return awaited

    def post(self, posted):
        self._posted.append(posted)
        if self._called.exchange(1) == 0:
            loop = self.loop()
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self.deliver)
            except BaseException:
                self._called.store(0)       # the next one calls
                if not self.forget_if_closed():
                    raise

    def post_instead(self, awaited, job):
        self.post(awaited)

    def forget_if_closed(self):
        """Is its loop closed? Then nobody waits any more, and what refers to that loop goes."""
        loop = self.loop()
        if loop is not None and not loop.is_closed():
            return False
        self._posted.clear()
        self.expected.clear()
        return True

    def deliver(self):
        # All have ended before the first is told.
        cdef AwaitedJob awaited = None
        cdef list ended = []
        self._called.store(0)
        try:
            while self._posted:
                posted = self._posted.popleft()
                awaited = posted if isinstance(posted, AwaitedJob) else self.expected.pop(posted)
                if awaited.end():
                    ended.append(awaited)
        except BaseException as error:      # of a job that is not ours, or an interrupt in there
            if not isinstance(error, Exception):
                self._posted.appendleft(awaited)
            self.loop().call_soon(self.tell, ended)
            self.loop().call_soon(self.deliver)
            raise
        if ended:
            self.tell(ended)

    def tell(self, list ended):
        # Whoever is told may end the loop: then the others are told when it goes on.
        cdef AwaitedJob awaited
        cdef Py_ssize_t told = 0
        cdef bint entered = enter_fresh_context()
        try:
            for awaited in ended:
                told += 1
                awaited.tell()
        except BaseException:
            self.loop().call_soon(self.tell, ended[told:])
            raise
        finally:
            if entered:
                leave_context()
