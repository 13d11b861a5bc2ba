"""Which rows of README's table the tests of a run show: ``pytest --works FILE tests/frameworks`` writes them down."""

from __future__ import annotations

import ast
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "docs" / "frameworks" / "results.json"
PROPERTY = "works"
"""How a report, which may come from another process, tells of its test's row."""

STACKS = {
    "PyTorch": ("pytorch.md", "torch"),
    "PyTorch AMP": ("amp.md", "torch"),
    "torch.compile": ("compile.md", "torch"),
    "DDP": ("ddp.md", "torch"),
    "FSDP2": ("fsdp.md", "torch"),
    "ZeroRedundancyOptimizer": ("zero.md", "torch"),
    "Distributed Checkpoint": ("checkpoints.md", "torch"),
    "torchrun": ("torchrun.md", "torch"),
    "Transformers": ("transformers.md", "transformers"),
    "TRL": ("trl.md", "trl"),
    "Accelerate": ("accelerate.md", "accelerate"),
    "Lightning": ("lightning.md", "lightning"),
    "torchtitan": ("torchtitan.md", "torchtitan"),
    "DeepSpeed": ("deepspeed.md", "deepspeed"),
    "Optuna": ("optuna.md", "optuna"),
    "Ray Tune": ("ray.md", "ray"),
    "Hydra": ("configs.md", "hydra-core"),
    "OmegaConf": ("configs.md", "omegaconf"),
    "jsonargparse": ("configs.md", "jsonargparse"),
    "pydantic": ("pydantic.md", "pydantic"),
    "Pygments": ("pygments.md", "pygments"),
    "TensorBoard": ("logging.md", "tensorboard"),
    "Weights & Biases": ("logging.md", "wandb"),
    "MLflow": ("logging.md", "mlflow"),
}
"""Page in docs/frameworks and package of every stack, in the order of the table."""

Row = tuple[str, str]


def rows() -> list[Row]:
    """All rows that a ``@pytest.mark.works(stack, what)`` promises: read, not run, so frameworks may be missing."""
    found: dict[Row, None] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "works":
                stack, what = (ast.literal_eval(argument) for argument in node.args)
                found[stack, what] = None
    order = list(STACKS)
    return sorted(found, key=lambda row: order.index(row[0]))


class Recorder:
    """A plugin for the process that hears of all tests."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._outcomes: dict[Row, set[str]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or not report.passed:
            for name, row in report.user_properties:
                if name == PROPERTY:
                    self._outcomes.setdefault(tuple(row), set()).add(report.outcome)

    def pytest_sessionfinish(self) -> None:
        stacks: dict[str, Any] = {}
        for stack, what in rows():
            entry = stacks.setdefault(stack, {"version": version(STACKS[stack][1]), "rows": {}})
            entry["rows"][what] = verdict(self._outcomes.get((stack, what), set()))
        results = {"python": ".".join(platform.python_version_tuple()[:2]), "stacks": stacks}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(results, indent=2) + "\n", "utf-8")


def verdict(outcomes: set[str]) -> str:
    """What becomes of a row whose tests ended so."""
    return "failed" if "failed" in outcomes else "passed" if outcomes == {"passed"} else "not run"


def version(package: str) -> str | None:
    """The installed version, without the part that says which device it was built for."""
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def mark(item: pytest.Item) -> None:
    """Let the reports of a test name its rows."""
    for marker in item.iter_markers("works"):
        stack, what = marker.args
        item.user_properties.append((PROPERTY, (stack, what)))
