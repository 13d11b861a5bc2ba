"""From the gradients there are to the update: collect, check, plan, run. The native step where it can, else Python."""

from collections.abc import Iterable, MutableMapping
from threading import Lock

from torch import Tensor

from lrdsl import evaluators
from lrdsl.evaluators import native
from lrdsl.optim.batch import Batch
from lrdsl.optim.groups import Group
from lrdsl.optim.hypers import Hyper, Hypers
from lrdsl.optim.moments import State, Wanted, prepare
from lrdsl.optim.native_step import NativeStep
from lrdsl.optim.ownership import Publication
from lrdsl.optim.python_step import PythonStep
from lrdsl.optim.rules import Rules

BACKENDS = ("auto", "native", "python")


def obstacle(backend: str, param_groups: list[Group]) -> str:
    """Why the Python step has to be taken; empty if the native one can be.

    Raises:
        ValueError: There is no such backend.
        RuntimeError: The native step was asked for, and cannot run.
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
    if why and backend == "native":
        raise RuntimeError(f"backend='native' cannot run: {why}")
    return why


class Stepper:
    """The parameters and groups of an optimizer, ready to be stepped. Made again when either changes.

    Args:
        rules: Which optimizer.
        param_groups: Its groups.
        state: Its state.
        unstarted: Parameters whose momentum buffer holds nothing yet; outlives the stepper.
        published: The scheduled values.
        backend: ``auto``, ``native`` or ``python``.
    """

    def __init__(
        self,
        rules: Rules,
        param_groups: list[Group],
        state: MutableMapping[Tensor, State],
        unstarted: set[Tensor],
        published: Publication,
        backend: str,
    ) -> None:
        self._rules = rules
        self._state = state
        self._unstarted = unstarted
        self._batch = Batch(param_groups)
        self._hypers = Hypers(param_groups, rules.options, rules.read_group, published)
        self._planned: bytes | None = None
        self._turn = Lock()  # the native call writes without the interpreter's
        self.why = obstacle(backend, param_groups)
        module = native.extension()
        self.backend: NativeStep | PythonStep
        if module is None or self.why:
            self.backend = PythonStep(rules, self._batch, self._hypers)
        else:
            self.backend = NativeStep(module, rules.kind, self._batch, self._hypers)
            self.why = f"the extension is live, with {module.isa()}"
            published.compile(module, self._hypers.keys, self._hypers.address)

    def serves(self, param_groups: list[Group], state: object) -> bool:
        """Whether these are still the groups, parameters and state it was made for."""
        return state is self._state and self._batch.holds(param_groups)

    def step(self, undisturbed: bool = False) -> None:
        """Update every parameter that has a gradient.

        Args:
            undisturbed: The groups are as the last step read them.

        Raises:
            ValueError, TypeError: Something cannot be used; the message names it, and nothing has been written.
            RuntimeError: Another thread is in here.
        """
        if not self._turn.acquire(blocking=False):
            raise RuntimeError("this optimizer is being stepped by another thread")
        try:
            self._step(undisturbed)
        finally:
            self._turn.release()

    def _step(self, undisturbed: bool) -> None:
        if not undisturbed:
            self._hypers.read()
        batch, backend = self._batch, self.backend
        grads = batch.collect()
        if not grads:
            return
        anew = batch.moved or self._planned != self._hypers.structure or backend.stale(self._state)
        if anew or batch.changed:
            self._planned = None  # until all is well
            if anew:
                backend.forget()
            self._unstarted.update(prepare(self._wanted(backend.missing()), self._state))
            backend.plan(grads, self._state, self._unstarted)
            batch.accept()
            self._planned = self._hypers.structure
        backend.run(grads)
        if self._unstarted:
            self._unstarted.difference_update(self._with_momentum())

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

    def _wanted(self, indices: Iterable[int]) -> list[Wanted]:
        batch = self._batch
        keys = [self._rules.state_keys(Hyper(*row)) for row in self._hypers.table.tolist()]
        return [Wanted(batch.names[i], batch.params[i], keys[batch.groups[i]]) for i in indices]

    def _with_momentum(self) -> list[Tensor]:
        """The parameters whose buffer took part in this update."""
        momentum = self._hypers.table["momentum"].tolist()
        return [self._batch.params[i] for i in self._batch.active if momentum[self._batch.groups[i]] != 0]
