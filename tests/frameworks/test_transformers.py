"""The Trainer of Transformers with a tiny model: rates logged and used, checkpoints, evaluations, wrong set-ups."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lrdsl
from lrdsl.errors import ScheduleError
from tests.frameworks.installed import need
from tests.frameworks.pasting import paste
from tests.frameworks.processes import Pool

transformers = need("transformers")
need("accelerate")

from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments  # noqa: E402
from transformers.optimization import GreedyLR  # noqa: E402

from lrdsl.integrations.hf import MetricCallback, ScheduleMixin  # noqa: E402
from tests.frameworks.accelerated import join, leave  # noqa: E402

ROOT = Path(__file__).parents[2]
STEPS = 12
LR = 1e-2
TEXT = "warmup(25%) >> cosine(rest, to=1e-3)"
CURVE = [lrdsl.compile(TEXT, base_lr=LR, total_steps=STEPS).lr(step) for step in range(STEPS)]
PLATEAU = "hold() | plateau(patience=0, factor=0.5)"
BATCH = 2


class Scheduled(ScheduleMixin, Trainer):
    """What the page tells to write."""


class Spy(TrainerCallback):
    """Notes the rate that stands in the first group as an update begins."""

    def __init__(self) -> None:
        self.used: list[float] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.used.append(float(kwargs["optimizer"].param_groups[0]["lr"]))


class Killed(BaseException):
    """What ends a run from outside."""


class Killer(TrainerCallback):
    """Ends a run after so many updates."""

    def __init__(self, step: int, how: int = 0) -> None:
        self.step, self.how = step, how

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            if self.how:
                os.kill(os.getpid(), self.how)
            raise Killed


def tiny(dropout: float = 0.0) -> Any:
    """The same two layers every time."""
    torch.manual_seed(1)
    drop = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    tokens = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=2, n_head=2, **drop, **tokens))


def samples(n: int = 64) -> list[dict[str, Tensor]]:
    rows = torch.randint(0, 16, (n, 6), generator=torch.Generator().manual_seed(2))
    return [{"input_ids": row, "labels": row} for row in rows]


def options(folder: Path, **more: Any) -> Any:
    given = {"max_steps": STEPS, "logging_steps": 1, "per_device_train_batch_size": BATCH, "save_strategy": "no"}
    quiet = {"report_to": [], "disable_tqdm": True, "use_cpu": True, "dataloader_pin_memory": False}
    return TrainingArguments(output_dir=str(folder), **{**given, **quiet, **more})


WAYS = ("optimizer", "adapter", "mixin", "mixin and adapter")
"""How a schedule comes to a Trainer."""


def trainer(
    folder: Path,
    way: str = "optimizer",
    text: str = TEXT,
    lr: float | Tensor = LR,
    callbacks: Sequence[TrainerCallback] = (),
    dropout: float = 0.0,
    eval_dataset: Any = None,
    optimizer: dict[str, Any] | None = None,
    **arguments: Any,
) -> Any:
    """A Trainer over the tiny model, with a text in one of the ways."""
    model, extra = tiny(dropout), optimizer or {}
    common = {"model": model, "args": options(folder, **arguments), "train_dataset": samples()}
    common |= {"callbacks": list(callbacks), "eval_dataset": eval_dataset}
    if way == "optimizer":
        opt = lrdsl.AdamW(model.parameters(), lr=lr, schedule=text, total_steps=STEPS, **extra)
        return Trainer(optimizers=(opt, opt.as_scheduler()), **common)
    if way == "adapter":
        other = torch.optim.AdamW(model.parameters(), lr=lr, **extra)
        return Trainer(optimizers=(other, lrdsl.LRScheduler(other, text, total_steps=STEPS)), **common)
    cls = lrdsl.AdamW if way == "mixin" else torch.optim.AdamW
    return Scheduled(optimizer_cls_and_kwargs=(cls, {"lr": lr, "schedule": text, **extra}), **common)


def logged(run: Any) -> list[float]:
    return [row["learning_rate"] for row in run.state.log_history if "learning_rate" in row]


def inner(run: Any) -> Any:
    """The optimizer that Accelerate wrapped."""
    return run.optimizer.optimizer


def weights(run: Any) -> list[Tensor]:
    return [p.detach().clone() for p in run.model.parameters()]


def same(left: Any, right: Any) -> bool:
    """Equal bits, whatever it is made of."""
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


# --- rates ----------------------------------------------------------------------------------------------------------


@pytest.mark.works("Transformers", "logged rates are the rates used")
@pytest.mark.parametrize(("kind", "accumulated"), [("float", 1), ("float", 2), ("tensor", 1)])
@pytest.mark.parametrize("way", WAYS)
def test_the_logged_rate_is_the_rate_used(way: str, kind: str, accumulated: int, tmp_path: Path) -> None:
    spy = Spy()
    lr = torch.tensor(LR, dtype=torch.float64) if kind == "tensor" else LR
    run = trainer(tmp_path, way, lr=lr, callbacks=[spy], gradient_accumulation_steps=accumulated)
    run.train()
    assert logged(run) == spy.used == CURVE
    if isinstance(inner(run), lrdsl.AdamW):
        assert inner(run).lr_history()["lr"].tolist()[:: len(inner(run).param_groups)] == CURVE


@pytest.mark.works("Transformers", "the same weights as a loop without it")
@pytest.mark.parametrize("way", WAYS)
def test_the_run_is_that_of_a_bare_loop(way: str, tmp_path: Path) -> None:
    run = trainer(tmp_path, way, train_sampling_strategy="sequential", max_grad_norm=0.0)
    run.model_accepts_loss_kwargs = False  # the mean of a batch, as below, not a sum over a count
    run.train()

    model = tiny()
    model.train()
    if isinstance(inner(run), lrdsl.AdamW):
        opt = lrdsl.AdamW(model.parameters(), lr=LR, weight_decay=inner(run).param_groups[0]["weight_decay"])
    else:
        opt = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=inner(run).param_groups[0]["weight_decay"])
    rows = torch.stack([row["input_ids"] for row in samples()]).split(BATCH)
    for rate, ids in zip(CURVE, rows, strict=False):
        opt.param_groups[0]["lr"] = rate
        opt.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        opt.step()
    assert same(weights(run), [p.detach() for p in model.parameters()])


# --- checkpoints ----------------------------------------------------------------------------------------------------

PLATEAU_TEXT = "warmup(2) >> hold() | plateau(patience=0, factor=0.5, threshold=1)"
"""Every evaluation but the first is a cut, since nothing is better by that much."""


def noticed(way: str, folder: Path, *callbacks: TrainerCallback, **more: Any) -> Any:
    """A Trainer that evaluates and saves at every third update, with chance in the model."""
    every = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 3}
    callbacks = MetricCallback(), *callbacks
    return trainer(
        folder, way, PLATEAU_TEXT, callbacks=callbacks, dropout=0.2, eval_dataset=samples(4), **every, **more
    )


def all_of(run: Any) -> list[Any]:
    """Everything a run leaves."""
    scheduler = run.lr_scheduler.state_dict()
    del scheduler["_step_count"]  # `as_scheduler()` counts its calls anew
    return [weights(run), run.optimizer.state_dict(), scheduler, run.lr_scheduler.get_last_lr(), logged(run)]


@pytest.mark.works("Transformers", "resume from a checkpoint, 0 difference")
@pytest.mark.parametrize("way", WAYS)
def test_a_killed_run_continues_as_if_nothing_had_happened(way: str, tmp_path: Path) -> None:
    whole = noticed(way, tmp_path / "whole")
    whole.train()
    with pytest.raises(Killed):
        noticed(way, tmp_path / "cut", Killer(8)).train()
    spy = Spy()
    resumed = noticed(way, tmp_path / "cut", spy)
    resumed.train(resume_from_checkpoint=str(tmp_path / "cut" / "checkpoint-6"))
    assert same(all_of(resumed), all_of(whole))
    assert spy.used == logged(whole)[6:]
    # Evaluated after 3, 6, 9 updates: the first is the best so far, the others are cuts.
    assert logged(whole) == [0.0, LR / 2, *[LR] * 4, *[LR / 2] * 3, *[LR / 4] * 3]


def cut_by_a_signal(folder: str) -> None:
    """Run in another process, which does not come back."""
    noticed("optimizer", Path(folder), Killer(8, signal.SIGKILL)).train()


@pytest.mark.slow
@pytest.mark.works("Transformers", "resume from a checkpoint, 0 difference")
def test_a_run_that_was_killed_with_its_process_continues(tmp_path: Path) -> None:
    code = f"from {__name__} import cut_by_a_signal; cut_by_a_signal({str(tmp_path / 'cut')!r})"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    whole, resumed = noticed("optimizer", tmp_path / "whole"), noticed("optimizer", tmp_path / "cut")
    whole.train()
    resumed.train(resume_from_checkpoint=True)  # the newest there is
    assert same(all_of(resumed), all_of(whole))


@pytest.mark.works("Transformers", "checkpoints load with `weights_only=True`")
@pytest.mark.parametrize("way", WAYS)
def test_checkpoints_are_plain(way: str, tmp_path: Path) -> None:
    run = noticed(way, tmp_path, max_steps=3)
    run.train()
    for file, owner in (("optimizer.pt", run.optimizer), ("scheduler.pt", run.lr_scheduler)):
        assert same(torch.load(tmp_path / "checkpoint-3" / file, weights_only=True), owner.state_dict())


@pytest.mark.works("Transformers", "a changed text on resume is an error")
@pytest.mark.parametrize("way", WAYS)
def test_another_text_on_resume_is_one_error(way: str, tmp_path: Path) -> None:
    trainer(tmp_path, way, save_strategy="steps", save_steps=6).train()
    other = trainer(tmp_path, way, TEXT.replace("25%", "50%"))
    with pytest.raises(ScheduleError, match="the saved schedule is a different one: ") as caught:
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert caught.value.code == "E0802"


@pytest.mark.parametrize("way", ["mixin", "mixin and adapter"])
def test_another_text_on_resume_that_is_meant(way: str, tmp_path: Path) -> None:
    trainer(tmp_path, way, save_strategy="steps", save_steps=6).train()
    other = trainer(tmp_path, way, "linear(rest)", optimizer={"reschedule": True})
    other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    line = lrdsl.compile("linear(rest)", base_lr=LR, total_steps=STEPS)
    assert logged(other) == [*CURVE[:6], *(line.lr(step) for step in range(6, STEPS))]


@pytest.mark.works("Transformers", "a longer run resumes")
@pytest.mark.parametrize("way", ["mixin", "mixin and adapter"])
def test_a_text_that_does_not_speak_of_the_length_goes_on_in_a_longer_run(way: str, tmp_path: Path) -> None:
    text = "warmup(3) >> cosine(30)"
    trainer(tmp_path, way, text, max_steps=6, save_strategy="steps", save_steps=6).train()
    longer = trainer(tmp_path, way, text)
    longer.train(resume_from_checkpoint=True)
    whole = trainer(tmp_path, way, text)
    whole.train()
    assert logged(longer) == logged(whole) and same(weights(longer), weights(whole))


# --- evaluations ----------------------------------------------------------------------------------------------------


@pytest.mark.works("Transformers", "an evaluation metric reaches the plateau")
@pytest.mark.parametrize("way", WAYS)
def test_two_evaluations_one_cut(way: str, tmp_path: Path) -> None:
    text = "hold() | plateau(metric=perplexity, patience=0, factor=0.5, threshold=1)"
    callback = MetricCallback("eval_loss", as_="perplexity")
    every = {"eval_strategy": "steps", "eval_steps": 4, "max_steps": 11}
    run = trainer(tmp_path, way, text, callbacks=[callback], eval_dataset=samples(4), **every)
    run.evaluate()  # not in training: nobody is told
    run.train()
    run.evaluate()
    assert logged(run) == [LR] * 8 + [LR / 2] * 3


def test_an_evaluation_to_begin_with_is_no_report(tmp_path: Path) -> None:
    run = noticed("optimizer", tmp_path, eval_on_start=True)
    run.train()
    assert logged(run) == [0.0, LR / 2, *[LR] * 4, *[LR / 2] * 3, *[LR / 4] * 3]


def test_one_of_several_evaluation_sets(tmp_path: Path) -> None:
    every = {"eval_strategy": "steps", "eval_steps": 4, "max_steps": 11}
    sets = {"a": samples(4), "b": samples(6)}
    callback = MetricCallback("eval_b_loss")
    text = "hold() | plateau(patience=0, factor=0.5, threshold=1)"
    run = trainer(tmp_path, "optimizer", text, callbacks=[callback], eval_dataset=sets, **every)
    run.train()
    assert logged(run) == [LR] * 8 + [LR / 2] * 3


def test_a_metric_that_no_evaluation_has(tmp_path: Path) -> None:
    every = {"eval_strategy": "steps", "eval_steps": 4}
    run = trainer(tmp_path, text=PLATEAU, callbacks=[MetricCallback("eval_f1")], eval_dataset=samples(4), **every)
    message = r"^no evaluation gives `eval_f1`: metric is one of .*loss"
    with pytest.raises(ValueError, match=message):
        run.train()
    assert run.state.global_step == 4


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hold() | plateau(metric=f1, patience=0)", "as_ is one of: f1"),
        ("hold()", "a text listens through `plateau` and the like"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_metric_that_nothing_listens_to(way: str, text: str, hint: str, tmp_path: Path) -> None:
    run = trainer(tmp_path, way, text, callbacks=[MetricCallback()])
    before = weights(run)
    with pytest.raises(ScheduleError, match=f"the Trainer's scheduler does not listen to `loss` .*{hint}") as caught:
        run.train()
    assert caught.value.code == "E0209"
    assert same(weights(run), before)


@pytest.mark.works("Transformers", "a plateau that hears nothing is said once")
@pytest.mark.parametrize("way", ["optimizer", "mixin"])
def test_without_the_callback_a_plateau_hears_nothing(way: str, tmp_path: Path) -> None:
    run = trainer(tmp_path, way, "hold() | plateau(patience=2)")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        run.train()
    (warning,) = (w for w in said if issubclass(w.category, RuntimeWarning))
    assert str(warning.message).startswith("no `loss` was reported before update 11, so `plateau` could do nothing: ")


# --- what else there is -----------------------------------------------------------------------------------------------


@pytest.mark.works("Transformers", "a second scheduler is an error")
@pytest.mark.parametrize("kind", ["float", "tensor"])
@pytest.mark.parametrize(("text", "differs"), [(TEXT, 0), ("linear(12) ", None), ("hold(4) >> linear(8)", 1)])
def test_without_a_scheduler_the_trainer_attaches_its_own(
    text: str, differs: int | None, kind: str, tmp_path: Path
) -> None:
    lr = torch.tensor(LR, dtype=torch.float64) if kind == "tensor" else LR
    run = trainer(tmp_path, text=text, lr=lr)
    before: list[list[Tensor]] = []

    class Snapshot(TrainerCallback):
        def on_pre_optimizer_step(self, *given: Any, **kwargs: Any) -> None:
            before.append(weights(run))

    run.lr_scheduler = None
    run.add_callback(Snapshot())
    if differs is None:  # it is the very same line
        run.train()
        assert logged(run) == [lrdsl.compile(text, base_lr=LR).lr(step) for step in range(STEPS)]
        return
    message = (
        r"^group 0: lr is [\d.]+, but this optimizer's schedule says [\d.]+: another scheduler or code writes lr\. "
        r"Pass `opt\.as_scheduler\(\)` to the framework, or drop `schedule=`"
    )
    with pytest.raises(RuntimeError, match=message):
        run.train()
    assert inner(run).clock == len(before) - 1 == differs
    assert same(weights(run), before[-1])


@pytest.mark.works("Transformers", "the mixin attaches no second scheduler")
def test_the_mixin_needs_no_scheduler_beside_an_optimizer_of_ours(tmp_path: Path) -> None:
    model = tiny()
    opt = lrdsl.AdamW(model.parameters(), lr=LR, schedule=TEXT, total_steps=STEPS)
    run = Scheduled(model, options(tmp_path), train_dataset=samples(), optimizers=(opt, None))
    run.train()
    assert logged(run) == CURVE


def test_the_mixin_leaves_other_trainers_alone(tmp_path: Path) -> None:
    curves = []
    for cls in (Scheduled, Trainer):
        kwargs = (torch.optim.SGD, {"lr": LR})
        run = cls(tiny(), options(tmp_path), train_dataset=samples(), optimizer_cls_and_kwargs=kwargs)
        run.train()
        curves.append((logged(run), weights(run), run.optimizer_cls_and_kwargs))
    assert same(curves[0][:2], curves[1][:2])
    assert curves[0][2] == kwargs


def test_the_mixin_makes_an_optimizer_for_every_model(tmp_path: Path) -> None:
    kwargs = (lrdsl.AdamW, {"lr": LR, "schedule": TEXT})
    args = options(tmp_path)
    run = Scheduled(args=args, model_init=lambda: tiny(), train_dataset=samples(), optimizer_cls_and_kwargs=kwargs)
    for steps in (STEPS, 2 * STEPS):
        args.max_steps = steps
        run.train()
        curve = lrdsl.compile(TEXT, base_lr=LR, total_steps=steps)
        assert logged(run) == [curve.lr(step) for step in range(steps)]


def test_training_again_goes_on_where_the_clock_stands(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.train()
    run.train()
    assert logged(run) == [1e-3] * STEPS
    inner(run).set_clock(0)
    run.train()
    assert logged(run) == CURVE


def test_total_steps_that_are_given_count(tmp_path: Path) -> None:
    run = trainer(tmp_path, "mixin", optimizer={"total_steps": 24})
    run.train()
    assert logged(run) == [lrdsl.compile(TEXT, base_lr=LR, total_steps=24).lr(step) for step in range(STEPS)]


@pytest.mark.parametrize("way", ["adapter", "optimizer"])
def test_it_is_no_scheduler_that_the_trainer_treats_apart(way: str, tmp_path: Path) -> None:
    run = trainer(tmp_path, way, PLATEAU)
    apart = (torch.optim.lr_scheduler.ReduceLROnPlateau, GreedyLR)
    assert not isinstance(run.lr_scheduler, apart)
    run.train()
    assert run.lr_scheduler.last_epoch == STEPS  # stepped after every update, with or without evaluations


@pytest.mark.works("Transformers", "clipping by either, `max_grad_norm`")
def test_clipping_by_the_trainer_or_by_the_optimizer(tmp_path: Path) -> None:
    def run(theirs: float, ours: float | None) -> Any:
        model = tiny()
        opt = lrdsl.SGD(model.parameters(), lr=LR, schedule=TEXT, total_steps=STEPS, max_grad_norm=ours)
        args = options(tmp_path, max_grad_norm=theirs)
        given = Trainer(model, args, train_dataset=samples(), optimizers=(opt, opt.as_scheduler()))
        given.train()
        assert logged(given) == CURVE
        return [row["grad_norm"] for row in given.state.log_history if "grad_norm" in row], weights(given)

    (norms, theirs), (seen, ours), (_, free) = run(0.1, None), run(0.0, 0.1), run(0.0, None)
    torch.testing.assert_close(norms, seen, rtol=1e-6, atol=0.0)
    assert min(norms) > 0.1
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-8)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(free, ours, rtol=1e-5, atol=1e-8)


def of_two(way: str, folder: str) -> Any:
    """A run in one of two processes, with evaluations."""
    here = Path(folder) / str(torch.distributed.get_rank())
    join()
    try:
        run = noticed(way, here, ddp_backend="gloo")
        run.train()
        assert run.accelerator.num_processes == 2
        return logged(run), [p.tolist() for p in weights(run)]
    finally:
        leave()


@pytest.mark.works("Transformers", "2 processes: one curve, cuts included")
@pytest.mark.parametrize("way", WAYS)
def test_two_processes(way: str, processes: Pool, tmp_path: Path) -> None:
    (rates, first), (theirs, second) = processes.run(of_two, way, str(tmp_path))
    assert rates == [0.0, LR / 2, *[LR] * 4, *[LR / 2] * 3, *[LR / 4] * 3]
    assert first == second and theirs in ([], rates)  # only the first process logs


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(3))
def test_what_the_page_says_to_paste(index: int, tmp_path: Path) -> None:
    args = options(tmp_path, eval_strategy="steps", eval_steps=3)
    names = paste("transformers.md", index, model=tiny(), args=args, train_set=samples(), valid_set=samples(4))
    text = "warmup(3%) >> cosine(rest)"
    assert logged(names["trainer"]) == [
        lrdsl.compile(text, base_lr=3e-4, total_steps=STEPS).lr(step) for step in range(STEPS)
    ]
