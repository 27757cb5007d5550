"""
What must be true of each job of a rig when all have come to an end; for schedules.py and stress_program.py.

*jobs* and *books* are what rig_jobs() and rig_books() in _rig.pxd give, *seen* is what meddlers got who asked for a
result.
"""

PENDING, RUNNING, CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED = range(5)
PHASE, FAILED, LOCKED, UNREAD = 7, 8, 128, 512
ACCEPTED = 1


def faults(jobs, books, seen):
    """Each fault, in words."""
    looked_at = {}
    for item, state, outcome in seen:
        looked_at.setdefault(item, set()).add((state, outcome))
    for job in jobs:
        yield from faults_of(*job, looked_at.get(job[0], set()))
    for what in ("unfinished", "queued", "tombstones"):
        if books[what]:
            yield f"{what}: {books[what]} at the end"
    accepted = [job for job in jobs if job[1] == ACCEPTED]
    if books["ran"] + books["ended before they started"] != len(accepted):
        yield f"{len(accepted)} were accepted, and counted are {books}"
    if books["started"] != sum(job[7] for job in jobs) or books["started"] != (
        books["ran"] + books["again"]
    ):
        yield f"attempts as jobs and as workers count them: {books}"


def faults_of(
    item, known, word, outcome, ends, ended_with, ended_from, starts, put_backs, again, held, planned, added, called,
    looked_at,
):
    phase = word & PHASE
    if known != ACCEPTED:
        if phase != PENDING or starts or ends:
            yield f"{item} was refused, and then there was something done to it"
        return
    if phase not in (CANCELLED_AND_NOTIFIED, FINISHED):
        yield f"{item} was accepted and has not ended: its word is {word}"
        return
    if ends != 1:
        yield f"{item} ended {ends} times"
    if word & LOCKED:
        yield f"{item} is left locked"
    if outcome != ended_with or (outcome != 0) != (phase == FINISHED):
        yield f"{item} was ended with {ended_with}, and its outcome is {outcome}: its word is {word}"
    if starts != put_backs + (ended_from == RUNNING):
        yield f"{item} was started {starts} times, put back {put_backs} times, and then ended from phase {ended_from}"
    if put_backs > again:
        yield f"{item} was put back {put_backs} times"
    if called != added:
        yield f"{item} has called {called} for callbacks {added}"
    if looked_at - {(word & (PHASE | FAILED), outcome)}:
        yield f"{item} showed {looked_at} and has {word & (PHASE | FAILED)}, {outcome}"
    if looked_at and word & UNREAD:
        yield f"{item} is called unread, and somebody has read it"
