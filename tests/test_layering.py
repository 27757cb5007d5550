"""Who may import whom, read from the import lines: the order in which src/ is to be read."""

import ast
import re
from pathlib import Path

import pytest

import ringpool

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "ringpool"
pytestmark = pytest.mark.skipif(not SOURCE.is_dir(), reason="tests of an installed wheel: the source tree is not here")

# Each may import what stands in its row, and the standard library.
MAY_IMPORT = {
    "errors": set(),
    "tallies": set(),
    "checks": {"_core"},
    "retry_after": {"checks"},
    "retry_budget": {"checks"},
    "retry": {"checks", "retry_after", "retry_budget"},
    "shedding": {"checks"},
    "rate": {"checks"},
    "histogram": {"checks"},
    "keys": set(),
    "lanes": {"checks"},
    "future": {"_core"},
    "lifecycle": {"_core"},
    "stats": {"checks", "future", "histogram"},
    "job": {"_core", "checks", "retry"},
    "settings": {"_core", "checks", "errors", "keys", "lanes", "rate", "retry", "shedding", "tallies"},
    "choosing": {"_core", "checks", "job"},
    "plan": {"_core", "checks", "errors", "future", "job", "retry", "tallies"},
    "deadlocks": {"_core", "checks", "errors", "job", "plan"},
    "current": {"_core", "checks", "future", "plan"},
    "overflow": {"_core", "checks", "errors", "future", "job", "plan", "tallies"},
    "watchdog": {"_core", "lifecycle", "observing", "tallies"},
    "observing": {"_core", "future", "histogram", "job", "plan", "stats", "tallies"},
    "progress": {"_core", "errors", "future"},
    "mapping": {"future", "progress"},
    "results": {"future"},
    "racing": {"_core", "checks", "future", "job", "progress"},
    "group": {"_core", "checks", "future", "job", "progress", "racing"},
    "batching": {"_core", "checks", "errors", "future", "lifecycle"},
    "signals": {"checks"},
    "lobby": {"_core"},
    "awaiting": {"_core", "errors", "lobby"},
    "executor": {"_core", "awaiting", "checks", "deadlocks", "future", "lifecycle", "mapping"},
    "worker_queue": {
        "_core", "awaiting", "batching", "checks", "choosing", "current", "deadlocks", "errors", "future", "group",
        "job", "lanes", "lifecycle", "lobby", "mapping", "observing", "overflow", "plan", "racing", "results", "retry",
        "settings", "shedding", "signals", "stats", "tallies", "watchdog",
    },
    "__init__": {
        "batching", "choosing", "current", "errors", "executor", "future", "group", "histogram", "job", "lanes",
        "overflow", "racing", "retry", "retry_budget", "shedding", "signals", "stats", "worker_queue",
    },
    "version": set(),
    "__main__": {"commands", "version"},
}  # fmt: skip
MAY_NAME_THE_QUEUE = ("choosing", "lobby", "observing", "overflow", "plan", "results", "watchdog")
CORE = """
    shown layout python ring parking jobword shelf room core seats spares future record resolve run planned here worker deadlock
    waiting admission engine timekeeper plan counts submit batch results awaited _rig_jobs _rig_plan _rig_work _rig _stress _scheduled
""".split()


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == "ringpool":
                yield from (f"ringpool.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(SOURCE.glob("*.py")), ids=lambda path: path.stem)
def test_a_face_imports_only_what_is_below_it(path):
    """So that each file can be read with those above it in mind only."""
    ours = {name.split(".")[1] for name in imported(path) if name.startswith("ringpool.")}
    # a face that is named in annotations only stands under TYPE_CHECKING
    ours -= {"worker_queue"} if path.stem in MAY_NAME_THE_QUEUE else set()
    assert ours <= MAY_IMPORT[path.stem]


@pytest.mark.parametrize("path", sorted((SOURCE / "bench").glob("*.py")), ids=lambda path: path.stem)
def test_what_measures_knows_only_what_everybody_does(path):
    """Rivals are to be compared by their public names, and from wherever they are compared."""
    ours = {name for name in imported(path) if name.startswith("ringpool.")}
    assert all(name == "ringpool.version" or name.startswith("ringpool.bench") for name in ours)


@pytest.mark.parametrize("path", sorted((SOURCE / "soak").glob("*.py")), ids=lambda path: path.stem)
def test_what_soaks_knows_only_what_everybody_does(path):
    """Pools are to be held to what they promise by their public names."""
    ours = {name for name in imported(path) if name.startswith("ringpool.")}
    public = {f"ringpool.{name}" for name in ringpool.__all__}
    assert all(name in public or name.startswith("ringpool.soak") for name in ours)


@pytest.mark.parametrize("path", sorted((SOURCE / "_core").glob("*.p[yx][xd]")), ids=lambda path: path.name)
def test_the_core_knows_no_face_and_imports_downwards(path):
    """An algorithm lower down must not come to depend on who uses it."""
    text = path.read_text()
    names = re.findall(r"^from (ringpool[.\w]*) c?import", text, re.MULTILINE)
    assert all(name.startswith("ringpool._core.") for name in names), names
    below = {name.removeprefix("ringpool._core.") for name in names} - {path.stem}
    allowed = set(CORE[: CORE.index(path.stem)])
    if path.stem == "admission":
        allowed.add("engine")  # for its fields alone: engine.pyx includes what admission.pxd defines
    assert below <= allowed


def test_the_gil_is_let_go_in_two_places_only():
    """The protocol rests on it: inside the core a thread is attached, except while it sleeps."""
    sleepers = [p.name for p in sorted((SOURCE / "_core").glob("*.p[yx][xd]")) if "with nogil:" in p.read_text()]
    assert sleepers == ["_scheduled.pyx", "_stress.pyx", "parking.pxd", "worker.pxd"]


def test_every_file_can_be_read_at_one_sitting():
    """One noun each, in fewer than 500 lines: what is longer is two."""
    written = {".py", ".pyi", ".pyx", ".pxd", ".hpp", ".pml", ".md"}
    files = [path for folder in ("src", "tests", "docs", "benchmarks") for path in (ROOT / folder).rglob("*.*")]
    lines = {path.name: len(path.read_text("utf-8").splitlines()) for path in files if path.suffix in written}
    assert len(lines) > 200
    assert {name: n for name, n in lines.items() if n >= 500} == {}
