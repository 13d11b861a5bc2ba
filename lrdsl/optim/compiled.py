"""What `torch.compile` calls where it stands, instead of reading it.

A step compares addresses, writes behind torch's back and publishes a float that nobody else has. A graph can do none of
that, so it breaks there: once, without a guard on anything that moves.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")

REASON = "this reads and writes what no graph can hold; call it after the compiled function, or drop fullgraph=True"


def outside_graphs(method: Callable[P, T]) -> Callable[P, T]:
    """The same method, for a compiled function a break of its graph. Costs a microsecond elsewhere."""
    # Torch's own optimizers use this one: other than `torch.compiler.disable` it does not load the compiler at import.
    outside = torch._disable_dynamo(method)  # type: ignore[attr-defined]
    # The compiler shows the reason where it may not break.
    outside.__dict__ |= {"_torchdynamo_disable": True, "_torchdynamo_disable_msg": REASON}
    return outside
