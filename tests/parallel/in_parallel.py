"""
The unit tests in several threads each, by pytest-run-parallel on a free-threaded build:

    PYTHONPATH=tests/parallel python -m pytest -p in_parallel --parallel-threads=4 -m "not stress"

Each thread has fixtures of its own, so that it runs the test as it would alone. What is there for every test, such as
the look for threads that were left behind, is shared: it comes before the first and after the last of them.

Not run in threads is what looks at, or changes, something that the process has once; all of that stands here.
"""

import contextlib
import inspect
import types

import pytest

OF_THE_PROCESS = {  # fixtures
    "run_script": "what it tests runs in a process of its own, alone",
    "caplog": "what is logged is logged for all",
    "log": "what is logged is logged for all",
    "no_collector": "the collector is switched off for all",
    "on_signal": "signals are the main thread's",
    "handle": "signals are the main thread's",
    "ctrl_c": "signals are the main thread's",
}
ALONE = {  # parts of the tests' names
    "/bad_inputs/": "each looks at all threads of the process, before and after",
    "test_properties.py": "each looks at all threads of the process, before and after",
    "/core/": "a process of its own",
    "/command/": "a process of its own",
    "/model/": "a process of its own",
    "test_cpython.py": "a process of its own",
    "test_costs.py": "a process of its own",
    "test_docs.py": "a process of its own",
    "test_types.py": "a process of its own",
    "test_signal_handlers.py": "a process of its own",
    "_signal-": "signals are the main thread's",
    "test_ctrl_c_in_a_job_that_the_main_thread_runs_is_not_swallowed": "signals are the main thread's",
    "test_a_handler_that_raises_does_not_end_the_watch": "what is logged is logged for all",
    "test_tracing_of_new_threads_sees_the_jobs": "tracing is switched on for all",
    "test_unread_errors.py": "what is logged is logged for all, and what other threads have let go of is waited for",
    "test_a_wait_object_says_the_same_to_both": "random.seed() is for all",
    "TestLimits": "what is asked is an object of the class, one for all",
    "test_initargs_may_be_any_iterable": "its parameters are iterators: the first to come uses them up",
    # one turn of the others' takes longer than what these allow
    "[drop-retrying]": "the back-off is over before another thread's collection",
    "test_to_end_many_delayed_jobs_takes_as_long_for_each_as_for_few": "it compares times",
    "test_delayed_jobs_come_in_the_order_of_their_times": "submits within hundredths of a second",
    "test_a_delayed_job_takes_its_key_when_it_is_due": "submits within hundredths of a second",
    "test_a_job_that_has_started_in_its_time_is_done": "starts within hundredths of a second",
    "test_stop_waits_for_delayed_jobs_and_runs_them": "stops within hundredths of a second",
    # these take more than half of the time of all
    "test_it_decides_as_the_rfcs_loop_does": "long sums in which nothing is shared",
    "test_stop_races.py": "races threads of its own, for long",
    "test_nothing_starts_once_stop_now_has_begun": "races threads of its own, for long",
    "test_every_snapshot_adds_up_while_all_threads_run": "races threads of its own, for long",
    "test_what_was_done_before_is_seen_after": "races threads of its own, for long",
    "test_no_job_is_left_behind_by_a_shutdown_that_races_with_submit": "races threads of its own, for long",
}
FUNCTIONS = (  # of a test or what it calls directly, found by the plugin
    "threading.enumerate",
    "threading.active_count",
    "sys.getallocatedblocks",
    "sys.setswitchinterval",
    "signal.signal",
    "signal.raise_signal",
    "_thread.interrupt_main",
    "threading.settrace",
    "threading.setprofile",
    "threading.stack_size",
    "subprocess.run",
    "subprocess.Popen",
)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    for function in FUNCTIONS:
        config.addinivalue_line("thread_unsafe_functions", function)


def pytest_collection_modifyitems(items):
    for item in items:
        for reason in why_not(item):
            item.add_marker(pytest.mark.thread_unsafe(reason=reason))
            break
        else:
            item.obj = each_with_its_own(item)


def why_not(item):
    yield from (reason for fixture, reason in OF_THE_PROCESS.items() if fixture in item.fixturenames)
    yield from (reason for part, reason in ALONE.items() if part in item.nodeid)


def each_with_its_own(item):
    """The test as a function that the plugin calls in each thread."""
    test, own, stack_of = item.obj, own_fixtures, contextlib.ExitStack

    def with_its_own(**given):
        with stack_of() as stack:
            return test(**{**given, **own(item, given, stack)})

    # with the test's own globals, where the plugin looks for what it calls
    wrapped = types.FunctionType(with_its_own.__code__, test.__globals__, closure=with_its_own.__closure__)
    wrapped.__wrapped__ = test
    return wrapped


def own_fixtures(item, given, stack):
    """Those of *given* that the test's files or their conftest make for each test, made once more; *stack* ends them."""
    made = {}

    def make(name):
        fixture = item._fixtureinfo.name2fixturedefs[name][-1] if name != "request" else None
        if name in made:
            return made[name]
        if fixture is None or fixture.scope != "function" or not fixture.baseid:
            return given.get(name, item.funcargs.get(name))
        parameter = types.SimpleNamespace(param=item.callspec.params.get(name) if hasattr(item, "callspec") else None)
        value = fixture.func(**{each: parameter if each == "request" else make(each) for each in fixture.argnames})
        if inspect.isgenerator(value):
            stack.callback(next, generator := value, None)  # goes on, whether the test has failed or not
            value = next(generator)
        made[name] = value
        return value

    return {name: make(name) for name in given}
