"""Random valid texts, for Hypothesis: what they mean is left to the tests, that they mean something is sure."""

from hypothesis import strategies as st

CONTEXT = {
    "base_lr": 1e-3,
    "total_steps": 10_000,
    "steps_per_epoch": 100,
    "tokens_per_step": 1e6,
    "samples_per_step": 256,
    "params": {"warm": 500, "peak_k": 0.5},
}

whole = st.integers(1, 5000).map(str)
lengths = st.one_of(
    whole,
    st.sampled_from(
        ["3ep", "2.5ep", "10%", "0.5k", "50Mtok", "2_560smp", "warm", "total / 8", "total - 9000", "2 * 3ep"]
    ),
)
rates = st.sampled_from(
    ["0.1x", "1x", "base", "2e-4", "0.5 * base", "base / 3 + 1e-6", "1e-5", "peak_k * base", "-(-1e-6)"]
)
numbers = st.sampled_from(["0.5", "0.9", "1", "2", "1 / 3", "2 ** -1", "peak_k"])
gammas = st.sampled_from(["0.1", "0.5", "0.999", "1 - 1e-3"])
formulas = st.sampled_from(
    [
        "base * (1 + cospi(u)) / 2",
        "where(t < 10, base * t / 10, base)",
        "max(1e-6, base / sqrt(1 + t))",
        "0.1x + 0.9x * cos(pi * u / 2) ** 2",
        "prev * exp(-t / 500) + 1e-9",
        "clamp(prev, 1e-6, base * abs(sin(step)) + 1e-6)",
    ]
)


@st.composite
def segments(draw):
    """A segment that ends, above 0."""
    n, to, start = draw(lengths), draw(rates), draw(rates)
    ends = f"{n}, to={to}" if draw(st.booleans()) else f"n={n}, to={to}, from={start}"
    kind = draw(st.integers(0, 8))
    factors = draw(st.sampled_from(["gamma=0.5, every=2000", "gamma=0.9, every=5ep"]))
    return [
        f"warmup({n}, to={to}, shape={draw(st.sampled_from(['linear', 'cosine', 'log', 'one_minus_sqrt']))})",
        f"hold({n})",
        f"constant({to}, {n})",
        f"{draw(st.sampled_from(['linear', 'cosine', 'one_minus_sqrt', 'geometric']))}({ends})",
        f"polynomial({n}, {draw(numbers)}, {to})",
        f"{draw(st.sampled_from(['exponential', 'step']))}({factors}, n={n})",
        f"multistep([1ep, 2ep], gamma={draw(gammas)}, n={n} + 500)",
        f"inverse_time({draw(numbers)}, n={n})",
        f"expr({draw(formulas)}, n={n})",
    ][kind]


def sequences(inner):
    return st.lists(inner, min_size=2, max_size=4).map(lambda parts: "(" + " >> ".join(parts) + ")")


def branches(inner):
    return st.one_of(
        sequences(inner),
        st.builds("repeat({}, {}, mult={}, gain={})".format, st.integers(1, 4), inner, st.integers(1, 3), numbers),
        st.builds("({} * {})".format, numbers, inner),
        st.builds("({} / {})".format, inner, numbers),
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "*"]), inner),
        st.builds("{}({}, {}, {})".format, st.sampled_from(["max", "min"]), inner, inner, rates),
        st.builds("({} | clamp(min={}))".format, inner, rates),
        st.builds("({} | scale({}))".format, inner, numbers),
    )


ending = st.recursive(segments(), branches, max_leaves=6)
last = st.sampled_from(
    ["", " >> hold()", " >> inverse_sqrt(50)", " >> cycle(cosine(9, to=0.1x), mult=2)", " >> exponential(0.999)"]
)
listeners = st.sampled_from(
    [
        "",
        " | plateau()",
        " | plateau(2, factor=0.5, cooldown=1, min=1e-6, every=1ep)",
        " | guard()",
        " | guard(spike=1.5, window=3, factor=0.1, recover=2.5ep, min=1e-6, nonfinite=false)",
        " | guard(factor=0.01, recover=inf) | normscale(2, metric=loss)",
        " | greedy(0, min=0.1x)",
        " | greedy(1, factor=0.5, mode=max, threshold_mode=rel, cooldown=2, warmup=1, max=2e-3, smooth=64)",
    ]
)
schedules = st.builds("{}{}{}".format, ending, last, listeners)
named = st.builds("lr = {}; lr[head] = 10 * ({}); weight_decay = constant(0.1) + {}".format, schedules, ending, rates)
lets = st.builds("let w = {}; let f = {}; warmup(w) >> linear(w, to=f) >> {}".format, lengths, rates, ending)
texts = st.one_of(schedules, schedules, named, lets)
