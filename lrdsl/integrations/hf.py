"""Schedules in the Trainer of Transformers, and in the trainers of TRL, which are made of it."""

from typing import Any

from lrdsl import versions
from lrdsl.errors import ScheduleError
from lrdsl.optim import LRScheduler
from lrdsl.optim.base import Optimizer

versions.require("transformers", "5.23")

from transformers import Trainer, TrainerCallback  # noqa: E402


class ScheduleMixin(Trainer):
    """Before a Trainer: ``optimizer_cls_and_kwargs`` may then have a ``schedule``.

    An optimizer of this library runs it; any other gets an `LRScheduler`. ``total_steps`` is the Trainer's number of
    updates, unless one of ours is given another. An optimizer with a schedule gets no other scheduler.

    Example:
        >>> import lrdsl
        >>> class Scheduled(ScheduleMixin, Trainer): ...
        >>> ours = lrdsl.AdamW, {"lr": 3e-4, "schedule": "warmup(3%) >> cosine(rest)"}
        >>> Scheduled(model, optimizer_cls_and_kwargs=ours).train()  # doctest: +SKIP
    """

    optimizer_cls_and_kwargs: Any
    lr_scheduler: Any

    def create_optimizer(self, model: Any = None) -> Any:  # noqa: D102
        given = self.optimizer_cls_and_kwargs
        if given and isinstance(given[0], type) and issubclass(given[0], Optimizer):
            self.optimizer_cls_and_kwargs = given[0], {"total_steps": self.state.max_steps or None} | given[1]
        elif given:
            others = {key: value for key, value in given[1].items() if key not in ("schedule", "reschedule")}
            self.optimizer_cls_and_kwargs = given[0], others
        try:
            return super().create_optimizer(model)
        finally:
            self.optimizer_cls_and_kwargs = given

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:  # noqa: D102
        optimizer, given = optimizer or self.optimizer, self.optimizer_cls_and_kwargs
        inner = getattr(optimizer, "optimizer", optimizer)  # of what Accelerate made of it
        if self.lr_scheduler is None and isinstance(inner, Optimizer) and any(inner.schedules):
            self.lr_scheduler = inner.as_scheduler()
        elif self.lr_scheduler is None and given and "schedule" in given[1]:
            more = {"total_steps": num_training_steps, "reschedule": given[1].get("reschedule", False)}
            self.lr_scheduler = LRScheduler(optimizer, given[1]["schedule"], **more)
        return super().create_scheduler(num_training_steps, optimizer)


class MetricCallback(TrainerCallback):
    """Report a number of every evaluation between updates to the schedule.

    Args:
        metric: What the evaluation calls it.
        as_: What the text calls it, as in ``plateau(metric=...)``.

    Raises:
        ScheduleError: As training begins: the Trainer's scheduler does not listen to ``as_`` (E0209).
        ValueError: At the update after an evaluation: none so far had a ``metric``.
    """

    def __init__(self, metric: str = "eval_loss", as_: str = "loss") -> None:
        self.metric, self.as_, self._found, self._between = metric, as_, set[str](), False

    def on_train_begin(self, *given: Any, lr_scheduler: Any, **kwargs: Any) -> None:  # noqa: D102
        schedules = lr_scheduler.schedules if isinstance(lr_scheduler, LRScheduler) else []
        heard = sorted({name for schedule in schedules for name in schedule.metrics})
        if self.as_ not in heard:
            hint = f"as_ is one of: {', '.join(heard)}" if heard else "a text listens through `plateau` and the like"
            raise ScheduleError("E0209", f"the Trainer's scheduler does not listen to `{self.as_}`", hint=hint)
        self._between = False  # an evaluation to begin with was not in the run that is resumed

    def on_step_begin(self, *given: Any, **kwargs: Any) -> None:  # noqa: D102
        if self._found and self.metric not in self._found:  # not before: several sets are evaluated one by one
            raise ValueError(f"no evaluation gives `{self.metric}`: metric is one of {', '.join(sorted(self._found))}")
        self._between = True

    def on_evaluate(self, *given: Any, metrics: Any, lr_scheduler: Any, **kwargs: Any) -> None:  # noqa: D102
        if self._between:
            self._found |= metrics.keys()
            if self.metric in metrics:
                lr_scheduler.observe(metrics[self.metric], self.as_)

    def on_train_end(self, *given: Any, **kwargs: Any) -> None:  # noqa: D102
        self._between = False
