"""Random numbers, durations and rates in every way the language writes them (section 3)."""

from __future__ import annotations

import math
import random
from typing import Any

# What a broken text has in place of a duration, or of a rate.
NO_DURATION = ["-5", "2.5", "0.3x", "inf", "rest", "total - 20_000", "unknown", "1e300"]
NO_RATE = ["-0.1x", "10%", "inf", "rest", "-1e-5", "unknown", "[1]"]


class Words:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.faults = 0.02 if rng.random() < 0.1 else 0.0  # how often something is written that has no place
        self.context: dict[str, Any] = {
            "base_lr": rng.choice([1e-3, 1e-3, 1.0, 0.1, 3e-4, 0.37]),
            "total_steps": rng.choice([400, 1000, 1001, 9973]),
            "steps_per_epoch": rng.choice([7, 10, 12.5, 33]),
            "tokens_per_step": rng.choice([1e6, 4096, 3000]),
            "samples_per_step": rng.choice([256, 96]),
            "params": {"warm": rng.choice([0, 5, 20]), "half": 0.5},
            "bases": {"weight_decay": 0.1, "momentum": 0.9, "beta1": 0.9, "lr[head]": 2e-2},
        }
        self.lets: dict[str, list[str]] = {"number": ["half"], "duration": ["warm"], "rate": [], "schedule": []}
        self.nested = False  # inside `repeat`
        self.rest = False  # `rest` has a meaning here

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def maybe(self, chance: float) -> bool:
        return self.rng.random() < chance

    # Numbers, durations, rates (section 3).

    def number(self, low: float = 0.1, high: float = 2.0) -> str:
        x = self.rng.uniform(low, high)
        written = [f"{x:.3f}", f"{x:.2g}" if x >= 0.01 else f"{x:.3f}", f"{x:.4f} / 1", f"2 * {x / 2:.4f}", f"{x:.3e}"]
        if low <= 0.5 <= high:
            written += ["2 ** -1", "1 / 2", *self.lets["number"]]
        return self.rng.choice(written)

    def duration(self, low: int = 0, high: int = 150) -> str:
        if self.maybe(self.faults):
            return self.pick(*NO_DURATION)
        n = self.rng.randint(low, high)
        if self.maybe(0.5):
            return str(n)
        share = 100 * n / self.context["total_steps"]
        epochs, units = n / self.context["steps_per_epoch"], self.context
        choices = [
            f"{math.ceil(share * 10) / 10:g}%",
            f"{max(share, 0.001):.3f}%",
            f"{math.ceil(epochs * 2) / 2:g}ep",
            f"{math.ceil(n * units['tokens_per_step']):d}tok",
            f"{n * units['tokens_per_step'] / 1000 + 1:.3f}ktok",
            f"{n * units['samples_per_step']}smp",
            f"{n / 1000:g}k",
            f"total - {units['total_steps'] - n}",
            f"total / {max(1, units['total_steps'] // max(n, 1))}",
            f"{n} + 1%",
            f"1ep + {n}",
            f"3ep / 2 + {n}",
            "3ep * (total / total)",
            *self.lets["duration"],
        ]
        return self.rng.choice(choices)

    def rate(self) -> str:
        if self.maybe(self.faults):
            return self.pick(*NO_RATE)
        x = self.rng.uniform(0.05, 2)
        return self.rng.choice(
            [
                f"{x:.2f}x",
                f"{x:.2f}x",
                f"{x * 1e-3:.3g}",
                f"{x:.2g}x / 3",
                "base",
                "base / 7",
                f"{x:.2f} * base",
                "0.1 * base + 1e-6",
                "prev",
                f"prev * {x:.2f}",
                "prev / 2 + 0.1x",
                "-(-1e-4)",
                "1x",
                *self.lets["rate"],
            ]
        )

    def target(self) -> str:
        """The end of a decay: 0 makes what follows start at 0."""
        return self.pick("0", "1e-6") if self.maybe(0.15) else self.rate()

    def call(self, name: str, *arguments: tuple[str, str | None]) -> str:
        """Arguments in the order of the signature, None if left out; by position as long as none is, and we feel so."""
        positional, written = self.maybe(0.7), []
        for key, value in arguments:
            if value is None:
                positional = False
            elif positional and self.maybe(0.75):
                written.append(value)
            else:
                positional = False
                written.append(f"{key}={value}")
        return f"{name}({', '.join(written)})"

    def optional(self, value: str, chance: float = 0.5) -> str | None:
        return value if self.maybe(chance) else None
