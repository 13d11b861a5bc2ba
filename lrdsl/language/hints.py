"""Did you mean ...? The nearest known word, and what other libraries call the same thing."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from difflib import get_close_matches
from functools import reduce

from lrdsl.language.foreign import CALLED, NAMES, RATES
from lrdsl.language.printer import render
from lrdsl.language.recipes import ADVICE, RECIPES
from lrdsl.syntax import tree

Given = Sequence[tuple[str, tree.Node]]
"""Arguments of a call by the name they have, which is empty if they have none."""
_SIMILARITY = 0.6
_SHORTEST_PREFIX = 3
_LONGEST = 60
_FIELD = re.compile(r"\{([^|{}]+)\|([^{}]*)\}")


def suggestion(word: str, candidates: Iterable[str], within: str = "", given: Given = ()) -> str | None:
    """A hint for a word that is not known: did you mean ...?

    Args:
        word: What was written.
        candidates: What could have been written.
        within: The function whose argument it is, if it is one.
        given: The arguments of the call; `word`'s own value is named ``value``.

    Returns:
        What another library's word means here: one of ``candidates``, a schedule that does the same, or advice. Else
        the nearest of ``candidates``, by prefix, then by spelling. None if nothing is near.

    Example:
        >>> suggestion("eta_min", ["n", "to", "from"])
        'did you mean `to`?'
        >>> suggestion("get_linear_schedule_with_warmup", ["linear", "warmup"])
        'write `warmup(500) >> linear(rest)`'
    """
    known, folded = list(candidates), word.lower()
    if rate := _rate(folded, known, within, given):
        return rate
    if ours := translated(folded, known, within):
        return f"did you mean `{ours}`?"
    if not within and (recipe := RECIPES.get(folded)):
        text, exact = filled(recipe, given)
        return f"write `{text}`" if exact else f"such as `{text}`"
    if within and (advice := ADVICE.get(f"{within}.{folded}") or ADVICE.get(folded)):
        return filled(advice, [pair for pair in given if pair[0] == "value"])[0]
    close = _near(folded, known)
    return f"did you mean `{close}`?" if close else None


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that ``word`` was probably meant to be: another library's word for it, or the nearest by spelling.

    Example:
        >>> nearest("cosin", ["cosine", "constant"])
        'cosine'
        >>> nearest("steps", ["step", "multistep"])
        'multistep'
    """
    known, folded = list(candidates), word.lower()
    return translated(folded, known) or _near(folded, known)


def filled(recipe: str, given: Given = (), *, counts: bool = True) -> tuple[str, bool]:
    """A text of the tables with the numbers of a call in its fields.

    Args:
        recipe: The text, with fields as in `foreign.RATES`.
        given: The arguments of the call.
        counts: Is a field whose default is a whole number one for steps or rounds? Then no other number fills it.

    Returns:
        The text, and whether all that was given is in it.

    Example:
        >>> filled("cycle(cosine({T_0|1000}), mult={T_mult|1})")
        ('cycle(cosine(1000), mult=1)', True)
    """
    named = {name.lower(): node for name, node in given if name}
    unnamed = [node for name, node in given if not name]
    first = next((node for node in unnamed if isinstance(node, tree.Number)), None)
    left = len(given)

    def field(match: re.Match[str]) -> str:
        nonlocal left, first
        names, default = match[1].lower().split(), match[2]
        if names[0] == "...":
            joined = _joined(names[1], unnamed)
            left = 0 if joined and not named else left
            return joined or default
        node = next((named[name] for name in names if name in named), None)
        if node is None and default.isdigit():
            node = first
        first = None  # what a second number without a name is, nobody knows
        if not isinstance(node, tree.Number) or (counts and default.isdigit() and node.value.denominator != 1):
            return default
        left -= 1
        return node.text

    return _FIELD.sub(field, recipe), not left


def _joined(op: str, nodes: Sequence[tree.Node]) -> str:
    """Schedules with ``op`` between them, or nothing if there are none or they are long."""
    if nodes and isinstance(nodes[0], tree.Items):
        nodes = nodes[0].items
    if not nodes or (len(nodes) == 1 and not isinstance(nodes[0], tree.Call)):
        return ""
    whole = tree.Then(tuple(nodes)) if op == ">>" else reduce(lambda a, b: tree.Binary(op, a, b), nodes)
    text = render(whole)
    return text if len(text) <= _LONGEST else ""


def _rate(word: str, known: list[str], within: str, given: Given) -> str | None:
    """A factor of another library as the rate that it makes of base or of the peak."""
    recipe = RATES.get(f"{within}.{word}") or RATES.get(word)
    names, _, rate = (recipe or "").partition("=")
    ours = next((name for name in names.split() if name in known), None)
    if ours is None:
        return None
    fields = {name for match in _FIELD.finditer(rate) for name in match[1].split()}
    used = [(name, node) for name, node in given if name in fields]
    plain = all(isinstance(node, tree.Number) and (name != "value" or not node.unit) for name, node in used)
    text = f"{ours}={filled(rate, used if plain else (), counts=False)[0]}"
    return f"write `{text}`" if plain else f"a rate is needed, such as `{text}`"


def translated(word: str, known: Container[str], within: str = "") -> str | None:
    """Another library's word, which comes first: ``steps`` is nearer to `step` by its letters, yet means `multistep`.

    Example:
        >>> translated("milestones", ["at", "gamma"])
        'at'
    """
    meanings = CALLED.get(f"{within}.{word}") or NAMES.get(word, "")
    return next((name for name in meanings.split() if name in known), None)


def _near(word: str, known: list[str]) -> str | None:
    """A prefix says more than letters in common: ``lin`` is `linear`, though `min` is nearer."""
    folded = {candidate.lower(): candidate for candidate in known}
    prefixes = [small for small in folded if _is_prefix(word, small)]
    if prefixes:
        return folded[min(prefixes, key=lambda small: abs(len(small) - len(word)))]
    spelled = get_close_matches(word, folded, n=1, cutoff=_SIMILARITY)
    return folded[spelled[0]] if spelled else None


def _is_prefix(word: str, candidate: str) -> bool:
    """``exp`` of ``exponential``, which difflib finds too far; or ``cosine`` of ``cosineannealinglr``."""
    shorter, longer = sorted((word, candidate), key=len)
    return len(shorter) >= _SHORTEST_PREFIX and longer.startswith(shorter)
