"""`lambda_fn` in torch's LambdaLR, and in torchtitan's container of them."""

from __future__ import annotations

import copy
import io
import math
import pickle
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import paste

torch = need("torch")

from torch.optim.lr_scheduler import LambdaLR  # noqa: E402

import lrdsl  # noqa: E402

TEXT = "warmup(3) >> cosine(rest)"


def optimizer(*rates: Any) -> Any:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(3))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups)


def curve(base: float, text: str = TEXT, steps: int = 21) -> list[float]:
    values: list[float] = lrdsl.compile(text, base_lr=base, total_steps=20).lrs(range(steps)).tolist()
    return values


def run(sch: Any, steps: int) -> list[list[float]]:
    rates = []
    for _ in range(steps):
        rates.append([float(group["lr"]) for group in sch.optimizer.param_groups])
        sch.optimizer.step()
        sch.step()
    return rates


@pytest.mark.works("torchtitan", "`LambdaLR` with `lambda_fn`: the rate of the curve")
@pytest.mark.parametrize("rate", [1.0, 0.125, 3e-4])
def test_lambda_lr(rate: float) -> None:
    opt = optimizer(rate)
    names = paste("torchtitan.md", 1, opt=opt)
    for (used,), expected in zip(run(names["sch"], 21), curve(rate), strict=True):
        assert abs(used - expected) <= (math.ulp(expected) if rate == 3e-4 else 0.0)


def test_groups_with_bases_of_their_own() -> None:
    opt = optimizer(1.0, 0.25, torch.tensor(0.5))
    sch = LambdaLR(opt, lrdsl.lambda_fn(TEXT, base_lr=1.0, total_steps=20))
    for used, whole in zip(run(sch, 21), curve(1.0), strict=True):
        assert used == [whole, whole / 4, float(torch.tensor(whole / 2))]


@pytest.mark.works("torchtitan", "`LambdaLR`: resume from its state, 0 difference")
@pytest.mark.parametrize("cut", [0, 2, 9, 20])
def test_resume(cut: int) -> None:
    f = lrdsl.lambda_fn(TEXT, base_lr=0.3, total_steps=20)
    whole = run(LambdaLR(optimizer(0.3, 0.3), f), 25)
    opt = optimizer(0.3, 0.3)
    sch = LambdaLR(opt, f)
    run(sch, cut)
    file = io.BytesIO()
    torch.save([opt.state_dict(), sch.state_dict()], file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    opt = optimizer(0.3, 0.3)
    sch = LambdaLR(opt, lrdsl.lambda_fn(TEXT, base_lr=0.3, total_steps=20))
    opt.load_state_dict(saved[0])
    sch.load_state_dict(saved[1])
    assert run(sch, 25 - cut) == whole[cut:]


def test_a_changed_text() -> None:
    sch = LambdaLR(optimizer(1.0), lrdsl.lambda_fn(TEXT, base_lr=1.0, total_steps=20))
    run(sch, 5)
    state = sch.state_dict()
    other = LambdaLR(optimizer(1.0), lrdsl.lambda_fn("linear(20)", base_lr=1.0))
    other.load_state_dict(copy.deepcopy(state))
    with pytest.raises(lrdsl.ScheduleError) as caught:
        other.step()
    assert str(caught.value) == (
        "E0802: the saved schedule is a different one: `warmup(3) >> cosine(rest)` (resume with it, or replace "
        "`lr_lambdas` in the state by a list of None to run this text from there)"
    )
    longer = LambdaLR(optimizer(1.0), lrdsl.lambda_fn(TEXT, base_lr=1.0, total_steps=30))
    longer.load_state_dict(copy.deepcopy(state))
    with pytest.raises(lrdsl.ScheduleError, match=r"E0802: .* total_steps was 20, is 30"):
        longer.step()
    other = LambdaLR(optimizer(1.0), lrdsl.lambda_fn("linear(20)", base_lr=1.0))
    other.load_state_dict(state | {"lr_lambdas": [None]})
    other.step()
    assert other.get_last_lr() == [1 - 6 / 20]


def test_schedulers_pickle_and_copy() -> None:
    sch = LambdaLR(optimizer(1.0), lrdsl.lambda_fn(TEXT, base_lr=1.0, total_steps=20))
    run(sch, 4)
    rest = [[rate] for rate in curve(1.0)[4:]]
    for other in (copy.deepcopy(sch), pickle.loads(pickle.dumps(sch))):
        assert run(other, 17) == rest


@pytest.fixture
def titan() -> Any:
    need("torchtitan")
    return need("torchtitan.components.optimizer")


def container(titan: Any, rates: tuple[float, ...] = (0.5, 0.125)) -> tuple[Any, Any]:
    """Optimizers of torchtitan, AdamW for weights and Adam for biases, and schedulers from the page's configuration."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
    groups = [
        titan.ParamGroupConfig(pattern=r"weight$", optimizer_name="AdamW", optimizer_kwargs={"lr": rates[0]}),
        titan.ParamGroupConfig(pattern=r".*", optimizer_name="Adam", optimizer_kwargs={"lr": rates[1]}),
    ]
    config = titan.OptimizersContainer.Config(param_groups=groups, implementation="for-loop")
    optimizers = titan.OptimizersContainer(config, model_parts=[model])
    scheduled = paste("torchtitan.md", 0)["Scheduled"]
    return optimizers, scheduled(text=TEXT, base_lr=rates[0]).build(optimizers=optimizers, training_steps=20)


def advance(optimizers: Any, schedulers: Any, steps: int) -> list[dict[str, float]]:
    rates = []
    for _ in range(steps):
        rates.append(schedulers.get_metrics())
        for parameter in optimizers.model_parts[0].parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizers.step()
        schedulers.step()
    return rates


@pytest.mark.works("torchtitan", "`LRSchedulersContainer` over two optimizers, with its checkpoint")
def test_torchtitans_container(titan: Any) -> None:
    whole = advance(*container(titan), 24)
    first, second = curve(0.5, steps=24), curve(0.125, steps=24)
    assert whole == [{"lr/AdamW": a, "lr/Adam": b} for a, b in zip(first, second, strict=True)]
    optimizers, schedulers = container(titan)
    advance(optimizers, schedulers, 9)
    weights, opt_state, state = (
        copy.deepcopy(part.state_dict()) for part in (optimizers.model_parts[0], optimizers, schedulers)
    )
    resumed, resumed_schedulers = container(titan)
    resumed.model_parts[0].load_state_dict(weights)
    resumed.load_state_dict(opt_state)
    resumed_schedulers.load_state_dict(state)
    assert advance(resumed, resumed_schedulers, 15) == whole[9:]
    advance(optimizers, schedulers, 15)
    for a, b in zip(optimizers.model_parts[0].parameters(), resumed.model_parts[0].parameters(), strict=True):
        assert torch.equal(a, b)
