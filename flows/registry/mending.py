"""`mtl mend`: a package that was damaged in the registry, brought back from a copy that is, file by file, what was registered."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.registry.keys import refuse_strange_key
from flows.registry.load import load_versions
from flows.settings import Settings
from mtl.config import read_params
from mtl.errors import RegistryError
from mtl.registry.registry import Registry, Version
from mtl.registry.signing import SIGNATURE, sign, signed_files, verify
from mtl.registry.tracking import explained
from mtl.storage.names import checked_name

OUTPUT = "outputs/package"
"""What the package stage makes, and DVC keeps: the package is its folder `model`."""


def mend(settings: Settings, number: int) -> str:
    """Put a version's package back, if it is not whole; what was done.

    Raises:
        RegistryError: no copy is what was registered; or something was added to the package, which is nobody's to remove.
    """
    _, registry = load_versions(settings)
    version = registry.accept(registry.get(number))
    digest = version.tags.get("mtl.package_sha256", "")
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch, "found", "model")
        damage = _damage(registry, version, found.parent)
        if damage is None and signed_files(found, digest):
            return f"version {number}: its package is what was registered"
        name, copy = (
            ("the registry", found) if damage is None else _copy(settings, registry, version, Path(scratch), damage)
        )
        put_back(settings, registry, version, copy, signed=bool(signed_files(found, digest)))
        if left := _damage(registry, version, Path(scratch, "after")):
            raise left
    what = damage.found if damage else f"{SIGNATURE} was none of it"
    return f"version {number}: its package was brought back from {name} ({what})"


def put_back(settings: Settings, registry: Registry, version: Version, copy: Path, *, signed: bool = False) -> None:
    """Write a verified copy of a version's package into the registry; signed again, if its signature is not of these files.

    Args:
        signed: the registry has the signature.

    Raises:
        RegistryError: the registry does not know the key that would sign.
    """
    if not signed and not signed_files(copy, version.tags.get("mtl.package_sha256", "")):
        refuse_strange_key(settings, registry)
        (copy / SIGNATURE).unlink(missing_ok=True)
        sign(copy, settings.ensure_signing_key(), copy / SIGNATURE)
    with explained(registry.uri):
        registry.client.log_artifacts(version.run, str(copy), "model")


def _copy(
    settings: Settings, registry: Registry, version: Version, scratch: Path, damage: RegistryError
) -> tuple[str, Path]:
    """Where a copy was that is what was registered, and a copy of it."""
    digest = version.tags.get("mtl.package_sha256", "")
    places: dict[str, Callable[[Path], bool]] = {
        "a copy in MTL_HOME/packages": lambda target: settings.copies.bring(digest, target),
        "the DVC cache or remote": lambda target: from_dvc(settings, registry, version, target),
    }
    refused = [f"registry: {damage.found}"]
    for number, (name, bring) in enumerate(places.items()):
        copy = scratch / str(number)
        try:
            if bring(copy):
                verify(copy, digest, None)
                return name, copy
            refused.append(f"{name}: not there")
        except RegistryError as error:
            refused.append(f"{name}: {error.found or error.what}")
    raise RegistryError(
        f"no copy of version {version.number}'s package is what was registered",
        found="; ".join(refused),
        fix="restore the registry from a back-up (mtl restore), or build the version again (mtl reproduce)",
    )


def _damage(registry: Registry, version: Version, scratch: Path) -> RegistryError | None:
    try:
        registry.package(version, scratch)
    except RegistryError as error:
        return error
    return None


def from_dvc(settings: Settings, registry: Registry, version: Version, target: Path) -> bool:
    """Copy what DVC kept of a version's package into a folder that is not there yet; whether it has it. Not verified.

    Raises:
        RegistryError: the version does not say what DVC kept.
        DataError: a name in DVC's list leads out of the folder.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_objects.errors import ObjectFormatError

    with tempfile.TemporaryDirectory() as scratch:
        registry.lineage(version, Path(scratch))
        lock = Path(scratch, "dvc.lock")
        stages: dict[str, Any] = read_params(lock)["stages"] if lock.exists() else {}
    wanted = [str(out["md5"]) for out in stages.get("package", {}).get("outs", []) if out["path"] == OUTPUT]
    if not wanted:
        return False
    try:
        with Repo(str(settings.root)) as repo:
            _take(repo, wanted[0], target)
    except (OSError, DvcException, ObjectFormatError):  # neither cache nor remote has it all
        shutil.rmtree(target, ignore_errors=True)
    return target.exists()


def _take(repo: Any, md5: str, target: Path) -> None:
    """Copy the package's files from DVC's cache, those that it lacks from the remote."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    cache = repo.cache.local

    def bring(*hashes: Any) -> None:
        missing = [found for found in hashes if not cache.exists(found.value)]
        if missing:
            repo.cloud.pull(missing)

    bring(listed := HashInfo("md5", md5))
    files = {"/".join(key): found for key, _, found in Tree.load(cache, listed) if key[0] == "model"}
    bring(*files.values())
    for name, found in files.items():
        path = target / checked_name(name.removeprefix("model/"), f"the DVC object {md5}")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cache.oid_to_path(str(getattr(found, "value", ""))), path)
