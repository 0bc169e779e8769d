"""How much room a home takes, and what for."""

from __future__ import annotations

import os
from pathlib import Path

from flows.settings import Settings
from mtl.errors import ConfigError
from mtl.storage.dvc_settings import cache_folder

PARTS = {
    "registry": ("mlartifacts", "mlflow.db"),
    "prefect": ("prefect",),
    "trainings": ("trainings",),
    "packages": ("packages",),
    "reports": ("reports",),
    "downloads": ("downloads",),
    "dvc remote": ("dvc-remote",),
}
"""What is named → its folders and files in the home."""


def sizes(settings: Settings) -> dict[str, int]:
    """Bytes of the home by what they are for, and of DVC's cache where it is the checkout's own; the rest is `other`."""
    found = {name: sum(_bytes(settings.home / path) for path in paths) for name, paths in PARTS.items()}
    found["other"] = _bytes(settings.home) - sum(found.values())
    found["dvc cache"] = _bytes(cache) if (cache := _own_cache(settings)) else 0
    return found


def _own_cache(settings: Settings) -> Path | None:
    """DVC's cache in the checkout; a site's, which others use too, is not this home's, nor quickly counted."""
    try:
        cache = cache_folder(settings.root).resolve()
    except ConfigError:  # none of DVC's projects
        return None
    return cache if cache.is_relative_to(settings.root) and not cache.is_relative_to(settings.home) else None


def line(sizes: dict[str, int]) -> str:
    """In one line, what is large first."""
    parts = [
        f"{name} {size / 2**20:.1f}" for name, size in sorted(sizes.items(), key=lambda one: -one[1]) if size >> 17
    ]
    return f"{sum(sizes.values()) / 2**20:.1f} MiB" + (f": {', '.join(parts)}" if parts else "")


def _bytes(path: Path) -> int:
    """Of a file, or all files below a folder; links count as nothing."""
    try:
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size if path.exists() else 0
        total = 0
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += _bytes(Path(entry.path))
                elif not entry.is_symlink():
                    total += entry.stat(follow_symlinks=False).st_size
        return total
    except OSError:  # just removed
        return 0
