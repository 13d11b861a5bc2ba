"""`Place`: where a schedule stands, and what it becomes there.

A schedule is placed at a position on a clock; where it stands gives it `prev`, and it
gives back a `Stretch`. Primitives are called here, with where they stand and what they
were given, and trace themselves.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from lrdsl.errors import ScheduleError, Span, raise_all
from lrdsl.language.bound import (
    Argued,
    Bound,
    BoundModified,
    BoundPointwise,
    BoundSegment,
    BoundSequence,
    BoundStructure,
    Broken,
    Length,
    takes_rest,
)
from lrdsl.language.formula import fold
from lrdsl.language.memory import Changed, Memory, Placed
from lrdsl.language.printer import quoted
from lrdsl.language.recovery import Reported
from lrdsl.language.values import shown
from lrdsl.primitives.at import At
from lrdsl.primitives.report import Report, State
from lrdsl.primitives.signature import PREV, SEGMENTS, ObservedModifier, Primitive, Reshaping
from lrdsl.primitives.stage import Part
from lrdsl.program import expr as f
from lrdsl.program.expr import REPORT, STEP, Expr, const, known, substitute
from lrdsl.program.program import FOREVER, STEPS
from lrdsl.program.stretch import Piece, Stretch, combine, half_up, join
from lrdsl.syntax import tree

_STARTS = "it starts where the one before it ended; `from=1x` restarts it"
WITHOUT_END = Fraction(FOREVER)
_UNKNOWN = f.symbol("unknown")
"""The rate of what is wrong: nothing can be said about it, so nothing that follows from it is."""
ON_TIME = const(0)

_COMBINE: Mapping[str, Callable[..., Expr]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "neg": lambda a: -a,
    "factor": lambda k, a: k * a,
    "divide": lambda k, a: a / k,
    "max": lambda *all: fold(f.maximum, list(all)),
    "min": lambda *all: fold(f.minimum, list(all)),
    "clamp": lambda a, low, high: f.minimum(f.maximum(a, low), high),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a schedule stands: a position on a clock, and the rates that reach it.

    `stop` is where the enclosing sequence must end, for `rest`; None if nothing says so. `pace` is how many steps of
    the schedule's own clock one step of this clock takes: a stretched round's is slower. `lost` is what rounding took
    from this clock, see `At`. `total` is the length of the run; `absolute` says that this clock is the run's and the
    position is where the schedule will stand.
    """

    memory: Memory
    clock: Expr
    position: Fraction
    stop: Fraction | None
    prev: Any
    base: Any
    origin: tree.Node
    total: int | None = None
    absolute: bool = True
    pace: Any = 1.0
    lost: Expr = ON_TIME

    @property
    def begin(self) -> int:
        """The first step."""
        return half_up(self.position)

    def now(self, step: Any) -> Expr:
        """The schedule's own clock when this clock shows `step`, a plain or a traced whole number."""
        shown = step if isinstance(step, Expr) else const(step)
        return shown if self.clock is STEP else STEP - (self.clock - shown) * self.pace

    def at(self, value: Expr, step: Any) -> Expr:
        """`value` when this clock shows `step`, a plain or a traced whole number."""
        symbols = {"step": self.now(step), self.clock.payload: step if isinstance(step, Expr) else const(step)}
        if self.lost is not ON_TIME:
            symbols[self.lost.payload] = ON_TIME
        return substitute(value, symbols)

    def earlier(self, steps: int) -> "Place":
        """The same place, so many steps to the left."""
        return replace(self, position=self.position - steps)

    def lower(self, body: Bound, *, clock: Expr, lost: Expr, pace: Any, prev: Expr, base: Expr) -> Stretch:
        """`body` from step 0 of a clock of its own."""
        here = replace(self, clock=clock, lost=lost, pace=pace, prev=prev, base=base)
        there = replace(here, position=Fraction(0), stop=None, absolute=False)
        return there.put(body)

    def put(self, bound: Bound) -> Stretch:
        """The schedule, placed here."""
        match bound:
            case BoundSegment():
                return self._segment(bound)
            case BoundSequence():
                return self._sequence(bound)
            case BoundPointwise():
                return self._pointwise(bound)
            case BoundModified():
                return self._modified(bound)
            case BoundStructure():
                return self._structure(bound)
            case Broken(parts=parts):
                self._each(parts)
                raise Reported
        raise AssertionError(bound)

    def _each(self, schedules: Iterable[Bound]) -> list[Stretch]:
        """All of them, placed here; an error in one hides none in the next."""
        return self.memory.errors.each(partial(self.put, schedule) for schedule in schedules)

    def rewrite(self, parts: Sequence[Part]) -> Stretch:
        """Segments one after another, as if the text had them; their place in it is that of the call here."""
        stretches: list[Stretch] = []
        here = self
        for part in parts:
            primitive, end = SEGMENTS[part.segment], here.position + part.n
            given = {p.python: p.default for p in primitive.parameters} | dict(part.arguments)
            arguments = {name: here._filled(value) for name, value in given.items()}
            written = {name: arguments[name] for name in part.arguments}
            node = _spelled_out(primitive, half_up(end) - here.begin, written, self.origin)
            stretch = here._run(primitive, arguments, end, node)
            stretches.append(stretch)
            here = replace(here, position=stretch.exact, prev=stretch.out)
        return join(stretches)

    def _unknown(self, exact: Fraction, node: tree.Node) -> Stretch:
        """What stands for a schedule that is wrong, so that what follows does not suffer."""
        begin, end = self.begin, FOREVER if exact == WITHOUT_END else half_up(exact)
        pieces = (Piece(begin, end, _UNKNOWN, _UNKNOWN, node),) if end > begin else ()
        return Stretch(pieces, begin, end, exact, _UNKNOWN)

    # --- one segment ------------------------------------------------------------------------------------------

    def _segment(self, bound: BoundSegment) -> Stretch:
        errors, before = self.memory.errors, self.memory.errors.failures
        exact = self.position
        with errors:
            exact = self._end(bound.length, bound.node) if bound.length else self.position
        with errors:
            arguments = self._arguments(bound.primitive, bound.arguments, bound.node)
            if half_up(exact) > self.begin:
                with errors:
                    self._not_frozen(bound, arguments)
            made = self._run(bound.primitive, arguments, exact, bound.node)
        if errors.failures > before:
            made = self._unknown(exact, bound.node)
        else:
            value = made.pieces[0].value if made.pieces else made.out
            if self.lost is not ON_TIME:
                value = substitute(value, {self.lost.payload: ON_TIME})
            self.memory.placed.append(Placed(bound, made.begin, made.end, arguments, value, made.out, self.clock))
        return _bounded(made, bound.node)

    def _run(self, primitive: Primitive, arguments: dict[str, Any], exact: Fraction, node: tree.Node) -> Stretch:
        """A segment's formula from here to `exact`."""
        begin, end = self.begin, FOREVER if exact == WITHOUT_END else half_up(exact)
        n = float("inf") if end == FOREVER else end - begin
        if primitive.length:
            arguments["n"] = n

        def formula(t: Any, step: Expr, lost: Expr) -> Expr:
            value = primitive.function(At(t, n, self.prev, self.base, step, lost), **arguments)
            return value if isinstance(value, Expr) else const(value)

        t = self.clock - begin if begin else self.clock
        value = _spanned(node, lambda: formula(t, STEP, self.lost))
        out = value if end == FOREVER else _spanned(node, lambda: formula(const(n), self.now(end), ON_TIME))
        pieces = (Piece(begin, end, value, out, node),) if end > begin else ()
        return Stretch(pieces, begin, end, exact, out)

    def _structure(self, bound: BoundStructure) -> Stretch:
        arguments = self._arguments(bound.primitive, bound.arguments, bound.node)
        if bound.length:
            arguments["n"] = self._end(bound.length, bound.node) - self.position
        here = replace(self, origin=bound.node)
        made: Stretch = _spanned(bound.node, lambda: bound.primitive.function(here, **arguments))
        return _bounded(made, bound.node)

    def _end(self, length: Length, node: tree.Node) -> Fraction:
        if length.kind == "inf":
            return WITHOUT_END
        if length.kind == "steps":
            return self.position + length.steps
        if length.kind == "until":
            if half_up(length.steps) < self.begin:
                message = f"`until` is step {half_up(length.steps)}, and this segment starts at step {self.begin}"
                hint = f"a length from here on is `n={half_up(length.steps)}`"
                raise ScheduleError("E0410", message, node.span, hint)
            return length.steps
        assert self.stop is not None
        if self.stop < self.position:
            raise ScheduleError("E0409", "nothing is left for `rest`", node.span, "shorten one of the others")
        return self.stop

    def _arguments(self, primitive: Primitive, argued: Argued, node: tree.Node) -> dict[str, Any]:
        before = self.memory.errors.failures
        filled: dict[str, Any] = {}
        for parameter in primitive.parameters:
            if parameter.python in argued.values:
                value = argued.values[parameter.python]
                if parameter.kind.name in ("rate", "rates"):
                    value = value if parameter.kind.late else self._filled(value)
                    span, hint = argued.spans.get(parameter.name), None
                    if span is None:
                        span, hint = node.span, _STARTS if parameter.name == "from" else None
                        self.memory.errors.none_since(before)  # what is written is wrong, not what follows from it
                    called = f"`{parameter.name}` of `{primitive.name}`"
                    with self.memory.errors:
                        for entry in value if isinstance(value, tuple) else (value,):
                            which = f"an entry of {called}" if isinstance(value, tuple) else called
                            _check_rate(entry, which, parameter.kind.above == 0, span, hint)
                filled[parameter.python] = value
        self.memory.errors.none_since(before)
        return filled

    def _filled(self, value: Any) -> Any:
        """A rate, or a list of them, with the base and prev of this place."""
        if isinstance(value, tuple):
            return tuple(self._filled(entry) for entry in value)
        return substitute(value, {"base": self.base, "prev": self.prev}) if isinstance(value, Expr) else value

    def _not_frozen(self, bound: BoundSegment, arguments: Mapping[str, Any]) -> None:
        """E0608: a decay from 0 to 0 is a run that silently learns nothing."""
        start, end = bound.primitive.parameter("from"), bound.primitive.parameter("to")
        if start is None or start.default is not PREV or known(self.base) == 0.0:
            return
        if end is not None and end.required:  # whoever had to write 0 there means it
            return
        fixed = arguments.get("values") is None and known(arguments["from_"]) == 0.0
        if fixed and known(arguments.get("to", 0.0)) == 0.0:
            name = bound.primitive.name
            hint = "restart it with `from=1x`, or use `repeat`"
            raise ScheduleError("E0608", f"`{name}` starts at 0 and stays there", bound.node.span, hint)

    # --- combinations -----------------------------------------------------------------------------------------

    def _sequence(self, bound: BoundSequence) -> Stretch:
        errors, before = self.memory.errors, self.memory.errors.failures
        parts: list[Stretch] = []
        here = self
        for index, part in enumerate(bound.parts):
            made = here._unknown(here.position, part.node)
            with errors:
                made = here._part(bound, index)
            if made.endless and index + 1 < len(bound.parts):
                message = f"{quoted(part.node)} never ends, so what follows is never reached"
                errors.add(ScheduleError("E0503", message, part.node.span, _how_to_end(part)))
                made = replace(made, exact=here.position, out=_UNKNOWN)
            parts.append(made)
            here = replace(here, position=made.exact, prev=made.out)
        errors.none_since(before)
        return join(parts)

    def _part(self, bound: BoundSequence, index: int) -> Stretch:
        """One part of a sequence, placed here."""
        part = bound.parts[index]
        if self.stop is None or takes_rest(part) is None:
            return self.put(part)
        errors, before = self.memory.errors, self.memory.errors.failures
        stop = self.stop
        with errors:
            stop -= sum(map(self._measure, bound.parts[index + 1 :]), Fraction(0))
        if stop < self.position:
            raise self._overfull(bound, self.position, stop)
        made = replace(self, stop=stop).put(part)
        errors.none_since(before)
        return made

    def _measure(self, bound: Bound) -> Fraction:
        """How long a later part is: placed on trial, without knowing what flows into it."""
        prev, base, memory = f.symbol("prev"), f.symbol("base"), Memory(self.memory.errors)
        trial = replace(self, memory=memory, prev=prev, base=base, position=Fraction(0), stop=None, absolute=False)
        stretch = trial.put(bound)
        return Fraction(0) if stretch.endless else stretch.exact

    def _overfull(self, bound: BoundSequence, position: Fraction, stop: Fraction) -> ScheduleError:
        assert self.stop is not None
        used = half_up(position + self.stop - stop)
        message = f"nothing is left for `rest`: the others already use {used} of {half_up(self.stop)} steps"
        return ScheduleError("E0409", message, bound.node.span, "shorten one of them")

    def _pointwise(self, bound: BoundPointwise) -> Stretch:
        schedules = self._each(operand for operand in bound.operands if not isinstance(operand, Expr))
        longest = max(schedules, key=lambda stretch: stretch.end)
        symbols: dict[str | int, Any] = {"base": self.base, "prev": self.prev}

        def level(rate: Expr) -> Stretch:
            value = substitute(rate, symbols)
            return replace(longest, pieces=(Piece(longest.begin, longest.end, value, value, None),), out=value)

        lowered = iter(schedules)
        operands = [level(x) if isinstance(x, Expr) else next(lowered) for x in bound.operands]
        if bound.operation != "mul":
            operation = _COMBINE[bound.operation]
        elif known(self.base) == 0.0:
            raise ScheduleError("E0511", "a product of schedules needs a base other than 0", bound.node.span)
        else:

            def operation(a: Expr, b: Expr) -> Expr:
                return a * b / self.base  # type: ignore[no-any-return]

        return _bounded(combine(operands, operation, lambda *pieces: _combined(bound, pieces), self.at), bound.node)

    def _modified(self, bound: BoundModified) -> Stretch:
        primitive, call = bound.primitive, bound.node.right
        if isinstance(primitive, Reshaping):
            return self._reshaped(bound, primitive)
        body: Stretch | None = None
        with self.memory.errors:
            body = self.put(bound.body)
        arguments = self._arguments(primitive, bound.arguments, call)
        if body is None:
            if not isinstance(primitive, ObservedModifier):  # it may be wrong whatever it modifies
                _spanned(call, lambda: primitive.function(_UNKNOWN, **arguments))
            raise Reported
        assert isinstance(call, tree.Call)
        self.memory.changed.append(Changed(primitive, call, arguments, body, self.clock))
        if not isinstance(primitive, ObservedModifier):
            return body.map(lambda v: _spanned(call, lambda: primitive.function(v, **arguments)), call)
        slot, slots = self.memory.claim(primitive, arguments)
        cells = State(slots)
        update = primitive.function(cells, Report(REPORT, STEP, self.base), **arguments)
        fresh = [(update.get(name, cell), cell) for name, cell in slots.items()]
        traced = [x for new, old in fresh for x in (new if isinstance(old, tuple) else [new])]
        traced = [x if isinstance(x, Expr) else const(x) for x in traced]
        self.memory.listen(arguments["metric"], body.begin, body.end, slot, traced, primitive.skipped)

        def modified(v: Expr) -> Expr:  # no metric lifts a rate of 0, and what starts at 0 is told by it
            return v if known(v) == 0.0 else primitive.modified(v, cells, {**arguments, "step": STEP})

        changed = body.map(modified, call)
        return self._stopped(changed) if "step" in primitive.wanted else changed

    def _stopped(self, stretch: Stretch) -> Stretch:
        """The same, where what flows on is of the step where it ends and moves no more."""

        def out(value: Expr, end: int) -> Expr:
            return value if end == FOREVER else substitute(value, {"step": self.now(end)})

        pieces = tuple(replace(piece, out=out(piece.out, piece.end)) for piece in stretch.pieces)
        return replace(stretch, pieces=pieces, out=out(stretch.out, stretch.end))

    def _reshaped(self, bound: BoundModified, primitive: Reshaping) -> Stretch:
        call, machines = bound.node.right, self.memory.machines
        first = len(machines)
        try:
            arguments = self._arguments(primitive, bound.arguments, call)
            if bound.length is not None:
                arguments["n"] = self._end(bound.length, call) - self.position
        except (ScheduleError, Reported):
            with self.memory.errors:
                self.put(bound.body)
            raise
        here = replace(self, origin=call)
        made: Stretch = _spanned(call, lambda: primitive.function(here, bound.body, **arguments))
        for index in range(first, len(machines)):  # reports are heard where the left side still runs
            machine = machines[index]
            begin = max(machine.begin, made.begin)
            machines[index] = replace(machine, begin=begin, end=max(begin, min(machine.end, made.end)))
        return _bounded(made, bound.node)


def _how_to_end(bound: Bound) -> str:
    """What to do about an endless part that something follows."""
    if isinstance(bound, BoundSegment):
        argument = bound.node.arguments[0].value if isinstance(bound.node, tree.Call) and bound.node.arguments else None
        if bound.primitive.name == "constant" and isinstance(argument, tree.Number) and argument.text.isdigit():
            return f"`{argument.text}` is a rate; `hold({argument.text})` keeps the rate for {argument.text} steps"
        return "give it a length such as `n=1000`, or make it last"
    if isinstance(bound, BoundStructure):
        return "`repeat(3, ...)` ends; or make it last"
    return "give it a length, or make it last"


def _check_rate(value: Any, called: str, positive: bool, span: Span, hint: str | None) -> None:
    rate = known(value)
    if rate is not None and rate < 0:
        raise ScheduleError("E0607", f"{called} is negative ({shown(rate)})", span, hint)
    if rate is not None and positive and not rate > 0:
        raise ScheduleError("E0605", f"{called} must be greater than 0, got {shown(rate)}", span, hint)


def _spelled_out(primitive: Primitive, n: int, rates: Mapping[str, Any], call: tree.Node) -> tree.Node:
    """A segment of a rewrite as it would be written; if a rate has no number yet, the `call` it came from."""
    arguments = []
    for parameter in primitive.parameters:
        if parameter.kind.name == "steps":
            arguments.append(tree.Argument(tree.Number(Fraction(n))))
        elif parameter.python in rates:
            rate = known(rates[parameter.python])
            if rate is None or not math.isfinite(rate):
                return call
            shown = tree.Number(Fraction(repr(float(rate))))
            arguments.append(tree.Argument(shown, None if parameter.required else parameter.name))
    return tree.Call(primitive.name, tuple(arguments), span=call.span)


def _spanned(node: tree.Node, make: Callable[[], Any]) -> Any:
    """What a primitive makes; errors it raises get the place of its call."""
    try:
        return make()
    except ScheduleError as error:
        if error.span is not None:
            raise
        found = (error, *error.others)
        raise_all([ScheduleError(one.code, one.message, node.span, one.hint) for one in found])


def _bounded(stretch: Stretch, node: tree.Node) -> Stretch:
    if not stretch.endless and stretch.end >= STEPS:
        raise ScheduleError("E0404", f"{quoted(node)} would end beyond step 2**53 - 1", node.span)
    return stretch


def written(piece: Piece) -> tree.Node:
    """What a piece runs, as it would be written: its segment, and the modifiers it went through."""
    node: tree.Node = piece.origin
    for call in piece.modifiers:
        node = tree.Pipe(node, call, span=node.span)
    return node


def _combined(bound: BoundPointwise, pieces: tuple[Piece, ...]) -> tree.Node:
    """The text of one piece of a combination: the operation over the pieces that run there, if all do."""
    node = bound.node
    if isinstance(node, tree.Binary) and len(pieces) == 2 and all(piece.origin is not None for piece in pieces):
        return replace(node, left=written(pieces[0]), right=written(pieces[1]))
    return node
