"""CoDel: drop times by the control law, and every decision against the RFC's own loop."""

import math
import random
from collections import deque

import pytest

from ringpool.shedding import CoDel

TARGET, INTERVAL = 0.125, 1.0  # exact as floats

# Each history is a table of (now, wait, dropped?) or (now, wait, dropped?, leaves the queue empty?).
HISTORIES = {
    "short waits are never dropped": [(n / 8, 0.1, False) for n in range(100)],
    "a wait just below the target is short": [(n / 8, math.nextafter(TARGET, 0), False) for n in range(100)],
    "a burst goes by": [
        (0.0, 9.0, False),
        (0.5, 5.0, False),
        (0.875, 1.0, False),
        (1.0, 0.0, False),
        (1.5, 2.0, False),
    ],
    "one short wait in each interval is enough": [(n / 8, 0.0 if n % 8 == 7 else 5.0, False) for n in range(200)],
    "after a whole interval the first is dropped": [
        (0.0, 0.125, False),
        (0.5, 0.125, False),
        (math.nextafter(1.0, 0), 0.125, False),
        (1.0, 0.125, True),
    ],
    "the next one an interval later": [
        (0.0, 1, False),
        (1.0, 1, True),
        (1.5, 1, False),
        (1.96875, 1, False),
        (2.0, 1, True),
    ],
    "a short wait ends it at once": [
        (0.0, 1, False),
        (1.0, 1, True),
        (2.0, 1, True),
        (2.25, 0, False),
        (9.0, 1, False),
        (9.875, 1, False),
    ],
    "the last job of the queue is never dropped, and ends it": [
        (0.0, 1, False),
        (1.0, 1, True),
        (2.0, 1, False, True),
        (2.5, 1, False),
        (3.0, 1, False),
        (3.5, 1, True),
    ],
    "a job comes late, and what is overdue is made up for": [
        (0.0, 1, False),
        (1.0, 1, True),  # next: 2
        (3.0, 1, True),  # next: 2 + 1/sqrt(2) = 2.707
        (3.0, 1, True),  # next: 2.707 + 1/sqrt(3) = 3.284
        (3.0, 1, False),
    ],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_history(history):
    codel = CoDel(TARGET, INTERVAL)
    decided = [codel.should_drop(wait, now, *last) for now, wait, _, *last in history]
    assert decided == [dropped for _, _, dropped, *_ in history]


def drop_times(codel, times, wait=1.0):
    return [now for now in times if codel.should_drop(wait, now)]


def test_drops_come_exactly_when_the_law_says():
    """Asked at the very moments, and at the last float before each: due + interval / sqrt(n)."""
    law = [INTERVAL]
    for n in range(1, 200):
        law.append(law[-1] + INTERVAL / math.sqrt(n))
    asked = [0.0] + [now for due in law for now in (math.nextafter(due, 0), due)]
    assert drop_times(CoDel(TARGET, INTERVAL), asked) == law


def test_the_count_is_the_laws_n():
    codel = CoDel(TARGET, INTERVAL)
    drop_times(codel, [n / 64 for n in range(64)])
    assert (codel.dropping, codel.count) == (False, 0)
    drop_times(codel, [1 + n / 64 for n in range(160)])
    assert codel.dropping
    assert codel.count == 4  # at 1, 2, 2.707 and 3.284


def test_soon_again_it_goes_on_where_it_was():
    """Dropped 1 + 3 times, so it starts with 3 again, and the second drop comes after 1 / sqrt(3)."""
    codel = CoDel(TARGET, INTERVAL)
    assert len(drop_times(codel, [n / 64 for n in range(224)])) == 4
    assert not codel.should_drop(0.0, 4.0)
    assert drop_times(codel, [4.0, 5.0, math.nextafter(5 + 1 / math.sqrt(3), 0), 5 + 1 / math.sqrt(3)]) == [
        5.0,
        5 + 1 / math.sqrt(3),
    ]
    assert codel.count == 4


def test_after_sixteen_intervals_it_starts_anew():
    codel = CoDel(TARGET, INTERVAL)
    assert len(drop_times(codel, [n / 64 for n in range(224)])) == 4  # the next was due at 3.784
    codel.should_drop(0.0, 4.0)
    assert drop_times(codel, [19.0, 20.0, 20.75, 21.0]) == [20.0, 21.0]
    assert codel.count == 2


class Reference:
    """The routine of RFC 8289, section 5, over a queue of (time of entry, name): it drops inside, and gives one out."""

    def __init__(self, queue, dropped):
        self.queue, self.dropped = queue, dropped
        self.above = 0
        self.dropping = False
        self.count = self.lastcount = 0
        self.next = 0

    def law(self, t, count):
        return t + INTERVAL / math.sqrt(count)

    def take(self, now):
        if not self.queue:
            self.above = 0
            return None, False
        job = self.queue.popleft()
        if now - job[0] < TARGET or not self.queue:
            self.above = 0
        elif not self.above:
            self.above = now + INTERVAL
        elif now >= self.above:
            return job, True
        return job, False

    def dequeue(self, now):
        job, ok = self.take(now)
        if self.dropping:
            if not ok:
                self.dropping = False
            while self.dropping and now >= self.next:
                self.dropped.append((now, job))
                self.count += 1
                job, ok = self.take(now)
                if ok:
                    self.next = self.law(self.next, self.count)
                else:
                    self.dropping = False
        elif ok:
            self.dropped.append((now, job))
            job, ok = self.take(now)
            self.dropping = True
            delta = self.count - self.lastcount
            self.count = delta if delta > 1 and now - self.next < 16 * INTERVAL else 1
            self.next = self.law(now, self.count)
            self.lastcount = self.count
        return job


def ours(codel, queue, dropped):
    def dequeue(now):
        while queue:
            job = queue.popleft()
            if not codel.should_drop(now - job[0], now, not queue):
                return job
            dropped.append((now, job))
        return None

    return dequeue


@pytest.mark.parametrize("seed", range(40))
def test_it_decides_as_the_rfcs_loop_does(seed):
    """Random load: overload, relief, idleness; each job gets the same fate at the same time."""
    rng = random.Random(seed)
    queues, dropped = (deque(), deque()), ([], [])
    dequeues = ours(CoDel(TARGET, INTERVAL), queues[0], dropped[0]), Reference(queues[1], dropped[1]).dequeue
    now, jobs, given = 1.0, 0, ([], [])
    for _ in range(60):
        arrivals, service = rng.choice([(0.5, 0.01), (1.2, 0.05), (3, 0.02), (2, 0.1), (0.1, 1.0), (40, 0.01)])
        for _ in range(rng.randrange(200)):
            for _ in range(int(arrivals + rng.random())):
                for queue in queues:
                    queue.append((now, jobs))
                jobs += 1
            now += rng.uniform(0, 2 * service)
            for dequeue, out in zip(dequeues, given):
                out.append(dequeue(now))
    assert given[0] == given[1]
    assert dropped[0] == dropped[1]
    assert len(dropped[0]) > 10


def test_the_wait_comes_down_under_a_tenth_too_much_load():
    """Nobody slows down, so the drops alone must do it: ten a second, which the law reaches after some 20 s."""
    codel, queue, waits, now = CoDel(TARGET, INTERVAL), deque(), [], 0.0
    dequeue = ours(codel, queue, [])
    for n in range(6_000):
        queue.extend([(now, None)] * (1 if n % 10 else 2))
        now += 0.01
        waits.append(now - dequeue(now)[0])
    assert max(waits) > 8 * TARGET
    assert max(waits[-1000:]) < 5 * TARGET


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": 0}, ValueError, r"target must be greater than 0 and at most 2147483647, got 0"),
        ({"target": -1}, ValueError, "target must be greater than 0"),
        ({"target": float("nan")}, ValueError, "target must be greater than 0 .* got nan"),
        ({"interval": float("inf")}, ValueError, "interval must be greater than 0 .* got inf"),
        ({"target": "1"}, TypeError, "target must be a number, got '1'"),
        ({"interval": None}, TypeError, "interval must be a number, got None"),
        ({"target": True}, TypeError, "target must be a number, got True"),
        ({"target": 2}, ValueError, "interval must be at least target, which is 2, got 1"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        CoDel(**arguments)


def test_what_it_was_made_with_can_be_read():
    codel = CoDel(0.5, 10)
    assert (codel.target, codel.interval) == (0.5, 10.0)
    assert repr(codel) == "<CoDel target=0.5 interval=10: not dropping>"
    drop_times(codel, [0, 10])
    assert repr(codel) == "<CoDel target=0.5 interval=10: dropping, 1 so far>"
