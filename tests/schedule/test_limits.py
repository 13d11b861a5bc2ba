"""Hostile schedules: refused, or run."""

import pytest

import lrdsl
from lrdsl import ScheduleError
from tests.schedule.hostile import chained, doubled, listed, nested

REFUSED = {
    "let-bomb-of-sums": ("E0902", doubled("cosine(10)", "+", 30)),
    "let-bomb-of-sequences": ("E0902", doubled("hold(1)", ">>", 30)),
    "let-bomb-of-numbers": ("E0902", doubled("3", "*", 30, "constant({})")),
    "let-bomb-of-formulas": ("E0902", doubled("1", "+", 30, "expr({})")),
    "let-bomb-in-a-formula": ("E0902", doubled("2", "*", 11, "expr(" + listed(["{0}"] * 9, " + ") + ")")),
    "let-chain": ("E0901", chained("cosine(10)", "0.5 * {}", 100)),
    "let-chain-of-repeats": ("E0901", chained("cosine(10)", nested("repeat(1, ", "{}", ")", 20), 10)),
    "4000-segments": ("E0902", listed(["hold(1)"] * 4000, " >> ")),
    "power-tower": ("E0105", "constant(10**10**10)"),
    "power-tower-of-twos": ("E0105", "constant(2**2**2**2**2**2)"),
    "negative-power": ("E0105", "cosine((-10)**10**10)"),
    "large-product": ("E0105", "constant(" + listed(["9e99"] * 60, " * ") + ")"),
    "large-length": ("E0404", "cosine(" + listed(["9e99"] * 60, " * ") + ")"),
    "long-rounds": ("E0404", "repeat(2**50, cosine(9999))"),
    "growing-rounds": ("E0404", "repeat(2**52, cosine(5), mult=2)"),
    "growing-growing-rounds": ("E0404", nested("repeat(50, ", "cosine(5)", ", mult=2**50)", 30)),
    "sum-of-lengths": ("E0404", "hold(2**52) >> hold(2**52)"),
    "multistep-1024": ("E0907", f"multistep([{listed(range(1024))}])"),
    "multistep-values": ("E0907", f"multistep([{listed(range(1000))}], values=[{listed(range(1001))}])"),
    "max-of-1000-schedules": ("E0907", f"max({listed(f'cosine({n + 1})' for n in range(1000))})"),
    "sum-of-long-sequences": (
        "E0907",
        listed((f"({listed([f'linear({n}, from=1x)'] * 60, ' >> ')})" for n in range(7, 17)), " + "),
    ),
    "1000-segments": ("E0907", listed((f"cosine({n + 1}, from=1x)" for n in range(1000)), " >> ")),
    "wide-formula": ("E0907", f"expr(max({listed(f'sin({n} * t) + {n}' for n in range(500))}))"),
    "chain-of-plateaus": ("E0907", listed(["(hold(5) | plateau())"] * 100, " >> ")),
    "deep-products": ("E0907", listed((f"warmup({n + 1})" for n in range(60)), " * ")),
}

FINE = {
    "max-of-1000-rates": (f"max(cosine(10), {listed(['1e-6'] * 1000)})", 0, 1e-3),
    "multistep-same": (f"multistep([{listed([5] * 1024)}])", 4, 1e-3),
    "rounds": ("repeat(2**40, cosine(8))", 2**43 - 4, 5e-4),
    "deep-repeats": (nested("repeat(1, ", "linear(4)", ")", 60), 2, 5e-4),
    "deep-doubling-repeats": (nested("repeat(2, ", "linear(4)", ")", 40), 2**42 - 2, 5e-4),
    "deep-stretched-repeats": (nested("repeat(2, ", "linear(4)", ", mult=2)", 20), 2, 5e-4),
    "deep-falling-repeats": (nested("repeat(2, ", "linear(4)", ", gain=0.5)", 20), 2, 5e-4),
    "deep-sequences": (nested("(hold(1) >> ", "linear(4)", ")", 60), 62, 5e-4),
    "deep-rests": (nested("(hold(1) >> max(1e-9, ", "linear(rest)", ") >> hold(1))", 30), 30, 1e-3),
    "deep-clamps": (nested("clamp(", "linear(4)", ", 0, 1)", 60), 2, 5e-4),
    "deep-formula": (f"expr(base * 0.5 + {nested('sin(', '0 * t', ')', 60)})", 7, 5e-4),
    "deep-choices": (f"expr(base * {nested('where(t > 1, ', 'u', ', 0)', 50)}, n=4)", 2, 5e-4),
    "many-plateaus": ("hold() " + "| plateau() " * 55, 7, 1e-3),
    "many-plateaus-before-segments": (
        "(hold(5) | plateau()) >> " + listed((f"linear(5, to=0.{9 - n % 9}x)" for n in range(200)), " >> "),
        0,
        1e-3,
    ),
    "1500-segments": (listed(["hold(1)"] * 1500, " >> "), 1499, 1e-3),
    "250-groups": (listed((f"lr[{n}] = cosine({n + 1})" for n in range(250)), "; "), 0, 1e-3),
    "many-signs": (f"cosine({'-' * 50}8)", 4, 5e-4),
    "tiny-and-huge": ("constant(" + listed(["1e300 * 1e-300"] * 20, " * ") + " * base)", 0, 1e-3),
    "longest": (f"linear({2**53 - 1})", 2**52, 5e-4),
    "growing-rounds-to-the-end": ("repeat(53, hold(1), mult=2)", 2**52, 1e-3),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    code, text = REFUSED[name]
    with pytest.raises(ScheduleError) as caught:
        lrdsl.compile(text, base_lr=1e-3, total_steps=10_000)
    assert caught.value.code == code
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("name", FINE)
def test_fine(name):
    text, step, rate = FINE[name]
    schedule = lrdsl.compile(text, base_lr=1e-3, total_steps=10_000)
    assert schedule.lr(step) == pytest.approx(rate, rel=1e-12)
    assert lrdsl.compile(str(schedule), base_lr=1e-3, total_steps=10_000).tracks.keys() == schedule.tracks.keys()


def test_a_context_at_its_limits():
    assert lrdsl.compile("linear(total)", base_lr=1e308, total_steps=2**53 - 1).lr(0) == 1e308
    assert lrdsl.compile("linear(5e300tok)", base_lr=1.0, tokens_per_step=1e300).length == 5
    for context in ({"steps_per_epoch": 1e300}, {"steps_per_epoch": 1e-300}):
        with pytest.raises(ScheduleError) as caught:
            lrdsl.compile("linear(5ep)", base_lr=1.0, **context)
        assert caught.value.code in ("E0404", "E0406")
