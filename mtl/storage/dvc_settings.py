"""What DVC is told in a checkout, at whichever level (system, user, repository, local); and the same told in another folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from mtl.errors import ConfigError

NAMED = ("remote", "machine", "db")
"""Kinds of sections that have a name each."""


def dvc_folder(root: Path) -> Path:
    """The `.dvc` of the DVC project that a folder is in.

    Raises:
        ConfigError: it is in none.
    """
    from dvc.repo import Repo

    with _explained(root):
        return Path(Repo.find_dvc_dir(str(root)))


def dvc_settings(root: Path) -> dict[str, Any]:
    """DVC's settings as they are in a folder: sections by name, all remotes under `remote`, paths absolute.

    Raises:
        ConfigError: the folder is in no DVC project, or a file of its settings cannot be read.
    """
    from dvc.config import Config

    with _explained(root):
        return dict(Config(str(dvc_folder(root))))


def cache_folder(root: Path) -> Path:
    """DVC's cache of a checkout: what `dvc cache dir` prints there.

    Raises:
        ConfigError: as of `dvc_settings`.
    """
    settings = dvc_settings(root)
    cache: dict[str, Any] = settings["cache"]
    named = settings["remote"][cache["local"]]["url"] if "local" in cache else cache.get("dir")
    return Path(named or dvc_folder(root) / "cache")


def cached_object(root: Path, md5: str) -> Path:
    """Where an object is in a checkout's cache, if it is there."""
    return cache_folder(root) / "files" / "md5" / md5[:2] / md5[2:]


def remotes(root: Path) -> dict[str, str]:
    """The remotes of a checkout and their addresses; paths are absolute."""
    return {name: str(remote["url"]) for name, remote in dvc_settings(root)["remote"].items()}


def lend(
    root: Path, folder: Path, *, cache: Path, urls: dict[str, str], scm: bool = False, verify: bool = False
) -> None:
    """Let DVC in another folder work with a checkout's remotes, credentials and kind of links, and with a cache.

    Both levels of the checkout become the folder's local one, which its owner alone may read; what the folder had is gone.

    Args:
        urls: remote → address, in place of the checkout's.
        scm: whether the folder is a git repository.
        verify: believe no remote that an object is what its name says.
    """
    from dvc.config import Config

    with _explained(root):
        lent: dict[str, Any] = {}
        theirs = Config(str(dvc_folder(root)), validate=False)
        for level in Config.REPO_LEVELS:
            own_level: Any = theirs.load_one(level)
            _merge(lent, own_level)
        (folder / ".dvc").mkdir(exist_ok=True)
        (folder / ".dvc" / "config").write_text("", encoding="utf-8")
        own = folder / ".dvc" / "config.local"
        own.unlink(missing_ok=True)
        own.touch(mode=0o600)  # before it has what may be credentials of a remote
        lent.setdefault("core", {})["no_scm"] = str(not scm).lower()
        lent["cache"] = {key: value for key, value in lent["cache"].items() if key != "local"} | {"dir": str(cache)}
        for name, remote in lent["remote"].items():
            if name in urls:
                remote["url"] = urls[name]
            if verify:
                remote["verify"] = "true"
        _write(lent, own)


def _write(settings: dict[str, Any], path: Path) -> None:
    """As DVC does it, which cannot write a path that is not ASCII."""
    from configobj import ConfigObj

    flat = {key: value for key, value in settings.items() if value and key not in NAMED}
    flat |= {f'{kind} "{name}"': one for kind in NAMED for name, one in settings.get(kind, {}).items()}
    with path.open("wb") as file:
        ConfigObj(flat, encoding="utf-8").write(file)


def writable(folder: Path) -> bool:
    """Whether this process may write in a folder, or make it."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


@contextlib.contextmanager
def _explained(root: Path) -> Generator[None]:
    """DVC's errors about its settings, as ours."""
    from dvc.exceptions import DvcException

    try:
        yield
    except DvcException as error:
        fix = "git checkout .dvc/config; dvc config --list --show-origin names every file"
        raise ConfigError(f"DVC's settings in {root} cannot be used", found=str(error), fix=fix) from error


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Deeply; paths that DVC has made absolute stay so wherever they are written (its own type would be made relative)."""
    for key, value in more.items():
        if isinstance(value, dict):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = str(value) if type(value).__name__ == "RelPath" else value
