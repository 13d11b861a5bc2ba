"""`lrdsl plot`."""

from __future__ import annotations

import builtins
import csv
import io
import json
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import lrdsl
from lrdsl.plotting import curve, svg, terminal

EXAMPLE = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"


def curves(*texts: str, base_lr: float = 1e-3, **how: Any) -> list[curve.Curve]:
    return [curve.of(lrdsl.compile(text, base_lr=base_lr), **how) for text in texts]


def test_terminal(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    drawn = terminal.render(curves(EXAMPLE))
    assert run("plot", EXAMPLE, "--base-lr", "1e-3").out == drawn
    assert run("plot", EXAMPLE, "--base-lr", "1e-3", "--text").out == drawn


def test_without_a_base_rates_are_relative(run: Any) -> None:
    assert "learning rate (× base) by step" in run("plot", EXAMPLE).out
    assert "× base" not in run("plot", EXAMPLE, "--base-lr", "1").out
    assert "× base" not in run("plot", "lr[a] = cosine(9); lr = hold()", "--group", "a", "--base", "lr[a]=2").out
    assert "× base" not in run("plot", "weight_decay = constant(0.1)").out


def test_svg(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.svg"
    ran = run("plot", EXAMPLE, "linear(9000)", "--base-lr", "1e-3", "--out", str(file), "--log", "--no-boundaries")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    shown = curves(EXAMPLE, "linear(9000)", end=10_500, log=True)
    assert file.read_text() == svg.render(shown, log=True, boundaries=False)
    ElementTree.parse(file)


def test_picture_and_terminal_together(run: Any, tmp_path: Path) -> None:
    ran = run("plot", EXAMPLE, "--text", "--out", str(tmp_path / "x.svg"))
    assert "plateau" in ran.out
    assert (tmp_path / "x.svg").is_file()


def test_png(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="a PNG needs the extra [plot]")
    file = tmp_path / "x.png"
    assert run("plot", EXAMPLE, "--out", str(file)).code == 0
    assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", file.read_bytes()[16:20]) == (1680,)


def test_png_without_matplotlib_names_the_extra(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name="matplotlib")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", missing)
    ran = run("plot", EXAMPLE, "--out", str(tmp_path / "x.png"))
    assert (ran.code, ran.err) == (3, "lrdsl: a PNG needs matplotlib: pip install 'lrdsl[plot]'\n")
    assert not (tmp_path / "x.png").exists()


def test_json_holds_the_schedules_numbers(run: Any) -> None:
    first, second = json.loads(run("plot", EXAMPLE, "linear(100)", "--base-lr", "1e-3", "--json").out)
    assert first["text"] == "warmup(500) >> cosine(10000, to=1e-6) | plateau(patience=3)"
    assert first["values"] == lrdsl.compile(EXAMPLE, base_lr=1e-3).lrs(first["steps"]).tolist()
    assert first["segments"][0] == {"begin": 0, "end": 500, "text": "warmup(500)"}
    assert first["note"] == "cuts depend on the observed loss"
    assert (first["steps"][-1], second["steps"][-1]) == (10_500, 10_500)


def test_json_has_null_for_what_is_not_a_number(run: Any) -> None:
    (found,) = json.loads(run("plot", "expr(base * where(step == 8, 0 / 0, 1), n=100)", "--json").out)
    assert found["values"][found["steps"].index(8)] is None


def test_at(run: Any) -> None:
    expected = lrdsl.compile(EXAMPLE, base_lr=1e-3)
    lines = run("plot", EXAMPLE, "--base-lr", "1e-3", "--at", "0", "250", "10k").out.splitlines()
    assert lines[0].split() == ["step", "lr"]
    assert [line.split() for line in lines[1:]] == [[str(s), repr(expected.lr(s))] for s in (0, 250, 10_000)]


@pytest.mark.parametrize(
    ("written", "step"), [("5e3", 5000), ("5E+3", 5000), ("1_000", 1000), ("1.5k", 1500), ("0.25M", 250_000)]
)
def test_at_takes_every_way_to_write_a_step(run: Any, written: str, step: int) -> None:
    ran = run("plot", "cosine(10k)", "--at", "1", written, written)
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["step", "1", str(step), str(step)]
    assert run("plot", "cosine(10k)", "--from", written, "--json").code == 0


def test_at_stops_at_what_is_not_a_step(run: Any) -> None:
    ran = run("plot", "--at", "5", "9", "linear(10)", "cosine(10)", "--at=0", "--base-lr", "1")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["[1]", "[2]", "step", "5", "9", "0"]


def test_at_names_the_group(run: Any) -> None:
    assert run("plot", "lr[0] = linear(10); lr[1] = hold()", "--at", "5").out.split() == ["step", "lr[0]", "5", "0.5"]


def test_at_as_json(run: Any) -> None:
    ran = run("plot", "linear(10)", "--at", "0", "5", "--json")
    assert json.loads(ran.out) == [{"text": "linear(10)", "target": "lr", "steps": [0, 5], "values": [1.0, 0.5]}]


def test_window(run: Any) -> None:
    (found,) = json.loads(run("plot", EXAMPLE, "--from", "400", "--to", "1k", "--json").out)
    assert (found["steps"][0], found["steps"][-1]) == (400, 1000)
    (found,) = json.loads(run("plot", EXAMPLE, "--from", "20k", "--json").out)
    assert (found["steps"][0], found["steps"][-1]) == (20_000, 20_001)


def test_target_and_group(run: Any) -> None:
    text = "lr = cosine(9); lr[head] = linear(9); lr[1] = hold(); weight_decay = linear(20, from=0.1)"
    for options, label in [
        ((), "cosine(9)"),
        (("--group", "head"), "linear(9)"),
        (("--group", "1"), "hold()"),
        (("--group", "other", "--base", "weight_decay[other]=0.1"), "cosine(9)"),
        (("--target", "weight_decay"), "linear(20, from=0.1)"),
    ]:
        (found,) = json.loads(run("plot", text, "--json", *options).out)
        assert found["segments"][0]["text"] == label


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("lr[head] = hold(); lr = cosine(9)", ("haed",), "a group `haed`; did you mean `head`?"),
        ("lr = cosine(9)", ("haed", "--base", "lr[head]=1"), "a group `haed`; did you mean `head`?"),
        ('lr["a b"] = hold(); lr[0] = hold()', ("1",), "a group `1`; there is 0, a b"),
        ("cosine(9)", ("0",), "a group `0`; there is none"),
    ],
)
def test_a_group_that_is_not_there(run: Any, text: str, options: tuple[str, ...], complaint: str) -> None:
    for how in ((), ("--json",), ("--csv",), ("--at", "0")):
        ran = run("plot", text, *how, "--group", *options)
        assert (ran.code, ran.out) == (2, "")
        assert f"--group: neither the text nor --base names {complaint}" in " ".join(ran.err.split())


def test_a_group_that_one_of_the_texts_names(run: Any) -> None:
    ran = run("plot", "lr[head] = linear(10); lr = hold()", "linear(20)", "--group", "head", "--at", "5")
    assert ran.out.splitlines()[-1].split() == ["5", "0.5", "0.75"]


def rows(written: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(written)))


def test_csv_holds_the_curves_points(run: Any) -> None:
    head, *found = rows(run("plot", EXAMPLE, "--base-lr", "1e-3", "--csv").out)
    (drawn,) = curves(EXAMPLE)
    assert head == ["step", "lr"]
    assert [(int(step), float(rate)) for step, rate in found] == list(zip(drawn.steps, drawn.values, strict=True))


def test_csv_of_several_texts_is_headed_by_them(run: Any) -> None:
    texts = ("warmup(100) >> cosine(900, min=1e-6)", "step(250, gamma=0.5)")
    head, *found = rows(run("plot", *texts, "--base-lr", "1e-3", "--to", "1000", "--csv").out)
    schedules = [lrdsl.compile(text, base_lr=1e-3) for text in texts]
    assert head == ["step", *map(str, schedules)]
    steps = [int(row[0]) for row in found]
    assert set(steps) >= {0, 99, 100, 249, 250, 1000}
    assert steps == sorted(set(steps))
    for index, schedule in enumerate(schedules):
        assert [float(row[index + 1]) for row in found] == schedule.lrs(steps).tolist()


def test_csv_of_certain_steps_of_a_group_of_a_target_under_reports(run: Any, tmp_path: Path) -> None:
    (tmp_path / "loss.csv").write_text("step,loss\n1,1.0\n2,nan\n3,1.0\n")
    text = "lr = hold(); weight_decay[head] = constant(0.25, 9) | plateau(patience=0, factor=0.5)"
    options = ("--target", "weight_decay", "--group", "head", "--metric", str(tmp_path / "loss.csv"))
    ran = run("plot", text, *options, "--csv", "--at", "2", "0", "4")
    assert ran.out == "step,weight_decay[head]\n2,0.125\n0,0.25\n4,0.0625\n"


def test_csv_writes_what_is_not_a_number(run: Any) -> None:
    assert run("plot", "expr(base * where(step == 8, 0 / 0, 1), n=100)", "--csv", "--at", "8").out == "step,lr\n8,nan\n"


def test_csv_and_a_picture(run: Any, tmp_path: Path) -> None:
    ran = run("plot", "linear(2)", "--csv", "--out", str(tmp_path / "x.svg"))
    assert ran.out == "step,lr\n0,1.0\n1,0.5\n2,0.0\n"
    assert (tmp_path / "x.svg").is_file()


@pytest.mark.parametrize("target", ["momentum", "learning_rate"])
def test_a_target_that_is_not_there(run: Any, target: str) -> None:
    ran = run("plot", "cosine(9)", "--target", target)
    assert ran.code == 1
    assert ran.err.startswith("E0803: ")


@pytest.mark.parametrize("options", [("--at", "0"), ("--json",), ("--text",)])
def test_a_wrong_text_prints_no_curve(run: Any, options: tuple[str, ...]) -> None:
    ran = run("plot", "cosine(10)", "cosin(10)", *options)
    assert (ran.code, ran.out) == (1, "")
    assert "did you mean `cosine`?" in ran.err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--out", "x.pdf"), "expected a name ending in .svg or .png, got `x.pdf`"),
        (("--out", "no/such/folder/x.svg"), "cannot write no/such/folder/x.svg: No such file or directory"),
        (("--from", "9", "--to", "9"), "expected a step after --from 9, got 9"),
        (("--json", "--csv"), "--json or --csv: one at a time"),
        (("--from", "1.5"), "expected a whole number of steps such as 500 or 10k, got '1.5'"),
        (("--to", "-5"), "expected a whole number of steps"),
        (("--at", "5%"), "expected a whole number of steps"),
        (("--to", "9e99"), "expected a whole number of steps"),
    ],
)
def test_wrong_usage(run: Any, options: tuple[str, ...], complaint: str) -> None:
    ran = run("plot", "cosine(10)", *options)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in " ".join(ran.err.split())


@pytest.mark.parametrize("log", [(), ("--log",)], ids=["linear", "log"])
@pytest.mark.parametrize("name", ["", "x.svg", "x.png"])
@pytest.mark.parametrize("text", ["constant(1.75e308)", "linear(10, to=1.79e308)", "constant(5e-324)", "hold() * 0"])
def test_the_ends_of_the_double_range(run: Any, tmp_path: Path, text: str, name: str, log: tuple[str, ...]) -> None:
    if name == "x.png":
        pytest.importorskip("matplotlib", reason="a PNG needs the extra [plot]")
    out = ("--out", str(tmp_path / name)) if name else ()
    ran = run("plot", text, *out, *log)
    assert (ran.code, ran.err) == (0, "")
