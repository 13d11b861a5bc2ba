"""``python -m gallery`` writes the page and its pictures; ``--check`` fails if one is stale."""

from __future__ import annotations

import sys

from gallery.page import PICTURES, ROOT, files, stale


def main(arguments: list[str]) -> int:
    """Write what is stale; with ``--check`` only say so."""
    found, check = stale(), "--check" in arguments
    PICTURES.mkdir(parents=True, exist_ok=True)
    for path in found:
        print(f"{'stale' if check else 'wrote' if path in files() else 'removed'}: {path.relative_to(ROOT)}")
        if not check and path in files():
            path.write_text(files()[path], "utf-8")
        elif not check:
            path.unlink()
    return 1 if found and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
