"""Options and fixtures shared by all tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples in every run, and no limit of time for one: machines are shared.
settings.register_profile("lrdsl", deadline=None, derandomize=True)
settings.load_profile("lrdsl")

NEEDS_A_GPU = ("needs", "gpu")
GPU_TESTS_ALONE = "gpu"
"""The ``-m`` of ``make gpu``: then it is said even if all ran."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a golden file, or rewrite the file under ``--update-golden``."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        assert path.is_file(), f"{path.name} is missing: run pytest with --update-golden and read what it writes"
        assert text == path.read_bytes().decode()

    return check


@pytest.fixture(params=["emulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Any:
    """Every device that steps by itself, in turn."""
    pytest.importorskip("torch", reason="not run: torch is not installed")
    from tests.devices import DEVICES

    found = DEVICES[request.param]
    if why := found.obstacle():
        pytest.skip(why)
    return found


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the report of a test say that it needs a GPU: `keywords` has the names of folders as well."""
    if item.get_closest_marker("gpu"):
        item.user_properties.append(NEEDS_A_GPU)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how many tests that need a GPU were not run, and why."""

    def those(*kinds: str) -> list[Any]:
        found = [report for kind in kinds for report in terminalreporter.stats.get(kind, [])]
        # A module that is skipped whole has a report without properties.
        return [report for report in found if NEEDS_A_GPU in map(tuple, getattr(report, "user_properties", ()))]

    skipped, ran = those("skipped"), len(those("passed", "failed"))
    if not skipped and config.getoption("markexpr", "") != GPU_TESTS_ALONE:
        return
    terminalreporter.write_sep("=", "tests on a GPU")
    terminalreporter.write_line(f"{ran} run, {len(skipped)} not run")
    reasons = Counter(_reason(report).removeprefix("not run: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} not run: {reason}")


def _reason(report: Any) -> str:
    """Why a test was skipped."""
    reason: str = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
