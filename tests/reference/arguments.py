"""Sections 3 to 5: signatures, and what an argument is worth where it is used."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import Any

from lrdsl.syntax.parser import parse
from lrdsl.syntax.tree import Bare, Binary, Call, Flag, Items, Name, Negate, Node, Number, Pipe, Rest, String, Then

from .numbers import InvalidTextError, Real, double, half_up, mp, power, real, rounded
from .places import Exact, Place, Run

# As the tables of sections 4 and 5 write them; `given` stands for an argument that must be given, and `derived` for a
# default that needs another argument.
SIGNATURES = """
warmup(n=given, from=0, to=1x, shape=linear); hold(n=inf); constant(value=given, n=inf);
linear(n=given, to=0, from=prev); cosine(n=given, to=0, from=prev); polynomial(n=given, power=1, to=0, from=prev);
one_minus_sqrt(n=given, to=0, from=prev); geometric(n=given, to=given, from=prev);
tanh(n=given, to=0, from=prev, lb=-7, ub=3); exponential(gamma=given, every=1, from=prev, n=inf);
step(every=given, gamma=0.1, from=prev, n=inf); multistep(at=given, gamma=0.1, values=none, from=prev, n=inf);
inverse_sqrt(timescale=given, from=prev, n=inf); inverse_time(rate=given, every=1, from=prev, n=inf);
noam(d_model=given, warmup=given, n=inf);
onecycle(n=given, peak=1x, up=0.3, start=derived, end=derived, shape=cosine);
cyclic(up=given, to=given, from=prev, down=derived, gain=1, gamma=1, n=inf);
points(at=given, values=given, shape=linear); range_test(every=given, rate=1, from=prev, staircase=false, n=inf);
wsd(n=given, warmup=given, decay=given, to=0, shape=linear); expr(formula=given, n=inf);
repeat(times=given, body=given, mult=1, gain=1); cycle(body=given, mult=1, gain=1);
plateau(patience=10, factor=0.1, metric=loss, mode=min, threshold=1e-4, threshold_mode=rel, cooldown=0, min=0, every=1);
guard(metric=loss, spike=none, window=100, factor=0.5, recover=1000, min=0, nonfinite=true);
normscale(target=given, metric=grad_norm);
greedy(patience=10, factor=0.95, metric=loss, mode=min, threshold=1e-6, threshold_mode=abs, cooldown=0, warmup=0, min=0,
max=10x, smooth=1);
clamp(min=none, max=none); scale(k=given); sample(every=given); take(n=given); skip(n=given);
cooldown(n=given, to=0, shape=linear)
"""
MIN_IS_TO = {"linear", "cosine", "polynomial", "one_minus_sqrt", "geometric", "tanh", "wsd"}
OBSERVED = {"plateau", "guard", "normscale", "greedy"}
MODIFIERS = OBSERVED | {"clamp", "scale", "sample", "take", "skip", "cooldown"}
POINTWISE = {"max", "min", "clamp"}


@cache
def signatures() -> dict[str, dict[str, Node]]:
    read = [expression(call) for call in SIGNATURES.split(";")]
    return {call.function: {each.name: each.value for each in call.arguments} for call in read}


def is_schedule(node: Node, run: Run) -> bool:
    node = run.resolve(node)
    match node:
        case Then() | Pipe():
            return True
        case Call(function=function):
            return function in POINTWISE or function in signatures().keys() - MODIFIERS
        case Binary():
            return is_schedule(node.left, run) or is_schedule(node.right, run)
        case Negate():
            return is_schedule(node.operand, run)
    return False


def quantity(node: Node, place: Place) -> tuple[str, Any]:
    """A number (a Fraction), a duration (steps, a Fraction or inf) or a rate: section 3."""
    run = place.run
    match node:
        case Number(value=value, unit=""):
            return "number", value
        case Number(value=value, unit="x"):
            return "rate", double(value) * place.base()
        case Number(value=value, unit=unit):
            return "duration", steps(value, unit, run)
        case Name(id="base"):
            return "rate", place.base()
        case Name(id="prev"):
            return "rate", place.prev()
        case Name(id="total"):
            return "duration", run.steps
        case Name(id="inf"):
            return "duration", math.inf
        case Name(id=name) if name in run.lets:
            return quantity(run.lets[name], place)
        case Name(id=name) if name in run.params:
            return "number", Fraction(run.params[name])
        case Negate(operand=operand):
            kind, value = quantity(operand, place)
            return kind, -value
        case Binary():
            return arithmetic(node.op, quantity(node.left, place), quantity(node.right, place))
    raise InvalidTextError("E0309", str(node))


def steps(value: Fraction, unit: str, run: Run) -> Fraction:
    if unit == "%":
        return value * run.steps / 100
    context = run.units.get({"ep": "steps_per_epoch", "tok": "tokens_per_step", "smp": "samples_per_step"}[unit])
    if context is None:
        raise InvalidTextError("E0401", unit)
    return value * Fraction(context) if unit == "ep" else value / Fraction(context)


def arithmetic(op: str, left: tuple[str, Any], right: tuple[str, Any]) -> tuple[str, Any]:
    (a_kind, a), (b_kind, b) = left, right
    if math.inf in (a, b):
        raise InvalidTextError("E0304")
    kinds = {a_kind, b_kind}
    if "rate" in kinds and "duration" in kinds:
        raise InvalidTextError("E0307")
    if "rate" in kinds:
        a, b = (double(each) if kind == "number" else each for kind, each in (left, right))
    if op in "+-":
        if kinds == {"duration", "number"} and (a if a_kind == "number" else b).denominator != 1:
            raise InvalidTextError("E0307")
        kind = "rate" if "rate" in kinds else "duration" if "duration" in kinds else "number"
        return kind, a + b if op == "+" else a - b
    if op == "**":
        if kinds != {"number"}:
            raise InvalidTextError("E0307")
        folded = power(double(a), double(b))
        if not mp.isfinite(rounded(folded)):
            raise InvalidTextError("E0105")
        return "number", Fraction(float(folded))
    if op == "*":
        if "number" not in kinds:
            raise InvalidTextError("E0307")
        return (a_kind if b_kind == "number" else b_kind), a * b
    if b == 0 and b_kind != "rate":
        raise InvalidTextError("E0308")
    if a_kind == b_kind == "duration":
        return "number", a / b
    if b_kind != "number":
        raise InvalidTextError("E0307")
    return a_kind, a / b


class Arguments:
    """The arguments of one call at one place."""

    def __init__(self, place: Place) -> None:
        self.place, self.call = place, place.node
        assert isinstance(self.call, Call)
        signature = signatures()[self.call.function]
        self.given: dict[str, Node] = {}
        for name, argument in zip(signature, self.call.arguments, strict=False):
            if argument.name is None:
                self.given[name] = argument.value
        for argument in self.call.arguments:
            if argument.name is not None:
                alias = argument.name == "min" and self.call.function in MIN_IS_TO
                self.given["to" if alias else argument.name] = argument.value
        until = {"until"} if "n" in signature and self.call.function not in ("skip", "cooldown") else set()
        if self.given.keys() - signature.keys() - until:
            raise InvalidTextError("E0202")
        for name, default in signature.items():
            required = default == Name("given") and name not in self.given
            if required and not (name == "n" and "until" in self.given):
                raise InvalidTextError("E0208")
        self.nodes = signature | self.given

    def has(self, name: str) -> bool:
        return name in self.given and self.given[name] != Name("none")

    def node(self, name: str) -> Node:
        return self.place.run.resolve(self.nodes[name])

    def is_rest(self, name: str) -> bool:
        return isinstance(self.node(name), Rest)

    def rate(self, name: str) -> Real:
        return self.as_rate(self.nodes[name])

    def as_rate(self, node: Node) -> Real:
        kind, value = quantity(node, self.place)
        if kind == "duration":
            raise InvalidTextError("E0301")
        value = double(value) if kind == "number" else value
        if value < 0:
            raise InvalidTextError("E0607")
        return value

    def number(self, name: str, low: float = -math.inf, high: float = math.inf, *, above: float = -math.inf) -> Real:
        kind, value = quantity(self.nodes[name], self.place)
        if kind != "number":
            raise InvalidTextError("E0303")
        value = double(value)
        if not (low <= value <= high and value > above):
            raise InvalidTextError("E0601", name)
        return value

    def ratio(self, name: str) -> Real:
        value = self.number(name, above=0)
        if value >= 1:
            raise InvalidTextError("E0601", name)
        return value

    def count(self, name: str, low: int = 0) -> int:
        kind, value = quantity(self.nodes[name], self.place)
        if kind != "number" or value.denominator != 1 or value < 0:
            raise InvalidTextError("E0312", name)
        if value < low:
            raise InvalidTextError("E0601", name)
        if value >= 2**53:
            raise InvalidTextError("E0404", name)
        return int(value)

    def duration(self, name: str, *, whole: bool = True) -> Exact:
        return self.as_duration(self.node(name), whole=whole)

    def as_duration(self, node: Node, *, whole: bool = True) -> Exact:
        if isinstance(node, Rest):
            raise InvalidTextError("E0407")
        kind, value = quantity(node, self.place)
        if kind == "rate":
            raise InvalidTextError("E0302")
        if value == math.inf:
            return value
        if kind == "number" and whole and value.denominator != 1:
            raise InvalidTextError("E0405")
        if value < 0:
            raise InvalidTextError("E0403")
        if value > 2**53 - 1:
            raise InvalidTextError("E0404")
        return value

    def period(self, name: str) -> int:
        """An integer period, at least 1 (section 3, rounding)."""
        value = half_up(self.duration(name))
        if value == math.inf:
            raise InvalidTextError("E0411")
        if value < 1:
            raise InvalidTextError("E0406")
        return value

    def timescale(self, name: str) -> Real:
        """An exact real above 0 (section 3, rounding)."""
        value = self.duration(name, whole=False)
        if value == math.inf:
            raise InvalidTextError("E0411")
        if value <= 0:
            raise InvalidTextError("E0601")
        return real(value)

    def items(self, name: str) -> tuple[Node, ...]:
        node = self.node(name)
        if not isinstance(node, Items):
            raise InvalidTextError("E0316")
        if not node.items:
            raise InvalidTextError("E0317")
        return node.items

    def positions(self, name: str) -> list[int]:
        found = [half_up(self.as_duration(self.place.run.resolve(each))) for each in self.items(name)]
        if math.inf in found:
            raise InvalidTextError("E0411")
        return found

    def rates(self, name: str) -> list[Real]:
        return [self.as_rate(each) for each in self.items(name)]

    def word(self, name: str) -> str:
        match self.nodes[name]:
            case Name(id=word) | String(value=word):
                return word
        raise InvalidTextError("E0315")

    def flag(self, name: str) -> bool:
        node = self.nodes[name]
        if not isinstance(node, Flag):
            raise InvalidTextError("E0313")
        return node.value


def expression(text: str) -> Node:
    """The tree of one value."""
    statement = parse(text).statements[0]
    assert isinstance(statement, Bare)
    return statement.value
