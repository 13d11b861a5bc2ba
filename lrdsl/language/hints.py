"""Did you mean ...? The nearest known word, and what other libraries call the same thing."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_SIMILARITY = 0.6
_SHORTEST_PREFIX = 3

# Another library's word -> ours. They are hints, not aliases.
FOREIGN = {
    **dict.fromkeys(["eta_min", "min_lr", "end_value", "lr_end", "alpha"], "to"),
    **dict.fromkeys(["T_max", "total_iters", "decay_steps", "T_0"], "n"),
    "init_value": "from",
    "step_size": "every",
    "milestones": "at",
    "T_mult": "mult",
    "lr_lambda": "expr",
    "const": "constant",
    "poly": "polynomial",
    "expo": "geometric",
    "exp decay": "exponential",
    "rsqrt": "inverse_sqrt",
    "steps": "multistep",
    "sqrt": "one_minus_sqrt",
    "learning_rate": "lr",
}


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that ``word`` was probably meant to be.

    Args:
        word: What was written.
        candidates: What could have been written.

    Returns:
        One of ``candidates``, or None if nothing is near. A word that another library uses for one of them comes
        first (``steps`` is nearer to `step` by its letters, yet means `multistep`), then spelling, then prefixes.

    Example:
        >>> nearest("cosin", ["cosine", "constant"])
        'cosine'
        >>> nearest("eta_min", ["n", "to", "from"])
        'to'
    """
    known = list(candidates)
    if FOREIGN.get(word) in known:
        return FOREIGN[word]
    folded = {candidate.lower(): candidate for candidate in known}
    spelled = get_close_matches(word.lower(), folded, n=1, cutoff=_SIMILARITY)
    if spelled:
        return folded[spelled[0]]
    return next((name for small, name in folded.items() if _is_prefix(word.lower(), small)), None)


def _is_prefix(word: str, candidate: str) -> bool:
    """``exp`` of ``exponential``, which difflib finds too far; or ``cosine`` of ``cosineannealinglr``."""
    shorter, longer = sorted((word, candidate), key=len)
    return len(shorter) >= _SHORTEST_PREFIX and longer.startswith(shorter)
