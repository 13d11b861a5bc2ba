"""`groups`: the parameters of a model in named groups, so that a text can say ``lr[head] = ...``."""

import math
from collections import Counter
from collections.abc import Collection, Sequence, Set
from fnmatch import fnmatchcase
from numbers import Real

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from lrdsl.language.hints import nearest
from lrdsl.optim.groups import Group, check_initialised

Patterns = str | Sequence[str] | Set[str]

REST = "other"
"""The group of all that no pattern matches; ``rest`` is a word of the language."""
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Normalisations; the first stands for every batch and instance norm."""


def groups(
    model: nn.Module,
    /,
    *,
    lr: float | None = None,
    weight_decay: float | None = None,
    no_decay: bool | Patterns = False,
    layer_decay: float | None = None,
    layers: Patterns | None = None,
    **patterns: Patterns,
) -> list[Group]:
    """Parameter groups with names, for any optimizer of torch's interface.

    Every keyword that is not listed below makes a group of that name: its value is a pattern, or a list of patterns,
    over the names of ``model.named_parameters()``. ``*`` stands for anything, dots included, ``?`` for one character,
    ``[ab]`` for one of these; case matters, and the whole name has to match. What no pattern matches is the group
    ``other``. Every parameter is in exactly one group, frozen ones too: a step passes over them until they are not.

    Where decay or layers tell parameters of one name apart, there are several groups, ``head`` and ``head/no_decay`` or
    ``head/layer3``: ``lr[head]`` means all of them, and each has its own base. So write their schedules relative to
    base (``cosine(1000)``, ``0.1x``): an absolute ``weight_decay = constant(0.1)`` holds for those without decay, too.

    | parameter | with ``no_decay`` |
    | --- | --- |
    | of a layer, group, RMS, batch or instance norm | weight decay 0 |
    | with at most one dimension: biases, gains, scales, norms of one's own | weight decay 0 |
    | whose own name has ``bias`` in it: ``bias_k``, ``relative_position_bias_table`` | weight decay 0 |
    | that a pattern of ``no_decay`` matches | weight decay 0 |
    | any other, embeddings included | ``weight_decay``, or else the optimizer's own |

    With ``layer_decay`` the rate falls from the output to the input:

        lr(layer) = lr * layer_decay ** (last - layer)

    Without ``lr`` here the factor is the group's ``lr_scale``, which lrdsl's optimizers apply to their own rate, but
    torch's do not know.

    | parameter | layer |
    | --- | --- |
    | before the first block, in the order of the model: patches, embeddings, positions | 0 |
    | of block k, counted from 1, or between it and the next | k |
    | after the last block: final norm, head | last, one more than there are blocks |

    A block is a child of an ``nn.ModuleList`` or ``nn.Sequential`` in which a class occurs twice or more; the outermost
    such containers count, and single layers such as ``nn.Linear`` are blocks only where there are no others.

    A tied parameter is listed once and under its first name, which also decides its layer; patterns see all its names.

    Args:
        model: Its parameters are grouped. After ``torch.compile`` or wrapping, names begin with the wrapper's.
        lr: Learning rate of the last layer; without ``layer_decay``, of every group. None: the optimizer's own.
        weight_decay: That of the groups that have any. None: the optimizer's own.
        no_decay: Whether norms and biases go without weight decay; patterns name parameters that do so besides.
        layer_decay: Factor from each layer to the one before it.
        layers: Patterns over ``model.named_modules()`` for the blocks, where they are not found or others are meant.
            Of nested ones the outermost count.
        **patterns: Name → patterns of a group.

    Returns:
        Groups with ``params``, ``param_names``, ``name``, and as far as it was asked for ``lr`` or ``lr_scale``,
        ``weight_decay`` and ``layer``; in the order in which the model first names one of their parameters. None is
        empty.

    Example:
        >>> import lrdsl
        >>> from torch import nn
        >>> body = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8))
        >>> model = nn.ModuleDict({"body": body, "classifier": nn.Linear(8, 2)})
        >>> groups = lrdsl.groups(model, head="classifier.*", no_decay=True)
        >>> for group in groups:
        ...     print(group["name"], group.get("weight_decay"), *group["param_names"])
        other None body.0.weight
        other/no_decay 0.0 body.0.bias body.1.weight body.1.bias
        head None classifier.weight
        head/no_decay 0.0 classifier.bias
        >>> opt = lrdsl.AdamW(groups, lr=1e-3, schedule="lr = cosine(100); lr[head] = 10 * cosine(100)")
        >>> [group["lr"] for group in opt.param_groups]
        [0.001, 0.001, 0.01, 0.01]

    Raises:
        ValueError: A pattern matches nothing; two groups match one parameter; the model has no parameters; a value is
            out of range; ``layer_decay`` finds no blocks.
        TypeError: The model is none, a pattern is no text, a value is no number.

    Source: no decay of one-dimensional parameters as in timm and nanoGPT; layers as in Clark et al. 2020, ELECTRA,
    https://arxiv.org/abs/2003.10555, and Bao et al. 2022, BEiT, https://arxiv.org/abs/2106.08254.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(model).__name__}")
    for what, value in (("lr", lr), ("weight_decay", weight_decay), ("layer_decay", layer_decay)):
        _check_number(what, value)
    if layer_decay is not None and not 0.0 < layer_decay <= 1.0:
        raise ValueError(f"expected layer_decay to be > 0 and <= 1, got {layer_decay!r}")
    if layer_decay is None and layers is not None:
        raise ValueError("layers has a meaning only with layer_decay")
    aliases = _aliases(model)
    owners = _owners(aliases, patterns)
    undecayed = _undecayed(model, aliases, no_decay)
    depths = {} if layer_decay is None else _depths(model, layers)
    last = max(depths.values(), default=0)
    found: dict[tuple[str, int, bool], list[tuple[str, nn.Parameter]]] = {}
    for parameter, (name, *_) in aliases.items():
        key = owners.get(parameter, REST), depths.get(name, last), parameter not in undecayed
        found.setdefault(key, []).append((name, parameter))
    result: list[Group] = []
    for (owner, layer, decays), members in found.items():
        parts = [owner, *([f"layer{layer}"] if depths else []), *([] if decays else ["no_decay"])]
        group: Group = {"params": [p for _, p in members], "param_names": [name for name, _ in members]}
        group["name"] = "/".join(parts)  # no other has it: loggers, like Lightning's, would mix them up
        scale = None if layer_decay is None else layer_decay ** (last - layer)
        if lr is not None:
            group["lr"] = lr if scale is None else lr * scale
        elif scale is not None:
            group["lr_scale"] = scale
        if depths:
            group["layer"] = layer
        if not decays:
            group["weight_decay"] = 0.0
        elif weight_decay is not None:
            group["weight_decay"] = weight_decay
        result.append(group)
    return result


def _check_number(what: str, value: object) -> None:
    if value is not None and (not isinstance(value, Real) or isinstance(value, bool)):
        raise TypeError(f"expected {what} to be a number, got {value!r}")
    if value is not None and not 0.0 <= float(value) < math.inf:
        raise ValueError(f"expected {what} to be a finite number >= 0, got {value!r}")


def _aliases(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    """Every parameter with all its names, in the order of the model."""
    aliases: dict[nn.Parameter, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        aliases.setdefault(parameter, []).append(name)
    if not aliases:
        raise ValueError("the model has no parameters")
    check_initialised([{"params": list(aliases), "param_names": [names[0] for names in aliases.values()]}])
    return aliases


def _owners(aliases: dict[nn.Parameter, list[str]], patterns: dict[str, Patterns]) -> dict[nn.Parameter, str]:
    """The group of every parameter that a pattern matches."""
    owners: dict[nn.Parameter, str] = {}
    for owner, own in patterns.items():
        if not owner or len(owner) > 256 or any(char in owner for char in '"\\\n'):
            raise ValueError(f"no text can address a group called {owner!r}")
        if owner == REST:
            raise ValueError(f"`{REST}` is the group of what no pattern matches: choose another name")
        matched = _matched(f"group `{owner}`", own, [name for names in aliases.values() for name in names], "parameter")
        members = [parameter for parameter, names in aliases.items() if not matched.isdisjoint(names)]
        for parameter in members:
            if parameter in owners:
                raise ValueError(
                    f"{' = '.join(aliases[parameter])} is matched by the groups `{owners[parameter]}` and `{owner}`: "
                    f"a parameter has one group, and what no pattern matches is `{REST}`"
                )
            owners[parameter] = owner
    return owners


def _matched(what: str, patterns: Patterns, names: Collection[str], kind: str) -> set[str]:
    """The names that some pattern matches; every pattern has to match one."""
    listed = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(listed, Sequence | Set) or not all(isinstance(pattern, str) for pattern in listed):
        # A misspelt option, such as `weight_deacy=0.1`, arrives here, too.
        raise TypeError(
            f"{what}: expected a pattern such as 'head.*', or a list of them, "
            f"got {type(patterns).__name__}; options are lr, weight_decay, no_decay, layer_decay and layers"
        )
    if not listed:
        raise ValueError(f"{what}: expected at least one pattern, got none")
    matched: set[str] = set()
    for pattern in listed:
        hits = {name for name in names if fnmatchcase(name, pattern)}
        if not hits:
            prefixes = [f"{parent}.*" for name in names for parent in _parents(name)]
            near = nearest(pattern, dict.fromkeys([*prefixes, *names]))
            heads = dict.fromkeys(name.partition(".")[0] for name in names)
            hint = f": did you mean '{near}'?" if near else f"; names begin with {', '.join(heads) or 'nothing'}"
            raise ValueError(f"{what}: the pattern '{pattern}' matches no {kind}{hint}")
        matched |= hits
    return matched


def _parents(name: str) -> list[str]:
    """Names of the modules around ``name``, innermost first."""
    return [name[:at] for at in range(len(name) - 1, 0, -1) if name[at] == "."]


def _undecayed(
    model: nn.Module, aliases: dict[nn.Parameter, list[str]], no_decay: bool | Patterns
) -> set[nn.Parameter]:
    """What goes without weight decay."""
    if no_decay is False:
        return set()
    listed: set[str] = set()
    if no_decay is not True:
        listed = _matched("no_decay", no_decay, [name for names in aliases.values() for name in names], "parameter")
    of_norms = {p for module in model.modules() if isinstance(module, NORMS) for p in module.parameters(recurse=False)}
    return {
        parameter
        for parameter, names in aliases.items()
        if parameter in of_norms
        or parameter.ndim <= 1
        or any("bias" in name.rpartition(".")[2] for name in names)
        or not listed.isdisjoint(names)
    }


def _depths(model: nn.Module, layers: Patterns | None) -> dict[str, int]:
    """The layer of every parameter, by its first name."""
    blocks = _blocks(model) if layers is None else _listed_blocks(model, layers)
    number = {block: index for index, block in enumerate(blocks, 1)}
    names = [name for name, _ in model.named_parameters()]
    depths: dict[str, int] = {}
    waiting: list[str] = []  # after a block; it is not known yet whether another one follows
    layer = 0
    for name in names:
        block = next((number[parent] for parent in _parents(name) if parent in number), None)
        if block is None:
            waiting.append(name)
            continue
        depths |= dict.fromkeys(waiting, layer)
        waiting, layer = [], block
        depths[name] = layer
    return depths | dict.fromkeys(waiting, len(blocks) + 1)


def _blocks(model: nn.Module) -> Sequence[str]:
    """Names of the numbered blocks, in the order of the model."""
    blocks: list[str] = []
    single: list[str] = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential) or f"{path}.".startswith(_prefixes(blocks)):
            continue
        children = {f"{path}.{name}".removeprefix("."): c for name, c in module.named_children() if _trains(c)}
        counts = Counter(map(type, children.values()))
        if any(counts[type(child)] > 1 and _is_composite(child) for child in children.values()):
            blocks += children
        elif any(count > 1 for count in counts.values()):
            single += [name for name, child in children.items() if not _is_composite(child)]
    if not blocks and not single:
        raise ValueError("layer_decay found no numbered blocks in the model: name them, as in layers='encoder.block?'")
    return blocks or single


def _listed_blocks(model: nn.Module, layers: Patterns) -> Sequence[str]:
    modules = dict(model.named_modules())
    matched = _matched(
        "layers", layers, [name for name, module in modules.items() if name and _trains(module)], "module"
    )
    return [name for name in modules if name in matched and matched.isdisjoint(_parents(name))]


def _prefixes(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}." for name in names)


def _trains(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


def _is_composite(module: nn.Module) -> bool:
    return any(True for _ in module.children())
