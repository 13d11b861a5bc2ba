"""Runs a row of the table of inputs with every kind of optimizer, and says what really ran."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from lrdsl.optim.distributed import local
from tests.optim.inputs import CORRECT, REFUSED, Case
from tests.optim.peers import (
    KINDS,
    WITHOUT_NATIVE,
    Kind,
    assert_close,
    copy_gradients,
    fill_gradients,
    fingerprint,
    round_to,
    widened,
)

MANY = 500
Cell = tuple[str, str]
"""A kind of optimizer and the step that it took."""


@dataclass
class Run:
    """One optimizer of ours on its way, with torch's on plain copies beside it, and our native one if that differs.

    Where there are very many tensors, one of those two has to do.

    Attributes:
        name: Of the case.
        kind: Of the optimizer.
        ours, torchs, native: The optimizers, or None.
    """

    name: str
    kind: str
    ours: Any
    torchs: Any
    native: Any

    @classmethod
    def start(cls, name: str, kind: str, backend: str) -> Run:
        case, made = CORRECT[name], KINDS[kind]
        params = case.make()
        options = made.options | case.options
        torchs = native = None
        if backend != "native" and not WITHOUT_NATIVE:
            native = made.ours(case.grouped(case.make()), backend="native", **options)
        many = len(params) > MANY
        if native is None or not many:
            torchs = made.theirs(case.grouped(widened(list(map(local, params)))), foreach=many)
        return cls(name, kind, made.ours(case.grouped(params), backend=backend, **options), torchs, native)

    @property
    def case(self) -> Case:
        return CORRECT[self.name]

    def advance(self, step: int) -> None:
        """Make one step, on all sides."""
        case = self.case
        if step == 2:
            self.ours = case.exchange(self.ours)
        ours = members(self.ours)
        case.fill(ours, step)
        if self.torchs is not None and not (case.skipped and step == 1):
            torchs = members(self.torchs)
            copy_gradients(list(map(part, ours)), torchs)
            self.torchs.step()
            round_to(ours, torchs)
        self._step_ours(self.ours, step)
        if self.native is not None:
            case.fill(members(self.native), step)
            self._step_ours(self.native, step)

    def _step_ours(self, optimizer: Any, step: int) -> None:
        optimizer.found_inf = self.case.found_inf if step == 1 else None
        optimizer.step()
        self.case.after(optimizer)

    def finish(self, first: int = 0) -> Cell:
        """Make all steps from ``first`` on and compare."""
        for step in range(first, self.case.steps):
            self.advance(step)
        self._compare()
        return self.kind, self.ours.doctor()["backend"]

    def _compare(self) -> None:
        case, ours = self.case, self.ours
        assert (ours.clock, ours.skipped) == (case.steps - case.skipped, int(case.skipped))
        peers = [peer for peer in (self.torchs, self.native) if peer is not None]
        assert peers
        for peer in peers:
            if peer is self.native and ours.doctor()["backend"] == "emulated":
                assert bits(ours) == bits(peer)
            else:
                self._assert_close(peer)

    def _assert_close(self, peer: Any) -> None:
        ours, theirs = members(self.ours), members(peer)
        for p, q in zip(ours, theirs, strict=True):
            if "step" in peer.state.get(q, {}):
                assert self.ours.state[p]["step"].item() == peer.state[q]["step"].item()
            else:
                assert "step" not in self.ours.state.get(p, {})
        kind = KINDS[self.kind]
        assert_close(*joined(ours, theirs), kind.options["lr"], spread=4.0 / (1 - kind.momentum))


def members(optimizer: Any) -> list[Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def part(p: Parameter) -> Parameter:
    """What this process has of it, with the gradient."""
    if local(p) is p:
        return p
    here = Parameter(local(p.detach()))
    here.grad = None if p.grad is None else local(p.grad)
    return here


def joined(*sides: Sequence[Parameter]) -> list[list[Tensor]]:
    """The local parts; those of very many parameters as one."""
    parts = [[local(p.detach()) for p in side] for side in sides]
    return parts if len(parts[0]) <= MANY else [[torch.cat(side)] for side in parts]


def bits(optimizer: Any) -> list[list[tuple[str, bytes]]]:
    """Every parameter and its state."""

    def of(tensor: Tensor) -> bytes:
        return local(tensor.detach()).contiguous().flatten().view(torch.uint8).numpy().tobytes()

    return [
        [("", of(p)), *((key, of(value)) for key, value in optimizer.state.get(p, {}).items())]
        for p in members(optimizer)
    ]


# --- rows -----------------------------------------------------------------------------------------------------------

_inherited: list[Run] = []


def correct(name: str, backend: str) -> set[Cell]:
    """Run a row of correct input; gives the cells that ran."""
    case = CORRECT[name]
    if case.where == "threads":
        return set().union(*(_in_threads(name, kind, backend) for kind in KINDS))
    runs = [Run.start(name, kind, backend) for kind in KINDS]
    if case.where == "here":
        return {run.finish() for run in runs}
    for run in runs:
        for step in range(2):
            run.advance(step)
    return _in_a_child(case.where, runs)


def _in_threads(name: str, kind: str, backend: str) -> set[Cell]:
    with ThreadPoolExecutor(8) as pool:
        runs = [Run.start(name, kind, backend) for _ in range(8)]
        return set(pool.map(Run.finish, runs))


def _in_a_child(where: str, runs: list[Run]) -> set[Cell]:
    """What is forked inherits the optimizers, what is spawned gets copies."""
    _inherited[:] = runs if where == "forked" else []
    copies = b"" if where == "forked" else pickle.dumps(runs)
    context = multiprocessing.get_context({"forked": "fork", "spawned": "spawn"}[where])
    try:
        with context.Pool(1) as pool:
            return pool.apply_async(_go_on, (copies,)).get(timeout=60)
    finally:
        _inherited.clear()


def _go_on(copies: bytes) -> set[Cell]:
    runs = pickle.loads(copies) if copies else _inherited
    return {run.finish(2) for run in runs}


def refused(name: str, backend: str) -> set[Cell]:
    """Run a row of wrong input; gives the cells that ran."""
    return {(kind, _refused(name, made, backend)) for kind, made in KINDS.items()}


def _refused(name: str, kind: Kind, backend: str) -> str:
    wrong = REFUSED[name]
    params, options = wrong.make(), kind.options | wrong.options
    if not wrong.later:
        before = [p.clone() if isinstance(p, Tensor) else p for p in params]
        with pytest.raises(wrong.error, match=wrong.message):
            kind.ours(params, backend=backend, **options)
        assert all(map(same, params, before))
        return backend
    optimizer = kind.ours(params, backend=backend, **options)
    fill_gradients(params, seed=0)
    optimizer.step()
    fill_gradients(params, seed=1)
    if wrong.spoil is not None:
        wrong.spoil(params[1])
    if wrong.change is not None:
        wrong.change(optimizer)
    before = fingerprint(optimizer)
    for _ in range(2):  # it must not be accepted the second time either
        with pytest.raises(wrong.error, match=wrong.message):
            wrong.attempt(optimizer)
        assert fingerprint(optimizer) == before
    return optimizer.doctor()["backend"]


def same(left: object, right: object) -> bool:
    if not isinstance(left, Tensor) or left.is_meta:
        return True
    left, right = left.detach().to_dense(), right.detach().to_dense()
    return torch.equal(left, right)
