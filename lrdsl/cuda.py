"""CUDA: the only importer of ``lrdsl._C_cuda``, which says in one sentence why no optimizer step can run there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType

from lrdsl import build_record

# Codes of cudaError_t.
INSUFFICIENT_DRIVER = 35
NO_DEVICE = 100
NO_KERNEL_IMAGE = 209
INVALID_FUNCTION = 98  # how some drivers say the same
NEWER_PTX = 222


def explain(
    status: int,
    driver: int,
    runtime: int,
    capability: tuple[int, int] | None,
    architectures: Sequence[str],
    text: str = "",
) -> str:
    """Return the sentence for an error code of the CUDA runtime; empty for 0.

    Args:
        status: The code.
        driver: Newest CUDA that the driver serves, 13020 for 13.2; 0 without a driver.
        runtime: The CUDA of the build, in the same way.
        capability: Of the device, (9, 0) for sm_90; None where there is none.
        architectures: What the build holds code for: ``sm_90``; ``compute_90`` for newer ones.
        text: CUDA's own words for the code.
    """
    if status == 0:
        return ""
    if status == INSUFFICIENT_DRIVER and driver == 0:
        return "there is no NVIDIA driver"
    if status in (INSUFFICIENT_DRIVER, NEWER_PTX):
        # Any driver of a major version serves all of its minor ones.
        needed, older = runtime // 1000, ", or build with CUDA 12" if runtime >= 13000 and driver >= 12000 else ""
        return f"the driver supports CUDA {version(driver)}, this build needs {needed}.0: update the driver{older}"
    if status == NO_DEVICE:
        return "there is no CUDA device"
    if status in (NO_KERNEL_IMAGE, INVALID_FUNCTION):
        number = "{}{}".format(*capability) if capability else "NN"
        return (
            f"there is no kernel image for sm_{number}: built for {', '.join(architectures)}; "
            f"set LRDSL_CUDA_ARCHS={number} and install again"
        )
    return f"the CUDA runtime gives error {status}{f' ({text})' if text else ''}"


@cache
def _load() -> tuple[ModuleType | None, str]:
    try:
        return import_module("lrdsl._C_cuda"), ""
    except ImportError as error:
        record = build_record.cuda()
        if record is None:
            return None, "the CUDA extension was not built"
        if record.get("state") != "built":
            return None, f"the CUDA extension was not built: {record.get('why', 'unknown reason')}"
        return None, f"the CUDA extension cannot be imported: {error}"


def extension() -> ModuleType | None:
    """``lrdsl._C_cuda``, or None where it is missing. It may be there without any device."""
    return _load()[0]


@cache
def reason(index: int = 0) -> str:
    """Why no step can run on that device; empty if one can. The first call for a device wakes it up."""
    module, missing = _load()
    if module is None:
        return missing
    count, status = module.device_count()
    if status == 0 and count == 0:
        status = NO_DEVICE
    capability = None
    if status == 0:
        status = module.preload(index)
        capability = module.capability(index) if status else None
    return explain(
        status,
        module.driver_version(),
        module.runtime_version(),
        capability,
        module.architectures(),
        module.error_text(status),
    )


def device(index: int) -> str:
    """What a device is called, and its capability; only where there is an extension and that device."""
    module = extension()
    assert module is not None
    return "{}, sm_{}{}".format(module.device_name(index), *module.capability(index))


def version(number: int) -> str:
    """13.2 for 13020, as CUDA counts."""
    return f"{number // 1000}.{number % 1000 // 10}"
