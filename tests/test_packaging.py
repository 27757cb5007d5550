"""What is installed: no sources of the core, types, and a GIL that stays off."""

import subprocess
import sys
from importlib import metadata, resources

import pytest

import ringpool


def test_no_source_of_the_core_is_installed():
    """A .pxd or header in the wheel would be a promise of a C interface by accident."""
    try:
        files = metadata.files("ringpool")
    except metadata.PackageNotFoundError:
        pytest.skip("ringpool is imported from its source tree")
    suffixes = {file.suffix for file in files if file.parts[0] == "ringpool"}
    assert {".py", ".pyi", ".so"} <= suffixes | ({".so"} if sys.platform == "win32" else set())
    assert not suffixes & {".pyx", ".pxd", ".hpp", ".cpp", ".c", ".h"}


def test_types_are_shipped():
    """py.typed says that the annotations are meant for others."""
    assert resources.files(ringpool).joinpath("py.typed").is_file()
    for module in ("engine", "future", "worker"):
        assert resources.files("ringpool._core").joinpath(f"{module}.pyi").is_file()


@pytest.mark.skipif(getattr(sys, "_is_gil_enabled", lambda: True)(), reason="this interpreter runs with the GIL")
def test_the_gil_stays_off_after_the_import():
    """Declaring support is one thing; an extension that did not would switch the GIL on, with a warning."""
    code = "import ringpool, sys; sys.exit(sys._is_gil_enabled())"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], timeout=60).returncode == 0


def test_every_public_name_is_there_and_documented():
    """__all__ is the public interface, and help() has something to say of each."""
    for name in ringpool.__all__:
        assert (getattr(ringpool, name).__doc__ or "").strip(), name
