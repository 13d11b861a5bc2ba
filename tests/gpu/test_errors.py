"""Where no step can run on CUDA, one sentence says why. In processes of their own: a driver is looked for only once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lrdsl import build_record, cuda

needs_module = pytest.mark.skipif(cuda.extension() is None, reason=f"not run: {cuda.reason()}")
ASK = """
import json
from lrdsl import cuda
module = cuda.extension()
print(json.dumps([cuda.reason(), module.driver_version(), module.runtime_version(), list(module.architectures())]))
"""
CAPABILITY = "from lrdsl import cuda; print(*cuda.extension().capability(0))"


def run(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def told(**environment: str) -> tuple[str, int, int, list[str]]:
    import json

    reason, driver, runtime, architectures = json.loads(run(ASK, **environment))
    return reason, driver, runtime, architectures


@needs_module
def test_hidden_devices() -> None:
    """Hidden ones are none; a driver that is missing or too old comes first."""
    reason, driver, runtime, architectures = told(CUDA_VISIBLE_DEVICES="")
    status = 35 if driver // 1000 < runtime // 1000 else 100
    assert reason == cuda.explain(status, driver, runtime, None, architectures)
    golden = {
        0: "there is no NVIDIA driver",
        100: "there is no CUDA device",
    }
    if driver == 0 or status == 100:
        assert reason == golden[0 if driver == 0 else 100]


@needs_module
def test_hidden_devices_leave_the_cpu() -> None:
    """The CPU's step does not care."""
    pytest.importorskip("torch", reason="not run: torch is not installed")
    script = (
        "import torch, lrdsl; p = torch.nn.Parameter(torch.ones(3)); p.grad = torch.ones(3);"
        "o = lrdsl.AdamW([p], schedule='linear(10)'); o.step(); print(o.clock, o.doctor()['backend'])"
    )
    assert run(script, CUDA_VISIBLE_DEVICES="").split() == ["1", run(script).split()[1]]


@needs_module
def test_doctor_says_it() -> None:
    reason, *_ = told(CUDA_VISIBLE_DEVICES="")
    script = "import runpy, sys; sys.argv[1:] = ['doctor']; runpy.run_module('lrdsl', run_name='__main__')"
    assert reason in run(script, CUDA_VISIBLE_DEVICES="", COLUMNS="500")


@pytest.mark.gpu
def test_no_kernel_image_message() -> None:
    """Without the code for this device there is what the driver can translate, or the sentence."""
    if cuda.reason():
        pytest.skip(f"not run: {cuda.reason()}")
    major, minor = map(int, run(CAPABILITY).split())
    reason, driver, runtime, architectures = told(CUDA_FORCE_PTX_JIT="1", CUDA_CACHE_DISABLE="1")
    older = [name for name in architectures if name.startswith("compute_") and int(name[8:]) <= 10 * major + minor]
    assert reason == ("" if older else cuda.explain(209, driver, runtime, (major, minor), architectures))


@pytest.mark.gpu
def test_every_sentence_is_golden() -> None:
    """Of a build like this one; the words themselves are in ``tests/test_cuda.py``."""
    if cuda.reason():
        pytest.skip(f"not run: {cuda.reason()}")
    record = build_record.cuda()
    assert record is not None and record["state"] == "built"
    module = cuda.extension()
    assert module is not None
    count, status = module.device_count()
    assert (count > 0, status) == (True, 0)
    assert module.preload(0) == 0
    assert module.preload(count) != 0, "there is no such device"
    assert cuda.reason(count).startswith("the CUDA runtime gives error 101")
