"""The compiled walk notices whatever changes between two steps, as the walk in Python does, and never crashes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.evaluators import native  # noqa: E402
from lrdsl.optim import torch_abi  # noqa: E402
from lrdsl.optim.native_step import walk_obstacle  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    KINDS,
    STEPS,
    assert_close,
    copy_gradients,
    fill_gradients,
    fingerprint,
    needs_native,
    parameters,
)

pytestmark = needs_native
WALKS = ["compiled", "in Python"]


@pytest.fixture(params=WALKS)
def walk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which walk the native step uses."""
    if request.param == "in Python":
        monkeypatch.setattr(torch_abi, "obstacle", lambda *arguments: "a test forbids it")
    return str(request.param)


def assert_walks(optimizer: Any, walk: str) -> None:
    assert (optimizer._stepper.backend._walk is not None) == (walk == "compiled")


def test_is_in_use() -> None:
    assert torch_abi.obstacle(native.extension()) == ""
    params = parameters([(5,), (4, 3)])
    optimizer = lrdsl.AdamW(params)
    for step in range(3):
        fill_gradients(params, seed=step)
        optimizer.step()
    assert_walks(optimizer, "compiled")
    assert optimizer._stepper.backend.run_at_once() is True


# --- what changes and goes on ---------------------------------------------------------------------------------------


def _other_memory(optimizer: Any, p: Parameter) -> None:
    p.data = p.data.clone()


def _other_layout(optimizer: Any, p: Parameter) -> None:
    p.data = p.data.t().contiguous().t()


def _state_other_layout(optimizer: Any, p: Parameter) -> None:
    for key, tensor in optimizer.state[p].items():
        if key != "step":
            tensor.set_(tensor.t().contiguous().t())


def _state_shared(optimizer: Any, p: Parameter) -> None:
    for tensor in optimizer.state[p].values():
        tensor.share_memory_()


def _state_replaced(optimizer: Any, p: Parameter) -> None:
    for key in optimizer.state[p]:
        optimizer.state[p][key] = optimizer.state[p][key].clone()


def _state_dict_replaced(optimizer: Any, p: Parameter) -> None:
    optimizer.state[p] = {key: tensor.clone() for key, tensor in optimizer.state[p].items()}


def _state_reordered(optimizer: Any, p: Parameter) -> None:
    optimizer.state[p] = dict(reversed(optimizer.state[p].items()))


def _state_added(optimizer: Any, p: Parameter) -> None:
    optimizer.state[p]["note"] = torch.zeros(2)


def _swapped_parameter(optimizer: Any, p: Parameter) -> None:
    grad, p.grad = p.grad, None
    torch.utils.swap_tensors(p, Parameter(p.detach().clone()))
    p.grad = grad


def _swapped_state(optimizer: Any, p: Parameter) -> None:
    for tensor in optimizer.state[p].values():
        torch.utils.swap_tensors(tensor, tensor.clone())


def _gradient_other_layout(optimizer: Any, p: Parameter) -> None:
    p.grad = p.grad.t().contiguous().t()


def _gradient_strided(optimizer: Any, p: Parameter) -> None:
    p.grad = torch.stack([p.grad, p.grad], -1)[..., 0]


def _gradient_negative(optimizer: Any, p: Parameter) -> None:
    p.grad = torch._neg_view(-p.grad)


def _gradient_data(optimizer: Any, p: Parameter) -> None:
    p.grad.data = p.grad.data.clone()


def _groups_replaced(optimizer: Any, p: Parameter) -> None:
    optimizer.param_groups = list(optimizer.param_groups)


def _group_replaced(optimizer: Any, p: Parameter) -> None:
    optimizer.param_groups[0] = dict(optimizer.param_groups[0])


def _members_replaced(optimizer: Any, p: Parameter) -> None:
    optimizer.param_groups[0]["params"] = list(optimizer.param_groups[0]["params"])


def _members_reordered(optimizer: Any, p: Parameter) -> None:
    optimizer.param_groups[0]["params"].reverse()


HARMLESS = [
    _other_memory,
    _other_layout,
    _state_other_layout,
    _state_shared,
    _state_replaced,
    _state_dict_replaced,
    _state_reordered,
    _state_added,
    _swapped_parameter,
    _swapped_state,
    _gradient_other_layout,
    _gradient_strided,
    _gradient_negative,
    _gradient_data,
    _groups_replaced,
    _group_replaced,
    _members_replaced,
    _members_reordered,
]


@pytest.mark.parametrize("count", [0, 200], ids=["few", "many"])
@pytest.mark.parametrize("change", HARMLESS)
def test_goes_on_as_torch(change: Callable[[Any, Parameter], None], count: int, walk: str) -> None:
    """Values stay, where and how they lie does not: the update must be that of torch, in the memory of now."""
    shapes = [(5,), (4, 6), (7,), *[(3,)] * count]
    ours, theirs = parameters(shapes), parameters(shapes)
    a = lrdsl.AdamW(ours, lr=0.01, backend="native")
    b = torch.optim.AdamW(theirs, lr=0.01, foreach=False)
    for step in range(7):
        fill_gradients(ours, seed=step)
        copy_gradients(ours, theirs)
        if step in (2, 3, 5):
            change(a, ours[1])
        a.step()
        b.step()
        assert_walks(a, walk)
    assert_close(ours, theirs, 0.01)
    for p, q in zip(ours, theirs, strict=True):
        assert a.state[p]["step"] == 7
        torch.testing.assert_close(a.state[p]["exp_avg"], b.state[q]["exp_avg"])


def test_a_deleted_moment_starts_anew(walk: str) -> None:
    params = parameters([(5,), (4, 6)])
    optimizer = lrdsl.AdamW(params, backend="native")
    for step in range(2):
        fill_gradients(params, seed=step)
        optimizer.step()
    del optimizer.state[params[1]]["exp_avg"]
    optimizer.step()
    torch.testing.assert_close(optimizer.state[params[1]]["exp_avg"], 0.1 * params[1].grad)
    assert optimizer.state[params[1]]["step"] == 3
    assert_walks(optimizer, walk)


def test_members_that_come_and_go(walk: str) -> None:
    first, second, third = parameters([(3,)] * 3)
    optimizer = lrdsl.SGD([first, second], lr=1.0, backend="native")
    moved = [0, 0, 0]
    for members in ([0, 1], [0, 1, 2], [0, 2], [2], [1, 2]):
        optimizer.param_groups[0]["params"][:] = [(first, second, third)[index] for index in members]
        before = [p.detach().clone() for p in (first, second, third)]
        for p in (first, second, third):
            p.grad = torch.ones(3)
        optimizer.step()
        for index, (p, old) in enumerate(zip((first, second, third), before, strict=True)):
            assert torch.equal(p, old - 1 if index in members else old)
            moved[index] += index in members
    assert moved == [3, 3, 4]


# --- what is refused ------------------------------------------------------------------------------------------------


def _reshaped(p: Parameter) -> None:
    p.data = p.data.view(1, *p.shape)


def _transposed_square(p: Parameter) -> None:
    p.data = p.data.view(8, 3)


def _gradient_dtype(p: Parameter) -> None:
    p.grad.data = p.grad.data.double()


def _gradient_sparse(p: Parameter) -> None:
    p.grad = p.grad.to_sparse()


def _gradient_shape(p: Parameter) -> None:
    p.grad.data = torch.ones(6, 4)


def _gradient_freed(p: Parameter) -> None:
    p.grad.untyped_storage().resize_(0)


def _expanded(p: Parameter) -> None:
    p.data = torch.zeros(1).expand(4, 6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_reshaped, r"gradient of group 0, parameter 1: expected shape \(1, 4, 6\), got \(4, 6\)"),
        (_transposed_square, r"gradient of group 0, parameter 1: expected shape \(8, 3\), got \(4, 6\)"),
        (_gradient_dtype, "gradient of group 0, parameter 1: expected float32, got float64"),
        (_gradient_sparse, "gradient of group 0, parameter 1: expected a dense tensor"),
        (_gradient_shape, r"gradient of group 0, parameter 1: expected shape \(4, 6\), got \(6, 4\)"),
        (_gradient_freed, "gradient of group 0, parameter 1 has no memory"),
        (_expanded, "parameter 1 overlaps itself"),
    ],
)
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_refused_before_any_write(spoil: Callable[[Parameter], None], message: str, steps: int, walk: str) -> None:
    params = parameters([(5,), (4, 6), (7,)])
    optimizer = lrdsl.AdamW(params, backend="native")
    for step in range(steps):
        fill_gradients(params, seed=step)
        optimizer.step()
    fill_gradients(params, seed=9)
    spoil(params[1])
    before = fingerprint(optimizer)
    for _ in range(2):
        with pytest.raises((TypeError, ValueError), match=message):
            optimizer.step()
        assert fingerprint(optimizer) == before


@pytest.mark.parametrize("what", ["parameter", "exp_avg"])
def test_freed_memory(what: str, walk: str) -> None:
    params = parameters([(5,), (4, 6), (7,)])
    optimizer = lrdsl.AdamW(params, backend="native")
    for step in range(2):
        fill_gradients(params, seed=step)
        optimizer.step()
    (params[1] if what == "parameter" else optimizer.state[params[1]][what]).untyped_storage().resize_(0)
    others = [params[0].detach().clone(), params[2].detach().clone()]
    for _ in range(2):
        with pytest.raises(ValueError, match="group 0, parameter 1 or its state has no memory"):
            optimizer.step()
    assert torch.equal(params[0], others[0]) and torch.equal(params[2], others[1]) and optimizer.clock == 2


# --- autograd and threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_versions(kind: str, backend: str, zero: bool) -> None:
    """Of what was written, and of nothing else."""
    params = parameters([(5,), (4, 6), (7,)])
    optimizer = KINDS[kind].ours(params, backend=backend, zero_grads=zero)
    for step in range(4):
        fill_gradients(params, seed=step)
        params[2].grad = None
        grads = [p.grad for p in params[:2]]
        before = [p._version for p in params], [grad._version for grad in grads]
        optimizer.step()
        assert [p._version > old for p, old in zip(params, before[0], strict=True)] == [True, True, False]
        assert [grad._version > old for grad, old in zip(grads, before[1], strict=True)] == [zero] * 2


@pytest.mark.parametrize("size", [1000, 2**22 + 5], ids=["with the lock", "without the lock"])
def test_gradients_taken_away_meanwhile(size: int, walk: str) -> None:
    """Another thread puts other gradients in their place all the time: each step uses whole ones, and frees none."""
    p = Parameter(torch.zeros(size))
    optimizer = lrdsl.SGD([p], lr=1.0, backend="native")
    p.grad = torch.ones(size)
    optimizer.step()
    over = threading.Event()

    def replace() -> None:
        while not over.is_set():
            p.grad = torch.ones(size)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(30):
            optimizer.step()
    finally:
        over.set()
        thread.join()
    assert p.unique().tolist() == [-31.0]


def test_no_other_device_is_woken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """``cuda`` without an index is the current device, which need not be that of the parameters."""
    devices: list[str] = []
    monkeypatch.setattr(torch_abi, "obstacle", lambda module, device: devices.append(device) or "")
    assert walk_obstacle(native.extension(), [], torch.device("cuda", 3)) == ""  # type: ignore[arg-type]
    monkeypatch.undo()
    for _ in range(2):
        assert torch_abi.keys("meta") == torch_abi.keys("meta:0") != torch_abi.keys("cpu")
    assert devices == ["cuda:3"]
    made = torch_abi.keys.cache_info().misses
    assert torch_abi.keys("meta:0") and torch_abi.keys.cache_info().misses == made


# --- another torch --------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_trial() -> Any:
    """The result of the trial is kept; this forgets it before and after, so that the real torch is bound again."""
    torch_abi.obstacle.cache_clear()
    yield
    torch_abi.obstacle.cache_clear()
    assert torch_abi.obstacle(native.extension()) == ""


def _missing_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    address = torch_abi._address
    monkeypatch.setattr(torch_abi, "_address", lambda name: None if "bump_version" in name else address(name))


def _other_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_abi, "_offset", lambda: None)


def _other_description(monkeypatch: pytest.MonkeyPatch) -> None:
    description = torch_abi._description
    monkeypatch.setattr(torch_abi, "_description", lambda tensor, device: (*description(tensor, device)[:-1], 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_missing_symbol, "does not export"),
        (_other_place, "in an unknown place"),
        (_other_description, "lays its tensors out differently"),
    ],
)
def test_another_torch_is_walked_in_python(
    change: Callable[[pytest.MonkeyPatch], None], message: str, fresh_trial: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        change(patch)
        assert message in torch_abi.obstacle(native.extension())
        ours, theirs = parameters([(5,), (4, 6)]), parameters([(5,), (4, 6)])
        a, b = lrdsl.AdamW(ours, backend="native"), torch.optim.AdamW(theirs)
        for step in range(3):
            fill_gradients(ours, theirs, seed=step)
            a.step()
            b.step()
        assert_walks(a, "in Python")
        assert_close(ours, theirs, 1e-3)
