"""Frameworks warn of much that is not ours; their tests say what works with what."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # First, so that a test's own filters come after it; warnings of our own code stay errors.
            item.add_marker(pytest.mark.filterwarnings("ignore", "error:::lrdsl"), append=False)
