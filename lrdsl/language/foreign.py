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
        "eta_min lr_min end_value end_lr lr_end end_learning_rate alpha alpha_f end_factor swa_lr cycle_min_lr": "to",
        "min_lr min_lr_rate min_lr_ratio eta_min_ratio min_value": "to min",
        "final_lr target_lr stop end final": "to",
        "init_value init_lr initial_lr initial_learning_rate start_factor start_lr start_value alpha_i": "from",
        "start initial_rate warmup_lr_init warmup_min_lr lr_range_test_min_lr base_learning_rate": "from",
        "T_max t_initial total_iters num_steps duration length iters T": "n total",
        "total_steps max_steps max_iters num_training_steps total_num_steps lr_decay_steps epochs": "n total",
        "wsd_decay_steps num_decay_steps": "decay n",
        "decay_steps transition_steps decay_t first_decay_steps decay_period": "every n",
        "step_size step_size_up step_size_down lr_range_test_step_size interval period": "up every n",
        "T_0 cycle_len cycle_size": "n",
        "decay_rate lr_decay_rate": "gamma factor rate",
        "factor scale_factor": "gamma rate value k",
        "gamma": "rate factor",
        "decay": "gamma factor linear",
        "lr_range_test_step_rate step_rate": "rate",
        "lr_range_test_staircase": "staircase",
        "milestones boundaries boundaries_and_scales milestones_values decay_milestones": "at",
        "max_lr max_learning_rate eta_max lr_max cycle_max_lr max_rate peak_lr peak_value": "peak to max",
        "pct_start phase_pct cut_frac": "up",
        "div_factor divide_factor div": "start",
        "final_div_factor div_final": "end",
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
        "flat stable stay get_constant_schedule SchedNo": "hold",
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
        "steps MultiStepLR MultiStepLRScheduler MultiStepScheduler MultiStepDecay PiecewiseConstantDecay": "multistep",
        "piecewise_constant_schedule PiecewiseDecay piecewise_decay MultiStepParamScheduler": "multistep",
        "piecewise piecewise_constant": "multistep",
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
        "cyclic.max_lr cyclic.max_learning_rate": "to",
        "cosine.max_lr cosine.peak_lr cosine.peak_value linear.max_lr polynomial.max_lr": "from",
        "repeat.num_cycles repeat.cycle_limit": "times",
        "geometric.lr_min exponential.init_value": "from",
    }
)
"""``function.argument`` of theirs → ours, where the function decides."""

RECIPES = _words(
    {
        "CosineAnnealingWarmRestarts CosineDecayRestarts CosineRestartLR fit_sgdr sgdr": "cycle(cosine(1000), mult=2)",
        "sgdr_schedule CosineRestartParamScheduler": "cycle(cosine(1000), mult=2)",
        "CosineAnnealingWarmRestartsScheduler cosine_with_restarts": "cycle(cosine(1000), mult=2)",
        "get_constant_schedule_with_warmup constant_with_warmup warmup_constant_schedule": "warmup(500) >> hold()",
        "ConstantWithWarmupScheduler WarmupLR create_lr_scheduler_with_warmup": "warmup(500) >> hold()",
        "get_linear_schedule_with_warmup LinearWithWarmupScheduler WarmupDecayLR": "warmup(500) >> linear(rest)",
        "warmup_linear linear_with_warmup": "warmup(500) >> linear(rest)",
        "get_cosine_schedule_with_warmup warmup_cosine_decay_schedule WarmupCosineLR": "warmup(500) >> cosine(rest)",
        "CosineAnnealingWithWarmupScheduler warmup_cosine cosine_with_warmup": "warmup(500) >> cosine(rest)",
        "cosine_with_min_lr get_cosine_with_min_lr_schedule_with_warmup": "warmup(500) >> cosine(rest, to=0.1x)",
        "cosine_warmup_with_min_lr": "warmup(500) >> cosine(rest, to=0.1x)",
        "get_cosine_with_min_lr_schedule_with_warmup_lr_rate": "warmup(500) >> cosine(rest, to=0.1x)",
        "get_cosine_with_hard_restarts_schedule_with_warmup": "warmup(500) >> repeat(3, cosine(1000))",
        "get_polynomial_decay_schedule_with_warmup": "warmup(500) >> polynomial(rest, power=2)",
        "PolynomialWithWarmupScheduler": "warmup(500) >> polynomial(rest, power=2)",
        "MultiStepWithWarmupScheduler": "warmup(500) * multistep([30ep, 60ep])",
        "warmup_exponential_decay_schedule": "warmup(500) >> exponential(0.9, every=1000)",
        "NaturalExpDecay natural_exp_decay": "expr(base * exp(-0.1 * t))",
        "compounding": "exponential(1.01) | clamp(max=10x)",
        "slanted_triangular": "linear(10%, from=base / 32, to=1x) >> linear(rest, to=base / 32)",
        "fit_flat_cos": "hold(75%) >> cosine(rest)",
        "SWALR": "hold(80%) >> cosine(10ep, to=0.02) >> hold()",
        "constant_then": "constant(0.01, 100) >> hold()",
        "SequentialLR join_schedules join sequential seq chain combine_scheds ConcatScheduler then concat": (
            "warmup(500) >> cosine(1000)"
        ),
        "ChainedScheduler product multiply": "warmup(500) * exponential(0.99)",
        "ParamGroupScheduler": "lr = cosine(1000); lr[head] = 10 * cosine(1000)",
    }
)
"""Their function → a schedule that does the same, where one name of ours is not enough."""

ADVICE = _words(
    {
        "warmup_steps num_warmup_steps warmup_iters warmup_t t_warmup warmup_num_steps lr_warmup_steps warmup_epochs": (
            "a warm-up is a segment of its own: `warmup(500) >> cosine(1000)`"
        ),
        "warmup_ratio warmup_duration": "a warm-up is a segment of its own: `warmup(3%) >> cosine(rest)`",
        "warmup_target warmup_lr warmup_max_lr": "a warm-up is a segment of its own: `warmup(500) >> cosine(1000)`",
        "num_stable_steps": "`n` is the whole length; what `warmup` and `decay` leave is stable",
        "num_cycles cycles cycle_limit n_cycles": "rounds are `repeat(3, cosine(1000))`",
        "T_mult t_mul cycle_mul cycle_mult": "growing rounds are `cycle(cosine(1000), mult=2)`",
        "m_mul cycle_decay": "shrinking rounds are `cycle(cosine(1000), gain=0.5)`",
        "last_epoch last_step verbose optimizer by_epoch t_in_epochs param_name": "leave it out",
        "eps epsilon": "leave it out: no cut is too small to make",
        "three_phase": "three phases are three segments: `linear(300, from=0.04x, to=1x) >> linear(600) >> hold()`",
        "cycle_momentum base_momentum max_momentum moms": "momentum is a target: `momentum = constant(0.9)`",
        "cyclic.mode cyclic.scale_fn cyclic.scale_mode": "triangular2 is `gain=0.5`, exp_range is `gamma=0.999`",
    }
)
"""Their word → what to do instead, in words."""
