"""A package that was built again beside the registered one, file by file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from flows.settings import Settings
from mtl.errors import RegistryError
from mtl.registry.registry import Registry
from mtl.registry.signing import SIGNATURE
from mtl.registry.version import Version
from mtl.reports import PackageReport, read_report
from mtl.storage.digest import file_sha256

DESCRIPTION = "MLmodel"
GIVEN = (b"model_uuid:", b"utc_time_created:")
"""Lines of the description that MLflow writes anew each time: they say nothing of the model."""


def beside_registered(
    settings: Settings, registry: Registry, version: Version, made: Path
) -> dict[str, tuple[str, str]]:
    """What differs → how it was registered, and how it is in `made`, which the package stage wrote. A package that is gone, or is
    not what was registered, is a difference by itself: nothing can be said of its files.
    """
    report = read_report(PackageReport, made / "report.json")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            registered = registry.package(version, Path(scratch), settings.packages)
        except RegistryError as error:
            return {"package": (f"not to be compared: {error.line}", f"{len(report.files)} files")}
        changed = changed_files(registered, made / "model", report.files)
    return {f"package {name}": (before[:16], after[:16]) for name, (before, after) in changed.items()}


def changed_files(registered: Path, rebuilt: Path, files: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Name → SHA-256 (or `absent`) in the one and in the other, of files that are new, gone or other ones. Of the
    description, what MLflow gives anew each time is left out, and of the registered package its signature.

    Args:
        registered: a package that was verified.
        rebuilt: another, which `PackageReport.files` describes.
        files: that.
    """
    paths = [path for path in registered.rglob("*") if path.is_file() and path != registered / SIGNATURE]
    before = {path.relative_to(registered).as_posix(): file_sha256(path) for path in paths}
    changed = {
        name: (before.get(name, "absent"), files.get(name, "absent"))
        for name in sorted(before.keys() | files.keys())
        if before.get(name) != files.get(name)
    }
    if "absent" not in changed.get(DESCRIPTION, ("absent",)) and _described(registered) == _described(rebuilt):
        del changed[DESCRIPTION]
    return changed


def _described(package: Path) -> list[bytes]:
    lines = (package / DESCRIPTION).read_bytes().splitlines()
    return [line for line in lines if not line.startswith(GIVEN)]
