"""A schedule beside any optimizer, in the shape of torch's schedulers."""

import operator
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.optim import lr_scheduler as torchs

from lrdsl.language.context import TARGETS
from lrdsl.optim import resume
from lrdsl.optim.agreement import Agreement, Reduce, check_reduce, mean
from lrdsl.optim.base import Optimizer
from lrdsl.optim.binding import Bases, Units, bind
from lrdsl.optim.compiled import outside_graphs
from lrdsl.optim.device_writer import DeviceWriter, accelerator_of
from lrdsl.optim.groups import Group, check_rate, number
from lrdsl.optim.neighbours import check_switch
from lrdsl.optim.ownership import ENTRIES, Binding
from lrdsl.optim.silence import Silence
from lrdsl.optim.tensors import CPU
from lrdsl.optim.writer import HostWriter, Rate, Writer
from lrdsl.schedule import Schedule

KEYS = ("last_epoch", "_step_count", "in_force", "groups")
"""What a state dict has."""


class LRScheduler(torchs.LRScheduler):
    """A schedule for any optimizer of torch, stepped after it as torch's schedulers are.

    For optimizers that have no schedule of their own: those of this library take the text as ``schedule=``, and then
    count the updates that were really made. Here every call of `step` counts.

    Every group has its own base: its ``initial_lr``, which is its rate when the first scheduler is made. Values are a
    pure function of ``last_epoch`` and of what was reported, so a run can be cut anywhere. A rate that is a tensor is
    filled, never replaced, whatever its device and dtype; nothing is read back from it.

    Args:
        optimizer: Any optimizer of torch, or one of this library without a schedule.
        text: A text of the schedule language, or a constant rate. It may govern whatever of ``lr weight_decay momentum
            dampening beta1 beta2 eps`` all groups have; the value that a group was made with is the base, and is kept
            in it as ``initial_weight_decay`` and so on.
        total_steps: Steps of the whole run; ``total``, ``rest`` and ``%`` need it.
        steps_per_epoch: Steps in one epoch, for ``3ep``.
        tokens_per_step: Tokens in one step, for ``2Btok``.
        samples_per_step: Samples in one step, for ``256_000smp``.
        params: Named plain numbers that the text may use.
        last_epoch: -1, or the last step of a run that is to be continued; every group must have ``initial_lr`` then.
        reschedule: Accept the state of another text or context when it is loaded, as `load_state_dict` may: for
            frameworks that call it.
        device: Evaluate on the device of the rates, where that can be done, else on the host with the same values.
            Every group's rate must be a tensor with one element, all on one device, and only ``lr`` can be governed.

    Attributes:
        optimizer: As given.
        last_epoch: The step whose values are in the groups.
        base_lrs: Base of every group.

    Example:
        >>> import lrdsl, torch
        >>> opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=1.0)
        >>> sch = lrdsl.LRScheduler(opt, "warmup(2) >> linear(4)")
        >>> rates = []
        >>> for _ in range(5):
        ...     rates += sch.get_last_lr()
        ...     opt.step()
        ...     sch.step()
        >>> rates
        [0.0, 0.5, 1.0, 0.75, 0.5]

    Raises:
        ScheduleError: The text is wrong; the message shows where. Nothing has changed then.
        TypeError: ``optimizer`` is none.
        ValueError: It has a schedule of its own; a rate or ``last_epoch`` cannot be used; groups share a tensor that
            would receive several values.
        KeyError: ``last_epoch`` is given, and a group has no ``initial_lr``.
        RuntimeError: In ``step``: a group came or went; another scheduler or code writes the same values.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        text: str | float,
        *,
        total_steps: int | None = None,
        steps_per_epoch: float | None = None,
        tokens_per_step: float | None = None,
        samples_per_step: float | None = None,
        params: Mapping[str, float] | None = None,
        last_epoch: int = -1,
        reschedule: bool = False,
        device: bool = False,
    ) -> None:
        _check_optimizer(optimizer)
        check_switch("device", device)
        check_switch("reschedule", reschedule)
        last_epoch = _check_epoch(last_epoch, optimizer.param_groups)
        # No attribute may be called total_steps: Accelerate would take this for a one-cycle scheduler.
        self._units = Units(total_steps, steps_per_epoch, tokens_per_step, samples_per_step, dict(params or {}))
        self._text = text
        self._device, self._reschedule = device, reschedule
        self._targets = _targets(optimizer.param_groups)
        self._bases = [_bases(index, group, self._targets) for index, group in enumerate(optimizer.param_groups)]
        self._bindings = list(map(Binding, self._bind(optimizer)))
        self._agreement = Agreement()
        if device:
            _check_device(optimizer.param_groups, self.schedules)
        self._writer = self._make_writer(optimizer, self._bindings)
        self._silence = Silence(self._units, "sch")
        for group, bases in zip(optimizer.param_groups, self._bases, strict=True):
            for target in {"lr", *self._bindings[0].schedule.targets}:
                group.setdefault(f"initial_{target}", bases[target])
        super().__init__(optimizer, last_epoch)  # makes the first step
        self.base_lrs = [bases["lr"] for bases in self._bases]
        self._silence.listen(self._bindings, max(self.last_epoch, 0))

    def _bind(self, optimizer: torch.optim.Optimizer) -> list[Schedule]:
        groups = optimizer.param_groups
        return [bind(self._text, index, groups, self._bases, self._units) for index in range(len(groups))]

    def _make_writer(self, optimizer: torch.optim.Optimizer, bindings: Sequence[Binding]) -> Writer:
        if self._device and (found := accelerator_of(optimizer.param_groups[0]["lr"].device)):
            return DeviceWriter(found, optimizer, bindings, self._bases)
        return HostWriter(optimizer, bindings, self._bases)

    # --- the step -----------------------------------------------------------------------------------------------

    @outside_graphs
    def step(self, metric: float | Tensor | None = None) -> None:
        """Write the values of the next update into the groups; to be called after ``optimizer.step()``.

        Args:
            metric: A report, made before that update: of the metric that the text listens to, of ``loss`` if there are
                several.

        Raises:
            ScheduleError: There is a report, and the text does not listen (E0209).
            RuntimeError: Another process has reported another value, see `observe`; or a group does not hold what was
                last written: another scheduler or code writes there too. Nothing has changed. A rate that a device
                writes is not looked at.
        """
        self._writer.check_owner(self.last_epoch)
        heard = self._bindings[0].schedule.metrics
        name = heard[0] if len(heard) == 1 else "loss"
        if metric is not None:
            self._writer.check(metric, name)
            self._agree(metric, name)
        before = self._step_count, self.last_epoch
        super().step()
        if metric is not None:
            self._last_lr = self._writer.observe(metric, name, self.last_epoch)
        # None if it was only recorded, several if a device has told of replays.
        self._step_count = before[0] + self.last_epoch - before[1]
        if self.last_epoch >= self._silence.due and not self._device:  # where replays may have reported
            self._silence.tell(self.last_epoch)

    def _agree(self, value: float | Tensor, metric: str) -> None:
        self._agreement.check(value, metric, self.last_epoch, self.schedules)

    def _update_lr(self, epoch: int | None = None) -> None:
        if epoch is None:
            self.last_epoch, self._last_lr = self._writer.advance(self.last_epoch)
        else:
            self.last_epoch, self._last_lr = epoch, self._writer.publish(epoch)

    def sync(self) -> None:
        """Wait for the device that evaluates; then ``last_epoch`` and the rates are exact. Elsewhere nothing happens.

        Between replays of a captured graph the host knows only what the device has told so far.

        Raises:
            RuntimeError: A graph is being captured.
        """
        before = self.last_epoch
        self.last_epoch, self._last_lr = self._writer.wait(before)
        self._step_count += self.last_epoch - before

    @outside_graphs
    def observe(self, value: float | Tensor, metric: str = "loss", *, reduce: Reduce = None) -> None:
        """Report a metric, before the next update, whose values are written anew.

        One that waits in a ``SequentialLR``, or was there before, hears of it and writes nothing.

        Args:
            value: A number, or a tensor with one element.
            metric: Its name, as in ``plateau(metric=...)``.
            reduce: As `Optimizer.observe`.

        Raises:
            ScheduleError: The text does not listen to ``metric`` (E0209).
            TypeError, ValueError: ``value`` is no real number; ``reduce`` is none of these.
            RuntimeError: Another process has reported another value.
        """
        check_reduce(reduce)
        self._writer.check(value, metric)
        if reduce == "mean":
            devices = (p.device for group in self.optimizer.param_groups for p in group["params"])
            value = mean(value, next(devices, CPU))
        elif reduce is None:
            self._agree(value, metric)
        self._last_lr = self._writer.observe(value, metric, self.last_epoch)

    # --- rates --------------------------------------------------------------------------------------------------

    def get_last_lr(self) -> list[Rate]:
        """The rate of every group as it was last written: a float, also where the group has a tensor.

        A rate that the text does not govern is what stands in the group, of a tensor a copy.
        """
        return list(self._last_lr)

    def get_lr(self) -> list[Rate]:
        """The rate of every group at ``last_epoch``, with what was reported so far."""
        return self._writer.rates(self.last_epoch)

    def _get_closed_form_lr(self) -> list[Rate]:
        return self.get_lr()

    @property
    def schedules(self) -> list[Schedule]:
        """The schedule of each group."""
        return [binding.schedule for binding in self._bindings]

    # --- checkpoints and copies ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Where it stands: text and numbers, which ``torch.load(..., weights_only=True)`` reads."""
        self.sync()
        clock = max(self.last_epoch, 0)
        groups = [{"schedule": str(b.schedule)} | resume.save(b, clock) for b in self._bindings]
        # One that waits in a SequentialLR must not write when it is loaded.
        in_force = self.last_epoch >= 0 and self._writer.is_in_force(self.last_epoch)
        return dict(zip(KEYS, (self.last_epoch, self._step_count, in_force, groups), strict=True))

    def load_state_dict(self, state_dict: Mapping[str, Any], *, reschedule: bool = False) -> None:
        """Continue from a state dict; what was in force then is written into the groups again.

        Args:
            state_dict: What `state_dict` gave.
            reschedule: Accept the state of another text or context: the step is kept, reports are forgotten. So it is
                if the scheduler was made with ``reschedule=True``.

        Raises:
            ScheduleError: The saved schedule is another one (E0802). Nothing has changed.
            ValueError: The dictionary is malformed. Nothing has changed.
        """
        check_switch("reschedule", reschedule)
        epoch, count, in_force, groups = _read(state_dict, len(self._bindings))
        own = self._bind(self.optimizer)
        hint = "make the scheduler with reschedule=True to run the new text from the saved step"
        _, loaded = resume.load_all(groups, own, self._targets, reschedule or self._reschedule, hint)
        bindings = [binding for binding in loaded if binding]  # all of them, since every group has one of its own
        self._writer = self._writer.succeed(bindings)
        self._bindings = bindings
        self.last_epoch, self._step_count = epoch, count
        self._silence.listen(bindings, max(epoch, 0))
        self._last_lr = self._writer.publish(epoch) if in_force else self._writer.rates(epoch)

    def __getstate__(self) -> dict[str, Any]:
        self.sync()
        return {key: entry for key, entry in self.__dict__.items() if key not in ("_writer", "_agreement")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._writer = self._make_writer(self.optimizer, self._bindings)
        self._agreement = Agreement()


def _check_optimizer(optimizer: object) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"expected an optimizer of torch, got {type(optimizer).__name__}")
    if isinstance(optimizer, Optimizer) and any(optimizer.schedules):
        raise ValueError("this optimizer has a schedule of its own: use `opt.as_scheduler()`, or drop `schedule=`")


def _check_epoch(last_epoch: object, groups: Sequence[Group]) -> int:
    try:
        epoch = -2 if isinstance(last_epoch, bool) else operator.index(last_epoch)  # type: ignore[arg-type]
    except TypeError:
        epoch = -2
    if not -1 <= epoch < 2**53:
        raise ValueError(f"expected last_epoch to be -1 or a step, got {last_epoch!r}")
    for index, group in enumerate(groups):
        if epoch >= 0 and "initial_lr" not in group:
            raise KeyError(f"group {index} has no initial_lr, which last_epoch={epoch} needs: it is the base")
    return epoch


def _check_device(groups: Sequence[Group], schedules: Sequence[Schedule]) -> None:
    """Raise unless a device can do all there is to do."""
    others = sorted({target for schedule in schedules for target in schedule.targets} - {"lr"})
    if others:
        raise ValueError(f"device=True writes lr only, and the text governs {', '.join(others)}: drop one of them")
    for index, group in enumerate(groups):
        rate = group["lr"]
        if not isinstance(rate, Tensor) or rate.numel() != 1 or rate.dim() > 1:
            raise ValueError(
                f"group {index}: device=True needs a tensor with one element as lr, got {rate!r}: make the optimizer "
                "with lr=torch.tensor(..., device=...)"
            )
    devices = sorted({str(group["lr"].device) for group in groups})
    if len(devices) > 1:
        raise ValueError(f"device=True needs the rates of all groups on one device, got {', '.join(devices)}")


def _targets(groups: Sequence[Group]) -> tuple[str, ...]:
    """What all groups have as a number."""
    return tuple(t for t in TARGETS if all(_is_number(_entry(group, t)) for group in groups))


def _entry(group: Group, target: str) -> Any:
    """What a group has of a target; None if it has nothing."""
    key, part = ENTRIES.get(target, (target, None))
    entry = group.get(key)
    if part is None:
        return entry
    return entry[part] if isinstance(entry, tuple | list) and len(entry) == 2 else None


def _is_number(entry: object) -> bool:
    if isinstance(entry, Tensor):
        return entry.numel() == 1 and entry.is_floating_point()
    return isinstance(entry, Real)


def _bases(index: int, group: Group, targets: Sequence[str]) -> Bases:
    """What the group was made with, as the first scheduler found it."""
    check_rate(index, group["lr"])
    bases = {target: float(group.get(f"initial_{target}", _entry(group, target))) for target in targets}
    number(index, "initial_lr", bases["lr"])
    return bases


def _read(state: object, n_groups: int) -> tuple[int, int, bool, Sequence[Mapping[str, Any]]]:
    """The parts of a state dict.

    Raises:
        ValueError: It is malformed.
    """
    if not isinstance(state, Mapping) or set(state) != {*KEYS}:
        message = f"expected the state of an lrdsl.LRScheduler, with the keys {', '.join(KEYS)}"
        theirs = state.get("last_epoch") if isinstance(state, Mapping) and "groups" not in state else None
        if isinstance(theirs, int):
            message += (
                f"; after another scheduler load the optimizer's state, then make this one, last_epoch={theirs - 1}"
            )
        raise ValueError(message)
    epoch, count, in_force, groups = (state[key] for key in KEYS)
    for name, value, least in (("last_epoch", epoch, -1), ("_step_count", count, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
            raise ValueError(f"expected {name} to be a whole number >= {least}, got {value!r}")
    if not isinstance(groups, Sequence) or not all(isinstance(group, Mapping) for group in groups):
        raise ValueError("expected groups to be a list of dictionaries")
    if len(groups) != n_groups:
        raise ValueError(f"expected the schedules of {n_groups} groups, got {len(groups)}")
    return epoch, count, bool(in_force), groups
