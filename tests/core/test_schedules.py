"""
The ring, the shelf, the parking and the job's word on thousands of schedules, each chosen by a seed.

Seen to fail within as many seeds, of the queue: without the second look after list_idle, without F2, without
gate_leave's passing on, with a slot that is not waited for, a claim without a comparison, a close that wakes no
producer, an all_taken that does not count the shelf, a put on the shelf that does not look at the close; and with
absorb() as it was (seed 6 490). Two of our own faults took more: `head_seen` that said FULL (one of 11 000 schedules
of a small ring), the ring looked at before its overflow (seed 29 420). One that was mended by reading was not seen in
60 000: a look at a head that another takes.

Of the job's word (jobword.pxd), each planted alone, with the first seed that shows it: settled without LOCKED (26), and
quietly so (114); WATCHED set after the look (26), or without LOCKED (114); no look after the gate was entered (36), or
the only one before it (10 552); the gate emptied before the word is stored (25); put back without LOCKED (306), or
though it was settled by hand (908); a start that does not look at the phase (0), or without LOCKED (0); asked to end
without LOCKED (114), or stored after the look at the sleepers (813); a cancel() that begins only once (3 794); INFLATED
not looked at, or not set (26); a callback that sets no WATCHED (36), or is added without LOCKED (792); marked as read
without LOCKED (308); no tombstone, or one of a job that ran (0). Of the rig itself: an outcome written after the word
(20; quietly, 414).

Of timers, the end and the rest: come_again without its second look (9 685), or without one at the request (865), at
stop_asked (296), at it under the lock (107), or at `hurried` (8 591); a key that is free between two attempts (a
crash); what is due (0), what comes again (129) or a hold (4) that does not tell the
timekeeper; what was made due that is told to nobody (4); timers that nobody counts (254), or whose purge frees no key
(11 068); a purge that does not look at stop_asked (982), does not wake who waits for a key (359), ends before a claimed
position (3 247), or follows the other way round (221); a worker that does not look at stop_asked (305), a hold that
does not (328), a stop that wakes no sleeper (221); a job counted as dealt with before it is (0), an end that is told to
nobody (0), `unfinished` without the shelf's lock (635).

Of what ends while it waits: not taken off the shelf at all (423), or not from behind its key (176), from its lane
(26); arrival (26) or time (374) that the shelf does not note; a key that is not free then (80); counted off though a
worker has it (0); counted as waiting for ever (26); without the shelf's lock (a run without end); a shelf that does
not look whether something can start (857); nobody told that waits for room (122), the end (3 715), or to leave (821),
or that waits behind its key (in none of 20 000; 463 in a test of its own); come_again (9 685) or a hold (80) without
the second look.

Of lanes: more at a time than may run (3 218); jobs that are not counted off, or a level that is dropped with its jobs
(a crash). Not seen: workers set aside for the lane that has reserved them, which only makes fewer run.

Of the line for room: a producer that passes no room on, or gives up and stays counted as on the way.

Of workers that leave: one that hires nobody in place of itself (763), or not of a closed queue (4 344: as it was); a
producer that does not hire again after its put (1 059); who waits for the first worker and is not told of it (1). Not
seen here, though the model finds them: a leaver that lets nobody go, one that has drained the queue and does not look
again, one that leaves though those who stay have drained it (once, at 3 159 of other draws). Not seen: one that does
not look before it gives up its seat, or does no F2 then, and producers that are not counted as coming, since who looks
later makes up for these.

Of spares, in the test of their own: a closed queue whose workers leave while there is one, as it was (122; 52 610 of
all), and one that has left and wakes nobody (0); a timekeeper (4), or a spare that leaves (651), that makes up for
nobody. Not seen there, but in 200 000 of jobs that wait and threads that do not start: a spare that sees no hidden
position, and who does not try again, each as it was. Not seen: a spare that clears has_spare and does not look again,
and a worker that does not look for who waits before it sleeps.

These seeds are of the schedules as they were then.

Not seen: a job taken out of a timer, or its lane, for another that has the same time or arrival, which there are none
of here; come_again of an attempt that is due at once and tells nobody (the worker looks itself), a close that does not
tell the timekeeper (whoever deals with the last job does, too), and `unfinished` with what was accepted read first,
since nobody asks here before the close.

A fault's seed runs it again: ``python tests/core/schedules.py MODULE SEED 1``,
with the module that ``RINGPOOL_STRESS=scheduled python setup.py build_ext``
makes.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CLOSE, STOP_NOW = 0, 1  # of the ways in which a queue ends there
PROGRAM = Path(__file__).with_name("schedules.py")


@pytest.fixture(scope="module")
def scheduled(build_core):
    if not sys.platform.startswith("linux"):
        pytest.skip("fibers are made as glibc makes them")
    return build_core("scheduled")


def run(scheduled, n, /, **instead):
    command = [sys.executable, str(PROGRAM), str(scheduled), "0", str(n), json.dumps(instead)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"ok: {n} schedules"), done.stdout


def test_no_schedule_loses_a_job_or_a_wake_up(scheduled):
    run(scheduled, 20_000)


def test_stop_now_finds_what_leaves_the_ring_while_it_purges(scheduled):
    """
    A producer that has claimed its place in the ring is slow, and others move what it puts there to the shelf, which
    is shut. The purge found the ring drained then, and was done: seed 875 here, seed 211 797 of all schedules.
    """
    few = {"capacity": 4, "producers": 1, "workers": 1, "n": 2, "meddlers": 0, "ready": False, "meet": False}
    few |= {"planned": True, "again": 0, "delay": 0, "holds": 0, "sleeps": False, "close_early": True, "waits": False}
    run(scheduled, 5_000, **few, how=STOP_NOW)


def test_who_waits_behind_a_key_is_told_when_its_holder_ends(scheduled):
    """
    While that waits to be tried again, and nothing else is left that would wake a worker: seed 463, if nobody is told.
    """
    few = {"capacity": 8, "producers": 1, "n": 6, "keys": 1, "meddlers": 2, "ready": False, "meet": False, "holds": 0}
    few |= {"planned": True, "again": 2, "delay": 1000, "sleeps": False, "close_early": True, "waits": False}
    run(scheduled, 3_000, **few, how=CLOSE)


def test_jobs_that_wait_for_others_have_a_spare(scheduled):
    """
    Also where a thread cannot be started, and of a queue that was closed when its worker had nothing left to do.
    """
    few = {"capacity": 8, "producers": 2, "waits": True, "keys": 0, "meet": False, "lanes": 0, "spares": 3}
    run(scheduled, 10_000, **few, planned=True, again=2, delay=1000, sleeps=False, how=CLOSE)
