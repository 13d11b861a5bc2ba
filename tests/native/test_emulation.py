"""The device's kernels on a host grid: the bits of the CPU kernel, whatever the grid, its order and its threads."""

from itertools import pairwise, product

import numpy as np
import pytest

import lrdsl
from lrdsl.program.opcodes import NUMBER
from lrdsl.program.program import Code, Program, Segment
from tests.native.native_rows import _C, ADAM, CONTROL, HYPER, ROW, SGD, STEP_FLOAT64, random_arrays
from tests.native.rules import RULES

FLOAT32, FLOAT64, BFLOAT16, FLOAT16 = range(4)
GRAD_FLOAT32 = 4
MEASURE, CLIP, SKIP_NONFINITE, ZERO = 1, 2, 4, 8
CHUNK = 4096
STATE = ("m", "v", "vmax")
ADVANCE, TICKET = 0, 1


def low_bits(values, dtype):
    """Float32 numbers that low precision holds exactly or nearly, as its bits."""
    if dtype == BFLOAT16:
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(np.float16).view(np.uint16)


class Tensors:
    """Tables and the arrays they point to; the same seed makes equal ones, so that two ways to step can be compared."""

    def __init__(self, kind, sizes, options, formats=((FLOAT32, False, False),), flags=0, seed=1, max_norm=1.0):
        """Row i has format i mod their count: (dtype, master, float32 gradient)."""
        self.kind = kind
        self.arrays = []
        self.rows = np.zeros(len(sizes), ROW)
        self.published = self._keep(np.zeros(len(sizes)))
        for i, (row, n) in enumerate(zip(self.rows, sizes, strict=True)):
            dtype, master, _ = formats[i % len(formats)]
            wide = np.float64 if dtype == FLOAT64 else np.float32
            (p,) = random_arrays((seed, i), (n,), wide)
            low = dtype in (BFLOAT16, FLOAT16)
            row["p"] = self._keep(low_bits(p, dtype) if low else p.copy()).ctypes.data
            row["master"] = self._keep(p.copy()).ctypes.data if master else 0
            for k, name in enumerate(STATE):
                (state,) = random_arrays((seed, i, k), (n,), wide, 0.01)
                row[name] = self._keep(np.abs(state)).ctypes.data
            row["n"], row["dtype"], row["group"] = n, dtype, i % 2
            row["step_out"], row["flags"] = self.published[i:].ctypes.data, STEP_FLOAT64
        values = {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8} | self._fields(options)
        self.hypers = np.zeros(2, HYPER)
        for field, value in values.items():
            self.hypers[field] = value
        self.hypers["lr"][1] = 0.003
        self.control = np.zeros(1, CONTROL)
        self.control["max_norm"], self.control["flags"] = max_norm, flags
        self.formats = formats

    @staticmethod
    def _fields(options):
        options = dict(options)
        flags = sum(bit for bit, name in ((1, "maximize"), (2, "amsgrad"), (4, "nesterov"), (8, "decoupled"))
                    if options.pop(name, False))  # fmt: skip
        if "betas" in options:
            options["beta1"], options["beta2"] = options.pop("betas")
        return options | {"flags": flags}

    def _keep(self, array):
        self.arrays.append(array)
        return array

    def gradients(self, seed, scale=0.1, without=()):
        """New gradients in all rows but those ``without``."""
        for i, row in enumerate(self.rows):
            dtype, _, grad_float32 = self.formats[i % len(self.formats)]
            wide = np.float64 if dtype == FLOAT64 else np.float32
            (g,) = random_arrays((seed, i), (int(row["n"]),), wide, scale)
            row["flags"] |= GRAD_FLOAT32 if grad_float32 else 0
            low = dtype in (BFLOAT16, FLOAT16) and not grad_float32
            kept = self._keep(low_bits(g, dtype) if low else g)
            row["g"] = 0 if i in without else kept.ctypes.data if len(g) else 1

    def point(self, field, value):
        """Let ``grad_scale`` or ``found_inf`` be a number."""
        self.control[field] = self._keep(np.array([value], np.float32)).ctypes.data

    def tables(self):
        places = (table.ctypes.data for table in (self.rows, self.hypers, self.control))
        rows, hypers, control = places
        return self.kind, rows, len(self.rows), hypers, len(self.hypers), control

    def numbers(self):
        """Everything that a step may change, but for addresses."""
        counts = [self.rows[name].tobytes() for name in ("step", "flags")]
        control = [self.control[name].tobytes() for name in ("norm", "skipped")]
        return counts + control + [array.tobytes() for array in self.arrays]


GRIDS = [
    # blocks, seed of their order, threads
    (1, 0, 1),
    (2, 1, 1),
    (7, 2, 1),
    (64, 3, 1),
    (1000, 4, 1),
    (7, 5, 3),
    (64, 6, 4),
]
LOW = [(dtype, master, grad) for dtype in (BFLOAT16, FLOAT16) for master in (False, True) for grad in (False, True)]
ALL_FORMATS = ((FLOAT32, False, False), (FLOAT64, False, False), *LOW)
SIZES = (0, 1, 0, 7, 8, CHUNK - 1, CHUNK, CHUNK + 1, 1003, 3 * CHUNK + 17, 255, 257, 0)


def compare(make, steps=3, grids=GRIDS, variants=(ADVANCE, TICKET), before=lambda tensors, t: None, results=None):
    """Step the same tensors by the CPU kernel and on every grid."""

    def run(call):
        tensors = make()
        outcomes = []
        for t in range(steps):
            tensors.gradients(100 + t)
            before(tensors, t)
            outcomes.append(call(tensors))
        return outcomes, tensors.numbers()

    expected = run(lambda tensors: _C.step(*tensors.tables(), 1))
    if results is not None:
        assert expected[0] == results
    untouched = make().numbers()
    assert expected[1][: len(untouched)] != untouched
    for grid, variant in product(grids, variants):
        got = run(lambda tensors, how=(*grid, variant): _C.emulate(*tensors.tables(), *how))
        assert got == expected, (grid, variant)


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule):
    kind, options = RULES[rule]
    compare(lambda: Tensors(kind, (5, 0, CHUNK + 3, 33, 1), options, ALL_FORMATS[:2]), grids=GRIDS[2:4])


@pytest.mark.parametrize("rule", ["sgd", "nesterov-max", "adamw-decay", "amsgrad"])
@pytest.mark.parametrize("format", ALL_FORMATS, ids=str)
def test_formats(rule, format):
    kind, options = RULES[rule]
    compare(
        lambda: Tensors(kind, (CHUNK + 5, 0, 17, 1003), options, (format,), MEASURE | CLIP | ZERO), grids=GRIDS[1:3]
    )


SCALED = {
    "none": {},
    "scale": {"grad_scale": 64.0},
    "found": {"found_inf": 2.0},
    "both": {"grad_scale": 0.5, "found_inf": 0.0},
}


@pytest.mark.parametrize("scaled", SCALED)
@pytest.mark.parametrize("flags", [0, MEASURE, MEASURE | CLIP, MEASURE | SKIP_NONFINITE, ZERO, MEASURE | CLIP | ZERO])
def test_grids(flags, scaled):
    def make():
        tensors = Tensors(ADAM, SIZES, {"decoupled": True, "weight_decay": 0.1}, ALL_FORMATS, flags, max_norm=0.5)
        for field, value in SCALED[scaled].items():
            tensors.point(field, value)
        return tensors

    everything = flags == MEASURE | CLIP | ZERO
    compare(make, steps=2, grids=GRIDS if everything else GRIDS[2:6:3], results=[scaled != "found"] * 2)


@pytest.mark.parametrize("kind", [SGD, ADAM])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("flags", [MEASURE | SKIP_NONFINITE | ZERO, MEASURE | CLIP])
def test_a_gradient_that_is_not_finite(kind, value, flags):
    def spoil(tensors, t):
        if t == 1:
            tensors.arrays[-1][-1] = value

    compare(
        lambda: Tensors(kind, (CHUNK + 5, 7, 300), {"momentum": 0.9}, flags=flags), before=spoil,
        results=[True, not flags & SKIP_NONFINITE, True],
    )  # fmt: skip


def test_rows_without_gradient_rest():
    def rest(tensors, t):
        tensors.gradients(200 + t, without={0, t, 3} if t < 2 else range(5))

    compare(lambda: Tensors(ADAM, (10, CHUNK + 1, 0, 33, 5000), {}, ALL_FORMATS[:2], flags=MEASURE | CLIP), before=rest)


def test_no_rows_are_a_step():
    tensors = Tensors(ADAM, (), {}, flags=MEASURE)
    tensors.control["norm"] = 3.0
    for variant in (ADVANCE, TICKET):
        assert _C.emulate(*tensors.tables(), 5, 1, 2, variant)
    assert tensors.control["norm"] == 0.0


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("scale", [None, 3.0])
def test_norm_alone(scale, grid):
    tensors = Tensors(SGD, SIZES, {}, ALL_FORMATS)
    tensors.gradients(5)
    if scale:
        tensors.point("grad_scale", scale)
    _, rows, n_rows, *_, control = tensors.tables()
    before = tensors.numbers()[2:]
    _C.norm(rows, n_rows, control, 2)
    expected = tensors.control["norm"].tobytes()
    assert tensors.control["norm"] > 0
    tensors.control["norm"] = -1
    _C.emulate_norm(rows, n_rows, control, *grid)
    assert tensors.control["norm"].tobytes() == expected
    assert tensors.numbers()[3:] == before[1:]


def test_unaligned_tensors():
    def shift(tensors, t):
        for name in ("p", "g", "m", "v"):
            tensors.rows[name][1:] += 4  # every row has room behind, but for its last element
        tensors.rows["n"][1:] = 999

    def make():
        tensors = Tensors(ADAM, (1003, 1003, 1003), {})
        return tensors

    def step(call):
        tensors = make()
        tensors.gradients(1)
        shift(tensors, 0)
        call(tensors)
        return tensors.numbers()

    expected = step(lambda tensors: _C.step(*tensors.tables(), 1))
    for variant in (ADVANCE, TICKET):
        assert step(lambda tensors, variant=variant: _C.emulate(*tensors.tables(), 3, 1, 1, variant)) == expected


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("group", 2, "tensor row 1: no group 2"),
        ("dtype", 4, "tensor row 1: no dtype 4"),
        ("n", -1, "tensor row 1: a negative number of elements"),
        ("m", 0, "tensor row 1: Adam without its two moments"),
    ],
)
@pytest.mark.parametrize("variant", [ADVANCE, TICKET])
def test_impossible_tables_change_nothing(field, value, message, variant):
    tensors = Tensors(ADAM, (9, 9), {}, flags=MEASURE | ZERO)
    tensors.gradients(1)
    tensors.rows[field][1] = value
    before = tensors.numbers()
    with pytest.raises(ValueError, match=message):
        _C.emulate(*tensors.tables(), 2, 0, 1, variant)
    assert tensors.numbers() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 0, 1, 2), "variant: expected 0 .advance. or 1 .ticket., got 2"),
        ((0, 0, 1, 0), "blocks: expected 1 to"),
        ((1, 0, 0, 0), "threads: expected at least 1"),
    ],
)
def test_impossible_grids(arguments, message):
    tensors = Tensors(ADAM, (9,), {})
    with pytest.raises(ValueError, match=message):
        _C.emulate(*tensors.tables(), *arguments)
    with pytest.raises(ValueError, match=r"kind: expected 0 .SGD. or 1 .Adam., got 2"):
        _C.emulate(2, *tensors.tables()[1:], 1)


# ---- the table of chunks ----


def chunks(sizes, wanted, without=()):
    rows = np.zeros(len(sizes), ROW)
    rows["n"] = sizes
    rows["g"] = [0 if i in without else 1 << 40 for i in range(len(sizes))]  # an address that nobody may touch
    return _C.chunks(rows.ctypes.data, len(rows), wanted)


@pytest.mark.parametrize("wanted", [1, 100, 10**5])
@pytest.mark.parametrize("n", [2**31 + 1, 2**32 + 1])
def test_numel_over_2_31(n, wanted):
    sizes = (5, 0, n, 7, n, 3)
    table = chunks(sizes, wanted, without={4})
    lengths = {b[1] - a[1] for a, b in pairwise(table) if a[0] == b[0]}
    (length,) = lengths
    assert length % CHUNK == 0
    expected, partial = [], 0
    for row, size in enumerate(sizes):
        if row == 4:
            continue
        expected += [(row, start, partial + start // CHUNK) for start in range(0, size, length)]
        partial += -(-size // CHUNK)
    assert table == expected
    assert len(table) >= wanted or length == CHUNK


@pytest.mark.parametrize("n", [2**31 + 1, 2**32 + 1])
@pytest.mark.parametrize("kind", [SGD, ADAM])
@pytest.mark.parametrize("variant", [ADVANCE, TICKET])
def test_elements_beyond_2_31(kind, variant, n):
    # Only the last chunk of the tensors exists, so it alone may be walked.
    blocks = 10**6
    n += 77
    last = chunks((n,), blocks)[-1][1]
    short = Tensors(kind, (n - last,), {"momentum": 0.9, "weight_decay": 0.1})
    long = Tensors(kind, (n - last,), {"momentum": 0.9, "weight_decay": 0.1})
    for tensors in (short, long):
        tensors.gradients(1)
    for name in ("p", "g", *STATE):
        long.rows[name] -= 4 * last
    long.rows["n"] = n
    emulation = _C.Emulation(*long.tables(), blocks, variant, [], [])
    emulation.keep_last(1)
    emulation.replay(1, blocks=3)
    assert _C.step(*short.tables(), 1)
    assert long.numbers() == short.numbers()


def test_chunks_are_as_long_as_the_grid_allows():
    assert [len(chunks((2**20,), wanted)) for wanted in (1, 17, 200, 257)] == [16, 32, 256, 256]
    assert chunks((), 10) == []
    assert chunks((0, 5), 10, without={1}) == []


# ---- captured steps ----

LR, WEIGHT_DECAY = 0, 1  # numbers of a Hyper
FOLLOWED = [
    # group, field, base, text
    (0, LR, 0.1, "warmup(50) >> cosine(600, to=0.1x) | plateau(patience=2, factor=0.5)"),
    (1, LR, 0.02, "repeat(20, linear(30))"),
    (1, WEIGHT_DECAY, 0.3, "hold(100) >> exponential(0.99)"),
]


class Device:
    """What a device's memory would hold of some schedules, and the same schedules on the host."""

    def __init__(self, texts=FOLLOWED):
        self.schedules = [lrdsl.compile(text, base_lr=base) for _, _, base, text in texts]
        programs = [schedule.program() for schedule in self.schedules]
        self.programs = [_C.Program(program.pack()) for program in programs]
        self.slots = [np.array([*program.state, 0.0]) for program in programs]
        self.targets = [
            (program.address, slots.ctypes.data, 0, group, field)
            for program, slots, (group, field, _, _) in zip(self.programs, self.slots, texts, strict=True)
        ]
        self.listeners = [(i, 0, 0) for i, program in enumerate(programs) if program.machines]

    def hypers(self, into, step, texts=FOLLOWED):
        for schedule, (group, field, _, _) in zip(self.schedules, texts, strict=True):
            into[HYPER.names[field]][group] = schedule.lr(step)


@pytest.mark.parametrize("grid", [(1, 0, 1), (5, 3, 1), (5, 4, 2)], ids=str)
@pytest.mark.parametrize("variant", [ADVANCE, TICKET])
def test_graph_follows_schedule(variant, grid):
    device, steps = Device(), 1000
    assert device.listeners

    def make():
        tensors = Tensors(ADAM, (40, 3, 0, 300), {"decoupled": True, "weight_decay": 0.3}, flags=MEASURE | CLIP)
        tensors.gradients(1)
        tensors.point("found_inf", 0.0)
        return tensors, tensors.arrays[-1]

    captured, overflow = make()
    emulation = _C.Emulation(*captured.tables(), grid[0], variant, device.targets, device.listeners)
    eager, eager_overflow = make()
    clock = 0
    for t in range(steps):
        if t % 40 == 7:
            value = float(t % 90)
            emulation.report(0, value)
            device.schedules[0].observe(value, step=clock)
        overflow[0] = eager_overflow[0] = t % 50 == 3
        emulation.replay(1, *grid)
        device.hypers(eager.hypers, clock)
        clock += _C.step(*eager.tables(), 1)
    assert emulation.clock == clock == steps - 20
    assert captured.hypers.tobytes() == eager.hypers.tobytes()
    assert captured.numbers() == eager.numbers()
    assert device.slots[0][:-1].tolist() == list(device.schedules[0].track("lr").state)
    assert emulation.faults == [-1] * 3


@pytest.mark.parametrize("variant", [ADVANCE, TICKET])
def test_graph_follows_a_changed_plan(variant):
    before, after = Device(), Device([(0, LR, 0.1, "linear(80)"), (1, LR, 0.5, "cosine(77)"), FOLLOWED[2]])
    captured, eager = (Tensors(ADAM, (40, 300), {"weight_decay": 0.3}) for _ in range(2))
    for tensors in (captured, eager):
        tensors.gradients(1)
    emulation = _C.Emulation(*captured.tables(), 4, variant, before.targets, [])
    for clock in range(60):
        device = before if clock < 20 else after
        if clock == 20:
            for target, program in enumerate(after.programs):
                emulation.plan(target, program.address)
        if clock == 40:  # eps is no target: what the host writes stays
            captured.hypers["eps"] = eager.hypers["eps"] = 1e-3
        emulation.replay(1, 4)
        device.hypers(eager.hypers, clock)
        assert _C.step(*eager.tables(), 1)
        assert captured.hypers.tobytes() == eager.hypers.tobytes()
    assert captured.numbers() == eager.numbers()
    emulation.clock = 30
    emulation.replay(1, 4)
    assert emulation.clock == 31
    assert captured.hypers["lr"][0] == after.schedules[0].lr(30)


def falling(first, slope):
    """The Program of ``first - slope * step``."""
    code = [("CONSTANT", 0), ("STEP", 0), ("CONSTANT", 1), ("MUL", 0), ("SUB", 0)]
    packed = tuple((NUMBER[name], argument) for name, argument in code)
    return Program((Segment(0, Code(0, len(code))),), (), packed, (first, slope), (), (), (), 3, 0)


@pytest.mark.parametrize(
    ("field", "first", "slope", "fault"),
    [("lr", 0.5, 0.1, 6), ("lr", 0.5, np.nan, 0), ("lr", 0.5, -1e308, 2), ("beta1", 0.5, -0.125, 4)],
)
@pytest.mark.parametrize("variant", [ADVANCE, TICKET])
def test_an_unusable_value_holds_the_last_one(variant, field, first, slope, fault):
    tensors = Tensors(ADAM, (40,), {})
    tensors.gradients(1)
    tensors.point("found_inf", 1.0)
    program = _C.Program(falling(first, slope).pack())
    emulation = _C.Emulation(*tensors.tables(), 2, variant, [(program.address, 0, 0, 0, HYPER.names.index(field))], [])
    start = tensors.hypers[field][0]
    emulation.replay(2, 2)
    assert (emulation.clock, emulation.faults, tensors.hypers[field][0]) == (0, [-1], start)  # a skipped step is none
    tensors.arrays[-1][0] = 0.0
    applied = []
    for _ in range(8):
        emulation.replay(1, 2)
        applied.append(tensors.hypers[field][0])
    assert emulation.faults == [fault]
    last = first - slope * (fault - 1) if fault > 1 else first if fault else start
    assert applied[fault:] == [pytest.approx(last, abs=1e-15)] * (8 - fault)
    assert applied[:fault] == [first - slope * step if step else first for step in range(fault)]
    assert emulation.clock == 8


def test_impossible_targets():
    tensors = Tensors(ADAM, (9,), {})
    for targets, listeners in (([(0, 0, 0, 2, 0)], []), ([(0, 0, 0, 0, 7)], []), ([], [(0, 0, 0)])):
        with pytest.raises(ValueError, match="is out of range"):
            _C.Emulation(*tensors.tables(), 1, ADVANCE, targets, listeners)
