"""An optimizer's groups and their schedules: bound, published for the next update, told of metrics, exchanged."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lrdsl.errors import ScheduleError
from lrdsl.optim import resume
from lrdsl.optim.agreement import Agreement, Reduce, check_reduce, mean
from lrdsl.optim.backends import choose
from lrdsl.optim.batch import Batch
from lrdsl.optim.binding import Bases, Units, bases_of, bind, cells
from lrdsl.optim.compiled import outside_graphs
from lrdsl.optim.device_history import DeviceHistory
from lrdsl.optim.device_schedule import DeviceSchedule
from lrdsl.optim.forecast import Forecaster
from lrdsl.optim.groups import (
    Group,
    check_initialised,
    check_rate,
    check_report,
    check_switches,
    named,
    named_parameters,
    own_copy,
    rate_on,
    refuse_capturable,
    reported,
    scale_rate,
    settle,
)
from lrdsl.optim.history import History, check_count
from lrdsl.optim.neighbours import GRAD_NORM, Control, Neighbours, check_switch
from lrdsl.optim.ownership import Binding, Owner, Publication
from lrdsl.optim.resume import Reschedule
from lrdsl.optim.rules import Rules
from lrdsl.optim.silence import Silence
from lrdsl.optim.stepper import Stepper
from lrdsl.optim.tensors import CPU, check_parameters, lives_on
from lrdsl.schedule import Schedule

if TYPE_CHECKING:
    pass

T = TypeVar("T")


class Scheduled(Forecaster):
    """The part of an optimizer that knows its groups and their schedules.

    Attributes:
        neighbours: What is done around the update. As given; for reading.
        master_weights: Whether parameters in low precision have a master. As given; for reading.
    """

    _rules: ClassVar[Rules]
    _ready = False
    _rehearsing = False

    def __init__(
        self,
        params: ParamsT,
        defaults: dict[str, Any],
        units: Units,
        neighbours: Neighbours,
        reschedule: Reschedule,
        master_weights: bool,
        capturable: bool,
        backend: str,
    ) -> None:
        if reschedule not in (False, True, "branch"):
            raise ValueError(f"expected reschedule to be False, True or 'branch', got {reschedule!r}")
        if not isinstance(units.params, Mapping | None):
            kind = type(units.params).__name__
            raise TypeError(f"expected schedule_params to be a mapping of names to numbers, got {kind}")
        check_switch("master_weights", master_weights)
        self.neighbours = neighbours
        self.master_weights = master_weights
        self._control = Control(neighbours)
        self._capturable = capturable
        self._units = replace(units, params=dict(units.params or {}))
        self._reschedule = reschedule
        self._backend = backend
        self._clock = 0
        self._bases: list[Bases] = []
        self._bindings: list[Binding | None] = []
        self._published = Publication([], [])
        self._unstarted: set[Tensor] = set()
        self._history = History()
        self._agreement = Agreement()
        self._silence = Silence(self._units, "opt")
        super().__init__(params, defaults)
        # Together, because a text may name any group.
        self._admit(range(len(self.param_groups)))
        self._ready = True

    # --- schedules ----------------------------------------------------------------------------------------------

    @property
    def clock(self) -> int:
        """Applied updates; the schedules are evaluated here. Waits for a device."""
        self._wait()
        return self._clock

    def set_clock(self, step: int) -> None:
        """Continue the schedules at ``step``; parameters and their state stay.

        Raises:
            ValueError: ``step`` is not a whole number, or lies before the start of a schedule.
        """
        first = max((binding.origin for binding in self._bindings if binding), default=0)
        try:
            clock = -1 if isinstance(step, bool) else operator.index(step)
        except TypeError:
            clock = -1
        if not first <= clock < 2**53:
            raise ValueError(f"expected the clock to be a whole number >= {first}, got {step!r}")
        self._wait("set_clock()")
        self._clock = clock
        if self._device is not None and isinstance(self._history, DeviceHistory):
            self._history.collect()
            self._device.set_clock(clock)
        self._published.publish(self._clock)
        self._silence.listen(self._bindings, self._clock)

    @property
    def schedules(self) -> list[Schedule | None]:
        """The schedule of each group."""
        return [binding.schedule if binding else None for binding in self._bindings]

    @outside_graphs
    def observe(self, value: float | Tensor, metric: str = "loss", *, reduce: Reduce = None) -> None:
        """Report a metric, before the next update, to every schedule that listens.

        Args:
            value: A number, or a tensor with one element. Where a device steps, a tensor is read there, without waiting
                for it.
            metric: Its name, as in ``plateau(metric=...)``. Not ``grad_norm``: every step reports its own before it
                updates; that of one that is skipped only modifiers like ``guard`` hear of.
            reduce: Where several processes train together every one must report, and the same value. ``"mean"``: the
                mean of what they report, one number sent to all; all of them must call then. None: they report the
                same; numbers and tensors on the CPU are compared now and then, without waiting for each other.
                ``"own"``: each process trains for itself.

        Raises:
            ScheduleError: No schedule listens to ``metric`` (E0209).
            TypeError, ValueError: ``value`` is no real number; ``metric`` is ``grad_norm``; ``reduce`` is another word.
            RuntimeError: Another process has reported another value; somebody else wrote a value that the schedule
                governs; a graph is being captured, and ``value`` is no tensor of its device.
        """
        if metric == GRAD_NORM:
            raise ValueError("grad_norm is reported by the optimizer itself, before every update")
        check_report(value)
        check_reduce(reduce)
        listening = [binding for binding in self._bindings if binding and metric in binding.schedule.metrics]
        if not listening:
            known = sorted({name for schedule in self.schedules if schedule for name in schedule.metrics})
            hint = f"they listen to: {', '.join(known)}" if known else "they listen to none"
            raise ScheduleError("E0209", f"no schedule of this optimizer listens to `{metric}`", hint=hint)
        self._check_owner()
        if reduce == "mean":
            value = mean(value, self._home)
        elif reduce is None:
            self._agreement.check(value, metric, self._clock, self.schedules)
        if self._device is None:
            self._take(reported(value), metric, listening)
        else:
            self._report(self._device, value, metric, listening)

    def _report_norm(self, norm: float, skipped: bool) -> None:
        self._take(norm, GRAD_NORM, self._listening, skipped)

    def _take(self, report: float, metric: str, listening: Sequence[Binding], skipped: bool = False) -> None:
        for binding in listening:
            binding.schedule.observe(report, metric, step=self._clock - binding.origin, skipped=skipped)
        self._published.publish(self._clock)

    def reschedule(self, text: str | float, *, branch: bool = False, group: int | str | None = None) -> None:
        """Run another text from the next update on. Parameters, their state and the clock stay.

        It is bound to what the groups were made with, as the first one was: bases are not the rates of now. Of a text
        that a group runs already nothing changes, unless it is to branch.

        Args:
            text: A text of the schedule language, or a constant rate.
            branch: False: run the text from the step of now, as loading with ``reschedule=True`` does. True: run it
                from its own step 0, starting at the rate in force, as ``reschedule="branch"`` does.
            group: Index or name of a group; a name stands for all groups of that name. None: every group, and those
                that are added later.

        Raises:
            ScheduleError: The text is wrong, or there is no such group (E0803). Nothing has changed.
            TypeError: ``text`` is neither a text nor a number, ``branch`` neither True nor False. Nothing has changed.
            RuntimeError: Somebody else wrote a value that the schedule governs; the text listens to ``grad_norm``, and
                a step was captured that does not measure it.

        Example:
            >>> import lrdsl, torch
            >>> opt = lrdsl.SGD([torch.nn.Parameter(torch.zeros(3))], lr=1.0, schedule="hold()")
            >>> opt.step()
            >>> opt.reschedule("linear(4)", branch=True)
            >>> for _ in range(4):
            ...     opt.step()
            >>> opt.lr_history()["lr"].tolist(), opt.clock
            ([1.0, 1.0, 0.75, 0.5, 0.25], 5)
        """
        self._refuse_in_rehearsal("reschedule")
        self._settle("reschedule()")
        check_switch("branch", branch)
        groups = self.param_groups
        indices = range(len(groups)) if group is None else named(group, groups)
        self._check_owner()
        self._published.remember()
        followers: dict[int, Binding] = {}
        for index in indices:
            own = bind(text, index, groups, self._bases, self._units)
            before, targets = self._bindings[index], self._rules.targets
            followers[index] = resume.follow(before, own, groups[index], targets, self._clock, branch)
        if self._device is not None:
            self._device.check_listening(metric for b in followers.values() for metric in b.schedule.metrics)
        for index, binding in followers.items():
            self._bindings[index] = binding
            groups[index] |= {"schedule": str(binding.schedule), "initial_lr": self._bases[index]["lr"]}
        if group is None:
            self.defaults["schedule"] = text
        self._make()

    def doctor(self) -> dict[str, Any]:
        """Which step runs and why, and what went wrong with a schedule so far. Waits for a device."""
        self._settle("doctor()")
        faults = [
            f"group {index}: {target} has no usable value at update {step}; the last one was held"
            for index, binding in enumerate(self._bindings)
            for target, step in (binding.faults.items() if binding else ())
        ]
        backend, why = self._stepper.backend.name, self._stepper.why
        return {"backend": backend, "why": why, "clock": self._clock, "faults": faults}

    def lr_history(self, n: int = 256) -> Any:
        """The rates of the last updates, for logs.

        Kept for every group, with a schedule or without. Skipped steps are not in it. It begins anew in a copy, after
        unpickling and after loading a state dict.

        Args:
            n: How many updates, at most 256; fewer are returned if fewer were made.

        Returns:
            A NumPy array with the fields ``step``, ``group`` and ``lr``, update by update, the oldest first.

        Raises:
            ValueError: ``n`` is not a whole number between 0 and 256.

        Example:
            >>> import lrdsl, torch
            >>> opt = lrdsl.SGD([torch.nn.Parameter(torch.zeros(3))], lr=1.0, schedule="linear(4)")
            >>> for _ in range(4):
            ...     opt.step()
            >>> opt.lr_history(2).tolist()
            [(2, 0, 0.5), (3, 0, 0.25)]
        """
        return self._history.read(check_count(n))

    @property
    def _home(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for group in self.param_groups for p in group["params"]), CPU)

    def _refuse_in_rehearsal(self, what: str) -> None:
        if self._rehearsing:
            raise RuntimeError(f"{what} cannot be undone at the end of a rehearsal: do it outside")

    # --- groups -------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group. Its schedule is bound to its own base, and joins in at the current step.

        Raises:
            ValueError, TypeError, ScheduleError, RuntimeError: As in the constructor; nothing has changed then.
        """
        self._refuse_in_rehearsal("add_param_group")
        if self._ready:
            self._refuse_in_capture("add_param_group()")
            self._check_owner()
        super().add_param_group(scale_rate(own_copy(param_group), self.defaults["lr"]))
        if self._ready:
            try:
                self._admit([len(self.param_groups) - 1])
            except BaseException:
                self.param_groups.pop()
                raise

    def _admit(self, indices: Sequence[int]) -> None:
        """Check new groups and bind their schedules; what outlives an error is written at the end."""
        groups = self.param_groups
        for index in indices:
            groups[index].update(settle(groups[index], self._rules.options))
            groups[index].update(dict.fromkeys(resume.KEYS))
            self._check_group(index, groups[index])
        check_initialised(groups)
        check_parameters(named_parameters(groups))
        choice = choose(self._backend, groups)
        for index in indices:
            if choice.device is None and (self._capturable or groups[index].get("capturable", False)):
                refuse_capturable(index, choice.why)
        bases = self._bases + [bases_of(groups[index], self._rules.targets) for index in indices]
        bindings: list[Binding | None] = []
        for index in indices:
            schedule = self._bind(index, bases)
            bindings.append(Binding(schedule) if schedule else None)
            if schedule:
                groups[index] |= {"schedule": str(schedule), "initial_lr": bases[index]["lr"]}
        if choice.device is not None:
            for index in indices:
                rate, wanted = groups[index]["lr"], self._capturable or groups[index].get("capturable", False)
                if wanted or isinstance(rate, Tensor):
                    groups[index]["lr"] = rate_on(choice.device, rate)
        if self._ready:
            self._settle()
        self._bases = bases
        self._bindings += bindings
        self._make()

    def _check_group(self, index: int, group: Group) -> None:
        check_switches(index, group)
        check_rate(index, group["lr"])
        self._rules.read_group(index, group)

    def _bind(self, index: int, bases: Sequence[Bases]) -> Schedule | None:
        text = self.param_groups[index]["schedule"]
        return None if text is None else bind(text, index, self.param_groups, bases, self._units)

    def _rebuild(self) -> None:
        """Make anew what depends on the groups, and publish."""
        self._settle("another set of parameters, groups or state")
        self._make()

    def _make(self, loaded: bool = False) -> None:
        """The same, where all that a device knows has been read, or does not count any more."""
        choice, batch = choose(self._backend, self.param_groups), Batch(self.param_groups)
        self._published.remember()
        governed = cells(self._bindings, self.param_groups, self._rules.targets)
        if choice.device is not None:  # where parameters may have gone since the groups were made
            for group in (self.param_groups[cell.index] for cell in governed if cell.target == "lr"):
                if isinstance(group["lr"], Tensor) and not lives_on(group["lr"], choice.device):
                    group["lr"] = rate_on(choice.device, group["lr"])
        self._published = Publication(governed, self.param_groups, choice.device)
        self._listening = [binding for binding in self._bindings if binding and GRAD_NORM in binding.schedule.metrics]
        before, device = self._device, choice.accelerator(self._device.accelerator if self._device else None)
        self._device = None
        if device is not None and choice.module is not None:
            shape = batch.params, batch.groups, len(self.param_groups)
            fits = before is not None and before.accelerator is device and before.fits(*shape)
            if not fits:
                before = DeviceSchedule(device, choice.module, *shape, self._control, before)
                self._history = DeviceHistory(before, self._history)
            self._device = before
        elif before is not None:
            host = History()
            host.restore(self._history.save())
            self._history = host
        self._stepper = Stepper(
            self._rules,
            self.param_groups,
            self.state,
            self._unstarted,
            self._published,
            self._control,
            self.master_weights,
            batch,
            choice,
            self._device,
        )
        self._published.publish(self._clock)
        self._silence.listen(self._bindings, self._clock)
        if self._device is not None:
            self._start(self._device, loaded)

    def _owner(self) -> Owner:
        if len(self.param_groups) != len(self._bindings):
            raise RuntimeError("a parameter group came or went by hand: use add_param_group")
        return self._published.owner(self.param_groups)

    def _check_owner(self) -> bool:
        """Take back what is ours; say whether the groups are as the last step read them."""
        owner = self._owner()
        if owner is Owner.FOREIGN:
            self._published.adopt(self._look if self._device is not None else None)
        return owner is Owner.READ
