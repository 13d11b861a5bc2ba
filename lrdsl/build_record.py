"""What the installation recorded about the native modules, for ``lrdsl doctor`` and for error messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("_build.json")


def record() -> dict[str, Any] | None:
    """Return what ``setup.py`` wrote into ``lrdsl/_build.json``; ``None`` if it never ran (a bare source tree).

    ``state`` is ``built``, ``failed`` or ``off``. A built one names ``compiler``, ``cmake``, ``flags``, ``isas`` and
    ``openmp``; of the others ``what`` was tried and ``why`` there is no module, with the end of the ``log``. Under
    ``cuda`` there is the same about the CUDA module.
    """
    try:
        found: dict[str, Any] = json.loads(_FILE.read_text())
    except (OSError, ValueError):
        return None
    return found


def cuda() -> dict[str, Any] | None:
    """Return the record's part about the CUDA module; ``None`` if nobody wrote one.

    ``state`` is ``built``, ``failed``, ``off``, or ``absent`` where there was nothing to build with. ``nvcc``,
    ``toolkit`` (its version) and ``architectures`` say what was used, or was to be.
    """
    found: dict[str, Any] | None = (record() or {}).get("cuda")
    return found
