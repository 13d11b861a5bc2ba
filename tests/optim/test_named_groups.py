"""Every parameter is in the group that hand-written expectations say, with the rate and decay they say."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="not run: torch is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

import lrdsl  # noqa: E402


class Block(nn.Module):
    """A transformer block."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, 1, add_bias_kv=True)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))


class ViT(nn.Module):
    """A convolutional stem and a head that are sequences themselves, as in torchvision."""

    def __init__(self, width: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.stem = nn.Sequential(nn.Conv2d(3, width, 2), nn.BatchNorm2d(width), nn.Conv2d(width, width, 2))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))


class GPT(nn.Module):
    """A head tied to the embedding."""

    def __init__(self, width: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.wte = nn.Embedding(7, width)
        self.wpe = nn.Embedding(5, width)
        self.h = nn.ModuleList(Block(width) for _ in range(depth))
        self.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, 7, bias=False)
        self.lm_head.weight = self.wte.weight


class Residual(nn.Module):
    """A block of a ResNet."""

    def __init__(self, shortcut: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)
        if shortcut:
            self.downsample = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4))


class ResNet(nn.Module):
    """Two stages of two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Residual(False), Residual(False))
        self.layer2 = nn.Sequential(Residual(True), Residual(False))
        self.fc = nn.Linear(4, 2)


class Seq2Seq(nn.Module):
    """Two stacks, the first with a norm of its own at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Embedding(7, 4)
        for side in ("encoder", "decoder"):
            stack = nn.Module()
            stack.block = nn.ModuleList(Block() for _ in range(2))
            stack.final_norm = nn.LayerNorm(4)
            self.add_module(side, stack)


def by_name(groups: list[dict[str, Any]], key: str, default: Any = None) -> dict[str, Any]:
    """An entry of the group that every parameter is in."""
    return {name: group.get(key, default) for group in groups for name in group["param_names"]}


def assert_partition(groups: list[dict[str, Any]], model: nn.Module) -> None:
    """Every parameter once, under its first name; groups neither empty nor equal."""
    wanted = dict(model.named_parameters())
    listed = [pair for group in groups for pair in zip(group["param_names"], group["params"], strict=True)]
    assert len(listed) == len(wanted)
    assert all(wanted[name] is p for name, p in listed)
    assert all(group["params"] for group in groups)
    kinds = [(group["name"], group.get("lr"), group.get("weight_decay"), group.get("layer")) for group in groups]
    assert len(set(kinds)) == len(kinds)


# --- names ----------------------------------------------------------------------------------------------------------


def test_without_patterns_there_is_one_group() -> None:
    model = ViT()
    (group,) = lrdsl.groups(model)
    assert set(group) == {"params", "param_names", "name"}
    assert group["name"] == "other"
    assert_partition([group], model)


def test_patterns_name_groups_in_the_order_of_the_model() -> None:
    model = GPT()
    groups = lrdsl.groups(model, late=["ln_f.*", "h.1.*"], tables="w?e.*", norms="h.0.l[mn]*")
    assert [group["name"] for group in groups] == ["tables", "norms", "other", "late"]
    assert groups[0]["param_names"] == ["wte.weight", "wpe.weight"]
    assert groups[1]["param_names"] == ["h.0.ln.weight", "h.0.ln.bias"]
    assert all(name.startswith("h.0.") for name in groups[2]["param_names"])
    assert all(name.startswith(("h.1.", "ln_f.")) for name in groups[3]["param_names"])
    assert_partition(groups, model)


def test_a_pattern_means_the_whole_name_and_case_matters() -> None:
    model = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in ("head", "Head", "head1", "my_head")})
    assert by_name(lrdsl.groups(model, head="head.*"), "name") == {
        "head.weight": "head",
        "Head.weight": "other",
        "head1.weight": "other",
        "my_head.weight": "other",
    }


def test_frozen_parameters_are_grouped_and_rest() -> None:
    model = ViT()
    model.stem.requires_grad_(False)
    groups = lrdsl.groups(model, body=["stem.*", "blocks.*"])
    assert_partition(groups, model)
    assert by_name(groups, "name") == by_name(lrdsl.groups(ViT(), body=["stem.*", "blocks.*"]), "name")
    opt = lrdsl.AdamW(groups, lr=0.1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None
    opt.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if not name.startswith("stem")}


def test_a_tied_parameter_is_listed_once_and_answers_to_all_its_names() -> None:
    model = GPT()
    for pattern in ("lm_head.*", "wte.*"):
        groups = lrdsl.groups(model, head=pattern)
        assert_partition(groups, model)
        assert by_name(groups, "name")["wte.weight"] == "head"


# --- decay ----------------------------------------------------------------------------------------------------------


def test_norms_biases_and_gains_do_not_decay() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))
            self.gamma = nn.Parameter(torch.ones(4))
            self.relative_position_bias_table = nn.Parameter(torch.zeros(3, 4))
            self.table = nn.Embedding(3, 4)
            self.dense = nn.Linear(4, 4)
            self.square_norm = nn.LayerNorm((4, 4))
            self.group_norm = nn.GroupNorm(2, 4)
            self.rms_norm = nn.RMSNorm((2, 4))
            self.instance_norm = nn.InstanceNorm1d(4, affine=True)
            self.attn = nn.MultiheadAttention(4, 1, add_bias_kv=True)
            self.rnn = nn.GRU(4, 4)

    model = Odd()
    decays = {
        name
        for name, decay in by_name(lrdsl.groups(model, no_decay=True, weight_decay=0.1), "weight_decay").items()
        if decay
    }
    assert decays == {
        "table.weight",
        "dense.weight",
        "attn.in_proj_weight",
        "attn.out_proj.weight",
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
    }
    assert_partition(lrdsl.groups(model, no_decay=True), model)


def test_patterns_of_no_decay_come_on_top() -> None:
    found = by_name(lrdsl.groups(GPT(), no_decay=["wpe.*", "lm_head.weight"], weight_decay=0.1), "weight_decay")
    assert found["wpe.weight"] == found["wte.weight"] == found["ln_f.bias"] == 0.0
    assert found["h.0.mlp.0.weight"] == 0.1


def test_without_a_value_decay_is_the_optimizers() -> None:
    model = nn.Linear(2, 2)
    optimizer = lrdsl.AdamW(lrdsl.groups(model, no_decay=True), weight_decay=0.3)
    assert by_name(optimizer.param_groups, "weight_decay") == {"weight": 0.3, "bias": 0.0}


def test_parts_of_a_group_have_names_of_their_own_and_answer_to_its() -> None:
    groups = lrdsl.groups(ViT(), head="classifier.*", no_decay=True, weight_decay=0.1)
    assert [(group["name"], group["weight_decay"]) for group in groups] == [
        ("other", 0.1),
        ("other/no_decay", 0.0),
        ("head", 0.1),
        ("head/no_decay", 0.0),
    ]
    text = "lr = hold(); lr[head] = constant(0.5x)"
    for optimizer in (
        lrdsl.SGD(groups, lr=1.0, schedule=text),
        lrdsl.LRScheduler(torch.optim.SGD(groups, lr=1.0), text).optimizer,
    ):
        assert [group["lr"] for group in optimizer.param_groups] == [1.0, 1.0, 0.5, 0.5]


def test_a_part_can_be_meant_alone() -> None:
    groups = lrdsl.groups(ViT(), lr=1.0, head="classifier.*", no_decay=True, layer_decay=0.5)
    assert len({group["name"] for group in groups}) == len(groups)
    assert {"other/layer0", "other/layer3/no_decay", "head/layer3", "head/layer3/no_decay"} < {
        g["name"] for g in groups
    }
    optimizer = lrdsl.SGD(groups, lr=1.0, schedule="hold()")
    for rate, group in ((0.3, "head/layer3"), (0.7, "other/layer0/no_decay"), (0.9, "other/layer3")):
        optimizer.reschedule(rate, group=group)
    found = {g["name"]: g["lr"] for g in optimizer.param_groups if g["lr"] in (0.3, 0.7, 0.9)}
    assert found == {
        "head/layer3": 0.3,
        "head/layer3/no_decay": 0.3,
        "other/layer0/no_decay": 0.7,
        "other/layer3/no_decay": 0.9,
    }


# --- layers ---------------------------------------------------------------------------------------------------------

LAYERS = {
    "ViT": (ViT, {"cls_token": 0, "stem": 0, "blocks.0": 1, "blocks.1": 2, "norm": 3, "classifier": 3}),
    "GPT": (GPT, {"wte": 0, "wpe": 0, "h.0": 1, "h.1": 2, "ln_f": 3}),
    "ResNet": (
        ResNet,
        {"conv1": 0, "bn1": 0, "layer1.0": 1, "layer1.1": 2, "layer2.0": 3, "layer2.1": 4, "fc": 5},
    ),
    "Seq2Seq": (
        Seq2Seq,
        {
            "shared": 0,
            "encoder.block.0": 1,
            "encoder.block.1": 2,
            "encoder.final_norm": 2,
            "decoder.block.0": 3,
            "decoder.block.1": 4,
            "decoder.final_norm": 5,
        },
    ),
    "MLP": (
        lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)),
        {"0": 1, "2": 2, "4": 3},
    ),
    "wrapped": (
        lambda: nn.Sequential(GPT(), nn.Linear(4, 2)),
        {"0.wte": 0, "0.wpe": 0, "0.h.0": 1, "0.h.1": 2, "0.ln_f": 3, "1": 3},
    ),
}


@pytest.mark.parametrize(("make", "layers"), LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("no_decay", [False, True])
def test_layers_and_their_rates(make: Any, layers: dict[str, int], no_decay: bool) -> None:
    model = make()
    groups = lrdsl.groups(model, lr=8.0, layer_decay=0.5, no_decay=no_decay)
    assert_partition(groups, model)
    found = by_name(groups, "layer")
    covered = [name for path in layers for name in found if f"{name}.".startswith(f"{path}.")]
    assert sorted(covered) == sorted(found)
    for path, layer in layers.items():
        mine = {name for name in found if f"{name}.".startswith(f"{path}.")}
        assert mine
        assert {found[name] for name in mine} == {layer}, path
    rates = {layer: 8.0 / 2 ** (max(layers.values()) - layer) for layer in layers.values()}
    assert all(group["lr"] == rates[group["layer"]] for group in groups)


def test_listed_layers() -> None:
    groups = lrdsl.groups(ResNet(), lr=1.0, layer_decay=0.5, layers="layer?")
    assert {name.partition(".")[0]: layer for name, layer in by_name(groups, "layer").items()} == {
        "conv1": 0,
        "bn1": 0,
        "layer1": 1,
        "layer2": 2,
        "fc": 3,
    }
    # Of nested modules the outermost count: `layer1.0.conv` is matched, too.
    assert by_name(
        lrdsl.groups(ResNet(), lr=1.0, layer_decay=0.5, layers=["layer1.*", "layer2.*"]), "layer"
    ) == by_name(lrdsl.groups(ResNet(), lr=1.0, layer_decay=0.5), "layer")


def test_without_a_rate_the_optimizers_own_is_scaled() -> None:
    options = {"head": "classifier.*", "no_decay": True, "layer_decay": 0.75}
    given = lrdsl.AdamW(lrdsl.groups(ViT(), lr=0.8, **options))
    for lr in (0.8, torch.tensor(0.8, dtype=torch.float64)):
        scaled = lrdsl.AdamW(lrdsl.groups(ViT(), **options), lr=lr, schedule="linear(10)")
        assert [float(g["lr"]) for g in scaled.param_groups] == [g["lr"] for g in given.param_groups]
        scaled.step()
        assert scaled.param_groups[0]["lr"] == pytest.approx(0.9 * given.param_groups[0]["lr"])
    added = {"params": [("extra", nn.Parameter(torch.zeros(2)))], "lr": 0.5, "lr_scale": 0.5}
    given.add_param_group(added)
    assert given.param_groups[-1]["lr"] == 0.25 and added["lr"] == 0.5
    for scale, kind in ((-1.0, ValueError), (math.nan, ValueError), ("1", TypeError)):
        with pytest.raises(kind, match="expected lr_scale to be a"):
            lrdsl.SGD([{"params": [nn.Parameter(torch.zeros(2))], "lr_scale": scale}], lr=1.0)


# --- with optimizers ------------------------------------------------------------------------------------------------


def everything(model: nn.Module) -> list[dict[str, Any]]:
    return lrdsl.groups(model, lr=0.8, weight_decay=0.1, no_decay=True, layer_decay=0.5, head="classifier.*")


def test_a_text_addresses_the_groups() -> None:
    text = "lr = linear(4); lr[head] = 10 * linear(4); weight_decay = linear(4, from=1x, to=2x)"
    optimizer = lrdsl.AdamW(everything(ViT()), lr=1e9, schedule=text)
    optimizer.set_clock(2)  # halfway
    rate, decay = (by_name(optimizer.param_groups, key) for key in ("lr", "weight_decay"))
    # Layers: classifier and norm 3, blocks 1 and 2, the rest 0.
    assert rate["classifier.0.weight"] == rate["classifier.2.bias"] == pytest.approx(10 * 0.8 / 2)
    assert rate["norm.bias"] == pytest.approx(0.8 / 2)
    assert rate["blocks.1.mlp.0.weight"] == rate["blocks.1.mlp.0.bias"] == pytest.approx(0.8 / 2 / 2)
    assert rate["stem.0.weight"] == rate["cls_token"] == pytest.approx(0.8 / 8 / 2)
    assert decay["classifier.0.weight"] == decay["stem.0.weight"] == pytest.approx(0.15)
    assert decay["classifier.0.bias"] == decay["stem.1.weight"] == 0.0


@pytest.mark.parametrize("library", [lrdsl, torch.optim], ids=["lrdsl", "torch"])
def test_updates_are_those_of_one_optimizer_per_parameter(library: Any) -> None:
    torch.manual_seed(0)
    model = ViT()
    twin = copy.deepcopy(model)
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        p.grad = torch.randn_like(p)
        q.grad = p.grad.clone()
    groups = everything(model)
    rates, decays = by_name(groups, "lr"), by_name(groups, "weight_decay")
    library.AdamW(groups).step()
    for name, q in twin.named_parameters():
        torch.optim.AdamW([q], lr=rates[name], weight_decay=decays[name]).step()
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-4 * rates[name], msg=name)


@pytest.mark.parametrize("library", [lrdsl, torch.optim], ids=["lrdsl", "torch"])
def test_a_state_dict_keeps_names(library: Any) -> None:
    model = ViT()
    saved = library.AdamW(everything(model)).state_dict()
    wanted = [(group["name"], group["param_names"], group["layer"]) for group in everything(model)]
    assert [(group["name"], group["param_names"], group["layer"]) for group in saved["param_groups"]] == wanted
    other = library.AdamW(everything(ViT()))
    other.load_state_dict(saved)
    assert [(group["name"], group["param_names"], group["layer"]) for group in other.param_groups] == wanted


def test_messages_name_the_parameter() -> None:
    model = ViT()
    optimizer = lrdsl.AdamW(everything(model))
    model.norm.weight.grad = torch.zeros(4).to_sparse()
    with pytest.raises(TypeError, match=r"norm\.weight"):
        optimizer.step()


def test_groups_can_be_pickled_and_copied() -> None:
    groups = everything(ViT())
    for clone in (pickle.loads(pickle.dumps(groups)), copy.deepcopy(groups)):
        assert [set(group) for group in clone] == [set(group) for group in groups]
        for ours, theirs in zip(groups, clone, strict=True):
            assert all(torch.equal(p, q) for p, q in zip(ours["params"], theirs["params"], strict=True))
            assert {k: v for k, v in ours.items() if k != "params"} == {
                k: v for k, v in theirs.items() if k != "params"
            }


# --- any model ------------------------------------------------------------------------------------------------------

LEAVES = st.sampled_from(
    [lambda: nn.Linear(2, 2), lambda: nn.LayerNorm(2), lambda: nn.ReLU(), lambda: nn.Conv1d(1, 1, 1, bias=False)]
).map(lambda make: make())
TREES = st.recursive(
    LEAVES,
    lambda children: st.one_of(
        st.lists(children, max_size=3).map(nn.ModuleList),
        st.lists(children, max_size=3).map(lambda modules: nn.Sequential(*modules)),
        st.dictionaries(st.sampled_from("abc"), children, max_size=3).map(nn.ModuleDict),
    ),
    max_leaves=10,
)


@settings(max_examples=150)
@given(tree=TREES, data=st.data())
def test_any_model_is_partitioned(tree: nn.Module, data: st.DataObject) -> None:
    model = nn.ModuleDict({"a": tree, "b": nn.Linear(1, 1)})
    for p in list(model.parameters())[:-1]:
        p.requires_grad_(data.draw(st.booleans()))
    names = [name for name, _ in model.named_parameters()]
    pattern = data.draw(st.sampled_from([*names, "*.weight", "*[0-9]*", "b.?ias", "a*"]))
    options = {"lr": 1.0, "layer_decay": 0.5, "layers": "b"} if data.draw(st.booleans()) else {}
    try:
        groups = lrdsl.groups(model, one=pattern, no_decay=data.draw(st.booleans()), **options)
    except ValueError as error:
        assert "matches no parameter" in str(error)
        return
    assert_partition(groups, model)
    owners = {name: part.partition("/")[0] for name, part in by_name(groups, "name").items()}
    if pattern in names:
        assert [name for name, owner in owners.items() if owner == "one"] == [pattern]
    for prefix, suffix in (("a", ""), ("", ".weight")):
        if pattern == f"{prefix}*{suffix}":
            assert all(
                (owner == "one") == (name.startswith(prefix) and name.endswith(suffix))
                for name, owner in owners.items()
            )


# --- refusals -------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "misspelt": (
        {"head": "clasifier.*"},
        ValueError,
        "group `head`: the pattern 'clasifier.*' matches no parameter: did you mean 'classifier.*'?",
    ),
    "a module": ({"head": "classifier"}, ValueError, "did you mean 'classifier.*'?"),
    "one of several": (
        {"head": ["norm.*", "xyz"]},
        ValueError,
        "the pattern 'xyz' matches no parameter; names begin with cls_token, stem, blocks, norm, classifier",
    ),
    "no decay": (
        {"no_decay": "cls_tokens"},
        ValueError,
        "no_decay: the pattern 'cls_tokens' matches no parameter: did you mean 'cls_token'?",
    ),
    "two groups": (
        {"head": "classifier.*", "weights": "*.weight"},
        ValueError,
        "classifier.0.weight is matched by the groups `head` and `weights`",
    ),
    "no pattern": ({"head": []}, ValueError, "group `head`: expected at least one pattern, got none"),
    "the rest": ({"other": "*"}, ValueError, "`other` is the group of what no pattern matches"),
    "a name without a text": ({'"': "*"}, ValueError, "no text can address a group called '\"'"),
    "an option misspelt": (
        {"weight_deacy": 0.1},
        TypeError,
        "group `weight_deacy`: expected a pattern such as 'head.*', or a list of them, got float; options are lr, ",
    ),
    "numbers as patterns": ({"head": [1]}, TypeError, "got list"),
    "layers alone": ({"layers": "blocks.*"}, ValueError, "layers has a meaning only with layer_decay"),
    "layer_decay of 0": (
        {"layer_decay": 0.0, "lr": 1.0},
        ValueError,
        "expected layer_decay to be > 0 and <= 1, got 0.0",
    ),
    "layer_decay of 2": ({"layer_decay": 2, "lr": 1.0}, ValueError, "expected layer_decay to be > 0 and <= 1, got 2"),
    "missing layers": (
        {"layer_decay": 0.5, "lr": 1.0, "layers": "block.*"},
        ValueError,
        "layers: the pattern 'block.*' matches no module: did you mean 'blocks.*'?",
    ),
    "a rate of text": ({"lr": "1e-3"}, TypeError, "expected lr to be a number, got '1e-3'"),
    "a negative rate": ({"lr": -1.0}, ValueError, "expected lr to be a finite number >= 0, got -1.0"),
    "a decay of nan": (
        {"weight_decay": float("nan")},
        ValueError,
        "expected weight_decay to be a finite number >= 0, got nan",
    ),
}


@pytest.mark.parametrize(("options", "kind", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as raised:
        lrdsl.groups(ViT(), **options)
    assert message in str(raised.value)


def test_models_that_are_refused() -> None:
    with pytest.raises(ValueError, match="the model has no parameters"):
        lrdsl.groups(nn.Identity())
    with pytest.raises(ValueError, match="found no numbered blocks"):
        lrdsl.groups(nn.Linear(2, 2), lr=1.0, layer_decay=0.5)
    with pytest.raises(ValueError, match="weight has no shape yet"):
        lrdsl.groups(nn.LazyLinear(2))
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module, got generator"):
        lrdsl.groups(ViT().parameters())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"wte\.weight = lm_head\.weight is matched by the groups `table` and `head`"):
        lrdsl.groups(GPT(), table="wte.*", head="lm_head.*")
