"""Steps that only make state: checkpoint libraries make one of a fresh optimizer, at rate 0 with zero gradients."""

from collections.abc import Iterable

import torch
from torch import Tensor

from lrdsl.optim.distributed import Reach, local
from lrdsl.optim.ownership import Publication


def is_phantom(published: Publication, params: Iterable[Tensor], reach: Reach) -> bool:
    """Whether a step is a phantom: somebody else wrote 0 as every scheduled rate, and no gradient has anything in it.

    Rates of 0 alone do not say so: a warm-up begins there. Waits for the device of the gradients, and for the other
    processes that have parts of them: it is a phantom in all or in none.

    Args:
        published: What the schedules say, of which something was replaced.
        params: All parameters.
        reach: The processes that have parts of them.
    """
    if not published.is_zeroed():
        return False
    return not reach.any(any(_has_values(p.grad) for p in params if p.grad is not None))


@torch.no_grad()
def _has_values(grad: Tensor) -> bool:
    part = local(grad)
    values = part.coalesce().values() if part.layout == torch.sparse_coo else part
    return bool((values != 0).any())  # nan is not 0
