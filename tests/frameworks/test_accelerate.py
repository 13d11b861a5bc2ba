"""Accelerate, in one process and in two: who steps what how often, accumulation, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader, Subset, TensorDataset

import lrdsl
from tests.frameworks.installed import need
from tests.frameworks.pasting import paste
from tests.frameworks.processes import Pool

need("accelerate")

from accelerate import Accelerator, skip_first_batches  # noqa: E402
from accelerate.optimizer import AcceleratedOptimizer  # noqa: E402
from accelerate.scheduler import AcceleratedScheduler  # noqa: E402
from accelerate.utils import DataLoaderConfiguration  # noqa: E402
from accelerate.utils.fsdp_utils import fsdp2_switch_optimizer_parameters  # noqa: E402

from tests.frameworks.accelerated import join, leave  # noqa: E402

STEPS = 12
LR = 1e-2
TEXT = "warmup(3) >> cosine(9, to=1e-3)"
CURVE = [lrdsl.compile(TEXT, base_lr=LR).lr(step) for step in range(2 * STEPS)]

OURS = ("alone", "as_scheduler")
ADAPTER = ("not prepared", "split_batches", "not with the optimizer")
"""The ways of the page in which the adapter is stepped once for every update."""


def tiny() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))


def data(accumulated: int = 1) -> TensorDataset:
    draw = torch.Generator().manual_seed(2)
    n = 4 * STEPS * accumulated
    return TensorDataset(torch.randn(n, 6, generator=draw), torch.randn(n, 1, generator=draw))


def accelerator(**options: Any) -> Any:
    """A fresh one."""
    join()
    return Accelerator(cpu=True, **options)


class Run:
    """A loop as Accelerate's guides write it, twelve updates of 4 rows at most.

    Args:
        way: How the schedule comes in.
        accumulated: Batches of an update.
        tensor: Whether the rate is a tensor.
        text: The schedule.
    """

    def __init__(self, way: str, accumulated: int = 1, tensor: bool = False, text: str = TEXT) -> None:
        self.way = way
        split = DataLoaderConfiguration(split_batches=way == "split_batches")
        linked = way != "not with the optimizer"
        self.accelerator = accelerator(
            gradient_accumulation_steps=accumulated, dataloader_config=split, step_scheduler_with_optimizer=linked
        )
        model, size = tiny(), self.accelerator.num_processes
        lr = torch.tensor(LR, dtype=torch.float64) if tensor else LR
        if way in OURS:
            self.raw: Any = lrdsl.AdamW(model.parameters(), lr=lr, schedule=text)
            scheduler = self.raw.as_scheduler() if way == "as_scheduler" else None
        else:
            self.raw = torch.optim.AdamW(model.parameters(), lr=lr)
            scheduler = lrdsl.LRScheduler(self.raw, text)
        rows = 4 if way == "split_batches" else 4 // size
        loader = DataLoader(data(accumulated), batch_size=rows)
        self.model, self.optimizer, self.loader = self.accelerator.prepare(model, self.raw, loader)
        prepared = scheduler is not None and way != "not prepared"
        self.scheduler = self.accelerator.prepare(scheduler) if prepared else scheduler
        self.used: list[float] = []
        self.shown: list[float] = []

    def train(self, begin: int = 0, end: int = STEPS) -> Run:
        loader = skip_first_batches(self.loader, begin) if begin else self.loader
        for index, (x, y) in enumerate(loader, begin):
            if index == end:
                break
            with self.accelerator.accumulate(self.model):
                loss = torch.nn.functional.mse_loss(self.model(x), y)
                self.accelerator.backward(loss)
                updates = self.accelerator.sync_gradients
                if updates:
                    self.used.append(float(self.raw.param_groups[0]["lr"]))
                self.optimizer.step()
                if updates and self.scheduler is not None and self.way in OURS:
                    self.shown += self.scheduler.get_last_lr()
                if self.scheduler is not None and (updates or self.way not in ADAPTER):
                    self.scheduler.step()
                self.optimizer.zero_grad()
        return self

    def weights(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.accelerator.unwrap_model(self.model).parameters()]

    def save(self, folder: Path) -> None:
        self.accelerator.save_state(str(folder))

    def load(self, folder: Path) -> None:
        self.accelerator.load_state(str(folder))


def bare(way: str) -> list[Tensor]:
    """The same updates without Accelerate."""
    model = tiny()
    cls = lrdsl.AdamW if way in OURS else torch.optim.AdamW
    opt = cls(model.parameters(), lr=LR)
    for rate, (x, y) in zip(CURVE, DataLoader(data(), batch_size=4), strict=False):
        opt.param_groups[0]["lr"] = rate
        opt.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        opt.step()
    return [p.detach() for p in model.parameters()]


def equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) > 0 and all(map(torch.equal, left, right))


@pytest.fixture(autouse=True)
def the_world_as_it_was() -> Iterator[None]:
    yield
    leave()


# --- one process ----------------------------------------------------------------------------------------------------


@pytest.mark.works("Accelerate", "1 process: the same curve, accumulation too")
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("way", [*OURS, *ADAPTER, "prepared"])
def test_the_same_curve_in_every_way(way: str, accumulated: int, tensor: bool) -> None:
    run = Run(way, accumulated, tensor).train(end=STEPS * accumulated)
    assert run.used == CURVE[:STEPS]
    assert run.shown in ([], run.used)
    if way in OURS:
        assert run.raw.clock == STEPS
    else:
        assert run.scheduler.get_last_lr() == CURVE[STEPS : STEPS + 1]


@pytest.mark.works("Accelerate", "1 process: the weights of a bare loop, 0 difference")
@pytest.mark.parametrize("way", [*OURS, *ADAPTER, "prepared"])
def test_the_weights_are_those_of_a_bare_loop(way: str) -> None:
    assert equal(Run(way).train().weights(), bare(way))


def test_a_report_reaches_the_plateau() -> None:
    run = Run("as_scheduler", text="hold() | plateau(patience=0, factor=0.5, threshold=1)")
    run.train(end=4)
    run.optimizer.optimizer.observe(1.0)
    run.train(4, 8)
    run.optimizer.optimizer.observe(1.0)
    run.train(8)
    assert run.used == run.shown == [LR] * 8 + [LR / 2] * 4


@pytest.mark.works("Accelerate", "`save_state` and `load_state`, 0 difference")
@pytest.mark.parametrize("tensor", [False, True])
@pytest.mark.parametrize("way", ["alone", "as_scheduler", "prepared"])
def test_a_run_that_is_loaded_continues_as_if_nothing_had_happened(way: str, tensor: bool, tmp_path: Path) -> None:
    assert cut_and_continued(way, tensor, tmp_path)


def cut_and_continued(way: str, tensor: bool, folder: Path) -> bool:
    """Whether a run that was saved in the middle, and loaded by another, is the run that went through."""
    text = "warmup(3) >> hold() | plateau(patience=0, factor=0.5, threshold=1)"

    def report(run: Run) -> None:
        (run.scheduler.scheduler if way == "prepared" else run.raw).observe(1.0)

    whole = Run(way, tensor=tensor, text=text).train(end=4)
    report(whole)
    whole.train(4, 6)
    report(whole)
    whole.save(folder)
    whole.train(6, 9)
    report(whole)
    whole.train(9)
    resumed = Run(way, tensor=tensor, text=text)
    resumed.load(folder)
    resumed.train(6, 9)
    report(resumed)
    resumed.train(9)
    if way in OURS:
        assert whole.used == [*CURVE[:3], *[LR] * 3, *[LR / 2] * 3, *[LR / 4] * 3]
    return resumed.used == whole.used[6:] and equal(resumed.weights(), whole.weights())


@pytest.mark.works("Accelerate", "an update skipped for overflow does not move the clock")
def test_an_overflow_is_no_update() -> None:
    accelerator()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    model = tiny()
    raw = lrdsl.AdamW(model.parameters(), lr=LR, schedule=TEXT)
    opt = AcceleratedOptimizer(raw, scaler=scaler)  # what `prepare` does for fp16, which wants a GPU
    scheduler = AcceleratedScheduler(raw.as_scheduler(), opt)
    used, clocks = [], []
    for index, (x, y) in enumerate(DataLoader(data(), batch_size=4)):
        scaler.scale(torch.nn.functional.mse_loss(model(x), y)).backward()
        if index == 5:
            next(model.parameters()).grad.fill_(torch.inf)
        before = [p.detach().clone() for p in model.parameters()]
        opt.step()
        used.append(scheduler.get_last_lr()[0])
        scheduler.step()
        opt.zero_grad()
        clocks.append(raw.clock)
        assert equal(before, list(model.parameters())) == (index in (0, 5))  # the first rate is 0
    assert clocks == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 11]
    assert used == [CURVE[max(clock, 1) - (index != 5)] for index, clock in enumerate(clocks)]


def test_parameters_that_fsdp_puts_in_place_of_others() -> None:
    # With FSDP2 `prepare` takes all parameters out of the optimizer, then puts the shards where they were.
    before, after, same = tiny(), tiny(), tiny()
    opt = lrdsl.AdamW(before.parameters(), lr=LR, schedule=TEXT)
    mapping = {old.data_ptr(): new for old, new in zip(before.parameters(), after.parameters(), strict=True)}
    for group in opt.param_groups:
        for index, p in enumerate(group["params"]):
            group["params"][index] = torch.empty(1)
            group["params"][index].data_ptr = p.data_ptr()
    fsdp2_switch_optimizer_parameters(opt, mapping)
    expected = lrdsl.AdamW(same.parameters(), lr=LR, schedule=TEXT)
    for (x, y), _ in zip(DataLoader(data(), batch_size=4), range(4), strict=False):
        for model, one in ((after, opt), (same, expected)):
            one.zero_grad()
            torch.nn.functional.mse_loss(model(x), y).backward()
            one.step()
    assert equal(list(after.parameters()), list(same.parameters()))
    assert equal(list(before.parameters()), list(tiny().parameters()))


# --- two processes --------------------------------------------------------------------------------------------------


def rates_and_weights(way: str, accumulated: int) -> Any:
    run = Run(way, accumulated)
    batches = STEPS * accumulated
    run.train(end=batches)
    assert run.accelerator.num_processes == 2
    return run.used, run.shown, [p.tolist() for p in run.weights()]


@pytest.mark.works("Accelerate", "2 processes: the same curve, accumulation too")
@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("way", [*OURS, *ADAPTER])
def test_two_processes_the_same_curve(way: str, accumulated: int, processes: Pool) -> None:
    (used, shown, first), (theirs, _, second) = processes.run(rates_and_weights, way, accumulated)
    assert used == theirs == CURVE[:STEPS]
    assert shown in ([], used)
    assert first == second
    if accumulated == 1:  # the same rows in every update
        for mine, alone in zip(first, bare(way), strict=True):
            torch.testing.assert_close(torch.tensor(mine), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.works("Accelerate", "2 processes: an adapter that is prepared runs twice as fast")
def test_two_processes_step_a_prepared_adapter_twice(processes: Pool) -> None:
    for used, _, _ in processes.run(rates_and_weights, "prepared", 1):
        assert used == CURVE[: 2 * STEPS : 2]


def two_cut_and_continued(way: str, folder: Path) -> bool:
    return cut_and_continued(way, False, folder)


@pytest.mark.works("Accelerate", "`save_state` and `load_state`, 0 difference")
@pytest.mark.parametrize("way", OURS)
def test_two_processes_continue(way: str, processes: Pool, tmp_path: Path) -> None:
    assert processes.run(two_cut_and_continued, way, tmp_path) == [True, True]


# --- the page -------------------------------------------------------------------------------------------------------


def pasted(index: int, gradient_accumulation_steps: int) -> list[float]:
    """The rates that a block of the page uses."""
    ready = accelerator(gradient_accumulation_steps=gradient_accumulation_steps)
    rows = 4 // ready.num_processes
    given = {"accelerator": ready, "model": tiny(), "loss_of": torch.nn.functional.mse_loss}
    loader = DataLoader(data(gradient_accumulation_steps), batch_size=rows)
    used: list[float] = []

    def note(optimizer: Any, args: Any, kwargs: Any) -> None:
        used.append(float(optimizer.param_groups[0]["lr"]))

    handle = register_optimizer_step_pre_hook(note)
    try:
        paste("accelerate.md", index, **given, loader=loader)
    finally:
        handle.remove()
    return used


def planned_and_made(index: int) -> list[tuple[int, int]]:
    """Updates that a block of the page plans for a few batches, and how many there were."""
    found = []
    for batches in (5, 7, 8):
        ready = accelerator(gradient_accumulation_steps=2)
        given = {"accelerator": ready, "model": tiny(), "loss_of": torch.nn.functional.mse_loss}
        names = paste("accelerate.md", index, **given, loader=DataLoader(Subset(data(), range(batches))))
        made = names["opt"].optimizer.state[next(names["model"].parameters())]["step"]
        found.append((names["updates"], int(made)))
    return found


@pytest.mark.parametrize("index", [0, 1])
def test_the_page_plans_the_updates_that_are_made(index: int, processes: Pool) -> None:
    assert planned_and_made(index) == [(3, 3), (4, 4), (4, 4)]
    assert processes.run(planned_and_made, index) == [[(2, 2), (2, 2), (2, 2)]] * 2


PLANNED = [lrdsl.compile("warmup(3%) >> cosine(rest)", base_lr=3e-4, total_steps=STEPS).lr(i) for i in range(STEPS)]


@pytest.mark.parametrize("index", [0, 1])
def test_what_the_page_says_to_paste(index: int, processes: Pool) -> None:
    assert pasted(index, 2) == PLANNED
    assert processes.run(pasted, index, 2) == [PLANNED, PLANNED]
