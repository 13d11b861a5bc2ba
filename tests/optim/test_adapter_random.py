"""The adapter on random texts: the rates are those of `lrdsl.compile`, wherever the run is cut or moved."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from hypothesis import assume, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import lrdsl  # noqa: E402
from tests.optim.peers import parameters  # noqa: E402
from tests.optim.test_state_dict import through_a_file  # noqa: E402
from tests.schedule.texts import CONTEXT, schedules  # noqa: E402

UNITS = {key: value for key, value in CONTEXT.items() if key != "base_lr"}
BASES = (1e-3, 0.25)

reports = st.one_of(st.none(), st.floats(-10, 1e6), st.sampled_from([float("inf"), float("nan")]))
moves = st.one_of(
    st.tuples(st.just("step"), reports),
    st.tuples(st.just("observe"), reports),
    st.tuples(st.just("jump"), st.integers(0, 20_000)),
    st.tuples(st.just("cut"), st.booleans()),
)


def optimizer_of(tensor: bool) -> Any:
    params = parameters([(2,), (3,)])
    rates = [torch.tensor(base, dtype=torch.float64) if tensor else base for base in BASES]
    return torch.optim.SGD(
        [{"params": [p], "lr": rate} for p, rate in zip(params, rates, strict=True)], foreach=not tensor
    )


@pytest.mark.filterwarnings("ignore:no `loss` was reported")
@settings(max_examples=25)
@given(schedules, st.booleans(), st.lists(moves, min_size=5, max_size=30))
def test_the_rates_are_those_of_the_schedule(text: str, tensor: bool, played: list[tuple[str, Any]]) -> None:
    try:
        peers = [lrdsl.compile(text, base_lr=base, **UNITS) for base in BASES]
    except lrdsl.ScheduleError as error:  # as in tests/schedule/test_random.py
        assume(error.code not in ("E0907", "E0605", "E0608", "E0406"))
        raise
    optimizer = optimizer_of(tensor)
    scheduler = lrdsl.LRScheduler(optimizer, text, **UNITS)
    listens, clock = bool(peers[0].metrics), 0
    for move, value in played:
        optimizer.step()
        if move == "jump":
            scheduler.last_epoch = clock = value
            scheduler.step()
            clock += 1
        elif move == "cut":
            states = through_a_file([optimizer.state_dict(), scheduler.state_dict()])
            optimizer = optimizer_of(tensor)
            scheduler = lrdsl.LRScheduler(optimizer, text, **UNITS)
            for side, state in ((optimizer, states[0]), (scheduler, states[1]))[:: 1 if value else -1]:
                side.load_state_dict(state)
        else:
            report = value if listens else None
            if move == "step":
                scheduler.step(report)
                clock += 1
            elif report is not None:
                scheduler.observe(report)
            for peer in peers if report is not None else ():
                peer.observe(report, step=clock)
        expected = [peer.lr(clock) for peer in peers]
        assert [float(group["lr"]) for group in optimizer.param_groups] == expected == scheduler.get_last_lr()
        assert scheduler.get_lr() == scheduler._get_closed_form_lr() == expected and scheduler.last_epoch == clock
