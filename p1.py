import faulthandler; faulthandler.dump_traceback_later(20, exit=True)
from ringpool import ThreadPoolExecutor
import itertools, time
def bad():
    yield 1
    raise OSError("input")
with ThreadPoolExecutor(2) as pool:
    try: list(pool.map(int, bad()))
    except BaseException as e: print("plain", repr(e))
    try:
        raise KeyError("outer")
    except KeyError:
        try: list(pool.map(int, bad()))
        except BaseException as e: print("in except", repr(e))
    it = pool.map(int, bad(), buffersize=1)
    try: list(it)
    except BaseException as e: print("at next", repr(e))
    def f(x): 1/0
    try: list(pool.map(f,[1]))
    except ZeroDivisionError as e:
        t=e.__traceback__; n=[]
        while t: n.append(t.tb_frame.f_code.co_name); t=t.tb_next
        print(n)
