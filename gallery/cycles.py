"""What the libraries offer: shapes that recur, or have a part for each phase of a run."""

from __future__ import annotations

from math import cos, pi, sqrt

from gallery.formulas import hat
from gallery.rows import SINGLE, Formula, Peer, Strategy, Variant

CYCLES = (
    Strategy(
        "cosine-restarts",
        "Cosine with warm restarts",
        "SGDR (Loshchilov & Hutter 2017): cosine after cosine, each round longer (`mult`), or starting lower "
        "(`gain`). torch has no decay of the tops; timm has, and stops after so many rounds; keras decays the tops "
        "but not what they stand on.",
        (
            Variant(
                "cycle(cosine(5), mult=2)",
                (
                    Peer("torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, 2)", 75),
                    Peer("timm.scheduler.CosineLRScheduler(optimizer, 5, cycle_mul=2.0, cycle_limit=9)", 75),
                    Peer("keras.optimizers.schedules.CosineDecayRestarts(0.1, 5)", 75, relative=2e-5, why=SINGLE),
                    Peer("composer.optim.CosineAnnealingWarmRestartsScheduler('5ba', 2.0)", 75),
                    Peer(
                        "optax.sgdr_schedule([dict(init_value=0.1, peak_value=0.1, decay_steps=5 * 2**i, "
                        "warmup_steps=0, end_value=0.0) for i in range(4)])",
                        75,
                    ),
                ),
                until=74,
            ),
            Variant(
                "repeat(3, cosine(10, to=0.001), gain=0.5)",
                (
                    Formula(
                        lambda t: (
                            0.001 + (0.1 * 0.5 ** (t // 10) - 0.001) * (1 + cos(pi * (t % 10) / 10)) / 2
                            if t < 30
                            else 0.001
                        ),
                        range(40),
                    ),
                    Peer("timm.scheduler.CosineLRScheduler(optimizer, 10, 0.001, cycle_decay=0.5, cycle_limit=3)", 40),
                ),
                until=74,
            ),
            Variant(
                "0.9 * cycle(cosine(6), mult=2, gain=0.5) + 0.1x",
                (
                    Formula(
                        lambda t: (
                            0.01
                            + 0.09 * (0.5 * (1 + cos(pi * t / 6)) if t < 6 else 0.25 * (1 + cos(pi * (t - 6) / 12)))
                        ),
                        range(18),
                    ),
                    Peer(
                        "keras.optimizers.schedules.CosineDecayRestarts(0.1, 6, 2.0, 0.5, 0.1)",
                        42,
                        relative=1e-6,
                        why=SINGLE,
                    ),
                ),
                until=74,
            ),
        ),
    ),
    Strategy(
        "wsd",
        "Warm-up, stable, decay",
        "A trapezoid whose decay can be started at any time: Hu et al. 2024 (MiniCPM), "
        "https://arxiv.org/abs/2404.06395; Hägele et al. 2024, https://arxiv.org/abs/2405.18392, recommend the 1 - "
        "sqrt decay. Megatron's exponential decay is a formula.",
        (
            Variant(
                "wsd(50, 10, 15, to=1e-4, shape=one_minus_sqrt)",
                (
                    Formula(
                        lambda t: (
                            1e-3 * t
                            if t < 10
                            else 0.01
                            if t < 35
                            else 1e-4 + 9.9e-3 * (1 - sqrt(min((t - 35) / 15, 1)))
                        ),
                        range(60),
                    ),
                    Peer(
                        "transformers.get_wsd_schedule(optimizer, 10, 15, num_stable_steps=25, min_lr_ratio=0.01, "
                        "decay_type='1-sqrt')",
                        50,
                        first=10,
                        parts=0,
                        why="transformers warms up from the smallest rate, not from 0",
                    ),
                ),
                base=0.01,
                until=60,
            ),
            Variant(
                "warmup(10) >> hold(25) >> expr(1e-4 + (prev - 1e-4) * (2 * 0.5 ** u - 1), n=15)",
                (
                    Formula(
                        lambda t: (
                            1e-3 * t
                            if t < 10
                            else 0.01
                            if t < 35
                            else 1e-4 + 9.9e-3 * (2 * 0.5 ** (min(t - 35, 15) / 15) - 1)
                        ),
                        range(60),
                    ),
                    Peer(
                        "megatron.core.optimizer_param_scheduler.OptimizerParamScheduler(optimizer, 0.0, 0.01, 1e-4, "
                        "10, 50, 'WSD', 0.0, 0.0, 0, 'constant', wsd_decay_steps=15, lr_wsd_decay_style='exponential')",
                        60,
                    ),
                ),
                base=0.01,
                until=60,
            ),
        ),
        together=True,
    ),
    Strategy(
        "cooldown",
        "Cooldown over whatever runs",
        "The last fifth of the run is multiplied down to 0, on top of another schedule: big_vision (Zhai et al. 2022, "
        "https://arxiv.org/abs/2106.04560), levanter.",
        (
            Variant(
                "warmup(10) >> inverse_sqrt(10) | cooldown(20%)",
                (
                    Formula(
                        lambda t: 0.1 * (t / 10 if t < 10 else sqrt(10 / t)) * min(1.0, max(0, 200 - t) / 40),
                        range(220),
                    ),
                ),
                context={"total_steps": 200},
            ),
        ),
    ),
    Strategy(
        "one-cycle",
        "One-cycle",
        "Up to a peak and far below the start: Smith & Topin 2018, https://arxiv.org/abs/1708.07120. The cosine form "
        "is torch's `OneCycleLR`; optax's linear one has three phases, which are points. Momentum, where it moves, "
        "moves the other way.",
        (
            Variant(
                "onecycle(50, peak=0.1)",
                (
                    Peer(
                        "torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=50, cycle_momentum=False)", 50
                    ),
                    Peer("paddle.optimizer.lr.OneCycleLR(0.1, 50, end_learning_rate=4e-7)", 50),
                ),
            ),
            Variant(
                "points([0, 15, 42, 50], [0.04x, 1x, 0.04x, 4e-6x])",
                (Peer("optax.linear_onecycle_schedule(50, 0.1)", 60),),
            ),
        ),
        together=True,
    ),
    Strategy(
        "cyclic",
        "Cyclic triangles",
        "Between two rates and back, each triangle half as high as the one before: Smith 2017, "
        "https://arxiv.org/abs/1506.01186; torch `CyclicLR(mode='triangular2')`.",
        (
            Variant(
                "cyclic(6, from=0.001, to=0.01, down=4, gain=0.5)",
                (
                    Formula(lambda t: 0.001 + 0.009 * hat(t, 6, 4) * 0.5 ** (t // 10), range(60)),
                    Peer(
                        "torch.optim.lr_scheduler.CyclicLR(optimizer, 0.001, 0.01, 6, 4, 'triangular2', "
                        "cycle_momentum=False)",
                        60,
                    ),
                    Peer("paddle.optimizer.lr.CyclicLR(0.001, 0.01, 6, 4, 'triangular2')", 60),
                ),
                until=60,
            ),
        ),
    ),
    Strategy(
        "slanted-triangle",
        "Slanted triangle",
        "A short rise and a long fall, counted from 1: ULMFiT (Howard & Ruder 2018, "
        "https://arxiv.org/abs/1801.06146); thinc `slanted_triangular`.",
        (
            Variant(
                "(linear(5, from=base / 32, to=1x) >> linear(45, to=base / 32)) | skip(1)",
                (
                    Formula(lambda t: 0.1 * (1 + (min((t + 1) / 5, (50 - t - 1) / 45)) * 31) / 32, range(49)),
                    Peer("thinc.schedules.slanted_triangular(0.1, 50, cut_frac=0.1)", 49),
                ),
            ),
        ),
    ),
    Strategy(
        "points",
        "Through given points",
        "Straight lines (or half-cosines) through points: ignite `PiecewiseLinear`, optax "
        "`piecewise_interpolate_schedule`. The first value holds before the first point, the last one after the last.",
        (
            Variant(
                "points([5, 15, 20, 30], [0.5, 0.1, 0.1, 0])",
                (
                    Formula(
                        lambda t: (
                            0.5
                            if t < 5
                            else 0.5 - 0.04 * (t - 5)
                            if t < 15
                            else 0.1
                            if t < 20
                            else 0.1 - 0.01 * (min(t, 30) - 20)
                        ),
                        range(40),
                    ),
                    Peer(
                        "ignite.handlers.param_scheduler.PiecewiseLinear(optimizer, 'lr', "
                        "[(5, 0.5), (15, 0.1), (20, 0.1), (30, 0.0)])",
                        40,
                    ),
                ),
                until=40,
            ),
        ),
    ),
    Strategy(
        "range-test",
        "Range test",
        "Not for training but for finding the rate to train with: up and up, until the loss breaks. Smith 2017; "
        "DeepSpeed `LRRangeTest` rises linearly, fastai's finder geometrically.",
        (
            Variant(
                "range_test(5, rate=2, from=1e-4)",
                (
                    Formula(lambda t: 1e-4 * (1 + 2 * t / 5), range(100)),
                    Peer(
                        "deepspeed.runtime.lr_schedules.LRRangeTest(optimizer, 1e-4, 5, 2.0)",
                        100,
                    ),
                ),
                until=100,
            ),
            Variant(
                "geometric(100, from=1e-7, to=10)",
                (Formula(lambda t: 10 ** (-7 + 8 * t / 100), range(101)),),
                log=True,
            ),
        ),
    ),
    Strategy(
        "swa",
        "Anneal to the averaging rate",
        "From wherever the rate is to the constant rate of weight averaging: torch `SWALR`, its only schedule that "
        "starts where the last one ended. Izmailov et al. 2018, https://arxiv.org/abs/1803.05407",
        (
            Variant(
                "cosine(10, to=0.02)",
                (Peer("torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.02, anneal_epochs=10)", 30),),
                until=30,
            ),
        ),
    ),
)
