"""Every input of the table with every kind of optimizer on every backend."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

from lrdsl.optim.tensors import check_gradient  # noqa: E402
from tests.optim.inputs import CORRECT, REFUSED  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    BACKENDS,
    KINDS,
    assert_close,
    copy_gradients,
    fill_gradients,
    fingerprint,
    parameters,
    round_to,
    widened,
)

STEPS = 4


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CORRECT)
def test_correct(name: str, backend: str) -> None:
    case, ran = CORRECT[name], 0
    for kind in KINDS.values():
        ours = case.make()
        theirs = widened(ours)  # torch's loop on contiguous copies: what the right elements are
        a = kind.ours(case.grouped(ours), backend=backend)
        b = kind.theirs(case.grouped(theirs), foreach=False)
        for step in range(STEPS):
            case.fill(ours, step)
            copy_gradients(ours, theirs)
            a.step()
            b.step()
            round_to(ours, theirs)
        assert_close(ours, theirs, kind.options["lr"], spread=4.0 / (1 - kind.momentum))
        assert a.clock == STEPS
        for p, q in zip(ours, theirs, strict=True):
            if "step" in b.state.get(q, {}):
                assert a.state[p]["step"].item() == b.state[q]["step"].item()
            else:
                assert "step" not in a.state.get(p, {})
        ran += 1
    assert ran == len(KINDS)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, backend: str) -> None:
    wrong, ran = REFUSED[name], 0
    for kind in KINDS.values():
        params = wrong.make()
        if wrong.spoil is None:
            with pytest.raises(wrong.error, match=wrong.message):
                kind.ours(params, backend=backend)
            ran += 1
            continue
        optimizer = kind.ours(params, backend=backend)
        fill_gradients(params, seed=0)
        optimizer.step()
        fill_gradients(params, seed=1)
        wrong.spoil(params[1])
        before = fingerprint(optimizer)
        for _ in range(2):  # it must not be accepted the second time either
            with pytest.raises(wrong.error, match=wrong.message):
                optimizer.step()
            assert fingerprint(optimizer) == before
        ran += 1
    assert ran == len(KINDS)


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
