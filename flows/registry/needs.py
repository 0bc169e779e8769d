"""Which DVC objects every registered version needs: of its pipeline, and of the user's own images that DVC tracks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from flows.checkout.git import git, names
from flows.checkout.homes import homes
from flows.checkout.workspace import usable_cache, usable_urls
from flows.registry.lineage import DATA_FILES
from flows.registry.load import registry_of
from flows.registry.restore import commit_of, restore_tracked
from flows.settings import Settings
from mtl.data.raw.listings import FOLDER
from mtl.errors import MtlError, RegistryError, StageError
from mtl.registry.registry import Registry, Version
from mtl.registry.tracking import FINGERPRINT, connect, explained, pages
from mtl.registry.trust import Trust
from mtl.storage.digest import file_md5
from mtl.storage.dvc_settings import lend
from mtl.storage.names import checked_name


class Elsewhere(StageError):
    """Of all that a version needs, no list is here: its data are kept in another place."""


LINEAGE = ("dvc.yaml", "dvc.lock", "params.yaml")


def registries(settings: Settings, model: str) -> tuple[list[tuple[str, Registry]], list[str]]:
    """What is registered from this checkout, as far as it is known here: this home's models, and those of other homes that
    have worked in it; and what is not known of others' models, in words.

    Raises:
        RegistryError: this home's registry cannot be read.
    """
    found: list[tuple[str, Registry]] = [("", registry_of(settings, model))]
    doubts: list[str] = []
    for name in _models(settings.mlflow_uri):
        if name != model:
            _add(found, doubts, f"{name} ", Registry(settings.mlflow_uri, name, settings.trust))
    for home in homes(settings.root):
        uri = f"sqlite:///{home}/mlflow.db"
        if home != settings.home and uri != settings.mlflow_uri and (home / "mlflow.db").exists():
            for name in _models(uri):
                _add(found, doubts, f"{home}: {name} ", Registry(uri, name, Trust(own=home / "keys")))
    connect(settings.mlflow_uri)
    return found, doubts


def _models(uri: str) -> list[str]:
    with explained(uri):
        ask = connect(uri).search_registered_models
        return [model.name for model in pages(lambda token: ask(page_token=token))]


def _add(found: list[tuple[str, Registry]], doubts: list[str], name: str, registry: Registry) -> None:
    """Another model, if it was made by this program."""
    try:
        if any(FINGERPRINT in version.tags for version in registry.versions()):
            found.append((name, registry))
    except MtlError as error:
        doubts.append(f"{name}: its versions cannot be read ({error.line})")


@contextmanager
def project_of(settings: Settings, registry: Registry, version: Version, folder: Path) -> Generator[object]:
    """A version as a DVC project in a folder, with the checkout's cache and remotes: DVC's own view of it.

    Raises:
        RegistryError: the version's lineage cannot be read.
        StageError: it does not say what it needs.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    registry.lineage(version, folder, shown=True)
    missing = [name for name in LINEAGE if not (folder / name).exists()]
    if missing:
        raise StageError(
            f"version {version.number} does not say what data it needs",
            found=f"its run {version.run} has no lineage/{missing[0]}",
            fix="delete the version if it is not needed; nothing was removed",
        )
    if (folder / DATA_FILES).exists():
        restore_tracked(folder, folder)
    else:
        _tracked_by_commit(settings.root, version, folder)
    lend(settings.root, folder, cache=usable_cache(settings), urls=usable_urls(settings))
    try:
        with Repo(str(folder)) as repo:
            yield repo
    except DvcException as error:
        raise StageError(
            f"what data version {version.number} needs is not known",
            found=str(error).splitlines()[0],
            fix="bring the remote back (dvc remote list), or delete the version if it is not needed; nothing was removed",
        ) from error


def objects_of(repo: Any, version: Version) -> set[str]:
    """The MD5s of all objects that a version's project names: files, and the lists of folders.

    Raises:
        StageError: a folder's list is gone or damaged, so what is in the folder is not known.
    """
    folders = [out for out in repo.index.outs if out.use_cache and out.hash_info and out.hash_info.isdir]
    lost = [out for out in folders if not _has_list(out)]
    if lost:
        raise (Elsewhere if len(lost) == len(folders) else StageError)(
            f"what data version {version.number} needs is not known",
            found=f"the list of {lost[0].def_path} ({lost[0].hash_info.value}) is neither in the cache nor in the remote, "
            "or is damaged",
            fix="bring it back (dvc remote list), or delete the version if it is not needed; nothing was removed",
        )
    return {str(oid.value) for oids in repo.used_objs().values() for oid in oids}


def _has_list(out: Any) -> bool:
    """Whether the list of a folder's files is in the cache, perhaps now that it was fetched, and is what its hash says."""
    out.get_dir_cache()
    md5 = str(out.hash_info.value)
    path = Path(out.cache.oid_to_path(md5))
    return path.exists() and file_md5(path) == md5.removesuffix(".dir")


def _tracked_by_commit(root: Path, version: Version, folder: Path) -> None:
    """DVC's files below data/ as a version's commit has them: of versions that did not keep them."""
    try:
        commit = commit_of(version)
        listed = names(git(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", f"{FOLDER}/"))
        for name in (name for name in listed if PurePosixPath(name).suffix == ".dvc"):
            path = folder / checked_name(name, f"commit {commit}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(git(root, "show", f"{commit}:./{name}"))
    except MtlError as error:
        raise RegistryError(
            f"whether version {version.number} needs images that DVC tracks is not known",
            found=error.found or error.what,
            fix="git fetch its commit, or delete the version if it is not needed; nothing was removed",
        ) from error
