"""A search with Optuna over texts and numbers, some of which are no schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import paste

optuna = need("optuna")
torch = need("torch")

import lrdsl  # noqa: E402
from lrdsl.integrations.optuna import guard  # noqa: E402

STEPS = 20
INVALID = "cosin(rest)"


@pytest.fixture(autouse=True)
def quiet() -> Any:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def batch() -> tuple[Any, Any]:
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    return x, x @ torch.tensor([[1.0], [-2.0], [3.0], [0.5]])


def train(trial: Any, make: Callable[[Any], Any]) -> float:
    """A linear fit; the rates that its updates used are kept with the trial."""
    x, y = batch()
    weight = torch.nn.Parameter(torch.zeros(4, 1))
    opt = make([weight])
    rates = []
    for step in range(STEPS):
        opt.zero_grad()
        loss = (x @ weight - y).square().mean()
        loss.backward()
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        trial.report(loss.item(), step)
        if trial.should_prune():
            raise optuna.TrialPruned(f"pruned at {step}")
    trial.set_user_attr("rates", rates)
    return float((x @ weight - y).square().mean())


def study(seed: int = 0) -> Any:
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return optuna.create_study(sampler=sampler, pruner=optuna.pruners.MedianPruner(n_startup_trials=4))


def those(found: Any, state: str) -> list[Any]:
    return found.get_trials(states=[getattr(optuna.trial.TrialState, state)])


def by_formula(params: dict[str, Any], step: int) -> float:
    """Linear warm-up, then half a cosine or a line to 0: from the definitions."""
    lr, warm = params["lr"], params["warmup"]
    if step < warm:
        return lr * step / warm
    share = (step - warm) / (STEPS - warm)
    return lr * ((1 + math.cos(math.pi * share)) / 2 if params["decay"].startswith("cosine") else 1 - share)


@pytest.mark.works("Optuna", "20 trials over f-strings and numbers by name, with median pruning")
@pytest.mark.works("Optuna", "a wrong text prunes its trial, with its message")
@pytest.mark.parametrize("way", ["f-string", "params"])
def test_a_study_with_pruning_and_wrong_texts(way: str) -> None:
    def objective(trial: Any) -> float:
        lr = trial.suggest_float("lr", 1e-3, 0.5, log=True)
        warm = trial.suggest_int("warmup", 1, 10)
        decay = trial.suggest_categorical("decay", ["cosine(rest)", "linear(rest)", INVALID])

        def make(parameters: Any) -> Any:
            with guard(trial):
                if way == "f-string":
                    return lrdsl.SGD(parameters, lr, schedule=f"warmup({warm}) >> {decay}", total_steps=STEPS)
                return lrdsl.SGD(
                    parameters, lr, schedule=f"warmup(w) >> {decay}", total_steps=STEPS, schedule_params={"w": warm}
                )

        return train(trial, make)

    found = study()
    found.optimize(objective, n_trials=20)
    complete, pruned = those(found, "COMPLETE"), those(found, "PRUNED")
    assert len(complete) + len(pruned) == 20
    for trial in complete:
        wanted = [by_formula(trial.params, step) for step in range(STEPS)]
        assert trial.user_attrs["rates"] == pytest.approx(wanted, rel=1e-12, abs=1e-18)
    wrong = [trial for trial in pruned if trial.params["decay"] == INVALID]
    assert wrong and all(trial.params["decay"] != INVALID for trial in complete)
    for trial in wrong:
        first = "warmup(w) >> " if way == "params" else f"warmup({trial.params['warmup']}) >> "
        assert trial.user_attrs["schedule_error"].splitlines() == [
            "E0204: unknown function `cosin`",
            "  |",
            f"1 | {first}{INVALID}",
            f"  | {' ' * len(first)}^^^^^ did you mean `cosine`?",
        ]
        assert not trial.intermediate_values  # before the first step
    by_median = [trial for trial in pruned if trial not in wrong]
    assert by_median and all(trial.intermediate_values for trial in by_median)
    assert found.best_value == min(trial.value for trial in complete)


@pytest.mark.works("Optuna", "whole texts through `suggest_categorical`")
def test_whole_texts_and_the_storage(tmp_path: Any) -> None:
    texts = ["hold()", "warmup(5) >> cosine(rest)", "warmup(5) >> constant", "let w = 3; warmup(w) >> linear(rest)"]

    def objective(trial: Any) -> float:
        text = trial.suggest_categorical("schedule", texts)
        with guard(trial):
            made = lrdsl.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1, schedule=text, total_steps=STEPS)
        return made.schedules[0].lr(STEPS - 1)

    log = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log"))
    storage = optuna.storages.JournalStorage(log)
    found = optuna.create_study(
        sampler=optuna.samplers.GridSampler({"schedule": texts}), storage=storage, study_name="texts"
    )
    found.optimize(objective)
    again = optuna.load_study(study_name="texts", storage=storage)
    assert {trial.params["schedule"] for trial in those(again, "PRUNED")} == {"warmup(5) >> constant"}
    assert {trial.params["schedule"]: trial.value for trial in those(again, "COMPLETE")} == pytest.approx(
        {texts[0]: 0.1, texts[1]: 0.1 * (1 + math.cos(math.pi * 14 / 15)) / 2, texts[3]: 0.1 / 17}, rel=1e-12
    )
    (pruned,) = those(again, "PRUNED")
    assert "^^^" in pruned.user_attrs["schedule_error"]


@guard()
def decorated(text: str) -> float:
    return lrdsl.compile(text, base_lr=0.5).lr(0)


def test_guard_decorates_and_lets_everything_else_through() -> None:
    assert decorated("hold()") == 0.5
    with pytest.raises(optuna.TrialPruned, match="unknown function `hod`") as caught:
        decorated("hod()")
    assert isinstance(caught.value.__cause__, lrdsl.ScheduleError)
    with pytest.raises(TypeError), guard():
        lrdsl.compile(None, base_lr=0.5)  # type: ignore[arg-type]


def test_the_page() -> None:
    names = paste(
        "optuna.md", model=torch.nn.Linear(4, 1), train=lambda model, opt: opt.schedules[0].lr(900), steps=1000
    )
    found = names["study"]
    complete, pruned = those(found, "COMPLETE"), those(found, "PRUNED")
    assert len(complete) + len(pruned) == 20 and complete
    assert {trial.params["warm"] + trial.params["decay"] > 100 for trial in complete} == {False}
    assert {trial.params["warm"] + trial.params["decay"] > 100 for trial in pruned} == {True}
    assert all(trial.user_attrs["schedule_error"].startswith("E0409: ") for trial in pruned)
