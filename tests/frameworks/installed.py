"""Frameworks where they are installed; elsewhere their tests are counted as not run."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest


def need(module: str) -> Any:
    """Import a framework, whatever it warns of; skip the module that asks if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(module)
        except ImportError as error:
            if (error.name or "").split(".")[0] != module.split(".")[0]:
                raise  # it is there, and broken
            pytest.skip(f"not run: {module} is not installed", allow_module_level=True)
