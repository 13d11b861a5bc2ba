"""Parameters that are spread over processes (DTensor): the part that lies here, and norms over all parts.

Nothing is imported: whoever has such a parameter has imported what it needs.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Place = tuple[torch.device | None, Any, tuple[int, ...]]
"""Device, mesh, and the dimensions of the mesh along which every process has another part of a tensor."""


def is_spread(tensor: object) -> bool:
    """Whether a tensor is a DTensor."""
    return isinstance(tensor, Tensor) and hasattr(tensor, "device_mesh")


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that lies in this process, in the same memory; all of it if it is not spread."""
    if not is_spread(tensor):
        return tensor
    with torch.no_grad():
        part: Tensor = tensor.to_local()  # type: ignore[attr-defined]
    return part


def placement(tensor: Tensor) -> object:
    """How a tensor is spread; None if it is not. Only good for comparing and for messages."""
    return (tensor.device_mesh, tuple(tensor.placements)) if is_spread(tensor) else None  # type: ignore[attr-defined]


class Reach:
    """Over which processes the norm of all gradients goes.

    Args:
        params: What the gradients belong to. All must be spread in the same way: otherwise parts would be counted
            twice, or not at all.

    Attributes:
        obstacle: Why their norm cannot be found; empty if it can.
        shared: Whether other processes have parts of it.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        places = list(dict.fromkeys(map(_place, params)))  # in the same order in every process, which a set is not
        self.obstacle = ""
        if len(places) > 1:
            self.obstacle = (
                "the parameters of this optimizer lie on several devices or meshes, or are sharded in several ways, so "
                "it cannot find the norm of their gradients: use one optimizer for each, or drop max_grad_norm and "
                "skip_nonfinite and call torch.nn.utils.clip_grad_norm_"
            )
        self._meshes = [(mesh, dims) for _, mesh, dims in places if dims]
        self.shared = bool(self._meshes)

    def norm(self, norm: float) -> float:
        """The norm over all processes, from that of each."""
        (mesh, dims), *_ = self._meshes
        square = torch.tensor(norm * norm, dtype=torch.float64, device=mesh.device_type)
        _add_up(square, mesh, dims)
        return math.sqrt(square.item())

    def any(self, flag: bool) -> bool:
        """Whether a flag is up in one of the processes at least. In spite of an obstacle, too."""
        for mesh, dims in self._meshes:
            count = torch.tensor(float(flag), dtype=torch.float64, device=mesh.device_type)
            _add_up(count, mesh, dims)
            flag = bool(count.item())
        return flag

    def share(self, norm: Tensor) -> None:
        """The same in the memory of a device, without reading it."""
        (mesh, dims), *_ = self._meshes
        _add_up(norm.mul_(norm), mesh, dims)
        norm.sqrt_()


def _add_up(number: Tensor, mesh: Any, dims: Sequence[int]) -> None:
    for dim in dims:
        torch.distributed.all_reduce(number, group=mesh.get_group(dim))


def _place(p: Tensor) -> Place:
    if not is_spread(p):
        return p.device, None, ()
    placements = p.placements  # type: ignore[attr-defined]
    return p.device, p.device_mesh, tuple(i for i, how in enumerate(placements) if not how.is_replicate())  # type: ignore[attr-defined]
