"""From the tree as written to the bound tree: names, `let`, operators, structure.

One `Binder` per compile. `bind` gives a value (number, duration, rate, word) or a
bound schedule; which of the two a place needs is checked where it stands.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from lrdsl.errors import ScheduleError, Span
from lrdsl.language import outside
from lrdsl.language.arguments import bind_arguments
from lrdsl.language.bound import (
    Bound,
    BoundModified,
    BoundPointwise,
    BoundSegment,
    BoundSequence,
    BoundStructure,
    Broken,
    takes_rest,
    takes_until,
)
from lrdsl.language.context import TARGETS, UNIT_KEYWORDS
from lrdsl.language.formula import FUNCTIONS, NAMES
from lrdsl.language.hints import suggestion
from lrdsl.language.printer import quoted, render, written
from lrdsl.language.recipes import WORDS
from lrdsl.language.recovery import Reported
from lrdsl.language.scope import POINTWISE, VALUE_NAMES, Scope
from lrdsl.language.values import Dur, Num, Open, Rate, Value, Word, arithmetic, describe, negate, number
from lrdsl.language.values import shown as as_number
from lrdsl.primitives import MODIFIERS, SEGMENTS
from lrdsl.primitives.signature import BASE, PREV, ObservedModifier, Segment, Structure
from lrdsl.program.expr import const
from lrdsl.syntax import tree

ONE_AFTER_ANOTHER = "`>>` runs one segment after another"


class Binder(Scope):
    """Binds the expressions of one text to one context."""

    def named(self, node: tree.Name) -> Value | Bound | None:
        """What a `let` or a param of that name is, bound afresh; None if there is none."""
        if node.id in self.lets:
            found = self.lets[node.id]
            if found is None:
                raise Reported
            value, index = found
            if index < self.visible:
                outer, self.visible = self.visible, index
                try:
                    return self.bind(value)
                finally:
                    self.visible = outer
        if node.id in self.context.params:
            return Num(Fraction(self.context.params[node.id]))
        if node.id == self.defining:
            raise ScheduleError("E0214", f"`{node.id}` refers to itself", node.span)
        return None

    def _name(self, node: tree.Name) -> Value | Bound:
        value = self.named(node)  # first: a `let` of a reserved name is wrong, and its uses are silent
        if value is not None:
            return value
        match node.id:
            case "base":
                return Rate(BASE)
            case "prev":
                return Rate(PREV)
            case "inf":
                return Open("inf")
            case "total":
                return Dur(self._unit("%", "total", node.span) * 100)
        if self.is_function(node.id):
            raise self._bare_function(node)
        if node.id in NAMES:
            hint = "a formula is a segment of its own: `expr(base * (1 - u), n=1000)`"
            raise ScheduleError("E0305", f"`{node.id}` only exists inside expr(...)", node.span, hint)
        label = WORDS.get(node.id.lower()) or suggestion(node.id, [*self.names(), *VALUE_NAMES, "rest"])
        raise ScheduleError("E0201", f"unknown name `{node.id}`", node.span, label)

    def _unit(self, unit: str, shown: str, span: Span) -> Any:
        steps = self.context.steps(unit)
        if steps is None:
            keyword = UNIT_KEYWORDS[unit]
            hint = f"pass `{keyword}=...`"
            raise ScheduleError("E0401", f"`{shown}` needs {keyword}, which is not set", span, hint)
        return steps

    # --- expressions ----------------------------------------------------------------------------------------

    @staticmethod
    def shown(node: tree.Node) -> str:
        """The text of a node, for messages."""
        return quoted(node)

    def bind(self, node: tree.Node) -> Value | Bound:
        """A value or a schedule."""
        self.enter(node)
        try:
            return self._bind(node)
        finally:
            self.leave()

    def _bind(self, node: tree.Node) -> Value | Bound:
        match node:
            case tree.Number(value, unit):
                if unit == "":
                    return Num(value)
                if unit == "x":
                    return Rate(BASE if value == 1 else number(value, node.span) * BASE)
                return Dur(value * self._unit(unit, node.text, node.span))
            case tree.Name():
                return self._name(node)
            case tree.Rest():
                self._unit("%", "rest", node.span)
                return Open("rest")
            case tree.Flag(value):
                return Word(value, "flag")
            case tree.String(value):
                return Word(value, "text")
            case tree.Items():
                return Word(node, "list")
            case tree.Call():
                return self._call(node)
            case tree.Negate(operand):
                inner = self.bind(operand)
                if isinstance(inner, Bound):
                    return BoundPointwise("neg", (inner,), node)
                return negate(inner, node.span, render(node))
            case tree.Binary():
                return self._binary(node)
            case tree.Then(parts):
                return self._sequence(node, parts)
            case tree.Pipe():
                return self._pipe(node)
            case tree.Compare():
                set_ = isinstance(node.left, tree.Name) and node.left.id in TARGETS
                hint = {">": ONE_AFTER_ANOTHER, "==": "write one `=` to set it" if set_ else None}.get(node.op)
                raise ScheduleError("E0510", "a comparison only works inside expr(...)", node.op_span, hint)
        raise AssertionError(node)

    def attempt(self, node: tree.Node) -> Value | Bound:
        """A value or a schedule; `Broken` if it is wrong, which is noted."""
        with self.errors:
            return self.bind(node)
        return Broken(node)

    def schedule(self, node: tree.Node) -> Bound:
        """A schedule, or an error that says what to write instead."""
        bound = self.bind(node)
        if isinstance(bound, Bound):
            return bound
        fix = _spelled_out(node, bound)
        raise ScheduleError("E0309", f"{self.shown(node)} is {describe(bound)}, not a schedule", node.span, fix)

    def _call(self, node: tree.Call) -> Bound:
        name = node.function
        primitive = SEGMENTS.get(name)
        if isinstance(primitive, Structure):
            outer, self.repeating = self.repeating, self.repeating or primitive.has_body
            try:
                arguments, length = bind_arguments(self, node, primitive)
            finally:
                self.repeating = outer
            return BoundStructure(primitive, arguments, length, node)
        if isinstance(primitive, Segment):
            arguments, length = bind_arguments(self, node, primitive)
            return BoundSegment(primitive, arguments, length, node)
        if name in POINTWISE:
            return self._pointwise_call(node)
        if name in MODIFIERS:
            fix = f"write `... | {name}(...)` after a schedule"
            raise ScheduleError("E0501", f"`{name}` modifies a schedule, it is not one", node.span, fix)
        if name in FUNCTIONS:
            raise outside.called(node, self)
        raise self._unknown_function(node, [*SEGMENTS, *MODIFIERS, *POINTWISE])

    def _unknown_function(self, node: tree.Call, candidates: Sequence[str]) -> ScheduleError:
        name = node.function
        if name in self.names():
            return ScheduleError("E0204", f"`{name}` is not a function", node.function_span, f"write `{name}`")
        given = [(argument.name or "", argument.value) for argument in node.arguments]
        hint = suggestion(name, candidates, given=given)
        return ScheduleError("E0204", f"unknown function `{name}`", node.function_span, hint)

    @staticmethod
    def _bare_function(node: tree.Name) -> ScheduleError:
        primitive = SEGMENTS.get(node.id) or MODIFIERS.get(node.id)
        usage = f"usage: {primitive.signature}" if primitive else f"write `{node.id}(...)`"
        if primitive and not any(parameter.required for parameter in primitive.parameters):
            usage = f"write `{node.id}()`"
        return ScheduleError("E0306", f"`{node.id}` needs parentheses: it is a function", node.span, usage)

    def _pointwise_call(self, node: tree.Call) -> Bound:
        name, fewest = node.function, POINTWISE[node.function]
        if any(argument.name for argument in node.arguments):
            fix = "only `... | clamp(min=..., max=...)` has names" if name == "clamp" else None
            raise ScheduleError("E0205", f"the arguments of `{name}` have no names", node.span, fix)
        if len(node.arguments) < fewest or (name == "clamp" and len(node.arguments) > fewest):
            most = "exactly" if name == "clamp" else "at least"
            message = f"`{name}` takes {most} {fewest} arguments, got {len(node.arguments)}"
            raise ScheduleError("E0206", message, node.span)
        operands = [self._operand(argument.value, self.attempt(argument.value)) for argument in node.arguments]
        if not any(isinstance(operand, Bound) for operand in operands):
            message = f"{self.shown(node)} combines schedules, and there is none in it"
            raise ScheduleError("E0309", message, node.span, "inside expr(...) it takes numbers")
        return BoundPointwise(name, tuple(operands), node)

    def _operand(self, node: tree.Node, bound: Value | Bound) -> Any:
        """A schedule, or a rate as a traced number; `Broken` if it is neither, which is noted."""
        if isinstance(bound, Bound):
            return bound
        with self.errors:
            match bound:
                case Num(value):
                    return const(number(value, node.span))
                case Rate(value):
                    return value
            message = f"{self.shown(node)} is {describe(bound)}; a schedule or a rate is needed here"
            raise ScheduleError("E0309", message, node.span)
        return Broken(node)

    def _binary(self, node: tree.Binary) -> Value | Bound:
        if error := outside.in_operation(node, self):
            raise error
        left, right = self.attempt(node.left), self.attempt(node.right)
        if isinstance(left, Broken) or isinstance(right, Broken):
            whole = tuple(side for side in (left, right) if isinstance(side, Bound) and not isinstance(side, Broken))
            if not whole:
                raise Reported
            return Broken(node, whole)
        if not isinstance(left, Bound) and not isinstance(right, Bound):
            return arithmetic(node.op, left, right, node.span, render(node))
        if node.op == "**":
            formula = "a formula can: `expr(base * (1 - u) ** 2, n=1000)`"
            raise ScheduleError("E0507", "`**` works on numbers, not on schedules", node.span, formula)
        if node.op == "/" and isinstance(right, Bound):
            message = f"nothing can be divided by a schedule; {self.shown(node.right)} is one"
            raise ScheduleError("E0508", message, node.right.span)
        if node.op in "+-" or (isinstance(left, Bound) and isinstance(right, Bound)):
            name = {"+": "add", "-": "sub", "*": "mul"}[node.op]
            return BoundPointwise(name, (self._operand(node.left, left), self._operand(node.right, right)), node)
        body, plain, place = (left, right, node.right) if isinstance(left, Bound) else (right, left, node.left)
        assert not isinstance(plain, Bound)
        if not isinstance(plain, Num):
            shown = f"{self.shown(place)} is {describe(plain)}"
            message = f"a schedule can only be multiplied or divided by a plain number; {shown}"
            fix = f"write `constant({render(place)}) * ...`" if isinstance(plain, Rate) and node.op == "*" else None
            if isinstance(place, tree.Number) and place.unit == "%":
                fix = f"write `{as_number(float(place.value / 100))}`"
            raise ScheduleError("E0508", message, place.span, fix)
        if node.op == "/" and plain.value == 0:
            raise ScheduleError("E0308", "division by zero", node.span)
        factor = const(number(plain.value, place.span))
        return BoundPointwise("divide" if node.op == "/" else "factor", (factor, body), node)

    def _sequence(self, node: tree.Node, parts: Sequence[tree.Node]) -> Bound:
        bound: list[Bound] = []
        open_part = False
        for part in parts:
            one: Bound = Broken(part)
            with self.errors:
                one = self._part(part, after_rest=open_part)
            open_part = open_part or takes_rest(one) is not None
            # A `let` may name a sequence: it joins this one.
            bound.extend(one.parts if isinstance(one, BoundSequence) else (one,))
        return BoundSequence(tuple(bound), node)

    def _part(self, node: tree.Node, *, after_rest: bool) -> Bound:
        """One part of a sequence."""
        part = self.bind(node)
        if not isinstance(part, Bound):
            fix = _spelled_out(node, part)
            message = f"{self.shown(node)} is {describe(part)}, not a schedule"
            raise ScheduleError("E0502", message, node.span, fix)
        until = takes_until(part)
        if after_rest and until is not None:
            raise ScheduleError("E0408", "`until` cannot follow `rest`: both lengths would be open", until.span)
        if after_rest and takes_rest(part) is not None:
            raise ScheduleError("E0408", "`rest` is used twice in one sequence", node.span)
        return part

    def _pipe(self, node: tree.Pipe) -> Bound:
        if isinstance(node.left, tree.Call) and node.left.function in MODIFIERS and node.left.function not in POINTWISE:
            name = node.left.function
            message = f"`{name}` modifies what stands on its left"
            raise ScheduleError("E0504", message, node.left.span, f"write `... | {name}(...)` after a schedule")
        body: Bound = Broken(node.left)
        with self.errors:
            body = self.schedule(node.left)
        with self.errors:
            return self._modified(node, body)
        return Broken(node, (body,))

    def _modified(self, node: tree.Pipe, body: Bound) -> Bound:
        right = node.right
        if not isinstance(right, tree.Call):
            if isinstance(right, tree.Name) and right.id in MODIFIERS:
                raise self._bare_function(right)
            message = f"`|` attaches a modifier; {self.shown(right)} is not one"
            hint = ONE_AFTER_ANOTHER
            if isinstance(right, tree.Then):
                hint = "`>>` binds tighter than `|`: put `... | ...` in parentheses"
            elif isinstance(right, tree.Number) and not right.unit:
                hint = f"write `scale({right.text})`"
            raise ScheduleError("E0505", message, right.span, hint)
        primitive = MODIFIERS.get(right.function)
        if primitive is None:
            fix = ONE_AFTER_ANOTHER
            message = f"`|` attaches a modifier; `{right.function}` is not one"
            if right.function in POINTWISE:
                operands = ", ".join(["...", *(render(argument.value) for argument in right.arguments)])
                fix = f"write `{right.function}({operands})`, the schedule first"
            if not self.is_function(right.function):
                message = f"`|` attaches a modifier; there is no modifier `{right.function}`"
                fix = suggestion(right.function, list(MODIFIERS)) or f"modifiers: {', '.join(MODIFIERS)}"
            raise ScheduleError("E0505", message, right.function_span, fix)
        if isinstance(primitive, ObservedModifier) and self.repeating:
            name = right.function
            message = f"`{name}` keeps one state; inside `repeat` or `cycle` every round would need its own"
            fix = f"put it after: `repeat(...) | {name}(...)`"
            raise ScheduleError("E0606", message, right.span, fix)
        arguments, length = bind_arguments(self, right, primitive)
        if length is not None and (rest := takes_rest(body)) is not None:
            message = f"`rest` has no meaning on the left of `{right.function}`, which says where the schedule ends"
            raise ScheduleError(
                "E0407", message, rest.span, f"give the length to one of them: `... | {right.function}(rest)`"
            )
        return BoundModified(primitive, arguments, length, body, node)


def _spelled_out(node: tree.Node, value: Value) -> str | None:
    """The segment that a bare value may have been meant for."""
    segment = {Num: "constant", Rate: "constant", Dur: "hold", Open: "hold"}.get(type(value))
    if isinstance(value, Word) and value.kind == "text":
        return "write it without the quotes"
    if isinstance(node, tree.Items) and any(isinstance(item, tree.Call) for item in node.items):
        return f"write `{render(tree.Then(node.items))}`" if len(node.items) == 2 else ONE_AFTER_ANOTHER
    return f"write `{segment}({written(node)})`" if segment else None
