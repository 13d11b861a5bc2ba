"""Schedules of published runs: vision, and what is used everywhere."""

from __future__ import annotations

from math import sqrt

from gallery.formulas import half_cosine, pieces, some
from gallery.replay import plateau
from gallery.rows import Formula, Peer, Replay, Strategy, Variant

VISION = (
    Strategy(
        "vit",
        "ViT-S/16",
        "big_vision's plain baseline: 10,000 steps of warm-up, cosine to 0. Beyer et al. 2022, "
        "https://arxiv.org/abs/2205.01580",
        (
            Variant(
                "warmup(10k) >> cosine(rest)",
                (
                    Formula(
                        pieces((1e4, lambda t: 1e-7 * t), (112_590, lambda t: half_cosine(t / 102_590, 1e-3, 0))),
                        some(112_590),
                    ),
                    Peer("optax.warmup_cosine_decay_schedule(0.0, 1e-3, 10000, 112590)", 10_200),
                ),
                base=1e-3,
                context={"total_steps": 112_590},
            ),
        ),
    ),
    Strategy(
        "deit",
        "DeiT",
        "Five epochs from 1e-6, then the cosine of 300 epochs where its own clock stands by then (timm's warm-up lies "
        "over the schedule, not before it). The base grows with the batch: 5e-4 · 1024/512. Touvron et al. 2021, "
        "https://arxiv.org/abs/2012.12877",
        (
            Variant(
                "linear(5ep, from=1e-6, to=1x) >> (cosine(300ep, to=1e-5, from=1x) | skip(5ep))",
                (
                    Formula(
                        lambda t: 1e-6 + (1e-3 - 1e-6) * t / 6255 if t < 6255 else half_cosine(t / 375_300, 1e-3, 1e-5),
                        some(375_300),
                    ),
                    Peer(
                        "timm.scheduler.CosineLRScheduler(optimizer, 375300, 1e-5, warmup_t=6255, warmup_lr_init=1e-6)",
                        6500,
                    ),
                ),
                base=1e-3,
                context={"steps_per_epoch": 1251},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "mae",
        "MAE pre-training",
        "40 epochs up, 760 down; the base is 1.5e-4 · 4096/256. He et al. 2022, https://arxiv.org/abs/2111.06377",
        (
            Variant(
                "warmup(40ep) >> cosine(760ep)",
                (
                    Formula(
                        pieces(
                            (12_480, lambda t: 2.4e-3 * t / 12_480),
                            (249_600, lambda t: half_cosine(t / 237_120, 2.4e-3, 0)),
                        ),
                        some(249_600),
                    ),
                ),
                base=2.4e-3,
                context={"steps_per_epoch": 312},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "resnet-50",
        "ResNet-50 in an hour",
        "Gradual warm-up from 0.1 over five epochs, then a tenth at epochs 30, 60 and 80 of the whole run; the base is "
        "0.1 · 8192/256. Goyal et al. 2017, https://arxiv.org/abs/1706.02677",
        (
            Variant(
                "linear(5ep, from=0.1, to=1x) >> (multistep([30ep, 60ep, 80ep]) | skip(5ep))",
                (
                    Formula(
                        lambda t: (
                            0.1 + 3.1 * t / 780
                            if t < 780
                            else 3.2 * 0.1 ** sum(t >= 156 * epoch for epoch in (30, 60, 80))
                        ),
                        range(0, 14_040, 20),
                    ),
                ),
                base=3.2,
                context={"steps_per_epoch": 156},
                until=14_040,
                log=True,
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "sgdr",
        "SGDR",
        "Rounds of 10, 20, 40, 80 epochs on CIFAR (wide residual networks). Loshchilov & Hutter 2017, "
        "https://arxiv.org/abs/1608.03983",
        (
            Variant(
                "cycle(cosine(10ep), mult=2)",
                (Peer("torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3910, 2)", 12_000),),
                base=0.05,
                context={"steps_per_epoch": 391},
                until=58_649,
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "super-convergence",
        "Super-convergence",
        "Up to a rate that would break a constant run, down, and far below; momentum moves the other way. Smith & "
        "Topin 2018, https://arxiv.org/abs/1708.07120",
        (
            Variant(
                "lr = linear(45%, from=0.1, to=3) >> linear(45%, to=0.1) >> linear(10%, to=1e-3); "
                "momentum = linear(45%, from=0.95, to=0.85) >> linear(45%, to=0.95)",
                (
                    Formula(
                        pieces(
                            (4500, lambda t: 0.1 + 2.9 * t / 4500),
                            (9000, lambda t: 3 - 2.9 * t / 4500),
                            (10_000, lambda t: 0.1 - 0.099 * t / 1000),
                        ),
                        some(10_000),
                    ),
                    Formula(
                        pieces((4500, lambda t: 0.95 - 0.1 * t / 4500), (9000, lambda t: 0.85 + 0.1 * t / 4500)),
                        some(10_000),
                        target="momentum",
                    ),
                ),
                base=3.0,
                context={"total_steps": 10_000, "bases": {"momentum": 0.95}},
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "ddpm",
        "DDPM on CIFAR-10",
        "5,000 steps of warm-up, then constant. Ho et al. 2020, https://arxiv.org/abs/2006.11239",
        (
            Variant(
                "warmup(5000) >> hold()",
                (
                    Formula(lambda t: 2e-4 * min(t / 5000, 1), some(800_000)),
                    Peer("transformers.get_constant_schedule_with_warmup(optimizer, 5000)", 5200),
                ),
                base=2e-4,
                until=20_000,
            ),
        ),
        quoted=True,
    ),
    Strategy(
        "big-vision-cooldown",
        "Cooldown over inverse square root",
        "A run that may be long, and end at any time: only the cooldown knows the end. Zhai et al. 2022, "
        "https://arxiv.org/abs/2106.04560",
        (
            Variant(
                "warmup(10k) >> inverse_sqrt(10k) | cooldown(50k)",
                (
                    Formula(
                        lambda t: (
                            1e-3 * (t / 1e4 if t < 1e4 else sqrt(1e4 / t)) * min(1.0, max(0, 500_000 - t) / 50_000)
                        ),
                        some(510_000),
                    ),
                ),
                base=1e-3,
                context={"total_steps": 500_000},
            ),
        ),
    ),
    Strategy(
        "fine-tuning",
        "Fine-tuning with a plateau",
        "A planned cosine, and the cuts of a plateau on top of it.",
        (
            Variant(
                "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)",
                (
                    Replay(
                        lambda reports, base: [
                            cut / base * (base * s / 500 if s < 500 else half_cosine((s - 500) / 10_000, base, 1e-6))
                            for s, cut in zip(range(200, 10_001, 200), plateau(patience=3)(reports, base), strict=True)
                        ]
                    ),
                ),
                base=3e-4,
                metric="tuning",
                log=True,
            ),
        ),
    ),
    Strategy(
        "dino-weight-decay",
        "DINO, weight decay",
        "Weight decay that rises along a cosine, from 0.04 to 0.4. Caron et al. 2021, https://arxiv.org/abs/2104.14294",
        (
            Variant(
                "weight_decay = cosine(total, from=0.04, to=0.4)",
                (Formula(lambda t: half_cosine(t / 125_000, 0.04, 0.4), some(125_000), target="weight_decay"),),
                context={"total_steps": 125_000, "bases": {"weight_decay": 0.04}},
            ),
        ),
    ),
)
