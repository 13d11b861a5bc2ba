"""What a schedule means: every primitive, one function each."""

from lrdsl.primitives import cycles, decays, guards, modifiers, observed, ramps, reshaping, rewrites, staircases
from lrdsl.primitives.signature import MODIFIERS, SEGMENTS

__all__ = [
    "MODIFIERS",
    "SEGMENTS",
    "cycles",
    "decays",
    "guards",
    "modifiers",
    "observed",
    "ramps",
    "reshaping",
    "rewrites",
    "staircases",
]
