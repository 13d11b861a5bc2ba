"""Adam, and AdamW with its decoupled weight decay."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import sqrt

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lrdsl.optim.base import Optimizer
from lrdsl.optim.binding import Units
from lrdsl.optim.groups import Group, flag, number, pair
from lrdsl.optim.hypers import AMSGRAD, DECOUPLED, MAXIMIZE, Hyper
from lrdsl.optim.moments import State, write_step
from lrdsl.optim.neighbours import Neighbours
from lrdsl.optim.resume import Reschedule
from lrdsl.optim.rules import Rules
from lrdsl.program.elementary import power


def _read_group(index: int, group: Group) -> Hyper:
    beta1, beta2 = pair(index, "betas", group["betas"])
    return Hyper(
        weight_decay=number(index, "weight_decay", group["weight_decay"]),
        beta1=number(index, "beta1", beta1, below=1.0),
        beta2=number(index, "beta2", beta2, below=1.0),
        eps=number(index, "eps", group["eps"]),
        flags=MAXIMIZE * flag(index, "maximize", group["maximize"])
        | AMSGRAD * flag(index, "amsgrad", group["amsgrad"])
        | DECOUPLED * flag(index, "decoupled_weight_decay", group["decoupled_weight_decay"]),
    )


def _state_keys(hyper: Hyper) -> tuple[str, ...]:
    keys = ("step", "exp_avg", "exp_avg_sq")
    return (*keys, "max_exp_avg_sq") if hyper.flags & AMSGRAD else keys


@lru_cache(maxsize=64)
def _bias(beta: float, t: int) -> float:
    """What a moment that began at 0 lacks after ``t`` updates; the bits of the native step's. Most tensors share it."""
    lacking: float = 1 - power(beta, float(t))
    return lacking


def _update(p: Tensor, grad: Tensor, state: State, hyper: Hyper, started: bool) -> None:
    t = int(state["step"]) + 1
    m, v = state["exp_avg"], state["exp_avg_sq"]
    if hyper.flags & MAXIMIZE:
        grad = -grad
    if hyper.flags & DECOUPLED:
        p.mul_(1 - hyper.lr * hyper.weight_decay)
    elif hyper.weight_decay != 0:
        grad = grad.add(p, alpha=hyper.weight_decay)
    m.lerp_(grad, 1 - hyper.beta1)
    v.mul_(hyper.beta2).addcmul_(grad, grad, value=1 - hyper.beta2)
    if hyper.flags & AMSGRAD:
        v = torch.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
    root = v.sqrt().div_(sqrt(_bias(hyper.beta2, t))).add_(hyper.eps)
    p.addcdiv_(m, root, value=-(hyper.lr / _bias(hyper.beta1, t)))
    write_step(state, t)


RULES = Rules(
    kind=1,
    targets=("lr", "weight_decay", "beta1", "beta2", "eps"),
    options=("betas", "eps", "weight_decay", "amsgrad", "maximize", "decoupled_weight_decay"),
    state=("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"),
    read_group=_read_group,
    state_keys=_state_keys,
    update=_update,
)


class Adam(Optimizer):
    """Adam, driven by a schedule.

        g = g + weight_decay * p                        (AdamW: p = p * (1 - lr * weight_decay) instead)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2              amsgrad: below, the largest v so far
        p = p - lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)

    with t the number of updates of this parameter, this one included. ``torch.optim.Adam`` → ``lrdsl.Adam`` is a
    one-word change: same names, order and defaults, same state dict.

    Args:
        params: Parameters, named parameters, or groups. Dense, of any shape and strides without overlap, in float32,
            float64, bfloat16 or float16. In low precision the update and its state are float32, the parameter is
            rounded once, and its gradient may be float32 as well (torch's ``p.grad_dtype``). A group may have its own
            ``schedule``, and a ``name`` for texts such as ``lr[head] = ...``.
        lr: Learning rate, a number or a tensor with one element (each group gets its own copy). With a schedule it is
            the base that the text's ``1x`` and ``base`` stand for.
        betas: Share of m and of v that stays.
        eps: Added to the root, so that nothing is divided by 0.
        weight_decay: L2 penalty, or the decoupled decay.
        amsgrad: Use the largest v so far.
        maximize: Climb instead.
        decoupled_weight_decay: Decay the parameter itself, as ``AdamW`` does.
        foreach, fused: Accepted for the sake of torch's signature; the step is always fused.
        capturable: On a GPU: keep every group's rate in a tensor there, which the step itself brings up to date. A step
            on a GPU can be captured in a CUDA graph whether this is set or not. Elsewhere: must be False.
        differentiable: Must be False.
        schedule: A text of the schedule language. It may govern ``lr weight_decay beta1 beta2 eps``. None: a plain
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
        backend: ``auto``, ``native`` or ``python``.

    Example:
        >>> import lrdsl, torch
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> opt = lrdsl.Adam([w], lr=0.1, schedule="warmup(2) >> cosine(8)")
        >>> rates = []
        >>> for _ in range(4):
        ...     w.grad = torch.tensor([1.0])
        ...     rates.append(opt.param_groups[0]["lr"])
        ...     opt.step()
        >>> rates[:3], opt.clock
        ([0.0, 0.05, 0.1], 4)

    Raises:
        ValueError: An option is out of range; a parameter is listed twice, overlaps itself or another one.
        TypeError: A parameter is not a dense tensor of a dtype above.
        ScheduleError: The text is wrong; the message shows where.
        RuntimeError: ``backend="native"`` cannot run here; in ``step``: somebody else wrote the rate.

    Source: Kingma & Ba 2015, Adam: A Method for Stochastic Optimization, https://arxiv.org/abs/1412.6980; amsgrad:
    Reddi et al. 2018, On the Convergence of Adam and Beyond.
    """

    _rules = RULES

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
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
        backend: str = "auto",
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
            "schedule": schedule,
        }
        units = Units(total_steps, steps_per_epoch, tokens_per_step, samples_per_step, schedule_params)
        neighbours = Neighbours(max_grad_norm, skip_nonfinite, zero_grads)
        super().__init__(params, defaults, units, neighbours, reschedule, master_weights, capturable, backend)


class AdamW(Adam):
    """AdamW: Adam whose weight decay acts on the parameter itself, driven by a schedule.

        p = p * (1 - lr * weight_decay)

    and then the update of `Adam`, whose arguments and errors it has; ``torch.optim.AdamW`` → ``lrdsl.AdamW`` is a
    one-word change.

    Example:
        >>> import lrdsl, torch
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> opt = lrdsl.AdamW([w], lr=0.1, schedule="lr = cosine(10); weight_decay = linear(10, from=0.1, to=0.2)")
        >>> w.grad = torch.tensor([1.0])
        >>> opt.step()
        >>> round(w.item(), 6), round(opt.param_groups[0]["weight_decay"], 6)
        (0.89, 0.11)

    Source: Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization, https://arxiv.org/abs/1711.05101
    """

    _rules = replace(RULES, fixed={"decoupled_weight_decay": True})

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
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
        backend: str = "auto",
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
            schedule=schedule,
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            tokens_per_step=tokens_per_step,
            samples_per_step=samples_per_step,
            schedule_params=schedule_params,
            reschedule=reschedule,
            master_weights=master_weights,
            max_grad_norm=max_grad_norm,
            skip_nonfinite=skip_nonfinite,
            zero_grads=zero_grads,
            backend=backend,
        )
