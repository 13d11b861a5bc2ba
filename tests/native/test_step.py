"""What the native step promises by itself: placement changes no bit, nothing is written after an error."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.native.native_rows import _C, ADAM, ISAS, ROW, SGD, STARTED, STEP_FLOAT64, Steps, random_arrays
from tests.native.rules import RULES

ODD = (1, 0, 7, 8, 15, 16, 17, 64, 1003, 0)


def train(kind, start, options, steps=4, dtype=np.float32, **more):
    run = Steps(kind, start, **options, **more)
    for t in range(steps):
        run.step(random_arrays(10 + t, [p.size for p in start], dtype, 0.1))
    return run


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES)
def test_instruction_sets_agree(rule, dtype):
    kind, options = RULES[rule]
    start = random_arrays(3, ODD, dtype)
    results = set()
    for isa in ISAS:
        _C.set_isa(isa)
        results.add(train(kind, start, options, dtype=dtype).bytes())
    assert len(results) == 1


@pytest.mark.parametrize("rule", ["adamw-decay", "momentum-decay"])
def test_threads_agree(rule):
    kind, options = RULES[rule]
    start = random_arrays(4, (5, 70001, 0, 33, 1, 30000, 17))
    results = {train(kind, start, options, steps=2, threads=threads).bytes() for threads in (1, 2, 3, 8)}
    assert len(results) == 1


def test_dtypes_share_one_call():
    kind, options = RULES["adamw-decay"]
    single, double = random_arrays(5, (1003,)), random_arrays(5, (1003,), np.float64)
    run = Steps(kind, single + double + single, **options)
    run.step(random_arrays(6, (1003,)) + random_arrays(6, (1003,), np.float64) + random_arrays(6, (1003,)))
    assert run.p[0].tobytes() == run.p[2].tobytes()
    np.testing.assert_allclose(run.p[0], run.p[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["adamw-decay", "amsgrad", "nesterov-decay"])
def test_place_in_a_tensor_does_not_matter(rule):
    kind, options = RULES[rule]
    (start,) = random_arrays(7, (1008,))
    (g,) = random_arrays(8, (1008,))
    whole, tail, unaligned = (Steps(kind, [p], **options) for p in (start, start[:1003], start))
    for name in ("p", "m", "v", "vmax"):
        unaligned.rows[name] += 4
    unaligned.rows["n"] = 1003
    whole.step([g])
    tail.step([g])
    unaligned.step([g[1:]])
    assert tail.p[0].tobytes() == whole.p[0][:1003].tobytes()
    assert unaligned.p[0][1:1004].tobytes() == whole.p[0][1:1004].tobytes()
    assert unaligned.p[0][[0, *range(1004, 1008)]].tobytes() == start[[0, *range(1004, 1008)]].tobytes()


def textbook_adamw(p, gradients, lr=1e-2, b1=0.9, b2=0.999, eps=1e-8, wd=0.1):
    m = v = np.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        p = p - lr * wd * p
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        p = p - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return p


def test_adamw_is_the_published_one():
    start = random_arrays(9, (1003,), np.float64)
    run = train(ADAM, start, {"weight_decay": 0.1, "decoupled": True}, steps=20, dtype=np.float64)
    gradients = [random_arrays(10 + t, (1003,), np.float64, 0.1)[0] for t in range(20)]
    np.testing.assert_allclose(run.p[0], textbook_adamw(start[0], gradients), rtol=0, atol=1e-13)


def test_rows_without_gradient_are_left_alone():
    start = random_arrays(11, (100, 100, 100))
    run = Steps(ADAM, start)
    gradients = random_arrays(12, (100, 100, 100))
    run.step([gradients[0], None, gradients[2]])
    run.step([gradients[0], gradients[1], None])
    assert run.rows["step"].tolist() == run.published.tolist() == [2, 1, 1]
    # The second row made its first step in the second call.
    alone = Steps(ADAM, [start[1]])
    alone.step([gradients[1]])
    assert run.p[1].tobytes() == alone.p[0].tobytes()


def test_momentum_starts_from_the_first_gradient():
    start, (g,) = random_arrays(13, (40,)), random_arrays(14, (40,))
    run = Steps(SGD, start, momentum=0.9, dampening=0.5)
    run.m[0][:] = np.nan  # memory that nobody has written yet
    run.step([g])
    assert run.m[0].tobytes() == g.tobytes()
    assert run.rows["flags"][0] == STARTED | STEP_FLOAT64
    run.step([g])
    np.testing.assert_allclose(run.m[0], 0.9 * g + 0.5 * g, rtol=1e-6)


def test_counter_does_not_saturate():
    run = Steps(ADAM, random_arrays(15, (8, 8)))
    run.rows["step"] = 2**24
    run.rows["flags"][1] = 0  # published as float32, which stops at 2**24
    single = run.published[1:].view(np.float32)
    run.step(random_arrays(16, (8, 8)))
    assert run.rows["step"].tolist() == [2**24 + 1] * 2
    assert run.published[0] == 2**24 + 1
    assert single[0] == 2**24


def test_no_rows():
    Steps(ADAM, []).step([])


@pytest.mark.parametrize(
    ("kind", "field", "value", "message"),
    [
        (ADAM, "group", 1, "tensor row 1: no group 1"),
        (ADAM, "group", -1, "tensor row 1: no group -1"),
        (ADAM, "dtype", 4, "tensor row 1: no dtype 4"),
        (ADAM, "n", -1, "tensor row 1: a negative number of elements"),
        (ADAM, "step", -1, "tensor row 1: a negative step"),
        (ADAM, "p", 0, "tensor row 1: no parameter"),
        (ADAM, "m", 0, "tensor row 1: Adam without its two moments"),
        (ADAM, "v", 0, "tensor row 1: Adam without its two moments"),
        (ADAM, "vmax", 0, "tensor row 1: amsgrad without its maximum"),
        (SGD, "m", 0, "tensor row 1: momentum without a buffer"),
        (3, "flags", 0, "kind: expected 0 .SGD., 1 .Adam. or 2 .limit pattern., got 3"),
    ],
)
def test_impossible_tables_change_nothing(kind, field, value, message):
    run = Steps(kind, random_arrays(17, (9, 9)), amsgrad=True, momentum=0.9)
    run.rows[field][1] = value
    before = run.bytes()
    with pytest.raises(ValueError, match=message):
        run.step(random_arrays(18, (9, 9)))
    assert run.bytes() == before
    assert run.rows["step"][0] == 0


def test_unknown_instruction_set():
    with pytest.raises(ValueError, match="no code for instruction set mmx"):
        _C.set_isa("mmx")


def test_python_sees_the_whole_row():
    assert ROW.itemsize == 88
    assert {"p", "g", "m", "v", "vmax", "master", "step_out", "n", "step", "group", "dtype", "flags"} == set(ROW.names)


def run_python(code):
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="not run: no fork here")
def test_forked_child_can_step():
    # The child inherits the thread pool's bookkeeping but not its threads: it must not wait for them.
    code = """
import os
from tests.native.native_rows import Steps, random_arrays
run = Steps(1, random_arrays(1, (100000,)), threads=2)
run.step(random_arrays(2, (100000,)))
child = os.fork()
run.step(random_arrays(3, (100000,)))
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    run_python(code)


@pytest.mark.parametrize("order", ["torch, lrdsl._C", "lrdsl._C, torch"])
def test_one_openmp_with_torch(order):
    pytest.importorskip("torch", reason="not run: torch is not installed")
    if not _C.openmp():
        pytest.skip("not run: compiled without OpenMP")
    code = f"""
import {order}
lines = open("/proc/self/maps").read().split()
print(len({{line for line in lines if "libgomp" in line or "libomp" in line}}))
"""
    assert run_python(code) == ["1"]
