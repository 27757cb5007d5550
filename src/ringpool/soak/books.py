"""Whether the counters of the queues agree with what their producers saw."""

from collections import Counter

ENDS = ("succeeded", "failed", "cancelled", "dropped", "expired")


def balance(stats, ways, unseen, refused):
    """
    What is wrong with *stats*, of all the queues of a round that have stopped.

    *ways*: how many jobs ended in which way; of *unseen* jobs it is not known,
    nor whether they were jobs. *refused*: how many were; None: not known.
    """
    wrong = []
    total = Counter()
    for each in stats:
        wrong += consistent(each)
        for name in ("queued", "in_flight", "delayed", "retrying", "late", "workers", "idle"):
            if getattr(each, name):
                wrong.append(f"{getattr(each, name)} {name} in a queue that has stopped")
        for name, lane in each.lanes.items():
            if lane.ready or lane.running:
                wrong.append(f"{lane} in lane {name!r} of a queue that has stopped")
        total.update({name: getattr(each, name) for name in (*ENDS, "accepted", "rejected", "returned")})
    seen = {name: ways[name] for name in (*ENDS, "returned")}
    seen["accepted"] = sum(ways[name] for name in ENDS)
    if refused is not None and not unseen:
        seen["rejected"] = refused + ways["returned"]
    for name, number in seen.items():
        if not number <= total[name] <= number + unseen:
            more = f" and at most {unseen} more" if unseen else ""
            wrong.append(f"{name} is {total[name]}, the producers saw {number}{more}")
    return wrong


def consistent(stats):
    """What is wrong with one snapshot, at any time."""
    parts = stats.queued + stats.in_flight + sum(getattr(stats, name) for name in ENDS)
    wrong = [f"accepted is {stats.accepted}, its parts are {parts}: {stats}"] if stats.accepted != parts else []
    if max(stats.queued, stats.in_flight, stats.delayed, stats.retrying) >= 2**62:
        wrong.append(f"less than nothing: {stats}")
    return wrong
