"""The shape of the project: who may import whom, and where torch lives."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lrdsl"

# From the ground up: each layer may import those before it (and itself).
LAYERS = (
    ("_version", "errors", "build_record", "versions"),
    ("syntax",),
    ("program",),
    ("primitives",),
    ("language",),
    ("evaluators", "cuda"),
    ("checks", "multiplier", "notes", "schedule", "track"),
    ("optim",),
    ("integrations",),
    ("plotting",),
    ("pages",),
    ("cli",),
    ("codegen", "__init__", "__main__"),
)
FLOOR = {name: floor for floor, names in enumerate(LAYERS) for name in names}
LAZY_UPWARD = {
    # A public face that imports only when asked; importing lrdsl runs none of it.
    ("schedule", "plotting"),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += names if node.module == "lrdsl" else [node.module]
    return found


def own(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = own(path)
    assert here in FLOOR, f"{here} has no layer: add it to LAYERS and to docs/architecture.md"
    for module in imports(path):
        if not module.startswith("lrdsl"):
            continue
        there = layer(module)
        if there in FLOOR and (here, there) not in LAZY_UPWARD:
            assert FLOOR[there] <= FLOOR[here], f"{here} imports {module} from a higher layer"


def test_every_import_upward_is_needed() -> None:
    edges = {(own(path), layer(module)) for path in FILES for module in imports(path) if module.startswith("lrdsl")}
    upward = {(here, there) for here, there in edges if there in FLOOR and FLOOR[there] > FLOOR[here]}
    assert not LAZY_UPWARD - upward


ONLY = {
    "torch": {"optim", "integrations"},
    "transformers": {"integrations"},
    "lightning": {"integrations"},
    "optuna": {"integrations"},
    "pydantic": {"integrations"},
    "lark": {"syntax"},
    "click": {"cli"},
    "rich": {"cli", "plotting"},
    "matplotlib": {"plotting"},
    "yaml": {"cli"},
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_stay_where_they_belong(path: Path) -> None:
    for module in imports(path):
        allowed = ONLY.get(module.split(".")[0])
        assert allowed is None or own(path) in allowed, f"{own(path)} imports {module}"


@pytest.mark.parametrize("folder", sorted({p.parent for p in FILES}), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_folder_is_a_package_with_a_docstring(folder: Path) -> None:
    face = folder / "__init__.py"
    assert face.is_file()
    assert ast.get_docstring(ast.parse(face.read_text("utf-8"))), f"{face.parent.name} does not say its one job"


def test_csrc_knows_no_torch() -> None:
    for path in (ROOT / "csrc").iterdir():
        assert "torch/" not in path.read_text("utf-8"), path.name


def test_pybind11_lives_in_the_bindings() -> None:
    for path in (ROOT / "csrc").glob("*.[ch]*"):
        assert path.name.startswith("bindings") or "pybind11" not in path.read_text("utf-8"), path.name


def test_importing_and_compiling_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')\n")
    script = "import lrdsl; print(lrdsl.compile('warmup(5) >> cosine(10)', base_lr=1.0).lr(5))"
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "1.0", run.stderr
