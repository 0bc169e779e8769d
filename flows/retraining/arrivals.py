"""What is new where data come from: looked at before every run, so that a tick sees a new image like a changed setting."""

from __future__ import annotations

from pathlib import Path

from flows.checkout.dvc import dvc
from flows.settings import Settings
from mtl.config import read_params
from mtl.config.params import Config
from mtl.data.raw.listings import FOLDER, sync_listings
from mtl.errors import StageError


def look_for_arrivals(settings: Settings, config: Config) -> list[str]:
    """Bring listings of sets outside `data/` up to date, and imports of DVC if `data.update_imports`; what has changed.

    Raises:
        DataError: a set cannot be listed.
        StageError: where an import comes from is out of reach.
    """
    changed = sync_listings(config.data.source, settings.root, settings.home)
    return changed + (update_imports(settings.root) if config.data.update_imports else [])


def update_imports(root: Path) -> list[str]:
    """`dvc update` of all that `dvc import-url` or `dvc import` brought below `data/`; what was new."""
    files = (path for path in sorted((root / FOLDER).rglob("*.dvc")) if path.is_file())
    before = {path: path.read_bytes() for path in files if "deps" in read_params(path)}
    if not before:
        return []
    names = [str(path.relative_to(root)) for path in before]
    try:
        dvc(root, "update", *names)
    except StageError as error:
        fix = "check its address and the credentials; data.update_imports: false keeps what is here"
        raise StageError("an import of DVC cannot be brought up to date", found=error.found, fix=fix) from error
    return [name for name, path in zip(names, before, strict=True) if path.read_bytes() != before[path]]
