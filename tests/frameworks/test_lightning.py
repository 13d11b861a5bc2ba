"""Lightning's Trainer and CLI, against loops without Lightning and curves worked out by hand."""

from __future__ import annotations

import csv
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import PAGES, paste
from tests.frameworks.processes import Pool

L = need("lightning")
torch = need("torch")
cli_module = need("lightning.pytorch.cli")

import lrdsl  # noqa: E402
from lrdsl.integrations import lightning as ours  # noqa: E402

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
logging.getLogger("lightning.fabric").setLevel(logging.ERROR)

LR = 0.5
TEXT = "warmup(3) >> linear(17)"
CURVE = [LR * (t / 3 if t < 3 else (20 - t) / 17) for t in range(20)]
PLATEAU = "warmup(3) >> hold() | plateau(patience=1, factor=0.5)"
CUT = [0.0, LR / 3, LR * 2 / 3, *[LR] * 9, *[LR / 2] * 4]
"""The first of three equal reports is the best one, two are bad: the cut comes with the third, after 3 epochs of 4."""

torch.manual_seed(0)
BATCHES = torch.randn(4, 2, 8)
WEIGHTS = torch.nn.Linear(8, 4).state_dict(), torch.nn.Linear(4, 1).state_dict()


def network() -> Any:
    net = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    for layer, weights in zip((net[0], net[2]), WEIGHTS, strict=True):
        layer.load_state_dict(weights)
    return net


class Module(L.LightningModule):  # type: ignore[misc, name-defined]
    """A small network that notes the rate of every update, as it is just before."""

    def __init__(self, configure: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.net, self.used = network(), []  # type: ignore[var-annotated]
        self._configure = configure
        self.losses: list[float] = [1.0] * 9

    def configure_optimizers(self) -> Any:
        assert self._configure is not None
        return self._configure(self)

    def training_step(self, batch: Any, index: int) -> Any:
        return self.net(batch).square().mean()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.used.append(float(optimizer.param_groups[0]["lr"]))

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.losses[self.current_epoch])


class Data(L.LightningDataModule):  # type: ignore[misc, name-defined]
    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(BATCHES, batch_size=None)

    def val_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(BATCHES[:1], batch_size=None)


QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}


def trainer(where: Path, *callbacks: Any, **options: Any) -> Any:
    logger = L.pytorch.loggers.CSVLogger(where, name="", version="")
    monitor = L.pytorch.callbacks.LearningRateMonitor("step")
    options = {"max_epochs": 4, "enable_checkpointing": False, **options}
    return L.Trainer(logger=logger, callbacks=[monitor, *callbacks], **QUIET, **options)


def logged(where: Path) -> dict[int, set[float]]:
    """Step → what LearningRateMonitor logged there."""
    found: dict[int, set[float]] = {}
    with open(where / "metrics.csv") as file:
        for row in csv.DictReader(file):
            for key, entry in row.items():
                if key.startswith("lr-") and entry:
                    found.setdefault(int(row["step"]), set()).add(float(entry))
    return found


def plain(optimizer: Any, net: Any, epochs: int = 4, clip: float = 0.0, accumulate: int = 1, sch: Any = None) -> Any:
    """The same without Lightning; gives the weights."""
    for number in range(4 * epochs):
        (net(BATCHES[number % 4]).square().mean() / accumulate).backward()
        if (number + 1) % accumulate:
            continue
        if clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
        if sch is not None:
            sch.step()
    return net.state_dict()


def same(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def alone(text: str = TEXT, **options: Any) -> Callable[[Any], Any]:
    return lambda module: lrdsl.AdamW(module.net.parameters(), lr=LR, schedule=text, **options)


def followed(text: str = TEXT) -> Callable[[Any], Any]:
    def configure(module: Any) -> Any:
        opt = alone(text)(module)
        return {"optimizer": opt, "lr_scheduler": opt.as_scheduler()}

    return configure


def beside(text: str = TEXT, **context: Any) -> Callable[[Any], Any]:
    def configure(module: Any) -> Any:
        return ours.config(torch.optim.AdamW(module.net.parameters(), lr=LR, fused=True), text, **context)

    return configure


WAYS = {"optimizer": alone, "as_scheduler": followed, "config": beside}


def without(way: str, **options: Any) -> Any:
    """The weights that a loop without Lightning ends with: for `config` that of torch's own scheduler."""
    net = network()
    if way != "config":
        return plain(lrdsl.AdamW(net.parameters(), lr=LR, schedule=TEXT), net, **options)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, fused=True)
    return plain(optimizer, net, sch=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: CURVE[t] / LR), **options)


# --- one curve, however it is run -----------------------------------------------------------------------------------


@pytest.mark.works("Lightning", "optimizer alone, or `config`: logged rates are the rates used")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("accumulate", "clip"), [(1, 0.0), (2, 0.0), (1, 0.1)], ids=["plain", "accumulated", "clipped"]
)
def test_rates_and_weights(way: str, accumulate: int, clip: float, tmp_path: Path) -> None:
    module = Module(WAYS[way](TEXT))
    options = {"accumulate_grad_batches": accumulate, "gradient_clip_val": clip, "limit_val_batches": 0}
    trainer(tmp_path, **options).fit(module, datamodule=Data())
    expected = CURVE[: 16 // accumulate]
    assert module.used == expected
    assert logged(tmp_path) == {step: {rate} for step, rate in enumerate(expected)}
    assert same(module.net.state_dict(), without(way, clip=clip, accumulate=accumulate))


@pytest.mark.works("Lightning", "`lrdsl.groups`: `LearningRateMonitor` logs each group")
@pytest.mark.parametrize("way", WAYS)
def test_groups(way: str, tmp_path: Path) -> None:
    text = "lr = linear(16); lr[head] = 0.5 * linear(16)"

    def configure(module: Any) -> Any:
        groups = lrdsl.groups(module.net, head="2.*", no_decay=True)
        if way == "config":
            return ours.config(torch.optim.AdamW(groups, lr=LR), text)
        optimizer = lrdsl.AdamW(groups, lr=LR, schedule=text)
        return optimizer if way == "optimizer" else ([optimizer], [optimizer.as_scheduler()])

    trainer(tmp_path).fit(Module(configure), datamodule=Data())
    with open(tmp_path / "metrics.csv") as file:
        rows = [
            {key: float(row[key]) for key in row if key.startswith("lr-") and row[key]} for row in csv.DictReader(file)
        ]
    other, head = ([LR * factor * (16 - t) / 16 for t in range(16)] for factor in (1.0, 0.5))
    parts = {"other": other, "other/no_decay": other, "head": head, "head/no_decay": head}
    expected = [{f"lr-AdamW/{name}": rates[t] for name, rates in parts.items()} for t in range(16)]
    assert [row for row in rows if row] == expected


def test_a_bare_scheduler_is_stepped_per_epoch(tmp_path: Path) -> None:
    def configure(module: Any) -> Any:
        opt = torch.optim.SGD(module.net.parameters(), lr=LR)
        return [opt], [lrdsl.LRScheduler(opt, TEXT)]

    module = Module(configure)
    trainer(tmp_path).fit(module, datamodule=Data())
    assert module.used == [rate for rate in CURVE[:4] for _ in range(4)]


def test_a_second_scheduler(tmp_path: Path) -> None:
    def both(module: Any) -> Any:
        opt = alone()(module)
        return [opt], [{"scheduler": torch.optim.lr_scheduler.StepLR(opt, 1), "interval": "step"}]

    message = r"^group 0: lr is .*, but this optimizer's schedule says .*: another scheduler or code writes lr\. Pass"
    with pytest.raises(RuntimeError, match=message):
        trainer(tmp_path).fit(Module(both), datamodule=Data())
    with pytest.raises(ValueError, match=r"^this optimizer has a schedule of its own: use `opt.as_scheduler\(\)`, or"):
        ours.config(alone()(Module()), TEXT)


def test_the_tuner_asks_for_an_optimizer_without_schedule(tmp_path: Path) -> None:
    def find(configure: Callable[[Any], Any]) -> Any:
        module = Module(configure)
        module.lr = LR  # where Lightning would put what it finds
        tuner = L.pytorch.tuner.Tuner(trainer(tmp_path, max_epochs=9))
        return tuner.lr_find(module, datamodule=Data(), num_training=20, min_lr=1e-4, max_lr=1.0).results["lr"]

    with pytest.raises(RuntimeError, match="another scheduler or code writes lr"):
        find(alone())
    without = find(lambda module: lrdsl.AdamW(module.net.parameters(), lr=LR))
    assert without == find(lambda module: torch.optim.AdamW(module.net.parameters(), lr=LR))


class Manual(Module):
    """The same, with the loop in its own hands."""

    def __init__(self, configure: Callable[[Any], Any]) -> None:
        super().__init__(configure)
        self.automatic_optimization = False

    def training_step(self, batch: Any, index: int) -> None:
        opt, sch = self.optimizers(), self.lr_schedulers()
        opt.zero_grad()
        self.manual_backward(super().training_step(batch, index))
        opt.step()
        if sch is not None:
            sch.step()


@pytest.mark.works("Lightning", "manual optimization")
@pytest.mark.parametrize("way", WAYS)
def test_manual_optimization(way: str, tmp_path: Path) -> None:
    module = Manual(WAYS[way](TEXT))
    trainer(tmp_path).fit(module, datamodule=Data())
    assert module.used == CURVE[:16]
    assert logged(tmp_path) == {step: {rate} for step, rate in enumerate(CURVE[:16])}
    assert same(module.net.state_dict(), without(way))


@pytest.mark.works("Lightning", "manual optimization")
def test_the_wrapper_of_manual_optimization(tmp_path: Path) -> None:
    class Wilful(Module):
        def __init__(self, configure: Callable[[Any], Any]) -> None:
            super().__init__(configure)
            self.automatic_optimization = False

        def training_step(self, batch: Any, index: int) -> None:
            wrapper: Any = self.optimizers()
            if self.global_step == 8:
                wrapper.reschedule("linear(4)", branch=True)
            if self.global_step == 10:
                wrapper.set_clock(9)
            wrapper.zero_grad()
            self.manual_backward(super().training_step(batch, index))
            wrapper.step()
            assert wrapper.clock == wrapper.optimizer.clock

    module = Wilful(alone())
    trainer(tmp_path, max_epochs=3).fit(module, datamodule=Data())
    from_there = [CURVE[8] * (4 - t) / 4 for t in (0, 1, 1, 2)]
    assert module.used == pytest.approx([*CURVE[:8], *from_there], rel=1e-15)


@pytest.mark.works("Lightning", "Fabric: `setup(model, optimizer)`")
def test_fabric() -> None:
    net = network()
    optimizer = lrdsl.AdamW(net.parameters(), lr=LR, schedule=PLATEAU)
    fabric = L.Fabric(accelerator="cpu", devices=1)
    model, wrapper = fabric.setup(net, optimizer)
    used = []
    for epoch in range(4):
        for batch in BATCHES:
            used.append(wrapper.param_groups[0]["lr"])
            fabric.backward(model(batch).square().mean())
            wrapper.step()
            wrapper.zero_grad()
        wrapper.observe(1.0)
        assert wrapper.clock == optimizer.clock == 4 * (epoch + 1)
    assert used == CUT
    assert wrapper.as_scheduler().optimizer is optimizer
    assert [rate for _, _, rate in wrapper.lr_history().tolist()] == CUT
    wrapper.set_clock(0)
    assert optimizer.clock == 0


@pytest.mark.works("Lightning", "16-bit: an update that the scaler skips does not count")
@pytest.mark.parametrize("way", WAYS)
def test_skipped_updates(way: str, tmp_path: Path) -> None:
    class Overflowing(Module):
        def training_step(self, batch: Any, index: int) -> Any:
            loss = super().training_step(batch, index)
            return loss * float("inf") if self.trainer.global_step == 5 else loss

    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    plugin = L.pytorch.plugins.MixedPrecision("16-mixed", "cpu", scaler)
    module = Overflowing(WAYS[way](TEXT))
    trainer(tmp_path, plugins=[plugin]).fit(module, datamodule=Data())
    # Lightning steps a scheduler also after an update that was skipped.
    expected = CURVE[:16] if way == "config" else [*CURVE[:6], *CURVE[5:15]]
    assert module.used == expected
    assert logged(tmp_path) == {step: {rate} for step, rate in enumerate(expected)}
    if way != "config":
        (optimizer,) = module.trainer.optimizers
        assert (optimizer.clock, optimizer.skipped) == (15, 1)


def test_16_bit_clipping_is_the_optimizers(tmp_path: Path) -> None:
    plugin = L.pytorch.plugins.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=4.0))
    with pytest.raises(RuntimeError, match="does not allow for gradient clipping"):
        trainer(tmp_path, plugins=[plugin], gradient_clip_val=0.1).fit(Module(alone()), datamodule=Data())
    module = Module(alone(max_grad_norm=0.1))
    trainer(tmp_path, plugins=[plugin]).fit(module, datamodule=Data())
    assert module.used == CURVE[:16]


# --- metrics --------------------------------------------------------------------------------------------------------


@pytest.mark.works("Lightning", "warm-up and plateau in one run: `MetricCallback`")
@pytest.mark.parametrize("way", WAYS)
def test_warmup_and_plateau_in_one_run(way: str, tmp_path: Path) -> None:
    module = Module(WAYS[way](PLATEAU))
    trainer(tmp_path, ours.MetricCallback("val_loss")).fit(module, datamodule=Data())  # sanity check included
    assert module.used == CUT
    assert logged(tmp_path) == {step: {rate} for step, rate in enumerate(CUT)}


@pytest.mark.parametrize(
    ("options", "cut"),
    [({"check_val_every_n_epoch": 2, "max_epochs": 8}, 24), ({"val_check_interval": 2}, 6)],
    ids=["every second epoch", "twice an epoch"],
)
def test_one_report_for_each_validation(options: dict[str, Any], cut: int, tmp_path: Path) -> None:
    module = Module(alone(PLATEAU.replace("patience=1", "patience=1, cooldown=9")))
    trainer(tmp_path, ours.MetricCallback(), **options).fit(module, datamodule=Data())
    assert module.used[3:cut] == [LR] * (cut - 3)
    assert set(module.used[cut:]) == {LR / 2}


def test_metrics_of_training(tmp_path: Path) -> None:
    class Training(Module):
        def training_step(self, batch: Any, index: int) -> Any:
            self.log("train_loss", 1.0, on_epoch=True)
            return super().training_step(batch, index)

    module = Training(alone(PLATEAU.replace("plateau(", "plateau(metric=train, ")))
    trainer(tmp_path, ours.MetricCallback("train_loss", as_="train"), limit_val_batches=0).fit(
        module, datamodule=Data()
    )
    assert module.used == CUT


@pytest.mark.parametrize("way", WAYS)
def test_nobody_listens(way: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"^no schedule listens to loss: drop MetricCallback\(as_='loss'\)") as caught:
        trainer(tmp_path, ours.MetricCallback()).fit(Module(WAYS[way](TEXT)), datamodule=Data())
    assert type(caught.value).__name__ == "MisconfigurationException"


def test_a_monitor_belongs_to_the_callback() -> None:
    optimizer = torch.optim.SGD(network().parameters(), lr=LR)
    with pytest.raises(TypeError, match=r"^config takes no monitor: give the Trainer MetricCallback\('val_loss'\)"):
        ours.config(optimizer, PLATEAU, monitor="val_loss")


def test_a_metric_that_is_not_logged(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"^accuracy was not logged: write self.log\('accuracy', ...\)$"):
        trainer(tmp_path, ours.MetricCallback("accuracy")).fit(Module(alone(PLATEAU)), datamodule=Data())


def test_a_metric_that_never_arrives(tmp_path: Path) -> None:
    module = Module(alone(PLATEAU, total_steps=16))
    with pytest.warns(RuntimeWarning, match=r"^no `loss` was reported before update 15, so `plateau` could do nothing"):
        trainer(tmp_path).fit(module, datamodule=Data())
    assert module.used == [*CUT[:3], *[LR] * 13]


def test_ranks_report_their_mean(tmp_path: Path) -> None:
    heard = []

    class Rank(Module):
        def on_train_start(self) -> None:
            self.trainer.strategy.reduce = lambda value, reduce_op: (value + 3.0) / 2  # another rank has 3
            (opt,) = self.trainer.optimizers
            opt.observe = lambda value, metric: heard.append((float(value), metric))

    options = {"max_epochs": 1, "num_sanity_val_steps": 0}
    trainer(tmp_path, ours.MetricCallback(), **options).fit(module := Rank(alone(PLATEAU)), datamodule=Data())
    assert heard == [(2.0, "loss")]
    assert float(module.trainer.callback_metrics["val_loss"]) == 1.0


class Differing(Module):
    """Better and better in the first process; the mean over both is not."""

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", 1.0 - 0.1 * self.current_epoch + 0.4 * self.global_rank * self.current_epoch)


def of_two(way: str, where: str) -> Any:
    """A run in one of two processes."""
    rank = str(torch.distributed.get_rank())
    names = {"LOCAL_RANK": rank, "RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    with patch.dict("os.environ", names):
        module = Differing(WAYS[way](PLATEAU.replace("patience=1", "patience=0, cooldown=9")))
        options = {"devices": 2, "strategy": "ddp", "use_distributed_sampler": False, "max_epochs": 3}
        trainer(Path(where) / rank, ours.MetricCallback(), **options).fit(module, datamodule=Data())
    return module.trainer.world_size, module.used, [p.tolist() for p in module.net.parameters()]


@pytest.mark.works("Lightning", "2 processes: one curve, a metric is their mean")
@pytest.mark.parametrize("way", WAYS)
def test_two_processes(way: str, processes: Pool, tmp_path: Path) -> None:
    (size, used, weights), other = processes.run(of_two, way, str(tmp_path))
    assert size == 2 and used == [0.0, LR / 3, LR * 2 / 3, *[LR] * 5, *[LR / 2] * 4]
    assert (size, used, weights) == other


# --- checkpoints ----------------------------------------------------------------------------------------------------


@pytest.mark.works("Lightning", "resume from a checkpoint: 0 difference")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", [TEXT, PLATEAU], ids=["plain", "plateau"])
@pytest.mark.parametrize("epochs", [1, 2, 3])
@pytest.mark.parametrize("at_epoch_end", [False, True], ids=["after validation", "after the epoch"])
def test_resume(way: str, text: str, epochs: int, at_epoch_end: bool, tmp_path: Path) -> None:
    metrics = [ours.MetricCallback()] if text == PLATEAU else []
    whole, cut, resumed = (Module(WAYS[way](text)) for _ in range(3))
    trainer(tmp_path, *metrics).fit(whole, datamodule=Data())
    saver = L.pytorch.callbacks.ModelCheckpoint(tmp_path, "cut", save_on_train_epoch_end=at_epoch_end)
    trainer(tmp_path, saver, *metrics, max_epochs=epochs, enable_checkpointing=True).fit(cut, datamodule=Data())
    trainer(tmp_path, *metrics).fit(resumed, datamodule=Data(), ckpt_path=tmp_path / "cut.ckpt", weights_only=True)
    assert cut.used + resumed.used == whole.used == (CURVE[:16] if text == TEXT else CUT)
    assert same(whole.net.state_dict(), resumed.net.state_dict())
    assert logged(tmp_path) == {step: {rate} for step, rate in enumerate(whole.used) if step >= 4 * epochs}


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_text(way: str, tmp_path: Path) -> None:
    fitted = trainer(tmp_path, max_epochs=1)
    fitted.fit(Module(WAYS[way](TEXT)), datamodule=Data())
    fitted.save_checkpoint(tmp_path / "cut.ckpt")
    with pytest.raises(lrdsl.ScheduleError, match="E0802: the saved schedule is a different one") as caught:
        trainer(tmp_path).fit(Module(WAYS[way]("hold()")), datamodule=Data(), ckpt_path=tmp_path / "cut.ckpt")
    assert TEXT in str(caught.value)


# --- command line ---------------------------------------------------------------------------------------------------

YAML = """
seed_everything: 1
trainer:
  max_epochs: 4
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
  enable_checkpointing: false
  log_every_n_steps: 1
  logger:
    class_path: lightning.pytorch.loggers.CSVLogger
    init_args: {{save_dir: {where}, name: "", version: ""}}
  callbacks:
    - class_path: lightning.pytorch.callbacks.LearningRateMonitor
      init_args: {{logging_interval: step}}
    - class_path: lrdsl.integrations.lightning.MetricCallback
      init_args: {{monitor: val_loss}}
"""
OWN = """
optimizer:
  class_path: lrdsl.AdamW
  init_args: {{lr: 0.5, schedule: "{text}"}}
"""
ADAPTER = """
optimizer:
  class_path: torch.optim.SGD
  init_args: {{lr: 0.5}}
lr_scheduler:
  class_path: lrdsl.LRScheduler
  init_args: {{text: "{text}"}}
"""


@pytest.mark.works("Lightning", "LightningCLI: texts in YAML and on the command line")
@pytest.mark.parametrize(
    ("part", "key"),
    [(OWN, "optimizer.init_args.schedule"), (ADAPTER, "lr_scheduler.init_args.text")],
    ids=["optimizer", "adapter"],
)
@pytest.mark.parametrize("override", [False, True], ids=["file", "command line"])
def test_command_line(part: str, key: str, override: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.chdir(tmp_path)
    text = "linear(9) | plateau()" if override else PLATEAU
    (tmp_path / "train.yaml").write_text((YAML + part).format(where=tmp_path, text=text))
    args = ["fit", "--config", "train.yaml", *([f"--{key}", PLATEAU] if override else [])]
    cli = paste("lightning.md", 2, Model=Module, Data=Data, args=args)["cli"]
    assert cli.model.used == CUT
    assert logged(tmp_path) == {step: {rate} for step, rate in enumerate(CUT)}
    # What the CLI saves beside the log is a configuration that gives the same run.
    (tmp_path / "config.yaml").rename("again.yaml")
    again = paste("lightning.md", 2, Model=Module, Data=Data, args=["fit", "--config", "again.yaml"])["cli"]
    assert again.model.used == CUT


@pytest.mark.parametrize("index", [0, 1])
def test_the_pages_yaml(index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.chdir(tmp_path)
    page = (PAGES / "lightning.md").read_text("utf-8")
    (tmp_path / "train.yaml").write_text(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[index])
    options = {**QUIET, "max_epochs": 3, "enable_checkpointing": False}
    args = ["fit", "--config", "train.yaml", *(f"--trainer.{key}={value}" for key, value in options.items())]
    cli = paste("lightning.md", 2, Model=Module, Data=Data, args=args)["cli"]
    expected = [t / 3 if t < 3 else (1 + math.cos(math.pi * (t - 3) / 7)) / 2 for t in range(10)]
    assert cli.model.used == pytest.approx([*expected, 0, 0], rel=1e-15, abs=1e-16)


def test_command_line_with_torchs_plateau(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py"])
    model, optimizer = Module(), torch.optim.SGD(network().parameters(), lr=LR)
    reduce = cli_module.ReduceLROnPlateau(optimizer, "val_loss")
    for given in (None, reduce):
        expected = cli_module.LightningCLI.configure_optimizers(model, optimizer, given)
        assert ours.StepCLI.configure_optimizers(model, optimizer, given) == expected


# --- what is pasted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1])
def test_the_page(index: int, tmp_path: Path) -> None:
    options = {**QUIET, "logger": False, "enable_checkpointing": False, "default_root_dir": tmp_path}
    names = paste(
        "lightning.md",
        index,
        Network=Module,
        options=options,
        train_set=Data().train_dataloader(),
        validation_set=Data().val_dataloader(),
    )
    model = names["Model"]() if index else names["model"]
    if index:
        trainer(tmp_path).fit(model, datamodule=Data())
    text, base = ("warmup(3) >> cosine(rest)", 0.1) if index else ("warmup(3%) >> cosine(rest)", 3e-4)
    curve = lrdsl.compile(text, base_lr=base, total_steps=16).lrs(range(16)).tolist()
    assert model.used[:12] == curve[:12]
    assert model.used[12:] == [rate if index else rate / 2 for rate in curve[12:]]
