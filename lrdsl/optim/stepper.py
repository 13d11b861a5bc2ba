"""From the gradients there are to the update: collect, check, plan, run. The native step where it can, else Python."""

from collections.abc import Callable, Iterable, MutableMapping
from threading import Lock

import torch
from torch import Tensor

from lrdsl.optim.backends import Choice
from lrdsl.optim.batch import Batch
from lrdsl.optim.device_schedule import DeviceSchedule
from lrdsl.optim.device_step import DeviceStep
from lrdsl.optim.distributed import Reach
from lrdsl.optim.groups import Group
from lrdsl.optim.hypers import Hyper, Hypers
from lrdsl.optim.moments import MASTER, State, Wanted, is_complete, prepare
from lrdsl.optim.native_step import NativeStep, walk_obstacle
from lrdsl.optim.neighbours import MEASURE, ZERO, Control, check_captured
from lrdsl.optim.ownership import Publication
from lrdsl.optim.python_step import PythonStep
from lrdsl.optim.rules import Rules
from lrdsl.optim.tensors import CPU, check_writable, opmath


class Elsewhere(Exception):
    """Parameters have gone to another device since the stepper was made; nothing has been written."""


class Stepper:
    """The parameters and groups of an optimizer, ready to be stepped. Made again when either changes.

    Args:
        rules: Which optimizer.
        param_groups: Its groups.
        state: Its state.
        unstarted: Parameters whose momentum buffer holds nothing yet; outlives the stepper.
        published: The scheduled values.
        control: What every step is told beside its tensors; outlives the stepper.
        masters: Whether parameters in low precision have a master.
        batch: The parameters.
        choice: Which step.
        schedule: What they have on the device that steps; None: the host does.
    """

    def __init__(
        self,
        rules: Rules,
        param_groups: list[Group],
        state: MutableMapping[Tensor, State],
        unstarted: set[Tensor],
        published: Publication,
        control: Control,
        masters: bool,
        batch: Batch,
        choice: Choice,
        schedule: DeviceSchedule | None,
    ) -> None:
        self._rules = rules
        self._state = state
        self._unstarted = unstarted
        self._batch = batch
        self._hypers = Hypers(param_groups, rules.options, rules.read_group, published, choice.device)
        self.rates = self._hypers.table["lr"]  # of the last update, until the next ones are published
        self.reach = Reach(self._batch.params)
        self._control = control
        self._masters = masters
        self._planned: bytes | None = None
        self._served: bytes | None = None  # what the rows of a device are good for
        self._turn = Lock()  # the native call writes without the interpreter's
        self.why, module = choice.why, choice.module
        self._counts = choice.device
        self._devices = [p.device for p in batch.params]
        self._schedule = schedule
        self.backend: NativeStep | PythonStep
        if module is None:
            self.backend = PythonStep(rules, batch, self._hypers, control)
            return
        if schedule is None:
            self.backend = NativeStep(module, rules.kind, batch, self._hypers, control)
        else:
            self.backend = DeviceStep(module, rules.kind, batch, self._hypers, control, schedule)
        if why := walk_obstacle(module, batch.params, self.backend.device):
            self.why += f"; tensors are compared in Python: {why}"
        published.compile(module, self._hypers.keys, self._hypers.address)

    @property
    def counts(self) -> torch.device:
        """Where the step counts are."""
        return self._counts or CPU

    def catch_up(self) -> None:
        """The device's rows have been read."""
        if isinstance(self.backend, DeviceStep):
            self.backend.start(self._unstarted)

    def serves(self, param_groups: list[Group], state: object) -> bool:
        """Whether these are still the groups, parameters and state it was made for."""
        return state is self._state and self.backend.holds(param_groups)

    def step(
        self, undisturbed: bool, grad_scale: object, found_inf: object, report: Callable[[float, bool], None] | None
    ) -> bool:
        """Update every parameter that has a gradient.

        Args:
            undisturbed: The groups are as the last step read them.
            grad_scale: What the gradients are to be divided by, or None.
            found_inf: The step is skipped unless it is 0 or None.
            report: Is told the norm of the gradients before an update, and whether that is skipped; it may change the
                values of the groups.

        Returns:
            Whether the step was made; False if it was skipped. True on a device, which does not say.

        Raises:
            ValueError, TypeError: Something cannot be used; the message names it, and nothing has been written.
            RuntimeError: Another thread is in here.
            Elsewhere: This stepper cannot step the parameters any more.
        """
        if not self._turn.acquire(blocking=False):
            raise RuntimeError("this optimizer is being stepped by another thread")
        try:
            told, device = {"grad_scale": grad_scale, "found_inf": found_inf}, self.backend.device
            if self._schedule is not None and any(v is not None for v in told.values()) and self._schedule.capturing():
                for name, value in told.items():
                    check_captured(name, value, device)
            self._control.begin(grad_scale, found_inf, device)
            return self._step(undisturbed, report)
        finally:
            self._turn.release()

    def _step(self, undisturbed: bool, report: Callable[[float, bool], None] | None) -> bool:
        if not undisturbed:
            self._hypers.read()
        backend = self.backend
        if self._schedule is not None:
            self._look_at_device(self._schedule)
        if report is not None or self._control.flags & MEASURE:
            if self.reach.obstacle:
                raise ValueError(self.reach.obstacle)
            if report is not None or self.reach.shared:
                self._measure()
        if report is not None:
            report(self._control.norm, self._control.vetoed)
            self._hypers.read()  # a momentum may have come
        applied = backend.run_at_once() if self._is_planned() else None
        if applied is None:
            applied = backend.run(self._collect())
        if applied and self._unstarted and not backend.remote:  # a device knows by itself
            self._unstarted.difference_update(self._with_momentum())
        return applied

    def _look_at_device(self, schedule: DeviceSchedule) -> None:
        """Whether the norm is needed, and whether a capture can go ahead.

        Raises:
            RuntimeError: It cannot; the message says what to do.
        """
        schedule.flush(self._hypers.table, self._hypers.tensor_rates)
        if schedule.plan.listens:
            self._control.measure()
        if not schedule.capturing():
            return
        batch = self._batch
        needed = [index for index, p in enumerate(batch.params) if p.requires_grad or p.grad is not None]
        for index in needed:
            if batch.params[index].grad is None:
                raise RuntimeError(
                    f"{batch.names[index]} has no gradient: a captured step needs one of every parameter"
                )
        if not all(is_complete(wanted, self._state, self.backend.device) for wanted in self._wanted(needed)):
            raise RuntimeError("there is no state yet: call init_state() before the capture, or make a step")

    def _measure(self) -> None:
        """Find the norm before the step."""
        if not (self._is_planned() and self.backend.measure_at_once()):
            self.backend.measure(self._collect())
        if self.reach.shared:
            self.backend.share_norm(self.reach)
        self._control.measured()

    def _is_planned(self) -> bool:
        return self._planned == self._hypers.structure

    def _collect(self) -> list[Tensor]:
        """The gradients, after validating what is new and getting ready for it."""
        batch, backend = self._batch, self.backend
        if backend.outdated:
            batch.forget()
        grads = batch.collect()
        if batch.moved:
            self._check_devices()
        anew = batch.moved or not self._is_planned() or backend.stale(self._state)
        if anew or batch.changed:
            self._planned = None  # until all is well
            if anew:
                backend.forget()
            if self._control.flags & ZERO:
                fresh = set(batch.fresh)
                for index, grad in zip(batch.active, grads, strict=True):
                    if index in fresh:
                        check_writable(f"gradient of {batch.names[index]}", grad)
            captured = self._schedule is not None and self._schedule.keep
            resting = backend.resting() if captured else self._ready_to_rest(backend.resting())
            backend.catch_up([*backend.missing(), *resting], self._unstarted)
            self._unstarted.update(prepare(self._wanted([*backend.missing(), *resting]), self._state, self._counts))
            backend.plan(grads, resting, self._state, self._unstarted)
            batch.accept()
            self._planned = self._served = self._hypers.structure
        return grads

    def init_state(self) -> None:
        """Make the state of all parameters that require a gradient.

        Raises:
            ValueError, TypeError, Elsewhere: As `step`.
        """
        self._hypers.read()
        self._check_devices()
        self._batch.check_parameters()
        batch = self._batch
        self.backend.catch_up(range(len(batch.params)), self._unstarted)  # before new state counts as not started
        wanted = self._wanted(index for index, p in enumerate(batch.params) if p.requires_grad)
        self._unstarted.update(prepare(wanted, self._state, self._counts))
        self._planned = None
        self.install()

    def install(self, fresh: bool = False) -> None:
        """Let a device have everything at once: groups, schedules, and the rows of all parameters that have state.

        Args:
            fresh: The state is another one; whatever has been captured has to find some.

        Raises:
            ValueError, TypeError, Elsewhere: Something cannot be used.
        """
        schedule = self._schedule
        if schedule is None:
            return
        self._hypers.read()
        everyone = list(range(len(self._batch.params)))
        self._hand_over(schedule, everyone if fresh and schedule.keep else self._ready_to_rest(everyone))

    def refresh(self) -> None:
        """Let a device have what somebody has changed in the groups; captured steps will find it.

        Raises:
            ValueError, TypeError, Elsewhere: It cannot be used.
        """
        self._hypers.read()
        if self._schedule is not None:
            grows = self._served != self._hypers.structure  # captured steps would look for state that is not there
            self._hand_over(self._schedule, self._schedule.rows.indices() if grows else [])

    def _hand_over(self, schedule: DeviceSchedule, indices: list[int]) -> None:
        """Numbers of the groups, and rows with whatever state they need."""
        backend = self.backend
        assert isinstance(backend, DeviceStep)
        self._check_devices()
        if indices:
            backend.catch_up(indices, self._unstarted)
            self._unstarted.update(prepare(self._wanted(indices), self._state, self._counts))
        schedule.flush(self._hypers.table, self._hypers.tensor_rates)
        schedule.update(self._hypers.table, self._hypers.tensor_rates)
        if indices:
            backend.install(indices, self._state, self._unstarted)
            self._served = self._hypers.structure

    def forget(self) -> None:
        """Look at everything anew before the next step: state and counts were written from outside."""
        self._planned = None

    def _check_devices(self) -> None:
        if [p.device for p in self._batch.params] != self._devices:
            raise Elsewhere

    def _wanted(self, indices: Iterable[int]) -> list[Wanted]:
        batch = self._batch
        rows = [Hyper(*row) for row in self._hypers.table.tolist()]
        lasting = self._hypers.lasting.tolist()
        rows = [row._replace(momentum=1.0) if lasts else row for row, lasts in zip(rows, lasting, strict=True)]
        keys = list(map(self._rules.state_keys, rows))
        wanted = [Wanted(batch.names[i], batch.params[i], keys[batch.groups[i]]) for i in indices]
        return [w._replace(keys=(*w.keys, MASTER)) if self._has_master(w.parameter) else w for w in wanted]

    def _ready_to_rest(self, indices: list[int]) -> list[int]:
        """Those whose state is still there."""
        states = (self._state.get(self._batch.params[i], {}) for i in indices)
        wanted = self._wanted(indices)
        return [i for i, w, state in zip(indices, wanted, states, strict=True) if state.keys() >= {*w.keys}]

    def _has_master(self, p: Tensor) -> bool:
        return opmath(p) != p.dtype and (self._masters or MASTER in self._state.get(p, {}))

    def _with_momentum(self) -> list[Tensor]:
        """The parameters whose buffer took part in this update."""
        momentum = self._hypers.table["momentum"].tolist()
        return [self._batch.params[i] for i in self.backend.stepped() if momentum[self._batch.groups[i]] != 0]
