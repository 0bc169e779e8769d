"""The import closure of a stage: every file of the package that its module imports, however deep."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOADER, REQUIRED = "mtl.package.pyfunc", ROOT / "mtl" / "package" / "requirements.py"


def module_file(name: str) -> Path | None:
    """The file of a dotted module name of this project."""
    base = ROOT / Path(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def imported(path: Path) -> set[str]:
    """Dotted names of this project that a file imports."""
    return {name for name in _all_imported(path) if name.split(".")[0] == "mtl"}


def _all_imported(path: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def closure(module: str) -> set[str]:
    """Paths, relative to the root, of all files that importing a module of this project can load."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            path = module_file(".".join(parts[:depth]))
            if path and path.relative_to(ROOT).as_posix() not in found:
                found.add(path.relative_to(ROOT).as_posix())
                waiting += imported(path)
    return found


def needed(stage: str) -> set[str]:
    """The code that a stage's output depends on."""
    return closure(f"mtl.stages.{stage}")


def distributions(module: str) -> list[str]:
    """What importing a module of this project can need of others: those of pyproject.toml that have a package by that name."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    known = {re.split(r"[^\w.-]", line)[0].lower() for line in declared}
    names = {name.split(".")[0] for path in closure(module) for name in _all_imported(ROOT / path)}
    owners = packages_distributions()
    return sorted({owner.lower() for name in names for owner in owners.get(name, ())} & known)


def as_deps(files: set[str]) -> list[str]:
    """Files as deps: a package of which all files are there stands for them."""
    packages = sorted({p.as_posix() for f in files for p in Path(f).parents if (ROOT / p / "__init__.py").exists()})
    whole: list[str] = []
    for package in packages:
        members = {p.relative_to(ROOT).as_posix() for p in (ROOT / package).rglob("*.py")}
        if members <= files and not any(package.startswith(f"{outer}/") for outer in whole):
            whole.append(package)
    single = [f for f in files if not any(f.startswith(f"{package}/") for package in whole)]
    return sorted([*whole, *single])


def rewrite() -> None:
    """Write every stage's code deps into dvc.yaml, where the other deps and all comments stay; and what a package requires."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = yaml.load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    for name, stage in document["stages"].items():
        others = [dep for dep in stage["deps"] if not dep.startswith("mtl/")]
        stage["deps"] = [*as_deps(needed(name)), *others]
    with (ROOT / "dvc.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    lines = "".join(f'    "{name}",\n' for name in distributions(LOADER))
    text = re.sub(r"REQUIREMENTS = \([^)]*\)", f"REQUIREMENTS = (\n{lines})", REQUIRED.read_text(encoding="utf-8"))
    REQUIRED.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    rewrite()
