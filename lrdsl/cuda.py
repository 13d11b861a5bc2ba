"""CUDA: the only importer of ``lrdsl._C_cuda``, which says why it cannot step."""

from types import ModuleType


def extension() -> ModuleType | None:
    """``lrdsl._C_cuda``, or None where it cannot run."""
    return None


def reason() -> str:
    """Why there is no step on a GPU; empty if there is one."""
    return "the extension was built without CUDA"
