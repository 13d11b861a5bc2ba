"""A metric that never arrives is said once, where it would first have mattered."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from tests.optim.peers import STEPS  # noqa: E402

ENDLESS = "hold() | plateau(patience=3)"


def optimizer(text: str, **more: Any) -> Any:
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.ones(3)
    return lrdsl.SGD([p], lr=1.0, weight_decay=0.1, schedule=text, **more)


def warned_at(made: Any, steps: int, report_at: int | None = None, metric: str = "loss") -> list[int]:
    """The clock at every warning."""
    found = []
    for step in range(steps):
        if step == report_at:
            made.observe(1.0, metric)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made.step()
        found += [made.clock for warning in caught if issubclass(warning.category, RuntimeWarning)]
    return found


@pytest.mark.parametrize(
    ("text", "context", "at"),
    [
        # Five reports are needed: a first best, three that are borne, one more.
        (ENDLESS, {"steps_per_epoch": 10}, 50),
        ("hold() | plateau(patience=3, every=2)", {"steps_per_epoch": 10}, 100),
        ("hold(20) >> (hold() | plateau(patience=3))", {"steps_per_epoch": 1}, 25),
        ("hold() | greedy(patience=2)", {"steps_per_epoch": 10}, 40),
        # Where nobody says how long an epoch is: at the end of the run.
        (ENDLESS, {"total_steps": 60}, 59),
        ("warmup(5) >> cosine(20) | plateau(patience=3)", {}, 24),
        ("hold() | guard()", {"total_steps": 12}, 11),
        ("weight_decay = hold() | plateau(patience=3)", {"steps_per_epoch": 10}, 50),
    ],
)
def test_once_where_it_would_first_have_mattered(text: str, context: dict[str, int], at: int) -> None:
    assert warned_at(optimizer(text, **context), 120) == [at]


def test_an_endless_schedule_without_epochs() -> None:
    assert warned_at(optimizer(ENDLESS), 1100) == [1000]


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("warmup(5) >> cosine(20)", {}),
        ("hold() | guard(metric=grad_norm)", {"total_steps": 12}),  # which the optimizer reports itself
        ("(hold(3) | plateau(patience=3)) >> linear(10)", {}),  # which cannot fire: a note of the text's
    ],
)
def test_nothing_is_waited_for(text: str, context: dict[str, int]) -> None:
    assert warned_at(optimizer(text, **context), 60) == []


def test_a_report_in_time() -> None:
    assert warned_at(optimizer(ENDLESS, steps_per_epoch=10), 120, report_at=49) == []


def test_one_warning_for_each_metric() -> None:
    text = "lr = hold() | plateau(patience=3); weight_decay = hold() | plateau(patience=1, metric=accuracy)"
    assert warned_at(optimizer(text, steps_per_epoch=10), 120) == [30, 50]
    assert warned_at(optimizer(text, steps_per_epoch=10), 120, report_at=5) == [30]


def test_it_counts_from_where_a_run_goes_on() -> None:
    made = optimizer(ENDLESS, steps_per_epoch=10)
    made.set_clock(1000)
    assert warned_at(made, 60) == [1050]
    later = optimizer(ENDLESS, steps_per_epoch=10)
    later.load_state_dict(made.state_dict())
    assert warned_at(later, 60) == [1110]
    heard = optimizer(ENDLESS, steps_per_epoch=10)
    heard.observe(1.0)
    later.load_state_dict(heard.state_dict())
    assert warned_at(later, 60) == []


def test_said_once_whatever_happens_to_the_groups() -> None:
    made = optimizer(ENDLESS, steps_per_epoch=1)
    assert warned_at(made, 5) == [5]
    made.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2))]})
    assert warned_at(made, 20) == []
    assert warned_at(copy.deepcopy(made), 20) == [30], "a copy is another optimizer"


def test_a_group_that_came_after_the_report() -> None:
    made = optimizer(ENDLESS, steps_per_epoch=1)
    made.observe(1.0)
    made.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2))]})
    assert warned_at(made, 20) == []


@pytest.mark.parametrize("backend", STEPS)
def test_the_sentence_points_at_the_step(backend: str) -> None:
    made = optimizer("hold() | plateau(metric=accuracy, patience=0)", steps_per_epoch=1, backend=backend)
    with pytest.warns(RuntimeWarning) as caught:
        made.step()
    assert [str(warning.message) for warning in caught] == [
        "no `accuracy` was reported before update 1, so `plateau` could do nothing: report it with "
        'opt.observe(value, "accuracy"), or drop what waits for it'
    ]
    assert Path(caught[0].filename).name == "test_silence.py"
    made.step()


def test_nothing_is_said_during_a_rehearsal() -> None:
    made = optimizer(ENDLESS, steps_per_epoch=1)
    with made.rehearsal():
        assert warned_at(made, 20) == []
    assert warned_at(made, 20) == [5]


def test_beside_any_optimizer() -> None:
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(3))], lr=1.0)
    scheduler = lrdsl.LRScheduler(opt, ENDLESS, steps_per_epoch=10)
    found = []
    for _ in range(120):
        opt.step()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scheduler.step()
        found += [(scheduler.last_epoch, str(warning.message), Path(warning.filename).name) for warning in caught]
    sentence = (
        "no `loss` was reported before update 50, so `plateau` could do nothing: report it with sch.observe(value)"
    )
    assert found == [(50, f"{sentence}, or drop what waits for it", "test_silence.py")]
    later = lrdsl.LRScheduler(opt, ENDLESS, steps_per_epoch=1)
    later.observe(1.0)
    for _ in range(20):
        opt.step()
        later.step()


def test_as_an_error_every_metric_is_said() -> None:
    made = optimizer("hold() | plateau(patience=2) | plateau(patience=2, metric=accuracy)", steps_per_epoch=1)
    said = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(8):
            try:
                made.step()
            except RuntimeWarning as warning:
                said.append((made.clock, str(warning).split("`")[1]))
    assert said == [(4, "loss"), (5, "accuracy")]
