"""`mtl data gc`: data that no registered version and no present file needs leave the DVC cache, and the remote if asked.

What would go, and what each version needs, is said first; afterwards every version is looked at again.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.registry.needs import Elsewhere, objects_of, project_of, registries
from flows.settings import Settings
from mtl.errors import BusyError, MtlError, StageError
from mtl.registry.registry import Registry

REACHABLE = {"all_branches": True, "all_tags": True, "all_experiments": True}
"""Besides the present files: whatever git still has a name for."""


@dataclass
class Garbage:
    """What can go.

    Attributes:
        needs: version, in words → MD5s of the objects that it needs.
        used: MD5s of all that stays.
        goes: place → (objects, bytes; 0: not known).
        unknown: whose data might go without anybody knowing, in words.
        incomplete: version → objects that it lacks already.
    """

    cache: Any
    remote: Any
    cloud: bool
    used: set[str] = field(default_factory=set[str])
    needs: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    goes: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    unknown: list[str] = field(default_factory=list[str])
    incomplete: dict[str, int] = field(default_factory=dict[str, int])

    def lines(self) -> list[str]:
        """For a person to decide on."""
        found: list[str] = []
        for name, objects in self.needs.items():
            lost = self.incomplete.get(name, 0)
            said = f"; {lost} of them are NOWHERE: it is not whole already" if lost else ": whole"
            found.append(f"{name} needs {len(objects)} objects{said}")
        for place, (number, size) in self.goes.items():
            found.append(f"{number} objects would go from {place}" + (f" ({size / 2**20:.1f} MiB)" if size else ""))
        return found + [f"not known: {line}" for line in self.unknown]

    def remove(self) -> str:
        """Let DVC remove it, then look at every version again; what was found, in a line.

        Raises:
            StageError: a place cannot be written to, or a version lacks what it had before.
        """
        from dvc.exceptions import DvcException
        from dvc_data.hashfile.db import get_index
        from dvc_data.hashfile.gc import gc
        from dvc_data.hashfile.hash_info import HashInfo

        used = [HashInfo("md5", oid) for oid in self.used]
        try:
            gc(self.cache, used)
            if self.cloud:
                gc(self.remote, used)
                get_index(self.remote).clear()
        except (DvcException, OSError) as error:
            fix = "nothing that is needed was removed"
            raise StageError("not all of it could be removed", found=str(error), fix=fix) from error
        now = self.look()
        worse = [name for name, lost in now.items() if lost > self.incomplete.get(name, 0)]
        if worse:
            raise StageError(
                "versions lack data that they had before",
                found=", ".join(worse),
                fix="bring the data back: push from a checkout that has it, or restore the remote from a back-up",
            )
        whole = sum(name not in now for name in self.needs)
        return f"removed; {whole} of {len(self.needs)} versions are whole, as before"

    def look(self) -> dict[str, int]:
        """Version → objects that are neither in the cache nor in the remote; those that are whole are left out."""
        cache = set(self.cache.all())
        away = set[str]().union(*self.needs.values()) - cache
        there = set(self.remote.list_oids_exists(sorted(away))) if away and self.remote is not None else set[str]()
        return {name: len(lost) for name, objects in self.needs.items() if (lost := objects - cache - there)}


@contextmanager
def garbage(settings: Settings, model: str, *, remote: bool) -> Generator[Garbage]:
    """What can go, every registered version's lock file being a project that needs its data.

    Raises:
        RegistryError: the registry cannot say what its versions need; then nothing is removed.
        StageError: DVC cannot.
        BusyError: DVC works in this checkout.
    """
    from dvc.repo import Repo

    known, doubts = registries(settings, model)
    logging.getLogger("dvc").setLevel(logging.ERROR)  # that a stage was not run yet is no news here
    with ExitStack() as held:
        with _explained():
            repo = held.enter_context(Repo(str(settings.root)))
            held.enter_context(repo.lock)
            found = Garbage(repo.cache.local, _remote(repo, needed=remote), remote)
            found.needs, more = _needs(settings, known)
            found.used = set[str]().union(*found.needs.values()) | _present(repo)
            found.goes[f"the cache {repo.cache.local_cache_dir}"] = _unused(found.cache, found.used, sizes=True)
            if remote:
                found.goes[f"the remote {found.remote.path}"] = _unused(found.remote, found.used, sizes=False)
            found.incomplete = found.look()
            found.unknown = doubts + more + _unknown(settings, Path(repo.cache.local_cache_dir), remote, found.remote)
        yield found


@contextmanager
def _explained() -> Generator[None]:
    """DVC's errors while it is found out what can go."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    try:
        yield
    except LockError as error:
        raise BusyError("DVC works in this checkout", found=str(error).splitlines()[0], fix="wait for it") from error
    except DvcException as error:
        fix = "bring its data back, or remove what names it (dvc exp remove, a branch, a tag); nothing was removed"
        raise StageError("DVC cannot say what is needed", found=str(error).splitlines()[0], fix=fix) from error


def _needs(settings: Settings, known: list[tuple[str, Registry]]) -> tuple[dict[str, set[str]], list[str]]:
    """Version, in words → what it needs; and of which other models' versions that is not known. Those whose data are kept
    elsewhere need nothing here.
    """
    found: dict[str, set[str]] = {}
    doubts: list[str] = []
    for name, registry in known:
        for version in registry.versions():
            try:
                with (
                    tempfile.TemporaryDirectory() as scratch,
                    project_of(settings, registry, version, Path(scratch)) as project,
                ):
                    found[f"{name}version {version.number}"] = objects_of(project, version)
            except MtlError as error:
                if not name:
                    raise
                if not isinstance(error, Elsewhere):
                    doubts.append(f"what {name}version {version.number} needs ({error.line})")
    return found, doubts


def _present(repo: Any) -> set[str]:
    return {str(oid.value) for oids in repo.used_objs(**REACHABLE).values() for oid in oids}


def _unused(place: Any, used: set[str], *, sizes: bool) -> tuple[int, int]:
    gone = [oid for oid in place.all() if oid not in used]
    return len(gone), sum(Path(place.oid_to_path(oid)).stat().st_size for oid in gone) if sizes else 0


def _remote(repo: Any, *, needed: bool) -> Any:
    """The default remote's objects; None if there is none, and none is needed."""
    if not needed and not repo.config["core"].get("remote"):
        return None
    return repo.cloud.get_remote_odb(None, "gc", hash_name="md5")


def _unknown(settings: Settings, cache: Path, cloud: bool, remote: Any) -> list[str]:
    """Who else may keep data in the same places."""
    own = [settings.root.resolve(), settings.home.resolve()]
    found: list[str] = []
    if not any(cache.resolve().is_relative_to(folder) for folder in own):
        found.append(f"what other checkouts keep in {cache}")
    local = cloud and remote.fs.protocol == "local"
    if cloud and not (local and any(Path(remote.path).resolve().is_relative_to(folder) for folder in own)):
        found.append(f"what others keep in {remote.path} and have not registered at {settings.mlflow_uri}")
    return found
