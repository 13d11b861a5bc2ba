"""A framework that is too old, or missing: one sentence that says what to install."""

from __future__ import annotations

from importlib import metadata

import pytest

from lrdsl.integrations import versions


@pytest.mark.parametrize(
    ("installed", "fits"), [("5.23.0", True), ("5.9.1", False), ("6.0.0rc1", True), ("5.23.0+cpu", True), ("4", False)]
)
def test_versions_are_compared_by_number(installed: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "version", lambda package: installed)
    if fits:
        versions.require("transformers", "5.23")
        return
    with pytest.raises(ImportError) as caught:
        versions.require("transformers", "5.23")
    assert str(caught.value) == (
        f"this needs transformers 5.23 or newer, and {installed} is installed: pip install 'transformers>=5.23'"
    )


def test_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(versions, "version", missing)
    with pytest.raises(ImportError, match=r"^this needs optuna: pip install 'optuna>=5.0'$"):
        versions.require("optuna", "5.0")
