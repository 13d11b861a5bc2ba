"""Every primitive against values worked out elsewhere: the specification, closed forms, hand, torch."""

import re
import warnings

import pytest

import lrdsl
from lrdsl.primitives import MODIFIERS, SEGMENTS
from tests.cases import CASES, PEERS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_value(case):
    schedule = case.compile()
    got = {step: schedule.lr(step) for step in case.expected}
    # Rates near 0 are compared to the base's last place: an oracle such as 1 + cos cancels there.
    assert got == pytest.approx(
        case.expected, rel=case.relative, abs=1e-4 * case.relative * schedule.context["base_lr"]
    )


def test_names_are_unique():
    names = [case.name for case in (*CASES, *PEERS)]
    assert len(names) == len(set(names))


def test_every_primitive_has_a_row():
    called = {name for case in CASES for name in re.findall(r"[a-z_0-9]+(?=\()", case.text)}
    assert not {*SEGMENTS, *MODIFIERS} - called


def torch_rates(peer):
    torch = pytest.importorskip("torch", reason="not run: torch is not installed")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peer.base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR warns about its own calls
        scheduler = peer.make(torch.optim.lr_scheduler, optimizer)
        for _ in range(peer.steps):
            yield optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_torch(peer):
    schedule = lrdsl.compile(peer.text, base_lr=peer.base)
    expected = list(torch_rates(peer))
    assert schedule.lrs(range(peer.steps)) == pytest.approx(expected, rel=1e-12, abs=1e-15 * peer.base)
