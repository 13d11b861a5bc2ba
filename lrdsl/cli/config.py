"""Schedules in config files: YAML (and so JSON) and TOML."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

SUFFIXES = (".yaml", ".yml", ".json", ".toml")
"""Files that hold entries, of which one is named by its key."""

CALL = re.compile(r"[a-z]\w*\(")
SHOWN = 12  # entries in a message

KINDS: dict[type, str] = {dict: "a mapping", list: "a list", type(None): "empty", bool: "true or false"}


def load(file: Path) -> Any:
    """The document in ``file``."""
    content = file.read_text(encoding="utf-8")
    if file.suffix == ".toml":
        import tomllib

        try:
            return tomllib.loads(content)
        except tomllib.TOMLDecodeError as error:
            raise click.UsageError(f"{file} is not TOML: {error}") from None
    import yaml

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise click.UsageError(f"{file} is not YAML: {error}") from None


def schedule(document: Any, key: str, file: Path) -> str:
    """The schedule at a key such as ``train.lr`` or ``groups.0.lr``; a number is a constant rate."""
    found, seen = document, ""
    for part in key.split("."):
        found = _entry(found, part, seen, file)
        seen = f"{seen}.{part}".lstrip(".")
    return _text(found, f"`{key}` of {file}")


def only(document: Any, file: Path) -> str:
    """The schedule that is all a file holds.

    Raises:
        click.UsageError: It holds entries; the message lists the ones that look like a schedule.
    """
    if not isinstance(document, dict | list):
        return _text(document, str(file))
    found = list(_schedules(document))
    such = f"; schedules are at {', '.join(found[:SHOWN])}" if found else ", such as train.lr"
    raise click.UsageError(f"{file} needs a --key{such}")


def _schedules(parent: Any, seen: str = "") -> Iterator[str]:
    """The keys of the entries that call a function."""
    entries = enumerate(parent) if isinstance(parent, list) else parent.items()
    for name, entry in entries:
        key = f"{seen}.{name}".lstrip(".")
        if isinstance(entry, dict | list):
            yield from _schedules(entry, key)
        elif isinstance(entry, str) and CALL.search(entry) and "." not in str(name):
            yield key


def _text(found: Any, place: str) -> str:
    number = _number(found)
    if number is not None and math.isfinite(number):
        return f"constant({repr(number).removesuffix('.0')})"
    if number is not None or not isinstance(found, str):
        kind = "not finite" if number is not None else KINDS.get(type(found), type(found).__name__)
        raise click.UsageError(f"expected a schedule at {place}; it is {kind}")
    return found


def _number(found: Any) -> float | None:
    """The number that an entry is, or is the text of: YAML 1.1 reads 1e-3, which has no point, as a string."""
    if not isinstance(found, int | float | str) or isinstance(found, bool):
        return None
    try:
        return float(found)  # which also strips
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def _entry(parent: Any, part: str, seen: str, file: Path) -> Any:
    entries = dict(enumerate(parent)) if isinstance(parent, list) else parent if isinstance(parent, dict) else {}
    for name, entry in entries.items():
        if str(name) == part:
            return entry
    names = [str(name) for name in entries]
    near = get_close_matches(part, names, 1)
    hint = (
        f"did you mean `{near[0]}`?"
        if near
        else f"there is {', '.join(names[:SHOWN])}"
        if names
        else "nothing is there"
    )
    place = f"`{seen}` in {file}" if seen else str(file)
    raise click.UsageError(f"no `{part}` under {place}; {hint}")
