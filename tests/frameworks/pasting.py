"""What a user pastes from a page of docs/frameworks, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parents[2] / "docs" / "frameworks"
LONGEST = 15
"""Lines that a page may ask to be pasted."""


def block(page: str, index: int = 0) -> str:
    """One of the blocks marked ``<!-- paste -->``."""
    blocks = re.findall(r"<!-- paste -->\n```python\n(.*?)```", (PAGES / page).read_text("utf-8"), re.DOTALL)
    code: str = blocks[index]
    assert len(code.splitlines()) <= LONGEST, f"{page}: nobody pastes {len(code.splitlines())} lines"
    return code


def paste(page: str, index: int = 0, **given: Any) -> dict[str, Any]:
    """Run a block with these names around it; gives all the names there are afterwards.

    Args:
        page: File in docs/frameworks.
        index: Which block of the page.
        **given: What the page takes for granted: ``model=``, ``train_set=`` and the like.
    """
    names = dict(given)
    exec(compile(block(page, index), page, "exec"), names)
    return names
