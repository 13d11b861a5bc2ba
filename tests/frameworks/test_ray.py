"""A local run of Ray Tune over texts and numbers; one Ray for the module, with two processes."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import paste

ray = need("ray")
tune = need("ray.tune")
torch = need("torch")

import lrdsl  # noqa: E402

pytestmark = pytest.mark.slow  # Ray takes ten seconds to start

STEPS = 12
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def local(tmp_path_factory: pytest.TempPathFactory) -> Any:
    storage = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray.train.constants.DEFAULT_STORAGE_PATH", str(storage))  # nothing is left in the home
        patch.setenv("RAY_AIR_NEW_OUTPUT", "0")
        patch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
        patch.setenv("RAY_CHDIR_TO_TRIAL_DIR", "0")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
        try:
            yield storage
        finally:
            ray.shutdown()


def step(model: Any, opt: Any, batch: Any) -> float:
    opt.zero_grad()
    loss = (model(batch) - batch.sum(1, keepdim=True)).square().mean()
    loss.backward()
    opt.step()
    return float(loss)


@pytest.mark.works("Ray Tune", "a local run over texts and numbers by name")
@pytest.mark.works("Ray Tune", "a wrong text ends its trial with its message, the others finish")
def test_a_run_over_texts_and_numbers(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, batches = torch.nn.Linear(4, 1), list(torch.randn(STEPS, 8, 4))
    monkeypatch.chdir(local)
    names = paste("ray.md", model=copy.deepcopy(model), batches=batches, step=step)
    assert len(names["results"]) == 3
    finished = 0
    for result in names["results"]:
        text, w = result.config["text"], result.config["w"]
        if "cosin(" in text:
            assert "E0204: unknown function `cosin`" in str(result.error)
            assert f"1 | {text}\n  | {' ' * 13}^^^^^ did you mean `cosine`?" in str(result.error)
            continue
        finished += 1
        assert result.error is None
        assert result.metrics["lr"] == 0.0  # of the update after the last: both decays end at 0
        assert result.metrics["loss"] == by_hand(copy.deepcopy(model), batches, text, w)
    assert finished == 2


def by_hand(model: Any, batches: list[Any], text: str, w: int) -> float:
    """The last loss of a loop without Ray and without a schedule's own step: the rates are written in."""
    opt = lrdsl.AdamW(model.parameters(), 0.1)
    for index, batch in enumerate(batches):
        share = (index - w) / (STEPS - w)
        decay = (1 + math.cos(math.pi * share)) / 2 if "cosine" in text else 1 - share
        opt.param_groups[0]["lr"] = 0.1 * (index / w if index < w else decay)
        loss = step(model, opt, batch)
    return loss


@pytest.mark.works("Ray Tune", "schedules and optimizers travel to the workers")
def test_pickles_continue_in_a_worker(local: Path) -> None:
    def some_steps(opt: Any, sch: Any, times: int) -> list[float]:
        rates = []
        for _ in range(times):
            rates += [opt.param_groups[0]["lr"], sch.get_last_lr()[0]]
            opt.param_groups[0]["params"][0].grad = torch.ones(3)
            opt.step()
            sch.optimizer.step()
            sch.step()
        return rates

    def make() -> tuple[Any, Any]:
        text = "warmup(3) >> cosine(9) | plateau(patience=3)"
        opt = lrdsl.AdamW([torch.nn.Parameter(torch.ones(3))], 0.1, schedule=text)
        other = torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], 0.5)
        return opt, lrdsl.LRScheduler(other, text)

    def train(config: dict[str, Any], opt: Any, sch: Any, schedule: Any) -> None:
        rates = some_steps(opt, sch, 5)
        tune.report({"rates": rates, "clock": opt.clock, "curve": schedule.lrs(range(12)).tolist()})

    there, here = make(), make()
    some_steps(*there, 4), some_steps(*here, 4)
    schedule = lrdsl.compile("points([0, 5, 11], [1, 2, 0.5])", base_lr=1.0)
    trainable = tune.with_parameters(train, opt=there[0], sch=there[1], schedule=schedule)
    (result,) = tune.Tuner(trainable, run_config=tune.RunConfig(storage_path=str(local), verbose=0)).fit()
    assert result.error is None
    assert result.metrics["rates"] == some_steps(*here, 5)
    assert result.metrics["clock"] == 9
    assert result.metrics["curve"] == schedule.lrs(range(12)).tolist()
    assert there[0].clock == 4  # the original stays where it was
