"""lark's parse tables, generated into ``tables.json`` so that start-up stays short.

Building them from the grammar takes 0.2 s, loading them a few milliseconds. The file records the hash of the grammar
and the version of lark; with another grammar or another lark the parser is built from the grammar instead.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark

_PACKAGE = Path(__file__).resolve().parent.parent
_OPTIONS: dict[str, Any] = {"parser": "lalr", "lexer": "basic"}
_SHIFT = 0


def path() -> Path:
    """Where the generated tables are."""
    return Path(__file__).with_name("tables.json")


def grammar() -> str:
    """The grammar's text: inside an installed package, else beside it in the source tree.

    The file is found, not imported: ``lrdsl.grammars`` is no package in an editable install.
    """
    candidates = [folder / "grammars" / "schedule.lark" for folder in (_PACKAGE, _PACKAGE.parent)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.read_text(encoding="utf-8")
    raise FileNotFoundError("the grammar of lrdsl is missing; looked for " + " and ".join(map(str, candidates)))


def generate() -> str:
    """What ``tables.json`` should contain, the same in every process."""
    from lark import Lark

    buffer = io.BytesIO()
    Lark(grammar(), **_OPTIONS).save(buffer)
    saved = pickle.loads(buffer.getvalue())  # plain dicts, lists, strings and numbers
    frontend = saved["data"]["parser"]
    frontend["parser"] = _renumbered(frontend["parser"])
    return json.dumps({"stamp": _stamp(), **saved}, separators=(",", ":")) + "\n"


def load(builder: object) -> Lark:
    """The parser, calling ``builder`` for every rule and terminal it has a method for."""
    from lark import Lark

    try:
        saved = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        saved = {}
    if saved.get("stamp") != _stamp():
        return Lark(grammar(), transformer=builder, **_OPTIONS)
    table = saved["data"]["parser"]["parser"]
    table["states"] = dict(enumerate(table["states"]))
    memo = {int(key): value for key, value in saved["memo"].items()}  # JSON made them strings
    # What lark's stand-alone parsers call; the stamp makes sure that it is the lark which wrote the tables.
    load_from_dict: Callable[..., Lark] = Lark._load_from_dict
    return load_from_dict(saved["data"], memo, transformer=builder)


def _stamp() -> dict[str, str]:
    """What the tables depend on."""
    import lark

    digest = hashlib.sha256(grammar().encode()).hexdigest()
    return {"grammar": digest, "lark": lark.__version__, "options": json.dumps(_OPTIONS)}


def _renumbered(table: dict[str, Any]) -> dict[str, Any]:
    """The same parse table with tokens by name and states in the order they are reached by name.

    lark numbers both in the order of its sets, which changes from run to run.
    """
    names = table["tokens"]
    rows = {
        state: sorted((names[token], action, to) for token, (action, to) in row.items())
        for state, row in table["states"].items()
    }
    order = list(table["start_states"].values())
    for state in order:
        order += [to for _, action, to in rows[state] if action == _SHIFT and to not in order]
    number = {state: index for index, state in enumerate(order)}
    return {
        "tokens": {name: name for name in sorted(names.values())},
        "states": [
            {name: (action, number[to] if action == _SHIFT else to) for name, action, to in rows[state]}
            for state in order
        ],
        "start_states": {rule: number[state] for rule, state in table["start_states"].items()},
        "end_states": {rule: number[state] for rule, state in table["end_states"].items()},
    }
