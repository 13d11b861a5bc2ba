"""Examples in the docstrings of the helpers run, where their frameworks are installed."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

from lrdsl import integrations


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(integrations.__path__)])
def test_examples(name: str) -> None:
    try:
        module = importlib.import_module(f"lrdsl.integrations.{name}")
    except ImportError as error:
        if not str(error).startswith("this needs "):
            raise  # a helper that is broken, not one whose framework is missing
        pytest.skip(f"not run: {error}")
    failed, _ = doctest.testmod(module)
    assert failed == 0
