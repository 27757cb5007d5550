"""
What the standard library's ThreadPoolExecutor does with faults of docs/faults.md: ``python standard_faults.py``.

Each in a process of its own, which says what became of it, or hangs and is ended.
"""

import subprocess
import sys

LIMIT = 6  # seconds

PRELUDE = """
import faulthandler, os, signal, sys, threading, time, warnings
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
warnings.simplefilter("ignore")
sys.stderr = open(os.devnull, "w")
def say(text):
    os.write(1, text.encode())
    os._exit(0)
def probe(pool):
    try:
        pool.submit(int).result(2)
    except futures.TimeoutError:
        say("the worker is lost: later jobs do not run")
    say("works")
gate = threading.Event()
pool = ThreadPoolExecutor(1)
"""

FAULTS = {
    1: "job = pool.submit(gate.wait); time.sleep(0.1); job.set_result(1); gate.set(); time.sleep(0.1); probe(pool)",
    2: """
def fail(_): raise SystemExit
pool.submit(gate.wait).add_done_callback(fail); gate.set(); time.sleep(0.1); probe(pool)""",
    3: """
def fail(): raise SystemExit
assert type(pool.submit(fail).exception()) is SystemExit; probe(pool)""",
    5: """
pool.submit(gate.wait); job = pool.submit(int); job.cancel()
say("works" if futures.wait([job], 2).done else "a wait does not end before a worker gets there")""",
    6: """
pool.submit(gate.wait); jobs = [pool.submit(int) for _ in range(3)]; seen = []
reader = threading.Thread(target=lambda: seen.extend(futures.as_completed(jobs)), daemon=True); reader.start()
time.sleep(0.1); pool.shutdown(wait=False, cancel_futures=True); gate.set(); reader.join(2)
say("works" if len(seen) == 3 else "as_completed() in another thread hangs")""",
    7: """
def fail(*_): raise RuntimeError("can't start new thread")
pool = ThreadPoolExecutor(2); pool.submit(gate.wait); start, threading.Thread.start = threading.Thread.start, fail
ran = []
try: pool.submit(ran.append, 1)
except RuntimeError: refused = True
threading.Thread.start = start; gate.set(); pool.submit(int).result(2)
say("submit raises, and the job runs all the same" if ran else "works")""",
    8: "pool.submit(lambda: pool.submit(int).result()).result(); say('works')",
    9: """
other = ThreadPoolExecutor(1)
pool.submit(lambda: other.submit(lambda: pool.submit(int).result()).result()).result(); say('works')""",
    17: "futures.Future().set_exception('text'); say('accepted; fails at result()')",
    19: """
import linecache
def handler(*_): pool.submit(int)
def trace(frame, event, arg):
    code = frame.f_code
    if code.co_name != "submit" or not code.co_filename.endswith("thread.py"): return None
    if event == "line" and "_work_queue.put" in linecache.getline(code.co_filename, frame.f_lineno):
        sys.settrace(None); frame.f_trace = None; signal.raise_signal(signal.SIGUSR1)
        return None
    return trace
signal.signal(signal.SIGUSR1, handler); sys.settrace(trace); pool.submit(int).result(2); say("works")""",
    24: """
said = []
def end(_):
    try: pool.shutdown()
    except RuntimeError as error: said.append(str(error))
    done.set()
done = threading.Event(); pool.submit(gate.wait).add_done_callback(end); gate.set(); done.wait(2)
say("shutdown() raises: " + said[0] if said else "works")""",
    28: "pool.submit(lambda: (time.sleep(0.1), os.write(1, b'works')))",
    36: """
pool.submit(int).result(); pid = os.fork()
if pid == 0:
    try: pool.submit(int).result(2)
    except BaseException: os._exit(1)
    os._exit(0)
say("works" if os.waitpid(pid, 0)[1] == 0 else "in the child no job runs")""",
    45: """
pool.submit(gate.wait)
try: pool.submit(int).result(float("nan"))
except BaseException as error: say(type(error).__name__)""",
    46: """
try: pool.submit(time.sleep, 0.2).result(1e300)
except BaseException as error: say(type(error).__name__)
say("waits")""",
    50: """
pool = ThreadPoolExecutor(float("nan"))
try: pool.submit(int).result(2)
except futures.TimeoutError: say("accepted; no job ever runs")
say("works")""",
    53: """
pool = ThreadPoolExecutor(1, initializer=print, initargs=5)
try: pool.submit(int).result(2)
except BaseException as error: say("accepted; the first job fails with " + type(error).__name__)""",
    55: "say('accepted; fails in the future' if pool.submit(None).exception() else '')",
    69: """
import contextvars
variable = contextvars.ContextVar("variable", default="own")
pool.submit(variable.set, "left").result(); say("works" if pool.submit(variable.get).result() == "own" else "seen")""",
}


def main():
    for row, source in FAULTS.items():
        try:
            command = [sys.executable, "-c", PRELUDE + source]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
            print(row, done.stdout or f"ends with status {done.returncode}")
        except subprocess.TimeoutExpired:
            print(row, "hangs")


if __name__ == "__main__":
    main()
