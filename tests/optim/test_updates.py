"""The update rules against torch's for-loop, foreach and fused peers: every option, both dtypes, both backends."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import (  # noqa: E402
    BACKENDS,
    DTYPES,
    KINDS,
    VARIANTS,
    assert_close,
    fill_gradients,
    needs_native,
    parameters,
    twins,
)

SHAPES = [(1,), (7,), (16,), (3, 5), (64,), (1003,), (257,)]
STEPS = 20
PEERS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_as_torch(variant: str, backend: str, dtype: Any, peer: str) -> None:
    kind = VARIANTS[variant]
    ours = parameters(SHAPES, dtype)
    theirs = twins(ours)
    a, b = kind.ours(ours, backend=backend), kind.theirs(theirs, **PEERS[peer])
    assert a.doctor()["backend"] == backend
    largest = 0.0
    for step in range(STEPS):
        largest = max(largest, fill_gradients(ours, theirs, seed=step))
        a.step()
        b.step()
    adaptive = kind.name != "SGD"
    assert_close(ours, theirs, kind.options["lr"], spread=1.0 if adaptive else largest / (1 - kind.momentum))
    for p, q in zip(ours, theirs, strict=True):
        expected = {key: value for key, value in b.state[q].items() if value is not None}
        assert a.state.get(p, {}).keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(a.state[p][key], value, rtol=1e-5, atol=1e-6)


@needs_native
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_native_has_the_bits_of_torchs_fused_kernel_on_whole_blocks(variant: str, dtype: Any) -> None:
    kind = VARIANTS[variant]
    ours = parameters([(16,), (64,), (1024,), (8, 32)], dtype)
    theirs = twins(ours)
    a, b = kind.ours(ours, backend="native"), kind.theirs(theirs, fused=True)
    for step in range(8):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_options_changed_between_steps(kind: str, backend: str) -> None:
    changes = {
        "SGD": [{"momentum": 0.5}, {"weight_decay": 0.2, "nesterov": False}, {"maximize": True}, {"momentum": 0.0}],
        "Adam": [{"betas": (0.5, 0.7)}, {"eps": 1e-3}, {"weight_decay": 0.3, "maximize": True}, {"lr": 0.05}],
    }
    changes["AdamW"] = changes["Adam"]
    ours = parameters([(5,), (40,)])
    theirs = twins(ours)
    a, b = KINDS[kind].ours(ours, backend=backend), KINDS[kind].theirs(theirs)
    for step, change in enumerate(changes[KINDS[kind].name]):
        fill_gradients(ours, theirs, seed=step)
        a.step()
        b.step()
        for side in (a, b):
            side.param_groups[0].update(change)
        fill_gradients(ours, theirs, seed=100 + step)
        a.step()
        b.step()
    assert_close(ours, theirs, 0.1, spread=40.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_amsgrad_switched_on_late_starts_from_nothing(backend: str) -> None:
    (p,) = parameters([(5,)])
    optimizer = lrdsl.Adam([p], backend=backend)
    fill_gradients([p], seed=0)
    optimizer.step()
    optimizer.param_groups[0]["amsgrad"] = True
    fill_gradients([p], seed=1)
    optimizer.step()
    state = optimizer.state[p]
    assert torch.equal(state["max_exp_avg_sq"], state["exp_avg_sq"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        ("SGD", {"lr": -1.0}, "group 0: expected lr to be a finite number >= 0, got -1.0"),
        ("SGD", {"lr": float("nan")}, "expected lr .* got nan"),
        ("SGD", {"momentum": -0.5}, "expected momentum"),
        ("SGD", {"weight_decay": float("inf")}, "expected weight_decay"),
        ("SGD", {"nesterov": True}, "nesterov needs momentum"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov needs momentum"),
        ("SGD", {"lr": [0.1]}, "expected lr to be a number"),
        ("SGD", {"lr": torch.ones(2)}, "expected lr to be one number"),
        ("SGD", {"differentiable": True}, "differentiable"),
        ("SGD", {"backend": "gpu"}, "backend"),
        ("SGD", {"reschedule": "later"}, "reschedule"),
        ("Adam", {"betas": (1.0, 0.9)}, "expected beta1 to be at least 0 and below 1, got 1.0"),
        ("Adam", {"betas": (0.9, float("nan"))}, "expected beta2"),
        ("Adam", {"eps": -1e-8}, "expected eps"),
        ("AdamW", {"weight_decay": -0.1}, "expected weight_decay"),
        ("AdamW", {"lr": "0.1"}, "expected lr to be a number"),
    ],
    ids=str,
)
def test_bad_options(cls: str, options: dict[str, Any], message: str, backend: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(lrdsl, cls)(parameters([(3,)]), **{"backend": backend} | options)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "change"),
    [("sgd", {"lr": float("nan")}), ("momentum", {"momentum": -1.0}), ("adam", {"betas": (0.9, 1.0)})],
    ids=str,
)
def test_bad_option_written_later(kind: str, change: dict[str, Any], backend: str) -> None:
    params = parameters([(3,)])
    optimizer = KINDS[kind].ours(params, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    before = params[0].clone()
    optimizer.param_groups[0].update(change)
    with pytest.raises(ValueError, match="group 0: expected"):
        optimizer.step()
    assert torch.equal(params[0], before) and optimizer.clock == 1


def test_foreach_and_fused_are_accepted_and_ignored() -> None:
    for value in (None, True, False):
        optimizer = lrdsl.AdamW(parameters([(3,)]), foreach=value, fused=value)
        assert optimizer.param_groups[0]["foreach"] is value


def test_signatures_are_torchs() -> None:
    import inspect

    for name in ("SGD", "Adam", "AdamW"):
        ours = inspect.signature(getattr(lrdsl, name)).parameters
        theirs = inspect.signature(getattr(torch.optim, name)).parameters
        positional = [p for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert [(p.name, p.default) for p in list(ours.values())[: len(positional)]] == [
            (p.name, p.default) for p in positional
        ]
        for p in theirs.values():
            assert p.name in ours, f"{name} lacks torch's {p.name}"
