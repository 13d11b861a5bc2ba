"""`Program`: what a schedule is once its text is gone. Plain numbers, nothing else.

Everything above this module makes Programs, everything below runs them. `pack` is
the same thing as one block of 8-byte words, which ``csrc/program.h`` reads in place,
on the host or on a device.
"""

import struct
from dataclasses import dataclass

from lrdsl.errors import ScheduleError
from lrdsl.program.opcodes import OPCODES

FOREVER = 2**63 - 1
"""The end of a stretch that never ends."""
STEPS = 2**53
"""No step, length or count reaches this: below it every whole number is a double."""
STACK = 64
"""Numbers on the stack, and as many locals, at most."""
CODE = 4096
"""Instructions at most."""
NODES = 8 * CODE
"""Nodes of formulas that may be made on the way to them, at most."""
MAGIC = 0x324C5344524C  # "LRDSL2" as little-endian bytes


def too_large() -> ScheduleError:
    """E0907: the limits that keep a Program small enough for a GPU block."""
    limits = f"at most {STACK} stack slots and {CODE} instructions"
    return ScheduleError(
        "E0907", f"the schedule is too large once compiled: {limits}", hint="fewer operands or milestones"
    )


@dataclass(frozen=True, slots=True)
class Code:
    """A run of instructions: straight-line, entered at `start`, left after `count`."""

    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Segment:
    """`code` gives the value for the steps from `begin` to the next segment's `begin`."""

    begin: int
    code: Code


@dataclass(frozen=True, slots=True)
class Machine:
    """The memory of one metric-driven modifier.

    A report of `metric` made before update s runs `code` if ``begin <= s < end``. The code reads
    old slots and leaves one new number per slot, which then replace the old ones together. Reports of an update that
    is then not made run it only if it asks for them with `skipped`.
    """

    metric: int
    begin: int
    end: int
    slot: int
    slots: int
    skipped: bool
    code: Code


@dataclass(frozen=True, slots=True)
class Program:
    """One target's schedule as plain data.

    Attributes:
        segments: In order of `begin`; the first begins at step 0 and the last never ends.
        machines: In order of appearance; each owns its own slots.
        code: Instructions ``(opcode number, argument)``.
        constants: float64 numbers.
        state: First value of every slot.
        slots: Name of every slot, as in ``plateau.best``, for checkpoints and people.
        metrics: Names that `Machine.metric` counts through.
        stack: Stack slots the deepest code needs.
        locals: Local slots the code uses.
    """

    segments: tuple[Segment, ...]
    machines: tuple[Machine, ...]
    code: tuple[tuple[int, int], ...]
    constants: tuple[float, ...]
    state: tuple[float, ...]
    slots: tuple[str, ...]
    metrics: tuple[str, ...]
    stack: int
    locals: int

    def pack(self) -> bytes:
        """The Program as 8-byte little-endian words, names left out."""
        words = [MAGIC, len(self.segments), len(self.machines), len(self.code)]
        words += [len(self.constants), len(self.state), self.stack, self.locals]
        for segment in self.segments:
            words += [segment.begin, segment.code.start, segment.code.count]
        for m in self.machines:
            words += [m.metric, m.begin, m.end, m.slot, m.slots, int(m.skipped), m.code.start, m.code.count]
        words += [operation | argument << 8 for operation, argument in self.code]
        numbers = self.constants + self.state
        return struct.pack(f"<{len(words)}q{len(numbers)}d", *words, *numbers)

    def listing(self) -> str:
        """The code as text, for people."""
        lines = []
        for segment in self.segments:
            lines.append(f"from step {segment.begin}:")
            lines += self._lines(segment.code)
        for machine in self.machines:
            end = "for ever" if machine.end == FOREVER else f"before {machine.end}"
            lines.append(f"on {self.metrics[machine.metric]} from step {machine.begin} {end}:")
            lines += self._lines(machine.code)
        return "\n".join(lines)

    def _lines(self, code: Code) -> list[str]:
        lines = []
        for operation, argument in self.code[code.start : code.start + code.count]:
            name = OPCODES[operation].name
            if name == "CONSTANT":
                name += f" {self.constants[argument]!r}"
            elif name == "STATE":
                name += f" {self.slots[argument]}"
            elif name in ("LOAD", "STORE"):
                name += f" {argument}"
            lines.append(f"    {name}")
        return lines
