"""Where a run's stages work: the checkout itself, or a copy of it when params are overridden."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from flows.git import git, names
from flows.settings import Settings
from flows.uncommitted import ignored_code
from mtl.config import BusyError, apply_overrides, read_params
from mtl.data.remote import FOLDER

GATE, CHECKOUT = "gate.lock", "checkout.lock"
"""Held while a run begins; and by the run that works in the checkout itself."""


@contextlib.contextmanager
def alone(settings: Settings) -> Generator[None]:
    """Nothing else runs in a home, and nothing begins, while something is done that would disturb it.

    Raises:
        BusyError: a run is going.
    """
    folder = settings.home / "locks"
    with contextlib.ExitStack() as held:
        held.enter_context(_lock(folder / GATE))
        for path in sorted(folder.glob("*.lock")):
            if path.name != GATE:
                held.enter_context(_lock(path))
        yield


@contextlib.contextmanager
def running(settings: Settings, name: str) -> Generator[None]:
    """One run of a name at a time in a home; runs of other names may go on beside it.

    Raises:
        BusyError: the same is going.
    """
    folder = settings.home / "locks"
    with contextlib.ExitStack() as held:
        with _lock(folder / GATE, wait=60):
            held.enter_context(_lock(folder / f"{name}.lock"))
        yield


@contextlib.contextmanager
def _lock(path: Path, wait: float = 0) -> Generator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path).acquire(timeout=wait):
            yield
    except Timeout as error:
        raise BusyError(
            "another retraining is running in this checkout",
            found=f"{path} is held",
            fix="wait for it (mtl status), or use another MTL_HOME",
        ) from error


@contextlib.contextmanager
def workspace(settings: Settings, overrides: Sequence[str], name: str) -> Generator[Path]:
    """The folder in which the stages run.

    Without overrides it is the checkout, so that `dvc metrics diff` and the like show the run. With them, or if another
    run works in the checkout, or if it is read-only, it is a copy of the checkout's files with the changed params.yaml,
    sharing the DVC cache: the user's files are never touched, two runs never write to one file, and a killed run leaves
    them as they are.

    Args:
        name: of the run; a copy is called like it.
    """
    with contextlib.ExitStack() as held:
        if not overrides and os.access(settings.root, os.W_OK):
            try:
                held.enter_context(_lock(settings.home / "locks" / CHECKOUT))
                yield settings.root
                return
            except BusyError:
                pass
        yield held.enter_context(_copied(settings, overrides, name))


@contextlib.contextmanager
def _copied(settings: Settings, overrides: Sequence[str], name: str) -> Generator[Path]:
    folder = settings.home / "workspaces" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        copy_files(settings.root, folder)
        if overrides:
            write_params(folder / "params.yaml", overrides)
        own = folder / ".dvc" / "config.local"
        own.unlink(missing_ok=True)
        own.touch(mode=0o600)
        own.write_text(
            f"[core]\n    no_scm = true\n[cache]\n    dir = {_cache(settings)}\n"
            f"['remote \"local\"']\n    url = {settings.home / 'dvc-remote'}\n",
            encoding="utf-8",
        )
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_files(root: Path, folder: Path) -> None:
    """A checkout's files. The user's own may be many and are not tracked by git: they are linked, not copied."""
    if (folder / FOLDER).is_dir():
        shutil.rmtree(folder / FOLDER)
    (folder / FOLDER).symlink_to(root / FOLDER, target_is_directory=True)
    for path in _files(root):
        if not path.startswith(f"{FOLDER}/"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, folder / path)


def _cache(settings: Settings) -> Path:
    """The checkout's DVC cache, or one of our own where nothing can be written to it."""
    own = settings.root / ".dvc" / "cache"
    return own if os.access(settings.root, os.W_OK) else settings.home / "dvc-cache"


def effective_params(root: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """params.yaml's tree with the overrides."""
    values = read_params(root / "params.yaml")
    apply_overrides(values, overrides)
    return values


def _files(root: Path) -> list[str]:
    """What git tracks, in submodules too; what it neither tracks nor ignores; and code, though it ignores it."""
    found = names(git(root, "ls-files", "-z", "--cached", "--recurse-submodules"))
    found += names(git(root, "ls-files", "-z", "--others", "--exclude-standard")) + ignored_code(root)
    return [path for path in dict.fromkeys(found) if (root / path).is_file()]


def write_params(path: Path, overrides: Sequence[str]) -> None:
    """Change keys of a params.yaml; order, comments and quotes stay."""
    from ruamel.yaml import YAML

    yaml = YAML()  # keeps order, comments and quotes
    yaml.preserve_quotes = True  # pyright: ignore[reportAttributeAccessIssue]
    values = yaml.load(path.read_text(encoding="utf-8"))
    apply_overrides(values, overrides)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(values, file)
