"""From the bound tree to a Program: one target's schedule placed at step 0, and assembled."""

from dataclasses import dataclass
from fractions import Fraction

from lrdsl.errors import ScheduleError
from lrdsl.language.bound import Bound
from lrdsl.language.memory import Changed, Memory, Placed
from lrdsl.language.place import Place
from lrdsl.language.recovery import Errors
from lrdsl.program.assembler import Assembler
from lrdsl.program.expr import STEP, bounded, const, symbol, symbols_in
from lrdsl.program.program import NODES, Machine, Program, Segment
from lrdsl.program.stretch import Stretch


@dataclass(frozen=True, slots=True)
class Lowered:
    """A Program; the pieces it was made of, and what stands where, for whoever explains it."""

    program: Program
    stretch: Stretch
    placed: tuple[Placed, ...]
    changed: tuple[Changed, ...]


def lower(
    bound: Bound,
    base: float | None,
    prev: float | None,
    total: int | None,
    target: str,
    errors: Errors,
) -> Lowered:
    """The Program of one target's schedule, entered at `prev` or else at its base.

    Raises:
        ScheduleError: The Program is wrong as a whole.
        Reported: Parts of it are wrong; `errors` has them.
    """
    whole = bound.node
    try:
        with bounded(NODES):
            return _lower(bound, base, prev, total, target, errors)
    except ScheduleError as error:
        if error.code != "E0907" or error.span is not None:
            raise
        raise ScheduleError(error.code, error.message, whole.span, error.hint) from None


def _lower(
    bound: Bound, base: float | None, prev: float | None, total: int | None, target: str, errors: Errors
) -> Lowered:
    memory, whole = Memory(errors), bound.node
    start = symbol("base") if base is None else const(base)
    entry = start if prev is None else const(prev)
    stop = None if total is None else Fraction(total)
    before = errors.failures
    stretch = Place(memory, STEP, Fraction(0), stop, entry, start, whole, total).put(bound)
    errors.none_since(before)
    if stretch.end == 0:
        raise ScheduleError("E0406", "the whole schedule has no steps", whole.span)
    roots = [(piece.begin, piece.value) for piece in stretch.pieces]
    if not stretch.endless:
        roots.append((stretch.end, stretch.out))
    traced = [value for _, value in roots] + [value for machine in memory.machines for value in machine.update]
    if base is None and any(map(symbols_in, traced)):
        hint = "pass `base_lr=...`" if target == "lr" else f'pass `bases={{"{target}": ...}}`'
        raise ScheduleError("E0401", f"`{target}` uses its base, which is not set", whole.span, hint)
    assembler = Assembler()
    segments = [Segment(begin, assembler.add([value])) for begin, value in roots]
    machines = [
        Machine(m.metric, m.begin, m.end, m.slot, len(m.update), m.skipped, assembler.add(m.update))
        for m in memory.machines
    ]
    program = assembler.finish(segments, machines, memory.state, memory.slots, memory.metrics)
    return Lowered(program, stretch, tuple(memory.placed), tuple(memory.changed))
