"""`greedy` against transformers' GreedyLR, and by hand where the two differ on purpose."""

import json
import math

import pytest

import lrdsl
from tests.primitives.greedy_peer import BASE, FILE, play, runs

NAN, INF = math.nan, math.inf


def text(run):
    options = {"min": run["options"]["min_lr"], "max": run["options"]["max_lr"], "smooth": run["smooth"]}
    options |= {name: value for name, value in run["options"].items() if not name.endswith("_lr")}
    return f"hold() | greedy({', '.join(f'{name}={value}' for name, value in options.items())})"


def compare(run, told):
    """One run beside what `GreedyLR` told; gives how often the rate moved."""
    schedule = lrdsl.compile(text(run), base_lr=BASE)
    track = schedule.tracks["lr", None]
    moves, rate = 0, BASE
    for step, (report, (lr, bad, good, wait, best)) in enumerate(zip(run["reports"], told, strict=True), start=1):
        schedule.observe(report)
        slots = dict(zip(track.program.slots, track.state, strict=True))
        state = {"greedy.bad": bad, "greedy.good": good, "greedy.wait": wait, "greedy.seen": math.isfinite(best)}
        assert {name: slots[name] for name in state} == state, (run["options"], step)
        assert slots["greedy.best"] == (best if math.isfinite(best) else 0.0), (run["options"], step)
        # Powers of 1/2 are exact on both sides; it multiplies step by step, so others drift.
        exact = run["options"]["factor"] == 0.5
        assert schedule.lr(step) == (lr if exact else pytest.approx(lr, rel=1e-12)), (run["options"], step)
        moves, rate = moves + (lr != rate), lr
    return moves


RECORDED = json.loads(FILE.read_text())


@pytest.mark.parametrize("run", RECORDED["runs"], ids=range(len(RECORDED["runs"])))
def test_recorded_runs(run):
    compare(run, run["told"])


def test_the_record_says_something():
    rates = [row[0] for run in RECORDED["runs"] for row in run["told"]]
    assert {2.0**-6, 1.0} <= set(rates), "both bounds are reached"
    assert RECORDED["versions"].keys() == {"torch", "transformers"}


def test_live():
    pytest.importorskip("transformers.optimization", reason="not run: transformers is not installed")
    assert sum(compare(run, play(run)) for run in runs(100, 300, seed=1)) > 1000


def rates(text, losses, **context):
    """The rate of update i + 1 after report i."""
    schedule = lrdsl.compile(text, **{"base_lr": 1.0, **context})
    found = []
    for step, loss in enumerate(losses, start=1):
        schedule.observe(loss)
        found.append(schedule.lr(step))
    return found


@pytest.mark.parametrize(
    ("text", "losses", "expected"),
    [
        ("greedy(0, 0.5)", [3, 2, 1, 1, 1, 1], [2, 4, 8, 4, 2, 1]),
        ("greedy(1, 0.5)", [3, 2, 1, 0, 1, 1], [1, 2, 2, 4, 4, 2]),
        ("greedy(0, 0.5, mode=max)", [1, 2, 1, 3], [2, 4, 2, 4]),
        ("greedy(0, 0.5, threshold=1)", [5, 4, 3, 1.5], [2, 1, 2, 4]),  # better than 5 by more than 1
        ("greedy(0, 0.5, threshold=0.5, threshold_mode=rel)", [-4, -5, -6, -7], [2, 1, 0.5, 1]),  # of |best|
        # The wait after a move in either direction: reports in it are not even compared.
        ("greedy(0, 0.5, cooldown=2)", [5, 6, 1, 1, 1, 1], [2, 1, 1, 1, 2, 1]),
        ("greedy(0, 0.5, warmup=2)", [5, 4, 9, 3, 3], [2, 2, 2, 4, 4]),
        # Bounds: k stops where base * factor**k is beyond one, so that the way back is short.
        ("greedy(0, 0.5, max=3)", [5, 4, 3, 2, 9, 9], [2, 3, 3, 3, 2, 1]),
        ("greedy(0, 0.5, min=0.3)", [5, 9, 9, 9, 9, 9, 4], [2, 1, 0.5, 0.3, 0.3, 0.3, 0.5]),
        ("greedy(0, 0.5, max=0.5)", [3, 2, 9, 9], [1, 1, 0.5, 0.25]),  # a bound below v lowers nothing
        ("greedy(0, 0.5, min=2)", [9, 9, 9, 8], [2, 2, 2, 4]),  # one above v raises nothing, and is not fallen below
        # A report that is not finite is bad, and leaves what is averaged alone.
        ("greedy(0, 0.5)", [5, NAN, 4, INF, 3, -INF], [2, 1, 2, 1, 2, 1]),
        ("greedy(0, 0.5, smooth=2)", [4, NAN, 2, INF, 2, -INF, 2], [2, 1, 2, 1, 2, 1, 0.5]),  # means 4, 3, 2, 2
        ("greedy(0, 0.5, smooth=3)", [3, 3, 3, 0, 6, 0, 0], [2, 1, 0.5, 1, 0.5, 0.25, 0.125]),  # 3 3 3 2 3 2 2
        ("greedy(0, 0.5, mode=max, smooth=2)", [1e308, 1.7e308], [2, 1]),  # the sum of two is infinite: bad
        ("greedy(0, 0.5) | greedy(1, 0.5)", [3, 2, 1], [2, 8, 10]),
    ],
)
def test_by_hand(text, losses, expected):
    assert rates(f"hold() | {text}", losses) == expected


def test_the_ceiling_is_ten_times_base_unless_said():
    assert rates("hold() | greedy(0, 0.1)", [3, 2, 1], base_lr=0.5) == [5.0, 5.0, 5.0]
    assert rates("hold() | greedy(0, 0.25, max=8x)", [3, 2, 1], base_lr=0.5) == [2.0, 4.0, 4.0]


def test_what_it_moves_may_move():
    assert rates("linear(4) | greedy(0, 0.5, max=1.2)", [3, 2, 1, 0]) == [1.2, 1.0, 0.5, 0.0]


def test_a_bound_may_be_the_rate_on_entering():
    """What k makes of base, not of the value, is compared with the bounds."""
    found = rates("warmup(1, to=0.5x) >> (hold() | greedy(0, 0.5, max=4 * prev))", [9, 8, 7, 6])
    assert found == [1.0, 1.0, 1.0, 1.0]


def test_sixty_four_reports_are_averaged_exactly():
    schedule = lrdsl.compile("hold() | greedy(0, 0.5, smooth=64, max=1e300)", base_lr=1.0)
    reports = [float((7 * i) % 64) for i in range(300)]
    best, k = INF, 0
    for step, report in enumerate(reports, start=1):
        schedule.observe(report)
        window = reports[max(0, step - 64) : step]
        mean = sum(window) / len(window)  # whole numbers: exact in any order
        better = mean < best - 1e-6
        best, k = (mean, k - 1) if better else (best, k + 1)
        assert schedule.lr(step) == 0.5**k
    assert len(schedule.program().machines) == 3


def test_every_window_fits_a_program():
    for smooth in range(1, 65):
        program = lrdsl.compile(f"hold() | greedy(smooth={smooth})", base_lr=1.0).program()
        assert len(program.state) == 6 + smooth
