"""Modifiers driven by how large a metric is: against spikes, values that are not finite, and large gradients."""

from typing import Any

from lrdsl.primitives.report import Report, State
from lrdsl.primitives.signature import (
    INF,
    AboveOne,
    Flag,
    Metric,
    Multiple,
    OpenSpan,
    Positive,
    Rate,
    Ratio,
    observed,
)
from lrdsl.program.expr import Expr, both, either, finite, maximum, minimum, power, select


def _healed(state: State, step: Any, recover: float) -> Any:
    """What is left of the cuts at a step: ``scale ** (1 - e)``, e from 0 at the last one to 1."""
    if recover == INF:
        return state.scale
    return power(state.scale, 1.0 - minimum(maximum(step - state.at, 0.0) / recover, 1.0))


@observed(skipped=True, scale=1, at=0, mean=0, count=0)
def guard(
    state: State,
    report: Report,
    metric: Metric = "loss",
    spike: AboveOne = None,
    window: Multiple = 100,
    factor: Ratio = 0.5,
    recover: OpenSpan = 1000,
    min: Rate = 0,
    nonfinite: Flag = True,
) -> dict[str, Any]:
    """Cut the learning rate when a metric diverges; the cut heals geometrically.

        lr = min(v, max(v * s**(1 - e), min)),   v the value of the left side, e = min(1, (step - at) / recover)

    A report that is not finite, or that lies above the running mean by more than ``(spike - 1) * |mean|``, is an event:
    s becomes what is left of it times ``factor``, and ``at`` the step of now. Other finite reports enter the mean. So
    the rate is down by ``factor`` at the event and back at v ``recover`` steps later; events in between add up. With
    ``recover=inf`` it stays down. It also hears of updates that are skipped because of their gradients. Where the scope
    ends the healing stops.

    Args:
        metric: Name of the metric, as given to ``observe``.
        spike: How far above the mean a report is an event: 3 is three times a positive mean. More than 1. Default: none
            is, as long as it is finite.
        window: Reports that the mean looks back on; it is exponential, and plain until there are so many.
        factor: What an event multiplies the rate by, between 0 and 1.
        recover: Steps until the rate is back at v; ``inf``: never.
        min: Floor, a rate.
        nonfinite: Whether nan and infinity are events.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("hold() | guard(factor=0.01, recover=100)", base_lr=1.0)
        >>> schedule.observe(float("nan"), step=10)
        >>> schedule.lr(10), schedule.lr(60), schedule.lr(110)
        (0.01, 0.1, 1.0)

    Source: Chowdhery et al. 2022, PaLM, section 5.1, met spikes of the loss by going back and skipping batches; here
    the rate is lowered instead. https://arxiv.org/abs/2204.02311
    """
    y, count = report.value, state.count + 1.0
    event: Any = 1.0 - finite(y) if nonfinite else 0.0
    if spike is not None:
        event = either(event, both(state.count > 0.0, y > state.mean + (spike - 1.0) * abs(state.mean)))
    quiet = select(event, 0.0, finite(y))
    return {
        "scale": select(event, _healed(state, report.step, recover) * factor, state.scale),
        "at": select(event, report.step, state.at),
        "mean": select(quiet, state.mean + (y - state.mean) / minimum(count, window), state.mean),
        "count": select(quiet, count, state.count),
    }


@guard.value
def guard_value(value: Expr, state: State, step: Any, recover: float, min: Any) -> Expr:
    """Cut, but never below the floor and never above the value itself."""
    return minimum(value, maximum(value * _healed(state, step, recover), min))  # type: ignore[no-any-return]


@observed(ratio=1)
def normscale(state: State, report: Report, target: Positive, metric: Metric = "grad_norm") -> dict[str, Any]:
    """Lower the learning rate in proportion to how far a norm exceeds a target.

        lr = v * min(1, target / norm),   v the value of the left side

    Before the first report it is v. A norm that is not finite changes nothing; one that is not positive gives v.

    Args:
        target: The largest norm that leaves the rate alone, above 0.
        metric: Name of the metric. ``grad_norm``, the 2-norm of all gradients before clipping, is reported by the
            optimizers of this library themselves; it acts on the very update it belongs to.

    Example:
        >>> import lrdsl
        >>> schedule = lrdsl.compile("hold() | normscale(1)", base_lr=0.1)
        >>> schedule.observe(4.0, "grad_norm")
        >>> schedule.lr(1)
        0.025

    Source: Pascanu et al. 2013, whose clipping of the gradient is the same for an update that is linear in it.
    https://arxiv.org/abs/1211.5063
    """
    y = report.value
    ratio = select(y > 0.0, minimum(target / y, 1.0), 1.0)
    return {"ratio": select(finite(y), ratio, state.ratio)}


@normscale.value
def normscale_value(value: Expr, state: State) -> Expr:
    """The value times the ratio."""
    return value * state.ratio  # type: ignore[no-any-return]
