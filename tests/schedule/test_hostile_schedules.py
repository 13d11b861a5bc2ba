"""Hostile schedules are answered, and with bounded work: formulas' nodes are counted, seconds are not."""

import pytest

import lrdsl
from lrdsl import ScheduleError
from lrdsl.program import expr
from lrdsl.program.expr import Expr, bounded
from lrdsl.program.program import NODES
from tests.schedule.hostile import FULL, HOSTILE

CONTEXT = {"base_lr": 1e-3, "total_steps": 10_000}


@pytest.fixture
def made(monkeypatch):
    """How many nodes of formulas there were."""
    count = [0]
    init = Expr.__init__

    def counted(self, *arguments):
        count[0] += 1
        init(self, *arguments)

    monkeypatch.setattr(Expr, "__init__", counted)
    return count


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name, made):
    code, text = HOSTILE[name]
    assert len(text) <= FULL
    try:
        schedule = lrdsl.compile(text, **CONTEXT)
    except ScheduleError as error:
        assert error.code == code
        assert len(error.message) + len(error.hint or "") < 300
        assert len(str(error)) < 3000
    else:
        assert code == ""
        again = lrdsl.compile(str(schedule), **CONTEXT)
        assert str(again) == str(schedule)
        assert all(len(note.render(text)) < 3000 for note in schedule.notes)
        assert all(schedule.segments(*key) for key in schedule.tracks)
    assert made[0] < 8 * NODES  # a constant operand is a node too, and so is what folds


def test_a_budget_of_nodes():
    with pytest.raises(ScheduleError) as caught, bounded(10):
        sum((expr.STEP for _ in range(12)), expr.const(1))
    assert caught.value.code == "E0907"
    with bounded(100):
        with pytest.raises(ScheduleError), bounded(10):
            sum((expr.STEP for _ in range(12)), expr.const(1))
        sum((expr.STEP for _ in range(80)), expr.const(1))
        with pytest.raises(ScheduleError), bounded(1000):  # never more than what is left outside
            sum((expr.STEP for _ in range(12)), expr.const(1))
    sum((expr.STEP for _ in range(1000)), expr.const(1))
