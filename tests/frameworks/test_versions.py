"""A framework that is too old, or missing: one sentence that says what to install."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from lrdsl import versions


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


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("hf", "transformers"),
        ("lightning", "lightning"),
        ("optuna", "optuna"),
        ("pydantic", "pydantic"),
        ("pygments", "pygments"),
    ],
)
def test_every_integration_looks_before_it_imports(module: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "version", lambda package: "0.1")
    monkeypatch.delitem(sys.modules, f"lrdsl.integrations.{module}", raising=False)
    with pytest.raises(ImportError, match=f"^this needs {package} .* or newer, and 0.1 is installed: pip install"):
        importlib.import_module(f"lrdsl.integrations.{module}")


def test_torch_is_looked_at_as_it_was_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("__version__ = '2.4.1'\n")
    script = "import lrdsl\ntry: lrdsl.AdamW\nexcept ImportError as error: print(error)"
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "this needs torch 2.13 or newer, and 2.4.1 is installed: pip install 'torch>=2.13'\n"
