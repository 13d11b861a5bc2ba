"""What other libraries call the things of this language.

Hints for messages, never aliases. The names are those of torch, transformers, keras, optax, timm, composer, paddle,
mmengine, fastai, DeepSpeed, Megatron-LM, ignite and thinc. Capitals do not matter.
"""


def words(table: dict[str, str]) -> dict[str, str]:
    """One entry per word of each key, capitals folded."""
    return {word.lower(): meaning for words, meaning in table.items() for word in words.split()}


NAMES = words(
    {
        # Arguments. The first of ours that is possible is meant.
        "eta_min lr_min end_value end_lr lr_end end_learning_rate swa_lr cycle_min_lr": "to",
        "min_lr min_value": "to min",
        "final_lr target_lr stop end final target": "to",
        "init_value init_lr initial_lr initial_learning_rate start_lr start_value": "from",
        "start initial_rate warmup_lr_init warmup_min_lr lr_range_test_min_lr base_learning_rate": "from",
        "T_max t_initial total_iters num_steps n_steps num_iters iterations duration length iters T": "n total",
        "total_steps max_steps max_iters num_training_steps total_num_steps lr_decay_steps": "n total",
        "epochs num_epochs": "n total",
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
        "max_lr max_learning_rate eta_max lr_max cycle_max_lr max_rate peak_lr peak_value": "peak max from base",
        "peak": "max from base",
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

CALLED = words(
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

RATES = words(
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
