"""The core of the library without an interpreter, built as a test wants it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build_core(tmp_path_factory):
    """``build_core(RINGPOOL_STRESS, RINGPOOL_SANITIZE)``: the path of the module, see setup.py."""
    if "core" in os.environ.get("RINGPOOL_SKIP", ""):
        pytest.skip("RINGPOOL_SKIP: the core without an interpreter is run elsewhere")

    def build(stress, sanitize=""):
        where = tmp_path_factory.mktemp("core")
        environment = {**os.environ, "RINGPOOL_STRESS": stress, "RINGPOOL_SANITIZE": sanitize}
        tree = where / "tree"  # a copy: generated sources must not land in the one under test
        shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("*.so", "*.cpp", "__pycache__"))
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, tree / name)
        command = [sys.executable, "setup.py", "build_ext", "--build-lib", str(where / "lib")]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        (module,) = (where / "lib").rglob("_s*")
        return module

    return build
