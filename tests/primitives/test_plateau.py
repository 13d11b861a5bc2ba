"""`plateau` against torch's ReduceLROnPlateau, and against the rules where the two differ on purpose."""

import math
import os
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


RUNS, REPORTS = map(int, os.environ.get("LRDSL_PLATEAU", "300x400").split("x"))
"""Runs and reports of each, against torch's."""
PARTS = 10


def trace(rng, signed, grid):
    """A metric that improves, stalls and breaks, as metrics do; perhaps rounded to a grid, where values come again."""
    level = rng.uniform(1, 10)
    for _ in range(REPORTS):
        level *= rng.choice([1.0, 1.0, 0.999, 0.98, 1.02, 0.9999, 1.00005])
        level += rng.choice([0.0, -0.05]) if signed else 0.0
        value = level * rng.uniform(0.99, 1.01)
        yield rng.choice([NAN, INF, -INF]) if rng.random() < 0.03 else round(value, 2) if grid else value


def peer(rng):
    """Options both understand, a trace on which the rules agree, and how many reports make one.

    They do not agree about what is better than a negative best by a share (ours takes its magnitude), and round
    differently where a report lies on the edge of a share.
    """
    options = {
        "mode": rng.choice(["min", "max"]),
        "factor": rng.choice([0.1, 0.5, 0.9, rng.uniform(0.01, 0.99)]),
        "patience": rng.choice([0, 1, rng.randint(0, 12), rng.randint(0, 50)]),
        "threshold": rng.choice([0.0, 1e-4, 0.01, rng.uniform(0, 0.1)]),
        "threshold_mode": rng.choice(["rel", "abs"]),
        "cooldown": rng.choice([0, 0, 1, 5, rng.randint(0, 30)]),
    }
    absolute = options["threshold_mode"] == "abs"
    grid = (absolute or options["threshold"] == 0.0) and rng.random() < 0.5
    return options, trace(rng, absolute and rng.random() < 0.5, grid), rng.choice([1, 1, 1, 2, 3, 7])


def as_torch_takes_it(mean, mode):
    """A report that is infinitely good is bad here and the best there: torch is told of a bad one."""
    return NAN if mean == (-INF if mode == "min" else INF) else mean


def compare(seed):
    """One run beside torch's; gives the cuts."""
    torch = pytest.importorskip("torch", reason="not run: torch is not installed")
    rng = random.Random(seed)
    options, metrics, every = peer(rng)
    floor = rng.choice([0.0, 0.0, 1e-3, 0.02, 2.0])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=floor, eps=0.0, **options)
    cuts = []
    reduce, scheduler._reduce_lr = scheduler._reduce_lr, lambda epoch: (cuts.append(epoch), reduce(epoch))
    arguments = ", ".join(f"{name}={value!r}" for name, value in options.items()).replace("'", "")
    schedule = lrdsl.compile(f"hold() | plateau({arguments}, min={floor}, every={every})", base_lr=0.1)
    track = schedule.tracks["lr", None]
    together = []
    for step, metric in enumerate(metrics, start=1):
        schedule.observe(metric)
        together.append(metric)
        if len(together) == every:
            total = 0.0
            for value in together:
                total += value
            scheduler.step(as_torch_takes_it(total / every, options["mode"]))
            together = []
        slots = dict(zip(track.program.slots, track.state, strict=True))
        state = {
            "plateau.cuts": len(cuts),
            "plateau.bad": scheduler.num_bad_epochs,
            "plateau.cool": scheduler.cooldown_counter,
            "plateau.seen": scheduler.best != scheduler.mode_worse,
        }
        assert {name: slots[name] for name in state} == state, (seed, step)
        assert slots["plateau.best"] == (scheduler.best if state["plateau.seen"] else 0.0), (seed, step)
        # torch multiplies step by step and drifts; a missed cut would be off by 1 % at least.
        theirs = optimizer.param_groups[0]["lr"]
        assert math.isclose(schedule.lr(step), theirs, rel_tol=1e-11, abs_tol=1e-300), (seed, step)
    return len(cuts)


@pytest.mark.parametrize("part", range(PARTS))
def test_torch_cuts_at_the_same_reports(part):
    assert sum(compare(seed) for seed in range(part, RUNS, PARTS)) > RUNS / PARTS


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
