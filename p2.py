import faulthandler; faulthandler.dump_traceback_later(20, exit=True)
from ringpool import ThreadPoolExecutor
from concurrent.futures import ThreadPoolExecutor as Std
import itertools, time, sys
def fair(P):
    with P(1) as pool:
        kw = {} if P is Std else {"buffersize": 10}
        results = pool.map(time.sleep, itertools.repeat(0.001), **kw)
        next(results)
        other = pool.submit(int)
        n=0
        for n,_ in enumerate(results):
            if other.done() or n>=2000: break
        print(P.__module__, "other done after", n, other.done()); results.close()
fair(ThreadPoolExecutor)
