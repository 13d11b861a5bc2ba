"""``python -m tests.frameworks.table`` writes README's table of what works with what, from the results of a run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.frameworks.works import RESULTS, STACKS

README = Path(__file__).parents[2] / "README.md"
MARKED = re.compile(r"(?<=<!-- works -->\n).*?(?=<!-- /works -->\n)", re.DOTALL)


def table(results: dict[str, Any]) -> str:
    """One line per stack, with what passed, and what did not."""
    lines = ["| stack | version | what is tested |", "| --- | --- | --- |"]
    for stack, entry in results["stacks"].items():
        kinds = {kind: [what for what, found in entry["rows"].items() if found == kind] for kind in KINDS}
        said = "; ".join(lead + " · ".join(kinds[kind]) for kind, lead in KINDS.items() if kinds[kind])
        page = f"docs/frameworks/{STACKS[stack][0]}"
        lines.append(f"| [{stack}]({page}) | {entry['version'] or '–'} | {said} |")
    return "\n".join(lines) + "\n"


KINDS = {"passed": "", "not run": "*not run:* ", "failed": "**fails:** "}


def readme(text: str, results: dict[str, Any]) -> str:
    """README with the table of these results."""
    new, count = MARKED.subn(lambda _: table(results), text)
    if count != 1:
        raise ValueError("README.md: expected `<!-- works -->` and `<!-- /works -->` on lines of their own")
    return new


def main() -> int:
    """Write the table, and say what did not pass; 1 if something failed."""
    results = json.loads(RESULTS.read_text("utf-8"))
    README.write_text(readme(README.read_text("utf-8"), results), "utf-8")
    failed = False
    for stack, entry in results["stacks"].items():
        for what, result in entry["rows"].items():
            failed |= result == "failed"
            if result != "passed":
                print(f"{result}: {stack}: {what}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
