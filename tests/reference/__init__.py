"""Language 1 once more, by definition: a recursive function over the tree, in real numbers.

It shares the parser with lrdsl and nothing else: no Program, no tracing, no table of segments. Lengths and clocks are
exact fractions, rates have 50 digits. Each module names the sections of the specification it writes down.
"""

from .numbers import InvalidTextError, perturbed
from .schedule import Schedule

__all__ = ["InvalidTextError", "Schedule", "perturbed"]
