"""
Drive the stress rig; run under sanitizers by test_stress.py.

Arguments: the compiled module, capacity (0: no bound), producers, workers,
keys (0: none), whether the dispatch is "ready", numbers for each producer, and
rounds.
"""

import faulthandler
import importlib.util
import sys
import threading


def main(path, *numbers):
    faulthandler.dump_traceback_later(40, exit=True)
    capacity, producers, workers, keys, ready, n, rounds = map(int, numbers)
    spec = importlib.util.spec_from_file_location("_stress", path)
    stress = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stress)
    for _ in range(rounds):
        rig = stress.Rig(capacity, workers, n, keys, ready)
        accepted = [None] * producers
        taken = [None] * workers

        def produce(i, rig=rig, accepted=accepted):
            accepted[i] = rig.produce(i)

        def consume(i, rig=rig, taken=taken):
            taken[i] = rig.consume(i)

        consumers = [threading.Thread(target=consume, args=(i,)) for i in range(workers)]
        writers = [threading.Thread(target=produce, args=(i,)) for i in range(producers)]
        for thread in consumers + writers:
            thread.start()
        for thread in writers:
            thread.join()
        rig.close()
        for thread in consumers:
            thread.join()
        assert accepted == [n] * producers, accepted
        assert sum(t[0] for t in taken) == n * producers, taken
        assert sum(t[1] for t in taken) == producers * n * (n - 1) // 2, taken
        if not keys and not ready:
            assert sum(t[2] for t in taken) == 0, f"order of one producer's numbers broken: {taken}"
    print("ok")


main(*sys.argv[1:])
