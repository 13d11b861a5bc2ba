"""From traced formulas to the code of a Program.

Equal subexpressions become one (value numbering); what is used more than once is
kept in a local. The rest is a post-order walk: operands, then the operation.
"""

import struct
from collections.abc import Sequence
from typing import Any

from lrdsl.program.expr import Expr
from lrdsl.program.opcodes import NUMBER
from lrdsl.program.program import CODE, STACK, Code, Machine, Program, Segment, too_large

LEAVES = frozenset({"CONSTANT", "STEP", "STATE", "REPORT"})


class Assembler:
    """Collects code, constants and slots; `finish` closes the Program."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int]] = []
        self.constants: list[float] = []
        self._constant_index: dict[bytes, int] = {}
        self.stack = 0
        self.locals = 0

    def add(self, roots: Sequence[Expr]) -> Code:
        """Code that leaves the values of `roots` on the stack, in order."""
        start = len(self.code)
        _Emission(self).emit(roots)
        if len(self.code) > CODE or self.stack > STACK or self.locals > STACK:
            raise too_large()
        return Code(start, len(self.code) - start)

    def constant(self, value: float) -> int:
        """The index of a constant, told apart by its bits (-0.0 is not 0.0)."""
        bits = struct.pack("<d", value)
        index = self._constant_index.get(bits)
        if index is None:
            index = self._constant_index[bits] = len(self.constants)
            self.constants.append(value)
        return index

    def finish(
        self,
        segments: Sequence[Segment],
        machines: Sequence[Machine],
        state: Sequence[float],
        slots: Sequence[str],
        metrics: Sequence[str],
    ) -> Program:
        """The finished Program."""
        return Program(
            tuple(segments),
            tuple(machines),
            tuple(self.code),
            tuple(self.constants),
            tuple(state),
            tuple(slots),
            tuple(metrics),
            self.stack,
            self.locals,
        )


class _Emission:
    """One run of code: numbering, then emission with locals for shared values."""

    def __init__(self, assembler: Assembler) -> None:
        self.assembler = assembler
        self.numbers: dict[int, int] = {}  # id of a node -> value number
        self.known: dict[Any, int] = {}  # what a value is -> its number
        self.nodes: list[Expr] = []  # by value number, a node that stands for it
        self.operands: list[tuple[int, ...]] = []
        self.uses: list[int] = []
        self.local: dict[int, int] = {}
        self.free: list[int] = []
        self.locals = 0
        self.depth = 0

    def emit(self, roots: Sequence[Expr]) -> None:
        numbers = [self.number(root) for root in roots]
        for number in numbers:
            self.uses[number] += 1
        for number in numbers:
            self.walk(number)

    def number(self, root: Expr) -> int:
        """The value number of `root`; equal subexpressions get the same one. The walk is that of `postorder`."""
        numbers, known = self.numbers, self.known
        stack = [root]
        while stack:
            node = stack[-1]
            if id(node) not in numbers:
                waiting = [x for x in node.operands if id(x) not in numbers]
                if waiting:
                    stack.extend(reversed(waiting))
                    continue
                operands = tuple([numbers[id(x)] for x in node.operands])
                payload = struct.pack("<d", node.payload) if node.operation == "CONSTANT" else node.payload
                found = known.setdefault((node.operation, payload, operands), len(known))
                if found == len(self.nodes):
                    self.nodes.append(node)
                    self.operands.append(operands)
                    self.uses.append(0)
                    for operand in operands:
                        self.uses[operand] += 1
                numbers[id(node)] = found
            stack.pop()
        return numbers[id(root)]

    def walk(self, root: int) -> None:
        """Operands, then the operation; a stack of its own, as in `postorder`."""
        todo = [root]
        while todo:
            number = todo.pop()
            if number < 0:
                self._compute(~number)
            elif number in self.local:
                self._load(number)
            elif not self.operands[number]:
                self._compute(number)
            else:
                todo.append(~number)  # once its operands are done
                todo.extend(reversed(self.operands[number]))

    def _load(self, number: int) -> None:
        kept = self.local[number]
        self.uses[number] -= 1
        self.put("LOAD", kept, 1)
        if self.uses[number] == 0:
            self.free.append(kept)

    def _compute(self, number: int) -> None:
        node = self.nodes[number]
        argument = 0
        if node.operation == "CONSTANT":
            argument = self.assembler.constant(node.payload)
        elif node.operation == "STATE":
            argument = node.payload
        self.put(node.operation, argument, 1 - len(node.operands))
        self.uses[number] -= 1
        if self.uses[number] > 0 and node.operation not in LEAVES:
            kept = self.free.pop() if self.free else self._new_local()
            self.local[number] = kept
            self.put("STORE", kept, 0)

    def _new_local(self) -> int:
        self.locals += 1
        self.assembler.locals = max(self.assembler.locals, self.locals)
        return self.locals - 1

    def put(self, operation: str, argument: int, growth: int) -> None:
        self.assembler.code.append((NUMBER[operation], argument))
        self.depth += growth
        if self.depth > self.assembler.stack:
            self.assembler.stack = self.depth
