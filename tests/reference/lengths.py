"""Where things end: section 3 (rest, until, rounding), section 4 (lengths), section 5 (modifiers)."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from lrdsl.syntax.tree import Argument, Binary, Call, Name, Negate, Node, Pipe, Rest, Then

from .arguments import MODIFIERS, POINTWISE, Arguments, is_schedule, signatures
from .numbers import BeyondDoublesError, InvalidTextError, half_up
from .places import Clock, Exact, Place, Run, once, times


def uses_rest(node: Node, run: Run) -> bool:
    """It leaves a length to the sequence: passes through parentheses, modifiers and pointwise operands."""
    node = run.resolve(node)
    match node:
        case Then(parts=parts):
            return any(uses_rest(part, run) for part in parts)
        case Pipe(left=left, right=right) | Binary(left=left, right=right):
            return uses_rest(left, run) or uses_rest(right, run)
        case Negate(operand=operand):
            return uses_rest(operand, run)
        case Call(function="repeat" | "cycle"):
            return False
        case Call(arguments=arguments):
            return any(uses_rest(each.value, run) for each in arguments)
    return isinstance(node, Rest)


def uses_until(node: Node, run: Run) -> bool:
    """Its length depends on where it begins."""
    node = run.resolve(node)
    match node:
        case Then(parts=parts):
            return any(uses_until(part, run) for part in parts)
        case Pipe(left=left, right=right) | Binary(left=left, right=right):
            return uses_until(left, run) or uses_until(right, run)
        case Negate(operand=operand):
            return uses_until(operand, run)
        case Call(function=function, arguments=arguments) if function not in ("repeat", "cycle"):
            return any(each.name == "until" or uses_until(each.value, run) for each in arguments)
    return False


@once
def end(place: Place) -> Exact:
    """The exact position where `place` ends on its clock; inf if it never does."""
    if place.fixed_end is not None:
        return place.fixed_end
    node = place.node
    match node:
        case Name(id=name) if name in place.run.lets:
            return end(place.at(place.run.lets[name]))
        case Then():
            return end(parts(place)[-1])
        case Pipe(right=Call(function=function)) if function in MODIFIERS:
            return modified_end(place)
        case Binary() | Negate():
            return max(end(each) for each in operands(place))
        case Call(function=function) if function in POINTWISE:
            return max(end(each) for each in operands(place))
        case Call() if is_schedule(node, place.run):
            return segment_end(place)
    raise InvalidTextError("E0309" if not isinstance(node, Pipe) else "E0505")


@once
def last(place: Place) -> int:
    """The first step it does not own."""
    return half_up(end(place))


def segment_end(place: Place) -> Exact:
    a = arguments(place)
    match place.node.function:
        case "cycle":
            return math.inf
        case "repeat":
            rounds, mult, length = a.count("times"), multiple(a), body_length(place)
            if rounds < 1:
                raise InvalidTextError("E0406")
            total = length * rounds if mult == 1 else length * (mult**rounds - 1) // (mult - 1)
            if total >= 2**53:
                raise InvalidTextError("E0404")
            return place.begin + total
        case "points":
            return place.begin + a.positions("at")[-1]
    return chosen_end(place, a)


def chosen_end(place: Place, a: Arguments) -> Exact:
    """What `n`, `until` or `rest` say."""
    if a.has("until"):
        if place.clock.nested:
            raise InvalidTextError("E0407")
        if a.has("n"):
            raise InvalidTextError("E0203")
        until = a.duration("until")
        if until < place.begin:
            raise InvalidTextError("E0410")
        return finite(until)
    if a.is_rest("n"):
        return goal(place)
    n = a.duration("n")
    open_ended = signatures()[a.call.function]["n"] == Name("inf")
    return place.begin + (n if open_ended else finite(n))


def finite(n: Exact) -> Exact:
    if n == math.inf:
        raise InvalidTextError("E0411")
    return n


def goal(place: Place) -> Exact:
    """Where `rest` ends: `total` less what follows in the root sequence."""
    if place.goal is None:
        raise InvalidTextError("E0407")
    if place.goal < place.begin:
        raise InvalidTextError("E0409")
    return place.goal


@once
def parts(place: Place) -> list[Place]:
    """The parts of a sequence, each entered with the value its left one has at its end (section 7)."""
    from .values import at_end  # the value of a part needs its length, and `prev` its value

    run, nodes = place.run, place.node.parts
    with_rest = [i for i, node in enumerate(nodes) if uses_rest(node, run)]
    if len(with_rest) > 1 or (with_rest and any(uses_until(node, run) for node in nodes[with_rest[0] + 1 :])):
        raise InvalidTextError("E0408")
    begin, prev, found = place.begin, place.prev, []
    for i, node in enumerate(nodes):
        if not is_schedule(node, run):
            raise InvalidTextError("E0502")
        after = None
        if place.goal is not None and i in with_rest:
            # An endless last part takes nothing of the run.
            others = [length(place, each) for each in nodes[i + 1 :]]
            after = place.goal - sum(each for each in others if each != math.inf)
        part = place.at(node, begin=begin, prev=prev, goal=after)
        found.append(part)
        begin, prev = end(part), at_end(part)
        if begin == math.inf and i < len(nodes) - 1:
            raise InvalidTextError("E0503")
    return found


def length(place: Place, node: Node) -> Exact:
    """Of a part that stands after `rest`: where it begins is not known yet."""
    return end(place.at(node, begin=Fraction(0), goal=None, clock=Clock(nested=True)))


@once
def operands(place: Place) -> list[Place]:
    """What a pointwise operator combines: the same clock, the same `prev`; numbers and rates are no operands."""
    node = place.node
    match node:
        case Binary(left=left, right=right):
            nodes = [left, right]
        case Negate(operand=operand):
            nodes = [operand]
        case Call(arguments=arguments):
            nodes = [each.value for each in arguments]
    found = [place.at(each) for each in nodes if is_schedule(each, place.run)]
    if not found:
        raise InvalidTextError("E0309")
    return found


def modified_end(place: Place) -> Exact:
    function, a = place.node.right.function, modifier(place)
    stop = end(left(place))
    match function:
        case "take":
            return chosen_end(place, a)
        case "skip":
            if stop < place.begin:
                raise InvalidTextError("E0409")
        case "cooldown":
            if stop == math.inf and place.clock.nested:
                raise InvalidTextError("E0407")
            stop = place.run.steps if stop == math.inf else stop
            if stop < place.begin or place.first + half_up(finite(a.duration("n"))) > half_up(stop):
                raise InvalidTextError("E0409")
    return stop


@once
def modifier(place: Place) -> Arguments:
    return Arguments(place.at(place.node.right))


@once
def arguments(place: Place) -> Arguments:
    return Arguments(place)


@once
def left(place: Place) -> Place:
    """The left side of a modifier: `skip` starts it earlier, `take` and `skip` cut its scope."""
    inner, a = place.at(place.node.left), modifier(place)
    if not is_schedule(inner.node, place.run):
        raise InvalidTextError("E0309")
    low, high = place.window
    match place.node.right.function:
        case "take":
            stop = half_up(chosen_end(place, a))
            return replace(inner, goal=None, window=(low, min(high, stop)))
        case "skip":
            begin = place.begin - half_up(finite(a.duration("n")))
            return replace(inner, begin=begin, window=(max(low, place.first), high))
        case "cooldown" if end(inner) == math.inf:
            return replace(inner, window=(low, min(high, place.run.steps)))
    return inner


def multiple(a: Arguments) -> int:
    return a.count("mult", 1)


@once
def body_length(place: Place) -> int:
    length = last(body(place, 0))
    if length == math.inf:
        raise InvalidTextError("E0503")
    if length < 1:
        raise InvalidTextError("E0406")
    return length


@once
def body(place: Place, index: int, begin: int = 0) -> Place:
    """Round `index` of `repeat` or `cycle`, which begins at `begin` of it: a clock of its own, t / mult**index."""
    a = arguments(place)
    gain, stretch = a.number("gain", 0) ** index, multiple(a) ** index
    if gain and not 1e-150 < gain < 1e150:  # their products would leave the doubles
        raise BeyondDoublesError
    clock = Clock(place.clock.step(place.first + begin), place.clock.stretch * stretch, nested=True)
    return place.at(
        a.node("body"),
        base=times(place.base, gain),
        prev=times(place.prev, gain),
        begin=Fraction(0),
        goal=None,
        clock=clock,
        window=(0, 0),
    )


@once
def wsd_parts(place: Place) -> list[Place]:
    """`wsd` is warmup(warmup) >> hold(n - warmup - decay) >> shape(decay, to=to)."""
    from .values import at_end

    a = Arguments(place)
    stop, up, down = segment_end(place), a.duration("warmup"), a.duration("decay")
    if place.begin + up + down > stop:
        raise InvalidTextError("E0409")
    shape = a.word("shape")
    if shape not in ("linear", "cosine", "one_minus_sqrt"):
        raise InvalidTextError("E0315")
    n = Argument(Rest(), "n")  # stands for a length; where each of them ends is known
    fall = Call(shape, (n, Argument(a.nodes["to"], "to")))
    begin, prev, found = place.begin, place.prev, []
    for call, until in ((Call("warmup", (n,)), begin + up), (Call("hold", (n,)), stop - down), (fall, stop)):
        part = replace(place, node=call, begin=begin, prev=prev, fixed_end=until)
        found.append(part)
        begin, prev = until, at_end(part)
    return found
