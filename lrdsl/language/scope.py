"""`Scope`: what names may mean while a text is bound, and how much of it there is."""

from fractions import Fraction

from lrdsl.errors import ScheduleError, Span
from lrdsl.language.context import KEYWORDS, TARGETS, Context
from lrdsl.language.formula import FUNCTIONS, NAMES
from lrdsl.language.recovery import Errors
from lrdsl.primitives import MODIFIERS, SEGMENTS
from lrdsl.syntax import tree

POINTWISE = {"min": 2, "max": 2, "clamp": 3}
"""Functions that combine schedules point by point, and the fewest operands they take."""
VALUE_NAMES = ("total", "inf", "base", "prev")
NODES = 4096
DEFINED = 4 * NODES
DEPTH = 64


class Scope:
    """The names of one text: functions and words of the language, params, and every `let` so far."""

    def __init__(self, context: Context, errors: Errors) -> None:
        self.context = context
        self.errors = errors
        self.rounded: dict[Span, tuple[str, Fraction]] = {}  # where a duration was not whole: its name, and its length
        self.repeating = False  # inside repeat or cycle
        # What a `let` stands for, and how many lets that may see; None if it is wrong.
        self.lets: dict[str, tuple[tree.Node, int] | None] = {}
        self.visible = 0  # how many lets, in order, may be seen
        self.defining: str | None = None
        self._nodes = 0
        self._defined = 0  # nodes of all lets so far
        self._outside = 0  # nodes so far of what is no let, while one is defined
        self._depth = 0
        for name in context.params:
            if self.reserved(name):
                raise ScheduleError("E0210", f"`{name}` is reserved", None, "choose another name for this param")

    @staticmethod
    def is_function(name: str) -> bool:
        """Is `name` a function of the language?"""
        return name in SEGMENTS or name in MODIFIERS or name in POINTWISE or name in FUNCTIONS

    def reserved(self, name: str) -> bool:
        """May nobody give `name` a meaning of their own?"""
        words = (*TARGETS, *NAMES, *VALUE_NAMES, *KEYWORDS)
        return self.is_function(name) or name in words

    def names(self) -> list[str]:
        """Names a user has defined so far."""
        return [*self.lets, *self.context.params]

    def enter(self, node: tree.Node) -> None:
        """One node more, one level deeper: `let` expands, so both are bounded here again."""
        self._nodes += 1
        self._depth += 1
        if self._nodes > NODES or self._defined > DEFINED:
            limit = NODES if self._nodes > NODES else DEFINED
            message = f"more than {limit} numbers, names and calls once every `let` is put in"
            raise ScheduleError("E0902", message, node.span, "`let` does not shorten: it is put in at each use")
        if self._depth > DEPTH:
            message = f"nested deeper than {DEPTH} once every `let` is put in"
            raise ScheduleError("E0901", message, node.span, "`let` does not flatten: it is put in at each use")

    def leave(self) -> None:
        """Back up one level."""
        self._depth -= 1

    def define(self, let: tree.Let) -> None:
        """Check a new name; while its value is read, it is `defining`."""
        self._outside, self._nodes = self._nodes, 0
        if self.reserved(let.name):
            raise ScheduleError("E0210", f"`{let.name}` is reserved", let.name_span, "choose another name")
        if let.name in self.names():
            raise ScheduleError("E0211", f"`{let.name}` is already defined", let.name_span, self._where(let.name))
        self.defining = let.name

    def _where(self, name: str) -> str:
        return "params define it" if name in self.context.params else "an earlier `let` defines it"

    def defined(self, let: tree.Let, *, right: bool) -> None:
        """From here on the name may be used. What the definition took is counted apart from what its uses will."""
        self.defining = None
        self._defined += self._nodes
        self._nodes = self._outside
        self.lets[let.name] = (let.value, self.visible) if right else None
        self.visible += 1
