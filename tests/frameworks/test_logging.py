"""Rates in TensorBoard, Weights & Biases and MLflow: read back they are the rates used, and nothing waits for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import paste

torch = need("torch")

import lrdsl  # noqa: E402
from tests.devices import EMULATED  # noqa: E402

TEXT = "warmup(3) >> linear(17)"
CURVE = [0.3 * (t / 3) if t < 3 else 0.3 * ((20 - t) / 17) for t in range(20)]
READING = ("item", "tolist", "numpy", "cpu", "__float__", "__int__", "__bool__", "__index__", "__array__")
BACKENDS = [
    "python",
    "native",
    pytest.param("emulated", marks=pytest.mark.skipif(bool(EMULATED.obstacle()), reason=EMULATED.obstacle())),
]


class Run:
    """A parameter whose updates show the rate that was really used: without gradients to speak of, p becomes -lr."""

    def __init__(self, backend: str = "native") -> None:
        self.p = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.opt = lrdsl.SGD([self.p], lr=0.3, schedule=TEXT, backend=backend)
        self._moved: list[Any] = []
        self.p.grad = torch.ones_like(self.p)
        with self.opt.rehearsal():
            self.opt.step()  # makes a device's tables, which waits
        self.opt.zero_grad()

    def loss(self, model: Any, batch: Any) -> Any:
        self.look()
        return self.p.sum()

    def look(self) -> None:
        with torch.no_grad():
            self._moved.append(-self.p)
            self.p.zero_()

    @property
    def used(self) -> list[float]:
        """The rate of every step so far."""
        self.look()
        return [float(moved) for moved in self._moved[1:]]

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Nobody may look into a tensor, and nothing may wait for the device."""

        def refuse(*arguments: Any, **options: Any) -> Any:
            raise AssertionError("somebody looked into a tensor")

        patches = [patch.object(torch.Tensor, name, refuse) for name in READING]
        with EMULATED.watched() as seen:
            for each in patches:
                each.start()
            try:
                yield
            finally:
                for each in patches:
                    each.stop()
        assert not seen.waits

    def paste(self, index: int, **given: Any) -> dict[str, Any]:
        """Run a block of the page, for as many steps as the curve has."""
        with self.unread():
            names = paste("logging.md", index, opt=self.opt, model=None, loss=self.loss, batches=range(20), **given)
        assert self.used == CURVE
        return names


def test_looking_is_noticed() -> None:
    run = Run()
    with pytest.raises(AssertionError, match="looked"), run.unread():
        float(run.p)


@pytest.mark.works("TensorBoard", "the logged rate is the rate used, nothing waits for it")
@pytest.mark.parametrize("backend", BACKENDS)
def test_tensorboard(backend: str, tmp_path: Path) -> None:
    need("tensorboard")
    events = need("tensorboard.backend.event_processing.event_accumulator")
    Run(backend).paste(0, folder=tmp_path)
    found = events.EventAccumulator(str(tmp_path)).Reload()
    rounded = torch.tensor(CURVE, dtype=torch.float32).tolist()
    assert [(event.step, event.value) for event in found.Scalars("lr")] == list(enumerate(rounded))
    (text,) = found.Tensors("schedule/text_summary")
    assert text.tensor_proto.string_val == [TEXT.encode()]


def test_tensorboard_in_double_precision(tmp_path: Path) -> None:
    need("tensorboard")
    events = need("tensorboard.backend.event_processing.event_accumulator")
    run, writer = Run(), need("torch.utils.tensorboard").SummaryWriter(tmp_path)
    with run.unread():
        for step in range(20):
            run.loss(None, None).backward()
            writer.add_scalar("lr", run.opt.param_groups[0]["lr"], step, new_style=True, double_precision=True)
            run.opt.step()
            run.opt.zero_grad()
    writer.close()
    found = events.EventAccumulator(str(tmp_path), {"tensors": 0}).Reload()  # all of them
    assert [event.tensor_proto.double_val[0] for event in found.Tensors("lr")] == run.used == CURVE


def wandb_records(file: Path) -> Iterator[Any]:
    """What a run wrote: after 7 bytes, blocks of 32768 bytes with pieces of records (checksum, length, kind)."""
    record = need("wandb.proto.wandb_internal_pb2").Record
    data, at, collected = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        collected += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield record.FromString(collected)
            collected = b""


@pytest.mark.works("Weights & Biases", "offline: the logged rate is the rate used, nothing waits for it")
@pytest.mark.parametrize("backend", BACKENDS)
def test_wandb(backend: str, tmp_path: Path) -> None:
    wandb = need("wandb")
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
    Run(backend).paste(1, options={"mode": "offline", "dir": tmp_path, "settings": settings})
    wandb.teardown()  # only then all is in the file
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    rates, config = {}, {}
    for record in wandb_records(file):
        kept = {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        if kept:
            rates[kept["_step"]] = kept["lr"]
        config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    assert rates == dict(enumerate(CURVE))
    assert config["schedule"] == TEXT


@pytest.mark.works("MLflow", "file store: the logged rate is the rate used, nothing waits for it")
@pytest.mark.parametrize("backend", BACKENDS)
def test_mlflow(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = need("mlflow")
    mlflow.set_tracking_uri(tmp_path.as_uri())
    mlflow.set_experiment("rates")
    try:
        run = Run(backend).paste(2)["run"]
        client = mlflow.MlflowClient()
        found = client.get_metric_history(run.info.run_id, "lr")
        assert [(metric.step, metric.value) for metric in found] == list(enumerate(CURVE))
        assert client.get_run(run.info.run_id).data.params == {"schedule": TEXT}
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.works("TensorBoard", "`lr_history()` and `as_scheduler().get_last_lr()` are the rates used")
@pytest.mark.parametrize("backend", BACKENDS)
def test_other_places_to_read_a_rate(backend: str) -> None:
    run, read = Run(backend), []
    sch = run.opt.as_scheduler()
    with run.unread():
        for _ in range(20):
            run.loss(None, None).backward()
            run.opt.step()
            read += sch.get_last_lr()
            sch.step()
            run.opt.lr_history()
            run.opt.zero_grad()
    assert run.used == read == CURVE
    run.opt.sync()
    assert run.opt.lr_history().tolist() == [(step, 0, rate) for step, rate in enumerate(CURVE)]


def test_the_adapter(tmp_path: Path) -> None:
    """Beside torch's optimizer, with a tensor for a rate: `get_last_lr` has numbers all the same."""
    run, read = Run(), []
    run.opt = torch.optim.SGD([run.p], lr=torch.tensor(0.3, dtype=torch.float64))
    sch = lrdsl.LRScheduler(run.opt, TEXT)
    for _ in range(20):
        run.loss(None, None).backward()
        read += sch.get_last_lr()
        run.opt.step()
        with run.unread():
            sch.step()
            assert type(sch.get_last_lr()[0]) is float
        run.opt.zero_grad()
    assert run.used == read == CURVE
