"""Lightning: the adapter stepped after every update, also by its CLI; logged metrics for the schedules that listen."""

from typing import Any

from torch.optim import Optimizer

from lrdsl import versions
from lrdsl.optim import LRScheduler
from lrdsl.optim.base import Optimizer as Own
from lrdsl.optim.follower import Follower

versions.require("lightning", "2.6")

from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402
from lightning.pytorch.cli import LightningCLI, ReduceLROnPlateau  # noqa: E402
from lightning.pytorch.utilities.exceptions import MisconfigurationException  # noqa: E402


def config(optimizer: Optimizer, text: str | float, **context: Any) -> dict[str, Any]:
    """What ``configure_optimizers`` returns to run a schedule beside any optimizer, stepped after every update.

    A bare scheduler is stepped after every epoch. An optimizer of this library with ``schedule=`` is returned alone.

    Args:
        optimizer: Any optimizer of torch.
        text: A text of the schedule language, or a constant rate. For metrics see `MetricCallback`.
        **context: ``total_steps=`` and the like, as `lrdsl.LRScheduler` takes them.
    """
    if "monitor" in context:
        raise TypeError(f"config takes no monitor: give the Trainer MetricCallback({context['monitor']!r}) instead")
    scheduler = LRScheduler(optimizer, text, **context)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class StepCLI(LightningCLI):
    """A `LightningCLI` that steps the scheduler of its configuration after every update instead of every epoch."""

    @staticmethod
    def configure_optimizers(lightning_module: LightningModule, optimizer: Optimizer, lr_scheduler: Any = None) -> Any:
        """As Lightning's own, but for the interval. That of a ``ReduceLROnPlateau`` remains the epoch."""
        if lr_scheduler is None or isinstance(lr_scheduler, ReduceLROnPlateau):
            return LightningCLI.configure_optimizers(lightning_module, optimizer, lr_scheduler)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": lr_scheduler, "interval": "step"}}


class MetricCallback(Callback):
    """Reports a logged metric, the mean over processes, after every validation; without any, after every epoch.

    Args:
        monitor: The name under which it is logged.
        as_: Its name in the text, as in ``plateau(metric=...)``. It is an error if no schedule listens to it.
    """

    def __init__(self, monitor: str = "val_loss", as_: str = "loss") -> None:
        self.monitor, self.as_ = monitor, as_

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        if not self._listeners(trainer):
            raise MisconfigurationException(f"no schedule listens to {self.as_}: drop MetricCallback(as_={self.as_!r})")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._report(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: D102
        if not trainer.enable_validation:
            self._report(trainer)

    def _report(self, trainer: Trainer) -> None:
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            raise MisconfigurationException(f"{self.monitor} was not logged: write self.log({self.monitor!r}, ...)")
        mean = trainer.strategy.reduce(value.clone(), reduce_op="mean")  # ranks that differ would part for ever
        for listener in self._listeners(trainer):
            listener.observe(mean, self.as_)

    def _listeners(self, trainer: Trainer) -> list[Own | LRScheduler]:
        beside = [c.scheduler for c in trainer.lr_scheduler_configs if not isinstance(c.scheduler, Follower)]
        candidates = [one for one in (*trainer.optimizers, *beside) if isinstance(one, Own | LRScheduler)]
        return [one for one in candidates if any(s and self.as_ in s.metrics for s in one.schedules)]
