"""What one producer has submitted, and what became of it."""

from collections import Counter
from concurrent.futures import CancelledError

from ringpool import Future, JobDropped, JobExpired, JobTimeout, QueueFull, current_job

MOST_ATTEMPTS = 3  # of any job here
SHOWN = 8  # numbers, at the most, in one complaint

UNSEEN: Future[int] = Future()
"""Stands for a job whose future its producer does not get: an item of a map, a call of a race, …"""


class Failure(Exception):
    """What a job raises that is to fail."""


class Page:
    """
    *count* jobs with the numbers from *first* on; here their index, from 0, stands for them. *again*: some may be
    tried again.

    The marks are appends to lists, one step of the interpreter each: a call or
    an end too many is there twice, whichever threads made it.
    """

    def __init__(self, first: int, count: int, again: bool = False):
        self.first = first
        self.count = count
        self._possible = POSSIBLE_AGAIN if again else POSSIBLE
        self.futures: list[Future | None] = [None] * count
        """None: not offered, or refused."""
        self.calls: list[int] = []
        """Index + count * (attempt - 1), as a function begins."""
        self.ended: list[Future] = []
        """As they call back."""
        self.delivered: list[int] = []
        """The UNSEEN whose result has come."""
        self.refused: list[int] = []
        """By QueueFull or QueueStopped."""
        self.wrong: list[str] = []
        """What a job has noticed."""
        self.run = _run(self.calls.append)
        """A plain job: marks the call, and returns its index."""
        self.run_attempt = _run_attempt(self.calls.append, count)
        """The same, where queues try again what asks for nothing."""

    def keep(self, index, future):
        """The *future* that a submit has returned."""
        self.futures[index] = future
        future.add_done_callback(self.ended.append)

    def deliver(self, index, value):
        """The *value* that has come for an UNSEEN job."""
        if value != index:
            self.wrong.append(f"job {self.first + index} got {value!r} as its result")
        self.delivered.append(index)

    def accepted(self):
        """The futures that its producer has."""
        return [future for future in self.futures if future is not None and future is not UNSEEN]

    # ---- when everything has ended -----------------------------------------------------

    @property
    def unseen(self):
        return self.futures.count(UNSEEN)

    def check(self):
        """(how many ended in which way, what is wrong)."""
        # In the interpreter's own loops where all is well: there may be a hundred thousand.
        wrong = [*self.wrong]
        count, futures, calls = self.count, self.futures, set(self.calls)
        seen = [i for i, future in enumerate(futures) if future is not None and future is not UNSEEN]
        if len(calls) < len(self.calls):
            numbers = (call for call, times in Counter(self.calls).items() if times > 1)
            _complain(wrong, "ran twice in one attempt", self._numbers(numbers))
        if calls and max(calls) >= count:
            _complain(wrong, "had an attempt too many", self._numbers(c for c in calls if c >= count * MOST_ATTEMPTS))
            later = (call for call in calls if call >= count)
            _complain(wrong, "left out an attempt", self._numbers(call for call in later if call - count not in calls))
        if {id(futures[i]) for i in seen} != set(map(id, self.ended)) or len(seen) != len(self.ended):
            ends = Counter(map(id, self.ended))
            _complain(wrong, "did not end exactly once", self._numbers(i for i in seen if ends[id(futures[i])] != 1))
            wrong.append(f"{len(self.ended)} ends of {len(seen)} jobs")
        _complain(wrong, "ran although refused", self._numbers(c for c in calls if futures[c % count] is None))
        _complain(wrong, "has a result and never ran", self._numbers(i for i in self.delivered if i not in calls))
        return self._outcomes(seen, calls, wrong), wrong

    def _outcomes(self, seen, calls, wrong):
        ways = Counter()
        strange = {}
        for index in seen:
            ran = index in calls
            way = outcome(self.futures[index], index, ran)
            if way not in self._possible[ran]:
                strange.setdefault((ran, way), []).append(index)
            ways[way] += 1
        for (ran, way), indexes in strange.items():
            _complain(wrong, f"{'ran' if ran else 'never ran'}, and {way}", self._numbers(indexes))
        return ways

    def _numbers(self, calls):
        return sorted({self.first + call % self.count for call in calls})


def _run(mark):
    def run(index):
        mark(index)
        return index

    return run


def _run_attempt(mark, count):
    def run_attempt(index):
        mark(index + count * (current_job().attempt - 1))
        return index

    return run_attempt


# By whether it has ever run.
POSSIBLE = {True: {"succeeded", "failed"}, False: {"cancelled", "dropped", "expired", "returned"}}
POSSIBLE_AGAIN = POSSIBLE | {True: {"succeeded", "failed", "cancelled", "dropped"}}  # the last two between attempts


def outcome(future, index, ran):
    """How the job has ended, as the counters of a queue have it."""
    try:
        value = future.result(0)
        return "succeeded" if value == index else f"returned {value!r}"
    except CancelledError:
        return "cancelled" if future.cancelled() else "failed"
    except JobDropped:
        return "dropped"
    except JobExpired:
        return "expired"
    except QueueFull:
        return "returned"
    except JobTimeout:
        return "failed" if ran else "expired"
    except Failure:
        return "failed"
    except TimeoutError:
        return "did not end"
    except BaseException as error:
        return f"raised {error!r}"


def _complain(wrong, what, numbers):
    if numbers:
        more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        wrong.append(f"{what}: {', '.join(map(str, numbers[:SHOWN]))}{more}")
