"""What to write instead of what other libraries have, where one name of this language is not enough."""

from lrdsl.language.foreign import words

RECIPES = words(
    {
        "CosineAnnealingWarmRestarts CosineAnnealingWarmRestartsScheduler": (
            "cycle(cosine({T_0 t_0|1000}), mult={T_mult|1})"
        ),
        "CosineDecayRestarts fit_sgdr sgdr sgdr_schedule": "cycle(cosine({first_decay_steps n|1000}), mult={t_mul|2})",
        "cosine_restarts cosine_with_restarts": "cycle(cosine({n|1000}), mult={mult T_mult|2})",
        "CosineRestartLR CosineRestartParamScheduler": "cycle(cosine(1000))",
        "get_constant_schedule_with_warmup constant_with_warmup warmup_constant_schedule warmup_constant": (
            "warmup({num_warmup_steps warmup_steps|500}) >> hold()"
        ),
        "ConstantWithWarmupScheduler create_lr_scheduler_with_warmup": "warmup({t_warmup|500}) >> hold()",
        "WarmupLR": "warmup({warmup_num_steps|1000}, shape=log) >> hold()",
        "get_linear_schedule_with_warmup LinearWithWarmupScheduler": (
            "warmup({num_warmup_steps t_warmup|500}) >> linear(rest)"
        ),
        "WarmupDecayLR": "warmup({warmup_num_steps|1000}, shape=log) >> linear(rest)",
        "warmup_linear linear_with_warmup": "warmup({warmup warmup_steps|500}) >> linear(rest)",
        "get_cosine_schedule_with_warmup warmup_cosine_decay_schedule CosineAnnealingWithWarmupScheduler": (
            "warmup({num_warmup_steps warmup_steps t_warmup|500}) >> cosine(rest)"
        ),
        "WarmupCosineLR warmup_cosine cosine_with_warmup": (
            "warmup({warmup warmup_steps warmup_num_steps|500}) >> cosine(rest)"
        ),
        "cosine_with_min_lr get_cosine_with_min_lr_schedule_with_warmup cosine_warmup_with_min_lr": (
            "warmup({num_warmup_steps|500}) >> cosine(rest, to={min_lr|0.1x})"
        ),
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate": (
            "warmup({num_warmup_steps|500}) >> cosine(rest, to=0.1x)"
        ),
        "get_cosine_with_hard_restarts_schedule_with_warmup": (
            "warmup({num_warmup_steps|500}) >> repeat({num_cycles|3}, cosine(1000))"
        ),
        "get_polynomial_decay_schedule_with_warmup": (
            "warmup({num_warmup_steps|500}) >> polynomial(rest, power={power|1.0})"
        ),
        "PolynomialWithWarmupScheduler": "warmup({t_warmup|500}) >> polynomial(rest, power={power|2.0})",
        "MultiStepWithWarmupScheduler": "warmup({t_warmup|500}) * multistep([30ep, 60ep])",
        "warmup_exponential_decay_schedule": "warmup({warmup_steps|500}) >> exponential(0.9, every=1000)",
        "NaturalExpDecay natural_exp_decay": "expr(base * exp(-{gamma|0.1} * t))",
        "compounding": "exponential(1.01) | clamp(max=10x)",
        "slanted_triangular": "linear(10%, from=base / 32, to=1x) >> linear(rest, to=base / 32)",
        "fit_flat_cos": "hold(75%) >> cosine(rest)",
        "SWALR swa": "hold(80%) >> cosine(10ep, to={swa_lr|0.02}) >> hold()",
        "constant_then": "constant(0.01, 100) >> hold()",
        "SequentialLR join_schedules join sequential seq sequence chain combine_scheds ConcatScheduler then concat": (
            "{... >>|warmup(500) >> cosine(1000)}"
        ),
        "ChainedScheduler product multiply mul": "{... *|warmup(500) * exponential(0.99)}",
        "add sum plus": "{... +|cosine(1000) + constant(1e-5)}",
        "sub subtract minus": "{... -|constant(1x) - linear(1000, from=0, to=0.5x)}",
        "loop forever": "cycle({... >>|cosine(1000)})",
        "ParamGroupScheduler": "lr = cosine(1000); lr[head] = 10 * cosine(1000)",
    }
)
"""Their function → a schedule that does the same, where one name of ours is not enough.

Fields as in `foreign.RATES`; a number without a name fills the first. ``{... >>|…}`` is all arguments, joined.
"""

ADVICE = words(
    {
        "warmup_steps num_warmup_steps warmup_iters warmup_t t_warmup warmup_num_steps lr_warmup_steps warmup_epochs": (
            "a warm-up is a segment of its own: `warmup(500) >> cosine(1000)`"
        ),
        "warmup_ratio warmup_duration": "a warm-up is a segment of its own: `warmup(3%) >> cosine(rest)`",
        "warmup_target warmup_lr warmup_max_lr": "a warm-up is a segment of its own: `warmup(500) >> cosine(1000)`",
        "warmup.ratio warmup.warmup_ratio": "`n=3%` is a share of the run, `from=0.1x` one of base",
        "wsd.max_lr wsd.peak_lr wsd.peak_value wsd.peak": "it rises to base; another peak is `2 * wsd(1000, 100, 200)`",
        "min min_lr eta_min lr_min min_value floor": "a floor is a modifier: `... | clamp(min={value|1e-6})`",
        "min_lr_ratio eta_min_ratio min_ratio": "a floor is a modifier: `... | clamp(min={value|0.1}x)`",
        "cycle.T_0 cycle.n cycle.first_decay_steps": "the length is that of the body: `cycle(cosine({value|1000}))`",
        "cycle.times cycle.num_cycles cycle.cycle_limit": "a number of rounds is `repeat({value|3}, cosine(1000))`",
        "num_stable_steps": "`n` is the whole length; what `warmup` and `decay` leave is stable",
        "num_cycles cycles cycle_limit n_cycles": "rounds are `repeat({value|3}, cosine(1000))`",
        "T_mult t_mul cycle_mul cycle_mult": "growing rounds are `cycle(cosine(1000), mult=2)`",
        "m_mul cycle_decay": "shrinking rounds are `cycle(cosine(1000), gain=0.5)`",
        "last_epoch last_step verbose optimizer by_epoch t_in_epochs param_name": "leave it out",
        "eps epsilon": "leave it out: no cut is too small to make",
        "three_phase": (
            "three phases are three segments: "
            "`cosine(300, from=0.04x, to=1x) >> cosine(300, to=0.04x) >> cosine(400, to=4e-6x)`"
        ),
        "cycle_momentum base_momentum max_momentum moms": "momentum is a target: `momentum = constant(0.9)`",
        "cyclic.mode cyclic.scale_fn cyclic.scale_mode": "triangular2 is `gain=0.5`, exp_range is `gamma=0.999`",
    }
)
"""Their word → what to do instead, in words."""

WORDS = words(
    {
        "x": "`0.1x` is a tenth of base",
        "epoch epochs": "`1ep` is one epoch",
        "percent": "`10%` is a tenth of the run",
        "none null nil": "leave the argument out",
    }
)
"""A name that stands for no value here → what is written instead."""

FORMULA_WORDS = words({"epoch epochs": "the epoch is `step / e`, after `let e = 1ep;`"})
"""The same inside a formula."""

TARGET_WORDS = words(
    {
        "betas": "write `beta1 = ...; beta2 = ...`",
        "beta": "did you mean `beta1` or `beta2`?",
    }
)
"""The same before ``=``."""
