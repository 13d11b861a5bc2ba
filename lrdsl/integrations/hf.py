"""Schedules in the Trainer of Transformers, and in the trainers of TRL, which are made of it."""

from math import inf
from typing import Any

from lrdsl.errors import ScheduleError
from lrdsl.integrations import versions
from lrdsl.optim import LRScheduler
from lrdsl.optim.base import Optimizer

versions.require("transformers", "5.23")

from transformers import Trainer, TrainerCallback  # noqa: E402


class ScheduleMixin(Trainer):
    """Before a Trainer: ``optimizer_cls_and_kwargs`` may then have a ``schedule``.

    An optimizer of this library runs it; any other gets an `LRScheduler`. ``total_steps`` is the Trainer's number of
    updates, unless one of ours is given another. An optimizer with a schedule gets no other scheduler.

    Example:
        >>> class Scheduled(ScheduleMixin, Trainer): ...
        >>> kwargs = {"lr": 3e-4, "schedule": "warmup(3%) >> cosine(rest)"}
        >>> Scheduled(model, optimizer_cls_and_kwargs=(lrdsl.AdamW, kwargs)).train()  # doctest: +SKIP
    """

    def create_optimizer(self, model: Any = None) -> Any:  # noqa: D102
        given, (cls, kwargs) = self.optimizer_cls_and_kwargs, self.optimizer_cls_and_kwargs or (None, {})
        if "schedule" in kwargs:
            ours = isinstance(cls, type) and issubclass(cls, Optimizer)
            total = {"total_steps": self.state.max_steps or None}
            kwargs = total | kwargs if ours else {key: value for key, value in kwargs.items() if key != "schedule"}
            self.optimizer_cls_and_kwargs = cls, kwargs
        try:
            return super().create_optimizer(model)
        finally:
            self.optimizer_cls_and_kwargs = given

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:  # noqa: D102
        optimizer, kwargs = optimizer or self.optimizer, (self.optimizer_cls_and_kwargs or (None, {}))[1]
        inner = _unwrapped(optimizer)
        if self.lr_scheduler is None and isinstance(inner, Optimizer) and any(inner.schedules):
            self.lr_scheduler = inner.as_scheduler()
        elif self.lr_scheduler is None and "schedule" in kwargs:
            self.lr_scheduler = LRScheduler(optimizer, kwargs["schedule"], total_steps=num_training_steps)
        return super().create_scheduler(num_training_steps, optimizer)


class MetricCallback(TrainerCallback):
    """Report a number of every evaluation, while training, to the optimizer or `LRScheduler` that listens.

    Args:
        metric: What the evaluation calls it.
        as_: What the text calls it, as in ``plateau(metric=...)``.

    Raises:
        ScheduleError: As training begins: nothing listens to ``as_`` (E0209).
        ValueError: At the update after an evaluation: none so far had a ``metric``.
    """

    def __init__(self, metric: str = "eval_loss", as_: str = "loss") -> None:
        self.metric, self.as_, self._found, self._begun = metric, as_, set[str](), inf

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        both = kwargs["lr_scheduler"], _unwrapped(kwargs["optimizer"])
        ours = [one for one in both if isinstance(one, Optimizer | LRScheduler)]
        heard = {name: one for one in ours for s in one.schedules if s for name in s.metrics}
        if self.as_ not in heard:
            hint = f"MetricCallback(as_=...) is one of: {', '.join(heard)}" if heard else "none has a `plateau`"
            raise ScheduleError("E0209", f"no schedule of this Trainer listens to `{self.as_}`", hint=hint)
        self._listener, self._begun = heard[self.as_], state.global_step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        if self._found and self.metric not in self._found:  # not before: several sets are evaluated one by one
            found = ", ".join(sorted(self._found))
            raise ValueError(f"no evaluation gives `{self.metric}`: MetricCallback(metric=...) is one of {found}")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:  # noqa: D102
        if state.global_step > self._begun:  # one that a resumed run begins with was not in the run before
            self._found |= metrics.keys()
            if self.metric in metrics:
                self._listener.observe(metrics[self.metric], self.as_)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: D102
        self._begun = inf


def _unwrapped(optimizer: Any) -> Any:
    """What Accelerate or DeepSpeed wrapped."""
    while not isinstance(optimizer, Optimizer) and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer
