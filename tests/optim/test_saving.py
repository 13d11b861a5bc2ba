"""`save_atomic`: one whole file, and nothing left of what failed. Killed writers are in tests/regressions."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

import lrdsl  # noqa: E402
from lrdsl.optim import saving  # noqa: E402


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_as_torch_save(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        lrdsl.save_atomic({"weights": torch.full((3,), value)}, tmp_path / "last.pt")
        torch.save({}, tmp_path / "theirs.pt")
        assert torch.load(tmp_path / "last.pt", weights_only=True)["weights"].tolist() == [value] * 3
    assert (tmp_path / "last.pt").stat().st_mode == (tmp_path / "theirs.pt").stat().st_mode
    assert names(tmp_path) == ["last.pt", "theirs.pt"]


@pytest.mark.parametrize("moment", ["pickle", "fsync", "replace"])
def test_a_failure_changes_nothing(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lrdsl.save_atomic(1, tmp_path / "last.pt")

    def full(*args: Any) -> None:
        raise OSError("no space left")

    if moment != "pickle":
        monkeypatch.setattr(saving.os, moment, full)
    with pytest.raises((OSError, AttributeError, TypeError)):
        lrdsl.save_atomic({"open": threading.Lock()} if moment == "pickle" else 2, tmp_path / "last.pt")
    assert names(tmp_path) == ["last.pt"] and torch.load(tmp_path / "last.pt", weights_only=True) == 1


def test_on_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file first, then its name, then the folder that has the name."""
    seen = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def note_replace(*args: Any) -> None:
        seen.append("name")
        replace(*args)

    monkeypatch.setattr(saving.os, "fsync", note_sync)
    monkeypatch.setattr(saving.os, "replace", note_replace)
    lrdsl.save_atomic(1, tmp_path / "last.pt")
    assert seen == ["file", "name", "folder"]


def test_a_link_stays(tmp_path: Path) -> None:
    (tmp_path / "last.pt").symlink_to("run/step-1.pt")
    (tmp_path / "run").mkdir()
    lrdsl.save_atomic(1, tmp_path / "last.pt")
    assert (tmp_path / "last.pt").is_symlink() and names(tmp_path / "run") == ["step-1.pt"]


def test_only_abandoned_drafts_of_the_same_file_are_removed(tmp_path: Path) -> None:
    for name in (".a[1].pt.0123abcd.tmp", ".b.pt.0123abcd.tmp", ".a[1].pt.backup.tmp", ".a1.pt.0123abcd.tmp"):
        (tmp_path / name).touch()
    inner: list[list[str]] = []

    class Slow:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            lrdsl.save_atomic(2, tmp_path / "a[1].pt")  # another writer, while this one is at work
            inner.append(names(tmp_path))
            return int, ()

    lrdsl.save_atomic(Slow(), tmp_path / "a[1].pt")
    others = [".a1.pt.0123abcd.tmp", ".a[1].pt.backup.tmp", ".b.pt.0123abcd.tmp"]
    assert len(inner[0]) == 5 and {*others, "a[1].pt"} < {*inner[0]}
    assert names(tmp_path) == [*others, "a[1].pt"]
    assert torch.load(tmp_path / "a[1].pt", weights_only=False) == 0


def test_who_may_read_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    lrdsl.save_atomic({"n": 1}, path)
    path.chmod(0o600)
    lrdsl.save_atomic({"n": 2}, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and torch.load(path) == {"n": 2}
