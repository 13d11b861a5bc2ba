"""What a framework that insists on a scheduler is given for an optimizer that schedules itself."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from lrdsl.optim.adapter import LRScheduler
from lrdsl.optim.agreement import Reduce
from lrdsl.optim.compiled import outside_graphs
from lrdsl.optim.writer import Rate
from lrdsl.schedule import Schedule

if TYPE_CHECKING:
    from lrdsl.optim.base import Optimizer


class Follower(LRScheduler):
    """Shows where an optimizer's own schedules stand, and writes nothing. Made by `Optimizer.as_scheduler`.

    Stepped after every update, as loops do, `get_last_lr` gives the rates just used between ``opt.step()`` and
    ``step()``, and those of the next update afterwards. It may be stepped as often as one likes.

    Args:
        optimizer: One of this library.

    Attributes:
        optimizer: As given.
        last_epoch: The optimizer's clock at the last `step`, as far as the host knew it.
    """

    optimizer: "Optimizer"

    def __init__(self, optimizer: "Optimizer") -> None:
        # Torch's constructor would wrap the optimizer's `step`, to see that schedulers are stepped after it.
        self.optimizer = optimizer
        self._step_count = 0
        self.step()

    @outside_graphs
    def step(self, metric: float | Tensor | None = None) -> None:
        """Look where the optimizer stands; with a metric, report it there first.

        Args:
            metric: A report: of the metric that the schedules listen to, of ``loss`` if there are several.

        Raises:
            ScheduleError: There is a report, and no schedule listens (E0209).
        """
        if metric is not None:
            heard = {name for schedule in self.schedules for name in schedule.metrics}
            self.observe(metric, heard.pop() if len(heard) == 1 else "loss")
        self._step_count += 1
        self._look()

    def _look(self) -> None:
        self.last_epoch = self.optimizer._clock  # not `clock`, which waits for a device

    def observe(self, value: float | Tensor, metric: str = "loss", *, reduce: Reduce = None) -> None:
        """As `Optimizer.observe`."""
        self.optimizer.observe(value, metric, reduce=reduce)

    def sync(self) -> None:
        """As `Optimizer.sync`; then ``last_epoch`` and the rates are exact."""
        self.optimizer.sync()
        self._look()

    def get_last_lr(self) -> list[Rate]:
        """The rates of the last update if there was one since `step`, else those of the next, as `get_lr`.

        They are the optimizer's own: what was reported to it meanwhile, or heard in the update itself, is in them.
        """
        published = self.optimizer._published
        moved = self.optimizer._clock != self.last_epoch  # set_clock may go back
        return self._rates(published.applied if moved else published.values)

    def get_lr(self) -> list[Rate]:
        """The rate of every group for the next update: a float, also where the group has a tensor.

        A rate that no schedule governs is what stands in the group, of a tensor a copy.
        """
        return self._rates(self.optimizer._published.values)

    def _rates(self, values: Iterable[float]) -> list[Rate]:
        cells = self.optimizer._published.cells
        rates: dict[int, Rate] = {c.index: v for c, v in zip(cells, values, strict=True) if c.target == "lr"}
        for index, group in enumerate(self.optimizer.param_groups):
            if index not in rates:
                rate = group["lr"]
                rates[index] = rate.detach().clone() if isinstance(rate, Tensor) else rate
        return [rates[index] for index in range(len(rates))]

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """Base of every group."""
        return [bases["lr"] for bases in self.optimizer._bases]

    @property
    def schedules(self) -> list[Schedule]:
        """The schedule of each group that has one."""
        return [schedule for schedule in self.optimizer.schedules if schedule]

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, for people: what is needed to go on is in the optimizer's own state dict."""
        return {"last_epoch": self.last_epoch, "_step_count": self._step_count}

    def load_state_dict(self, state_dict: Mapping[str, Any], *, reschedule: bool = False) -> None:
        """Look where the optimizer stands, whose own state dict says where to go on. Nothing is read."""
        self._look()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
