"""Train a small network on scikit-learn's handwritten digits; the learning rate comes from one line of YAML.

The schedule runs inside the optimizer: there is no `scheduler.step()`. The validation
loss goes to `opt.observe(...)`, where the plateau of the schedule listens.

    python examples/first_run.py [CONFIG] [--out DIR]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

import lrdsl
from lrdsl.plotting import curve, svg, terminal


@dataclass
class History:
    """What happened, step by step and epoch by epoch."""

    rates: list[float] = field(default_factory=list)  # of every update
    losses: list[float] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)  # updates done at the end of each epoch
    validation: list[float] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)  # updates before which the plateau cut the rate


Examples = tuple[torch.Tensor, torch.Tensor]


def load() -> tuple[Examples, Examples]:
    """The digits: images and labels to train on, and held-out ones."""
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    train, held_out = train_test_split(range(len(labels)), test_size=0.2, random_state=0, stratify=digits.target)
    return (images[train], labels[train]), (images[held_out], labels[held_out])


def train(config: dict[str, Any], console: Console) -> tuple[curve.Curve, History]:
    """Train as the config says, one line per epoch; gives the rate as planned, and what happened."""
    torch.manual_seed(config["seed"])
    (train_images, train_labels), (images, labels) = load()
    updates_per_epoch = -(-len(train_images) // config["batch_size"])
    updates = config["epochs"] * updates_per_epoch
    model = nn.Sequential(nn.Linear(64, config["hidden"]), nn.ReLU(), nn.Linear(config["hidden"], 10))
    opt = lrdsl.AdamW(
        model.parameters(),
        lr=config["lr"],
        weight_decay=config["weight_decay"],
        schedule=config["schedule"],
        total_steps=updates,
        steps_per_epoch=updates_per_epoch,
    )
    schedule = opt.schedules[0]
    assert schedule is not None
    planned = curve.of(schedule)
    console.print(terminal.render([planned], unicode=console.encoding.startswith("utf")), highlight=False)

    history = History()
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console.print("epoch          rate    train loss    validation loss    accuracy")
    with Progress(*bar, console=console, transient=True) as progress:
        task = progress.add_task("updates", total=updates)
        for epoch in range(1, config["epochs"] + 1):
            for rows in torch.randperm(len(train_images)).split(config["batch_size"]):
                rate = opt.param_groups[0]["lr"]  # the rate of this update: the schedule has published it
                loss = F.cross_entropy(model(train_images[rows]), train_labels[rows])
                opt.zero_grad()
                loss.backward()
                opt.step()
                history.rates.append(rate)
                history.losses.append(loss.item())
                progress.advance(task)
            with torch.no_grad():
                logits = model(images)
            held_out = F.cross_entropy(logits, labels).item()
            accuracy = (logits.argmax(1) == labels).float().mean().item()
            before = opt.param_groups[0]["lr"]
            opt.observe(held_out)
            if opt.param_groups[0]["lr"] < before:
                history.cuts.append(opt.clock)
            history.epochs.append(opt.clock)
            history.validation.append(held_out)
            mean = sum(history.losses[-updates_per_epoch:]) / updates_per_epoch
            cut = "  rate cut" if history.cuts[-1:] == [opt.clock] else ""
            line = f"{epoch:5d}  {history.rates[-1]:12.4g}  {mean:12.4f}  {held_out:17.4f}  {accuracy:10.2%}{cut}"
            console.print(line, highlight=False)
    return planned, history


def draw(history: History, text: str, path: Path) -> None:
    """The rate really used, with the plateau's cuts, above the loss."""
    from matplotlib import pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(9, 6.5), layout="constrained")
    top.plot(history.rates, color="#2b6cb0", linewidth=1.6)
    for index, step in enumerate(history.cuts):
        for panel in (top, bottom):
            panel.axvline(step, color="#c05621", linewidth=0.9, linestyle="--")
        top.plot(step, history.rates[step] if step < len(history.rates) else history.rates[-1], "v", color="#c05621")
        if index == 0:
            top.plot([], [], "v--", color="#c05621", label="plateau cuts the rate")
            top.legend(framealpha=1, edgecolor="white")
    top.set_title(text, family="monospace", fontsize=10)
    top.set_ylabel("learning rate used")
    top.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    bottom.plot(history.losses, color="#a0aec0", linewidth=0.8, label="training, each update")
    bottom.plot(history.epochs, history.validation, color="#2d3748", linewidth=1.8, label="validation, each epoch")
    bottom.set_yscale("log")
    bottom.set_ylabel("cross-entropy loss")
    bottom.set_xlabel("update")
    bottom.legend(framealpha=1, edgecolor="white", loc="lower left")
    for panel in (top, bottom):
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Train, draw, and say where the loss went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", type=Path, default=Path(__file__).with_name("digits.yaml"))
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    options = parser.parse_args(arguments)

    console = Console()
    try:
        planned, history = train(yaml.safe_load(options.config.read_text("utf-8"))["train"], console)
    except lrdsl.ScheduleError as error:
        sys.exit(f"{options.config}: {error}")
    options.out.mkdir(parents=True, exist_ok=True)
    schedule_picture, training_picture = options.out / "schedule.svg", options.out / "training.png"
    schedule_picture.write_text(svg.render([planned]), "utf-8")
    draw(history, planned.text, training_picture)
    console.print(f"wrote {schedule_picture} (as planned) and {training_picture} (as it went)", highlight=False)
    print(f"loss {history.validation[0]:.2f} -> {history.validation[-1]:.2f}")


if __name__ == "__main__":
    main()
