"""The life of an optimizer: its groups and their schedules, the step, the clock."""

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.optim import optimizer as hooks
from torch.optim.optimizer import ParamsT

from lrdsl.errors import ScheduleError
from lrdsl.optim import resume, wrapped
from lrdsl.optim import state as checkpoint
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
from lrdsl.optim.moments import blank_momentum, step_tensor
from lrdsl.optim.neighbours import GRAD_NORM, Control, Neighbours, check_switch
from lrdsl.optim.ownership import Binding, Owner, Publication, plain
from lrdsl.optim.phantom import is_phantom
from lrdsl.optim.rehearsal import rehearse
from lrdsl.optim.resume import Reschedule
from lrdsl.optim.rules import Rules
from lrdsl.optim.silence import Silence
from lrdsl.optim.stepper import Elsewhere, Stepper
from lrdsl.optim.tensors import CPU, check_parameters, lives_on
from lrdsl.schedule import Schedule

if TYPE_CHECKING:
    from lrdsl.optim.adapter import LRScheduler

T = TypeVar("T")


class Optimizer(Forecaster):
    """What SGD, Adam and AdamW have in common.

    Attributes:
        neighbours: What is done around the update. As given; for reading.
        master_weights: Whether parameters in low precision have a master. As given; for reading.
    """

    _rules: ClassVar[Rules]
    _ready = False
    _rehearsing = False
    # Promises torch's GradScaler to obey ``grad_scale`` and ``found_inf``, which it sets for the time of one call. They
    # must be missing otherwise: a scale that is there already is multiplied by the scaler's.
    _step_supports_amp_scaling = True

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

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        wrapped.forward(cls, Optimizer)

    # --- the step -----------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], T] | None = None) -> T | None:  # type: ignore[override]
        """Apply one update.

        Every parameter that has a gradient is updated with the values that stand in its group. Then the clock
        advances, and the groups receive the values of the next update. A step that is skipped, because a
        ``GradScaler`` found overflow or because of ``skip_nonfinite``, does nothing but count in `skipped`, and report
        its norm to a ``guard`` that listens; with ``zero_grads`` the gradients are zero afterwards all the same.

        Args:
            closure: Computes the loss and the gradients anew. It is called first, with gradients enabled.

        Returns:
            What the closure returned.

        Raises:
            RuntimeError: Somebody else wrote a value that the schedule governs.
            TypeError, ValueError: A parameter, a gradient or an option cannot be used; the message names it.
                Parameters, state and clock are as they were; ``grad_scale`` and ``found_inf`` are taken off.
        """
        if torch.compiler.is_compiling():
            return self._step_outside(closure)
        try:
            if type(self).step is Optimizer.step and self._is_watched():
                return self._watched_step(closure)
            return self._step(closure)
        except BaseException:
            # A GradScaler takes them off after its step, unless that raises; left there they would count twice.
            for told in ("grad_scale", "found_inf"):
                self.__dict__.pop(told, None)
            raise

    # Torch would wrap `step` in a record for its profiler and a loop over hooks, which costs as much as a small step;
    # it is told that this is done, and it is where somebody watches. Torch itself wraps the `step` of a subclass.
    step.hooked = True  # type: ignore[attr-defined]
    _step_outside = outside_graphs(step)

    def _is_watched(self) -> bool:
        return bool(
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or hooks._global_optimizer_pre_hooks
            or hooks._global_optimizer_post_hooks
            or torch.autograd.profiler._is_profiler_enabled
        )

    def _step(self, closure: Callable[[], T] | None) -> T | None:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        device = self._device
        capturing = device is not None and device.capturing()
        if (owner := self._owner()) is Owner.FOREIGN:
            if self._is_phantom():
                with self._published.standing_in():
                    self._begin_state()
                return loss
            self._check_owner()
        undisturbed = owner is Owner.READ
        if not self._stepper.serves(self.param_groups, self.state):
            self._rebuild()
            undisturbed, device = False, self._device
        elif device is not None and device.keep and not capturing:
            self._believe(device)  # there may have been replays, beside which this step counts
        scale, found_inf = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        report = self._report_norm if self._listening and device is None else None
        try:
            applied = self._stepper.step(undisturbed, scale, found_inf, report)
        except Elsewhere:
            self._rebuild()
            device = self._device
            report = self._report_norm if self._listening and device is None else None
            applied = self._stepper.step(False, scale, found_inf, report)
        if not applied:
            return loss
        if device is not None:
            if not capturing:
                self._advance(device)
                if self._clock >= self._silence.due:
                    self._break_silence()
            return loss
        self._published.advance(self._clock)
        self._history.note(self._clock, self._stepper.rates)
        self._clock += 1
        self._published.publish(self._clock)
        if self._clock >= self._silence.due:
            self._break_silence()
        return loss

    _watched_step = torch.optim.Optimizer.profile_hook_step(_step)

    def _break_silence(self) -> None:
        replays = self._device is not None and self._device.keep  # which may have reported
        if not self._rehearsing and not replays:
            self._silence.tell(self._clock)

    def as_scheduler(self) -> "LRScheduler":
        """A scheduler for frameworks that insist on one. It shows where the schedules stand, and writes nothing.

        Stepped after every update, as loops do, its ``get_last_lr()`` gives the rates just used between ``opt.step()``
        and ``step()``, and those of the next update afterwards. Extra steps do nothing, nor does loading a state dict:
        what is needed to go on is in the optimizer's own. ``step(metric)`` and ``observe`` report to the optimizer.

        Example:
            >>> import lrdsl, torch
            >>> opt = lrdsl.SGD([torch.nn.Parameter(torch.zeros(3))], lr=1.0, schedule="linear(4)")
            >>> scheduler = opt.as_scheduler()
            >>> opt.step()
            >>> scheduler.get_last_lr()
            [1.0]
            >>> scheduler.step()
            >>> scheduler.step()
            >>> scheduler.get_last_lr(), scheduler.last_epoch
            ([0.75], 1)
        """
        from lrdsl.optim.follower import Follower  # which is an adapter, and adapters know optimizers

        return Follower(self)

    def rehearsal(self) -> AbstractContextManager[None]:
        """A stretch of code whose steps do not count: warm-up before a capture, or the dummy step of a framework.

        Afterwards, also after an exception, all is as it was: parameters, their state and step counts, clock, what was
        reported to the schedules, published values, `skipped`, `grad_norm` and `lr_history`. State stays where it is in
        memory. State that was made meanwhile stays too, as `init_state` would have made it, so that a graph captured
        inside remains valid. Gradients are not put back. For its duration everything is kept twice.

        Raises:
            RuntimeError: Inside: a group was to be added, a state dict to be loaded or the schedule to be changed.

        Example:
            >>> import lrdsl, torch
            >>> w = torch.nn.Parameter(torch.tensor([1.0]))
            >>> opt = lrdsl.AdamW([w], lr=0.1, schedule="linear(10)")
            >>> w.grad = torch.tensor([1.0])
            >>> with opt.rehearsal():
            ...     opt.step()
            >>> w.item(), opt.clock, opt.state[w]["step"].item()
            (1.0, 0, 0.0)
        """
        return rehearse(self)

    def _refuse_in_rehearsal(self, what: str) -> None:
        if self._rehearsing:
            raise RuntimeError(f"{what} cannot be undone at the end of a rehearsal: do it outside")

    def init_state(self) -> None:
        """Make the state of every parameter that requires a gradient, without a step.

        Also to be called after tensors in ``opt.state`` were replaced by hand.
        """
        self._refuse_in_capture("init_state()")
        self._check_owner()
        self._begin_state()

    def _begin_state(self) -> None:
        if not self._stepper.serves(self.param_groups, self.state):
            self._rebuild()
        try:
            self._stepper.init_state()
        except Elsewhere:
            self._rebuild()
            self._stepper.init_state()

    def _is_phantom(self) -> bool:
        self._refuse_in_capture("a value that somebody else may have written")
        return is_phantom(self._published, (p for g in self.param_groups for p in g["params"]), self._stepper.reach)

    @property
    def skipped(self) -> int:
        """Steps that were skipped since this optimizer was made. Not part of the state dict. Waits for a device."""
        self._wait()
        return self._control.skipped

    @property
    def grad_norm(self) -> Tensor:
        """2-norm of all gradients at the last step that needed it: unscaled, before clipping; nan before the first.

        A float64 tensor without dimensions, on the device of the parameters. ``max_grad_norm``, ``skip_nonfinite`` and
        a schedule that listens to ``grad_norm`` need it. Not part of the state dict.
        """
        if self._device is not None:
            return self._device.norm.clone()
        return torch.tensor(self._control.norm, dtype=torch.float64, device=self._home)

    @property
    def _home(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for group in self.param_groups for p in group["params"]), CPU)

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

    # --- checkpoints and copies ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state in torch's format, the schedules as text and numbers.

        Beside torch's own keys every group has ``schedule``, ``schedule_context`` and ``schedule_state`` (JSON),
        ``schedule_step``, ``schedule_language``, and ``initial_lr`` if it has a schedule. In a live group those that
        this method finds out are None.
        """
        self._settle("state_dict()")
        self._published.remember()
        live = [dict(group) for group in self.param_groups]
        for group, binding in zip(self.param_groups, self._bindings, strict=True):
            saved = {key: plain(entry) for key, entry in group.items()}
            group.update(saved | resume.save(binding, self._clock))
        own = self._show_exact_counts()
        try:
            return super().state_dict()  # torch copies the groups, and calls the hooks
        finally:
            self.state.update(own)
            for group, entries in zip(self.param_groups, live, strict=True):
                group.clear()
                group.update(entries)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state dict of this optimizer, or of its counterpart in torch.

        Values are copied into the memory that the state already has. A checkpoint of torch says nothing of schedules:
        the optimizer's own stay, and the clock is set to the largest step of any parameter.

        Raises:
            ScheduleError: The saved schedule is another one, and ``reschedule`` is False (E0802).
            ValueError, TypeError: The state does not fit; the message says where. Nothing has changed then.
        """
        self._refuse_in_rehearsal("load_state_dict")
        self._settle("load_state_dict()")
        state_dict = dict(state_dict)
        for pre_hook in self._optimizer_load_state_dict_pre_hooks.values():
            state_dict = pre_hook(self, state_dict) or state_dict
        loaded = checkpoint.read(state_dict, self._rules, self.param_groups, self.state, self.master_weights)
        clock, bindings = resume.load_all(
            state_dict["param_groups"],
            [self._bind(index, self._bases) for index in range(len(self.param_groups))],
            self._rules.targets,
            self._reschedule,
            "make the optimizer with reschedule=True to run the new text from the saved step, with reschedule='branch' "
            "to run it from its own step 0",
        )
        loaded.install(self.param_groups, self.state, self._stepper.counts)
        self._clock = loaded.largest_step if clock is None else clock
        self._bindings, self._published = bindings, Publication([], [])
        self._history.clear()
        self._unstarted = set(blank_momentum(self.state))
        self._make(loaded=True)
        for post_hook in self._optimizer_load_state_dict_post_hooks.values():
            post_hook(self)

    def _show_exact_counts(self) -> dict[Tensor, Any]:
        """Replace the state of parameters whose count float32 cannot show; gives what was there."""
        counts = {} if self._device is None else self._device.large_counts()
        own = {p: self.state[p] for p in counts if "step" in self.state.get(p, {})}
        for p in own:
            self.state[p] = own[p] | {"step": step_tensor(counts[p], own[p]["step"].device)}
        return own

    def __getstate__(self) -> dict[str, Any]:
        self._settle("copying an optimizer")
        self._published.remember()
        own = (
            "neighbours",
            "master_weights",
            "_capturable",
            "_units",
            "_reschedule",
            "_backend",
            "_clock",
            "_bases",
            "_bindings",
            "_ready",
        )
        unstarted = [
            (i, j)
            for i, group in enumerate(self.param_groups)
            for j, p in enumerate(group["params"])
            if p in self._unstarted
        ]
        handed = {"_unstarted": unstarted, "_control": (self._control.norm, self._control.skipped)}
        exact = self._show_exact_counts()
        state = {"state": copy(self.state)}
        self.state.update(exact)
        return super().__getstate__() | {name: getattr(self, name) for name in own} | handed | state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._published = Publication([], [])
        self._control = Control(self.neighbours, *state["_control"])
        self._history = History()
        self._agreement = Agreement()
        self._silence = Silence(self._units, "opt")
        self._unstarted = {self.param_groups[i]["params"][j] for i, j in state["_unstarted"]}
        self._make()
