"""What every training depends on beside its settings: what dvc.yaml says of its stage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mtl.config import read_params

ROOT = Path(__file__).parents[2]
"""The checkout whose code runs."""


def code_and_data(prepared: Path, *more: Path) -> str:
    """SHA-256 in hexadecimal of the train stage's code and lock, and of the shards' manifest, which has their hashes.

    Args:
        more: folders of other code of this checkout that the result depends on.

    Raises:
        ConfigError: this code is not in a checkout.
    """
    digest = hashlib.sha256((prepared / "manifest.json").read_bytes())
    for path in (*_dependencies(), *more):
        for file in sorted(path.rglob("*.py")) if path.is_dir() else (path,):
            digest.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def _dependencies() -> Iterator[Path]:
    """The stage's dependencies that no stage makes."""
    for dep in read_params(ROOT / "dvc.yaml")["stages"]["train"]["deps"]:
        if not dep.startswith("outputs/"):
            yield ROOT / dep
