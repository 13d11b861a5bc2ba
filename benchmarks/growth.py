"""How does the time of one update grow with the number of tensors, and with the number of groups?

The tensors are small, so that what is counted is the work per tensor and per group.
"""

from __future__ import annotations

import torch

from benchmarks.harness import compare, interleave, save, table
from benchmarks.peers import dealt, fused, lambda_lr, ours, parameters, sequential_lr, stepped

ELEMENTS = 64
# (tensors, groups)
TENSORS = [(count, 1) for count in (1, 10, 100, 1_000, 10_000)]
GROUPS = [(1_000, count) for count in (1, 10, 100, 1_000)]
ROUNDS = 25


def measure(count: int, groups: int) -> dict[str, dict[str, float]]:
    """One case."""
    mine, first, second = (dealt(parameters([(ELEMENTS,)] * count), groups) for _ in range(3))
    with_lambda, with_sequence = fused(first), fused(second)
    peers = {
        "lrdsl": ours(mine).step,
        "torch fused + LambdaLR": stepped(with_lambda, lambda_lr(with_lambda)),
        "torch fused + SequentialLR": stepped(with_sequence, sequential_lr(with_sequence)),
    }
    return compare(interleave(peers, rounds=ROUNDS, repeat=max(1, 200 // (count // 10 + groups))))


def main() -> None:
    """Measure, print, keep."""
    results = {}
    for count, groups in dict.fromkeys([*TENSORS, *GROUPS]):
        name = f"{count} x {ELEMENTS}, {groups} group{'s' * (groups > 1)}"
        results[name] = measure(count, groups)
        table(f"AdamW fp32, {name} ({torch.get_num_threads()} threads)", results[name])
    save("growth", results)


if __name__ == "__main__":
    main()
