"""Cutting a run at every step and continuing from a file changes nothing; other schedules take over as asked."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import BACKENDS, fill_gradients, fingerprint, parameters  # noqa: E402
from tests.optim.test_state_dict import through_a_file  # noqa: E402

STEPS = 25
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("AdamW", {}),
    "sequence": ("AdamW", {"schedule": "warmup(5) >> cosine(15, to=0.1x) >> linear(5)"}),
    "plateau": ("AdamW", {"schedule": "warmup(3) >> cosine(rest) | plateau(patience=1, factor=0.5, every=2)"}),
    "plateau flowing on": ("SGD", {"schedule": "(hold(10) | plateau(patience=0)) >> linear(10)", "momentum": 0.9}),
    "guard": ("AdamW", {"schedule": "cosine(rest) | guard(spike=1.2, recover=7) | guard(metric=grad_norm)"}),
    "greedy": ("AdamW", {"schedule": "warmup(3) >> hold() | greedy(patience=1, cooldown=1, warmup=2, smooth=5)"}),
    "normscale": ("SGD", {"schedule": "hold() | normscale(3) | plateau(metric=grad_norm, patience=0)"}),
    "repeat": ("SGD", {"schedule": "repeat(2, cosine(4), mult=2, gain=0.5)", "momentum": 0.9, "dampening": 0.2}),
    "all targets": (
        "Adam",
        {
            "schedule": "lr = cosine(20); beta1 = linear(20, from=0.8, to=0.9); beta2 = linear(20, from=0.9, to=0.95);"
            "weight_decay = linear(20, from=0, to=0.1); eps = constant(1e-6)",
            "amsgrad": True,
        },
    ),
    "momentum comes late": ("SGD", {"schedule": "momentum = constant(0, 8) >> constant(0.9)", "dampening": 0.5}),
    "a held rate": ("SGD", {"schedule": "expr(where(abs(step - 1010) < 4, 0 - base, base / (1 + step)), n=100000)"}),
}


def make(name: str, backend: str) -> tuple[Any, list[Any]]:
    cls, options = RUNS[name]
    params = parameters([(7,), (3, 4)])
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}]
    optimizer = getattr(lrdsl, cls)(groups, lr=0.01, total_steps=STEPS, backend=backend, **options)
    if name == "a held rate":
        optimizer.set_clock(1000)
    return optimizer, params


def advance(optimizer: Any, params: list[Any], step: int) -> None:
    fill_gradients(params, seed=step)
    if step % 3 == 0:
        params[0].grad = None
    optimizer.step()
    if any("loss" in schedule.metrics for schedule in optimizer.schedules if schedule):
        optimizer.observe(float("nan") if step == 11 else 1.0 / (1 + step // 4))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", RUNS)
def test_resume_at_every_step(name: str, backend: str) -> None:
    optimizer, params = make(name, backend)
    for step in range(STEPS):
        fresh, copies = make(name, backend)
        fresh.load_state_dict(through_a_file(optimizer.state_dict()))
        with torch.no_grad():
            for p, q in zip(params, copies, strict=True):
                q.copy_(p)
        assert fingerprint(fresh) == fingerprint(optimizer), f"loaded at {step}"
        advance(optimizer, params, step)
        advance(fresh, copies, step)
        assert fingerprint(fresh) == fingerprint(optimizer), f"one step after {step}"


def test_a_fault_is_remembered() -> None:
    optimizer, params = make("a held rate", "auto")
    for step in range(10):
        advance(optimizer, params, step)
    fresh, _ = make("a held rate", "auto")
    fresh.load_state_dict(through_a_file(optimizer.state_dict()))
    assert fresh.doctor()["faults"] == optimizer.doctor()["faults"] != []


# --- another schedule -----------------------------------------------------------------------------------------------


def rates(optimizer: Any, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
    return found


def checkpoint(text: str | None = "hold() | plateau(patience=0, factor=0.5)", steps: int = 4) -> dict[str, Any]:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=0.8, schedule=text)
    for _ in range(steps):
        optimizer.step()
    if text and "plateau" in text:
        optimizer.observe(1.0)
        optimizer.observe(1.0)
    return through_a_file(optimizer.state_dict())


def resumed(text: str | None, reschedule: Any, saved: dict[str, Any], lr: float = 0.8) -> Any:
    optimizer = lrdsl.SGD(parameters([(3,)]), lr=lr, schedule=text, reschedule=reschedule)
    optimizer.load_state_dict(saved)
    return optimizer


@pytest.mark.parametrize(
    ("text", "saved", "message"),
    [
        ("linear(10)", "hold()", r"a different one: `hold\(\)`"),
        ("linear(10)", None, "it has none"),
        (None, "hold()", r"a different one: `hold\(\)`"),
    ],
)
def test_another_text_is_refused(text: str | None, saved: str | None, message: str) -> None:
    with pytest.raises(lrdsl.ScheduleError, match=message) as caught:
        resumed(text, False, checkpoint(saved))
    assert caught.value.code == "E0802" and "(make the optimizer with reschedule=True to run" in str(caught.value)


def test_another_base_is_refused() -> None:
    with pytest.raises(lrdsl.ScheduleError, match=r"base_lr was 0\.8, now it is 0\.1") as caught:
        resumed("hold()", False, checkpoint("hold()"), lr=0.1)
    assert caught.value.code == "E0802"


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        ("warmup(3) >> linear(9) | plateau(patience=1)", "total_steps", None),
        ("warmup(3) >> linear(9)", "samples_per_step", None),
        ("repeat(3, linear(4))", "steps_per_epoch", None),
        ("warmup(3) >> linear(rest)", "total_steps", "total_steps was 12, now it is 24"),
        ("hold() | cooldown(2)", "total_steps", "total_steps was 12, now it is 24"),
        ("expr(base * step / total, n=9)", "total_steps", "total_steps was 12, now it is 24"),
        ("linear(2ep)", "steps_per_epoch", r"steps_per_epoch was 12\.0, now it is 24\.0"),
    ],
)
def test_what_a_text_does_not_speak_of_may_change(text: str, unit: str, message: str | None) -> None:
    state = lrdsl.SGD(parameters([(3,)]), lr=0.1, schedule=text, **{unit: 12}).state_dict()
    others = [{unit: 24}] if message else [{unit: 24}, {}]
    for other in others:
        optimizer = lrdsl.SGD(parameters([(3,)]), lr=0.1, schedule=text, **other)
        if message is None:
            optimizer.load_state_dict(state)
            continue
        with pytest.raises(lrdsl.ScheduleError, match=message) as caught:
            optimizer.load_state_dict(state)
        assert caught.value.code == "E0802"


def test_a_base_that_the_text_does_not_use_may_differ() -> None:
    saved = lrdsl.SGD(parameters([(3,)]), lr=0.8, weight_decay=0.1, schedule="hold()").state_dict()
    optimizer = resumed("hold()", False, saved)
    assert optimizer.param_groups[0]["weight_decay"] == 0.1


def test_the_same_text_written_otherwise_is_the_same() -> None:
    assert resumed("linear( 1k ,min = 0)", False, checkpoint("linear(1000, to=0)")).clock == 4


def test_reschedule_keeps_the_step() -> None:
    optimizer = resumed("linear(10) | plateau(patience=0)", True, checkpoint())
    assert optimizer.clock == 4
    assert rates(optimizer, 3) == pytest.approx([0.48, 0.4, 0.32])


def test_reschedule_to_no_schedule() -> None:
    optimizer = resumed(None, True, checkpoint())
    assert optimizer.clock == 4 and rates(optimizer, 2) == [0.4, 0.4]


def test_branch_starts_anew_at_the_rate_in_force() -> None:
    optimizer = resumed("linear(4)", "branch", checkpoint())
    assert optimizer.clock == 4
    assert rates(optimizer, 6) == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0, 0.0])
    assert optimizer.clock == 10


def test_a_branch_resumes_at_every_step() -> None:
    text = "(linear(4, to=0.1x) | plateau(patience=0, factor=0.5)) >> constant(0.25x)"
    optimizer = resumed(text, "branch", checkpoint())
    seen = []
    for _ in range(7):
        seen.append(optimizer.param_groups[0]["lr"])
        again = resumed(text, False, through_a_file(optimizer.state_dict()))
        assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
        for side in (optimizer, again):
            side.step()
            side.observe(1.0)
        assert fingerprint(again) == fingerprint(optimizer)
    # from 0.4 towards 0.08 in 4 steps; the second to the fourth report cut it
    assert seen[:4] == pytest.approx([0.4, 0.32, 0.24 * 0.5, 0.16 * 0.25])
    assert seen[4:] == [0.2, 0.2, 0.2], "the base is the constructor's"


def test_a_branch_of_every_target() -> None:
    params = parameters([(3,)])
    trunk = lrdsl.AdamW(params, lr=1.0, weight_decay=0.4, schedule="lr = hold(); weight_decay = linear(8)")
    for _ in range(4):
        trunk.step()
    text = "lr = linear(2); weight_decay = linear(2)"
    branch = lrdsl.AdamW(params, lr=1.0, weight_decay=0.4, schedule=text, reschedule="branch")
    branch.load_state_dict(trunk.state_dict())
    branch.step()
    assert (branch.param_groups[0]["lr"], branch.param_groups[0]["weight_decay"]) == (0.5, 0.1)


def test_the_clock_cannot_go_before_a_branch() -> None:
    optimizer = resumed("linear(4)", "branch", checkpoint())
    with pytest.raises(ValueError, match="whole number >= 4"):
        optimizer.set_clock(3)
    optimizer.set_clock(6)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)


def test_a_checkpoint_of_torch_keeps_the_schedule() -> None:
    params = parameters([(3,)])
    peer = torch.optim.AdamW(params, lr=0.123)
    for step in range(4):
        fill_gradients(params, seed=step)
        peer.step()
    optimizer = lrdsl.AdamW(params, lr=1.0, schedule="linear(10)")
    optimizer.load_state_dict(peer.state_dict())
    assert optimizer.clock == 4 and optimizer.param_groups[0]["lr"] == pytest.approx(0.6)
