"""NumPy: one Program over an array of steps, an opcode at a time."""

from array import array
from functools import cache
from typing import TYPE_CHECKING, Any

from lrdsl.evaluators.scalar import CONSTANT, LOAD, STATE, STEP, STORE, ScalarEvaluator
from lrdsl.program.arithmetic import Arrays
from lrdsl.program.opcodes import OPCODES
from lrdsl.program.program import Code

if TYPE_CHECKING:
    import numpy


@cache
def _arrays() -> Arrays:
    return Arrays()


class VectorEvaluator(ScalarEvaluator):
    """Many steps at once; a single step and a report stay with the reference."""

    name = "vector"

    def values(self, steps: Any, state: "array[float]") -> Any:
        """The values for many updates, as a float64 array."""
        import numpy as np

        steps = np.asarray(steps, dtype=np.int64)
        out = np.empty(steps.shape)
        which = np.searchsorted(np.array(self._begins, dtype=np.int64), steps, side="right") - 1
        with np.errstate(all="ignore"):
            for index in np.unique(which):
                here = which == index
                out[here] = self._sweep(self.program.segments[index].code, steps[here].astype(np.float64), state)
        return out

    def _sweep(self, code: Code, steps: "numpy.ndarray[Any, Any]", state: "array[float]") -> Any:
        import numpy as np

        program, m = self.program, _arrays()
        stack: list[Any] = []
        kept: list[Any] = [0.0] * program.locals
        for operation, argument in program.code[code.start : code.start + code.count]:
            # The moves of scalar.py, over arrays; the verifier lets no REPORT into a value.
            if operation == CONSTANT:
                # A whole array, so that no opcode meets Python's own float rules.
                stack.append(np.full(steps.shape, program.constants[argument]))
            elif operation == STEP:
                stack.append(steps)
            elif operation == STATE:
                stack.append(np.full(steps.shape, state[argument]))
            elif operation == LOAD:
                stack.append(kept[argument])
            elif operation == STORE:
                kept[argument] = stack[-1]
            else:
                row = OPCODES[operation]
                assert row.meaning is not None
                stack[-row.arity :] = [row.meaning(m, *stack[-row.arity :])]
        return stack[0]
