"""`lrdsl doctor`: says what is live, and finds faults."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lrdsl import __version__, build_record, cuda
from lrdsl.cli import doctor, selftest
from lrdsl.evaluators import native

needs_native = pytest.mark.skipif(native.extension() is None, reason=native.reason() or "no native module")


def test_healthy(run: Any) -> None:
    ran = run("doctor")
    assert ran.code == 0
    assert ran.out.splitlines()[0].split() == ["lrdsl", __version__]
    assert ran.out.endswith("no fault found\n")


def test_json(run: Any) -> None:
    facts = json.loads(run("doctor", "--json").out)
    assert facts["lrdsl"] == __version__
    assert facts["faults"] == []
    assert {"python", "evaluator", "optimizer", "build", "CUDA", "parse tables", "lark", "numpy", "torch"} <= set(facts)
    assert facts["parse tables"] == "fresh"


@needs_native
def test_a_live_module_is_tested(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRDSL_BACKEND", raising=False)
    facts = json.loads(run("doctor", "--json").out)
    assert facts["evaluator"] == "native"
    assert native.extension().isa() in facts["optimizer"]  # type: ignore[union-attr]
    assert facts["self-test"] == "passed"


@needs_native
def test_python_on_request_is_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRDSL_BACKEND", "python")
    assert "LRDSL_BACKEND=python" in json.loads(run("doctor", "--json").out)["evaluator"]


@needs_native
@pytest.mark.parametrize("check", ["evaluator", "optimizer_step"])
def test_a_failed_self_test_is_a_fault(run: Any, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    monkeypatch.setattr(selftest, check, lambda *_: "it is wrong")
    ran = run("doctor")
    assert ran.code == 1
    assert "FAULT         the native module failed its self-test: it is wrong\n" in ran.out


@needs_native
def test_the_self_test_sees_a_wrong_update(monkeypatch: pytest.MonkeyPatch) -> None:
    module = native.extension()
    assert module is not None
    assert selftest.optimizer_step(module) == ""
    monkeypatch.setattr(module, "step", lambda *_: None)
    assert "wrong" in selftest.optimizer_step(module)


@needs_native
def test_the_self_test_sees_wrong_values(monkeypatch: pytest.MonkeyPatch) -> None:
    assert selftest.evaluator() == ""
    monkeypatch.setattr(native.NativeEvaluator, "observe", lambda *_: None)
    assert "differ" in selftest.evaluator()


@pytest.mark.parametrize("state", ["failed", "off"])
def test_a_module_that_was_never_built_is_no_fault(run: Any, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    record = {"state": state, "what": "compiling", "why": "no compiler", "log": ["a line", "another line, of a log"]}
    monkeypatch.setattr(native, "extension", lambda: None)
    monkeypatch.setattr(native, "reason", lambda: "the extension was not built: no compiler")
    monkeypatch.setattr(build_record, "record", lambda: record)
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    ran = run("doctor")
    assert ran.code == 0
    assert "evaluator     Python: the extension was not built: no compiler\n" in ran.out
    assert "              log: another line, of a log\n" in ran.out


@pytest.mark.parametrize(("found", "state"), [(object(), "failed"), (None, "built")])
def test_a_module_that_is_there_but_unusable_is_a_fault(
    run: Any, monkeypatch: pytest.MonkeyPatch, found: object, state: str
) -> None:
    monkeypatch.setattr(native, "extension", lambda: None)
    monkeypatch.setattr(native, "reason", lambda: "its opcodes differ")
    monkeypatch.setattr(build_record, "record", lambda: {"state": state})
    monkeypatch.setattr(doctor, "find_spec", lambda _: found)
    ran = run("doctor")
    assert ran.code == 1
    assert "FAULT         the native module is there but not usable: its opcodes differ\n" in ran.out


class Device:
    """What doctor asks of the CUDA module, on a machine with one device."""

    def driver_version(self) -> int:
        return 13020

    def device_count(self) -> tuple[int, int]:
        return 1, 0

    def device_name(self, index: int) -> str:
        return "NVIDIA H200"

    def capability(self, index: int) -> tuple[int, int]:
        return 9, 0


CUDA_RECORD = {"state": "built", "toolkit": "13.0.88", "architectures": ["sm_80"]}


def test_a_live_device_is_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRDSL_BACKEND", raising=False)
    monkeypatch.setattr(cuda, "extension", Device)
    monkeypatch.setattr(cuda, "reason", lambda: "")
    monkeypatch.setattr(build_record, "cuda", lambda: CUDA_RECORD)
    ran = run("doctor")
    assert ran.code == 0
    assert "CUDA          optimizer: native\n" in ran.out
    facts = json.loads(run("doctor", "--json").out)["CUDA"]
    assert (facts["driver"], facts["devices"]) == ("for CUDA 13.2", ["NVIDIA H200, sm_90"])
    assert facts["build"] == CUDA_RECORD
    monkeypatch.setenv("LRDSL_BACKEND", "python")
    assert "LRDSL_BACKEND=python" in json.loads(run("doctor", "--json").out)["CUDA"]["optimizer"]


def test_a_device_without_code_is_a_fault(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "extension", Device)
    monkeypatch.setattr(cuda, "reason", lambda: "there is no kernel image for sm_90: …")
    ran = run("doctor")
    assert ran.code == 1
    assert "FAULT         no CUDA step runs: there is no kernel image for sm_90: …\n" in ran.out


@pytest.mark.parametrize("state", ["absent", "off", "failed", None])
def test_cuda_that_was_never_built_is_no_fault(run: Any, monkeypatch: pytest.MonkeyPatch, state: str | None) -> None:
    record = state and {"state": state, "what": "building", "why": "no nvcc", "log": ["a long line of a log, told"]}
    monkeypatch.setattr(cuda, "extension", lambda: None)
    monkeypatch.setattr(cuda, "reason", lambda: "the CUDA extension was not built: no nvcc")
    monkeypatch.setattr(build_record, "cuda", lambda: record)
    monkeypatch.setattr(doctor, "find_spec", lambda _: None)
    ran = run("doctor")
    assert "CUDA          optimizer: Python: the CUDA extension was not built: no nvcc\n" in ran.out
    assert ("build: log: a long line" in ran.out) == (state is not None)
    assert "the CUDA module is there" not in ran.out


def test_a_cuda_module_that_is_gone_is_a_fault(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "extension", lambda: None)
    monkeypatch.setattr(cuda, "reason", lambda: "the CUDA extension cannot be imported: gone")
    monkeypatch.setattr(build_record, "cuda", lambda: CUDA_RECORD)
    ran = run("doctor")
    assert ran.code == 1
    assert "FAULT         the CUDA module is there but not usable: the CUDA extension cannot be imported" in ran.out


def test_without_a_record(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_record, "record", lambda: None)
    assert "no record" in run("doctor").out


def test_packages_that_are_missing(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in ("torch", "lark") else "1.0")
    ran = run("doctor")
    assert ran.code == 1
    assert "torch         not installed; the optimizers need it: pip install 'lrdsl[torch]'\n" in ran.out
    assert "FAULT         lark is not installed, and lrdsl needs it\n" in ran.out


def test_stale_tables_are_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lrdsl.syntax import tables

    monkeypatch.setattr(tables, "generate", lambda: "other")
    ran = run("doctor")
    assert ran.code == 0
    assert "built at every start" in ran.out


def test_a_missing_grammar_is_a_fault(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lrdsl.syntax import tables

    def missing() -> str:
        raise FileNotFoundError("the grammar of lrdsl is missing")

    monkeypatch.setattr(tables, "generate", missing)
    ran = run("doctor")
    assert ran.code == 1
    assert "FAULT         the grammar of lrdsl is missing\n" in ran.out
