"""The life of an optimizer: the step, what undoes it, checkpoints and copies."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor
from torch.optim import optimizer as hooks

from lrdsl.optim import resume, wrapped
from lrdsl.optim import state as checkpoint
from lrdsl.optim.agreement import Agreement
from lrdsl.optim.compiled import outside_graphs
from lrdsl.optim.history import History
from lrdsl.optim.moments import blank_momentum, step_tensor
from lrdsl.optim.neighbours import Control
from lrdsl.optim.ownership import Owner, Publication, plain
from lrdsl.optim.phantom import is_phantom
from lrdsl.optim.rehearsal import rehearse
from lrdsl.optim.scheduled import Scheduled
from lrdsl.optim.silence import Silence
from lrdsl.optim.stepper import Elsewhere

if TYPE_CHECKING:
    from lrdsl.optim.adapter import LRScheduler

T = TypeVar("T")


class Optimizer(Scheduled):
    """What SGD, Adam and AdamW have in common."""

    # Promises torch's GradScaler to obey ``grad_scale`` and ``found_inf``, which it sets for the time of one call. They
    # must be missing otherwise: a scale that is there already is multiplied by the scaler's.
    _step_supports_amp_scaling = True

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
        if torch.compiler.is_compiling():  # spelled so that the compiler knows it
            return self._step_outside(closure)
        return self._step_here(closure)

    def _step_here(self, closure: Callable[[], T] | None) -> T | None:
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
    _step_outside = outside_graphs(_step_here)  # not `step`: `torch.export` says that it compiles here, too

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
        if (owner := self._owner()) is not Owner.READ and self._is_phantom(owner, capturing):
            with self._published.standing_in():
                self._begin_state()
            return loss
        if owner is Owner.FOREIGN:
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

    def _is_phantom(self, owner: Owner, capturing: bool) -> bool:
        if owner is not Owner.FOREIGN and (capturing or self.state or not self._published.is_rateless):
            return False
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
        self.param_groups = list(self.param_groups)  # another one, as torch's: whoever wrote there before can see it
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
