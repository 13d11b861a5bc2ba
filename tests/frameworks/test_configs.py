"""Texts through Hydra, OmegaConf and jsonargparse come back as the same Programs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.installed import need
from tests.frameworks.pasting import PAGES, block, paste
from tests.frameworks.test_places import TEXTS, programs

hydra = need("hydra")
omegaconf = need("omegaconf")
jsonargparse = need("jsonargparse")
torch = need("torch")

import lrdsl  # noqa: E402

ROOT = Path(__file__).parents[2]
SHOWN = "warmup(500) >> cosine(rest, min=1e-6) | plateau(patience=3)"
(YAML,) = re.findall(r"```yaml\n(.*?)```", (PAGES / "configs.md").read_text("utf-8"), re.DOTALL)
"""The config of the page."""

each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)


def model() -> Any:
    return torch.nn.Linear(2, 1)


# --- OmegaConf ------------------------------------------------------------------------------------------------------


@pytest.mark.works("OmegaConf", "texts in YAML files come back the same")
@each_text
def test_omegaconf_files(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"train:\n  lr: {text}\n")
    assert programs(omegaconf.OmegaConf.load(tmp_path / "config.yaml").train.lr) == programs(text)
    found = omegaconf.OmegaConf.create({"train": {"lr": text}})
    again = omegaconf.OmegaConf.create(omegaconf.OmegaConf.to_yaml(found))  # what a run saves of its config
    assert programs(again.train.lr) == programs(text)


@pytest.mark.works("OmegaConf", "`${w}` inside a text")
def test_omegaconf_interpolation_and_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(YAML)
    monkeypatch.chdir(tmp_path)
    opt = paste("configs.md", 0, model=model())["opt"]
    assert programs(opt.schedules[0].text) == programs(SHOWN)
    assert (opt.schedules[0].lr(500), opt.schedules[0].lr(10_000)) == (3e-4, 1e-6)


# --- Hydra ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    target = "optimizer:\n  _target_: lrdsl.AdamW\n  _partial_: true\n"
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text(YAML.replace("optimizer:\n", target))
    return tmp_path / "conf"


def compose(conf: Path, *overrides: str) -> Any:
    with hydra.initialize_config_dir(str(conf), version_base=None):
        return hydra.compose("config", list(overrides))


@pytest.mark.works("Hydra", "texts as overrides come back the same")
@each_text
@pytest.mark.parametrize("quote", ['"', "'"])
def test_hydra_overrides(text: str, quote: str, conf: Path) -> None:
    escaped = text.replace(quote, f"\\{quote}")
    cfg = compose(conf, f"optimizer.schedule={quote}{escaped}{quote}")
    assert programs(cfg.optimizer.schedule) == programs(text)


@pytest.mark.parametrize(
    ("override", "message"),
    [("warmup(500)", "Unknown function 'warmup'"), ("warmup(500) >> cosine(rest)", "LexerNoViableAltException")],
)
def test_hydra_without_the_inner_quotes(override: str, message: str, conf: Path) -> None:
    with pytest.raises(hydra.errors.OverrideParseException, match=re.escape(message)):
        compose(conf, f"optimizer.schedule={override}")


@pytest.mark.works("Hydra", "`instantiate` of our optimizers, from file and command line")
@pytest.mark.slow  # it starts another Python with torch
def test_hydra_from_a_command_line(conf: Path) -> None:
    """The page's script and command, through bash."""
    opt = hydra.utils.instantiate(compose(conf).optimizer)(model().parameters())
    assert programs(opt.schedules[0].text) == programs(SHOWN)

    around = "import torch\nmodel = torch.nn.Linear(2, 1)\ntrain = lambda model, opt: print(opt.schedules[0].text)\n"
    (conf.parent / "train.py").write_text(around + block("configs.md", 1))
    (command, _) = re.findall(r"```sh\npython (.*?)\n```", (PAGES / "configs.md").read_text("utf-8"))
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} {command}"],
        cwd=conf.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "warmup(500) >> cosine(rest)", done.stderr


@pytest.mark.works("Hydra", "a sweep over texts")
def test_hydra_sweep(conf: Path) -> None:
    (line,) = re.findall(r"`python train.py -m '(.*?)'`", (PAGES / "configs.md").read_text("utf-8"))
    override = need("hydra.core.override_parser.overrides_parser").OverridesParser.create().parse_override(line)
    jobs = [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]  # as Hydra's sweeper
    found = [compose(conf, job).optimizer.schedule for job in jobs]
    assert found == ["hold()", "warmup(500) >> cosine(rest)"]


# --- jsonargparse ---------------------------------------------------------------------------------------------------


@pytest.mark.works("jsonargparse", "our optimizers' options from YAML and command line")
@each_text
def test_jsonargparse_class_arguments(text: str, tmp_path: Path) -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(lrdsl.AdamW, "optimizer", skip={"params"})
    (tmp_path / "config.yaml").write_text(f"optimizer:\n  lr: 3e-4\n  schedule: {text}\n  total_steps: 20000\n")
    from_file = parser.parse_args(["--config", str(tmp_path / "config.yaml")])
    from_line = parser.parse_args(
        ["--optimizer.schedule", text, "--optimizer.lr=3e-4", "--optimizer.total_steps=20000"]
    )
    for args in (from_file, from_line):
        assert programs(args.optimizer.schedule) == programs(text)
        opt = lrdsl.AdamW(model().parameters(), **args.optimizer)
        assert programs(opt.schedules[0].text) == programs(text)
    saved = parser.parse_string(parser.dump(from_file))
    assert programs(saved.optimizer.schedule) == programs(text)


@pytest.mark.works("jsonargparse", "our optimizers by class path")
@each_text
def test_jsonargparse_class_path(text: str, tmp_path: Path) -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(torch.optim.Optimizer, "optimizer", skip={"params"}, instantiate=False)
    (tmp_path / "config.yaml").write_text(
        f"optimizer:\n  class_path: lrdsl.SGD\n  init_args:\n    lr: 3e-4\n    schedule: {text}\n"
    )
    chosen = parser.parse_args(["--config", str(tmp_path / "config.yaml")]).optimizer
    assert chosen.class_path == "lrdsl.SGD"
    assert programs(chosen.init_args.schedule) == programs(text)


def test_jsonargparse_numbers(tmp_path: Path) -> None:
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(lrdsl.AdamW, "optimizer", skip={"params"})
    args = parser.parse_object({"optimizer": {"schedule": 0.001}})
    assert programs(args.optimizer.schedule) == programs("constant(0.001)")


def test_the_page_of_jsonargparse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(YAML.partition("\n")[2].replace("${w}", "500"))
    (_, command) = re.findall(r"```sh\npython (.*?)\n```", (PAGES / "configs.md").read_text("utf-8"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    opt = paste("configs.md", 2, model=model())["opt"]
    assert programs(opt.schedules[0].text) == programs("warmup(500) >> cosine(10000)")
    assert (opt.schedules[0].lr(500), opt.clock) == (3e-4, 0)
