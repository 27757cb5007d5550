import faulthandler; faulthandler.dump_traceback_later(8, exit=True)
import os, threading, time
from ringpool import ThreadPoolExecutor
go, entered = threading.Event(), threading.Event()
def job(x):
    entered.set(); go.wait(20); return x
pool = ThreadPoolExecutor(1)
it = pool.map(job, [1,2,3])
entered.wait(5)
pid = os.fork()
if pid == 0:
    faulthandler.dump_traceback_later(5, exit=True)
    try: print("child got", next(it), flush=True)
    except BaseException as e: print("child", repr(e), flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid,0)[1]))
go.set()
print(list(it))
