"""Builds the native modules with CMake, and never lets a failed build stop an install.

All metadata is in pyproject.toml. What is done here: run CMake and Ninja over csrc/, put the modules where Python finds
them, and write lrdsl/_build.json, from which ``lrdsl doctor`` says what was built and why the rest was not. lrdsl._C
comes first; lrdsl._C_cuda has a build tree of its own, so that nothing wrong with CUDA takes lrdsl._C down with it.

LRDSL_EXT=auto (default) goes on without a module that fails; =require fails instead; =off tries nothing; =keep is auto
where another environment of this Python has not built the same sources in this tree.
LRDSL_CUDA=auto (default) builds for CUDA if CUDACXX, CUDA_HOME or PATH leads to nvcc; =on fails if nothing does, or if
the build does; =off does not try. A GPU plays no part. LRDSL_CUDA_ARCHS="80;90" builds for these devices only.
LRDSL_DEV=1 adds warnings, as errors. LRDSL_WHEEL=1 makes the CUDA module small rather than soon.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
LOG_LINES = 60
NO_NVCC = "none of CUDACXX, CUDA_HOME and PATH leads to nvcc"

HINT = """\
Everything works, more slowly, in pure Python. `lrdsl doctor` shows the log of the build; a C++17 compiler and a second
install are the usual cure. LRDSL_EXT=off skips the attempt, LRDSL_EXT=require makes it fatal."""
CUDA_HINT = """\
Parameters on a GPU take the Python step; nothing else changes. `lrdsl doctor` shows the log of the build; a C++
compiler that this nvcc takes (CUDAHOSTCXX names it) and a second install are the usual cure. LRDSL_CUDA=off skips the
attempt, LRDSL_CUDA=on makes it fatal."""


class BuildFailure(Exception):
    """A build step that failed: what it was, why in one line, and its whole log."""

    def __init__(self, what: str, why: str, log: str = "") -> None:
        super().__init__(f"{what} failed: {why}")
        self.what, self.why, self.log = what, why, log


def setting(name: str, default: str, pattern: str, expected: str) -> str:
    value = os.environ.get(name, default)
    if re.fullmatch(pattern, value):
        return value
    raise SystemExit(f"{name}: expected {expected}, got {value!r}")


def reason(log: str) -> str:
    """The first complaint of a compiler in ``log``, or else of CMake."""
    if found := re.search(r"(?:\berror(?: #[\w-]+)?|nvcc fatal *): (.+)", log):
        return found[1].strip(" .")
    found = re.search(r"CMake Error.*\n((?:\s*\n|  .*\n)+)", log + "\n")
    return " ".join(found[1].split()).partition(". ")[0].removesuffix(".") if found else "see the log"


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


def nvcc() -> str | None:
    if named := os.environ.get("CUDACXX"):
        return named  # if it is not there, its build says so
    home = os.environ.get("CUDA_HOME")
    return (shutil.which("nvcc", path=f"{home}/bin") if home else None) or shutil.which("nvcc")


def toolkit(compiler: str) -> str:
    try:
        told = subprocess.run([compiler, "--version"], capture_output=True, text=True, errors="replace").stdout
    except OSError:
        told = ""
    found = re.search(r"release ([\d.]+)", told)
    return found[1] if found else "unknown"


def build(destination: Path, name: str, *definitions: str) -> dict[str, Any]:
    """Builds csrc/ into ``destination`` and returns what CMake says of the build."""
    try:
        import pybind11
    except ImportError as error:
        raise BuildFailure("looking for the build tools", "pybind11 is not installed") from error
    cmake, tree = tool("cmake"), ROOT / "build" / f"{name}-{sys.implementation.cache_tag}"
    try:
        # Paths into the isolated build environment change with every run: given each time, never taken from the cache.
        run(
            "configuring with CMake", cmake, "-G", "Ninja", "-S", ROOT / "csrc", "-B", tree,
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release",
            f"-DLRDSL_DEV={'ON' if os.environ.get('LRDSL_DEV') == '1' else 'OFF'}", *definitions,
        )  # fmt: skip
        run("compiling", cmake, "--build", tree)
        run("copying the module", cmake, "--install", tree, "--prefix", destination)
    except BuildFailure:
        shutil.rmtree(tree, ignore_errors=True)  # the next try starts afresh, with whatever compiler it finds
        raise
    return json.loads((tree / "facts.json").read_text())


def attempt(module: str, hint: str, fatal: str, *arguments: Any) -> dict[str, Any]:
    """What to record of a build. A failure ends the installation if ``fatal`` names the setting that asked for it."""
    try:
        return {"state": "built", **build(*arguments)}
    except BuildFailure as failure:
        if fatal:
            raise SystemExit(f"{failure}\n({fatal} makes this fatal.)") from failure
        print(f"\nlrdsl is installed WITHOUT its {module} module: {failure}\n{hint}\n", file=sys.stderr)
        tail = failure.log.splitlines()[-LOG_LINES:]
        return {"state": "failed", "what": failure.what, "why": failure.why, "log": tail}


def nothing(state: str, why: str) -> dict[str, Any]:
    return {"state": state, "what": "building", "why": why}


def modules(package: Path) -> list[Path]:
    return [*package.glob("_C*.so"), *package.glob("_C*.pyd")]  # lrdsl._C and lrdsl._C_cuda


def is_built(package: Path) -> bool:
    """Whether the module for this Python is there, and the record of its build is newer than all that it is made of."""
    record, module = package / "_build.json", package / f"_C{sysconfig.get_config_var('EXT_SUFFIX')}"
    sources = [ROOT / "setup.py", *(ROOT / "csrc").iterdir()]
    return (
        module.exists()
        and record.exists()
        and record.stat().st_mtime >= max(source.stat().st_mtime for source in sources)
    )


class BuildNative(build_ext):
    def run(self) -> None:
        self.ext = setting("LRDSL_EXT", "auto", "auto|require|off|keep", "one of auto, require, off, keep")
        self.cuda = setting("LRDSL_CUDA", "auto", "auto|on|off", "one of auto, on, off")
        archs = setting("LRDSL_CUDA_ARCHS", "", r"(\d+[af]?([;, ]+|$))*", "numbers such as 80;90")
        self.archs = re.findall(r"\w+", archs)
        in_place = self.inplace or self.editable_mode
        if in_place and self.ext == "keep" and is_built(ROOT / "lrdsl"):
            return
        self.destination = ROOT if in_place else Path(self.build_lib)
        package = self.destination / "lrdsl"
        package.mkdir(parents=True, exist_ok=True)
        for stale in modules(package):
            stale.unlink()
        record = {"version": self.distribution.get_version(), "python": sys.version.split()[0]} | self.native()
        record["cuda"] = self.native_cuda(record["state"])
        (package / "_build.json").write_text(json.dumps(record, indent=2) + "\n")

    def native(self) -> dict[str, Any]:
        if self.ext == "off":
            return nothing("off", "LRDSL_EXT=off was set at installation")
        fatal = "LRDSL_EXT=require" if self.ext == "require" else "LRDSL_CUDA=on" if self.cuda == "on" else ""
        return attempt("native", HINT, fatal, self.destination, "cmake")

    def native_cuda(self, native: str) -> dict[str, Any]:
        if "off" in (self.ext, self.cuda):
            name = "LRDSL_EXT" if self.ext == "off" else "LRDSL_CUDA"
            return nothing("off", f"{name}=off was set at installation")
        if native != "built":
            return nothing("absent", "lrdsl._C was not built, and lrdsl._C_cuda does not work without it")
        compiler = nvcc()
        if compiler is None:
            if self.cuda == "on":
                raise SystemExit(f"looking for nvcc failed: {NO_NVCC}\n(LRDSL_CUDA=on makes this fatal.)")
            return nothing("absent", NO_NVCC)
        fatal = "LRDSL_CUDA=on" if self.cuda == "on" else "LRDSL_EXT=require" if self.ext == "require" else ""
        used = {"nvcc": compiler, "toolkit": toolkit(compiler)}
        # A tree for each compiler: told of another one, CMake forgets everything else it is told.
        tree = f"cuda-{zlib.crc32(str(used).encode()):08x}"
        return used | {"architectures": self.archs} | attempt(
            "CUDA", CUDA_HINT, fatal, self.destination, tree,
            "-DLRDSL_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={compiler}", f"-DLRDSL_CUDA_ARCHS={';'.join(self.archs)}",
            f"-DLRDSL_WHEEL={'ON' if os.environ.get('LRDSL_WHEEL') == '1' else 'OFF'}",
        )  # fmt: skip

    def get_outputs(self) -> list[str]:
        package = Path(self.build_lib) / "lrdsl"
        return [str(path) for path in (*modules(package), *package.glob("_build.json"))]

    def get_output_mapping(self) -> dict[str, str]:
        return {}  # an editable install writes into the source tree: nothing to map


class BuildPython(build_py):
    """Adds grammars/, which lives beside the package, to wheels as lrdsl/grammars; editable installs read it there."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(ROOT / "grammars", Path(self.build_lib) / "lrdsl" / "grammars", dirs_exist_ok=True)


setup(ext_modules=[Extension("lrdsl._C", sources=[])], cmdclass={"build_ext": BuildNative, "build_py": BuildPython})
