"""
The extension modules; everything else stands in pyproject.toml.

Environment: RINGPOOL_SANITIZE is "", "thread" or "address,undefined" (build
with --force: build tools compare times, not flags); RINGPOOL_STRESS is "1" or
"scheduled" and builds, in place of the library, what the tests run of the core
without an interpreter, on threads or on schedules of their own, and no wheel holds.
"""

import os
import sys
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

CORE = "src/ringpool/_core"
SANITIZE = os.environ.get("RINGPOOL_SANITIZE", "")
# in the order of a job's way, where each may use those before it
MODULES = (
    "future", "record", "resolve", "planned", "here", "worker", "deadlock", "waiting", "engine", "timekeeper", "plan",
    "counts", "submit", "batch", "results", "awaited",
)  # fmt: skip
STRESS = os.environ.get("RINGPOOL_STRESS", "")

compile_args = ["/std:c++17"] if sys.platform == "win32" else ["-std=c++17", "-fvisibility=hidden", "-O2", "-g0"]
link_args = []
if SANITIZE:
    compile_args += [f"-fsanitize={SANITIZE}", "-g", "-O1", "-fno-omit-frame-pointer"]
    link_args += [f"-fsanitize={SANITIZE}"]


def extension(name, macros=()):
    return Extension(
        f"ringpool._core.{name}",
        [f"{CORE}/{name}.pyx"],
        language="c++",
        include_dirs=[CORE],
        define_macros=list(macros),
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        # also puts the sources into the sdist, which would hold only the generated C++
        depends=sorted(glob(f"{CORE}/*.hpp") + glob(f"{CORE}/*.pxd") + glob(f"{CORE}/*.pyx") + glob(f"{CORE}/*.pyi")),
    )


if STRESS:
    # the concurrent variant of the core, on every interpreter: no GIL is held in there
    macros = [("RINGPOOL_SHARED", "1")]
    if STRESS == "scheduled":
        extensions = [extension("_scheduled", [*macros, ("RINGPOOL_SCHEDULED", "1")])]
    else:
        extensions = [extension("_stress", macros)]
else:
    extensions = [extension(name) for name in MODULES]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": "3",
            "freethreading_compatible": True,
            "boundscheck": False,
            "wraparound": False,
            "embedsignature": False,
            "warn.unused": True,
        },
        include_path=["src"],
    )
)
