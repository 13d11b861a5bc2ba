"""What the libraries offer: rates that follow what is observed, and schedules put together."""

from __future__ import annotations

from math import cos, pi

from gallery.replay import plateau
from gallery.rows import Formula, Peer, Replay, Strategy, Variant

COMBINATIONS = (
    Strategy(
        "plateau",
        "Reduce on plateau",
        "Cut when a metric has stopped improving: torch `ReduceLROnPlateau`, whose traces it reproduces. keras and "
        "optax fire at bad report `patience`, torch and lrdsl at the one after: write one less.",
        (
            Variant(
                "hold() | plateau(patience=2)",
                (
                    Replay("torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)"),
                    Replay(plateau(patience=2)),
                    Replay("optax.contrib.reduce_on_plateau(factor=0.1, patience=3, rtol=1e-4)"),
                    Replay("keras.callbacks.ReduceLROnPlateau(patience=3, factor=0.1)"),
                ),
                metric="stalls",
                until=120,
                log=True,
            ),
        ),
    ),
    Strategy(
        "greedy",
        "Greedy",
        "Up while the metric improves, down while it does not: transformers `GreedyLR`. Its default smallest rate, "
        "1e-3, blocks small rates; here the bounds are written. There a rate that runs into a bound goes on from the "
        "bound, here from the power of the factor beyond it: the two agree where the bound is itself such a power, as "
        "it is here.",
        (
            Variant(
                "hold() | greedy(patience=1, factor=0.5, min=1e-5, max=1e-2)",
                (
                    Replay(
                        "transformers.optimization.GreedyLR(optimizer, patience=1, factor=0.5, min_lr=1e-5, "
                        "max_lr=1e-2, smooth=False)"
                    ),
                ),
                base=1.25e-3,
                metric="stalls",
                until=120,
                log=True,
            ),
        ),
    ),
    Strategy(
        "groups",
        "A schedule for each group, and for weight decay",
        "Parameter groups may have schedules of their own, and so may weight decay and momentum: timm's `lr_scale`, "
        "ignite's parameter schedulers, Megatron's weight decay, as statements of one text.",
        (
            Variant(
                "lr = cosine(90); lr[head] = 10 * cosine(90); weight_decay = linear(90, from=0.04, to=0.4)",
                (
                    Formula(lambda t: 0.05 * (1 + cos(pi * t / 90)), range(90)),
                    Formula(lambda t: 0.5 * (1 + cos(pi * t / 90)), range(90), group="head"),
                    Formula(lambda t: 0.04 + 0.36 * t / 90, range(90), target="weight_decay"),
                ),
                context={"bases": {"lr[head]": 0.1, "weight_decay": 0.04}},
            ),
        ),
    ),
    Strategy(
        "estimators",
        "With an optimizer that estimates its own rate",
        "Schedule-free, D-Adaptation, Prodigy and DoG find the rate; what they take from a schedule is a multiplier, "
        "with base 1.",
        (
            Variant(
                "warmup(10) >> cosine(90)",
                (
                    Formula(lambda t: t / 10 if t < 10 else 0.5 * (1 + cos(pi * (t - 10) / 90)), range(100)),
                    Peer("transformers.get_cosine_schedule_with_warmup(optimizer, 10, 100)", 101),
                ),
                base=1.0,
            ),
        ),
    ),
    Strategy(
        "sequences",
        "One after another",
        "torch `SequentialLR`, optax `join_schedules`, fvcore's composite, ignite's concatenation. A right side that "
        "starts at the base again says so (`from=1x`), a left side that is cut off says `take`.",
        (
            Variant(
                "constant(0.1x, 20) >> exponential(0.9, from=1x)",
                (
                    Peer(
                        "torch.optim.lr_scheduler.SequentialLR(optimizer, "
                        "[torch.optim.lr_scheduler.ConstantLR(optimizer, 0.1, 20), "
                        "torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)], [20])",
                        40,
                    ),
                ),
                until=40,
            ),
            Variant(
                "(exponential(0.9) | take(4)) >> linear(10, from=1x)",
                (
                    Peer(
                        "optax.join_schedules([optax.exponential_decay(0.1, 1, 0.9), optax.linear_schedule(0.1, 0.0, "
                        "10)], [4])",
                        20,
                    ),
                ),
                until=40,
            ),
            Variant(
                "linear(5, from=0, to=0.5x) >> (cosine(20, from=1x) | skip(5))",
                (
                    Peer(
                        "fvcore.common.param_scheduler.CompositeParamScheduler(["
                        "fvcore.common.param_scheduler.LinearParamScheduler(0.0, 0.05), "
                        "fvcore.common.param_scheduler.CosineParamScheduler(0.1, 0.0)], "
                        "[0.25, 0.75], ['rescaled', 'fixed'])",
                        20,
                        why="fvcore's `fixed` runs on the clock of the whole run, of 20 steps",
                    ),
                ),
                until=40,
            ),
        ),
        together=True,
    ),
    Strategy(
        "products",
        "One times another",
        "torch `ChainedScheduler`, t5x's factors, mmengine's windows: products, as multiples of the base.",
        (
            Variant(
                "(constant(0.1x, 5) >> constant(1x)) * exponential(0.9)",
                (
                    Peer(
                        "torch.optim.lr_scheduler.ChainedScheduler([torch.optim.lr_scheduler.ConstantLR(optimizer, "
                        "0.1, 5), torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)])",
                        30,
                    ),
                ),
                until=30,
            ),
        ),
    ),
    Strategy(
        "maxima",
        "The larger of two",
        "Whichever is higher rules, as in OLMo's schedules; smaller of two: `min`.",
        (
            Variant(
                "max(cosine(80), 0.5 * exponential(0.99))",
                (Formula(lambda t: max(0.05 * (1 + cos(pi * min(t, 80) / 80)), 0.05 * 0.99**t), range(120)),),
                until=120,
            ),
        ),
    ),
)
