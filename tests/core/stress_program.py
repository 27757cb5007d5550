"""
Drive the stress rig; run under sanitizers by test_stress.py.

Arguments: the compiled module, rounds, and a case: what Rig() takes but for the
seed, with how the queue ends ("how", as in schedules.py) and after how many
numbers of the first producer ("after"; none: when the producers are done).
"""

import faulthandler
import importlib.util
import json
import sys
import threading

import job_faults


def main(path, rounds, case):
    faulthandler.dump_traceback_later(40, exit=True)
    spec = importlib.util.spec_from_file_location("_stress", path)
    stress = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stress)
    for seed in range(int(rounds)):
        run(stress, seed, **json.loads(case))
    print("ok")


def run(stress, seed, how=0, after=None, **case):
    rig = stress.Rig(seed, **case)
    producers, n = case["producers"], case["n"]
    results = {"produce": [None] * producers, "consume": [None] * case["workers"]}
    results["relieve"] = [None] * rig.spares
    results["meddle"] = [None] * case.get("meddlers", 0)

    def do(what, i):
        results[what][i] = getattr(rig, what)(i)

    threads = {
        what: [threading.Thread(target=do, args=(what, i)) for i in range(len(results[what]))] for what in results
    }
    others = [*threads["consume"], *threads["relieve"], *threads["meddle"]]
    if any(case.get(what) for what in ("again", "delay", "holds", "elastic", "waits")):
        others.append(threading.Thread(target=rig.keep_time))
    for thread in others + threads["produce"]:
        thread.start()
    if after is None:
        for thread in threads["produce"]:
            thread.join()
    rig.close(how, after or 0)
    for thread in others + threads["produce"]:
        thread.join()
    jobs, books = rig.outcome()
    seen = [one for those in results["meddle"] for one in those]
    faults = list(job_faults.faults([job_faults.Job(*job) for job in jobs], books, seen))
    assert not faults, (seed, faults[:5])
    taken = results["consume"] + results["relieve"]
    if not how and not case.get("again"):
        assert results["produce"] == [n] * producers, results["produce"]
        assert sum(t[0] for t in taken) == n * producers, taken
        assert sum(t[1] for t in taken) == producers * n * (n - 1) // 2, taken
    if not case.get("planned") and not case.get("keys") and not case.get("ready"):
        assert sum(t[2] for t in taken) == 0, f"order of one producer's numbers broken: {taken}"


main(*sys.argv[1:])
