"""The update rules, as options of `native_rows.Steps`; torch takes the same names."""

SGD_RULES = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "dampening": {"momentum": 0.9, "dampening": 0.3},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}
ADAM_RULES = {
    "adam": {},
    "amsgrad": {"amsgrad": True},
    "half": {"betas": (0.5, 0.9)},  # at and below one half, m is reached from the gradient's side
    "small": {"betas": (0.3, 0.99)},
    "no-memory": {"betas": (0.0, 0.9)},
}
DECAYS = {"": {}, "-decay": {"weight_decay": 0.1}, "-max": {"maximize": True, "weight_decay": 0.05}}

RULES = {
    **{f"{n}{d}": (0, {**o, **w}) for n, o in SGD_RULES.items() for d, w in DECAYS.items()},
    **{f"{n}{d}": (1, {**o, **w}) for n, o in ADAM_RULES.items() for d, w in DECAYS.items()},
    **{f"{n}w{d}": (1, {**o, **w, "decoupled": True}) for n, o in ADAM_RULES.items() for d, w in DECAYS.items()},
}
