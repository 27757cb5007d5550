import faulthandler; faulthandler.dump_traceback_later(20, exit=True)
from ringpool import ThreadPoolExecutor
a, b = ThreadPoolExecutor(1, "a"), ThreadPoolExecutor(1, "b")
a.submit = b.submit
import threading
print(list(a.map(lambda _: threading.current_thread().name, [1])), a.submit(lambda: threading.current_thread().name).result())
# deep nesting
def job(d): return d and 1 + next(a2.map(job, [d-1]))
a2 = ThreadPoolExecutor(1)
print(next(a2.map(job, [50])))
try: print(next(a2.map(job, [100_000])))
except RecursionError as e: print("RecursionError")
print(next(a2.map(int, "1")))
