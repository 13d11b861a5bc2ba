"""Faults that other implementations have had, one test each."""

from __future__ import annotations

import copy
import weakref

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402

# These are tested among their like.
from tests.gpu.test_errors import test_no_kernel_image_message  # noqa: E402, F401
from tests.gpu.test_graphs import test_graph_equals_eager as test_graph_equals_eager_1000  # noqa: E402, F401
from tests.gpu.test_graphs import test_wd_live_in_graph  # noqa: E402, F401
from tests.optim.peers import (  # noqa: E402
    HALVES,
    KINDS,
    STEPS,
    VARIANTS,
    WITHOUT_NATIVE,
    assert_close,
    fill_gradients,
    parameters,
    twins,
)
from tests.optim.test_amp import test_found_inf_0_1_2, test_overflow_first_step  # noqa: E402, F401

if not WITHOUT_NATIVE:
    from tests.native.test_emulation import test_numel_over_2_31  # noqa: F401


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_tensor_lr_everywhere(variant: str, backend: str) -> None:
    kind = VARIANTS[variant]
    rate = torch.tensor(kind.options["lr"], dtype=torch.float64)
    ours = parameters([(5,), (6,)])
    theirs = twins(ours)
    a = kind.ours([{"params": ours[:1]}, {"params": ours[1:]}], backend=backend, lr=rate)
    b = kind.theirs([{"params": theirs[:1]}, {"params": theirs[1:]}])
    first, second = (group["lr"] for group in a.param_groups)
    assert first is not second and first is not rate, "each group has its own"
    for step in range(6):
        fill_gradients(ours, theirs, seed=step)
        for side in (a, b):
            value = kind.options["lr"] / (step + 1)
            for group in side.param_groups:
                if isinstance(group["lr"], torch.Tensor):
                    group["lr"].fill_(value)  # written in place, the object stays
                else:
                    group["lr"] = value
        a.step()
        b.step()
    assert_close(ours, theirs, kind.options["lr"], spread=4.0 / (1 - kind.momentum))


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_grad_strides(kind: str, backend: str) -> None:
    """A gradient with other strides than its parameter updates the elements of the same index."""
    one, other = parameters([(2, 3)]), parameters([(2, 3)])
    a, b = KINDS[kind].ours(one, backend=backend), KINDS[kind].ours(other, backend=backend)
    grad = torch.arange(6.0).reshape(2, 3) + 1
    for _ in range(3):
        one[0].grad, other[0].grad = grad.clone(), grad.t().contiguous().t()
        assert one[0].grad.stride() != other[0].grad.stride()
        a.step()
        b.step()
    assert torch.equal(one[0], other[0])


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_bf16_simd_blocks(kind: str, backend: str, dtype: torch.dtype) -> None:
    """Every element moves, inside whole vectors and in tails."""
    params = [Parameter(torch.ones(n, dtype=dtype)) for n in (1, 7, 8, 15, 16, 17, 64, 1003, 2**20 + 3)]
    optimizer = KINDS[kind].ours(params, backend=backend)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    for p in params:
        assert p.unique().numel() == 1 and p[0] < 1


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_moment_dtype_on_load(kind: str, backend: str) -> None:
    """A load does not cast the state to the dtype of the parameter."""
    params = parameters([(5,), (33,)], torch.bfloat16)
    optimizer = KINDS[kind].ours(params, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    before = {p: {key: value.clone() for key, value in optimizer.state.get(p, {}).items()} for p in params}
    other = KINDS[kind].ours(params, backend=backend)
    for side in (optimizer, other):
        side.load_state_dict(optimizer.state_dict())
        for p in params:
            for key, value in side.state.get(p, {}).items():
                assert value.dtype == torch.float32 and torch.equal(value, before[p][key])


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_empty_tensor_first_middle_last(position: int, kind: str, backend: str) -> None:
    shapes = [(3,), (4,)]
    shapes.insert(position, (0,))
    ours = parameters(shapes)
    start = [p.detach().clone() for p in ours]
    optimizer = KINDS[kind].ours(ours, backend=backend)
    for p in ours:
        p.grad = torch.ones_like(p)
    optimizer.step()
    for p, before in zip(ours, start, strict=True):
        assert (p < before).all()
        assert "step" not in optimizer.state.get(p, {}) or optimizer.state[p]["step"] == 1


@pytest.mark.parametrize("backend", STEPS)
def test_empty_groups_advance(backend: str) -> None:
    groups = [{"params": []}, {"params": parameters([(3,)])}, {"params": []}]
    optimizer = lrdsl.AdamW(groups, lr=1.0, schedule="linear(4)", backend=backend)
    for expected in (1.0, 0.75, 0.5):
        assert [group["lr"] for group in optimizer.param_groups] == [expected] * 3
        optimizer.step()


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("kind", ["adam", "adamw", "amsgrad"])
def test_per_param_step(kind: str, backend: str) -> None:
    """Steps are counted per parameter, not per group and not for the last tensor only."""
    ours = parameters([(3,), (4,), (5,)])
    theirs = twins(ours)
    a, b = KINDS[kind].ours(ours, backend=backend), KINDS[kind].theirs(theirs)
    for step in range(6):
        fill_gradients(ours, theirs, seed=step)
        for side in (ours, theirs):
            for index, p in enumerate(side):
                if step < 2 * index:
                    p.grad = None
        a.step()
        b.step()
    assert [int(a.state[p]["step"]) for p in ours] == [6, 4, 2]
    assert_close(ours, theirs, KINDS[kind].options["lr"])


@pytest.mark.parametrize("backend", STEPS)
def test_no_grad_kept_alive(backend: str) -> None:
    params = parameters([(3,), (4, 5)])
    optimizer = lrdsl.AdamW(params, backend=backend)
    params[1].grad = torch.randn(5, 4).t()
    params[0].grad = torch.randn(3)
    watched = [weakref.ref(p.grad) for p in params]
    optimizer.step()
    optimizer.zero_grad()
    assert [w() for w in watched] == [None, None]


@pytest.mark.parametrize("backend", STEPS)
def test_a_schedule_may_take_nesterovs_momentum_through_zero(backend: str) -> None:
    params = parameters([(3,)])
    text = "momentum = linear(2, from=0.9) >> linear(3, to=0.9)"
    optimizer = lrdsl.SGD(params, momentum=0.9, nesterov=True, schedule=text, backend=backend)
    for step in range(6):
        fill_gradients(params, seed=step)
        optimizer.step()
    assert optimizer.clock == 6


@pytest.mark.parametrize("capturable", [False, True])
@pytest.mark.parametrize("kind", ["adam", "adamw", "amsgrad"])
@pytest.mark.parametrize("backend", STEPS)
def test_step_device_after_resume(backend: str, kind: str, capturable: bool) -> None:
    """Counts stay where the step reads them, whatever the checkpoint says of where they were."""
    params = parameters([(3,), (4,)])
    optimizer = KINDS[kind].ours(params, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    for group in saved["param_groups"]:
        group["capturable"] = capturable
    for side in (optimizer, KINDS[kind].ours(params, backend=backend)):
        side.load_state_dict(saved)
        side.step()
        counts = [side.state[p]["step"] for p in params]
        assert [(c.item(), c.device.type, c.dtype) for c in counts] == [(2.0, "cpu", torch.float32)] * 2


@pytest.mark.parametrize("backend", STEPS)
def test_no_recompile_1000_steps(backend: str) -> None:
    """A training step around it is compiled once, whatever the schedule does to the rate."""
    from torch._dynamo.utils import counters

    model = torch.nn.Linear(3, 2)
    optimizer = lrdsl.AdamW(model.parameters(), lr=torch.tensor(0.1), schedule="cosine(1000)", backend=backend)

    step_apart = torch.compiler.disable(optimizer.step)

    def train(inputs: torch.Tensor) -> None:
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        step_apart()

    torch._dynamo.reset()
    compiled = torch.compile(train, backend="eager")
    inputs, seen = torch.randn(4, 3), 0
    for step in range(1000):
        compiled(inputs)
        if step == 1:
            seen = counters["stats"]["unique_graphs"]
            assert seen > 0
    assert counters["stats"]["unique_graphs"] == seen and not counters["recompiles"]
    assert optimizer.clock == 1000
    torch._dynamo.reset()
