"""From the gradients there are to the update: collect, check, plan, run. The native step where it can, else Python."""

from collections.abc import Callable, Iterable, MutableMapping
from threading import Lock

from torch import Tensor

from lrdsl import evaluators
from lrdsl.evaluators import native
from lrdsl.optim.batch import Batch
from lrdsl.optim.distributed import Reach
from lrdsl.optim.groups import Group
from lrdsl.optim.hypers import Hyper, Hypers
from lrdsl.optim.moments import MASTER, State, Wanted, prepare
from lrdsl.optim.native_step import EmulatedStep, NativeStep, walk_obstacle
from lrdsl.optim.neighbours import MEASURE, ZERO, Control
from lrdsl.optim.ownership import Publication
from lrdsl.optim.python_step import PythonStep
from lrdsl.optim.rules import Rules
from lrdsl.optim.tensors import check_writable, opmath

BACKENDS = ("auto", "native", "python", "emulated")  # the last for tests: see `EmulatedStep`


def obstacle(backend: str, param_groups: list[Group]) -> str:
    """Why the Python step has to be taken; empty if the native one can be.

    Raises:
        ValueError: There is no such backend.
        RuntimeError: Another step was asked for, and cannot run.
    """
    if backend not in BACKENDS:
        raise ValueError(f"expected backend to be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "python":
        return "backend='python' was asked for"
    why = native.reason()
    elsewhere = {p.device.type for group in param_groups for p in group["params"]} - {"cpu"}
    if elsewhere:
        why = f"there are parameters on {', '.join(sorted(elsewhere))}; the native step runs on the CPU"
    if evaluators.python_only():
        why = "LRDSL_BACKEND=python is set"
    if why and backend != "auto":
        raise RuntimeError(f"backend={backend!r} cannot run: {why}")
    return why


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
        backend: One of ``BACKENDS``.
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
        backend: str,
    ) -> None:
        self._rules = rules
        self._state = state
        self._unstarted = unstarted
        self._batch = Batch(param_groups)
        self._hypers = Hypers(param_groups, rules.options, rules.read_group, published)
        self.rates = self._hypers.table["lr"]  # of the last update, until the next ones are published
        self._reach = Reach(self._batch.params)
        self._control = control
        self._masters = masters
        self._planned: bytes | None = None
        self._turn = Lock()  # the native call writes without the interpreter's
        self.why = obstacle(backend, param_groups)
        module = native.extension()
        self.backend: NativeStep | PythonStep
        if module is None or self.why:
            self.backend = PythonStep(rules, self._batch, self._hypers, control)
        else:
            native_step = EmulatedStep if backend == "emulated" else NativeStep
            self.backend = native_step(module, rules.kind, self._batch, self._hypers, control)
            self.why = f"the extension is live, with {module.isa()}"
            if why := walk_obstacle(module, self._batch.params):
                self.why += f"; tensors are compared in Python: {why}"
            published.compile(module, self._hypers.keys, self._hypers.address)

    def serves(self, param_groups: list[Group], state: object) -> bool:
        """Whether these are still the groups, parameters and state it was made for."""
        return state is self._state and self.backend.holds(param_groups)

    def step(
        self, undisturbed: bool, grad_scale: object, found_inf: object, report: Callable[[float], None] | None
    ) -> bool:
        """Update every parameter that has a gradient.

        Args:
            undisturbed: The groups are as the last step read them.
            grad_scale: What the gradients are to be divided by, or None.
            found_inf: The step is skipped unless it is 0 or None.
            report: Is told the norm of the gradients before an update, and may change the values of the groups.

        Returns:
            Whether the step was made; False if it was skipped.

        Raises:
            ValueError, TypeError: Something cannot be used; the message names it, and nothing has been written.
            RuntimeError: Another thread is in here.
        """
        if not self._turn.acquire(blocking=False):
            raise RuntimeError("this optimizer is being stepped by another thread")
        try:
            self._control.begin(grad_scale, found_inf)
            return self._step(undisturbed, report)
        finally:
            self._turn.release()

    def _step(self, undisturbed: bool, report: Callable[[float], None] | None) -> bool:
        if not undisturbed:
            self._hypers.read()
        backend = self.backend
        if report is not None or self._control.flags & MEASURE:
            if self._reach.obstacle:
                raise ValueError(self._reach.obstacle)
            if report is not None or self._reach.shared:
                self._measure()
        if report is not None and not self._control.vetoed:
            report(self._control.norm)
            self._hypers.read()  # a momentum may have come
        applied = backend.run_at_once() if self._is_planned() else None
        if applied is None:
            applied = backend.run(self._collect())
        if applied and self._unstarted:
            self._unstarted.difference_update(self._with_momentum())
        return applied

    def _measure(self) -> None:
        """Find the norm before the step."""
        if not (self._is_planned() and self.backend.measure_at_once()):
            self.backend.measure(self._collect())
        if self._reach.shared:
            self._control.norm = self._reach.norm(self._control.norm)
        self._control.measured()

    def _is_planned(self) -> bool:
        return self._planned == self._hypers.structure

    def _collect(self) -> list[Tensor]:
        """The gradients, after validating what is new and getting ready for it."""
        batch, backend = self._batch, self.backend
        if backend.outdated:
            batch.forget()
        grads = batch.collect()
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
            resting = self._ready_to_rest(backend.resting())
            self._unstarted.update(prepare(self._wanted([*backend.missing(), *resting]), self._state))
            backend.plan(grads, resting, self._state, self._unstarted)
            batch.accept()
            self._planned = self._hypers.structure
        return grads

    def init_state(self) -> None:
        """Make the state of all parameters that require a gradient.

        Raises:
            ValueError, TypeError: As `step`.
        """
        self._hypers.read()
        self._batch.check_parameters()
        batch = self._batch
        wanted = self._wanted(index for index, p in enumerate(batch.params) if p.requires_grad)
        self._unstarted.update(prepare(wanted, self._state))
        self._planned = None

    def forget(self) -> None:
        """Look at everything anew before the next step: state and counts were written from outside."""
        self._planned = None

    def _wanted(self, indices: Iterable[int]) -> list[Wanted]:
        batch = self._batch
        keys = [self._rules.state_keys(Hyper(*row)) for row in self._hypers.table.tolist()]
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
