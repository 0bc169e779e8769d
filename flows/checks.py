"""What a command needs, looked at before it begins: all that is missing is said at once, in seconds.

Each check is a function that raises what it found. Cheap ones ask the registry alone, and run when a retraining has nothing to do,
too; the others run where there is work to be lost.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.registry.keys import refuse_strange_key
from flows.registry.load import registry_of
from flows.settings import Settings
from mtl.config import read_params
from mtl.config.params import Config
from mtl.errors import GoneError, MtlError, StageError
from mtl.registry.registry import Registry
from mtl.registry.tracking import refuse_deleted
from mtl.storage.dvc_settings import cache_folder, dvc_settings
from mtl.storage.store import Store

FREE_BYTES = 512 * 2**20
"""On each disk that is written to."""
ANSWER_SECONDS = 20.0
"""A bucket that takes longer is out of reach."""
PROBE = "mtl-check"
"""A file that is written to see whether one can be, and removed."""


@dataclass
class Subject:
    """What is looked at."""

    settings: Settings
    config: Config

    @cached_property
    def registry(self) -> Registry:
        """The one that the settings name."""
        return registry_of(self.settings, self.config.registry.model)


Check = Callable[[Subject], None]


def signing_key(subject: Subject) -> None:
    """Something can be signed, and the keys that are trusted are there."""
    can_sign(subject.settings)


def known_key(subject: Subject) -> None:
    """The registry knows the key that would sign."""
    if subject.settings.has_registry:
        refuse_strange_key(subject.settings, subject.registry)


def registry(subject: Subject) -> None:
    """It answers, and experiment and ledger can be written to."""
    if subject.settings.has_registry:
        refuse_deleted(subject.registry.uri, subject.registry.client, subject.config.registry.experiment)
        subject.registry.ledger.refuse_deleted()


def champion(subject: Subject) -> None:
    """It is verified, and its package is there: the sizes of its files are looked at."""
    if not subject.settings.has_registry or (found := subject.registry.champion()) is None:
        return
    subject.registry.refuse_listed(found)


def champion_package(subject: Subject) -> None:
    """Every file of the champion's package is what was registered."""
    if subject.settings.has_registry and (found := subject.registry.champion()) is not None:
        subject.registry.whole(found)


def remote(subject: Subject) -> None:
    """The DVC remote can be written to."""
    from dvc.config import ConfigError as SettingsError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    dvc_settings(subject.settings.root)  # first: broken ones are named as such
    fix = "dvc remote add --default NAME URL (a folder, s3://…); .dvc/config and .dvc/config.local have its settings"
    try:
        with Repo(str(subject.settings.root)) as repo:
            store: Any = repo.cloud.get_remote_odb()
    except SettingsError as error:
        raise StageError("there is no DVC remote to push to", found=str(error), fix=fix) from error
    except DvcException as error:
        fix = "git init, git add -A, git commit, if it is no git repository; mtl doctor looks at the rest"
        raise StageError(f"DVC cannot work in {subject.settings.root}", found=str(error), fix=fix) from error
    if store.fs.protocol == "local":
        _writable(Path(store.path), "the DVC remote")
        return
    path = store.fs.join(store.path, PROBE)

    def write() -> None:
        store.fs.pipe_file(path, b"")
        store.fs.remove(path)

    _in_time(write, f"the DVC remote {store.fs.unstrip_protocol(store.path)} cannot be written to", fix)


def stages(subject: Subject) -> None:
    """dvc.yaml and dvc.lock can be read: a merge may have left its marks there."""
    for path in (subject.settings.root / "dvc.yaml", subject.settings.root / "dvc.lock"):
        if path.exists():
            read_params(path)


def cluster(subject: Subject) -> None:
    """Somebody answers at the address of the cluster, if it names a host."""
    address = subject.config.cluster.address
    parts = urlsplit(address if "://" in address else f"ray://{address}")
    if not parts.hostname or not parts.port:  # local, auto
        return
    try:
        socket.create_connection((parts.hostname, parts.port), ANSWER_SECONDS).close()
    except OSError as error:
        fix = "start it, or set cluster.address to local"
        raise StageError(f"no Ray cluster answers at {address}", found=str(error), fix=fix) from error


def storage(subject: Subject) -> None:
    """Where a cluster keeps checkpoints can be written to."""
    if subject.config.cluster.storage:
        writable(subject.config.cluster.storage, "cluster.storage")


def disk(subject: Subject) -> None:
    """There is room in the home, DVC's cache and for temporary files."""
    for folder, what in folders(subject.settings).items():
        if (free := shutil.disk_usage(nearest(folder)).free) < FREE_BYTES:
            raise StageError(
                f"the disk of {what} is nearly full",
                found=f"{free / 2**20:.0f} MiB are free in {folder}",
                fix=f"{FREE_BYTES >> 20} MiB are wanted; mtl clean and mtl data gc make room",
            )


def folders(settings: Settings) -> dict[Path, str]:
    """Folders that are written to, and what for."""
    found = {settings.home: "MTL_HOME", Path(tempfile.gettempdir()): "temporary files (TMPDIR)"}
    if os.access(settings.root, os.W_OK):
        found[settings.root] = "the checkout"
    with suppress(MtlError):  # what is wrong with DVC's settings, `remote` says
        found[cache_folder(settings.root)] = "the DVC cache"
    return found


QUICK: tuple[Check, ...] = (signing_key, registry, champion)
"""Before a retraining that may have nothing to do."""
TRAINING: tuple[Check, ...] = (
    signing_key,
    known_key,
    registry,
    champion_package,
    stages,
    remote,
    cluster,
    storage,
    disk,
)
"""Before one that trains."""


def check(settings: Settings, config: Config, checks: Sequence[Check], more: Sequence[Check] = ()) -> None:
    """Run checks, and say all that they found.

    Args:
        more: those of what comes next, whose findings are said at once with these, if there are any.

    Raises:
        MtlError: something that the command needs is missing; nothing was begun.
    """
    subject = Subject(settings, config)
    try:
        refuse(partial(one, subject) for one in checks)
    except MtlError:
        refuse(partial(one, subject) for one in dict.fromkeys([*checks, *more]))


def refuse(checks: Iterable[Callable[[], None]]) -> None:
    """Run what raises what it finds, all of it.

    Raises:
        MtlError: what was found; if there is more than one thing, all of them in one.
    """
    found: list[MtlError] = []
    for one in checks:
        try:
            one()
        except MtlError as error:
            if str(error) not in map(str, found):
                found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        kind = GoneError if all(isinstance(e, GoneError) for e in found) else MtlError
        lines = "\n".join(f"  - {error!s}".replace("\n", "\n  ") for error in found)
        raise kind(f"{len(found)} things are missing, and nothing was begun:\n{lines}")


def can_sign(settings: Settings) -> None:
    """Refuse to go on without a key.

    Raises:
        RegistryError: there is none to sign with, or one that was named is missing or is none.
    """
    settings.trust.sign({"kind": "check"})


def writable(address: str, what: str) -> None:
    """Refuse a folder or bucket that cannot be written to.

    Raises:
        MtlError: it cannot.
    """
    local = address.removeprefix("file://")
    if "://" not in local:
        _writable(Path(local), what)
        return
    store = Store(address)

    def write() -> None:
        store.put(PROBE, b"")
        store.remove(PROBE)

    _in_time(write, f"{what} cannot be written to: {address}", "check its address and its credentials")


def _writable(folder: Path, what: str) -> None:
    """The folder is there, or can be made, and takes files."""
    there = nearest(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise StageError(
            f"{what} cannot be written to",
            found=f"{there} is no folder that this user may write to: {folder}",
            fix="name another one, or let this user write there (chown, chmod)",
        )


def nearest(folder: Path) -> Path:
    """A folder, or the first above it that there is."""
    return next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)


def _in_time(ask: Callable[[], None], what: str, fix: str) -> None:
    """Do something that a network may hold up."""
    found: list[BaseException] = []

    def run() -> None:
        try:
            ask()
        except Exception as error:  # of whatever kind the client of the bucket raises
            found.append(error)

    asking = threading.Thread(target=run, daemon=True)
    asking.start()
    asking.join(ANSWER_SECONDS)
    if asking.is_alive():
        raise StageError(what, found=f"no answer in {ANSWER_SECONDS:.0f} s", fix=fix)
    if found:
        first = (str(found[0]) or type(found[0]).__name__).splitlines()[0][:300]
        raise StageError(what, found=first, fix=fix) from found[0]
