"""Frameworks warn of much that is not ours; their tests say what works with what."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.frameworks import works

if TYPE_CHECKING:
    from tests.frameworks.processes import Pool

HERE = Path(__file__).parent

# Nothing is downloaded, and nobody phones home.
for name, value in {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "offline",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}.items():
    os.environ.setdefault(name, value)


def pytest_addoption(parser: pytest.Parser) -> None:
    # Known where tests/frameworks is named on the command line.
    parser.addoption("--works", type=Path, metavar="FILE", help="write down which rows of README's table passed")


def pytest_configure(config: pytest.Config) -> None:
    if (file := config.getoption("--works", None)) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(works.Recorder(file))


def pytest_itemcollected(item: pytest.Item) -> None:
    works.mark(item)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # First, so that a test's own filters come after it; warnings of our own code stay errors.
            item.add_marker(pytest.mark.filterwarnings("ignore", "error:::lrdsl"), append=False)


@pytest.fixture(scope="module", autouse=True)
def _clean() -> Iterator[None]:
    """What a framework leaves lying about is found here, and not in the middle of a stricter test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="session")
def processes() -> Iterator[Pool]:
    """Two processes in a gloo group."""
    torch = pytest.importorskip("torch", reason="not run: torch is not installed")
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("not run: torch was built without gloo")
    from tests.frameworks.processes import Pool

    pool = Pool()
    yield pool
    pool.close()
