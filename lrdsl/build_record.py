"""What the installation recorded about the native module, for ``lrdsl doctor`` and for error messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("_build.json")


def record() -> dict[str, Any] | None:
    """Return what ``setup.py`` wrote into ``lrdsl/_build.json``; ``None`` if it never ran (a bare source tree).

    ``state`` is ``built``, ``failed`` or ``off``. A built one names ``compiler``, ``cmake``, ``flags``, ``isas`` and
    ``openmp``; of the others ``what`` was tried and ``why`` there is no module, with the end of the ``log``.
    """
    try:
        found: dict[str, Any] = json.loads(_FILE.read_text())
    except (OSError, ValueError):
        return None
    return found
