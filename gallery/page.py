"""``docs/gallery.md`` and its pictures: the words from the rows, the pictures from the command line."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from gallery import CHAPTERS, STRATEGIES
from gallery.rows import METRICS, Formula, Oracle, Peer, Replay, Strategy, Variant
from lrdsl.cli.plot import plot

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "gallery.md"
PICTURES = ROOT / "docs" / "images" / "gallery"

HEAD = """# Gallery

Every strategy that the libraries offer, that introductions teach, and that published runs used, as a text. Written by
`python -m gallery`, which draws the pictures with `lrdsl plot`; the tests hold each text against the formula as it is
usually written, or against the library that is named. The metrics that plateaus and the like follow here are made up:
[metrics](metrics).
"""

QUOTED = "numbers as commonly quoted, not checked against a source"
CONTEXT = {
    "total_steps": "{:,} steps in all",
    "steps_per_epoch": "{:,} steps per epoch",
    "tokens_per_step": "{:,.10g} tokens per step",
}
NAMES = {"ignite": "pytorch-ignite", "megatron": "Megatron", "schedulefree": "schedule-free", "deepspeed": "DeepSpeed"}


def page() -> str:
    """The Markdown."""
    parts = [HEAD, "\n"]
    for title, strategies in CHAPTERS.items():
        links = ", ".join(f"[{s.title}](#{_anchor(s.title)})" for s in strategies)
        parts.append(f"- **{title}:** {links}\n")
    for title, strategies in CHAPTERS.items():
        parts.append(f"\n## {title}\n")
        parts += map(_entry, strategies)
    return "".join(parts)


def _anchor(title: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def _entry(strategy: Strategy) -> str:
    texts = "\n".join(variant.text for variant in strategy.variants)
    images = "\n".join(
        f'<img src="images/gallery/{file}" alt="{strategy.title}" width="640">' for file, _ in drawn(strategy)
    )
    facts = "\n".join(f"- {fact}" for fact in _facts(strategy))
    return f"\n### {strategy.title}\n\n{strategy.about}\n\n```text\n{texts}\n```\n\n{images}\n\n{facts}\n"


def _facts(strategy: Strategy) -> Iterator[str]:
    bindings = dict.fromkeys(map(_binding, strategy.variants))
    yield "; ".join(bindings)
    oracles = [oracle for variant in strategy.variants for oracle in variant.oracles]
    held = list(dict.fromkeys(name for oracle in oracles for name in _held(oracle)))
    yield f"equal to: {', '.join(held)}"
    if strategy.quoted:
        yield QUOTED
    yield from dict.fromkeys(oracle.why for oracle in oracles if isinstance(oracle, Peer) and oracle.why)


def _binding(variant: Variant) -> str:
    facts = [f"base {variant.base:g}", *(CONTEXT[k].format(v) for k, v in variant.context.items() if k in CONTEXT)]
    if variant.metric:
        facts.append(f"reports from [{variant.metric}.csv](metrics/{variant.metric}.csv)")
    return ", ".join(facts)


def _held(oracle: Oracle) -> Iterator[str]:
    if isinstance(oracle, Formula):
        yield "the formula"
    elif isinstance(oracle, Replay) and not oracle.library:
        yield "the rule as a plain loop"
    else:
        yield NAMES.get(oracle.library, oracle.library)


def drawn(strategy: Strategy) -> list[tuple[str, list[str]]]:
    """The pictures of an entry: file name, and the arguments of ``lrdsl plot``."""
    if strategy.together:
        return [(f"{strategy.name}.svg", _arguments(strategy.variants))]
    found = [(variant, options) for variant in strategy.variants for options in _subjects(variant)]
    names = [strategy.name] if len(found) == 1 else [f"{strategy.name}-{i + 1}" for i in range(len(found))]
    return [(f"{name}.svg", _arguments([v]) + options) for name, (v, options) in zip(names, found, strict=True)]


def _subjects(variant: Variant) -> list[list[str]]:
    """A picture for each target and group that the text names."""
    tracks = list(variant.compile().tracks)
    if len(tracks) == 1:
        return [[]]
    return [["--target", target, *(["--group", str(group)] if group is not None else [])] for target, group in tracks]


def _arguments(variants: Sequence[Variant]) -> list[str]:
    """Texts, context, range and metrics; the texts of one picture share them."""
    first = variants[0]
    assert {(v.base, *sorted(map(str, v.context.items())), v.metric) for v in variants} == {
        (first.base, *sorted(map(str, first.context.items())), first.metric)
    }, first.text
    arguments = [*(v.text for v in variants), "--base-lr", repr(first.base)]
    for name, value in first.context.items():
        if name == "bases":
            arguments += [part for target, base in value.items() for part in ("--base", f"{target}={base!r}")]
        else:
            arguments += [f"--{name.replace('_', '-')}", repr(value)]
    ends = [v.until for v in variants if v.until is not None]
    arguments += ["--to", str(max(ends))] if ends else []
    arguments += ["--metric", str(METRICS / f"{first.metric}.csv")] if first.metric else []
    return arguments + ["--log"] * any(v.log for v in variants)


@cache
def files() -> dict[Path, str]:
    """Everything that is generated, and what it holds."""
    found = {PAGE: page()}
    with tempfile.TemporaryDirectory() as folder:
        for strategy in STRATEGIES:
            for name, arguments in drawn(strategy):
                out = Path(folder, name)
                plot.main([*arguments, "--out", str(out)], standalone_mode=False)
                found[PICTURES / name] = out.read_text("utf-8")
    return found


def stale() -> list[Path]:
    """Files that are not what the rows say, and pictures that no row has."""
    expected = files()
    wrong = [path for path, content in expected.items() if not path.exists() or path.read_text("utf-8") != content]
    return wrong + [path for path in sorted(PICTURES.glob("*")) if path not in expected]
