"""A trainer of TRL, with a model and a tokenizer made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import lrdsl
from tests.frameworks.installed import need
from tests.frameworks.pasting import paste

need("trl")

from datasets import Dataset  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import (  # noqa: E402
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)
from trl import RewardConfig, RewardTrainer, SFTConfig, SFTTrainer  # noqa: E402

from lrdsl.integrations.hf import MetricCallback, ScheduleMixin  # noqa: E402

STEPS = 12
WORDS = ["<eos>", "<pad>", "<unk>", "the", "rate", "falls", "and", "so", "does", "a", "loss", "of", "words"]


class ScheduledSFT(ScheduleMixin, SFTTrainer):
    """What the page tells to write."""


class ScheduledReward(ScheduleMixin, RewardTrainer):
    """The same for another trainer."""


def tokenizer() -> Any:
    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, **special)


def tiny(kind: Any = GPT2LMHeadModel, **more: Any) -> Any:
    torch.manual_seed(1)
    tokens = {"vocab_size": len(WORDS), "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    return kind(GPT2Config(n_positions=32, n_embd=8, n_layer=2, n_head=2, **tokens, **more))


def line(first: int) -> str:
    return " ".join(WORDS[3 + (first + k) % (len(WORDS) - 3)] for k in range(6))


def lines(n: int = 32) -> Any:
    return Dataset.from_list([{"text": line(i)} for i in range(n)])


def options(folder: Path, kind: Any = SFTConfig, **more: Any) -> Any:
    given = {"max_steps": STEPS, "logging_steps": 1, "per_device_train_batch_size": 2, "save_strategy": "no"}
    quiet = {"report_to": [], "disable_tqdm": True, "use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    return kind(output_dir=str(folder), max_length=16, **{**given, **quiet, **more})


def trained(folder: Path, text: str, resume: bool = False, **more: Any) -> Any:
    """A run of the mixin over our optimizer."""
    run = ScheduledSFT(
        model=tiny(),
        args=options(folder, **more),
        train_dataset=lines(),
        eval_dataset=lines(4),
        processing_class=tokenizer(),
        optimizer_cls_and_kwargs=(lrdsl.AdamW, {"lr": 1e-2, "schedule": text}),
        callbacks=[MetricCallback()] if "plateau" in text else [],
    )
    run.train(resume_from_checkpoint=resume or None)
    return run


def logged(run: Any) -> list[float]:
    return [row["learning_rate"] for row in run.state.log_history if "learning_rate" in row]


@pytest.mark.works("TRL", "SFT with the mixin: logged rates are the rates used")
def test_sft_runs_the_schedule(tmp_path: Path) -> None:
    text = "warmup(25%) >> cosine(rest)"
    run = trained(tmp_path, text)
    curve = lrdsl.compile(text, base_lr=1e-2, total_steps=STEPS)
    expected = [curve.lr(step) for step in range(STEPS)]
    opt = run.optimizer.optimizer
    assert isinstance(opt, lrdsl.AdamW)
    assert logged(run) == expected == opt.lr_history()["lr"].tolist()[:: len(opt.param_groups)]


@pytest.mark.works("TRL", "SFT with the mixin: evaluation, plateau and resume")
def test_sft_resumes_with_its_cuts(tmp_path: Path) -> None:
    text = "hold() | plateau(patience=0, factor=0.5, threshold=1)"
    every = {"eval_strategy": "steps", "eval_steps": 3, "save_strategy": "steps", "save_steps": 6}
    whole = trained(tmp_path / "whole", text, **every)
    assert logged(whole) == [1e-2] * 6 + [5e-3] * 3 + [2.5e-3] * 3
    # The first half of the same run is all that the second one finds.
    (tmp_path / "cut").mkdir()
    (tmp_path / "whole" / "checkpoint-6").rename(tmp_path / "cut" / "checkpoint-6")
    resumed = trained(tmp_path / "cut", text, resume=True, **every)
    assert logged(resumed) == logged(whole)
    for left, right in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.works("TRL", "Reward with the mixin: logged rates are the rates used")
def test_reward_runs_the_schedule(tmp_path: Path) -> None:
    run = ScheduledReward(
        model=tiny(GPT2ForSequenceClassification, num_labels=1),
        args=options(tmp_path, RewardConfig),
        train_dataset=Dataset.from_list([{"chosen": line(i), "rejected": line(i + 1)} for i in range(32)]),
        processing_class=tokenizer(),
        optimizer_cls_and_kwargs=(lrdsl.AdamW, {"lr": 1e-2, "schedule": "linear(rest)"}),
    )
    run.train()
    curve = lrdsl.compile("linear(rest)", base_lr=1e-2, total_steps=STEPS)
    opt = run.optimizer.optimizer
    expected = [curve.lr(step) for step in range(STEPS)]
    assert logged(run) == expected == opt.lr_history()["lr"].tolist()[:: len(opt.param_groups)]


@pytest.mark.works("TRL", "a metric of its own reaches the plateau")
def test_an_accuracy_reaches_the_plateau(tmp_path: Path) -> None:
    text = "hold() | plateau(metric=accuracy, mode=max, patience=0, factor=0.5, threshold=9)"
    run = ScheduledSFT(
        model=tiny(),
        args=options(tmp_path, eval_strategy="steps", eval_steps=4, max_steps=11),
        train_dataset=lines(),
        eval_dataset=lines(4),
        processing_class=tokenizer(),
        optimizer_cls_and_kwargs=(lrdsl.AdamW, {"lr": 1e-2, "schedule": text}),
        callbacks=[MetricCallback("eval_mean_token_accuracy", as_="accuracy")],
    )
    run.train()
    assert logged(run) == [1e-2] * 8 + [5e-3] * 3


def test_what_the_page_says_to_paste(tmp_path: Path) -> None:
    args = options(tmp_path, eval_strategy="steps", eval_steps=3)
    given = {"model": tiny(), "args": args, "train_set": lines(), "valid_set": lines(4), "tokenizer": tokenizer()}
    run = paste("trl.md", **given)["trainer"]
    curve = lrdsl.compile("warmup(3%) >> cosine(rest)", base_lr=3e-4, total_steps=STEPS)
    assert logged(run) == [curve.lr(step) for step in range(STEPS)]
