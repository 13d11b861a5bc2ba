"""What the libraries offer: constants, ramps and warm-ups."""

from __future__ import annotations

from math import cos, log, pi

from gallery.rows import Formula, Peer, Strategy, Variant

RAMPS = (
    Strategy(
        "constant",
        "Constant",
        "The rate stays where it is, or starts at a share of it for a few steps (torch `ConstantLR`).",
        (
            Variant(
                "hold()",
                (
                    Formula(lambda t: 0.1, (0, 1, 10**9)),
                    Peer("optax.constant_schedule(0.1)", 20),
                    Peer("transformers.get_constant_schedule(optimizer)", 20),
                ),
                until=20,
            ),
            Variant(
                "constant(0.25x, 6) >> constant(1x)",
                (Peer("torch.optim.lr_scheduler.ConstantLR(optimizer, 0.25, 6)", 20),),
                until=20,
            ),
        ),
        together=True,
    ),
    Strategy(
        "constant-then",
        "Constant, then something else",
        "One rate for a while, then a schedule that has been running on the whole run's clock: `skip(10)` starts it "
        "where that clock stands. thinc `constant_then`, big_vision.",
        (
            Variant(
                "constant(0.005, 10) >> (inverse_time(0.1, from=1x) | skip(10))",
                (
                    Formula(lambda t: 0.005 if t < 10 else 0.01 / (1 + 0.1 * t), range(60)),
                    Peer("thinc.schedules.constant_then(0.005, 10, thinc.schedules.decaying(0.01, 0.1))", 60),
                ),
                base=0.01,
                until=60,
            ),
        ),
    ),
    Strategy(
        "linear",
        "Linear ramp",
        "A straight line between two rates: torch `LinearLR`, optax `linear_schedule`, and most other libraries.",
        (
            Variant(
                "linear(10, from=0.1x, to=1x)",
                (
                    Peer("torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 10)", 20),
                    Peer("optax.linear_schedule(0.01, 0.1, 10)", 20),
                    Peer("fvcore.common.param_scheduler.LinearParamScheduler(0.01, 0.1)", 10),
                    Peer("paddle.optimizer.lr.LinearLR(0.1, 10, start_factor=0.1)", 20),
                    Peer(
                        "mmengine.optim.LinearParamScheduler(optimizer, 'lr', 0.1, end=11)",
                        20,
                        why="mmengine's length is end - begin - 1",
                    ),
                ),
            ),
            Variant(
                "linear(5, from=base / 3, to=1x)",
                (Peer("torch.optim.lr_scheduler.LinearLR(optimizer)", 20),),
            ),
        ),
        together=True,
    ),
    Strategy(
        "warmup",
        "Linear warm-up",
        "From 0, or from a share of the base, to the base: Goyal et al. 2017, https://arxiv.org/abs/1706.02677. "
        "Update 0 runs at 0, as in transformers, optax and Megatron; OLMo starts at a tenth.",
        (
            Variant(
                "warmup(500)",
                (
                    Formula(lambda t: 0.1 * min(t, 500) / 500, range(0, 700, 7)),
                    Peer("optax.schedules.warmup_constant_schedule(0.0, 0.1, 500)", 520),
                    Peer("transformers.get_constant_schedule_with_warmup(optimizer, 500)", 520),
                    Peer("thinc.schedules.warmup_linear(0.1, 500, 10**9)", 500),
                ),
                until=600,
            ),
            Variant(
                "warmup(500, from=0.1x)",
                (Formula(lambda t: 0.01 + 0.09 * min(t, 500) / 500, range(0, 700, 7)),),
                until=600,
            ),
        ),
        together=True,
    ),
    Strategy(
        "warmup-counting-from-one",
        "Linear warm-up that counts from 1",
        "No update at rate 0: the first runs at b/W. llm.c and schedule-free optimizers count so. Before a decay the "
        "base would be used twice, once at the end of the warm-up and once at the start of the decay.",
        (
            Variant(
                "(warmup(10) | skip(1)) >> hold()",
                (
                    Formula(lambda t: 0.1 * min((t + 1) / 10, 1), range(30)),
                    Peer("schedulefree.SGDScheduleFree(parameters, lr=0.1, warmup_steps=10)", 30),
                ),
                until=20,
            ),
        ),
    ),
    Strategy(
        "warmup-n-plus-one",
        "Linear warm-up over n + 1",
        "nanoGPT's way: (t+1)/(W+1), so that no update has rate 0 and none repeats the base.",
        (
            Variant(
                "(warmup(2001) | skip(1)) >> cosine(5000)",
                (
                    Formula(
                        lambda t: 0.1 * (t + 1) / 2001 if t < 2000 else 0.05 * (1 + cos(pi * (t - 2000) / 5000)),
                        range(0, 7000, 50),
                    ),
                ),
            ),
        ),
    ),
    Strategy(
        "other-warmups",
        "Warm-ups of other shapes",
        "Logarithmic (DeepSpeed `WarmupLR`, whose first two updates run at the minimum) and geometric (tensor2tensor, "
        "from a hundredth).",
        (
            Variant(
                "constant(0, 1) >> warmup(10, shape=log)",
                (
                    Formula(lambda t: 0.1 * min(log(max(t, 1)) / log(10), 1), range(20)),
                    Peer("deepspeed.runtime.lr_schedules.WarmupLR(optimizer, 0, 0.1, 10)", 20),
                ),
                until=16,
            ),
            Variant(
                "geometric(10, from=0.01x, to=1x)",
                (Formula(lambda t: 0.1 * 0.01 ** ((10 - min(t, 10)) / 10), range(20)),),
                until=16,
            ),
        ),
        together=True,
    ),
)
