"""Did you mean ...? Spelling, and what every other library calls the same thing."""

import inspect
import re

import pytest

import lrdsl
from lrdsl.language.foreign import CALLED, NAMES
from lrdsl.language.hints import filled, nearest, suggestion
from lrdsl.language.recipes import ADVICE, RECIPES
from lrdsl.primitives import MODIFIERS, SEGMENTS
from tests.language.corpus import CONTEXT

FUNCTIONS = sorted({*SEGMENTS, *MODIFIERS, "max", "min", "clamp"})
ARGUMENTS = {
    "warmup": "n from to shape",
    "constant": "value n",
    "linear": "n to from min",
    "cosine": "n to from min",
    "polynomial": "n power to from min",
    "tanh": "n to from lb ub min",
    "exponential": "gamma every from n",
    "step": "every gamma from n",
    "multistep": "at gamma values from n",
    "inverse_sqrt": "timescale from n",
    "inverse_time": "rate every from n",
    "noam": "d_model warmup n",
    "onecycle": "n peak up start end shape",
    "cyclic": "up to from down gain gamma n",
    "points": "at values shape",
    "range_test": "every rate from staircase n",
    "wsd": "n warmup decay to shape min",
    "repeat": "times body mult gain",
    "cycle": "body mult gain",
    "plateau": "patience factor metric mode threshold threshold_mode cooldown min every",
    "greedy": "patience factor metric mode threshold threshold_mode cooldown warmup min max smooth",
    "clamp": "min max",
}


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("cosin", "cosine"),  # spelling
        ("platau", "plateau"),
        ("COSINE", "cosine"),
        ("geo", "geometric"),  # a prefix, which difflib finds too far
        ("foo", "floor"),
        ("", None),
        ("poly", "polynomial"),  # other libraries
        ("const", "constant"),
        ("expo", "geometric"),
        ("exp_decay", "exponential"),
        ("rsqrt", "inverse_sqrt"),
        ("steps", "multistep"),
        ("sqrt", "one_minus_sqrt"),
        ("lr_lambda", "expr"),
    ],
)
def test_nearest(word, meant):
    assert nearest(word, [*FUNCTIONS, "floor"]) == meant


# Names of classes and functions, as their libraries spell them.
THEIR_FUNCTIONS = {
    "torch": {
        "LambdaLR": "expr",
        "MultiplicativeLR": "expr",
        "StepLR": "step",
        "MultiStepLR": "multistep",
        "ConstantLR": "constant",
        "LinearLR": "linear",
        "ExponentialLR": "exponential",
        "PolynomialLR": "polynomial",
        "CosineAnnealingLR": "cosine",
        "CosineAnnealingWarmRestarts": "cycle(cosine(1000), mult=1)",
        "CyclicLR": "cyclic",
        "OneCycleLR": "onecycle",
        "ReduceLROnPlateau": "plateau",
        "SequentialLR": "warmup(500) >> cosine(1000)",
        "ChainedScheduler": "warmup(500) * exponential(0.99)",
        "SWALR": "hold(80%) >> cosine(10ep, to=0.02) >> hold()",
    },
    "transformers": {
        "get_constant_schedule": "hold",
        "get_constant_schedule_with_warmup": "warmup(500) >> hold()",
        "get_linear_schedule_with_warmup": "warmup(500) >> linear(rest)",
        "get_cosine_schedule_with_warmup": "warmup(500) >> cosine(rest)",
        "get_cosine_with_hard_restarts_schedule_with_warmup": "warmup(500) >> repeat(3, cosine(1000))",
        "get_polynomial_decay_schedule_with_warmup": "warmup(500) >> polynomial(rest, power=1.0)",
        "get_inverse_sqrt_schedule": "inverse_sqrt",
        "get_cosine_with_min_lr_schedule_with_warmup": "warmup(500) >> cosine(rest, to=0.1x)",
        "get_wsd_schedule": "wsd",
        "get_reduce_on_plateau_schedule": "plateau",
        "get_greedy_schedule": "greedy",
        "GreedyLR": "greedy",
        "constant_with_warmup": "warmup(500) >> hold()",
        "cosine_with_restarts": "cycle(cosine(1000), mult=2)",
        "reduce_lr_on_plateau": "plateau",
        "cosine_with_min_lr": "warmup(500) >> cosine(rest, to=0.1x)",
        "warmup_stable_decay": "wsd",
    },
    "keras": {
        "ExponentialDecay": "exponential",
        "PiecewiseConstantDecay": "multistep",
        "PolynomialDecay": "polynomial",
        "InverseTimeDecay": "inverse_time",
        "CosineDecay": "cosine",
        "CosineDecayRestarts": "cycle(cosine(1000), mult=2)",
    },
    "optax": {
        "constant_schedule": "constant",
        "polynomial_schedule": "polynomial",
        "linear_schedule": "linear",
        "piecewise_constant_schedule": "multistep",
        "piecewise_interpolate_schedule": "points",
        "exponential_decay": "exponential",
        "cosine_decay_schedule": "cosine",
        "linear_onecycle_schedule": "onecycle",
        "cosine_onecycle_schedule": "onecycle",
        "warmup_constant_schedule": "warmup(500) >> hold()",
        "warmup_cosine_decay_schedule": "warmup(500) >> cosine(rest)",
        "warmup_exponential_decay_schedule": "warmup(500) >> exponential(0.9, every=1000)",
        "sgdr_schedule": "cycle(cosine(1000), mult=2)",
        "join_schedules": "warmup(500) >> cosine(1000)",
        "reduce_on_plateau": "plateau",
    },
    "timm": {
        "CosineLRScheduler": "cosine",
        "StepLRScheduler": "step",
        "MultiStepLRScheduler": "multistep",
        "PlateauLRScheduler": "plateau",
        "PolyLRScheduler": "polynomial",
        "TanhLRScheduler": "tanh",
    },
    "composer": {
        "StepScheduler": "step",
        "MultiStepScheduler": "multistep",
        "ConstantScheduler": "constant",
        "LinearScheduler": "linear",
        "ExponentialScheduler": "exponential",
        "CosineAnnealingScheduler": "cosine",
        "CosineAnnealingWarmRestartsScheduler": "cycle(cosine(1000), mult=1)",
        "PolynomialScheduler": "polynomial",
        "MultiStepWithWarmupScheduler": "warmup(500) * multistep([30ep, 60ep])",
        "ConstantWithWarmupScheduler": "warmup(500) >> hold()",
        "LinearWithWarmupScheduler": "warmup(500) >> linear(rest)",
        "CosineAnnealingWithWarmupScheduler": "warmup(500) >> cosine(rest)",
        "PolynomialWithWarmupScheduler": "warmup(500) >> polynomial(rest, power=2.0)",
    },
    "paddle": {
        "NoamDecay": "noam",
        "PiecewiseDecay": "multistep",
        "NaturalExpDecay": "expr(base * exp(-0.1 * t))",
        "StepDecay": "step",
        "LambdaDecay": "expr",
        "LinearWarmup": "warmup",
        "MultiStepDecay": "multistep",
        "ReduceOnPlateau": "plateau",
        "CosineAnnealingDecay": "cosine",
        "MultiplicativeDecay": "expr",
    },
    "mmengine": {
        "PolyLR": "polynomial",
        "CosineRestartLR": "cycle(cosine(1000))",
        "ReduceOnPlateauLR": "plateau",
        "StepParamScheduler": "step",
        "MultiStepParamScheduler": "multistep",
        "ConstantParamScheduler": "constant",
        "ExponentialParamScheduler": "exponential",
        "CosineAnnealingParamScheduler": "cosine",
        "LinearParamScheduler": "linear",
        "PolyParamScheduler": "polynomial",
        "OneCycleParamScheduler": "onecycle",
        "CosineRestartParamScheduler": "cycle(cosine(1000))",
        "ReduceOnPlateauParamScheduler": "plateau",
    },
    "fastai": {
        "SchedLin": "linear",
        "SchedCos": "cosine",
        "SchedNo": "hold",
        "SchedExp": "geometric",
        "SchedPoly": "polynomial",
        "combine_scheds": "warmup(500) >> cosine(1000)",
        "fit_one_cycle": "onecycle",
        "fit_flat_cos": "hold(75%) >> cosine(rest)",
        "fit_sgdr": "cycle(cosine(1000), mult=2)",
        "lr_find": "range_test",
    },
    "deepspeed": {
        "WarmupLR": "warmup(1000, shape=log) >> hold()",
        "WarmupDecayLR": "warmup(1000, shape=log) >> linear(rest)",
        "WarmupCosineLR": "warmup(500) >> cosine(rest)",
        "OneCycle": "onecycle",
        "LRRangeTest": "range_test",
    },
    "ignite": {
        "LinearCyclicalScheduler": "cyclic",
        "PiecewiseLinear": "points",
        "ConcatScheduler": "warmup(500) >> cosine(1000)",
        "create_lr_scheduler_with_warmup": "warmup(500) >> hold()",
        "ParamGroupScheduler": "lr = cosine(1000); lr[head] = 10 * cosine(1000)",
        "ReduceLROnPlateauScheduler": "plateau",
    },
    "thinc": {
        "warmup_linear": "warmup(500) >> linear(rest)",
        "compounding": "exponential(1.01) | clamp(max=10x)",
        "decaying": "inverse_time",
        "cyclic_triangular": "cyclic",
        "slanted_triangular": "linear(10%, from=base / 32, to=1x) >> linear(rest, to=base / 32)",
        "constant_then": "constant(0.01, 100) >> hold()",
    },
    "generic": {"inverse_square_root": "inverse_sqrt", "trapezoidal": "wsd", "restarts": "repeat", "clip": "clamp"},
}


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        pytest.param(word, ours, id=f"{lib}-{word}")
        for lib, rows in THEIR_FUNCTIONS.items()
        for word, ours in rows.items()
    ],
)
def test_functions_of_other_libraries(word, ours):
    assert suggestion(word, FUNCTIONS) == (f"write `{ours}`" if "(" in ours else f"did you mean `{ours}`?")


# function of ours: {their argument: ours, or a part of the advice}
THEIR_ARGUMENTS = {
    "cosine": {
        **{"T_max": "n", "eta_min": "to", "decay_steps": "n", "alpha": "to=0.1x", "t_initial": "n", "lr_min": "to"},
        **{"t_max": "n", "alpha_f": "to=0.1x", "min_lr": "to", "min_lr_rate": "to=0.1x", "num_training_steps": "n"},
        **{"end_value": "to", "init_value": "from", "total_iters": "n", "max_iters": "n", "eta_min_ratio": "to=0.1x"},
        **{"initial_learning_rate": "from", "lr_decay_steps": "n", "max_lr": "from", "peak_value": "from"},
        **{"num_warmup_steps": "warmup(500) >>", "warmup_steps": "warmup(500) >>", "warmup_ratio": "warmup(3%) >>"},
        **{"warmup_t": "warmup(500) >>", "t_warmup": "warmup(500) >>", "lr_warmup_steps": "warmup(500) >>"},
        **{"num_cycles": "repeat(3", "cycle_limit": "repeat(3", "T_mult": "mult=2", "cycle_decay": "gain=0.5"},
        **{"last_epoch": "leave it out", "verbose": "leave it out", "by_epoch": "leave it out"},
    },
    "linear": {
        "start_factor": "from=0.1x",
        "end_factor": "to=0.1x",
        "total_iters": "n",
        "transition_steps": "n",
        "end_lr": "to",
    },
    "polynomial": {"lr_end": "to", "end_learning_rate": "to", "decay_steps": "n", "exponent": "power"},
    "constant": {"factor": "value=0.1x", "total_iters": "n"},
    "warmup": {
        **{"num_warmup_steps": "n", "warmup_steps": "n", "warmup_num_steps": "n", "warmup_t": "n", "warmup_iters": "n"},
        **{
            "warmup_min_lr": "from",
            "warmup_lr_init": "from",
            "start_lr": "from",
            "max_lr": "to",
            "warmup_type": "shape",
        },
    },
    "step": {"step_size": "every", "decay_t": "every", "decay_rate": "gamma", "factor": "gamma"},
    "multistep": {"milestones": "at", "boundaries": "at", "boundaries_and_scales": "at", "decay_rate": "gamma"},
    "exponential": {
        "decay_rate": "gamma",
        "decay_steps": "every",
        "transition_steps": "every",
        "decay_period": "every",
    },
    "inverse_time": {"decay_rate": "rate", "gamma": "rate", "decay_steps": "every"},
    "noam": {"warmup_steps": "warmup", "model_size": "d_model"},
    "onecycle": {
        **{
            "max_lr": "peak",
            "peak_value": "peak",
            "pct_start": "up",
            "div_factor": "start=base / 25",
            "final_div_factor": "end=base / 25 / 10000",
        },
        **{
            "anneal_strategy": "shape",
            "total_steps": "n",
            "max_learning_rate": "peak",
            "divide_factor": "start=base / 25",
        },
        **{
            "phase_pct": "up",
            "eta_max": "peak",
            "lr_max": "peak",
            "div": "start=base / 25",
            "div_final": "end=base / 25 / 10000",
        },
        **{"transition_steps": "n", "three_phase": "three segments", "cycle_momentum": "momentum = constant(0.9)"},
    },
    "cyclic": {
        **{"base_lr": "from", "max_lr": "to", "step_size_up": "up", "step_size_down": "down", "mode": "gain=0.5"},
        **{
            "base_learning_rate": "from",
            "max_learning_rate": "to",
            "scale_fn": "gain=0.5",
            "max_momentum": "momentum =",
        },
    },
    "tanh": {"t_initial": "n", "lr_min": "to", "warmup_lr_init": "from"},
    "points": {"milestones_values": "at", "boundaries_and_scales": "at", "interpolate_type": "shape"},
    "range_test": {
        **{"lr_range_test_min_lr": "from", "lr_range_test_step_size": "every", "lr_range_test_step_rate": "rate"},
        **{"lr_range_test_staircase": "staircase"},
    },
    "wsd": {
        **{"num_warmup_steps": "warmup", "num_decay_steps": "decay", "num_training_steps": "n", "decay_type": "shape"},
        **{
            "wsd_decay_steps": "decay",
            "lr_wsd_decay_style": "shape",
            "min_lr_ratio": "to=0.1x",
            "num_stable_steps": "stable",
        },
    },
    "repeat": {
        "num_cycles": "times",
        "cycle_limit": "times",
        "cycle_mul": "mult",
        "m_mul": "gain",
        "n_cycles": "times",
    },
    "cycle": {"T_mult": "mult", "t_mul": "mult", "cycle_mult": "mult", "start_value_mult": "gain"},
    "plateau": {
        **{"min_lr": "min", "monitor": "metric", "min_delta": "threshold", "rtol": "threshold", "atol": "threshold"},
        **{"eps": "leave it out", "patience_t": "patience", "cooldown_t": "cooldown", "decay_rate": "factor"},
        **{"rule": "mode", "threshold_rule": "threshold_mode", "metric_name": "metric", "accumulation_size": "every"},
        **{"min_value": "min", "max_patience": "patience", "verbose": "leave it out"},
    },
    "greedy": {"min_lr": "min", "max_lr": "max", "window_size": "smooth"},
    "clamp": {"low": "min", "upper": "max"},
}


@pytest.mark.parametrize(
    ("function", "word", "ours"),
    [(function, word, ours) for function, rows in THEIR_ARGUMENTS.items() for word, ours in rows.items()],
)
def test_arguments_of_other_libraries(function, word, ours):
    possible = ARGUMENTS[function].split()
    hint = suggestion(word, possible, function)
    assert hint == f"did you mean `{ours}`?" if ours in possible else ours in hint


def test_the_arguments_here_are_those_of_the_language():
    for name, arguments in ARGUMENTS.items():
        primitive = SEGMENTS.get(name) or MODIFIERS.get(name)
        if primitive is not None:
            assert {*(p.name for p in primitive.parameters), *primitive.aliases} == set(arguments.split()), name


def test_every_scheduler_of_torch_has_a_hint():
    scheduler = pytest.importorskip("torch", reason="not run: torch is not installed").optim.lr_scheduler
    for name in scheduler.__all__:
        if name == "LRScheduler":
            continue
        hint = suggestion(name, FUNCTIONS)
        assert hint, name
        (ours,) = re.findall(r"did you mean `(\w+)`", hint) or [None]
        if ours in ARGUMENTS:
            possible = ARGUMENTS[ours].split()
            theirs = [word for word in inspect.signature(getattr(scheduler, name)).parameters if word not in possible]
            assert {word: None for word in theirs if suggestion(word, possible, ours) is None} == {
                word: None for word in theirs if word in ("steps_per_epoch",)
            }


@pytest.mark.parametrize(
    ("theirs", "argument", "step", "rate"),
    [
        ("linear(100, end_factor=0.1)", 1, 100, 0.1),
        ("linear(100, start_factor=0.25)", 1, 0, 0.25),
        ("cosine(100, min_lr_ratio=1e-2)", 1, 100, 0.01),
        ("cosine(100, alpha=0.5)", 1, 100, 0.5),
        ("constant(1, factor=0.3)", 1, 0, 0.3),
        ("onecycle(100, div_factor=8)", 1, 0, 1 / 8),
        ("onecycle(100, peak=4x, div_factor=8)", 2, 0, 4 / 8),
        ("onecycle(100, 2, div_factor=2.5)", 2, 0, 2 / 2.5),
        ("onecycle(100, final_div_factor=10)", 1, 100, 1 / 250),
        ("wsd(100, 10, 10, min_lr_ratio=0.2)", 3, 100, 0.2),
        ("warmup(100, warmup_factor=0.125)", 1, 0, 0.125),
    ],
)
def test_a_factor_becomes_the_rate_that_it_makes(theirs, argument, step, rate):
    """What is pasted in place of the argument gives the rate that the other library has: here base is 1."""
    with pytest.raises(lrdsl.ScheduleError) as caught:
        lrdsl.compile(theirs, base_lr=1)
    (pasted,) = re.findall("write `(.+?)`", caught.value.hint)
    arguments = theirs[:-1].partition("(")[2].split(", ")
    kept = arguments[:argument] if not theirs.startswith("constant") else []
    text = f"{theirs.partition('(')[0]}({', '.join([*kept, pasted])})"
    assert lrdsl.compile(text, base_lr=1).lr(step) == pytest.approx(rate, rel=1e-12)


def test_a_factor_that_is_no_number_gets_an_example():
    with pytest.raises(lrdsl.ScheduleError) as caught:
        lrdsl.compile("linear(100, end_factor=1 / 3)", base_lr=1)
    assert caught.value.hint == "a rate is needed, such as `to=0.1x`"


@pytest.mark.parametrize(
    ("theirs", "hint"),
    [
        ("CosineAnnealingWarmRestarts(T_0=10, T_mult=2)", "write `cycle(cosine(10), mult=2)`"),
        ("warmup_cosine(200, 5000)", "such as `warmup(200) >> cosine(rest)`"),  # 5000 may be a length or an end
        (
            "get_polynomial_decay_schedule_with_warmup(opt, 10, 900)",
            "such as `warmup(10) >> polynomial(rest, power=1.0)`",
        ),
        ("swa(10)", "such as `hold(80%) >> cosine(10ep, to=0.02) >> hold()`"),  # 10 is hardly a rate
        ("mul(2, cosine(10) + cosine(5))", "write `2 * (cosine(10) + cosine(5))`"),
        ("join_schedules([warmup(5), cosine(10)], [5])", "write `warmup(5) >> cosine(10)`"),
        ("join_schedules(5)", "such as `warmup(500) >> cosine(1000)`"),
        ("cosine(100, num_cycles=0.5)", "rounds are `repeat(3, cosine(1000))`"),
        ("cosine(100, num_cycles=4)", "rounds are `repeat(4, cosine(1000))`"),
    ],
)
def test_hints_take_the_numbers_of_the_call(theirs, hint):
    with pytest.raises(lrdsl.ScheduleError) as caught:
        lrdsl.compile(theirs, base_lr=1)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    "text",
    [
        "cosine(100) | guard(loss, none)",
        "cosine(100) | greedy(3, 0.5, acc, max)",
        "0.5 * tanh(100)",
        "tanh(100) / 2 >> hold()",
        "multistep([30, 80], 0.5, none)",
        "repeat(2, max(cosine(10), 0.1x))",
        "cosine(10, 0.001)",
        "points([10, 20, 050], [1, 2, 3])",  # not a thousand: a blank stands before it
    ],
)
def test_what_looks_misplaced_and_is_not(text):
    assert lrdsl.compile(text, base_lr=1).targets == ("lr",)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("lin", "linear"), ("cosine_restart", "cosine"), ("exp", "exponential"), ("minimum_lr_x", "min")],
)
def test_a_prefix_says_more_than_letters_in_common(word, meant):
    assert nearest(word, ["min", "constant", "linear", "cosine", "exponential"]) == meant


RECOMMENDED = {
    *(filled(text)[0] for text in RECIPES.values()),
    *re.findall("`(.+?)`", " ".join(filled(text)[0] for text in ADVICE.values())),
}


@pytest.mark.parametrize("text", sorted(text for text in RECOMMENDED if "(" in text and "..." not in text))
def test_what_is_recommended_compiles(text):
    assert lrdsl.compile(text, **CONTEXT, bases={"lr[head]": 1e-3, "momentum": 0.9}).targets


def test_a_foreign_word_comes_before_spelling_only_where_ours_is_possible():
    assert suggestion("milestones", ["n", "to"], "cosine") is None
    assert suggestion("steps", ["step", "stop"]) == "did you mean `step`?"


def test_every_meaning_is_a_word_of_the_language():
    arguments = {word for words in ARGUMENTS.values() for word in words.split()}
    others = {"total", "base", "lr", "weight_decay", "momentum", "eps", "step", "t", "u", "inf", "k", "target"}
    known = {*FUNCTIONS, *arguments, *others}
    assert {word for words in (*NAMES.values(), *CALLED.values()) for word in words.split()} <= known


def test_no_foreign_word_is_its_own_meaning():
    assert not [word for word, meaning in NAMES.items() if word in meaning.split()]
    assert not set(NAMES) & set(RECIPES)
