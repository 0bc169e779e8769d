"""What every training depends on beside its settings."""

from __future__ import annotations

import hashlib
from pathlib import Path


def code_and_data(prepared: Path) -> str:
    """SHA-256 in hexadecimal of this package's code and of the shards' manifest, which has their hashes."""
    digest = hashlib.sha256((prepared / "manifest.json").read_bytes())
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()
