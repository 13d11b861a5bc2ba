"""The norm to the last bit, unscaling, clipping, skipping and zeroing, in their order."""

import math

import numpy as np
import pytest

from tests.native.native_rows import (
    _C,
    ADAM,
    BFLOAT16,
    CLIP,
    FLOAT16,
    ISAS,
    LIMIT,
    MEASURE,
    SGD,
    SKIP_NONFINITE,
    ZERO,
    Steps,
    opmath,
    random_arrays,
    widened,
)

DTYPES = [np.float32, np.float64, BFLOAT16, FLOAT16]
NAMES = ["fp32", "fp64", "bf16", "fp16"]
SIZES = (0, 1, 255, 256, 257, 4095, 4096, 4097, 8192, 70001, 3, 0)


def halved(lanes):
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


def in_lanes(values):
    """The sum of `values` over 256 lanes."""
    padded = np.zeros(-(-max(len(values), 1) // 256) * 256, values.dtype)
    padded[: len(values)] = values
    lanes = np.zeros(256, values.dtype)
    for row in padded.reshape(-1, 256):
        lanes = lanes + row
    return halved(lanes)


def defined_norm(gradients, scale=None):
    partials = []
    for g in map(widened, gradients):
        partials += [float(in_lanes(g[at : at + 4096] ** 2)) for at in range(0, g.size, 4096)]
    norm = math.sqrt(in_lanes(np.array(partials, np.float64)))
    return norm if scale is None else norm / float(scale)


def run_of(gradients, **options):
    run = Steps(options.pop("kind", ADAM), [np.zeros(g.size, g.dtype) for g in gradients], **options)
    run.rows["g"] = [g.ctypes.data for g in gradients]
    return run


def scalar(run, field, value):
    """Point a field of the control record to a float32."""
    array = np.array([value], np.float32)
    run.control[field] = array.ctypes.data
    return array


def control(run, flags, max_norm=0.0):
    run.control["flags"], run.control["max_norm"] = flags, max_norm


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
def test_norm_is_the_defined_one(dtype):
    gradients = random_arrays(1, SIZES, dtype)
    expected = defined_norm(gradients)
    exact = math.sqrt(math.fsum(float(x) ** 2 for g in gradients for x in widened(g)))
    # Each lane adds at most 16 squares, the tree 8 levels: 25 roundings in opmath, of a sum; half of it for the root.
    assert abs(expected - exact) <= 13 * np.finfo(opmath(gradients[0])).eps * exact
    for isa in ISAS:
        _C.set_isa(isa)
        for threads in (1, 2, 3, 8):
            assert run_of(gradients, threads=threads).norm() == expected


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
@pytest.mark.parametrize("size", SIZES)
def test_norm_of_one_row(size, dtype):
    gradients = random_arrays(size, (size,), dtype)
    assert run_of(gradients).norm() == defined_norm(gradients)


def test_norm_of_many_rows():
    gradients = random_arrays(2, [3] * 700) + random_arrays(3, (5000,), np.float64)  # lanes of chunks wrap around
    assert run_of(gradients).norm() == defined_norm(gradients)


def test_norm_is_unscaled_by_the_scale():
    gradients = random_arrays(4, (5000,))
    run = run_of(gradients)
    held = scalar(run, "grad_scale", 1024.5)
    assert run.norm() == defined_norm(gradients, held[0])


def test_norm_without_gradients():
    run = Steps(ADAM, random_arrays(5, (100,)))
    run.control["norm"] = 7.0
    assert run.norm() == 0.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_norm_of_what_is_not_finite(value):
    gradients = random_arrays(6, (5000, 100))
    gradients[1][50] = value
    norm = run_of(gradients).norm()
    assert math.isnan(norm) if math.isnan(value) else norm == math.inf


def prepared(g, scale, clip):
    """Unscale, then clip, in opmath; a step that is not wanted is not taken."""
    g = widened(g)
    if scale is not None:
        g = g / g.dtype.type(scale)
    return g if clip is None else g * g.dtype.type(clip)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("zero", [0, ZERO])
@pytest.mark.parametrize("share", [None, 0.25, 2.0])
@pytest.mark.parametrize("scale", [None, 3.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
def test_gradients_are_unscaled_then_clipped(dtype, scale, share, zero, maximize):
    sizes = (0, 7, 256, 1003, 40000)
    gradients = random_arrays(7, sizes, dtype)
    norm = defined_norm(gradients, scale)
    max_norm = None if share is None else share * norm
    clip = None if share is None or share > 1 else max_norm / (norm + 1e-6)
    start = random_arrays(8, sizes, dtype)
    expected = Steps(ADAM, start, maximize=maximize)
    wide = [prepared(g, scale, clip) for g in gradients]
    expected.step(wide)
    for isa in ISAS:
        _C.set_isa(isa)
        run = Steps(ADAM, start, maximize=maximize, threads=2)
        control(run, zero | (MEASURE if share is None else MEASURE | CLIP), max_norm or 0.0)
        held = None if scale is None else scalar(run, "grad_scale", scale)
        given = [g.copy() for g in gradients]
        assert run.step(given) is True
        assert held is None or held[0] == scale
        assert run.bytes() == expected.bytes()
        assert run.control["norm"][0] == norm
        for g, before in zip(given, gradients, strict=True):
            assert g.tobytes() == (bytes(g.nbytes) if zero else before.tobytes())


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_clip_of_a_norm_measured_before(threads):
    start, gradients = random_arrays(9, (50000,)), random_arrays(10, (50000,))
    run, expected = (Steps(SGD, start, threads=threads) for _ in range(2))
    control(run, CLIP, 1.0)
    run.control["norm"] = 4.0  # from elsewhere: not of these gradients
    run.step(gradients)
    expected.step([gradients[0] * np.float32(1.0 / (4.0 + 1e-6))])
    assert run.bytes() == expected.bytes()
    assert run.control["norm"][0] == 4.0


@pytest.mark.parametrize(("value", "clipped"), [(np.nan, np.nan), (np.inf, 0.0)])
def test_clip_of_a_norm_that_is_not_finite(value, clipped):
    # As torch: a NaN reaches every parameter, an infinity stops all that is finite.
    gradients = [np.ones(20, np.float32)]
    gradients[0][3] = value
    run = Steps(SGD, [np.zeros(20, np.float32)], lr=1.0)
    control(run, MEASURE | CLIP, 1.0)
    assert run.step(gradients)
    assert np.isnan(run.p[0][3])
    np.testing.assert_array_equal(np.abs(np.delete(run.p[0], 3)), np.full(19, clipped, np.float32))


@pytest.mark.parametrize("zero", [0, ZERO])
@pytest.mark.parametrize("found", [None, 0.0, 1.0, 2.0, np.nan])
@pytest.mark.parametrize("poison", [None, np.nan, np.inf])
@pytest.mark.parametrize("guard", [0, SKIP_NONFINITE])
def test_skip(guard, poison, found, zero):
    start = random_arrays(11, (300, 40000)) + random_arrays(12, (300,), BFLOAT16)
    gradients = random_arrays(13, (300, 40000)) + random_arrays(14, (300,), BFLOAT16)
    if poison is not None:
        gradients[1][17] = poison
    run = Steps(ADAM, start, threads=2)
    control(run, MEASURE | guard | zero)
    held = None if found is None else scalar(run, "found_inf", found)
    before, rows = run.bytes(), run.rows.copy()
    given = [g.copy() for g in gradients]
    skipped = (found is not None and found != 0.0) or bool(guard and poison is not None)
    assert run.step(given) is not skipped
    assert held is None or run.control["found_inf"][0] == held.ctypes.data
    assert run.control["skipped"][0] == skipped
    assert (run.bytes() == before) is skipped
    assert (run.rows["step"] - rows["step"]).tolist() == run.published.tolist() == [0.0 if skipped else 1.0] * 3
    assert math.isfinite(run.control["norm"][0]) is (poison is None)
    for g, original in zip(given, gradients, strict=True):
        assert g.tobytes() == (bytes(g.nbytes) if zero else original.tobytes())


def test_rows_without_gradient_are_not_zeroed():
    run = Steps(SGD, random_arrays(15, (300, 300)))
    control(run, ZERO)
    run.step([np.ones(300, np.float32), None])
    assert run.rows["step"].tolist() == [1, 0]


def test_limit_pattern_adds_the_gradient():
    start, gradients = random_arrays(16, (1003,)), random_arrays(17, (1003,))
    run = Steps(LIMIT, start)
    run.step(gradients)
    assert run.p[0].tobytes() == (start[0] + gradients[0]).tobytes()
    assert run.m[0].tobytes() == run.v[0].tobytes() == gradients[0].tobytes()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dtype", 4, "tensor row 1: no dtype 4"),
        ("dtype", -1, "tensor row 1: no dtype -1"),
        ("flags", 4, "tensor row 1: a float32 gradient beside full precision"),
        ("n", -1, "tensor row 1: a negative number of elements"),
        ("master", 64, "tensor row 1: a master beside full precision"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_impossible_rows_change_nothing(dtype, field, value, message):
    gradients = random_arrays(18, (9, 9), dtype)
    run = run_of(gradients)
    run.rows[field][1] = value
    run.control["flags"] = MEASURE | ZERO
    before, tables = run.bytes(), (run.rows.tobytes(), run.control.tobytes())
    arguments = (run.rows.ctypes.data, 2, run.hypers.ctypes.data, 1, run.control.ctypes.data, 1)
    with pytest.raises(ValueError, match=message):
        _C.step(ADAM, *arguments)
    if field != "master":  # of no consequence to a norm
        with pytest.raises(ValueError, match=message):
            run.norm()
    assert run.bytes() == before
    assert (run.rows.tobytes(), run.control.tobytes()) == tables
    assert all(g.all() for g in gradients)


@pytest.mark.parametrize("max_norm", [np.nan, -1.0])
def test_impossible_clip_changes_nothing(max_norm):
    run = Steps(ADAM, random_arrays(19, (9,)))
    control(run, MEASURE | CLIP, max_norm)
    before = run.bytes()
    with pytest.raises(ValueError, match="control: expected max_norm >= 0, got"):
        run.step(random_arrays(20, (9,)))
    assert run.bytes() == before
    assert run.control["norm"][0] == 0.0


@pytest.mark.parametrize("count", [1, 3, 100])
def test_groups_share_powers_without_mixing_them(count):
    # Rows in turn of two kinds of group and of differing steps: each as if it were alone.
    start, gradients = random_arrays(21, [50] * count), random_arrays(22, [50] * count)
    run = Steps(ADAM, start)
    betas = [(0.9, 0.999), (0.8, 0.999), (0.9, 0.99)]
    run.hypers = np.repeat(run.hypers, count)
    run.rows["group"] = np.arange(count)
    run.rows["step"] = np.arange(count) // 2 % 3
    for i in range(count):
        run.hypers["beta1"][i], run.hypers["beta2"][i] = betas[i // 4 % 3]
    run.step(gradients)
    for i in range(count):
        alone = Steps(ADAM, [start[i]], betas=betas[i // 4 % 3])
        alone.rows["step"] = i // 2 % 3
        alone.step([gradients[i]])
        assert run.p[i].tobytes() == alone.p[0].tobytes()
