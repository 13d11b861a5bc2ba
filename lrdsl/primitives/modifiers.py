"""Modifiers that change the value of what stands on their left, and remember nothing."""

from lrdsl.errors import ScheduleError
from lrdsl.primitives.signature import NonNegative, Rate, modifier
from lrdsl.program.expr import Expr, known, maximum, minimum


@modifier
def clamp(value: Expr, min: Rate = None, max: Rate = None) -> Expr:
    """Keep the learning rate within bounds.

        lr = min(max(v, min), max),   v the value of the left side

    Args:
        min: Lower bound, a rate. Default: none.
        max: Upper bound, a rate. Default: none. One of the two is needed.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("exponential(0.5) | clamp(min=0.1x)", base_lr=1.0).lr(10)
        0.1

    Raises:
        ScheduleError: No bound is given, or ``min`` is above ``max``.

    Source: optax ``exponential_decay(end_value=)``.
    """
    if min is None and max is None:
        raise ScheduleError("E0208", "`clamp` needs `min` or `max`", hint="give it one: `clamp(min=1e-6)`")
    bounds = [known(min), known(max)]
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        raise ScheduleError("E0601", f"`min` of `clamp` must not be above `max`, got {bounds[0]:g} and {bounds[1]:g}")
    value = value if min is None else maximum(value, min)
    return value if max is None else minimum(value, max)


@modifier
def scale(value: Expr, k: NonNegative) -> Expr:
    """Multiply the learning rate by a number.

        lr = k * v,   v the value of the left side

    Args:
        k: The factor, not negative.

    Example:
        >>> import lrdsl
        >>> lrdsl.compile("hold() | scale(0.5)", base_lr=0.2).lr(0)
        0.1
    """
    return value * k
