"""How long does the command line take over a bare interpreter?"""

from __future__ import annotations

from benchmarks.harness import bare_python, save

TEXT = "warmup(500) >> cosine(10000, min=1e-6) | plateau(patience=3)"
COMMANDS = {
    "--help": ("--help",),
    "plot --text": ("plot", "--text", TEXT),
    "check": ("check", TEXT),
}


def main() -> None:
    """Measure, print, keep."""
    bare = bare_python("-c", "pass")
    results = {"bare interpreter": 1e3 * bare}
    print(f"bare interpreter: {1e3 * bare:.0f} ms")
    for name, arguments in COMMANDS.items():
        results[f"{name}, over it"] = 1e3 * (bare_python("-m", "lrdsl", *arguments) - bare)
        print(f"lrdsl {name}: {results[f'{name}, over it']:.0f} ms over it")
    save("startup", results)


if __name__ == "__main__":
    main()
