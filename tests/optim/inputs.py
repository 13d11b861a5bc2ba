"""One table of what an optimizer may be given: how to make it, and whether it works or which error names it.

A case makes parameters and then, step by step, their gradients. Correct cases are compared with torch on plain,
contiguous copies; wrong ones must raise before anything has been written.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import Parameter

from lrdsl.errors import ScheduleError
from lrdsl.optim.distributed import local

Shapes = Sequence[Sequence[int]]
Reshape = Callable[[Tensor], Tensor]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _random(shapes: Shapes, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = _generator(0)
    return [torch.randn(tuple(shape), generator=generator, dtype=dtype) for shape in shapes]


def plain(shapes: Shapes, dtype: torch.dtype = torch.float32) -> Callable[[], list[Parameter]]:
    return lambda: [Parameter(tensor) for tensor in _random(shapes, dtype)]


def laid_out(shapes: Shapes, layout: Reshape) -> Callable[[], list[Parameter]]:
    return lambda: [Parameter(layout(tensor)) for tensor in _random(shapes)]


def transposed(tensor: Tensor) -> Tensor:
    """Equal values, last dimension outermost."""
    return tensor.permute(*reversed(range(tensor.dim()))).contiguous().permute(*reversed(range(tensor.dim())))


def channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


def sliced(tensor: Tensor) -> Tensor:
    """Equal values, every other element of wider memory."""
    wide = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1]), 7.0, dtype=tensor.dtype)
    wide[..., ::2] = tensor
    return wide[..., ::2]


def misaligned(tensor: Tensor) -> Tensor:
    """Equal values, one element into their storage."""
    return torch.cat([tensor.new_zeros(1), tensor.flatten()])[1:].view(tensor.shape)


def odd_ones(tensor: Tensor) -> Tensor:
    """Dimensions of size 1 may have any stride."""
    return tensor.as_strided(
        tensor.shape, tuple(99 if n == 1 else s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
    )


def _gradients(params: Sequence[Parameter], step: int) -> list[Tensor]:
    generator = _generator(100 + step)
    return [torch.randn(local(p).shape, generator=generator, dtype=p.dtype) for p in params]


@dataclass(frozen=True)
class Case:
    """Parameters and their gradients at every step.

    Attributes:
        make: The parameters.
        layout: Of the gradients.
        missing: Which gradients are None, by index and step.
        poison: In the first element of each gradient at step 1.
        wide: Gradients are float32.
        groups: How many.
        steps: How many.
        options: Of our optimizer alone.
        found_inf: What a scaler would say at step 1.
        skipped: Step 1 is not applied.
        exchange: What becomes of our optimizer before step 2.
        after: Done to our optimizer after every step.
        accumulate: Gradients are added to those that are there, as a backward pass does.
        where: The steps from 2 on are made: here, in a child that was forked or spawned, or all in eight threads.
    """

    make: Callable[[], list[Parameter]]
    layout: Reshape = torch.Tensor.contiguous
    missing: Callable[[int, int], bool] = lambda index, step: False
    poison: float | None = None
    wide: bool = False
    groups: int = 1
    steps: int = 4
    options: dict[str, Any] = field(default_factory=dict)
    found_inf: float | None = None
    skipped: bool = False
    exchange: Callable[[Any], Any] = lambda optimizer: optimizer
    after: Callable[[Any], None] = lambda optimizer: None
    accumulate: bool = False
    where: str = "here"

    def fill(self, params: Sequence[Parameter], step: int) -> None:
        for index, (p, grad) in enumerate(zip(params, _gradients(params, step), strict=True)):
            if self.missing(index, step) or not p.requires_grad:
                p.grad = None
                continue
            if self.poison is not None and step == 1 and grad.numel():
                grad.view(-1)[0] = self.poison
            if self.wide:
                p.grad_dtype, grad = torch.float32, grad.float()
            if self.accumulate and p.grad is not None:
                p.grad += grad
            else:
                p.grad = like(p, self.layout(grad))

    def grouped(self, params: Sequence[Parameter]) -> list[dict[str, list[Parameter]]]:
        size = -(-len(params) // self.groups)
        return [{"params": list(params[i : i + size])} for i in range(0, len(params), size)]


def like(p: Parameter, part: Tensor) -> Tensor:
    """The tensor that is spread as ``p`` and of which this process has ``part``."""
    if local(p) is p:
        return part
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(part, p.device_mesh, p.placements, run_check=False, shape=p.shape, stride=p.stride())


def _second_of_two() -> list[Parameter]:
    """What the second of two processes has of sharded parameters; of the last one it has nothing."""
    from torch.distributed.tensor import DTensor, Shard, init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if not distributed.is_initialized():
        distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    mesh = init_device_mesh("cpu", (2,))
    params = []
    for whole, part in (((5, 3), (2, 3)), ((4,), (2,)), ((1, 3), (0, 3))):
        shape = torch.Size(whole)
        (tensor,) = _random([part])
        stride = torch.empty(shape, device="meta").stride()
        spread = DTensor.from_local(tensor, mesh, [Shard(0)], run_check=False, shape=shape, stride=stride)
        params.append(Parameter(spread))
    assert [local(p).numel() for p in params] == [6, 2, 0]
    return params


def _tied() -> list[Parameter]:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    model[0].weight, model[0].bias, model[1].bias = plain([[4, 4], [4], [4]])()
    model[1].weight = model[0].weight
    params = list(model.parameters())
    assert len(params) == 3
    return params


def _frozen() -> list[Parameter]:
    first, second, third = plain([[5], [6], [7]])()
    second.requires_grad_(False)
    return [first, second, third]


def _mixed(*dtypes: torch.dtype) -> Callable[[], list[Parameter]]:
    return lambda: [p for dtype in dtypes for p in plain([[33], [4, 5]], dtype)()]


def _interleaved() -> list[Parameter]:
    """Two parameters that share storage, element by element, without overlap."""
    wide = torch.randn(6, 8, generator=_generator(0))
    return [Parameter(wide[:, :3]), Parameter(wide[:, 3:])]


WIDE, LOW = (torch.float32, torch.float64), (torch.bfloat16, torch.float16)
SIZES = (1, 7, 8, 15, 16, 17, 63, 64, 65, 1003)

CORRECT = {
    "vector sizes": Case(plain([[n] for n in SIZES])),
    "0-dimensional": Case(plain([[], [], [3]])),
    "empty first": Case(plain([[0], [5], [6]])),
    "empty middle": Case(plain([[5], [0, 3], [6]])),
    "empty last": Case(plain([[5], [6], [2, 0]])),
    "empty all": Case(plain([[0], [0, 4]])),
    "over the threads' threshold": Case(plain([[40_000], [3], [257, 129]])),
    "channels last": Case(laid_out([[4, 3, 5, 6]], channels_last)),
    "transposed": Case(laid_out([[4, 5], [3, 4, 5]], transposed)),
    "sliced": Case(laid_out([[4, 5], [7]], sliced)),
    "interleaved": Case(_interleaved),
    "misaligned": Case(laid_out([[37], [5, 5]], misaligned), layout=misaligned),
    "size-1 dimensions": Case(laid_out([[4, 1, 5], [1, 6]], odd_ones)),
    "gradients channels last": Case(plain([[4, 3, 5, 6]]), layout=channels_last),
    "gradients transposed": Case(plain([[4, 5], [5, 5], [2, 3, 4]]), layout=transposed),
    "gradients sliced": Case(plain([[4, 5], [9]]), layout=sliced),
    "gradients with odd size-1 dimensions": Case(plain([[4, 1, 5], [1, 6]]), layout=odd_ones),
    "parameters transposed, gradients not": Case(laid_out([[4, 5]], transposed)),
    "both transposed": Case(laid_out([[4, 5]], transposed), layout=transposed),
    "some gradients missing": Case(plain([[5], [6], [7]]), missing=lambda index, step: (index + step) % 3 == 0),
    "all gradients missing": Case(plain([[5], [6]]), missing=lambda index, step: True),
    "gradients late": Case(plain([[5], [6]]), missing=lambda index, step: step < 2),
    "gradients alternate between twins": Case(plain([[5], [5]]), missing=lambda index, step: (index + step) % 2 == 0),
    "both sliced": Case(laid_out([[4, 5], [7]], sliced), layout=sliced),
    "requires_grad False": Case(_frozen),
    "float32 beside float64": Case(_mixed(*WIDE)),
    "float32 beside float64 in groups": Case(_mixed(*WIDE), groups=3),
    "bfloat16": Case(plain([[n] for n in SIZES], torch.bfloat16)),
    "float16": Case(plain([[n] for n in SIZES], torch.float16)),
    "all dtypes": Case(_mixed(*WIDE, *LOW)),
    "all dtypes in groups": Case(_mixed(*LOW, *WIDE), groups=3),
    "float32 gradients of low precision": Case(_mixed(torch.float32, *LOW), wide=True),
    "low precision sliced": Case(laid_out([[4, 5], [7]], lambda tensor: sliced(tensor.bfloat16()))),
    "low precision, gradients transposed": Case(plain([[4, 5], [2, 3, 4]], torch.float16), layout=transposed),
    "low precision, float32 gradients transposed": Case(_mixed(*LOW), layout=transposed, wide=True),
    "nan in low precision": Case(plain([[5], [20]], torch.bfloat16), poison=float("nan")),
    "1 tensor": Case(plain([[5]])),
    "10,000 tensors": Case(plain([[n % 3 + 1] for n in range(10_000)]), steps=2),
    "1 group": Case(plain([[5], [6]])),
    "1000 groups": Case(plain([[3]] * 1000), groups=1000, steps=2),
    "tied parameter once": Case(_tied),
    "DTensor, empty shard": Case(_second_of_two),
    "deepcopy": Case(plain([[5], [4, 3]]), exchange=copy.deepcopy),
    "pickle": Case(plain([[5], [4, 3]]), exchange=lambda optimizer: pickle.loads(pickle.dumps(optimizer))),
    "spawn": Case(plain([[5], [4, 3]]), where="spawned"),
    # Together enough for threads of ours, one by one too little for torch's, which do not survive a fork.
    "fork": Case(plain([[2000]] * 80), where="forked"),
    "8 threads step 8 optimizers": Case(plain([[5], [50_000]]), where="threads"),
    "zero_grad to None": Case(
        plain([[5], [4, 3]]), after=lambda optimizer: optimizer.zero_grad(set_to_none=True), accumulate=True
    ),
    "zero_grad to zeros": Case(
        plain([[5], [4, 3]]), after=lambda optimizer: optimizer.zero_grad(set_to_none=False), accumulate=True
    ),
} | {
    f"{what} {value} in a gradient": Case(plain([[5], [20]]), poison=float(value), **case)
    for value in ("nan", "inf")
    for what, case in {
        "applied:": {},
        "found_inf:": {"found_inf": 1.0, "skipped": True},
        "skip_nonfinite:": {"options": {"skip_nonfinite": True}, "skipped": True},
    }.items()
}
"""What works, and ends as torch's own optimizer does."""


def _step(optimizer: Any) -> None:
    optimizer.step()


@dataclass(frozen=True)
class Wrong:
    """Something that cannot be stepped.

    Attributes:
        make: Parameters; with `spoil` or another `act` they are fine.
        error: What is raised,
        message: and what it says.
        spoil: Done to the second of three parameters after a good step.
        change: Done to the optimizer after a good step.
        act: What is refused then. Without `spoil`, `change` and `act` the constructor refuses.
        options: Of the optimizer.
    """

    make: Callable[[], list[Tensor]]
    error: type[Exception]
    message: str
    spoil: Callable[[Parameter], None] | None = None
    change: Callable[[Any], None] | None = None
    act: Callable[[Any], None] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def later(self) -> bool:
        """Whether the constructor takes it."""
        return any((self.spoil, self.change, self.act))

    def attempt(self, optimizer: Any) -> None:
        """What must raise."""
        (self.act or _step)(optimizer)


def _three() -> list[Parameter]:
    return plain([[5], [4, 3], [6]])()


def _low() -> list[Parameter]:
    return plain([[5], [4, 3], [6]], torch.bfloat16)()


def _with(second: Callable[[], Tensor]) -> Callable[[], list[Tensor]]:
    def make() -> list[Tensor]:
        first, _, third = _three()
        return [first, second(), third]

    return make


def _twice() -> list[Parameter]:
    first, second, _ = _three()
    return [first, second, first]


def _sharing(cut: Callable[[Tensor], Sequence[Tensor]]) -> Callable[[], list[Parameter]]:
    return lambda: [*plain([[5]])(), *map(Parameter, cut(torch.randn(8, 8, generator=_generator(0))))]


def _sparse_gradient(p: Parameter) -> None:
    p.grad = torch.randn(4, 3).to_sparse()


def _shrunk_parameter(p: Parameter) -> None:
    p.data = p.data[:2]


def _reshaped_parameter(p: Parameter) -> None:
    p.data = torch.zeros(3, 4)


def _reshaped_gradient(p: Parameter) -> None:
    p.grad.data = torch.zeros(2, 2)


def _narrow_gradient(p: Parameter) -> None:
    p.grad.data = torch.zeros(4, 3, dtype=torch.float16)


def _any_gradient(dtype: torch.dtype) -> Callable[[Parameter], None]:
    def spoil(p: Parameter) -> None:
        p.grad_dtype = None
        p.grad = torch.ones(4, 3, dtype=dtype)

    return spoil


def _reinterpreted(p: Parameter) -> None:
    """The other dtype of the same size, in the same memory."""
    p.grad_dtype = None
    p.data = p.data.view(torch.float16)


def _reinterpreted_gradient(p: Parameter) -> None:
    p.grad.data = p.grad.data.view(torch.float16)


def _widened(p: Parameter) -> None:
    p.data = p.data.double()


def _overlapping(p: Parameter) -> None:
    p.data = torch.zeros(1).expand(4, 3)


class _Elsewhere(Parameter):
    """A parameter whose gradient is where torch would not let it be put."""

    found: Tensor | None = None

    @property
    def grad(self) -> Tensor | None:
        return Tensor.grad.__get__(self) if self.found is None else self.found

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        Tensor.grad.__set__(self, value)


def _moved_gradient(p: Parameter) -> None:
    p.found = torch.zeros(4, 3, device="meta")


def _write(**entries: Any) -> Callable[[Any], None]:
    return lambda optimizer: optimizer.param_groups[0].update(entries)


def _betas(*betas: float) -> Callable[[Any], None]:
    """Of Adam; SGD has a momentum instead."""
    return lambda optimizer: _write(**{"betas": betas} if "betas" in optimizer.param_groups[0] else {"momentum": -1.0})(
        optimizer
    )


def _eps(optimizer: Any) -> None:
    """Of Adam; SGD has none, so its weight decay."""
    group = optimizer.param_groups[0]
    group["eps" if "eps" in group else "weight_decay"] = -1.0


def _load(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], None]:
    def act(optimizer: Any) -> None:
        saved = copy.deepcopy(optimizer.state_dict())
        change(saved)
        optimizer.load_state_dict(saved)

    return act


def _shapes(saved: dict[str, Any]) -> None:
    """Every tensor of the state has a row too many; where there is no state, there is one that nobody wants."""
    saved["state"] = saved["state"] or {1: {"exp_avg": torch.zeros(4, 3)}}
    for tensors in saved["state"].values():
        for key, tensor in tensors.items():
            tensors[key] = torch.zeros((*tensor.shape, 2))


LISTENING = {"schedule": "hold() | plateau(metric=loss, patience=1)"}


def _report(value: Any, metric: str = "loss") -> Callable[[Any], None]:
    return lambda optimizer: optimizer.observe(value, metric)


REFUSED = {
    "sparse": Wrong(_with(lambda: torch.eye(3).to_sparse()), TypeError, "parameter 1.*dense.*sparse"),
    "complex": Wrong(
        _with(lambda: Parameter(torch.zeros(3, dtype=torch.complex64))), TypeError, "parameter 1.*complex64"
    ),
    "integer": Wrong(_with(lambda: torch.zeros(3, dtype=torch.int64)), TypeError, "parameter 1.*int64"),
    "boolean": Wrong(_with(lambda: torch.zeros(3, dtype=torch.bool)), TypeError, "parameter 1.*bool"),
    "meta": Wrong(_with(lambda: Parameter(torch.zeros(3, device="meta"))), TypeError, "parameter 1 is a meta tensor"),
    "overlaps itself": Wrong(
        _with(lambda: Parameter(torch.zeros(1).expand(3))), ValueError, "parameter 1 overlaps itself"
    ),
    "overlaps itself by a stride": Wrong(
        _with(lambda: Parameter(torch.zeros(9).as_strided((4, 3), (2, 1)))), ValueError, "parameter 1 overlaps itself"
    ),
    "same memory": Wrong(_sharing(lambda w: [w, w]), ValueError, "parameter 2 shares memory with group 0, parameter 1"),
    "memory in common": Wrong(_sharing(lambda w: [w[:5], w[4:]]), ValueError, "parameter 2 shares memory"),
    "columns in common": Wrong(_sharing(lambda w: [w[:, :4], w[:, 3:]]), ValueError, "parameter 2 shares memory"),
    "another dtype's memory": Wrong(
        _sharing(lambda w: [w[:, :4], w.view(torch.float64)[:, 1:]]), ValueError, "parameter 2 shares memory"
    ),
    "a wider dtype's memory": Wrong(
        _sharing(lambda w: [w.view(torch.float64)[:, :2], w[:, 3:]]), ValueError, "parameter 2 shares memory"
    ),
    "listed twice": Wrong(_twice, ValueError, "listed twice"),
    "no leaf": Wrong(_with(lambda: Parameter(torch.zeros(3)) * 2), ValueError, "non-leaf"),
    "no tensor": Wrong(_with(lambda: 3.0), TypeError, "Tensors"),  # type: ignore[arg-type, return-value]
    "sparse gradient": Wrong(_three, TypeError, "gradient of group 0, parameter 1.*sparse", _sparse_gradient),
    "parameter shrunk": Wrong(
        _three, ValueError, r"gradient of group 0, parameter 1.*\(2, 3\).*\(4, 3\)", _shrunk_parameter
    ),
    "parameter reshaped": Wrong(_three, ValueError, "gradient of group 0, parameter 1.*shape", _reshaped_parameter),
    "gradient reshaped": Wrong(_three, ValueError, "gradient of group 0, parameter 1.*shape", _reshaped_gradient),
    "gradient of another dtype": Wrong(
        _three, TypeError, "gradient of group 0, parameter 1.*float16", _narrow_gradient
    ),
    "low gradient of a float32 parameter": Wrong(
        _three, TypeError, "gradient of group 0, parameter 1: expected float32, got bfloat16", _any_gradient(LOW[0])
    ),
    "integer gradient": Wrong(
        _three, TypeError, "parameter 1: expected float32, got int32", _any_gradient(torch.int32)
    ),
    "float16 gradient of bfloat16": Wrong(
        _low, TypeError, "parameter 1: expected bfloat16 or float32, got float16", _any_gradient(LOW[1])
    ),
    "float64 gradient of bfloat16": Wrong(
        _low, TypeError, "parameter 1: expected bfloat16 or float32, got float64", _any_gradient(torch.float64)
    ),
    "reinterpreted gradient": Wrong(
        _low, TypeError, "parameter 1: expected bfloat16 or float32, got float16", _reinterpreted_gradient
    ),
    "reinterpreted parameter": Wrong(
        _low, TypeError, "parameter 1: expected float16 or float32, got bfloat16", _reinterpreted
    ),
    "parameter of another dtype": Wrong(_three, TypeError, "gradient of group 0, parameter 1.*float64", _widened),
    "parameter overlapping later": Wrong(_three, ValueError, "parameter 1 overlaps itself", _overlapping),
    "gradient on another device": Wrong(
        _with(lambda: _Elsewhere(torch.randn(4, 3))),
        ValueError,
        "gradient of group 0, parameter 1: expected device cpu, got meta",
        _moved_gradient,
    ),
    "metric of two numbers": Wrong(
        _three, ValueError, r"one real number, got .* shape \(2,\)", act=_report(torch.zeros(2)), options=LISTENING
    ),
    "empty metric": Wrong(_three, ValueError, "one real number", act=_report(torch.zeros(0)), options=LISTENING),
    "complex metric": Wrong(
        _three, ValueError, "one real number, got torch.complex64", act=_report(torch.tensor(1j)), options=LISTENING
    ),
    "metric that is text": Wrong(_three, TypeError, "expected a number, got str", act=_report("1"), options=LISTENING),
    "undeclared metric": Wrong(
        _three, ScheduleError, "listens to `accuracy`", act=_report(1.0, "accuracy"), options=LISTENING
    ),
    "nan lr": Wrong(_three, ValueError, "group 0: expected lr", change=_write(lr=float("nan"))),
    "infinite lr": Wrong(_three, ValueError, "group 0: expected lr", change=_write(lr=float("inf"))),
    "negative lr": Wrong(_three, ValueError, "group 0: expected lr", change=_write(lr=-0.1)),
    "eps out of range": Wrong(_three, ValueError, "group 0: expected (eps|weight_decay)", change=_eps),
    "beta out of range": Wrong(_three, ValueError, "group 0: expected (beta2|momentum)", change=_betas(0.9, 1.0)),
    "nan lr at construction": Wrong(_three, ValueError, "expected lr", options={"lr": float("nan")}),
    "foreign rate": Wrong(
        _three, RuntimeError, "another scheduler", change=_write(lr=0.3), options={"schedule": "linear(10)"}
    ),
    "state dict of another shape": Wrong(_three, ValueError, "expected", act=_load(_shapes)),
    "state dict without groups": Wrong(
        _three, ValueError, "state and param_groups", act=_load(lambda saved: saved.pop("param_groups"))
    ),
    "state dict with a nan lr": Wrong(
        _three,
        ValueError,
        "group 0: expected lr",
        act=_load(lambda saved: saved["param_groups"][0].update(lr=float("nan"))),
    ),
    "state dict of another schedule": Wrong(
        _three,
        ScheduleError,
        "a different one",
        act=_load(lambda saved: saved["param_groups"][0].update(schedule="hold()")),
        options={"schedule": "linear(10)"},
    ),
}
"""What raises, and changes nothing."""
