"""
Puts another executor and another future in the place of the standard library's.

Classes are named "module:Class", so that the same two names can be handed to a
child process.
"""

import functools
import importlib
from concurrent import futures
from contextlib import suppress
from pathlib import Path

HERE = str(Path(__file__).parent)


def load(name):
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def install(executor, future):
    """
    Make every later look-up in :mod:`concurrent.futures` find the two classes.

    Call it before a test module is imported: those take the names at import.
    asyncio looks them up at each use and needs nothing more.
    """
    # The other pools must be built on the genuine classes.

    with suppress(ImportError):  # from 3.14
        pass

    executor, future = load(executor), load(future)
    futures.ThreadPoolExecutor = futures.thread.ThreadPoolExecutor = executor
    futures.Future = futures._base.Future = future
    # Some tests have a child import the class by its own name.
    setattr(futures, executor.__name__, executor)


def install_in_children(executor, future):
    """
    Make the children of :mod:`test.support.script_helper` begin with install().

    They run isolated (``-I``): neither PYTHONPATH nor a sitecustomize next to
    the tests would reach them, only a line ahead of their own code does.
    """
    from test.support import script_helper

    bootstrap = (
        f"import sys; sys.path.append({HERE!r}); "
        f"import swap; swap.install({executor!r}, {future!r})\n"
    )
    start = script_helper.run_python_until_end

    @functools.wraps(start)
    def start_swapped(*args, **env_vars):
        args = list(args)
        if "-c" in args:
            args[args.index("-c") + 1] = bootstrap + args[args.index("-c") + 1]
        return start(*args, **env_vars)

    script_helper.run_python_until_end = start_swapped
