"""bfloat16 and float16: exact when loaded, rounded once when stored, float32 in between."""

import numpy as np
import pytest

from tests.native.native_rows import (
    _C,
    ADAM,
    BFLOAT16,
    FLOAT16,
    ISAS,
    SGD,
    Steps,
    random_arrays,
    rounded,
    widened,
)
from tests.native.rules import RULES

LOW = [BFLOAT16, FLOAT16]
NAMES = ["bf16", "fp16"]
# Tails, whole blocks, and more than one stretch of what the kernel converts at a time.
SIZES = (1, 0, 7, 16, 31, 33, 255, 256, 257, 1003)
SOME = ["sgd", "nesterov-decay", "adamw-decay", "amsgradw-max", "no-memory"]


def every(dtype):
    return np.arange(1 << 16, dtype=np.uint16).view(dtype)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", LOW, ids=NAMES)
def test_every_number_is_loaded_exactly(dtype, isa):
    _C.set_isa(isa)
    g = every(dtype)
    run = Steps(SGD, [np.zeros(g.size, dtype)], momentum=0.5)
    run.step([g])  # the first gradient becomes the buffer
    expected = widened(g)
    nan = np.isnan(expected)
    assert nan.any()
    assert np.isnan(run.m[0][nan]).all()
    assert (run.m[0][~nan].view(np.uint32) == expected[~nan].view(np.uint32)).all()


def awkward(dtype):
    """All numbers of the type, all halves between them, what is next to those, and a million others."""
    numbers = np.unique(widened(every(dtype))[np.isfinite(widened(every(dtype)))]).astype(np.float64)
    largest = numbers[-1]
    halves = np.append((numbers[1:] + numbers[:-1]) / 2, [largest + (largest - numbers[-2]) / 2] * 2)
    halves[-1] *= -1
    values = np.concatenate([numbers, halves]).astype(np.float32)
    beside = [np.nextafter(values, np.float32(end), dtype=np.float32) for end in (np.inf, -np.inf)]
    others = np.random.default_rng(1).integers(0, 1 << 32, 1 << 20, dtype=np.uint32).view(np.float32)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 3.4e38, -3.4e38, 1e-45, 65504, 65519.996, 65520])
    return np.concatenate([values, *beside, others, special.astype(np.float32)])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", LOW, ids=NAMES)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_stores_round_to_nearest_even(dtype, isa):
    _C.set_isa(isa)
    values = awkward(dtype)
    run = Steps(SGD, [np.zeros(values.size, dtype)], masters=[values], lr=0.0)
    run.step([np.zeros(values.size, dtype)])  # moves nothing, and writes the parameter from the master
    nan = np.isnan(values)
    stored, expected = run.p[0].view(np.uint16), rounded(values, dtype).view(np.uint16)
    assert (stored[~nan] == expected[~nan]).all()
    assert nan.any()
    assert set(stored[nan]) <= ({0x7FC0} if dtype == BFLOAT16 else {0x7E00, 0xFE00})


def follow(rule, dtype, grad_dtype, masters, isa=None, threads=1, sizes=SIZES):
    """A few steps in low precision, and beside them what they should be: float32 rows, rounded after each step."""
    kind, options = RULES[rule]
    if isa is not None:
        _C.set_isa(isa)
    start = random_arrays(1, sizes, dtype)
    originals = random_arrays(2, sizes) if masters else None
    run = Steps(kind, start, masters=originals, threads=threads, **options)
    wide = Steps(kind, originals or [widened(p) for p in start], **options)
    for t in range(3):
        gradients = random_arrays(10 + t, sizes, grad_dtype, 0.1)
        run.step(gradients)
        wide.step([widened(g) for g in gradients])
        if not masters:
            for p in wide.p:
                p[:] = widened(rounded(p, dtype))
    return run, wide


@pytest.mark.parametrize("masters", [False, True], ids=["", "master"])
@pytest.mark.parametrize("wide_gradients", [False, True], ids=["", "float32-gradients"])
@pytest.mark.parametrize("rule", SOME)
@pytest.mark.parametrize("dtype", LOW, ids=NAMES)
def test_is_float32_rounded_once(dtype, rule, wide_gradients, masters):
    for isa in ISAS:
        run, wide = follow(rule, dtype, np.float32 if wide_gradients else dtype, masters, isa)
        for i, (p, wide_p) in enumerate(zip(run.p, wide.p, strict=True)):
            assert p.tobytes() == rounded(wide_p, dtype).tobytes()
            assert not masters or run.master[i].tobytes() == wide_p.tobytes()
            for name in ("m", "v", "vmax"):
                assert getattr(run, name)[i].tobytes() == getattr(wide, name)[i].tobytes()


@pytest.mark.parametrize("dtype", LOW, ids=NAMES)
def test_threads_agree(dtype):
    results = {
        follow("adamw-decay", dtype, dtype, True, threads=threads, sizes=(5, 90001, 0, 33, 30000))[0].bytes()
        for threads in (1, 2, 3, 8)
    }
    assert len(results) == 1


def test_a_parameter_with_a_master_is_never_read():
    start = [np.full(300, 0x7FC1, BFLOAT16)]
    run = Steps(ADAM, start, masters=[np.ones(300, np.float32)])
    run.step(random_arrays(3, (300,), BFLOAT16))
    assert np.isfinite(run.master[0]).all()
    assert run.p[0].tobytes() == rounded(run.master[0], BFLOAT16).tobytes()


def test_every_combination_in_one_call():
    kinds = [np.float32, np.float64, BFLOAT16, FLOAT16, BFLOAT16, FLOAT16]
    grads = [np.float32, np.float64, BFLOAT16, FLOAT16, np.float32, np.float32]
    start = [random_arrays(i, (1003,), dtype)[0] for i, dtype in enumerate(kinds)]
    gradients = [random_arrays(20 + i, (1003,), dtype)[0] for i, dtype in enumerate(grads)]
    together = Steps(ADAM, start)
    together.step(gradients)
    for i, (p, g) in enumerate(zip(start, gradients, strict=True)):
        alone = Steps(ADAM, [p])
        alone.step([g])
        assert together.p[i].tobytes() == alone.p[0].tobytes() != p.tobytes()


def test_misaligned():
    (start,), (g,) = random_arrays(7, (1008,), BFLOAT16), random_arrays(8, (1008,), BFLOAT16)
    whole, unaligned = Steps(ADAM, [start]), Steps(ADAM, [start])
    unaligned.rows["p"] += 2
    for name in ("m", "v", "vmax"):
        unaligned.rows[name] += 4
    unaligned.rows["n"] = 1003
    whole.step([g])
    unaligned.step([g[1:]])
    assert unaligned.p[0][1:1004].tobytes() == whole.p[0][1:1004].tobytes()
    assert unaligned.p[0][[0, *range(1004, 1008)]].tobytes() == start[[0, *range(1004, 1008)]].tobytes()
