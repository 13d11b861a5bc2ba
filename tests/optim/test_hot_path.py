"""What may change between two steps: state, layouts, memory, which gradients there are, and who steps."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from torch.nn import Parameter  # noqa: E402

import lrdsl  # noqa: E402
from lrdsl.optim.tensors import Named, check_parameters  # noqa: E402
from tests.optim.peers import BACKENDS, KINDS, assert_close, fill_gradients, fingerprint, parameters  # noqa: E402


def _replace(optimizer: Any, p: Parameter) -> None:
    optimizer.state[p]["exp_avg"] = torch.zeros_like(p)


def _remove(optimizer: Any, p: Parameter) -> None:
    del optimizer.state[p]["exp_avg"]


def _clear(optimizer: Any, p: Parameter) -> None:
    optimizer.state.clear()


def _share(optimizer: Any, p: Parameter) -> None:
    for tensor in optimizer.state[p].values():
        tensor.share_memory_()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("change", [_replace, _remove, _clear, _share])
def test_state_changed_by_hand(change: Callable[[Any, Parameter], None], backend: str) -> None:
    params = parameters([(50_000,), (3,)])
    optimizer = lrdsl.AdamW(params, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    change(optimizer, params[0])
    gc.collect()
    before = {k: v.clone() for k, v in optimizer.state.get(params[0], {}).items()}
    optimizer.step()
    after = optimizer.state[params[0]]
    old = before.get("exp_avg", torch.zeros(50_000))
    torch.testing.assert_close(after["exp_avg"], 0.9 * old + 0.1 * params[0].grad)
    assert after["step"] == float(before.get("step", 0)) + 1


def test_one_thread_at_a_time() -> None:
    # Gradients stay as they are: torch itself crashes where one thread replaces one while another reads it.
    params = parameters([(2_200_000,)] * 2)  # large enough for the step to let other threads run
    optimizer = lrdsl.AdamW(params)
    fill_gradients(params, seed=0)
    optimizer.step()
    outcomes: list[str] = []

    def work() -> None:
        for _ in range(5):
            try:
                optimizer.step()
                outcomes.append("")
            except RuntimeError as error:
                outcomes.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [outcome for outcome in outcomes if outcome]
    assert len(outcomes) == 15
    assert all("another thread" in message for message in refused)
    assert optimizer.clock == 1 + len(outcomes) - len(refused)
    assert all(optimizer.state[p]["step"] == optimizer.clock for p in params)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reshape", [lambda t: t.t(), lambda t: t.view(4, 2)], ids=["transposed", "viewed"])
def test_parameter_of_another_layout(reshape: Callable[[Any], Any], backend: str) -> None:
    (p,), (q,) = parameters([(2, 4)]), parameters([(2, 4)])
    optimizer = lrdsl.SGD([p], lr=0.1, backend=backend)
    fill_gradients([p], seed=0)
    q.data -= 0.1 * p.grad
    optimizer.step()
    p.data = reshape(p.data)
    before = fingerprint(optimizer)
    with pytest.raises(ValueError, match="gradient of group 0, parameter 0: expected shape"):
        optimizer.step()
    assert fingerprint(optimizer) == before
    p.grad = torch.arange(8.0).view(4, 2)
    optimizer.step()
    torch.testing.assert_close(p.data, reshape(q.data) - 0.1 * p.grad)


@pytest.mark.parametrize("backend", BACKENDS)
def test_negative_bit(backend: str) -> None:
    p = Parameter(torch.zeros(4))
    optimizer = lrdsl.SGD([p], lr=1.0, backend=backend)
    for step in range(4):
        p.grad = torch._neg_view(torch.ones(4)) if step % 2 else torch.ones(4)
        optimizer.step()
        assert p.tolist() == [0.0 if step % 2 else -1.0] * 4


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_without_memory(backend: str) -> None:
    params = parameters([(4,), (4,)])
    optimizer = lrdsl.SGD(params, lr=1.0, backend=backend)
    fill_gradients(params, seed=0)
    optimizer.step()
    params[1].grad.untyped_storage().resize_(0)
    before = [p.clone() for p in params]
    with pytest.raises(ValueError, match="gradient of group 0, parameter 1 has no memory"):
        optimizer.step()
    assert all(map(torch.equal, params, before))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_alternating_subsets(kind: str, backend: str) -> None:
    shapes = [(5,), (4, 3), (0,), (6,), (7, 2)]
    ours, theirs = parameters(shapes), parameters(shapes)
    a, b = KINDS[kind].ours(ours, backend=backend), KINDS[kind].theirs(theirs, foreach=False)
    for step in range(9):
        largest = fill_gradients(ours, theirs, seed=step)
        for index in range(len(shapes)):
            if (index + step) % 3 == 0:
                ours[index].grad = theirs[index].grad = None
        a.step()
        b.step()
    assert_close(ours, theirs, 0.1, spread=largest / (1 - KINDS[kind].momentum))


def test_column_slices_are_told_apart_quickly() -> None:
    wide = torch.zeros(4096, 2048)
    start = time.perf_counter()
    check_parameters([Named("a", wide[:, :1024]), Named("b", wide[:, 1024:])])
    assert time.perf_counter() - start < 0.1
    with pytest.raises(ValueError, match="b shares memory with a"):
        check_parameters([Named("a", wide[:, :1025]), Named("b", wide[:, 1024:])])


def test_overlap_agrees_with_enumeration() -> None:
    generator = torch.Generator().manual_seed(0)
    outcomes = set()
    for _ in range(500):
        base, cells = torch.zeros(200), []
        views = []
        for _ in range(2):
            size = torch.randint(1, 4, (2,), generator=generator).tolist()
            stride = torch.randint(0, 9, (2,), generator=generator).tolist()
            offset = int(torch.randint(0, 12, (), generator=generator))
            views.append(base.as_strided(size, stride, offset))
            cells.append([offset + i * stride[0] + j * stride[1] for i in range(size[0]) for j in range(size[1])])
        clash = len({*cells[0], *cells[1]}) < len(cells[0]) + len(cells[1])
        outcomes.add(clash)
        if clash:
            with pytest.raises(ValueError, match=r"overlaps itself|shares memory"):
                check_parameters([Named("a", views[0]), Named("b", views[1])])
        else:
            check_parameters([Named("a", views[0]), Named("b", views[1])])
    assert outcomes == {False, True}
