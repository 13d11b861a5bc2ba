"""Random lives of an optimizer, lived by every backend at once: what is edited, copied, refused or left out between two
steps must never show in the result.

``LRDSL_LIVES=10000`` lives more of them, other ones each time.
"""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim.native_step import NativeStep  # noqa: E402
from tests.optim.matrix import members  # noqa: E402
from tests.optim.peers import DTYPES, HALVES, assert_close, needs_native  # noqa: E402

pytestmark = needs_native
LIVES = int(os.environ.get("LRDSL_LIVES", "0"))
RATE = 0.05
SHAPES = [(), (0,), (7,), (3, 4), (2, 3, 4), (33,)]
LINEAR = "lr = linear(30, to=0.5x); "
SCHEDULES = {
    "SGD": LINEAR
    + "momentum = expr(where(mod(floor(step / 3), 2) < 1, 0, 0.8)); weight_decay = expr(0.01 * mod(step, 3))",
    "Adam": LINEAR + "beta1 = expr(0.5 + 0.1 * mod(step, 3)); eps = expr(0.00001 * (1 + mod(step, 2)))",
    "AdamW": LINEAR + "beta2 = expr(where(step == 5, log(0 - 1), 0.9)); weight_decay = expr(0.1 * mod(step, 2))",
}
"""What else there may be scheduled."""
OWN = {"SGD": {"momentum": [0.0, 0.9]}, "Adam": {"amsgrad": [False, True]}, "AdamW": {"amsgrad": [False, True]}}


@dataclass
class Side:
    """One backend's optimizer, and which walk it may use."""

    optimizer: Any
    compiled: bool = False

    @property
    def params(self) -> list[Parameter]:
        return members(self.optimizer)

    def free(self, key: str) -> bool:
        """Whether no schedule governs this option."""
        texts = [group["schedule"] for group in self.optimizer.param_groups]
        return texts[0] is None or (key != "lr" and key not in texts[0])


# --- what may happen between two steps ------------------------------------------------------------------------------


def _layout(tensor: Tensor, random: Random) -> Tensor:
    """The same values, laid out in another way."""
    way = random.randrange(4)
    if way == 0 and tensor.dim() >= 2:
        return tensor.transpose(0, 1).contiguous().transpose(0, 1)
    if way == 1:
        return torch.stack([tensor, tensor], -1)[..., 0]
    if way == 2:
        return torch._neg_view(-tensor)
    return tensor.resolve_neg().clone(memory_format=torch.contiguous_format)


class Edits:
    """Each does the same on every side, as far as its random numbers are the same."""

    def rest(side: Side, p: Parameter, random: Random) -> None:
        p.grad = None

    def wide_gradient(side: Side, p: Parameter, random: Random) -> None:
        if p.grad is not None and p.dtype in HALVES:
            p.grad_dtype = None
            p.grad = p.grad.float()

    def gradient_layout(side: Side, p: Parameter, random: Random) -> None:
        if p.grad is not None:
            p.grad = _layout(p.grad, random)

    def shared_gradient(side: Side, p: Parameter, random: Random) -> None:
        for q in side.params:
            if q.grad is not None and q is not p and (q.shape, q.grad.dtype) == (p.shape, p.dtype):
                p.grad = q.grad

    def expanded_gradient(side: Side, p: Parameter, random: Random) -> None:
        if not side.optimizer.neighbours.zero_grads:
            p.grad = torch.ones((), dtype=p.dtype).expand(p.shape)

    def infinite_gradient(side: Side, p: Parameter, random: Random) -> None:
        if side.optimizer.neighbours.skip_nonfinite and p.grad is not None:
            p.grad = p.grad * float("inf")

    def other_memory(side: Side, p: Parameter, random: Random) -> None:
        p.data = _layout(p.data, random)

    def state_replaced(side: Side, p: Parameter, random: Random) -> None:
        for key, tensor in side.optimizer.state.get(p, {}).items():
            side.optimizer.state[p][key] = (
                tensor.clone() if key == "step" else _layout(tensor.clone(), random).resolve_neg()
            )

    def state_deleted(side: Side, p: Parameter, random: Random) -> None:
        side.optimizer.state.pop(p, None)

    def state_emptied(side: Side, p: Parameter, random: Random) -> None:
        side.optimizer.state.get(p, {}).clear()

    def all_state_cleared(side: Side, p: Parameter, random: Random) -> None:
        side.optimizer.state.clear()

    def step_edited(side: Side, p: Parameter, random: Random) -> None:
        if "step" in side.optimizer.state.get(p, {}):
            side.optimizer.state[p]["step"].fill_(random.randrange(1, 50))

    def option(side: Side, p: Parameter, random: Random) -> None:
        group = random.choice(side.optimizer.param_groups)
        choices: dict[str, list[Any]] = {
            "weight_decay": [0.0, 0.1, torch.tensor(0.05)],
            "maximize": [False, True],
            "momentum": [0.0, 0.9],
            "eps": [1e-8, 1e-3],
            "amsgrad": [False, True],
        }
        key = random.choice([key for key in choices if key in group])
        if side.free(key):
            group[key] = copy.copy(random.choice(choices[key]))

    def betas(side: Side, p: Parameter, random: Random) -> None:
        for group in side.optimizer.param_groups:
            if "betas" in group:
                first, second = group["betas"]
                first, second = first if not side.free("beta1") else 0.7, second if not side.free("beta2") else 0.95
                group["betas"] = random.choice([list, tuple])([first, second])

    def refused_option(side: Side, p: Parameter, random: Random) -> None:
        group = random.choice(side.optimizer.param_groups)
        keys = [key for key in ("lr", "weight_decay") if side.free(key)]
        if keys:
            key = random.choice(keys)
            before = group[key], group["maximize"]
            group[key], group["maximize"] = float("nan"), not group["maximize"]
            with pytest.raises(ValueError, match=key):
                side.optimizer.step()
            group[key], group["maximize"] = before

    def refused_gradient(side: Side, p: Parameter, random: Random) -> None:
        before, p.grad = p.grad, torch.ones_like(p)
        p.grad.data = torch.ones(*p.shape, 2, dtype=p.dtype)
        with pytest.raises(ValueError, match="expected shape"):
            side.optimizer.step()
        p.grad = before

    def foreign_write(side: Side, p: Parameter, random: Random) -> None:
        group = random.choice(side.optimizer.param_groups)
        if group["schedule"] is not None:
            before, group["lr"] = group["lr"], 0.3
            with pytest.raises(RuntimeError, match="another scheduler or code writes"):
                side.optimizer.step()
            group["lr"] = before

    def equal_copy(side: Side, p: Parameter, random: Random) -> None:
        for group in side.optimizer.param_groups:
            group["lr"] = float(group["lr"]) * 1.0

    def phantom(side: Side, p: Parameter, random: Random) -> None:
        """What a checkpoint library does to make state."""
        if side.optimizer.param_groups[0]["schedule"] is None:
            return
        groups = side.optimizer.param_groups
        rates, grads = [group["lr"] for group in groups], [q.grad for q in side.params]
        before = side.optimizer.clock, side.optimizer.skipped, [q.detach().clone() for q in side.params]
        for group in groups:
            group["lr"] = random.choice([0.0, torch.tensor(0.0)])
        for q in side.params:
            q.grad = random.choice([None, torch.zeros_like(q)])
        side.optimizer.step()
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        for q, grad in zip(side.params, grads, strict=True):
            q.grad = grad
        assert (side.optimizer.clock, side.optimizer.skipped) == before[:2]
        assert all(map(torch.equal, side.params, before[2]))

    def rehearsal(side: Side, p: Parameter, random: Random) -> None:
        with side.optimizer.rehearsal():
            side.optimizer.step()

    def followed(side: Side, p: Parameter, random: Random) -> None:
        side.optimizer.as_scheduler().step()

    def observe(side: Side, p: Parameter, random: Random) -> None:
        if any("loss" in schedule.metrics for schedule in side.optimizer.schedules if schedule):
            side.optimizer.observe(random.random())

    def clock(side: Side, p: Parameter, random: Random) -> None:
        side.optimizer.set_clock(random.randrange(30))

    def init_state(side: Side, p: Parameter, random: Random) -> None:
        side.optimizer.init_state()

    def freeze(side: Side, p: Parameter, random: Random) -> None:
        p.requires_grad_(not p.requires_grad)

    def swap(side: Side, p: Parameter, random: Random) -> None:
        side.optimizer.state.pop(p, None)
        for group in side.optimizer.param_groups:
            group["params"][:] = [Parameter(-p.detach()) if q is p else q for q in group["params"]]

    def reverse(side: Side, p: Parameter, random: Random) -> None:
        random.choice(side.optimizer.param_groups)["params"].reverse()

    def add_group(side: Side, p: Parameter, random: Random) -> None:
        if len(side.optimizer.param_groups) < 4:
            side.optimizer.add_param_group({"params": [Parameter(torch.full((5,), random.random()))]})

    def load(side: Side, p: Parameter, random: Random) -> None:
        side.optimizer.load_state_dict(copy.deepcopy(side.optimizer.state_dict()))

    def copied(side: Side, p: Parameter, random: Random) -> None:
        clone = random.choice([copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
        before = side.params
        side.optimizer = clone(side.optimizer)
        for old, new in zip(before, side.params, strict=True):
            new.grad_dtype = old.grad_dtype
            new.grad = old.grad


Edit = Callable[[Side, Parameter, Random], None]
EDITS: list[Edit] = [edit for name, edit in vars(Edits).items() if not name.startswith("_")]


# --- a life ---------------------------------------------------------------------------------------------------------


def _born(kind: str, random: Random) -> Callable[[str], Any]:
    """Draws parameters and options; gives what makes an optimizer of them for a backend."""
    options: dict[str, Any] = {"lr": RATE, "master_weights": random.random() < 0.3}
    options |= {key: random.choice(values) for key, values in OWN[kind].items()}
    options |= {"zero_grads": random.random() < 0.4, "skip_nonfinite": random.random() < 0.3}
    options |= {"max_grad_norm": random.choice([None, None, 0.5, 5.0])}
    plateau = "lr = constant(0.05) | plateau(patience=1, metric=loss)"
    norm = "lr = linear(30, to=0.5x) | plateau(patience=2, metric=grad_norm)"
    guard = "lr = linear(30, to=0.5x) | guard(metric=grad_norm, spike=1.3, recover=4) | greedy(patience=1, smooth=3)"
    texts = [None, "linear(30, to=0.5x)", plateau, norm, guard, SCHEDULES[kind]]
    options |= {"schedule": random.choice(texts)}
    count = random.choice([1, 2, 3, 5] * 5 + [140])
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    values = [
        torch.randn(random.choice(SHAPES), generator=generator).to(random.choice([torch.float32] * 2 + DTYPES + HALVES))
        for _ in range(count)
    ]
    first = random.randrange(count)

    def make(backend: str) -> Any:
        params = [Parameter(value.clone()) for value in values]
        groups = [{"params": part, "weight_decay": 0.03 * i} for i, part in enumerate((params[:first], params[first:]))]
        return getattr(lrdsl, kind)(groups, backend=backend, **options)

    return make


def _fill(side: Side, p: Parameter, random: Random) -> None:
    """Most parameters get a new gradient, some of those in the memory of the last one."""
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    for q in side.params:
        grad = torch.randn(q.shape, generator=generator).to(q.dtype)
        if q.grad is not None and q.grad.is_contiguous() and q.grad.dtype == q.dtype and random.random() < 0.5:
            q.grad.copy_(grad)
        elif random.random() < 0.9:
            q.grad = grad


def _step(side: Side, p: Parameter, random: Random) -> None:
    scale, found = random.choice([None, None, 4.0, 1024.0]), random.choice([None, None, None, 0.0, 1.0])
    side.optimizer.grad_scale = None if scale is None else torch.tensor(scale)
    side.optimizer.found_inf = None if found is None else torch.tensor(found)
    side.optimizer.step()
    del side.optimizer.grad_scale, side.optimizer.found_inf


def _told(side: Side) -> Any:
    """What must be equal on all sides: clock, skipped steps, every option and published value, what state there is."""
    options = [{key: entry for key, entry in group.items() if key != "params"} for group in side.optimizer.param_groups]
    keys = [list(_state(side, p)) for p in side.params]
    return side.optimizer.clock, side.optimizer.skipped, repr(options), keys


def _state(side: Side, p: Parameter) -> dict[str, Tensor]:
    """In order, without buffers of zeros: where a schedule governs momentum, a device has them before there is any."""
    state = side.optimizer.state.get(p, {})
    return {key: entry for key, entry in sorted(state.items()) if key != "momentum_buffer" or entry.any()}


def _tensors(side: Side) -> list[Tensor]:
    """Parameters, gradients and state, where they may be written."""
    found = []
    for p in side.params:
        found += [p.detach(), *([] if p.grad is None else [p.grad]), *side.optimizer.state.get(p, {}).values()]
    return found


def _bits(side: Side) -> list[bytes]:
    tensors = [tensor for p in side.params for tensor in (p.detach(), p.grad, *_state(side, p).values())]
    plain = (t.resolve_neg().flatten().clone(memory_format=torch.contiguous_format) for t in tensors if t is not None)
    return [tensor.view(torch.uint8).numpy().tobytes() for tensor in plain]


def _align(side: Side, reference: Side) -> None:
    """Compare within the bound of one step, then continue from the same values."""
    # By a norm that float32 gradients have a part in.
    clipped = reference.optimizer.neighbours.max_grad_norm is not None
    for tensor, value in zip(_tensors(side), _tensors(reference), strict=True):
        assert tensor.dtype == value.dtype
        wide = value.float() if value.dtype in HALVES or clipped else value
        assert_close([tensor.float() if clipped and tensor.dtype not in HALVES else tensor], [wide], RATE, spread=2.0)
        if not torch.equal(tensor, value):
            tensor.copy_(value)


Round = tuple[list[Edit], int]


def _live(kind: str, birth: int, rounds: list[Round], other: Side) -> None:
    """``other``: whose bits have to be those of the native step with the compiled walk."""
    make = _born(kind, Random(birth))
    native, python = Side(make("native"), compiled=True), Side(make("python"))
    other.optimizer = make(other.optimizer)
    for edits, seed in rounds:
        for act in (_fill, *edits, _step):
            for side in (native, other, python):
                random = Random(f"{seed} {act.__name__}")
                with patch.object(NativeStep, "walks", side.compiled):
                    act(side, random.choice(side.params), random)
            assert _told(native) == _told(other) == _told(python)
        assert _bits(native) == _bits(other)
        _align(python, native)


ROUNDS = st.lists(
    st.tuples(st.lists(st.sampled_from(EDITS), max_size=3), st.integers(0, 2**31)), min_size=8, max_size=12
)
KINDS = st.sampled_from(sorted(SCHEDULES))
LIFE = {"kind": KINDS, "birth": st.integers(0, 2**31), "rounds": ROUNDS}


def lives(count: int) -> settings:
    return settings(max_examples=LIVES or count, derandomize=not LIVES)


@given(**LIFE)
@lives(60)
def test_the_walk_does_not_show(kind: str, birth: int, rounds: list[Round]) -> None:
    _live(kind, birth, rounds, Side("native"))


@given(**LIFE)
@lives(15)
def test_the_device_bodies_do_not_show(kind: str, birth: int, rounds: list[Round]) -> None:
    _live(kind, birth, rounds, Side("emulated"))


@given(**LIFE)
@lives(15)
def test_the_device_with_the_walk_does_not_show(kind: str, birth: int, rounds: list[Round]) -> None:
    _live(kind, birth, rounds, Side("emulated", compiled=True))
