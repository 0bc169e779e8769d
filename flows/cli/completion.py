"""What a shell completes: at once, so from files here alone; no registry is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PAGE = "version-"
"""How reports of versions are called (`flows/retraining/steps.py`)."""


def versions(incomplete: str) -> list[str]:
    """Numbers of versions whose reports are in this home, the newest first."""
    folder = Path(os.environ.get("MTL_HOME", ".mtl"), "reports")
    found = (path.stem.removeprefix(PAGE) for path in folder.glob(f"{PAGE}*.html"))
    return sorted((name for name in found if name.isdigit() and name.startswith(incomplete)), key=int, reverse=True)


def models(incomplete: str) -> list[str]:
    """Aliases, and the numbers of versions."""
    return [name for name in ("champion", "challenger") if name.startswith(incomplete)] + versions(incomplete)


def keys(incomplete: str) -> list[str]:
    """Keys of params.yaml down to the second level, as `--set` has them."""
    from mtl.config import read_params

    path = Path("params.yaml")
    if not path.exists():
        return []
    return [key for key in _keys(read_params(path)) if key.startswith(incomplete)]


def _keys(values: dict[str, object]) -> Iterator[str]:
    for section, content in values.items():
        if isinstance(content, dict):
            yield from (f"{section}.{key}{'.' if isinstance(value, dict) else '='}" for key, value in content.items())
        else:
            yield f"{section}="
