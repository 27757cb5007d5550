"""
The methods that take a job: native functions that get their arguments as they come.

A method written as Cython writes them would build a tuple and a dict for every
call. And the interpreter calls a native method by its shortest way only on
exactly the class that defines it, so each face gets its own.
"""

from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport int64_t, uint32_t

from ringpool._core.admission cimport admit, check_callable, make_job
from ringpool._core.engine cimport Engine, core_of_pool
from ringpool._core.future cimport FutureBase, future_start
from ringpool._core.here cimport calling_thread
from ringpool._core.layout cimport FOREVER, NOW, PATIENT, Core, Here, Word, Worker
from ringpool._core.parking cimport deadline_of
from ringpool._core.python cimport (
    METH_FASTCALL,
    METH_KEYWORDS,
    Py_DECREF,
    PyCFunction,
    PyMethodDef,
    add_method,
    current_thread_state,
)
from ringpool._core.run cimport run_started

cdef PyObject* _submit(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    return admit(<Engine>self, args, nargs, kwnames, FOREVER)


cdef PyObject* _try_submit(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    if nargs < 1:
        raise TypeError("try_submit() missing 1 required positional argument: 'fn'")
    return admit(<Engine>self, args, nargs, kwnames, NOW)


cdef PyObject* _submit_within(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    cdef int64_t deadline
    if nargs < 2:
        raise TypeError("submit_within() takes the positional arguments 'seconds' and 'fn', and then fn's own")
    deadline = deadline_of(<object>args[0], "seconds")
    return admit(<Engine>self, args + 1, nargs - 1, kwnames, PATIENT if deadline == FOREVER else deadline)


cdef PyObject* _call_in_place(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) except NULL:
    # What a job is without a queue and a worker: the floor of the benchmarks.
    # Nothing of it is counted.
    cdef Core* core = core_of_pool(<Engine>self)
    cdef PyObject* job
    cdef Worker me
    if nargs < 1:
        raise TypeError("_call_in_place() missing 1 required positional argument: 'fn'")
    check_callable(args[0])
    job = make_job(core, args, nargs, kwnames)
    me.thread = current_thread_state()
    future_start(<FutureBase>job)
    run_started(core, &me, <FutureBase>job, False)
    Py_DECREF(job)                  # the queue's reference
    return job


cdef class Submission:
    """A submit that a thread makes for somebody else, who may withdraw it while it waits for room."""

    cdef Word[uint32_t] _withdrawn

    @property
    def withdrawn(self):
        return self._withdrawn.load() != 0

    def withdraw(self):
        """From any thread. Not seen by a submit that finds room in this moment: look at what has become of it."""
        self._withdrawn.store(1)

    def make(self, submit, args, kwargs):
        """Call *submit*. QueueFull, also because it was withdrawn, counts as no refusal."""
        cdef Here* here = calling_thread()
        cdef Word[uint32_t]* before = here.withdrawn
        here.withdrawn = &self._withdrawn
        try:
            return submit(*args, **kwargs)
        finally:
            here.withdrawn = before


# ---- giving them to a class ------------------------------------------------------------

cdef PyMethodDef SUBMIT, TRY_SUBMIT, SUBMIT_WITHIN, CALL_IN_PLACE


def give_methods(type face, *names):
    """Make the methods *names* a class's own; it is a subclass of Engine."""
    for name in names:
        if name == "submit":
            _give(face, name, &SUBMIT, b"submit", <void*>_submit, SUBMIT_DOC)
        elif name == "try_submit":
            _give(face, name, &TRY_SUBMIT, b"try_submit", <void*>_try_submit, TRY_SUBMIT_DOC)
        elif name == "submit_within":
            _give(face, name, &SUBMIT_WITHIN, b"submit_within", <void*>_submit_within, SUBMIT_WITHIN_DOC)
        elif name == "_call_in_place":
            _give(face, name, &CALL_IN_PLACE, b"_call_in_place", <void*>_call_in_place, CALL_IN_PLACE_DOC)
        else:
            raise ValueError(f"no such method: {name}")


cdef _give(type face, name, PyMethodDef* method, const char* own_name, void* function, const char* doc):
    method.ml_name = own_name
    method.ml_meth = <PyCFunction>function
    method.ml_flags = METH_FASTCALL | METH_KEYWORDS
    method.ml_doc = doc
    add_method(<PyTypeObject*>face, name, method)


cdef const char* SUBMIT_DOC = b"""submit($self, fn, /, *args, **kwargs)
--

Queue ``fn(*args, **kwargs)`` and return its :class:`ringpool.Future`.

While a bounded queue is full this waits for room, without limit; an executor
has no bound. Every keyword belongs to the job.

Raises:
    RuntimeError: stopped or shut down (of a queue: QueueStopped). Not queued.
    TypeError: fn is not callable. Not queued.
    QueueFull: called in a job of this very queue while it is full and every
        other worker waits for room too: waiting would deadlock. Not queued.

Safe from any thread, from jobs, callbacks, destructors and signal handlers.
"""

cdef const char* TRY_SUBMIT_DOC = b"""try_submit($self, fn, /, *args, **kwargs)
--

As :meth:`submit`, but never waits: raises QueueFull when there is no room.
"""

cdef const char* SUBMIT_WITHIN_DOC = b"""submit_within($self, seconds, fn, /, *args, **kwargs)
--

As :meth:`submit`, but waits at most *seconds* for room; None: without limit.

The limit is a positional argument in front of *fn*, because every keyword
belongs to the job: no name of ours can collide with one of its own.

Raises:
    QueueFull: no room within *seconds*. Not queued.
"""

cdef const char* CALL_IN_PLACE_DOC = b"""_call_in_place($self, fn, /, *args, **kwargs)
--

The finished future of ``fn(*args, **kwargs)``, called here and now: what the
same objects cost without a queue and a worker, for the benchmarks.
"""
