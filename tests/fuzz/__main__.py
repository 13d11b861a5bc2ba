"""Fuzz in parts that add up: ``python -m tests.fuzz [--minutes M] [--part SECONDS] [TARGET ...]``.

Each part is one libFuzzer process; targets take turns, one that is named twice two of them. What a target has learned
stays in ``build/fuzz/TARGET``, so that the next run goes on from there, and ``build/fuzz/record.json`` holds the
executions of all parts so far, by target and by commit. A find is written to ``tests/corpus`` and fuzzing goes on; the
exit status is 1 if there was any.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import random
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.fuzz import corpus
from tests.fuzz.generator import text_from
from tests.fuzz.mutators import WORDS

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "fuzz"
RECORD = WORK / "record.json"
TARGETS = {"syntax": 1024, "text": 512, "grammar": 160, "program": 4096}
"""How long an input may be, in bytes."""
SEEDS = 100


def main() -> int:
    """Take turns until the time is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default: all of them")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="default: until interrupted")
    parser.add_argument("--part", type=int, default=120, help="seconds of one part")
    options = parser.parse_args()
    targets = options.targets or list(TARGETS)
    until = time.monotonic() + 60 * options.minutes
    for target in targets:
        prepare(target)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"runs": {}}
    found = 0
    try:
        while time.monotonic() < until:
            for target in targets:
                found += run_part(target, options.part, record)
    except KeyboardInterrupt:
        print("stopped; the next run goes on from here")
    return 1 if found else 0


def prepare(target: str) -> None:
    """Its folder with first inputs, and the dictionary."""
    folder = WORK / target
    folder.mkdir(parents=True, exist_ok=True)
    (WORK / "finds").mkdir(exist_ok=True)
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "surrogatepass")) for word in WORDS)
    (WORK / "words.dict").write_text("".join(f'"{word}"\n' for word in escaped))
    rng = random.Random(1)
    if target == "program":
        seeds = corpus.packs()
    elif target == "grammar":
        seeds = [rng.randbytes(rng.randrange(8, 80)) for _ in range(SEEDS)]
    else:
        seeds = [text.encode("utf-8", "surrogatepass") for text in corpus.texts()]
    for seed in seeds:
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


def run_part(target: str, seconds: int, record: dict[str, Any]) -> int:
    """Run one libFuzzer process and add what it did to the record; the number of finds."""
    command = [sys.executable, "-m", "tests.fuzz.harness", target, str(WORK / target)]
    command += [f"-max_total_time={seconds}", f"-max_len={TARGETS[target]}", f"-dict={WORK / 'words.dict'}"]
    command += [f"-artifact_prefix={WORK / 'finds' / target}-", "-timeout=20", "-rss_limit_mb=2048"]
    command += ["-print_final_stats=1", "-reload=0"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    output = done.stdout + done.stderr
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    if executed is None:
        print(output[-4000:])
        raise SystemExit(f"no part of `{target}` was run")
    coverage = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", output)
    finds = re.findall(r"Test unit written to (\S+)", output)
    totals = record["runs"].setdefault(target, {"executions": 0, "seconds": 0.0, "parts": 0, "finds": 0})
    totals["executions"] += int(executed[1])
    totals["seconds"] = round(totals["seconds"] + time.monotonic() - started, 1)
    totals["parts"] += 1
    totals["finds"] += len(finds)
    if coverage:
        totals |= dict(zip(("edges", "features", "inputs"), map(int, coverage[-1]), strict=True))
    record["runs"][target] = totals
    here = commit()
    commits = record.setdefault("commits", {})
    commits[here] = commits.get(here, 0) + int(executed[1])
    record |= {"executions": sum(run["executions"] for run in record["runs"].values()), **environment()}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(
        f"{target}: {int(executed[1]):,} executions, {totals['executions']:,} so far, {record['executions']:,} in all"
    )
    for path in finds:
        keep(target, Path(path), output)
    sys.stdout.flush()
    return len(finds)


def keep(target: str, path: Path, output: str) -> None:
    """Write a find where the tests replay it, and say what it was."""
    data = path.read_bytes()
    if target == "program":
        kept = corpus.FOLDER / "programs" / f"{path.name}.hex"
        corpus.write_pack(kept, data)
    else:
        kept = corpus.FOLDER / "texts" / f"{path.name}.txt"
        text = text_from(data) if target == "grammar" else data.decode("utf-8", "surrogateescape")
        corpus.write_text(kept, text)
    trace = output[output.find(" === Uncaught") :] if " === Uncaught" in output else output[-3000:]
    print(f"FOUND {kept}\n{trace[:3000]}")


def commit() -> str:
    """What is fuzzed."""
    shown = ("git", "rev-parse", "--short", "HEAD")
    return subprocess.run(shown, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def environment() -> dict[str, Any]:
    """When and with what it is fuzzed."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in ("atheris", "numpy")}}
    return {"command": "make fuzz", "date": time.strftime("%Y-%m-%d"), "versions": versions}


if __name__ == "__main__":
    sys.exit(main())
