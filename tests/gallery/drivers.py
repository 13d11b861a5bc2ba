"""Runs the schedules of other libraries: from the expression that makes one to the rates it would use."""

from __future__ import annotations

import importlib
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from types import SimpleNamespace
from typing import Any

DISTRIBUTIONS = {"ignite": "pytorch-ignite", "paddle": "paddlepaddle", "megatron": "megatron-core"}
"""Libraries that are installed under another name than they are imported."""


def version(library: str) -> str | None:
    """The installed version, None if there is none."""
    try:
        return metadata.version(DISTRIBUTIONS.get(library, library))
    except metadata.PackageNotFoundError:
        return None


def rates(call: str, base: float, steps: int) -> list[float]:
    """The rates of updates 0 to ``steps - 1``."""
    maker = Maker(base)
    made = maker.make(call)
    driver = DRIVERS[call.partition(".")[0]]
    return [float(rate) for rate in driver(made, maker, steps)]


def replay(call: str, base: float, reports: Sequence[float]) -> list[float]:
    """The rate after each report."""
    maker = Maker(base)
    made = maker.make(call)
    return [float(rate) for rate in LISTENERS[call.partition(".")[0]](made, maker, reports)]


class Maker:
    """The names an expression may use besides its library: ``optimizer``, ``parameters`` and ``EPOCHS(n)``."""

    def __init__(self, base: float) -> None:
        self.base = base
        self.per = 1  # updates between two steps of the scheduler
        self._optimizer: Any = None

    @property
    def parameters(self) -> list[Any]:
        torch = importlib.import_module("torch")
        parameter = torch.nn.Parameter(torch.zeros(1))
        parameter.grad = torch.zeros(1)
        return [parameter]

    @property
    def optimizer(self) -> Any:
        """A torch optimizer at the base rate; always the same one."""
        if self._optimizer is None:
            self._optimizer = importlib.import_module("torch").optim.SGD(self.parameters, lr=self.base)
        return self._optimizer

    @property
    def rate(self) -> float:
        """The rate of that optimizer."""
        return float(self.optimizer.param_groups[0]["lr"])

    def epochs(self, per: int) -> Any:
        """The optimizer, of a scheduler that is stepped once in so many updates."""
        self.per = per
        return self.optimizer

    def make(self, call: str) -> Any:
        """Evaluate the expression."""
        os.environ.setdefault("KERAS_BACKEND", "jax")
        os.environ.setdefault("JAX_ENABLE_X64", "1")  # optax then computes in doubles; keras never does
        names: dict[str, Any] = {"EPOCHS": self.epochs}
        for path in (call.partition(".")[0], *re.findall(r"\b[a-z]\w*(?:\.[a-z]\w*)+", call)):
            parts = path.split(".")
            for end in range(1, len(parts) + 1):
                try:
                    importlib.import_module(".".join(parts[:end]))
                except ModuleNotFoundError:
                    if end == 1:
                        raise
                    break
            names[parts[0]] = importlib.import_module(parts[0])
        names |= {name: getattr(self, name) for name in ("optimizer", "parameters") if re.search(rf"\b{name}\b", call)}
        return eval(call, names)


Driver = Callable[[Any, Maker, int], Iterable[float]]


def _torch(scheduler: Any, maker: Maker, steps: int) -> Iterator[float]:
    for step in range(1, steps + 1):
        yield maker.rate
        maker.optimizer.step()
        if step % maker.per == 0:
            scheduler.step()


def _timm(scheduler: Any, maker: Maker, steps: int) -> Iterator[float]:
    for step in range(steps):
        scheduler.step(step)
        yield maker.rate


def _called(schedule: Any, maker: Maker, steps: int) -> Iterator[float]:
    return (float(schedule(step)) for step in range(steps))


def _thinc(schedule: Any, maker: Maker, steps: int) -> Iterator[float]:
    return (float(schedule(step=step)) for step in range(steps))


def _fvcore(schedule: Any, maker: Maker, steps: int) -> Iterator[float]:
    """Its clock is the share of the run that has passed."""
    return (float(schedule(step / steps)) for step in range(steps))


def _composer(schedule: Any, maker: Maker, steps: int) -> Iterator[float]:
    core = importlib.import_module("composer.core")
    for step in range(steps):
        state = SimpleNamespace(
            timestamp=core.Timestamp(batch=step), max_duration=core.Time(steps, "ba"), dataloader_len=None
        )
        yield maker.base * schedule(state)


def _paddle(scheduler: Any, maker: Maker, steps: int) -> Iterator[float]:
    for _ in range(steps):
        yield scheduler()
        scheduler.step()


def _ignite(scheduler: Any, maker: Maker, steps: int) -> Iterator[float]:
    for _ in range(steps):
        scheduler(None)
        yield maker.rate


def _schedulefree(optimizer: Any, maker: Maker, steps: int) -> Iterator[float]:
    optimizer.train()
    for _ in range(steps):
        optimizer.step()
        yield optimizer.param_groups[0]["scheduled_lr"]


def _megatron(scheduler: Any, maker: Maker, steps: int) -> Iterator[float]:
    for _ in range(steps):
        yield maker.rate
        scheduler.step(1)


DRIVERS: dict[str, Driver] = {
    "torch": _torch,
    "transformers": _torch,
    "deepspeed": _torch,
    "mmengine": _torch,
    "timm": _timm,
    "optax": _called,
    "keras": _called,
    "thinc": _thinc,
    "fvcore": _fvcore,
    "composer": _composer,
    "paddle": _paddle,
    "ignite": _ignite,
    "schedulefree": _schedulefree,
    "megatron": _megatron,
}


def _torch_listens(scheduler: Any, maker: Maker, reports: Sequence[float]) -> Iterator[float]:
    for report in reports:
        scheduler.step(report)
        yield maker.rate


def _keras_listens(callback: Any, maker: Maker, reports: Sequence[float]) -> Iterator[float]:
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=maker.base))
    callback.set_model(model)
    callback.monitor = "loss"
    callback.on_train_begin()
    for epoch, report in enumerate(reports):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            callback.on_epoch_end(epoch, {"loss": report})
        yield model.optimizer.learning_rate


def _optax_listens(transform: Any, maker: Maker, reports: Sequence[float]) -> Iterator[float]:
    jnp = importlib.import_module("jax.numpy")
    state = transform.init({})
    for report in reports:
        _, state = transform.update({}, state, value=jnp.asarray(report))
        yield maker.base * float(state.scale)


LISTENERS: dict[str, Callable[[Any, Maker, Sequence[float]], Iterable[float]]] = {
    "torch": _torch_listens,
    "transformers": _torch_listens,
    "keras": _keras_listens,
    "optax": _optax_listens,
}
