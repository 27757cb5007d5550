"""
Run the core on many schedules and check what each one did; run by test_schedules.py.

Arguments: the compiled module, the first seed, how many, and, as JSON, what is
to stand in place of what is drawn. A fault is printed with its seed, which runs
it again: ``schedules.py MODULE SEED 1``.

What is checked: everybody came to an end; what was accepted was taken, once for
each attempt; jobs of one key ran one at a time and in order, and no more of a
lane than may; what job_faults.py says of each job; none began after it had
ended, after cancel() had returned, or after stop_now(); and, where none has an
order of its own, each history of puts and takes is one of a bounded FIFO queue,
by the patterns of which every other one shows at least one: T. Henzinger,
A. Sezgin, V. Vafeiadis, "Aspect-Oriented Linearizability Proofs" (CONCUR 2013).
"""

import importlib.util
import json
import random
import sys

import job_faults

PUT, FULL, CLOSED, NO_MEMORY = range(4)
TAKEN, NOTHING_READY, RAN, STARTED, ENDED, ASKED_TO_END, SHELF_TAKEN, STOP_ASKED, SHELF_SHUT, QUIET = range(10, 20)
LEFT, CLEARED = 20, 21
CLOSE, STOP_NOW, EXIT, CANCEL_ALL = range(4)
FOR_EVER = 1 << 62
PRODUCERS = 64
ANY = float("inf")


def load(path):
    spec = importlib.util.spec_from_file_location("_scheduled", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(seed):
    """What that seed runs."""
    draw = random.Random(seed)
    ready = draw.random() < 0.2
    keys = draw.choice((0, 0, 0, 0, 1, 2, 3)) if not ready else draw.randint(0, 3)
    meet = keys == 0 and draw.random() < 0.3
    alone = meet or draw.random() < 0.3  # producers, workers and a close, and nothing else
    planned = not alone and (keys != 0 or draw.random() < 0.6)
    case = {
        "capacity": draw.choice((1, 1, 2, 3, 4, 8) if ready or keys or planned else (0, 1, 1, 2, 3, 4, 8)),
        "producers": draw.randint(1, 4 if alone else 2),
        "workers": draw.randint(1, 3),
        "n": draw.randint(1, 6 if alone else 4),
        "keys": keys,
        "ready": ready,
        "give_up": not meet and draw.random() < 0.3,
        "close_early": not meet and draw.random() < 0.5,
        "meet": meet,
        "meddlers": 0 if alone else draw.randint(0, 3),
        "planned": planned,
        "again": draw.randint(0, 2) if planned else 0,
        "delay": 0,
        "holds": draw.choice((0, 0, 1)) if planned else 0,
        "sleeps": False,
        "by_hand": draw.random() < 0.7,
        "how": CLOSE if alone else draw.choice((CLOSE, CLOSE, CANCEL_ALL, CANCEL_ALL, STOP_NOW, STOP_NOW, EXIT)),
    }
    if planned:
        case["delay"] = draw.choice((0, 1000, 1000 if case["how"] == CLOSE else FOR_EVER))
    case["lanes"] = draw.randint(0, 3) if planned else 0
    case["levels"] = draw.randint(1, 3)
    case["elastic"] = draw.random() < 0.3
    case["idle_ns"] = draw.choice((-1, 0, 100))
    if case["how"] == STOP_NOW or case["how"] == CANCEL_ALL and not case["by_hand"]:
        case["sleeps"] = draw.random() < 0.3
    # a job may wait for one put later, which needs what none that waits may hold
    case["waits"] = not alone and keys == 0 and draw.random() < 0.4
    case["spares"] = 12 if case["lanes"] > 1 else draw.randint(1, 3)  # to get past what is reserved takes several
    case["fails"] = not meet and (case["elastic"] or case["waits"]) and draw.random() < 0.3
    if case["sleeps"] or case["delay"] == FOR_EVER:
        case["close_early"] = True  # or nobody would make room
    return case


def faults(case, ended, accepted, taken, history, jobs, books, seen):
    """Each fault of one run, in words."""
    if not ended:
        yield "somebody waits for ever, or never stops"
        return
    puts = {item: (begin, end) for what, item, begin, end in history if what == PUT}
    takes, times = {}, {}  # the first of each job, and how many
    left = set()  # by who has ended them
    for what, item, begin, end in history:
        if what == TAKEN:
            times[item] = times.get(item, 0) + 1
        elif what == LEFT:
            left.add(item)
        if what == TAKEN or what == LEFT:
            takes.setdefault(item, (begin, end))
        elif what == NO_MEMORY:
            yield f"no memory for {item}"
    jobs = [job_faults.Job(*job) for job in jobs]
    for job in jobs:
        if times.get(job.item, 0) > 1 + job.put_backs + job.held:
            yield f"taken {times[job.item]} times: {job}"
    yield from job_faults.faults(jobs, books, seen)
    yield from begun_too_late(jobs, history)
    if puts.keys() - takes.keys():
        yield f"lost: {sorted(puts.keys() - takes.keys())}"
    if takes.keys() - puts.keys():
        yield f"taken and never accepted: {sorted(takes.keys() - puts.keys())}"
    if sum(accepted) != len(puts) or case["how"] == CLOSE and sum(n for n, _ in taken) > len(takes):
        yield f"counted: {accepted} and {taken}"
    for item, (_, end) in takes.items():
        if item in puts and end < puts[item][0]:
            yield f"{item} was taken before it was put"
    yield from refused_for_nothing(case, puts, takes, history)
    yield from too_many_of_a_lane(jobs, history)
    # who was handed the first job may be the last to see it, also behind those that stop_now() takes
    handed = case["ready"]
    for key in range(case["keys"]):
        mine = {item: span for item, span in puts.items() if key_of(item, case["keys"]) == key}
        yield from at_once(mine, [(begin, end, item) for what, item, begin, end in history if what == RAN])
        if not case["delay"] and not (handed and case["how"] == STOP_NOW):
            yield from out_of_order({item: mine[item] for item in mine.keys() - left}, takes)
    if not handed and not case["keys"] and not case["planned"]:
        if any(broken for _, broken in taken):
            yield f"order of one producer's numbers broken: {taken}"
        yield from out_of_order(puts, takes)
        yield from overlooked(puts, takes, history)


def key_of(item, keys):
    """As rig_produce() gives them; None: it has none."""
    number, producer = divmod(item - 1, PRODUCERS)
    return number % keys if (number + producer) % 2 else None


def too_many_of_a_lane(jobs, history):
    """More than may run at the same time."""
    of = {job.item: job for job in jobs if job.planned}
    running = {}
    steps = [(tick, step, item) for what, item, *span in history if what == RAN for tick, step in zip(span, (1, -1))]
    for _, step, item in sorted(steps):
        if item in of:
            running[of[item].lane] = running.get(of[item].lane, 0) + step
            if running[of[item].lane] > of[item].most:
                yield f"{running[of[item].lane]} ran of lane {of[item].lane}: {of[item]}"


def at_once(items, runs):
    """Two of one key that ran at the same time."""
    spans = sorted(run for run in runs if run[2] in items)
    for (_, end, one), (begin, _, other) in zip(spans, spans[1:]):
        if begin < end:
            yield f"{one} and {other} of one key ran at the same time"


def begun_too_late(jobs, history):
    """Attempts after the end, after a cancel() that could not be in time, or after stop_now(); ends after wait()."""
    ended, asked = {}, {}
    stopped = min((end for what, _, _, end in history if what == STOP_ASKED), default=ANY)
    shut = min((end for what, _, _, end in history if what == SHELF_SHUT), default=ANY)
    quiet = min((end for what, _, _, end in history if what == QUIET), default=ANY)
    planned = {job.item for job in jobs if job.planned}
    cleared = {item: end for what, item, _, end in history if what == CLEARED}  # the last time
    for what, item, _, end in history:
        if what == ENDED:
            ended[item] = min(end, ended.get(item, ANY))
        elif what == ASKED_TO_END:
            asked[item] = min(end, asked.get(item, ANY))
    for what, item, begin, _ in history:
        if what == ENDED and begin > quiet:
            yield f"{item} ended after wait() had returned"
        elif what == STARTED and begin > ended.get(item, ANY):
            yield f"{item} was started after it had ended"
        elif what == STARTED and begin > asked.get(item, ANY):
            yield f"{item} was started after cancel() had returned"
        elif what == STARTED and begin > stopped and item in planned:
            yield f"{item} was started after stop_now()"
        elif what == SHELF_TAKEN and item and begin > shut:
            yield f"{item} was taken from a shelf that is shut"
        elif what == SHELF_TAKEN and begin > cleared.get(item, ANY):
            yield f"{item} was still on the shelf after its end"


def out_of_order(puts, takes):
    """An item put wholly before another, and taken wholly after it."""
    order = sorted(puts, key=lambda item: puts[item][1])
    for i, first in enumerate(order):
        for second in order[i + 1 :]:
            if puts[first][1] < puts[second][0] and takes.get(second, (0, ANY))[1] < takes.get(first, (ANY, ANY))[0]:
                yield f"{second} overtook {first}"


def refused_for_nothing(case, puts, takes, history):
    """
    FULL though there was room all the time, or accepted though there was none, or after the close.

    Not too many yet: what lies in inboxes is taken; and each producer may still
    take the ring for the queue when others have begun to use the shelf.
    """
    capacity = case["capacity"]
    slack = (case["workers"] if case["ready"] else 0) + (case["producers"] if case["keys"] or case["planned"] else 0)
    closed = min((end for what, _, _, end in history if what == CLOSED), default=ANY)
    for what, item, begin, end in history:
        if what == FULL and not case["again"] and not case["holds"]:  # what was taken may have its place again
            most = sum(b < end for b, _ in puts.values()) - sum(e < begin for _, e in takes.values())
            if not capacity or most < capacity:
                yield f"{item} was refused with at most {most} in a queue for {capacity}"
        elif what == PUT and begin > closed:
            yield f"{item} was accepted after the queue had closed"
    for item, (_, end) in puts.items():
        least = sum(e <= end for _, e in puts.values()) - sum(b < end for b, _ in takes.values())
        if capacity and least > capacity + slack:
            yield f"{item} was accepted as the {least}th in a queue for {capacity}"


def overlooked(puts, takes, history):
    """Nothing was ready though an item lay there all the time, and no put that may hide it was going on."""
    tries = [(begin, end) for what, _, begin, end in history if what != NOTHING_READY and what != TAKEN]
    for what, _, begin, end in history:
        if what == NOTHING_READY and not any(b < end and e > begin for b, e in tries):
            for item, (_, there) in puts.items():
                if there < begin and takes.get(item, (ANY, ANY))[0] > end:
                    yield f"{item} was overlooked"


def main(path, first, n, instead="{}"):
    scheduled = load(path)
    steps = 0
    for seed in range(int(first), int(first) + int(n)):
        case = {**drawn(seed), **json.loads(instead)}
        ended, took, *outcome = scheduled.run(seed, *case.values())
        steps += took
        found = list(faults(case, ended, *outcome))
        if found:
            print(f"seed {seed}: {case}", *found[:5], sep="\n    ")
            return 1
    print(f"ok: {n} schedules, {steps} steps")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
