"""What every training depends on beside its settings: what dvc.yaml says of its stage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mtl.config import read_params

ROOT = Path(__file__).parents[2]
"""The checkout whose code runs; or the folder in which it is installed."""


def code_and_data(prepared: Path, *more: Path) -> str:
    """SHA-256 in hexadecimal of the train stage's code and lock, and of the shards' manifest, which has their hashes.

    Args:
        more: folders of other code of mtl that the result depends on.

    Raises:
        ConfigError: there is no dvc.yaml.
    """
    digest = hashlib.sha256((prepared / "manifest.json").read_bytes())
    project = _project()
    for path in (*_dependencies(project), *more):
        base = ROOT if path.is_relative_to(ROOT) else project
        for file in sorted(path.rglob("*.py")) if path.is_dir() else (path,):
            digest.update(file.relative_to(base).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def _project() -> Path:
    """Where dvc.yaml is: the checkout whose code runs; or, of installed code, the folder in which a stage works."""
    return ROOT if (ROOT / "dvc.yaml").exists() else Path.cwd()


def _dependencies(project: Path) -> Iterator[Path]:
    """The stage's dependencies that no stage makes."""
    for dep in read_params(project / "dvc.yaml")["stages"]["train"]["deps"]:
        if not dep.startswith("outputs/"):
            yield project / dep
