"""What other libraries call the things of this language.

Hints for messages, never aliases. The names are those of torch, transformers, keras, optax, timm, composer, paddle,
mmengine, fastai, DeepSpeed, Megatron-LM, ignite and thinc. Capitals do not matter.
"""


def _words(table: dict[str, str]) -> dict[str, str]:
    """One entry per word of each key, capitals folded."""
    return {word.lower(): meaning for words, meaning in table.items() for word in words.split()}


NAMES = _words(
    {
        # Arguments. The first of ours that is possible is meant.
        "eta_min lr_min end_value end_lr lr_end end_learning_rate swa_lr cycle_min_lr": "to",
        "min_lr min_value": "to min",
        "final_lr target_lr stop end final target": "to",
        "init_value init_lr initial_lr initial_learning_rate start_lr start_value": "from",
        "start initial_rate warmup_lr_init warmup_min_lr lr_range_test_min_lr base_learning_rate": "from",
        "T_max t_initial total_iters num_steps n_steps num_iters iterations duration length iters T": "n total",
        "total_steps max_steps max_iters num_training_steps total_num_steps lr_decay_steps epochs num_epochs": "n total",
        "wsd_decay_steps num_decay_steps": "decay n",
        "decay_steps transition_steps decay_t first_decay_steps decay_period": "every n",
        "step_size step_size_up step_size_down lr_range_test_step_size interval period": "up every n",
        "T_0 cycle_len cycle_size": "n",
        "decay_rate lr_decay_rate": "gamma factor rate",
        "factor scale_factor": "gamma rate k",
        "gamma": "rate factor",
        "decay": "gamma factor linear",
        "lr_range_test_step_rate step_rate": "rate",
        "lr_range_test_staircase": "staircase",
        "milestones boundaries boundaries_and_scales milestones_values decay_milestones": "at",
        "max_lr max_learning_rate eta_max lr_max cycle_max_lr max_rate peak_lr peak_value peak": "peak max from base",
        "pct_start phase_pct cut_frac": "up",
        "anneal_strategy decay_type interpolate_type lr_wsd_decay_style decay_style lr_decay_style": "shape",
        "warmup_type warmup_mode": "shape",
        "T_mult t_mul cycle_mul cycle_mult": "mult",
        "m_mul cycle_decay start_value_mult": "gain",
        "cycle_limit num_cycles n_cycles cycles": "times",
        "model_size hidden_size": "d_model",
        "warmup_steps num_warmup_steps warmup_iters warmup_t t_warmup warmup_num_steps lr_warmup_steps": "warmup",
        "warmup_epochs warmup_duration warmup_ratio": "warmup",
        "monitor metric_name": "metric",
        "min_delta rtol atol": "threshold",
        "threshold_rule": "threshold_mode",
        "rule": "mode",
        "patience_t max_patience patience_epochs": "patience",
        "cooldown_t cooldown_epochs": "cooldown",
        "accumulation_size": "every",
        "window_size": "smooth",
        "max_norm clip_value": "target",
        "lo low lower": "min",
        "hi high upper": "max",
        "exponent p": "power",
        # Names of values and of targets.
        "learning_rate": "lr base from",
        "lr": "base from",
        "base_lr lr0": "base from",
        "global_step current_step iteration": "step t",
        "progress": "u",
        "infinity": "inf",
        "wd l2": "weight_decay",
        "mom": "momentum",
        "epsilon": "eps",
        # Functions.
        "const constant_schedule ConstantLR ConstantScheduler ConstantParamScheduler": "constant",
        "flat stable stay keep get_constant_schedule SchedNo": "hold",
        "ramp rampup LinearWarmup linear_lr_warmup": "warmup",
        "LinearLR linear_schedule LinearScheduler LinearParamScheduler SchedLin": "linear",
        "cos CosineAnnealingLR CosineDecay cosine_decay_schedule CosineAnnealingScheduler SchedCos": "cosine",
        "CosineLRScheduler CosineAnnealingDecay cosine_decay CosineAnnealingParamScheduler anneal": "cosine",
        "poly PolynomialLR PolynomialDecay polynomial_schedule PolyLR PolyLRScheduler SchedPoly": "polynomial",
        "PolynomialScheduler PolyParamScheduler polynomial_decay": "polynomial",
        "sqrt": "one_minus_sqrt",
        "expo SchedExp": "geometric",
        "exp_decay exponential_decay ExponentialLR ExponentialDecay ExponentialScheduler": "exponential",
        "ExponentialParamScheduler": "exponential",
        "StepLR StepLRScheduler StepScheduler StepDecay StepParamScheduler": "step",
        "MultiStepLR MultiStepLRScheduler MultiStepScheduler MultiStepDecay PiecewiseConstantDecay": "multistep",
        "piecewise_constant_schedule PiecewiseDecay piecewise_decay MultiStepParamScheduler": "multistep",
        "piecewise piecewise_constant": "multistep",
        "steps": "multistep n",
        "rsqrt inverse_square_root inv_sqrt get_inverse_sqrt_schedule": "inverse_sqrt",
        "InverseTimeDecay inverse_time_decay decaying": "inverse_time",
        "NoamDecay noam_decay": "noam",
        "one_cycle OneCycleLR OneCycleParamScheduler cosine_onecycle_schedule": "onecycle",
        "linear_onecycle_schedule fit_one_cycle": "onecycle",
        "CyclicLR triangular cyclic_triangular LinearCyclicalScheduler": "cyclic",
        "TanhLRScheduler": "tanh",
        "PiecewiseLinear piecewise_linear piecewise_interpolate_schedule": "points",
        "LRRangeTest lr_find LRFinder": "range_test",
        "get_wsd_schedule warmup_stable_decay trapezoid trapezoidal": "wsd",
        "lr_lambda LambdaLR MultiplicativeLR LambdaDecay MultiplicativeDecay LearningRateScheduler formula": "expr",
        "ReduceLROnPlateau ReduceOnPlateau ReduceOnPlateauLR reduce_on_plateau PlateauLRScheduler": "plateau",
        "reduce_lr_on_plateau ReduceLROnPlateauScheduler get_reduce_on_plateau_schedule": "plateau",
        "ReduceOnPlateauParamScheduler": "plateau",
        "GreedyLR get_greedy_schedule": "greedy",
        "clip bound limit": "clamp",
        "restart restarts": "repeat cycle",
    }
)
"""Their word → ours, several where it depends on what is possible."""

CALLED = _words(
    {
        "warmup.warmup_steps warmup.num_warmup_steps warmup.warmup_iters warmup.warmup_num_steps warmup.t_warmup": "n",
        "warmup.warmup_epochs warmup.warmup_duration warmup.warmup_t warmup.lr_warmup_steps": "n",
        "cyclic.step_size_down": "down",
        "cyclic.max_lr cyclic.max_learning_rate cyclic.peak_lr cyclic.peak_value cyclic.peak cyclic.max": "to",
        "warmup.max_lr warmup.max_learning_rate warmup.peak_lr warmup.peak_value warmup.peak warmup.max": "to",
        "warmup.eta_max warmup.lr_max warmup.max_rate": "to",
        "wsd.decay_steps wsd.transition_steps": "decay",
        "multistep.epochs multistep.steps multistep.iters multistep.decay_epochs": "at",
        "step.steps step.epochs step.iters": "every",
        "step.rate multistep.rate exponential.rate": "gamma",
        "inverse_sqrt.warmup": "timescale",
        "repeat.decay cycle.decay": "gain",
        "onecycle.max": "peak",
        "onecycle.pct": "up",
        "polynomial.decay polynomial.gamma polynomial.degree": "power",
        "repeat.num_cycles repeat.cycle_limit": "times",
        "geometric.lr_min exponential.init_value": "from",
    }
)
"""``function.argument`` of theirs → ours, where the function decides."""

RATES = _words(
    {
        "start_factor alpha_i warmup_factor": "from={value|0.1}x",
        "end_factor alpha alpha_f eta_min_ratio min_lr_ratio min_lr_rate min_ratio": "to min={value|0.1}x",
        "min_lr_factor final_lr_ratio end_lr_ratio": "to min={value|0.1}x",
        "constant.factor constant.scale_factor": "value={value|0.1}x",
        "div_factor divide_factor div": "start={peak max_lr max_learning_rate|base} / {value|25}",
        "final_div_factor div_final": (
            "end={peak max_lr max_learning_rate|base} / {div_factor divide_factor div|25} / {value|10000}"
        ),
    }
)
"""Their argument, a factor → the rate that it makes. The first of the names before ``=`` that is possible is meant.

``{peak max_lr|base}`` is what the call gives for one of these names, and ``base`` if it gives none; ``value`` is what
the argument itself was given.
"""

RECIPES = _words(
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
            "warmup({num_warmup_steps|500}) >> polynomial(rest, power={power|1})"
        ),
        "PolynomialWithWarmupScheduler": "warmup({t_warmup|500}) >> polynomial(rest, power={power|2})",
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
        "loop forever": "cycle(cosine(1000))",
        "ParamGroupScheduler": "lr = cosine(1000); lr[head] = 10 * cosine(1000)",
    }
)
"""Their function → a schedule that does the same, where one name of ours is not enough.

Fields as in `RATES`; a number without a name fills the first. ``{... >>|…}`` is all arguments, joined.
"""

ADVICE = _words(
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

WORDS = _words(
    {
        "x": "`0.1x` is a tenth of base",
        "epoch epochs": "`1ep` is one epoch",
        "percent": "`10%` is a tenth of the run",
        "none null nil": "leave the argument out",
    }
)
"""A name that stands for no value here → what is written instead."""

FORMULA_WORDS = _words({"epoch epochs": "the epoch is `step / e`, after `let e = 1ep;`"})
"""The same inside a formula."""

TARGET_WORDS = _words(
    {
        "betas": "write `beta1 = ...; beta2 = ...`",
        "beta": "did you mean `beta1` or `beta2`?",
    }
)
"""The same before ``=``."""
