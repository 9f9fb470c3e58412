"""Imports between the folders point one way, engines stay in their adapters, and files stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"pipeline", "classifiers", "labels", "jobs"}
MAY_IMPORT: dict[str, set[str]] = {
    "pipeline": set(),
    "classifiers": {"pipeline.schema", "pipeline.compiled"},
    "labels": {"pipeline.schema"},
    "jobs": OURS,
}
ENGINES = {"pyspark", "datatrove", "ray"}
MODULES = sorted(path for folder in OURS for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        owner = name.split(".")[0]
        if owner in OURS and owner != folder:
            fits = any(f"{name}.".startswith(f"{allowed}.") for allowed in MAY_IMPORT[folder])
            assert fits, f"{path.relative_to(ROOT)} imports {name}"
        if owner in ENGINES:
            assert folder == "jobs", f"{path.relative_to(ROOT)} imports the engine {owner}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_say_what_they_are_and_functions_are_short(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), f"{path.relative_to(ROOT)} has no docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 70, f"{path.relative_to(ROOT)}: {node.name} has {lines} lines"


def test_no_module_is_named_after_a_dependency() -> None:
    names = {"fasttext", "numba", "pyarrow", "duckdb", "datatrove", "pyspark", "plotly", "click", "rich", "fsspec"}
    assert not [path for path in MODULES if path.stem in names]
