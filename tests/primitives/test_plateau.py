"""`plateau` against torch's ReduceLROnPlateau, and against the rules where the two differ on purpose."""

import math
import random

import pytest

import lrdsl

NAN, INF = math.nan, math.inf


def rates(text, losses, **context):
    """The rate of update i + 1 after report i."""
    schedule = lrdsl.compile(text, **{"base_lr": 1.0, **context})
    found = []
    for step, loss in enumerate(losses, start=1):
        schedule.observe(loss)
        found.append(schedule.lr(step))
    return found


def trace(rng, mode):
    """A metric that improves, stalls and breaks, as metrics do."""
    level = rng.uniform(1, 10)
    for _ in range(200):
        level *= rng.choice([1.0, 1.0, 0.999, 0.98, 1.02, 0.9999, 1.00005])
        broken = NAN if rng.random() < 0.5 else INF if mode == "min" else -INF
        yield broken if rng.random() < 0.03 else level * rng.uniform(0.99, 1.01)


@pytest.mark.parametrize("seed", range(100))
def test_torch_cuts_at_the_same_reports(seed):
    torch = pytest.importorskip("torch", reason="not run: torch is not installed")
    rng = random.Random(seed)
    mode, threshold_mode = rng.choice(["min", "max"]), rng.choice(["rel", "abs"])
    options = {
        "mode": mode,
        "factor": rng.choice([0.1, 0.5, 0.9]),
        "patience": rng.randint(0, 12),
        "threshold": rng.choice([0.0, 1e-4, 0.01]),
        "threshold_mode": threshold_mode,
        "cooldown": rng.choice([0, 0, 1, 5]),
    }
    floor = rng.choice([0.0, 0.02, 2.0])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=floor, eps=0.0, **options)
    arguments = ", ".join(f"{name}={value}" for name, value in options.items())
    schedule = lrdsl.compile(f"hold() | plateau({arguments}, min={floor})", base_lr=0.1)
    for step, metric in enumerate(trace(rng, mode), start=1):
        scheduler.step(metric)
        schedule.observe(metric)
        # torch multiplies step by step and drifts; a missed cut would be off by 10 % at least.
        assert schedule.lr(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)


@pytest.mark.parametrize(
    ("text", "losses", "expected"),
    [
        ("plateau(1, 0.5)", [1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8], [1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ("plateau(0, 0.5)", [1, 1, 1], [1, 0.5, 0.25]),
        ("plateau(0, 0.5)", [NAN, INF, 1, -INF], [0.5, 0.25, 0.25, 0.125]),  # -inf is no best
        ("plateau(0, 0.5, mode=max)", [1, 2, 2, INF], [1, 1, 0.5, 0.25]),
        ("plateau(0, 0.5, min=0.2x)", [1, 1, 1, 1], [1, 0.5, 0.25, 0.2]),
        ("plateau(0, 0.5, min=2)", [1, 1, 1], [1, 1, 1]),  # a floor above the rate raises nothing
        ("plateau(0, 0.5, cooldown=2)", [1, 1, 1, 1, 1], [1, 0.5, 0.5, 0.5, 0.25]),
        ("plateau(0, 0.5, cooldown=1)", [1, 1, 0.5, 0.6], [1, 0.5, 0.5, 0.25]),  # best moves in cooldown too
        ("plateau(0, 0.5, threshold=0.5)", [4, 3, 2, 1.9], [1, 0.5, 0.25, 0.25]),
        ("plateau(0, 0.5, threshold=0.5)", [-4, -5, -6, -7], [1, 0.5, 0.25, 0.25]),  # relative to |best|
        ("plateau(0, 0.5, threshold=0.5, mode=max)", [-4, -3, -2, -1], [1, 0.5, 0.25, 0.25]),
        ("plateau(0, 0.5, threshold=1, threshold_mode=abs)", [4, 3, 2, 1.5], [1, 0.5, 0.5, 0.25]),
        ("plateau(0, 0.5, every=2)", [1, 3, 2, 2, 1, 2], [1, 1, 1, 0.5, 0.5, 0.5]),  # means 2, 2, 1.5
        ("plateau(0, 0.5, every=2)", [1, NAN, 1, 1, 1, 1], [1, 0.5, 0.5, 0.5, 0.5, 0.25]),
        ("plateau(0, 0.5) | plateau(1, 0.5)", [1, 1, 1], [1, 0.5, 0.125]),
        ("plateau(0, 0.5) | scale(0.5)", [1, 1], [0.5, 0.25]),
    ],
)
def test_by_hand(text, losses, expected):
    assert rates(f"hold() | {text}", losses) == expected


def test_best_first_report_is_better_than_none():
    assert rates("hold() | plateau(0, 0.5)", [1e300, 1e299]) == [1, 1]


def test_what_it_scales_may_move():
    assert rates("linear(4) | plateau(0, 0.5)", [1, 1, 2, 2]) == [0.75, 0.25, 0.0625, 0.0]


def test_reports_outside_the_scope_are_not_seen_and_the_cut_flows_on():
    schedule = lrdsl.compile("(cosine(100, to=0.5x) | plateau(patience=0)) >> linear(80)", base_lr=1e-3)
    for step in (10, 11, 120):
        schedule.observe(1.0, step=step)
    got = [schedule.lr(step) for step in (0, 50, 100, 140, 180)]
    assert got == pytest.approx([1e-4, 7.5e-5, 5e-5, 2.5e-5, 0], rel=1e-12)


def test_the_scope_is_half_open():
    schedule = lrdsl.compile("hold(5) >> (hold(5) | plateau(0, 0.5)) >> hold()", base_lr=1.0)
    for step in (4, 10, 11):
        schedule.observe(1.0, step=step)
    assert schedule.lr(7) == 1.0  # none of these was seen
    schedule.observe(1.0, step=5)
    schedule.observe(1.0, step=9)
    assert [schedule.lr(step) for step in (4, 5, 9, 10, 99)] == [1.0, 0.5, 0.5, 0.5, 0.5]


def test_state_is_never_reset_and_lr_uses_the_state_of_now():
    schedule = lrdsl.compile("hold(5) | plateau(0, 0.5)", base_lr=1.0)
    schedule.observe(1.0)
    schedule.observe(1.0)
    assert [schedule.lr(step) for step in (0, 4, 5, 1000)] == [0.5, 0.5, 0.5, 0.5]


def test_prev_behind_a_plateau_is_read_when_asked():
    schedule = lrdsl.compile(
        "(hold(2) | plateau(0, 0.5)) >> geometric(4, to=prev / 4) >> exponential(0.5)", base_lr=1.0
    )
    assert [schedule.lr(step) for step in (2, 4, 6, 7)] == [1.0, 0.5, 0.25, 0.125]
    schedule.observe(1.0, step=1)
    schedule.observe(1.0, step=1)
    assert [schedule.lr(step) for step in (2, 4, 6, 7)] == [0.5, 0.25, 0.125, 0.0625]


def test_rising_from_a_plateau_that_cut_below_the_end():
    schedule = lrdsl.compile("(hold(2) | plateau(0, 0.1)) >> linear(4, to=0.5x)", base_lr=1.0)
    assert [schedule.lr(step) for step in (2, 4, 6)] == [1.0, 0.75, 0.5]
    schedule.observe(1.0, step=1)
    schedule.observe(1.0, step=1)
    assert [schedule.lr(step) for step in (2, 4, 6)] == pytest.approx([0.1, 0.3, 0.5], rel=1e-15)


def test_two_metrics_two_machines():
    schedule = lrdsl.compile("hold() | plateau(0, 0.5) | plateau(0, 0.25, metric=acc, mode=max)", base_lr=1.0)
    assert schedule.metrics == ("loss", "acc")
    schedule.observe(1.0)
    schedule.observe(1.0)
    assert schedule.lr(2) == 0.5
    schedule.observe(1.0, "acc")
    schedule.observe(0.5, "acc")
    assert schedule.lr(2) == 0.125


def test_groups_have_their_own_state():
    schedule = lrdsl.compile("lr = hold(); lr[head] = hold(5) | plateau(0, 0.5)", base_lr=1.0)
    schedule.observe(1.0)
    schedule.observe(1.0)
    assert (schedule.lr(2), schedule.value("lr", 2, "head")) == (1.0, 0.5)
