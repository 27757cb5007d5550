"""
What must be true of each job of a rig when all have come to an end; for schedules.py and stress_program.py.

Jobs and books are what rig_jobs() and rig_books() in _rig.pxd give, *seen* is what meddlers got who asked for a result.
"""

from typing import NamedTuple

PENDING, RUNNING, CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED = range(5)
PHASE, FAILED, LOCKED, UNREAD = 7, 8, 128, 512
ACCEPTED = 1


class Job(NamedTuple):
    item: int
    known: int  # 0: not put yet, 1: accepted, 2: refused
    word: int
    outcome: int  # 0: none
    ends: int  # how many have ended it, and the last of them with what, and from which phase
    ended_with: int
    ended_from: int
    starts: int
    put_backs: int
    again: int  # how often it asks for another attempt
    held: int  # how often it was given back when it was taken
    planned: bool
    lane: int
    most: int  # of its lane that may run
    added: list  # of each meddler: whether it has a callback
    called: list  # and how often it was called


def faults(jobs, books, seen):
    """Each fault, in words."""
    looked_at = {}
    for item, state, outcome in seen:
        looked_at.setdefault(item, set()).add((state, outcome))
    for job in jobs:
        yield from faults_of(job, looked_at.get(job.item, set()))
    for what in ("unfinished", "queued", "tombstones", "ready", "running", "spares"):
        if books[what]:
            yield f"{what}: {books[what]} at the end"
    accepted = sum(job.known == ACCEPTED for job in jobs)
    if books["ran"] + books["ended before they started"] != accepted:
        yield f"{accepted} were accepted, and counted are {books}"
    if not books["started"] == sum(job.starts for job in jobs) == books["ran"] + books["again"]:
        yield f"attempts as jobs and as workers count them: {books}"


def faults_of(job, looked_at):
    phase, shown = job.word & PHASE, (job.word & (PHASE | FAILED), job.outcome)
    if job.known != ACCEPTED:
        if phase != PENDING or job.starts or job.ends:
            yield f"refused, and then something was done to it: {job}"
        return
    if phase not in (CANCELLED_AND_NOTIFIED, FINISHED):
        yield f"accepted and not ended: {job}"
        return
    if job.ends != 1:
        yield f"ended more than once, or nobody has ended it: {job}"
    if job.word & LOCKED:
        yield f"left locked: {job}"
    if job.outcome != job.ended_with or (job.outcome != 0) != (phase == FINISHED):
        yield f"its outcome is not that of who has ended it: {job}"
    if job.starts != job.put_backs + (job.ended_from == RUNNING):
        yield f"not as many attempts as it was put back and has ended running: {job}"
    if job.put_backs > job.again:
        yield f"put back more often than it asked for: {job}"
    if job.called != job.added:
        yield f"callbacks not called, or twice: {job}"
    if looked_at - {shown}:
        yield f"it has shown {looked_at}: {job}"
    if looked_at and job.word & UNREAD:
        yield f"called unread, and somebody has read it: {job}"
