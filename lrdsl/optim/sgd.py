"""Stochastic gradient descent."""

import math
from collections.abc import Mapping

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lrdsl.optim.base import Optimizer
from lrdsl.optim.binding import Units
from lrdsl.optim.groups import Group, check_switches, flag, number
from lrdsl.optim.hypers import MAXIMIZE, NESTEROV, Hyper
from lrdsl.optim.moments import State
from lrdsl.optim.neighbours import Neighbours
from lrdsl.optim.resume import Reschedule
from lrdsl.optim.rules import Rules


def _read_group(index: int, group: Group) -> Hyper:
    return Hyper(
        weight_decay=number(index, "weight_decay", group["weight_decay"]),
        momentum=number(index, "momentum", group["momentum"]),
        dampening=number(index, "dampening", group["dampening"], least=-math.inf),
        flags=MAXIMIZE * flag(index, "maximize", group["maximize"])
        | NESTEROV * flag(index, "nesterov", group["nesterov"]),
    )


def _state_keys(hyper: Hyper) -> tuple[str, ...]:
    return ("momentum_buffer",) if hyper.momentum != 0 else ()


def _update(p: Tensor, grad: Tensor, state: State, hyper: Hyper, started: bool) -> None:
    if hyper.flags & MAXIMIZE:
        grad = -grad
    if hyper.weight_decay != 0:
        grad = grad.add(p, alpha=hyper.weight_decay)
    if hyper.momentum != 0:
        buffer = state["momentum_buffer"]
        if started:
            buffer.mul_(hyper.momentum).add_(grad, alpha=1 - hyper.dampening)
        else:
            buffer.copy_(grad)
        grad = grad.add(buffer, alpha=hyper.momentum) if hyper.flags & NESTEROV else buffer
    p.add_(grad, alpha=-hyper.lr)


RULES = Rules(
    kind=0,
    targets=("lr", "weight_decay", "momentum", "dampening"),
    options=("weight_decay", "momentum", "dampening", "nesterov", "maximize"),
    state=("momentum_buffer",),
    read_group=_read_group,
    state_keys=_state_keys,
    update=_update,
)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, driven by a schedule.

        g = g + weight_decay * p
        b = momentum * b + (1 - dampening) * g          the first time b = g
        p = p - lr * b                                  nesterov: lr * (g + momentum * b); no momentum: lr * g

    ``torch.optim.SGD`` → ``lrdsl.SGD`` is a one-word change: same names, order and defaults, same state dict.

    Args:
        params: Parameters, named parameters, or groups. Dense, of any shape and strides without overlap, in float32,
            float64, bfloat16 or float16. In low precision the update and its state are float32, the parameter is
            rounded once, and its gradient may be float32 as well (torch's ``p.grad_dtype``). A group may have its own
            ``schedule``, and a ``name`` for texts such as ``lr[head] = ...``.
        lr: Learning rate, a number or a tensor with one element (each group gets its own copy). With a schedule it is
            the base that the text's ``1x`` and ``base`` stand for.
        momentum: Share of the buffer that stays.
        dampening: Share of the gradient that does not enter the buffer.
        weight_decay: L2 penalty.
        nesterov: Look ahead; needs momentum, and no dampening.
        maximize: Climb instead.
        foreach, fused: Accepted for the sake of torch's signature; the step is always fused.
        differentiable: Must be False.
        schedule: A text of the schedule language. It may govern ``lr weight_decay momentum dampening``. None: a plain
            optimizer that obeys ``group["lr"]``.
        total_steps: Updates of the whole run; ``total``, ``rest`` and ``%`` need it.
        steps_per_epoch: Updates in one epoch, for ``3ep``.
        tokens_per_step: Tokens in one update, for ``2Btok``.
        samples_per_step: Samples in one update, for ``256_000smp``.
        schedule_params: Named plain numbers that the text may use.
        reschedule: What loading a checkpoint of another schedule does. False: an error; True: run the new text from
            the saved step; ``"branch"``: run it from its step 0, starting at the rate in force.
        master_weights: Keep a float32 original of every parameter in low precision, as ``state["master"]``: the
            parameter is rounded from it after each update, and never read again. Without it, updates smaller than the
            parameter's precision are lost.
        max_grad_norm: The gradients act as if multiplied by ``min(1, max_grad_norm / (norm + 1e-6))``, norm being the
            2-norm of all of them together, as ``torch.nn.utils.clip_grad_norm_`` does; they themselves stay as they
            are. `grad_norm` is the last norm.
        skip_nonfinite: Skip the step if that norm is not finite. By default nan and inf reach the parameters.
        zero_grads: Leave zeros in the gradients, in the same pass over memory.
        capturable: On a GPU: keep every group's rate in a tensor there, which the step itself brings up to date. A step
            on a GPU can be captured in a CUDA graph whether this is set or not. Elsewhere: must be False.
        backend: ``auto``, ``native`` or ``python``.

    Example:
        >>> import lrdsl, torch
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> opt = lrdsl.SGD([w], lr=0.5, schedule="linear(2)")
        >>> for _ in range(2):
        ...     w.grad = torch.tensor([1.0])
        ...     opt.step()
        >>> w.item(), opt.param_groups[0]["lr"]
        (0.25, 0.0)

    Raises:
        ValueError: An option is out of range; a parameter is listed twice, overlaps itself or another one.
        TypeError: A parameter is not a dense tensor of a dtype above.
        ScheduleError: The text is wrong; the message shows where.
        RuntimeError: ``backend="native"`` cannot run here; in ``step``: somebody else wrote the rate.

    Source: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning, in the form of
    ``torch.optim.SGD``. https://proceedings.mlr.press/v28/sutskever13.html
    """

    _rules = RULES

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        schedule: str | float | None = None,
        total_steps: int | None = None,
        steps_per_epoch: float | None = None,
        tokens_per_step: float | None = None,
        samples_per_step: float | None = None,
        schedule_params: Mapping[str, float] | None = None,
        reschedule: Reschedule = False,
        master_weights: bool = False,
        max_grad_norm: float | None = None,
        skip_nonfinite: bool = False,
        zero_grads: bool = False,
        capturable: bool = False,
        backend: str = "auto",
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
            "schedule": schedule,
        }
        units = Units(total_steps, steps_per_epoch, tokens_per_step, samples_per_step, schedule_params)
        check_switches(0, {"capturable": capturable})
        neighbours = Neighbours(max_grad_norm, skip_nonfinite, zero_grads)
        super().__init__(params, defaults, units, neighbours, reschedule, master_weights, capturable, backend)

    def _check_group(self, index: int, group: Group) -> None:
        super()._check_group(index, group)
        # Only here: a schedule may well pass through a momentum of 0.
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError(f"group {index}: nesterov needs momentum, and no dampening")
