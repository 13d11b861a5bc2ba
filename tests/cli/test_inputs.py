"""Texts from the command line, standard input and config files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

YAML = """\
train:
  lr: warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)
  block: >-
    warmup(500)
    >> cosine(9)
  number: 3
  float: 0.001
  numeric: 1e-3
  flag: false
  nothing:
  wrong: cosin(10)
groups:
  - lr: cosine(1)
  - lr: cosine(2)
1: cosine(3)
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "cfg.yaml"
    file.write_text(YAML)
    return str(file)


def test_standard_input(run: Any) -> None:
    assert run("fmt", "-", stdin="cosine(10,\n min=0)\n").out == "cosine(10, to=0)\n"


def test_an_error_from_standard_input_says_so(run: Any) -> None:
    ran = run("check", "-", stdin="hold(1) >>\ncosin(10)\n")
    assert ran.code == 1
    assert ran.err == (
        "E0204: unknown function `cosin`\n  --> <stdin>\n  |\n2 | cosin(10)\n  | ^^^^^ did you mean `cosine`?\n"
    )


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("train.lr", "warmup(500) >> cosine(10000, to=1e-6) | plateau(patience=3)"),
        ("train.block", "warmup(500) >> cosine(9)"),
        ("train.number", "constant(3)"),
        ("groups.1.lr", "cosine(2)"),
        ("1", "cosine(3)"),
    ],
)
def test_yaml(run: Any, config: str, key: str, text: str) -> None:
    assert run("fmt", "--file", config, "--key", key).out == text + "\n"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("3", "constant(3)"), ("'5e-4 '", "constant(0.0005)"), ("'+0.5'", "constant(0.5)"), ("' .5'", "constant(0.5)"),
        ("'1_000'", "constant(1000)"), ("1E-5", "constant(1e-5)"), ("1.e+3", "constant(1000)"), ("'2.'", "constant(2)"),
        ("'1e300'", "constant(1e300)"), (f"{2**53 + 1}", f"constant({2**53})"),
    ],
)  # fmt: skip
def test_whatever_reads_as_a_number_is_a_constant(run: Any, tmp_path: Path, written: str, text: str) -> None:
    (tmp_path / "c.yaml").write_text(f"lr: {written}\n")
    ran = run("fmt", "--file", str(tmp_path / "c.yaml"), "--key", "lr")
    assert (ran.code, ran.err) == (0, "")
    assert float(ran.out[len("constant(") : -2]) == float(text[len("constant(") : -1])
    assert run("plot", "--file", str(tmp_path / "c.yaml"), "--key", "lr", "--at", "0").code == 0


@pytest.mark.parametrize("written", [".nan", ".inf", "-.inf", "'nan'", "'inf'", "1" + "0" * 400, "1e999"])
def test_a_number_that_is_not_finite_is_no_schedule(run: Any, tmp_path: Path, written: str) -> None:
    (tmp_path / "c.yaml").write_text(f"lr: {written}\n")
    ran = run("check", "--file", str(tmp_path / "c.yaml"), "--key", "lr")
    assert (ran.code, ran.out) == (2, "")
    assert "it is not finite" in ran.err


@pytest.mark.parametrize("key", ["train.float", "train.numeric"])
def test_numbers_are_constants(run: Any, config: str, key: str) -> None:
    assert run("plot", "--file", config, "--key", key, "--at", "7").out.split() == ["step", "lr", "7", "0.001"]


def test_several_keys_and_texts(run: Any, config: str) -> None:
    ran = run("fmt", "linear(5)", "--file", config, "--key", "groups.0.lr", "--key", "groups.1.lr")
    assert ran.out == "linear(5)\ncosine(1)\ncosine(2)\n"


@pytest.mark.parametrize(
    ("name", "content"), [("c.json", '{"a": {"lr": "cosine(9)"}}'), ("c.toml", "[a]\nlr = 'cosine(9)'\n")]
)
def test_json_and_toml(run: Any, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert run("fmt", "--file", str(tmp_path / name), "--key", "a.lr").out == "cosine(9)\n"


def test_a_file_with_one_text(run: Any, tmp_path: Path) -> None:
    (tmp_path / "lr.txt").write_text("warmup(5)\n  >> cosine(9)  # done\n")
    assert run("fmt", "--file", str(tmp_path / "lr.txt")).out == "warmup(5) >> cosine(9)\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.yaml", "warmup(5)\n  >> cosine(9)\n"),
        ("c.yml", ">-\n  warmup(5)\n  >> cosine(9)\n"),
        ("c.json", '"warmup(5) >> cosine(9)"'),
    ],
)
def test_a_document_that_is_one_text_needs_no_key(run: Any, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert run("fmt", "--file", str(tmp_path / name)).out == "warmup(5) >> cosine(9)\n"


@pytest.mark.parametrize("verb", ["check", "fmt", "plot", "explain"])
def test_a_document_of_entries_needs_a_key(run: Any, config: str, verb: str) -> None:
    ran = run(verb, "--file", config)
    assert (ran.code, ran.out) == (2, "")
    keys = "train.lr, train.block, train.wrong, groups.0.lr, groups.1.lr, 1"
    assert " ".join(ran.err.split()).endswith(f"Error: {config} needs a --key; schedules are at {keys}")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("c.toml", "[a]\nlr = 'cosine(9)'\n", "c.toml needs a --key; schedules are at a.lr"),
        ("c.json", '[{"lr": 0.1, "name": "a run (the first)"}]', "c.json needs a --key, such as train.lr"),
        ("c.yaml", "", "expected a schedule at {file}; it is empty"),
        ("c.yaml", "'a.b': cosine(9)\nlr: cosine(9)\n", "c.yaml needs a --key; schedules are at lr"),
    ],
)
def test_what_a_document_without_a_key_holds(run: Any, tmp_path: Path, name: str, content: str, complaint: str) -> None:
    (tmp_path / name).write_text(content)
    ran = run("check", "--file", str(tmp_path / name))
    assert ran.code == 2
    assert ran.err.rstrip("\n").endswith(complaint.format(file=tmp_path / name))


def test_an_error_names_file_and_key(run: Any, config: str) -> None:
    for verb in ("check", "plot", "explain"):
        ran = run(verb, "--file", config, "--key", "train.wrong")
        assert ran.code == 1
        assert f"--> {config}: train.wrong\n" in ran.err
    assert run("check", "--file", config, "--key", "groups.0.lr").out == f"ok: {config}: groups.0.lr\n"


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("train.blok", "no `blok` under `train` in {file}; did you mean `block`?"),
        ("tarin.lr", "no `tarin` under {file}; did you mean `train`?"),
        ("zzz", "no `zzz` under {file}; there is train, groups, 1"),
        ("groups.7.lr", "no `7` under `groups` in {file}; there is 0, 1"),
        ("train.lr.x", "no `x` under `train.lr` in {file}; nothing is there"),
        ("train", "expected a schedule at `train` of {file}; it is a mapping"),
        ("groups", "expected a schedule at `groups` of {file}; it is a list"),
        ("train.flag", "expected a schedule at `train.flag` of {file}; it is true or false"),
        ("train.nothing", "expected a schedule at `train.nothing` of {file}; it is empty"),
    ],
)
def test_keys_that_lead_nowhere(run: Any, config: str, key: str, complaint: str) -> None:
    ran = run("check", "--file", config, "--key", key)
    assert (ran.code, ran.out) == (2, "")
    assert complaint.format(file=config) in ran.err


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("bad.yaml", b"a: [1", "is not YAML"),
        ("bad.yaml", b"a: !!python/object:os.system {}", "is not YAML"),
        ("bad.toml", b"a = ", "is not TOML"),
        ("bad.yaml", b"\xff\xfe\xfa", "cannot read"),
    ],
)
def test_files_that_cannot_be_read(run: Any, tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    ran = run("check", "--file", str(tmp_path / name), "--key", "a")
    assert ran.code == 2
    assert complaint in ran.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("check",), "expected a TEXT in quotes"),
        (("check", "--key", "a"), "--key names an entry of a file"),
        (("check", "--file", "no/such/file"), "does not exist"),
        (("check", "--wrong", "hold()"), "No such option"),
        (("chekc", "hold()"), "there is no verb `chekc`; did you mean `check`?"),
        (("plot", "hold()", "--json=5"), "does not take a value"),
    ],
)
def test_wrong_usage(run: Any, arguments: tuple[str, ...], complaint: str) -> None:
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
