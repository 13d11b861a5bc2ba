"""Texts made to take time or memory, and what each must be answered with: a code, or nothing where it compiles.

`benchmarks/hostile.py` measures them; `test_limits.py` and `test_hostile.py` have more, on the limits themselves.
"""

FULL = 65536


def nested(before, inner, after, depth):
    return before * depth + inner + after * depth


def doubled(first, how, times, last="{}"):
    """A `let` that names twice the one before it, so many times."""
    lets = "".join(f"let a{i + 1} = a{i} {how} a{i}; " for i in range(times))
    return f"let a0 = {first}; {lets}{last.format(f'a{times}')}"


def chained(first, step, times):
    """A `let` that names the one before it, so many times."""
    lets = "".join(f"let a{i + 1} = {step.format(f'a{i}')}; " for i in range(times))
    return f"let a0 = {first}; {lets}a{times}"


def listed(items, separator=", "):
    return separator.join(map(str, items))


def filled(unit, last=""):
    return unit * ((FULL - len(last)) // len(unit)) + last


def balanced(items, how=" + "):
    """Operands in brackets, so that many do not nest deep."""
    while len(items) > 1:
        items = [f"({how.join(items[at : at + 8])})" for at in range(0, len(items), 8)]
    return items[0]


def eights(text, how=" + "):
    """64 of it."""
    return balanced([text] * 64, how)


def many(text, count, how=" >> "):
    return how.join([text] * count)


def groups(schedule, count):
    return listed((f"lr[{i}] = {schedule}" for i in range(count)), "; ")


_FALLING = listed((f"linear(5, from=1x, to=0.{1 + i % 9}x)" for i in range(300)), " >> ")
_UNLIKE = [f"1 / {10**50 + 7 * i + 1}" for i in range(512)]

HOSTILE = {
    # `let` is bounded: each one, all of them, and what uses them.
    "lets-of-a-long-one": (
        "E0902",
        f"let a = hold(1) {'>> hold(1) ' * 1000}; " + listed((f"let c{i} = a" for i in range(250)), "; ") + "; c1",
    ),
    "lets-of-a-sum": (
        "E0902",
        f"let a = {eights('1')}; let b = {eights('a')}; "
        + listed((f"let c{i} = b" for i in range(250)), "; ")
        + "; constant(b)",
    ),
    "groups-between-lets": (
        "E0902",
        f"let a = {eights('1')}; let b = {eights('a')}; "
        + listed((f"lr[{i}] = constant(b); let c{i} = 1" for i in range(120)), "; "),
    ),
    "doubling-sums": ("", doubled("cosine(10)", "+", 5)),
    "doubling-many-sums": ("E0902", doubled("cosine(10)", "+", 11)),
    "max-of-max-of-max": (
        "",
        "let a = hold(1) >> hold(2); let b = max(a,a,a,a,a,a,a,a); let c = max(b,b,b,b,b,b,b,b); max(c,c,c,c,c)",
    ),
    # Exact numbers stay small enough.
    "fractions": ("E0105", f"constant({balanced(_UNLIKE)})"),
    "fractions-multiplied": ("E0105", f"constant({balanced([f'(1 + {x})' for x in _UNLIKE], ' * ')})"),
    # What flows on behind a plateau is a formula, which grows.
    "prev-squared": ("E0907", "(hold(5) | plateau()) >> " + many("expr(prev * prev, n=5)", 500)),
    "prev-halved": ("E0907", "(hold(5) | plateau()) >> " + many("linear(5, to=prev / 2)", 600)),
    "prev-held": ("E0907", "(hold(5) | plateau()) >> " + many("hold(5)", 1400)),
    "prev-in-functions": (
        "E0907",
        "(hold(5) | plateau()) >> " + many("expr(prev * prev + sin(prev) * tanh(prev), n=5)", 250),
    ),
    # Operators on many pieces.
    "sums-of-sequences": ("E0907", listed((f"({many(f'hold({i + 2})', 30)})" for i in range(50)), " + ")),
    "products-of-sequences": (
        "E0907",
        listed((f"({many(f'linear({i + 2}, from=1x)', 25)})" for i in range(40)), " * "),
    ),
    "modified-pieces": ("E0907", f"({many('hold(1)', 600)})" + " | scale(1.01)" * 55),
    "clamped-pieces": ("E0907", f"({many('hold(1)', 600)})" + " | clamp(0, 1)" * 55),
    "plateaus-over-pieces": ("E0907", f"({many('hold(1)', 600)})" + " | plateau()" * 50),
    "sampled-pieces": ("", f"({many('hold(1)', 600)})" + " | sample(2)" * 50),
    "skipped-pieces": ("", f"({many('hold(1)', 600)})" + " | skip(1)" * 40),
    "taken-pieces": ("", f"({many('hold(1)', 600)})" + " | take(500)" * 40),
    "cooled-pieces": ("E0907", f"({many('hold(1)', 600)})" + " | cooldown(300)" * 40),
    "max-of-rates": ("", nested("max(", "cosine(9)", ", " + many("0.1x", 60, ", ") + ")", 60)),
    # Clocks in clocks.
    "rounds-of-pieces": ("E0907", nested("repeat(2, ", _FALLING, ")", 60)),
    "stretched-rounds-of-pieces": ("E0907", nested("repeat(2, ", _FALLING, ", mult=2, gain=0.5)", 30)),
    "rounds-of-constants": (
        "E0907",
        nested("repeat(1, ", listed((f"constant({i}, 1)" for i in range(900)), " >> "), ")", 60),
    ),
    "rounds-of-milestones": ("E0907", nested("repeat(1, ", f"multistep([{listed(range(1000))}], n=2000)", ")", 60)),
    "rounds-to-the-end": ("E0404", nested("repeat(2, ", "cosine(4)", ", mult=2, gain=0.5)", 50)),
    "rest-in-rest": ("", nested("(hold(1) >> ", "hold(rest)", ")", 60)),
    "many-rests": ("", f"max({many('hold(1) >> linear(rest, to=1x) >> hold(1)', 400, ', ')})"),
    # Many targets, many rows.
    "groups": ("", groups("warmup(9) >> cosine(99) | plateau()", 256)),
    "groups-of-segments": ("", groups(many("cosine(9, from=1x)", 5) + " | plateau(3, factor=0.3)", 150)),
    "groups-of-formulas": ("E0907", groups("expr(base * (sin(t) + sin(t) + sin(t) + 9), 9)", 256)),
    "multisteps": ("E0907", listed((f"multistep([{listed(range(1000))}], from=1x, n=2000)" for _ in range(4)), " >> ")),
    # Formulas.
    "tanh-of-tanh": ("", "expr(" + nested("tanh(", "t", ")", 60) + ")"),
    "products-of-sums": ("E0902", f"expr(1e-99 * {eights(eights('t'), ' * ')}, n=1)"),
    "many-functions": ("E0907", "expr(max(" + listed(f"tanh(sin(cos(t + {i})))" for i in range(250)) + "))"),
    "choices": ("", "expr(" + nested("where(t < 1, ", "t", f", max({listed(['u'] * 60)}))", 50) + ", n=9)"),
    # What notes look at: milestones, each segment of the table, what stands on the left of a clamp.
    "milestones": ("", f"multistep([{listed(range(1, 1001))}])"),
    "milestones-of-no-effect": ("", f"multistep([{listed(range(1, 1001))}], gamma=1)"),
    "milestones-in-pairs": ("", f"multistep([{listed(i // 2 for i in range(2, 1002))}])"),
    "one-milestone": ("", f"multistep([{many('5', 1024, ', ')}])"),
    "rates": (
        "",
        f"multistep([{listed(range(1, 800))}], values=[{many('0.1x', 800, ', ')}])",
    ),
    "segments": ("", listed((f"constant({i + 1}e-6, 1)" for i in range(1000)), " >> ")),
    "segments-of-a-plateau": ("", "(hold(5) | plateau()) >> " + many("linear(5, to=prev / 2)", 40)),
    "clamp-of-more-than-fits": (
        "",
        f"(({many(f'multistep([{listed(range(1, 101))}], from=1x, n=200)', 20)}) | clamp(max=0.5)) | take(10)",
    ),
    "clamps": ("", f"({many('hold(1)', 100)})" + " | clamp(0, 1)" * 30),
    # Words and lines.
    "statements": ("E0905", filled("a;")),
    "entries": ("E0906", "[" + "1," * 32_000 + "1]"),
    "arguments": ("E0906", "f(" + "a=1," * 16_000 + ")"),
    "sequence": ("E0902", filled("a>>", "a")),
    "terms": ("E0901", filled("1+", "1")),
    "lists": ("E0204", "f(" + listed("[" + "1," * 1000 + "]" for _ in range(32)) + ")"),
    "signs": ("E0204", "f(" + listed("-" * 60 + "1" for _ in range(1000)) + ")"),
    "brackets": ("E0204", "f(" + listed("(" * 60 + "1" + ")" * 60 for _ in range(500)) + ")"),
    "strings": ("E0103", filled('""')),
    "comments": ("", filled("#\n", "hold()")),
    "a-long-line": ("E0101", "hold(1) >> " * 4000 + "$"),
    "many-lines": ("E0204", "\n" * 65_000 + "cosin(5)"),
    "combining": ("E0101", "a" + "\u0301" * 60_000),
    "right-to-left": ("E0103", "cosine(10) x \u202e" + "\u05d0" * 60_000),
    "surrogates": ("E0101", "\ud800" * 60_000),
    "nul": ("E0101", "\x00" * 60_000),
    "names-alike": ("E0201", listed((f"let {'x' * 60}{i} = 1" for i in range(255)), "; ") + f"; hold({'x' * 63})"),
    "endless-and-long": ("E0503", f"({many('hold(1)', 1000)} >> hold()) >> hold(1)"),
    "long-and-wrong": ("E0302", f"hold({eights('prev')})"),
}
