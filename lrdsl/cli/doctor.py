"""`lrdsl doctor`: what is installed and live, and why the rest is not."""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import click

from lrdsl import build_record, cuda
from lrdsl._version import __version__
from lrdsl.cli import selftest

NEEDED = ("lark", "numpy", "click", "rich", "pyyaml")
OPTIONAL = {
    "torch": "the optimizers need it: pip install 'lrdsl[torch]'",
    "matplotlib": "only for PNG: pip install 'lrdsl[plot]'",
}
FAULT = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def doctor(as_json: bool) -> None:
    """Say what is installed and live, and why the rest is not.

    Ends with status 1 if something is broken. A native module that was never built is not: everything works without it,
    more slowly.
    """
    facts, faults = examine()
    if as_json:
        click.echo(json.dumps({**facts, "faults": faults}, indent=2))
    else:
        for name, value in facts.items():
            for index, line in enumerate(_lines(value)):
                click.echo(f"{'' if index else name:<14}{line}".rstrip())
        for fault in faults:
            click.echo(f"{'FAULT':<14}{fault}")
        if not faults:
            click.echo("no fault found")
    if faults:
        sys.exit(FAULT)


def examine() -> tuple[dict[str, Any], list[str]]:
    """The facts by name, and what is broken."""
    faults: list[str] = []
    facts: dict[str, Any] = {
        "lrdsl": __version__,
        "python": f"{platform.python_version()} {platform.python_implementation()}, {sysconfig.get_platform()}",
        **_native(faults),
        "CUDA": _cuda(faults),
        "parse tables": _tables(faults),
    }
    for name in NEEDED:
        facts[name] = _version(name) or "not installed"
        if facts[name] == "not installed":
            faults.append(f"{name} is not installed, and lrdsl needs it")
    return facts | {name: _version(name) or f"not installed; {why}" for name, why in OPTIONAL.items()}, faults


def _native(faults: list[str]) -> dict[str, Any]:
    from lrdsl.evaluators import native, python_only

    module, record = native.extension(), build_record.record()
    facts: dict[str, Any] = {}
    if module is None:
        facts["evaluator"] = facts["optimizer"] = f"Python: {native.reason()}"
        if find_spec("lrdsl._C") is not None or (record or {}).get("state") == "built":
            faults.append(f"the native module is there but not usable: {native.reason()}")
    else:
        wrong = [message for message in (selftest.evaluator(), selftest.optimizer_step(module)) if message]
        faults += (f"the native module failed its self-test: {message}" for message in wrong)
        threads = f"OpenMP with {module.openmp()} threads" if module.openmp() else "one thread (built without OpenMP)"
        facts["evaluator"] = "native"
        facts["optimizer"] = f"native, {module.isa()} of {', '.join(module.isas())}; {threads}"
        if python_only():
            facts["evaluator"] = facts["optimizer"] = "Python: LRDSL_BACKEND=python is set; native would work"
        facts["self-test"] = "; ".join(wrong) or "passed"
    facts["build"] = _build(record)
    return facts


def _build(record: dict[str, Any] | None) -> Any:
    if record is None:
        return "no record: not installed by pip from a source tree"
    return {name: value for name, value in record.items() if value and name != "cuda"}


def _cuda(faults: list[str]) -> dict[str, Any]:
    """No fault: no module, no device. A fault: a module or a device that is there, and no step runs."""
    from lrdsl.evaluators import python_only

    module, why, record = cuda.extension(), cuda.reason(), build_record.cuda() or {}
    facts: dict[str, Any] = {"optimizer": f"Python: {why}" if why else "native"}
    if python_only() and not why:
        facts["optimizer"] = "Python: LRDSL_BACKEND=python is set; native would work"
    if module is None:
        if find_spec("lrdsl._C_cuda") is not None or record.get("state") == "built":
            faults.append(f"the CUDA module is there but not usable: {why}")
    else:
        driver, (count, _) = module.driver_version(), module.device_count()
        facts["driver"] = f"for CUDA {cuda.version(driver)}" if driver else "none"
        facts["devices"] = [cuda.device(index) for index in range(count)]
        if why and count:
            faults.append(f"no CUDA step runs: {why}")
    return {name: value for name, value in (facts | {"build": record}).items() if value}


def _tables(faults: list[str]) -> str:
    from lrdsl.syntax import tables

    try:
        fresh = tables.path().is_file() and tables.path().read_text(encoding="utf-8") == tables.generate()
    except FileNotFoundError as error:
        faults.append(str(error))
        return "unusable"
    return "fresh" if fresh else "of another grammar or lark: built at every start, which takes 0.2 s"


def _version(package: str) -> str | None:
    """By the package's metadata: importing torch takes seconds."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}: {line}" for name, entry in value.items() for line in _lines(entry)]
    if isinstance(value, list) and all("\n" not in entry and len(entry) < 20 for entry in value):
        return [", ".join(value)]
    return list(value) if isinstance(value, list) else str(value).splitlines()
