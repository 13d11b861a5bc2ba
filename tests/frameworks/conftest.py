"""Frameworks warn of much that is not ours; their tests say what works with what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.frameworks.processes import Pool

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # First, so that a test's own filters come after it; warnings of our own code stay errors.
            item.add_marker(pytest.mark.filterwarnings("ignore", "error:::lrdsl"), append=False)


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
