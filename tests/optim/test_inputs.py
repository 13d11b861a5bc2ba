"""Every input of the table with every kind of optimizer on every backend."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch import distributed  # noqa: E402
from torch.nn import Parameter  # noqa: E402

from lrdsl.optim.tensors import check_gradient  # noqa: E402
from tests.gpu import test_graphs as graphs  # noqa: E402
from tests.gpu import test_streams as streams  # noqa: E402
from tests.optim.inputs import CORRECT, REFUSED  # noqa: E402
from tests.optim.matrix import correct, refused  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    BACKENDS,
    KINDS,
    STEPS,
    assert_close,
    fill_gradients,
    fingerprint,
    parameters,
)

WORKS = {
    "0-d": ["0-dimensional"],
    "size 0 in any position": ["empty first", "empty middle", "empty last", "empty all"],
    "channels_last": ["channels last", "gradients channels last"],
    "transposed": [
        "transposed",
        "gradients transposed",
        "parameters transposed, gradients not",
        "both transposed",
        "low precision, gradients transposed",
        "low precision, float32 gradients transposed",
    ],
    "sliced": ["sliced", "interleaved", "gradients sliced", "both sliced", "low precision sliced"],
    "size-1 dims": ["size-1 dimensions", "gradients with odd size-1 dimensions"],
    "misaligned storage": ["misaligned"],
    "fp16, bf16, fp32, fp64 mixed in a group": [
        "all dtypes",
        "all dtypes in groups",
        "bfloat16",
        "float16",
        "float32 beside float64",
        "float32 beside float64 in groups",
    ],
    "grad None (all, some)": [
        "all gradients missing",
        "some gradients missing",
        "gradients late",
        "gradients alternate between twins",
    ],
    "requires_grad False": ["requires_grad False"],
    "fp32 grads of bf16 parameters": ["float32 gradients of low precision"],
    "1 and 10 000 tensors": ["1 tensor", "10,000 tensors"],
    "1 and 1000 groups": ["1 group", "1000 groups"],
    "tied parameter once": ["tied parameter once"],
    "nan/inf gradient with found_inf (skipped)": ["found_inf: nan in a gradient", "found_inf: inf in a gradient"],
    "with skip_nonfinite (skipped)": ["skip_nonfinite: nan in a gradient", "skip_nonfinite: inf in a gradient"],
    "without (applied as torch does)": [
        "applied: nan in a gradient",
        "applied: inf in a gradient",
        "nan in low precision",
    ],
    "DTensor, empty shard": ["DTensor, empty shard"],
    "deepcopy": ["deepcopy"],
    "pickle": ["pickle"],
    "spawn": ["spawn"],
    "fork on CPU": ["fork"],
    "8 threads stepping 8 optimizers": ["8 threads step 8 optimizers"],
    "zero_grad both ways": ["zero_grad to None", "zero_grad to zeros"],
    "and where a kernel changes its ways": ["vector sizes", "over the threads' threshold"],
}
"""What the specification says must work, and the rows that show it."""

FAILS = {
    "sparse": ["sparse", "sparse gradient"],
    "complex": ["complex"],
    "integer": ["integer", "boolean", "integer gradient"],
    "meta": ["meta"],
    "overlapping": [
        "overlaps itself",
        "overlaps itself by a stride",
        "same memory",
        "memory in common",
        "columns in common",
        "another dtype's memory",
        "a wider dtype's memory",
        "parameter overlapping later",
    ],
    "duplicate": ["listed twice"],
    "gradient on another device": ["gradient on another device"],
    "metric tensor of wrong size or dtype": [
        "metric of two numbers",
        "empty metric",
        "complex metric",
        "metric that is text",
    ],
    "undeclared metric": ["undeclared metric"],
    "nan lr": ["nan lr", "infinite lr", "negative lr", "nan lr at construction"],
    "eps, beta out of range": ["eps out of range", "beta out of range"],
    "foreign rate": ["foreign rate"],
    "bad state dict": [
        "state dict of another shape",
        "state dict without groups",
        "state dict with a nan lr",
        "state dict of another schedule",
    ],
    "and what fits no parameter": [
        "no leaf",
        "no tensor",
        "parameter shrunk",
        "parameter reshaped",
        "gradient reshaped",
        "gradient of another dtype",
        "low gradient of a float32 parameter",
        "float16 gradient of bfloat16",
        "float64 gradient of bfloat16",
        "reinterpreted gradient",
        "reinterpreted parameter",
        "parameter of another dtype",
    ],
}
"""What it says must be one clear error."""

ON_A_GPU = {
    "several devices": streams.test_several_devices,
    "non-default stream": streams.test_another_stream,
    "inside capture": graphs.test_graph_equals_eager,
    "inside torch.compile": streams.test_beside_a_compiled_model,
    "to(device) with state": streams.test_to_a_device_with_state,
    "add_param_group or first step while capturing": graphs.test_no_first_step_in_a_capture,
    "CUDA after fork": streams.test_after_a_fork,
}
"""What it says of CUDA alone, and where it is tested."""


@pytest.fixture(autouse=True)
def _leave_no_process_group():
    yield
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def cells(backend: str) -> set[tuple[str, str]]:
    return {(kind, backend) for kind in KINDS}


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("name", CORRECT)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_correct(name: str, backend: str) -> None:
    if CORRECT[name].where == "forked" and not hasattr(os, "fork"):
        pytest.skip("not run: this system does not fork")
    assert correct(name, backend) == cells(backend), "every kind ran, and took that step"


@pytest.mark.parametrize("backend", STEPS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, backend: str) -> None:
    assert refused(name, backend) == cells(backend)


@pytest.mark.parametrize(("table", "rows"), [(WORKS, CORRECT), (FAILS, REFUSED)], ids=["correct", "refused"])
def test_the_table_is_the_specifications(table: dict[str, list[str]], rows: dict[str, object]) -> None:
    named = [name for names in table.values() for name in names]
    assert sorted(named) == sorted(rows) and all(table.values())


def test_the_rest_is_tested_on_a_gpu() -> None:
    assert all(any(mark.name in ("gpu", "parametrize") for mark in getattr(t, "pytestmark", [])) or "device" in
               t.__code__.co_varnames for t in ON_A_GPU.values())  # fmt: skip


def test_gradient_on_another_device() -> None:
    p = Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match="gradient of w: expected device cpu, got meta"):
        check_gradient("w", p, torch.zeros(3, device="meta"))


def test_the_python_step_looks_at_every_shape() -> None:
    """Torch would only notice in the middle of the update."""
    params = parameters([(5,), (4, 3)])
    optimizer = KINDS["adamw"].ours(params, backend="python")
    for step in range(2):
        fill_gradients(params, seed=step)
        if step == 1:
            params[1].grad.data = torch.ones(3, 4)
            before = fingerprint(optimizer)
            with pytest.raises(ValueError, match=r"parameter 1: expected shape \(4, 3\), got \(3, 4\)"):
                optimizer.step()
            assert fingerprint(optimizer) == before
        else:
            optimizer.step()


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_name_the_parameter(backend: str) -> None:
    named = [("encoder.weight", parameters([[3]])[0]), ("encoder.bias", parameters([[2]])[0])]
    optimizer = KINDS["adamw"].ours(named, backend=backend)
    named[1][1].grad = torch.zeros(2).to_sparse()
    with pytest.raises(TypeError, match=r"gradient of encoder\.bias"):
        optimizer.step()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_recovers_after_an_error(kind: str, backend: str) -> None:
    ours, theirs = parameters([[5], [4, 3]]), parameters([[5], [4, 3]])
    a, b = KINDS[kind].ours(ours, backend=backend), KINDS[kind].theirs(theirs)
    for step in range(4):
        largest = fill_gradients(ours, theirs, seed=step)
        if step == 2:
            good, ours[1].grad = ours[1].grad, torch.ones(4, 3).to_sparse()
            with pytest.raises(TypeError):
                a.step()
            ours[1].grad = good
        a.step()
        b.step()
    assert_close(ours, theirs, 0.1, spread=largest / (1 - KINDS[kind].momentum))
    assert a.clock == 4
