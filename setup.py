"""Builds the native module with CMake, and never lets a failed build stop an install.

All metadata is in pyproject.toml. What is done here: run CMake and Ninja over csrc/, put the module where Python finds
it, and write lrdsl/_build.json, from which ``lrdsl doctor`` says what was built and, if nothing, why.

LRDSL_EXT=auto (default) goes on without the module after a failure; =require fails instead; =off does not try.
LRDSL_DEV=1 adds warnings, as errors.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MODES = ("auto", "require", "off")
LOG_LINES = 60


class BuildFailure(Exception):
    """A build step that failed: what it was, why in one line, and its whole log."""

    def __init__(self, what: str, why: str, log: str = "") -> None:
        super().__init__(f"{what} failed: {why}")
        self.what, self.why, self.log = what, why, log


def reason(log: str) -> str:
    """The first complaint of CMake or of a compiler in ``log``."""
    found = re.search(r"CMake Error[^\n]*\n+\s*(.+)|error: (.+)", log)
    return next(filter(None, found.groups())).strip() if found else "see the log"


def run(what: str, *command: str | Path) -> None:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as error:
        raise BuildFailure(what, str(error)) from error
    print(done.stdout, flush=True)
    if done.returncode:
        raise BuildFailure(what, reason(done.stdout), done.stdout)


def tool(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise BuildFailure("looking for the build tools", f"`{name}` is not on PATH")


def build_native(destination: Path) -> dict[str, Any]:
    """Builds csrc/ into ``destination`` and returns what CMake says of the build."""
    try:
        import pybind11
    except ImportError as error:
        raise BuildFailure("looking for the build tools", "pybind11 is not installed") from error
    cmake, tree = tool("cmake"), ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
    try:
        # Paths into the isolated build environment change with every run: given each time, never taken from the cache.
        run(
            "configuring with CMake", cmake, "-G", "Ninja", "-S", ROOT / "csrc", "-B", tree,
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release",
            f"-DLRDSL_DEV={'ON' if os.environ.get('LRDSL_DEV') == '1' else 'OFF'}",
        )  # fmt: skip
        run("compiling", cmake, "--build", tree)
        run("copying the module", cmake, "--install", tree, "--prefix", destination)
    except BuildFailure:
        shutil.rmtree(tree, ignore_errors=True)  # the next try starts afresh, with whatever compiler it finds
        raise
    return json.loads((tree / "facts.json").read_text())


class BuildNative(build_ext):
    def run(self) -> None:
        destination = ROOT if self.inplace or self.editable_mode else Path(self.build_lib)
        package = destination / "lrdsl"
        package.mkdir(parents=True, exist_ok=True)
        for stale in (*package.glob("_C*.so"), *package.glob("_C*.pyd")):
            stale.unlink()
        record = self.attempt(destination)
        (package / "_build.json").write_text(json.dumps(record, indent=2) + "\n")

    def attempt(self, destination: Path) -> dict[str, Any]:
        mode = os.environ.get("LRDSL_EXT", "auto")
        if mode not in MODES:
            raise SystemExit(f"LRDSL_EXT: expected one of {', '.join(MODES)}, got {mode!r}")
        common = {"version": self.distribution.get_version(), "python": sys.version.split()[0]}
        if mode == "off":
            return {"state": "off", "what": "building", "why": "LRDSL_EXT=off was set at installation", **common}
        try:
            return {"state": "built", **common, **build_native(destination)}
        except BuildFailure as failure:
            if mode == "require":
                raise SystemExit(f"{failure}\n(LRDSL_EXT=require makes this fatal.)") from failure
            print(
                f"\nlrdsl is installed WITHOUT its native module: {failure}\n"
                "Everything works, more slowly, in pure Python. `lrdsl doctor` shows the log of the build; a C++17\n"
                "compiler and a second install are the usual cure. LRDSL_EXT=off skips the attempt, LRDSL_EXT=require\n"
                "makes it fatal.\n",
                file=sys.stderr,
            )
            tail = failure.log.splitlines()[-LOG_LINES:]
            return {"state": "failed", "what": failure.what, "why": failure.why, "log": tail, **common}

    def get_outputs(self) -> list[str]:
        package = Path(self.build_lib) / "lrdsl"
        return [str(path) for path in (*package.glob("_C*.so"), *package.glob("_C*.pyd"), *package.glob("_build.json"))]

    def get_output_mapping(self) -> dict[str, str]:
        return {}  # an editable install writes into the source tree: nothing to map


class BuildPython(build_py):
    """Adds grammars/, which lives beside the package, to wheels as lrdsl/grammars; editable installs read it there."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(ROOT / "grammars", Path(self.build_lib) / "lrdsl" / "grammars", dirs_exist_ok=True)


setup(
    ext_modules=[Extension("lrdsl._C", sources=[])],
    cmdclass={"build_ext": BuildNative, "build_py": BuildPython},
)
