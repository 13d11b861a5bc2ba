"""Every row of the gallery equals the formula as it is written, or what another library computes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence

import pytest

import lrdsl
from gallery import STRATEGIES
from gallery.rows import Formula, Peer, Replay, Variant
from tests.gallery import drivers, records

PEERS = dict(records.rows())
RECORDED = {name: row for name, row in PEERS.items() if row[1].library != "torch"}


def variants() -> Iterator[tuple[str, Variant]]:
    for strategy in STRATEGIES:
        for index, variant in enumerate(strategy.variants):
            yield f"{strategy.name}-{index}", variant


VARIANTS = dict(variants())


def observed(variant: Variant) -> list[float]:
    """The rate after each report."""
    schedule, rates = variant.compile(), []
    (metric,) = schedule.metrics
    for step, report in variant.reports():
        schedule.observe(report, metric, step=step)
        rates.append(schedule.lr(step))
    return rates


def near(expected: Sequence[float], relative: float, base: float) -> object:
    return pytest.approx(list(expected), rel=relative, abs=1e-15 * max(1.0, relative / 1e-12) * base)


def agree(variant: Variant, oracle: Peer | Replay, theirs: Sequence[float]) -> None:
    if isinstance(oracle, Replay):
        assert observed(variant) == near(theirs, oracle.relative, variant.base)
        return
    schedule = variant.compile()
    steps = oracle.compared
    ours = [schedule.lr(step) for step in steps]
    assert ours == near(theirs[: len(steps)], oracle.relative, variant.base)
    if oracle.parts is not None:
        assert oracle.why
        assert schedule.lr(oracle.parts) != pytest.approx(theirs[-1], rel=1e-2)


@pytest.mark.parametrize("name", [n for n, v in VARIANTS.items() if any(isinstance(o, Formula) for o in v.oracles)])
def test_formula(name: str) -> None:
    variant = VARIANTS[name]
    schedule = variant.compile()
    for oracle in variant.oracles:
        if isinstance(oracle, Formula):
            ours = [schedule.value(oracle.target, step, oracle.group) for step in oracle.steps]
            assert ours == near([oracle.value(step) for step in oracle.steps], oracle.relative, variant.base)


@pytest.mark.parametrize("name", [n for n, v in VARIANTS.items() if any(isinstance(o, Replay) for o in v.oracles)])
def test_plain_loop(name: str) -> None:
    variant = VARIANTS[name]
    reports = [report for _, report in variant.reports()]
    rates = [o.rates(reports, variant.base) for o in variant.oracles if isinstance(o, Replay) and callable(o.rates)]
    for expected in rates:
        assert observed(variant) == near(expected, 1e-12, variant.base)


@pytest.mark.parametrize("name", [n for n in PEERS if n not in RECORDED])
def test_torch(name: str) -> None:
    pytest.importorskip("torch", reason="not run: torch is not installed")
    agree(*PEERS[name], records.run(*PEERS[name]))


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_peer(name: str) -> None:
    variant, oracle = RECORDED[name]
    recorded = records.load(oracle.library)["curves"][name]
    asked = {"call": records.call(oracle), "base": variant.base, "steps": records.at(variant, oracle)}
    assert recorded | asked == recorded, "record it again: python -m tests.gallery.records"
    agree(variant, oracle, recorded["values"])


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RECORDED)
def test_installed_peer(name: str) -> None:
    variant, oracle = RECORDED[name]
    if drivers.version(oracle.library) is None:
        pytest.skip(f"not run: {oracle.library} is not installed")
    try:
        importlib.import_module(oracle.library)
    except Exception as error:  # whatever a library raises that was built for another one
        pytest.skip(f"not run: {oracle.library} cannot be imported: {error}")
    agree(variant, oracle, records.run(variant, oracle))


def test_records_hold_no_other_curves() -> None:
    for path in records.FOLDER.glob("*.json"):
        names = {name for name, (_, oracle) in RECORDED.items() if oracle.library == path.stem}
        assert set(records.load(path.stem)["curves"]) == names, path.name


@pytest.mark.parametrize("name", VARIANTS)
def test_the_canonical_text_is_stable_and_means_the_same(name: str) -> None:
    variant = VARIANTS[name]
    schedule = variant.compile()
    again = lrdsl.compile(str(schedule), base_lr=variant.base, **variant.context)
    assert str(again) == str(schedule)
    for target, group in schedule.tracks:
        assert again.program(target, group) == schedule.program(target, group)


def test_names_are_unique_and_everything_is_held_against_something() -> None:
    names = [strategy.name for strategy in STRATEGIES]
    assert len(names) == len(set(names))
    assert [name for name, variant in VARIANTS.items() if not variant.oracles] == []
