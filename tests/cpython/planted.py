"""
Executors with one fault each, which run_suite.py has to find.
"""

import _thread
import faulthandler
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor


class LosesResults(ThreadPoolExecutor):
    def submit(self, fn, /, *args, **kwargs):
        return super().submit(lambda: fn(*args, **kwargs) and None)


class NeverFinishes(ThreadPoolExecutor):
    def submit(self, fn, /, *args, **kwargs):
        return Future()


class Crashes(ThreadPoolExecutor):
    def submit(self, fn, /, *args, **kwargs):
        faulthandler._sigsegv()


class LeavesThread(ThreadPoolExecutor):
    left = False  # one is enough, each costs the harness its whole patience

    def submit(self, fn, /, *args, **kwargs):
        if not LeavesThread.left:
            LeavesThread.left = True
            _thread.start_new_thread(time.sleep, (60,))
        return super().submit(fn, *args, **kwargs)


class FailsWhenIsolated(ThreadPoolExecutor):
    def submit(self, fn, /, *args, **kwargs):
        if sys.flags.isolated:
            raise OSError("planted")
        return super().submit(fn, *args, **kwargs)
