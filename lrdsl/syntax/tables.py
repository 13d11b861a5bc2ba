"""The parse tables, made from the grammar by lark and kept in ``tables.json``.

Making them takes lark and 0.2 s, reading them a few milliseconds. The file records the hash of the grammar;
with another grammar they are made anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent.parent
_OPTIONS: dict[str, Any] = {"parser": "lalr", "lexer": "basic"}
_SHIFT = 0
END = "$END"
"""The symbol after the last word."""
ROOT = "start"
"""The symbol of a whole text."""
ABSENT = -1
"""Stands in a rule's children for an optional symbol that is not there."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens where the symbols of one rule of the grammar have been read.

    Attributes:
        origin: The symbol that they become.
        size: How many symbols.
        name: The builder's method; empty if the only symbol stands for the whole. A repetition, ``(...)*`` in rule r,
            has the method ``more_r``, which is given all items so far.
        children: The positions of the symbols that it gets; `ABSENT`; or in a list, that of a repetition: its items.
    """

    origin: str
    size: int
    name: str
    children: list[Any]


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything a parser needs.

    Attributes:
        words: Kinds of word with their patterns, in the order they are tried.
        ignored: Kinds that are skipped.
        keywords: Names that are words of their own kind.
        rules: The rules of the grammar.
        rows: For every state, what a symbol leads to: the next state, or ``~rule`` to reduce.
    """

    words: list[tuple[str, str]]
    ignored: list[str]
    keywords: dict[str, str]
    rules: list[Rule]
    rows: list[dict[str, int]]


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


def load() -> Tables:
    """The tables: those in the file if they belong to the grammar, else fresh ones."""
    try:
        saved = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        saved = {}
    if saved.get("grammar") != _digest():
        saved = json.loads(generate())
    del saved["grammar"]
    return Tables(**{**saved, "rules": [Rule(*rule) for rule in saved["rules"]]})


def generate() -> str:
    """What ``tables.json`` should contain, the same in every process."""
    from lark import Lark

    buffer = io.BytesIO()
    Lark(grammar(), **_OPTIONS).save(buffer)
    saved = pickle.loads(buffer.getvalue())  # plain dicts, lists, strings and numbers
    terminals = [entry for entry in saved["memo"].values() if entry["__type__"] == "TerminalDef"]
    words, keywords = _words(terminals)
    order = [entry for entry in saved["memo"].values() if entry["__type__"] == "Rule"]
    number = {key: order.index(entry) for key, entry in saved["memo"].items() if entry["__type__"] == "Rule"}
    frontend = saved["data"]["parser"]
    tables = {
        "grammar": _digest(),
        "words": words,
        "ignored": frontend["lexer_conf"]["ignore"],
        "keywords": keywords,
        "rules": [_rule(entry) for entry in order],
        "rows": _rows(frontend["parser"], number),
    }
    return json.dumps(tables, separators=(",", ":")) + "\n"


def _digest() -> str:
    return hashlib.sha256(grammar().encode()).hexdigest()


def _words(terminals: list[dict[str, Any]]) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Patterns in lark's order (the longest possible match first), and the words that are also names."""
    ranked = []
    for terminal in terminals:
        value, literal = terminal["pattern"]["value"], terminal["pattern"]["__type__"] == "PatternStr"
        widest = len(value) if literal else terminal["pattern"]["_width"][1]
        ranked.append((-widest, -len(value), terminal["name"], re.escape(value) if literal else value, literal))
    named = next(re.compile(pattern) for *_, name, pattern, _ in ranked if name == "NAME")
    keywords = {pattern: name for *_, name, pattern, literal in sorted(ranked) if literal and named.fullmatch(pattern)}
    return [(name, pattern) for *_, name, pattern, _ in sorted(ranked) if pattern not in keywords], keywords


def _rule(saved: dict[str, Any]) -> list[Any]:
    origin, symbols, options = saved["origin"]["name"], saved["expansion"], saved["options"]
    children: list[Any] = []
    positions = iter(range(len(symbols)))
    for absent in options["empty_indices"] or [False] * len(symbols):
        at = ABSENT if absent else next(positions)
        if absent or not symbols[at].get("filter_out"):  # punctuation is left out
            children.append([at] if not absent and symbols[at]["name"].startswith("_") else at)
    name = saved["alias"] or re.sub(r"__(\w+)_(star|plus)_\d+", r"more_\1", origin)
    if options["expand1"] and not saved["alias"] and len(symbols) == 1:
        name = ""
    return [origin, len(symbols), name, children]


def _rows(table: dict[str, Any], number: dict[int, int]) -> list[dict[str, int]]:
    """The table with symbols by name and states in the order they are reached by name.

    In lark's both are numbered in the order of its sets, which changes from run to run.
    """
    names = table["tokens"]
    rows = {
        state: sorted((names[token], action, to) for token, (action, to) in row.items())
        for state, row in table["states"].items()
    }
    order = list(table["start_states"].values())
    for state in order:
        order += [to for _, action, to in rows[state] if action == _SHIFT and to not in order]
    place = {state: index for index, state in enumerate(order)}
    return [
        {name: place[to] if action == _SHIFT else ~number[to["@"]] for name, action, to in rows[state]}
        for state in order
    ]
