"""What introductions to learning rates teach, each against the formula as it is usually written."""

from __future__ import annotations

from math import cos, exp, pi, sqrt

from gallery.formulas import hat
from gallery.replay import guard, normscale, plateau
from gallery.rows import CLIMBS, Formula, Peer, Replay, Strategy, Variant

EPOCH = {"steps_per_epoch": 50}
"""An epoch that is short enough to see its steps."""

ARTICLES = (
    Strategy(
        "decay-by-a-factor",
        "Decay by a factor, and its inverse",
        "α(t) = α(t-1)·γ, and growth by 1/γ, here bounded at ten times the base.",
        (
            Variant("exponential(0.95)", (Formula(lambda t: 0.01 * 0.95**t, range(200)),), base=0.01, until=60),
            Variant("exponential(1 / 0.95)", (Formula(lambda t: 0.01 * 0.95**-t, range(200)),), base=0.01, until=60),
            Variant(
                "exponential(1 / 0.95) | clamp(max=10x)",
                (Formula(lambda t: min(0.01 * 0.95**-t, 0.1), range(200)),),
                base=0.01,
                until=60,
            ),
        ),
        together=True,
    ),
    Strategy(
        "line-between-two-rates",
        "A line from one rate to another, and back",
        "α_min + (t/T)(α_max - α_min) over T = 100, and its inverse.",
        (
            Variant(
                "linear(100, from=1e-4, to=1e-2)",
                (Formula(lambda t: 1e-4 + (t / 100) * (1e-2 - 1e-4), range(101)),),
                base=0.01,
            ),
            Variant(
                "linear(100, from=1e-2, to=1e-4)",
                (Formula(lambda t: 1e-2 - (t / 100) * (1e-2 - 1e-4), range(101)),),
                base=0.01,
            ),
        ),
        together=True,
    ),
    Strategy(
        "cosine-from-twice",
        "Cosine from twice the rate, and its inverse",
        "α_max(1 + cos(πt/2T)) starts at twice α_max, is α_max at T and 0 at 2T; cut at T or run in full. Its inverse, "
        "α_max(1 - cos(πt/2T)), rises from 0 to α_max at T.",
        (
            Variant(
                "cosine(200, from=2x) | take(100)",
                (Formula(lambda t: 0.01 * (1 + cos(pi * min(t, 100) / 200)), range(150)),),
                base=0.01,
                until=200,
            ),
            Variant(
                "cosine(200, from=2x)",
                (Formula(lambda t: 0.01 * (1 + cos(pi * t / 200)), range(201)),),
                base=0.01,
                until=200,
            ),
            Variant(
                "cosine(200, from=0, to=2x) | take(100)",
                (Formula(lambda t: 0.01 * (1 - cos(pi * min(t, 100) / 200)), range(150)),),
                base=0.01,
                until=200,
            ),
        ),
        together=True,
    ),
    Strategy(
        "reset",
        "Resets",
        "After a decay the rate is reset: to a constant, to a share of the base, or again and again, each time to γ "
        "times the last start.",
        (
            Variant(
                "linear(100, to=0.1x) >> constant(5e-3)",
                (Formula(lambda t: 0.01 - 0.009 * t / 100 if t < 100 else 5e-3, range(150)),),
                base=0.01,
                until=150,
            ),
            Variant(
                "cycle(exponential(0.9, n=30), gain=0.5)",
                (Formula(lambda t: 0.01 * 0.5 ** (t // 30) * 0.9 ** (t % 30), range(150)),),
                base=0.01,
                until=149,
            ),
            Variant(
                "linear(100, to=0.1x) >> constant(0.5x)",
                (Formula(lambda t: 0.01 - 0.009 * t / 100 if t < 100 else 5e-3, range(150)),),
                base=0.01,
                until=150,
            ),
        ),
    ),
    Strategy(
        "cosine-by-the-epoch",
        "Cosine by the epoch",
        "`CosineAnnealingLR(T_max=100, eta_min=0)` of an Adam at 1e-3, stepped once per epoch; by the update it is "
        "smooth. Drawn are the first 20 of the 100 epochs, on an axis that does not begin at 0.",
        (
            Variant(
                "cosine(100ep) | sample(1ep)",
                (
                    Formula(lambda t: 5e-4 * (1 + cos(pi * (t // 50) / 100)), range(0, 5000, 7)),
                    Peer("torch.optim.lr_scheduler.CosineAnnealingLR(EPOCHS(50), 100)", 5001),
                ),
                base=1e-3,
                context=EPOCH,
                until=1000,
            ),
            Variant(
                "cosine(100ep)",
                (Formula(lambda t: 5e-4 * (1 + cos(pi * t / 5000)), range(0, 5000, 7)),),
                base=1e-3,
                context=EPOCH,
                until=1000,
            ),
        ),
        together=True,
    ),
    Strategy(
        "per-epoch-factor",
        "A factor per epoch",
        "Multiplied by 0.99 after every epoch.",
        (
            Variant(
                "step(1ep, gamma=0.99)",
                (
                    Formula(lambda t: 0.1 * 0.99 ** (t // 50), range(0, 5000, 7)),
                    Peer("torch.optim.lr_scheduler.StepLR(EPOCHS(50), 1, 0.99)", 5000),
                ),
                context=EPOCH,
                until=5000,
            ),
        ),
    ),
    Strategy(
        "stagewise",
        "Stagewise",
        "1e-2 for fifty epochs, then 1e-4.",
        (
            Variant(
                "constant(1e-2, 50ep) >> constant(1e-4)",
                (Formula(lambda t: 1e-2 if t < 2500 else 1e-4, range(0, 5000, 50)),),
                context=EPOCH,
                until=5000,
                log=True,
            ),
        ),
    ),
    Strategy(
        "inverse-sqrt-of-time",
        "Over the root of time",
        "η₀/√(1 + t/τ) with τ = 25.",
        (
            Variant(
                "inverse_sqrt(25)",
                (Formula(lambda t: 0.1 / sqrt(1 + t / 25), range(0, 1000, 3)),),
                until=500,
            ),
        ),
    ),
    Strategy(
        "polynomial-0.9",
        "Polynomial, power 0.9",
        "η₀(1 - t/N)^p with η₀ = 0.01, p = 0.9, N = 100, known from segmentation (DeepLab, Chen et al. 2018).",
        (
            Variant(
                "polynomial(100, power=0.9)",
                (
                    Formula(lambda t: 0.01 * ((100 - t) / 100) ** 0.9, range(101)),
                    Peer("torch.optim.lr_scheduler.PolynomialLR(optimizer, 100, 0.9)", 110),
                ),
                base=0.01,
            ),
        ),
    ),
    Strategy(
        "step-every-five-epochs",
        "A tenth every five epochs",
        "SGD at 0.1 with momentum 0.9 and `StepLR(5, 0.1)`, for ten epochs.",
        (
            Variant(
                "step(5ep, gamma=0.1)",
                (
                    Formula(lambda t: 0.1 * 0.1 ** (t // 250), range(500)),
                    Peer("torch.optim.lr_scheduler.StepLR(EPOCHS(50), 5, 0.1)", 500),
                ),
                context=EPOCH,
                until=499,
                log=True,
            ),
        ),
    ),
    Strategy(
        "fixed",
        "Fixed",
        "0.05 from the first update to the last.",
        (Variant("hold()", (Formula(lambda t: 0.05, (0, 1, 10**6)),), base=0.05, until=1000),),
    ),
    Strategy(
        "step-by-thousands",
        "A tenth every thousand steps",
        "From 0.1, over ten thousand steps; what it has reached at the end is held.",
        (
            Variant(
                "step(1000, gamma=0.1, n=10000)",
                (Formula(lambda t: 0.1 * 0.1 ** (t // 1000), range(0, 10_000, 50)),),
                log=True,
            ),
        ),
    ),
    Strategy(
        "plateau-of-validation-loss",
        "A tenth on a plateau of the validation loss",
        "Reported once in a while, not after every update.",
        (
            Variant(
                "hold() | plateau(patience=2, factor=0.1, metric=val_loss)",
                (
                    Replay("torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2)"),
                    Replay(plateau(patience=2, factor=0.1)),
                ),
                metric="validation",
                until=2000,
                log=True,
            ),
        ),
    ),
    Strategy(
        "halved-twice",
        "Halved at epochs 10 and 20",
        "`MultiStepLR`, milestones in epochs.",
        (
            Variant(
                "multistep([10ep, 20ep], gamma=0.5)",
                (
                    Formula(lambda t: 0.1 * 0.5 ** ((t >= 500) + (t >= 1000)), range(0, 1500, 10)),
                    Peer("torch.optim.lr_scheduler.MultiStepLR(EPOCHS(50), [10, 20], 0.5)", 1500),
                ),
                context=EPOCH,
                until=1500,
            ),
        ),
    ),
    Strategy(
        "three-decays",
        "Factor per epoch, polynomial, warm-up",
        "lr₀·γ^epoch; lr₀(1 - t/T)²; lr₀·min(t/W, 1).",
        (
            Variant(
                "step(1ep, gamma=0.9)",
                (Formula(lambda t: 0.1 * 0.9 ** (t // 10), range(300)),),
                context={"steps_per_epoch": 10},
                until=59,
            ),
            Variant(
                "polynomial(40, power=2)",
                (Formula(lambda t: 0.1 * ((40 - t) / 40) ** 2, range(41)),),
                context={"steps_per_epoch": 10},
                until=59,
            ),
            Variant(
                "warmup(20)",
                (Formula(lambda t: 0.1 * min(t / 20, 1), range(40)),),
                context={"steps_per_epoch": 10},
                until=59,
            ),
        ),
        together=True,
    ),
    Strategy(
        "cyclic-triangles",
        "Triangles between 0.001 and 0.1",
        "`CyclicLR`: a thousand steps up, a thousand down, all of one height.",
        (
            Variant(
                "cyclic(1000, from=0.001, to=0.1)",
                (
                    Formula(lambda t: 0.001 + 0.099 * hat(t, 1000, 1000), range(0, 8000, 50)),
                    Peer(
                        "torch.optim.lr_scheduler.CyclicLR(optimizer, 0.001, 0.1, 1000, mode='triangular', "
                        "cycle_momentum=False)",
                        4100,
                    ),
                ),
                until=8000,
            ),
        ),
    ),
    Strategy(
        "gradient-norm",
        "By the norm of the gradient",
        "Scaled down where the norm exceeds a target, which is what clipping does to the step of SGD (Pascanu et al. "
        "2013, https://arxiv.org/abs/1211.5063); or cut for a while after a spike.",
        (
            Variant("hold() | normscale(2)", (Replay(normscale(2)),), metric="spikes", until=200),
            Variant(
                "hold() | guard(metric=grad_norm, spike=3)",
                (Replay(guard(spike=3)),),
                metric="spikes",
                until=400,
            ),
        ),
    ),
    Strategy(
        "divergence",
        "Cut on divergence",
        "To a tenth at every report that is not a number, or to a hundredth at a spike too, and for good: "
        "`recover=inf`. Two nan in a row, as here, cut twice. PaLM's way with spikes, by hand, was another: back to a "
        "checkpoint, and on without those batches (Chowdhery et al. 2022, https://arxiv.org/abs/2204.02311).",
        (
            Variant(
                "hold() | guard(factor=0.1, recover=inf)",
                (Replay(guard(factor=0.1, recover=None)),),
                metric="diverges",
                until=300,
                log=True,
            ),
            Variant(
                "cosine(1000) | guard(spike=3, factor=0.01, recover=inf)",
                (
                    Replay(
                        lambda reports, base: [
                            rate * 0.5 * (1 + cos(pi * (s + 1) / 1000))
                            for s, rate in enumerate(guard(spike=3, factor=0.01, recover=None)(reports, base))
                        ]
                    ),
                ),
                metric="diverges",
                until=300,
                log=True,
            ),
        ),
    ),
    Strategy(
        "two-optimizers",
        "Generator and discriminator",
        "Two optimizers take two texts; two groups of one optimizer take two statements.",
        (
            Variant(
                "lr[generator] = warmup(10) >> cosine(90); lr[discriminator] = 4 * step(50, gamma=0.5)",
                (
                    Formula(
                        lambda t: 2e-4 * (t / 10 if t < 10 else 0.5 * (1 + cos(pi * (t - 10) / 90))),
                        range(100),
                        group="generator",
                    ),
                    Formula(lambda t: 8e-4 * 0.5 ** (t // 50), range(200), group="discriminator"),
                ),
                base=2e-4,
                context={"bases": {"lr[generator]": 2e-4, "lr[discriminator]": 2e-4}},
                until=149,
            ),
        ),
    ),
    Strategy(
        "torch-three",
        "StepLR, ExponentialLR, CosineAnnealingLR",
        "torch's three most used, side by side.",
        (
            Variant("step(30)", (Peer("torch.optim.lr_scheduler.StepLR(optimizer, 30)", 100),), until=100),
            Variant(
                "exponential(0.95)", (Peer("torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)", 200),), until=100
            ),
            Variant(
                "cosine(50, min=1e-4)",
                (
                    Peer(
                        "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, 1e-4)",
                        51,
                        parts=75,
                        why=CLIMBS,
                    ),
                ),
                until=100,
            ),
        ),
        together=True,
    ),
    Strategy(
        "torch-three-more",
        "MultiStepLR, ReduceLROnPlateau, LambdaLR",
        "Milestones, a plateau with a cooldown and a smallest rate, and a function.",
        (
            Variant(
                "multistep([30, 80])",
                (Peer("torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 80])", 120),),
                until=120,
                log=True,
            ),
            Variant(
                "hold() | plateau(patience=1, factor=0.5, cooldown=2, min=0.01)",
                (
                    Replay(
                        "torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=2, "
                        "min_lr=0.01)"
                    ),
                    Replay(plateau(patience=1, factor=0.5, cooldown=2, least=0.01)),
                ),
                metric="stalls",
                until=120,
                log=True,
            ),
            Variant(
                "expr(base * 0.95 ** t)",
                (
                    Formula(lambda t: 0.1 * exp(t * -0.05129329438755058), range(120)),
                    Peer("torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.95 ** t)", 120),
                ),
                until=120,
                log=True,
            ),
        ),
    ),
)
