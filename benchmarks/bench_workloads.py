"""All workloads of ringpool.bench, and the Go designs in the one that they can do."""

import pytest

import designs
from ringpool.bench import turns
from ringpool.bench.rivals import RIVALS
from ringpool.bench.workloads import WORKLOADS


def bench_workload(benchmark, name, turn, rival, go, request):
    """One turn of one rival. What is no time, or not of this process, stands in extra_info only."""
    workload = WORKLOADS[name]
    benchmark.group = name
    measures = []
    if rival in designs.DESIGNS:
        program = go()
        benchmark.pedantic(lambda: measures.append({"ns": designs.ns_per_job(program, rival, workload.count)}))
    else:
        missing = RIVALS[rival].missing()
        if missing:
            pytest.skip(missing)

        def setup():
            pool = turns.opened(rival)
            request.addfinalizer(pool.close)  # where benchmarks are disabled, nothing else would
            return (workload, pool, workload.count), {}

        def run(*args):
            measures.append(turns.timed(*args))

        benchmark.pedantic(
            run, setup=setup, teardown=lambda workload, pool, count: pool.close(), rounds=1, warmup_rounds=1
        )
    benchmark.extra_info |= {"name": name, "rival": rival, "jobs": workload.count, "measures": measures[-1]}
