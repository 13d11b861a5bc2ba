"""The rate of a place at a time of its clock: sections 4, 5 and 7, by cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from lrdsl.syntax.tree import Binary, Call, Name, Negate, Node, Pipe, Then

from .arguments import OBSERVED, POINTWISE, Arguments, is_schedule, quantity
from .lengths import arguments, body, body_length, last, left, modifier, multiple, operands, parts, wsd_parts
from .machines import observed
from .numbers import InvalidTextError, Real, divide, double, greatest, half_up, least, mp, real, rounded, sin_squared
from .places import Exact, Place, lazily
from .segments import segment


def at_end(place: Place) -> Callable[[], Real]:
    """What flows on to the right of `>>`: the value at t = n."""
    return lazily(lambda: value(place, last(place)))


def value(place: Place, time: Exact) -> Real:
    """The rate at `time`, a real number of steps on the clock of `place`; after the end the last value is held."""
    node = place.node
    match node:
        case Name(id=name):
            return value(place.at(place.run.lets[name]), time)
        case Then():
            return of_sequence(parts(place), time)
        case Pipe():
            return of_modifier(place, min(time, last(place)))
        case Negate(operand=operand):
            return -value(place.at(operand), time)
        case Binary():
            return rounded(of_operator(place, time))
        case Call(function=function) if function in POINTWISE:
            return of_bound(place, time)
        case Call(function="repeat" | "cycle"):
            return of_rounds(place, time)
        case Call(function="wsd"):
            return of_sequence(wsd_parts(place), time)
        case Call():
            stop = last(place)
            n = stop if stop == math.inf else stop - place.first
            return rounded(segment(place, Fraction(min(time, stop) - place.first), n))
    raise InvalidTextError("E0309")


def of_sequence(run: list[Place], time: Exact) -> Real:
    """A boundary belongs to the right; zero-length parts spend no step, their end value flows on."""
    for part in run[:-1]:
        if time < last(part):
            return value(part, time)
    return value(run[-1], time)


def of_rounds(place: Place, time: Exact) -> Real:
    """Round c lasts L·mult^c steps and runs the body at t / mult^c."""
    a, length = arguments(place), body_length(place)
    mult = multiple(a)
    rounds = a.count("times") if place.node.function == "repeat" else math.inf
    t, index, begin = min(time, last(place)) - place.first, 0, 0
    if mult == 1:
        index = int(min(t // length, rounds - 1))
        begin = index * length
    else:
        while t >= begin + length * mult**index and index < rounds - 1:
            begin += length * mult**index
            index += 1
    return value(body(place, index, begin), Fraction(t - begin) / mult**index)


def of_operator(place: Place, time: Exact) -> Real:
    """Pointwise `+ - * /` (section 5): same clock, same `prev`."""
    node, run = place.node, place.run
    sides = [is_schedule(each, run) for each in (node.left, node.right)]
    if node.op == "**":
        raise InvalidTextError("E0507")
    if node.op in "+-":
        a, b = constant_or_value(place, node.left, time), constant_or_value(place, node.right, time)
        return a + b if node.op == "+" else a - b
    if all(sides):
        if node.op == "/":
            raise InvalidTextError("E0508")
        base = place.base()
        if base == 0:
            raise InvalidTextError("E0511")
        return rounded(value(place.at(node.left), time) * value(place.at(node.right), time)) / base
    if node.op == "/" and sides[1]:
        raise InvalidTextError("E0508")
    curve, factor = (node.left, node.right) if sides[0] else (node.right, node.left)
    kind, k = quantity(factor, place)
    if kind != "number":
        raise InvalidTextError("E0508")
    if node.op == "/" and k == 0:
        raise InvalidTextError("E0308")
    v = value(place.at(curve), time)
    return v * double(k) if node.op == "*" else divide(v, double(k))


def constant_or_value(place: Place, node: Node, time: Exact) -> Real:
    if is_schedule(node, place.run):
        return value(place.at(node), time)
    kind, x = quantity(node, place)
    if kind == "duration":
        raise InvalidTextError("E0301")
    return double(x) if kind == "number" else x


def of_bound(place: Place, time: Exact) -> Real:
    call = place.node
    if any(each.name is not None for each in call.arguments):
        raise InvalidTextError("E0205")
    if len(call.arguments) < 2 or (call.function == "clamp" and len(call.arguments) != 3):
        raise InvalidTextError("E0206")
    operands(place)  # at least one schedule
    found = [constant_or_value(place, each.value, time) for each in call.arguments]
    if call.function == "clamp":
        return least(greatest(found[0], found[1]), found[2])
    return (greatest if call.function == "max" else least)(*found)


def of_modifier(place: Place, time: Exact) -> Real:
    """`v | m`, at a time not after the end."""
    function, a, inner = place.node.right.function, modifier(place), left(place)
    if function in OBSERVED:
        if place.clock.nested:
            raise InvalidTextError("E0606")
        scope = max(place.first, place.window[0]), min(last(place), place.window[1])
        return rounded(observed(a, value(inner, time), real(place.clock.step(time)), scope))
    match function:
        case "clamp":
            if not a.has("min") and not a.has("max"):
                raise InvalidTextError("E0208")
            low, high = bounds(a)
            return least(greatest(value(inner, time), low), high)
        case "scale":
            return rounded(a.number("k", 0) * value(inner, time))
        case "sample":
            every = a.period("every")
            return value(inner, place.first + (time - place.first) // every * every)
        case "take" | "skip":
            return value(inner, time)
        case "cooldown":
            return rounded(of_cooldown(place, a, inner, time))
    raise InvalidTextError("E0505")


def bounds(a: Arguments) -> tuple[Real, Real]:
    return a.rate("min") if a.has("min") else -mp.inf, a.rate("max") if a.has("max") else mp.inf


def of_cooldown(place: Place, a: Arguments, inner: Place, time: Exact) -> Real:
    n, stop, to = half_up(a.duration("n")), last(place), a.rate("to")
    shape = a.word("shape")
    if time < stop - n:
        return value(inner, time)
    if time >= stop:
        return to
    t = real(Fraction(time - (stop - n)))
    match shape:
        case "linear":
            w = (n - t) / n
        case "cosine":
            w = sin_squared((n - t) / n)
        case "one_minus_sqrt":
            w = 1 - mp.sqrt(t / n)
        case _:
            raise InvalidTextError("E0315")
    return to + (value(inner, time) - to) * w
