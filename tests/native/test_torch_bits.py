"""The native step against torch's fused CPU kernels: equal bits on whole SIMD blocks."""

import numpy as np
import pytest

from tests.native.native_rows import _C, ADAM, ISAS, Steps, random_arrays
from tests.native.rules import RULES

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

# Whole blocks of 16 fp32 (AVX-512) and 8 fp64; more than 32 K elements in all, so that threads share the work.
SIZES = (0, 16, 64, 1024, 40960)
STATE = {"exp_avg": "m", "momentum_buffer": "m", "exp_avg_sq": "v", "max_exp_avg_sq": "vmax"}


def fused(kind, tensors, decoupled=False, **options):
    classes = (torch.optim.SGD, torch.optim.AdamW if decoupled else torch.optim.Adam)
    options.setdefault("weight_decay", 0.0)
    return classes[kind](tensors, lr=1e-2, fused=True, **options)


def same_bits(ours, theirs):
    return ours.tobytes() == theirs.detach().numpy().tobytes()


def bits(values):
    return np.where(np.isnan(values), 0x7FC00000, values.view(np.uint32))  # every NaN as one


@pytest.fixture(params=ISAS)
def isa(request):
    best = _C.isa()
    _C.set_isa(request.param)
    yield request.param
    _C.set_isa(best)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES)
def test_equal_bits(rule, dtype, isa):
    kind, options = RULES[rule]
    start = random_arrays(1, SIZES, dtype)
    ours = Steps(kind, start, threads=2, **options)
    tensors = [torch.nn.Parameter(torch.tensor(p)) for p in start]
    theirs = fused(kind, tensors, **options)
    for t in range(6):
        gradients = random_arrays(100 + t, SIZES, dtype, 0.1)
        if t in (2, 3):
            gradients[3] = None  # so that steps differ from tensor to tensor
        for tensor, g in zip(tensors, gradients, strict=True):
            tensor.grad = None if g is None else torch.tensor(g)
        theirs.step()
        ours.step(gradients)
    for i, tensor in enumerate(tensors):
        assert same_bits(ours.p[i], tensor), f"parameter of {SIZES[i]} elements"
        for name, value in theirs.state[tensor].items():
            if name in STATE and value is not None:
                assert same_bits(getattr(ours, STATE[name])[i], value), f"{name} of {SIZES[i]} elements"
    if kind == ADAM:
        assert ours.published.tolist() == [float(theirs.state[tensor]["step"]) for tensor in tensors]


@pytest.mark.parametrize("rule", ["adamw-decay", "amsgradw-decay", "nesterov-decay"])
def test_tails_are_close(rule):
    # torch computes the last, partial block by other code; within reliability.md's bound of ours.
    kind, options = RULES[rule]
    (start,) = random_arrays(2, [1003])
    ours, tensor = Steps(kind, [start], **options), torch.nn.Parameter(torch.tensor(start))
    theirs = fused(kind, [tensor], **options)
    spread = 1.0
    for t in range(12):
        (g,) = random_arrays(200 + t, [1003], scale=0.1)
        spread = max(spread, float(np.abs(g).max()) / (1 - options.get("momentum", 0.0)))
        tensor.grad = torch.tensor(g)
        theirs.step()
        ours.step([g])
    theirs_p = tensor.detach().numpy()
    bound = 1e-4 * 1e-2 * spread + 4 * np.spacing(np.abs(theirs_p))
    assert (np.abs(ours.p[0] - theirs_p) <= bound).all()
    assert ours.p[0][:992].tobytes() == theirs_p[:992].tobytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -0.0, 1e-45, 3e38])
@pytest.mark.parametrize("rule", ["adamw-decay", "amsgrad", "nesterov-decay", "adam-max"])
def test_special_gradients(rule, value):
    kind, options = RULES[rule]
    start = [np.linspace(-1, 1, 64, dtype=np.float32)]
    ours, tensor = Steps(kind, start, **options), torch.nn.Parameter(torch.tensor(start[0]))
    theirs = fused(kind, [tensor], **options)
    for t in range(3):
        (g,) = random_arrays(300 + t, [64], scale=0.1)
        g[7] = value
        tensor.grad = torch.tensor(g)
        theirs.step()
        ours.step([g])
    np.testing.assert_array_equal(bits(ours.p[0]), bits(tensor.detach().numpy()))
