"""Who imports what is heavy, wherever in a module: what the contracts of import-linter do not list by hand."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conftest import ROOT

RAY = {
    "mtl/cluster/session.py",
    "mtl/cluster/local_nodes.py",
    "mtl/cluster/submit.py",
    "mtl/train/launch.py",
    "mtl/train/worker_group.py",
    "mtl/train/worker.py",
    "mtl/compare/run.py",
    "mtl/serving/batch.py",
}


def importers(name: str) -> set[str]:
    """Modules of ours that import a package."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in ("mtl", "flows")
        for path in (ROOT / folder).rglob("*.py")
        if any(name == found.split(".")[0] for found in imported(path))
    }


def imported(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.append(node.module or "")
    return found


def test_only_these_import_ray() -> None:
    assert importers("ray") == RAY


def test_the_library_does_not_import_prefect_nor_the_flows_torch() -> None:
    assert not [path for path in importers("prefect") if path.startswith("mtl/")]
    assert not [path for path in importers("torch") if path.startswith("flows/")]
