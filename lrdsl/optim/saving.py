"""Checkpoints that are there in whole or not at all, whenever the writer dies."""

import fcntl
import os
import secrets
from contextlib import suppress
from glob import escape
from pathlib import Path
from stat import S_IMODE

import torch


def save_atomic(obj: object, path: str | os.PathLike[str]) -> None:
    """``torch.save`` such that ``path`` always holds one whole checkpoint: the one of before, or this one.

    The object is written to a hidden file beside it, which then takes its name; both are on disk when this returns. If
    that fails, what was there stays. Hidden files of writers that were killed are removed by the next call for the same
    path. Several processes may save to one path; the last one wins.

    Args:
        obj: What ``torch.save`` can write.
        path: The file; a link is followed. Its folder must exist.

    Raises:
        OSError: The file cannot be written.

    Example:
        >>> import lrdsl, tempfile, torch
        >>> opt = lrdsl.SGD([torch.nn.Parameter(torch.zeros(3))], lr=1.0, schedule="linear(4)")
        >>> opt.step()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lrdsl.save_atomic(opt.state_dict(), f"{folder}/last.pt")
        ...     saved = torch.load(f"{folder}/last.pt", weights_only=True)
        >>> saved["param_groups"][0]["schedule_step"]
        1
    """
    target = Path(os.path.realpath(path))
    _remove_abandoned(target)
    draft, descriptor = _draft(target)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with suppress(FileNotFoundError):
                os.fchmod(descriptor, S_IMODE(target.stat().st_mode))  # who may read it stays
            torch.save(obj, file)
            file.flush()
            os.fsync(descriptor)
            os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name
    finally:
        os.close(folder)


def _draft(target: Path) -> tuple[Path, int]:
    """A new hidden file, locked as long as its writer lives and has it open."""
    while True:
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return draft, descriptor
        os.close(descriptor)  # somebody took it for abandoned before it was locked


def _remove_abandoned(target: Path) -> None:
    for draft in target.parent.glob(f".{escape(target.name)}.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError):  # its writer lives, or somebody else has removed it
            descriptor = os.open(draft, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                draft.unlink()
            finally:
                os.close(descriptor)
