"""`lrdsl check`, `fmt`, `explain` and `list`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lrdsl.errors import CODES

EXAMPLE = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"


def test_check_prints_notes(run: Any) -> None:
    ran = run("check", EXAMPLE)
    assert (ran.code, ran.err) == (0, "")
    first, *notes = ran.out.splitlines()
    assert first == f"ok: {EXAMPLE}"
    assert [note[:5] for note in notes if note.startswith("N")] == ["N0704"]


def test_check_strict(run: Any) -> None:
    assert run("check", "--strict", "cosine(9)").code == 0
    ran = run("check", "--strict", "cosine(9) >> hold(9)", "--total-steps", "9")
    assert (ran.code, ran.err) == (1, "")
    assert "N0701: the schedule has 18 steps, the run 9: it is cut short\n" in ran.out
    assert run("check", "cosine(9) >> hold(9)", "--total-steps", "9").code == 0


def test_check_ignores_notes(run: Any) -> None:
    text, total = "warmup(9) >> hold(9)", ("--total-steps", "9")
    assert run("check", "--strict", text).code == 1
    ran = run("check", "--strict", "--ignore", "N0704", text)
    assert (ran.code, ran.out) == (0, f"ok: {text}\n")
    ran = run("check", "--strict", "--ignore", "n0704", text, *total)
    assert ran.code == 1
    assert [line[:5] for line in ran.out.splitlines() if line.startswith("N")] == ["N0701"]
    ran = run("check", "--strict", "--json", "--ignore=N0704", "--ignore=N0701", text, *total)
    assert (ran.code, json.loads(ran.out)[0]["notes"]) == (0, [])


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("N0799", "did you mean N0709?"),
        ("E0204", "did you mean N0704?"),  # no error can be left out
        ("zzz", "they run from N0701 to N0712"),
    ],
)
def test_check_ignores_no_other_codes(run: Any, code: str, hint: str) -> None:
    ran = run("check", "--ignore", code, "cosine(9)")
    assert (ran.code, ran.out) == (2, "")
    assert f"there is no note {code.upper()}; {hint}" in ran.err


def test_check_says_in_its_help_what_it_ignores(run: Any) -> None:
    assert "--ignore CODE" in run("check", "--help").out


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hold() | plateau()", "listens to: loss"),
        ("(hold(99) | plateau(metric=val_loss)) >> hold() | guard() | plateau()", "listens to: val_loss, loss"),
        ("hold() | normscale(1) | guard()", "listens to: grad_norm (the optimizer reports it), loss"),
    ],
)
def test_explain_says_what_a_schedule_listens_to(run: Any, text: str, line: str) -> None:
    assert run("explain", text).out.splitlines()[-2:] == ["", line]


def test_explain_says_nothing_of_metrics_where_there_are_none(run: Any) -> None:
    assert "listens" not in run("explain", "cosine(9)").out


def test_check_reports_every_text(run: Any) -> None:
    ran = run("check", "cosin(9)", "cosine(9)", "cosine(3ep)")
    assert ran.code == 1
    assert ran.out == "ok: cosine(9)\n"
    assert ran.err == (
        "E0204: unknown function `cosin`\n  |\n1 | cosin(9)\n  | ^^^^^ did you mean `cosine`?\n"
        "E0401: `3ep` needs steps_per_epoch, which is not set\n  |\n1 | cosine(3ep)\n"
        "  |        ^^^ pass `--steps-per-epoch`\n"
    )


def test_check_prints_every_error_of_a_text(run: Any) -> None:
    ran = run("check", "cosin(9) >> linear(9, mn=1)")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "E0204: unknown function `cosin`\n"
        "  |\n"
        "1 | cosin(9) >> linear(9, mn=1)\n"
        "  | ^^^^^ did you mean `cosine`?\n"
        "E0202: `linear` has no argument `mn`; it takes n, to, from\n"
        "  |\n"
        "1 | cosin(9) >> linear(9, mn=1)\n"
        "  |                       ^^^^ did you mean `min`?\n"
    )
    (report,) = json.loads(run("check", "--json", "cosin(9) >> linear(9, mn=1)").out)
    assert [(error["code"], error["span"]) for error in report["errors"]] == [("E0204", [0, 5]), ("E0202", [22, 26])]


def test_check_prints_a_syntax_error_alone(run: Any) -> None:
    assert run("check", "cosin(9) >> linear(9, mn=1").err.count("E0") == 1


def test_other_verbs_print_the_first_error(run: Any) -> None:
    assert run("plot", "cosin(9) >> linear(9, mn=1)").err.count("E0") == 1


def test_check_json(run: Any) -> None:
    ran = run("check", "--json", "cosin(9)", EXAMPLE)
    assert (ran.code, ran.err) == (1, "")
    wrong, right = json.loads(ran.out)
    assert wrong == {
        "text": "cosin(9)",
        "source": None,
        "errors": [
            {"code": "E0204", "message": "unknown function `cosin`", "span": [0, 5], "hint": "did you mean `cosine`?"}
        ],
        "notes": [],
    }
    assert right["errors"] == []
    assert [(note["code"], note["span"]) for note in right["notes"]] == [("N0704", [0, 11])]


def test_context_options(run: Any) -> None:
    options = (
        *("--base-lr", "2", "--total-steps", "10k", "--steps-per-epoch", "100"),
        *("--tokens-per-step", "1e6", "--samples-per-step", "256"),
        *("--param", "warm=500", "--param", "peak=0.5", "--base", "weight_decay=0.1", "--base", "lr[head]=1e-4"),
    )
    text = (
        "lr = warmup(warm, to=peak * base) >> cosine(3ep) >> hold(2Btok) >> hold(256_000smp) >> linear(rest, from=1x); "
        "lr[head] = hold(); weight_decay = constant(1x)"
    )
    ran = run("plot", text, *options, "--at", "500")
    assert ran.out.splitlines()[1].split() == ["500", "1.0"]
    assert run("plot", text, *options, "--at", "0", "--target", "weight_decay").out.split()[-1] == "0.1"
    assert run("plot", text, *options, "--at", "0", "--group", "head").out.split()[-1] == "0.0001"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--param", "warm"), "expected NAME=VALUE with a number, got 'warm'"),
        (("--param", "warm=x"), "expected NAME=VALUE with a number, got 'warm=x'"),
        (("--param", "=5"), "expected NAME=VALUE with a number, got '=5'"),
        (("--base", "lr=nan"), "expected NAME=VALUE with a number, got 'lr=nan'"),
        (("--base-lr", "x"), "'x' is not a valid float"),
        (("--total-steps", "x"), "expected a whole number of steps such as 500 or 10k, got 'x'"),
    ],
)
def test_wrong_context_options(run: Any, options: tuple[str, ...], complaint: str) -> None:
    ran = run("check", "cosine(10)", *options)
    assert ran.code == 2
    assert complaint in " ".join(ran.err.split())


@pytest.mark.parametrize("verb", ["check", "plot", "explain"])
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--total-steps", "0"), "expected --total-steps to be a whole number >= 1, got 0"),
        (("--base-lr", "-1"), "expected --base-lr to be >= 0, got -1.0"),
        (("--base-lr", "nan"), "expected --base-lr to be a finite number, got nan"),
        (("--tokens-per-step", "0"), "expected --tokens-per-step to be a number > 0, got 0.0"),
        (("--base", "base_lr=5"), "expected --base to name targets, as in `weight_decay` or `lr[head]`, got 'base_lr'"),
        (("--base", "eps=-1"), "expected --base['eps'] to be >= 0, got -1.0"),
        (("--base", "lr=1"), "the base of `lr` is --base-lr;"),
        (("--param", "a-b=1"), "expected a name in --param, got 'a-b';"),
        (("--param", "base=1"), "`base` is reserved; choose another name for this param"),
    ],
)
def test_context_values_that_make_no_sense(run: Any, verb: str, options: tuple[str, ...], complaint: str) -> None:
    ran = run(verb, "cosine(10)", *options)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in " ".join(ran.err.split())


def test_fmt(run: Any) -> None:
    ran = run("fmt", "warmup( 500 )>>cosine(10k,min=1e-6)\n  # a comment", "+cosine(9)")
    assert (ran.code, ran.out) == (0, "warmup(500) >> cosine(10000, to=1e-6)\ncosine(9)\n")


def test_fmt_needs_no_context(run: Any) -> None:
    assert run("fmt", "cosine(3ep, to=k*base)").out == "cosine(3ep, to=k * base)\n"


def test_fmt_of_a_wrong_text(run: Any) -> None:
    ran = run("fmt", "cosine(10", "cosine(9)")
    assert ran.code == 1
    assert ran.err.startswith("E0102: ")


def test_explain(run: Any) -> None:
    ran = run("explain", "warmup(500) >> cosine(10000, min=1e-6) >> constant(0.5x)", "--base-lr", "1e-3")
    assert ran.code == 0
    assert ran.out.startswith(
        "warmup(500) >> cosine(10000, to=1e-6) >> constant(0.5x)\n"
        "\n"
        "lr\n"
        "begin    end  segment                 first        last  then  jump\n"
        "    0    500  warmup(500)                 0     9.98e-4  1e-3\n"
        "  500  10500  cosine(10000, to=1e-6)   1e-3  1.00002e-6  1e-6\n"
        "10500         constant(0.5x)           5e-4                    500x\n"
        "\n"
        "N0704: "
    )
    assert [line[:5] for line in ran.out.splitlines() if line.startswith("N")] == ["N0704", "N0702"]


@pytest.mark.parametrize(
    ("first", "second", "jump"),
    [
        ("1x", "1.1x", "+10 %"),
        ("1x", "0.25x", "-75 %"),
        ("1x", "20x", "20x"),
        ("1x", "50000x", "50000x"),
        ("0", "1x", "from 0"),
        ("1x", "1x", "1"),
    ],
)
def test_explain_shows_jumps(run: Any, first: str, second: str, jump: str) -> None:
    row = run("explain", f"constant({first}, n=5) >> constant({second})").out.splitlines()[5]
    assert row.endswith("  " + jump)


def test_explain_every_target(run: Any) -> None:
    ran = run("explain", "lr = cosine(9); lr[head] = linear(9); weight_decay = constant(0.1)", "--base", "lr[head]=2")
    assert [line for line in ran.out.splitlines() if line.startswith(("lr ", "lr[", "weight_decay"))][1:] == [
        "lr (× base)",
        "lr[head]",
        "weight_decay",
    ]


@pytest.mark.parametrize("code", CODES)
def test_explain_every_code(run: Any, code: str) -> None:
    out = run("explain", code.lower()).out
    assert out.startswith(f"{code}: {CODES[code]}\n\n")
    assert 6 <= len(out.splitlines()) <= 32
    assert "```" not in out


def test_explain_several(run: Any) -> None:
    lines = run("explain", "E0204", "n0712").out.splitlines()
    assert [line[:5] for line in lines if line.startswith(("E0", "N0"))] == ["E0204", "N0712"]


@pytest.mark.parametrize("code", ["E0599", "e503", "N0799", "E02044"])
def test_explain_an_unknown_code(run: Any, code: str) -> None:
    ran = run("explain", code)
    assert (ran.code, ran.out) == (2, "")
    assert f"there is no code {code.upper()}; did you mean" in ran.err
    assert ran.err.split("did you mean ")[1][:5] in CODES


def test_explain_a_code_like_none(run: Any) -> None:
    assert "there is no code E99; they run from E0100 to N0712" in run("explain", "e99").err


def test_list_has_every_primitive(run: Any) -> None:
    from lrdsl.primitives import MODIFIERS, SEGMENTS

    out = run("list").out
    for primitive in (*SEGMENTS.values(), *MODIFIERS.values()):
        assert f"  {primitive.signature}\n" in out


def test_list_one(run: Any) -> None:
    ran = run("list", "cosine")
    assert ran.out.startswith("cosine(n, to=0, from=prev)\n\nHalf-cosine decay")
    assert run("list", "plateau").out.startswith("plateau(patience=10")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cosin", "did you mean `cosine`?"),
        ("ReduceLROnPlateau", "did you mean `plateau`?"),
        ("get_cosine_schedule_with_warmup", "write `warmup(500) >> cosine(rest)`"),
        ("zzz", "`lrdsl list` shows them all"),
    ],
)
def test_list_an_unknown_one(run: Any, name: str, hint: str) -> None:
    ran = run("list", name)
    assert (ran.code, ran.out) == (2, "")
    assert f"there is no primitive `{name}`; {hint}" in ran.err


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("plto", "did you mean `plot`?"),
        ("cosine(10)", "to see a schedule, write `lrdsl plot 'cosine(10)'`"),
        ("zzz", "verbs are plot, check, fmt, explain, list, doctor"),
    ],
)
def test_an_unknown_verb(run: Any, word: str, hint: str) -> None:
    ran = run(word)
    assert (ran.code, ran.out) == (2, "")
    assert f"there is no verb `{word}`; {hint}" in ran.err
