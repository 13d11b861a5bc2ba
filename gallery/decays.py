"""What the libraries offer: decays, one shape each."""

from __future__ import annotations

from math import cos, exp, pi, sqrt

from gallery.rows import CLIMBS, SINGLE, Formula, Peer, Strategy, Variant

DECAYS = (
    Strategy(
        "step",
        "Step decay",
        "Multiplied by a factor every so many steps: torch `StepLR`; the same in every library.",
        (
            Variant(
                "step(7, gamma=0.5)",
                (
                    Peer("torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.5)", 50),
                    Peer("timm.scheduler.StepLRScheduler(optimizer, 7, 0.5)", 50),
                    Peer("composer.optim.StepScheduler('7ba', 0.5)", 50),
                    Peer("paddle.optimizer.lr.StepDecay(0.1, 7, 0.5)", 50),
                    Peer("keras.optimizers.schedules.ExponentialDecay(0.1, 7, 0.5, staircase=True)", 50),
                    Peer("mmengine.optim.StepParamScheduler(optimizer, 'lr', 7, 0.5)", 50),
                ),
                until=40,
            ),
        ),
    ),
    Strategy(
        "multistep",
        "Step decay at milestones",
        "Multiplied by a factor at each milestone; one that is listed twice counts twice: torch `MultiStepLR`. timm "
        "and big_vision cut one step earlier, they compare with t + 1.",
        (
            Variant(
                "multistep([5, 12, 12, 20])",
                (
                    Formula(lambda t: 0.1 * 0.1 ** sum(t >= a for a in (5, 12, 12, 20)), range(30)),
                    Peer("torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 12, 12, 20])", 30),
                    Peer("optax.piecewise_constant_schedule(0.1, {5: 0.1, 12: 0.01, 20: 0.1})", 30),
                    Peer(
                        "timm.scheduler.MultiStepLRScheduler(optimizer, [5, 12, 12, 20], 0.1)",
                        4,
                        parts=4,
                        why="timm compares milestones with t + 1: its cuts come one step earlier",
                    ),
                    Peer("timm.scheduler.MultiStepLRScheduler(optimizer, [6, 13, 13, 21], 0.1)", 30),
                    Peer("mmengine.optim.MultiStepParamScheduler(optimizer, 'lr', [5, 12, 12, 20])", 30),
                ),
                until=26,
                log=True,
            ),
        ),
    ),
    Strategy(
        "piecewise-constant",
        "Piecewise constant",
        "A value for each stretch. The boundary step belongs to what follows; in keras to what stood before, so its "
        "boundaries are one less.",
        (
            Variant(
                "multistep([5, 12], values=[0.1, 0.05, 0.001])",
                (
                    Formula(lambda t: 0.1 if t < 5 else 0.05 if t < 12 else 0.001, range(30)),
                    Peer(
                        "keras.optimizers.schedules.PiecewiseConstantDecay([4, 11], [0.1, 0.05, 0.001])",
                        30,
                    ),
                    Peer(
                        "keras.optimizers.schedules.PiecewiseConstantDecay([5, 12], [0.1, 0.05, 0.001])",
                        5,
                        parts=5,
                        why="keras gives the boundary step to the left: add 1 to its boundaries",
                    ),
                    Peer("paddle.optimizer.lr.PiecewiseDecay([5, 12], [0.1, 0.05, 0.001])", 30),
                    Peer("optax.piecewise_constant_schedule(0.1, {5: 0.5, 12: 0.02})", 30),
                    Peer(
                        "fvcore.common.param_scheduler.MultiStepParamScheduler([0.1, 0.05, 0.001], 30, [5, 12])",
                        30,
                    ),
                ),
                until=26,
            ),
        ),
    ),
    Strategy(
        "exponential",
        "Exponential decay with a floor",
        "Halved every ten steps, smoothly, and clipped from below: optax `exponential_decay(end_value=)`, thinc "
        "`compounding`. torch's `ExponentialLR` is the same without the floor.",
        (
            Variant(
                "exponential(0.5, every=10) | clamp(min=0.01)",
                (
                    Formula(lambda t: max(0.1 * 0.5 ** (t / 10), 0.01), range(60)),
                    Peer("optax.exponential_decay(0.1, 10, 0.5, end_value=0.01)", 60),
                    Peer("keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)", 33),
                    Peer("thinc.schedules.compounding(0.1, 0.01, 0.5 ** 0.1)", 60),
                ),
                until=60,
            ),
        ),
    ),
    Strategy(
        "natural-exponential",
        "Natural exponential decay",
        "e to the minus g·t, paddle's `NaturalExpDecay`; a formula says it as it is.",
        (
            Variant(
                "expr(base * exp(-0.1 * t))",
                (
                    Formula(lambda t: 0.1 * exp(-0.1 * t), range(60)),
                    Peer("paddle.optimizer.lr.NaturalExpDecay(0.1, 0.1)", 60),
                ),
                until=60,
            ),
        ),
    ),
    Strategy(
        "geometric",
        "Geometric decay to a value",
        "As exponential decay, but named by its end, which it hits exactly: fastai `SchedExp`.",
        (
            Variant(
                "geometric(100, to=0.01x)",
                (Formula(lambda t: 0.1 * 0.01 ** (t / 100), range(101)),),
                log=True,
            ),
        ),
    ),
    Strategy(
        "inverse-time",
        "Inverse time decay",
        "b/(1 + k·t/n), the classical rate of stochastic approximation: Robbins & Monro 1951; keras and paddle "
        "`InverseTimeDecay`, thinc `decaying`.",
        (
            Variant(
                "inverse_time(0.5, every=4)",
                (
                    Formula(lambda t: 0.1 / (1 + 0.5 * t / 4), range(100)),
                    Peer("keras.optimizers.schedules.InverseTimeDecay(0.1, 4, 0.5)", 60),
                    Peer("paddle.optimizer.lr.InverseTimeDecay(0.1, 0.125)", 60),
                    Peer("thinc.schedules.decaying(0.1, 0.125)", 60),
                ),
                until=100,
            ),
        ),
    ),
    Strategy(
        "polynomial",
        "Polynomial decay",
        "What is left of the way, to a power. End values and powers have silent defaults elsewhere (keras and paddle "
        "end at 1e-4, transformers at 1e-7; composer's power is 2, timm's 0.5): write them.",
        (
            Variant(
                "polynomial(25, power=3, to=0.001)",
                (
                    Formula(lambda t: 0.001 + 0.099 * ((25 - min(t, 25)) / 25) ** 3, range(30)),
                    Peer("optax.polynomial_schedule(0.1, 0.001, 3, 25)", 30),
                    Peer("keras.optimizers.schedules.PolynomialDecay(0.1, 25, 0.001, 3.0)", 30),
                    Peer("paddle.optimizer.lr.PolynomialDecay(0.1, 25, 0.001, 3.0)", 30),
                    Peer("timm.scheduler.PolyLRScheduler(optimizer, 25, 3.0, 0.001)", 30),
                    Peer(
                        "mmengine.optim.PolyParamScheduler(optimizer, 'lr', 0.001, 3.0, end=26)",
                        30,
                        why="mmengine's length is end - begin - 1, and it multiplies its own last value",
                    ),
                    Peer(
                        "transformers.get_polynomial_decay_schedule_with_warmup(optimizer, 0, 25, 0.001, 3.0)",
                        30,
                    ),
                ),
                until=30,
            ),
        ),
    ),
    Strategy(
        "polynomial-cycle",
        "Polynomial decay that stretches",
        "keras and paddle with `cycle=True`: each time the end is reached the length grows by another one, and the "
        "rate jumps back part of the way.",
        (
            Variant(
                "expr(0.01 + 0.09 * (1 - t / (10 * max(1, ceil(t / 10)))))",
                (
                    Peer("paddle.optimizer.lr.PolynomialDecay(0.1, 10, 0.01, 1.0, True)", 45),
                    Peer("keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.01, 1.0, True)", 45),
                ),
                until=45,
            ),
        ),
    ),
    Strategy(
        "cosine",
        "Cosine decay",
        "Half a cosine from the base to an end value: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, and "
        "the default of most recent work. The end value is a rate (torch, timm, Megatron) or a share (optax, keras, "
        "composer): `to=1e-3`, `to=0.01x`. After the end torch climbs back up, which is a cycle of two halves.",
        (
            Variant(
                "cosine(20, to=1e-3)",
                (
                    Peer("torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20, 1e-3)", 21, parts=30, why=CLIMBS),
                    Peer("optax.cosine_decay_schedule(0.1, 20, alpha=0.01)", 30),
                    Peer("keras.optimizers.schedules.CosineDecay(0.1, 20, alpha=0.01)", 30, relative=1e-6, why=SINGLE),
                    Peer("timm.scheduler.CosineLRScheduler(optimizer, 20, 1e-3)", 30),
                    Peer("composer.optim.CosineAnnealingScheduler('20ba', 0.01)", 30),
                    Peer("fvcore.common.param_scheduler.CosineParamScheduler(0.1, 1e-3)", 20),
                    Peer("paddle.optimizer.lr.CosineAnnealingDecay(0.1, 20, 1e-3)", 21),
                    Peer("mmengine.optim.CosineAnnealingParamScheduler(optimizer, 'lr', 20, 1e-3)", 21),
                ),
                until=45,
            ),
            Variant(
                "cycle(cosine(10, to=0.01) >> cosine(10, to=1x))",
                (Peer("torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, 0.01)", 45),),
                until=45,
            ),
        ),
        together=True,
    ),
    Strategy(
        "cosine-variants",
        "Bent cosines",
        "A cosine to a power (optax `exponent`), of bent time (timm `k_decay`), of more than half a period "
        "(transformers `num_cycles`).",
        (
            Variant(
                "expr(base * cospi(u / 2) ** 4, n=30)",
                (
                    Formula(lambda t: 0.1 * cos(pi * t / 60) ** 4, range(30)),
                    Peer("optax.cosine_decay_schedule(0.1, 30, exponent=2)", 40),
                ),
                until=44,
            ),
            Variant(
                "expr(base * cospi(u * u / 2) ** 2, n=30)",
                (
                    Formula(lambda t: 0.05 * (1 + cos(pi * t * t / 900)), range(30)),
                    Peer("timm.scheduler.CosineLRScheduler(optimizer, 30, k_decay=2.0)", 40),
                ),
                until=44,
            ),
            Variant(
                "cosine(22) >> cosine(22, to=1x)",
                (Peer("transformers.get_cosine_schedule_with_warmup(optimizer, 0, 44, num_cycles=1.0)", 45),),
                until=44,
            ),
        ),
        together=True,
    ),
    Strategy(
        "inverse-sqrt",
        "Inverse square root",
        "√(W/t) after a warm-up over W: t5x, tensor2tensor. In transformers and big_vision the time scale is a number "
        "of its own, 1/√(1 + (t - W)/τ), and so it is here: `inverse_sqrt(τ)`. Its default is W in transformers and "
        "10,000 in big_vision.",
        (
            Variant(
                "warmup(10) >> inverse_sqrt(10)",
                (
                    Formula(lambda t: 0.1 * (t / 10 if t < 10 else sqrt(10 / t)), range(100)),
                    Peer("transformers.get_inverse_sqrt_schedule(optimizer, 10)", 100),
                ),
                until=100,
            ),
        ),
    ),
    Strategy(
        "noam",
        "Noam",
        "The Transformer's own: linear warm-up, then inverse square root, with the peak set by the width of the "
        "model. Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Step 0 is 0 (paddle); the paper counts from 1: "
        "`| skip(1)`.",
        (
            Variant(
                "noam(64, warmup=10)",
                (
                    Formula(lambda t: 0.1 / 8 * min(t**-0.5, t * 10**-1.5) if t else 0.0, range(100)),
                    Peer("paddle.optimizer.lr.NoamDecay(64, 10, 0.1)", 60),
                ),
                until=60,
            ),
            Variant(
                "noam(64, warmup=10) | skip(1)",
                (Formula(lambda t: 0.1 / 8 * min((t + 1) ** -0.5, (t + 1) * 10**-1.5), range(100)),),
                until=60,
            ),
        ),
        together=True,
    ),
    Strategy(
        "tanh",
        "Hyperbolic tangent",
        "A sigmoid between two rates, of which it reaches neither exactly: Hsueh et al. 2019, "
        "https://arxiv.org/abs/1806.01593; timm `TanhLRScheduler`, which then steps to the end value.",
        (
            Variant(
                "tanh(25, lb=-6, ub=4, to=1e-5) >> constant(1e-5)",
                (Peer("timm.scheduler.TanhLRScheduler(optimizer, 25, -6.0, 4.0, 1e-5)", 40),),
                until=40,
            ),
        ),
    ),
)
