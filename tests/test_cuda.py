"""Why no step runs on a device, in one sentence each."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lrdsl import build_record, cuda

BUILT = ("sm_80", "sm_90", "compute_90")
SENTENCES = [
    # status, driver, runtime, capability
    ((0, 13020, 13000, (9, 0)), ""),
    ((35, 0, 13000, None), "there is no NVIDIA driver"),
    (
        (35, 12080, 13010, None),
        "the driver supports CUDA 12.8, this build needs 13.0: update the driver, or build with CUDA 12",
    ),
    ((35, 11040, 13000, None), "the driver supports CUDA 11.4, this build needs 13.0: update the driver"),
    ((35, 11080, 12090, None), "the driver supports CUDA 11.8, this build needs 12.0: update the driver"),
    ((100, 13020, 13000, None), "there is no CUDA device"),
    (
        (209, 13020, 13000, (7, 5)),
        "there is no kernel image for sm_75: built for sm_80, sm_90, compute_90; "
        "set LRDSL_CUDA_ARCHS=75 and install again",
    ),
    (
        (209, 13020, 13000, (12, 0)),
        "there is no kernel image for sm_120: built for sm_80, sm_90, compute_90; "
        "set LRDSL_CUDA_ARCHS=120 and install again",
    ),
    ((999, 13020, 13000, (9, 0)), "the CUDA runtime gives error 999"),
]


@pytest.mark.parametrize(("what", "sentence"), SENTENCES)
def test_sentences(what: tuple[Any, ...], sentence: str) -> None:
    assert cuda.explain(*what, BUILT) == sentence


def test_another_code_is_told_in_the_words_of_cuda() -> None:
    told = cuda.explain(802, 13020, 13000, (9, 0), BUILT, "cudaErrorSystemNotReady: system not yet initialized")
    assert told == "the CUDA runtime gives error 802 (cudaErrorSystemNotReady: system not yet initialized)"


@pytest.fixture
def fresh() -> Iterator[None]:
    """Without what was found before, and without what is found now afterwards."""

    def forget() -> None:
        cuda._load.cache_clear()
        cuda.reason.cache_clear()

    forget()
    yield
    forget()


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (None, "the CUDA extension was not built"),
        ({"state": "absent", "why": "no nvcc"}, "the CUDA extension was not built: no nvcc"),
        ({"state": "off", "why": "LRDSL_CUDA=off was set"}, "the CUDA extension was not built: LRDSL_CUDA=off was set"),
        ({"state": "built"}, "the CUDA extension cannot be imported: gone"),
    ],
)
def test_missing(fresh: None, monkeypatch: pytest.MonkeyPatch, record: dict[str, Any] | None, sentence: str) -> None:
    def gone(_: str) -> None:
        raise ImportError("gone")

    monkeypatch.setattr(cuda, "import_module", gone)
    monkeypatch.setattr(build_record, "cuda", lambda: record)
    assert (cuda.extension(), cuda.reason()) == (None, sentence)


class Machine:
    """A CUDA module on a machine with these devices."""

    def __init__(self, *capabilities: tuple[int, int], status: int = 0, image: bool = True) -> None:
        self.capabilities, self.status, self.image, self.woken = capabilities, status, image, list[int]()

    def driver_version(self) -> int:
        return 12040

    def runtime_version(self) -> int:
        return 12090

    def device_count(self) -> tuple[int, int]:
        return len(self.capabilities), self.status

    def capability(self, index: int) -> tuple[int, int]:
        return self.capabilities[index]

    def architectures(self) -> tuple[str, ...]:
        return BUILT

    def preload(self, index: int) -> int:
        self.woken.append(index)
        return 0 if self.image else 209

    def error_text(self, code: int) -> str:
        return f"error {code}"


def test_every_device_is_asked_once_and_alone(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine((9, 0), (8, 0))
    monkeypatch.setattr(cuda, "import_module", lambda _: machine)
    assert [cuda.reason(1), cuda.reason(1)] == ["", ""]
    assert machine.woken == [1], "to ask for one device must not wake another one up"


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        (Machine(status=100), "there is no CUDA device"),
        (Machine(), "there is no CUDA device"),
        (Machine(status=3), "the CUDA runtime gives error 3 (error 3)"),
        (Machine((7, 0), image=False), cuda.explain(209, 0, 0, (7, 0), BUILT)),
    ],
)
def test_what_the_module_reports(fresh: None, monkeypatch: pytest.MonkeyPatch, machine: Machine, sentence: str) -> None:
    monkeypatch.setattr(cuda, "import_module", lambda _: machine)
    assert cuda.reason() == sentence


# ---- the module itself, on this machine ----

needs_module = pytest.mark.skipif(cuda.extension() is None, reason=f"not run: {cuda.reason()}")


def test_what_was_built_can_be_imported() -> None:
    built = (build_record.cuda() or {}).get("state") == "built"
    assert (cuda.extension() is not None) == built, cuda.reason()


@needs_module
def test_this_machine_gets_one_of_the_sentences() -> None:
    kinds = "|".join(
        (
            "there is no NVIDIA driver",
            r"the driver supports CUDA \d+\.\d, this build needs \d+\.0: update the driver(, or build with CUDA 12)?",
            "there is no CUDA device",
            r"there is no kernel image for sm_\d+: built for .*; set LRDSL_CUDA_ARCHS=\d+ and install again",
        )
    )
    assert re.fullmatch(f"({kinds})?", cuda.reason()), cuda.reason()


@needs_module
def test_the_module_and_the_record_agree() -> None:
    module, record = cuda.extension(), build_record.cuda()
    assert module is not None and record is not None
    assert list(module.architectures()) == record["architectures"]
    assert record["toolkit"].startswith(f"{cuda.version(module.runtime_version())}.")
    assert module.error_text(209).startswith("cudaErrorNoKernelImageForDevice: ")
    count, _ = module.device_count()
    with pytest.raises(RuntimeError, match=r"^cudaError\w+: "):
        module.capability(count)
    assert module.preload(count) != 0


@needs_module
def test_hidden_devices() -> None:
    """Hidden ones are none; where there is no driver, that comes first."""
    script = "from lrdsl import cuda; print(cuda.reason())"
    run = subprocess.run(
        [sys.executable, "-c", script], env={"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() in ("there is no NVIDIA driver", "there is no CUDA device")
