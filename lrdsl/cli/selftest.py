"""Short checks that the native module computes what it should, on this machine and now."""

from __future__ import annotations

import struct
from array import array
from types import ModuleType
from typing import Any

TEXT = "warmup(5) >> repeat(2, cosine(7), mult=2) >> exponential(0.9, from=1x) | plateau(patience=0, factor=0.5)"
SGD, MAXIMIZE = 0, 1


def evaluator() -> str:
    """What is wrong with the native evaluator; empty if it gives the bits of the Python reference."""
    from lrdsl.evaluators import evaluator
    from lrdsl.schedule import compile

    program = compile(TEXT, base_lr=1e-3).program()
    found = []
    for backend in ("native", "scalar"):
        runs, state, values = evaluator(program, backend), array("d", program.state), array("d")
        for step in range(40):
            values.append(runs.value(step, state))
            runs.observe("loss", 1.0 if step % 3 else 2.0, step, state)
        found.append((values.tobytes(), state.tobytes()))
    return "" if found[0] == found[1] else "its values differ from those of the Python evaluator"


def optimizer_step(module: ModuleType) -> str:
    """What is wrong with the native update; empty if SGD moves 37 numbers by lr * gradient."""
    # 37 is no multiple of any vector.
    parameters, gradients = array("f", range(37)), array("f", [2.0]) * 37
    expected = array("f", (p + 0.5 * 2.0 for p in parameters))
    row = _packed(module.ROW_DTYPE, module.ROW_SIZE, p=_address(parameters), g=_address(gradients), n=37)
    hyper = _packed(module.HYPER_DTYPE, module.HYPER_SIZE, lr=0.5, flags=MAXIMIZE)
    control = _packed(module.CONTROL_DTYPE, module.CONTROL_SIZE)
    module.step(SGD, _address(row), 1, _address(hyper), 1, _address(control), 1)
    return "" if parameters == expected else "one step of SGD gave wrong parameters"


def _packed(fields: list[tuple[str, str, int]], size: int, **values: Any) -> array[int]:
    record = array("b", bytes(size))
    for name, kind, offset in fields:
        struct.pack_into({"u8": "Q", "i8": "q", "i4": "i", "f8": "d"}[kind], record, offset, values.get(name, 0))
    return record


def _address(numbers: array[Any]) -> int:
    return numbers.buffer_info()[0]
