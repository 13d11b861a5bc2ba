"""Did you mean ...? The nearest known word, and what other libraries call the same thing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from lrdsl.language.foreign import ADVICE, CALLED, NAMES, RECIPES

_SIMILARITY = 0.6
_SHORTEST_PREFIX = 3


def suggestion(word: str, candidates: Iterable[str], within: str = "") -> str | None:
    """A hint for a word that is not known: did you mean ...?

    Args:
        word: What was written.
        candidates: What could have been written.
        within: The function whose argument it is, if it is one.

    Returns:
        What another library's word means here: one of ``candidates``, a schedule that does the same, or advice. Else
        the nearest of ``candidates``, by spelling, then by prefix. None if nothing is near.

    Example:
        >>> suggestion("eta_min", ["n", "to", "from"])
        'did you mean `to`?'
        >>> suggestion("get_linear_schedule_with_warmup", ["linear", "warmup"])
        'write `warmup(500) >> linear(rest)`'
    """
    known, folded = list(candidates), word.lower()
    if ours := _foreign(folded, known, within):
        return f"did you mean `{ours}`?"
    if not within and folded in RECIPES:
        return f"write `{RECIPES[folded]}`"
    if within and (advice := ADVICE.get(f"{within}.{folded}") or ADVICE.get(folded)):
        return advice
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
    return _foreign(folded, known, "") or _near(folded, known)


def _foreign(word: str, known: list[str], within: str) -> str | None:
    """Another library's word comes first: ``steps`` is nearer to `step` by its letters, yet means `multistep`."""
    meanings = CALLED.get(f"{within}.{word}") or NAMES.get(word, "")
    return next((name for name in meanings.split() if name in known), None)


def _near(word: str, known: list[str]) -> str | None:
    folded = {candidate.lower(): candidate for candidate in known}
    spelled = get_close_matches(word, folded, n=1, cutoff=_SIMILARITY)
    if spelled:
        return folded[spelled[0]]
    return next((name for small, name in folded.items() if _is_prefix(word, small)), None)


def _is_prefix(word: str, candidate: str) -> bool:
    """``exp`` of ``exponential``, which difflib finds too far; or ``cosine`` of ``cosineannealinglr``."""
    shorter, longer = sorted((word, candidate), key=len)
    return len(shorter) >= _SHORTEST_PREFIX and longer.startswith(shorter)
