"""Where a run's stages work: the checkout itself, or a copy of it when params are overridden."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from flows.checkout.git import git, names
from flows.checkout.homes import holder_of, homes, note_home, shared_folder, sign_lock
from flows.checkout.leftovers import Note, clear, noted
from flows.checkout.uncommitted import ignored_code
from flows.settings import Settings
from mtl.config import apply_overrides, read_params
from mtl.data.raw.listings import FOLDER
from mtl.errors import BusyError, MtlError
from mtl.storage.dvc_settings import cache_folder, lend, remotes, writable

GATE, CHECKOUT = "gate.lock", "checkout.lock"
"""Held while a run of a home begins; and, in the checkout itself, by the run that works there."""


@contextlib.contextmanager
def exclusive(settings: Settings) -> Generator[None]:
    """Nothing else runs in a checkout, and nothing begins, of any home, while something is done that would disturb it.

    Raises:
        BusyError: a run is going.
    """
    clear(settings, prefect=settings.prefect_url is not None, level=logging.DEBUG)
    with contextlib.ExitStack() as held:
        for home in dict.fromkeys([settings.home, *homes(settings.root)]):
            folder = home / "locks"
            held.enter_context(_lock(folder / GATE, settings))
            for path in sorted(folder.glob("*.lock")):
                if path.name != GATE:
                    held.enter_context(_lock(path, settings))
        if writable(shared_folder(settings.root)):
            held.enter_context(_lock(shared_folder(settings.root) / CHECKOUT, settings))
        held.enter_context(noted(settings))
        yield


@contextlib.contextmanager
def running(settings: Settings, name: str, *, prefect: bool = False) -> Generator[Note]:
    """One run of a name at a time in a home; runs of other names may go on beside it. What killed ones left is cleared first.

    Args:
        prefect: a server runs, embedded perhaps.

    Raises:
        BusyError: the same is going.
    """
    clear(settings, prefect=prefect or settings.prefect_url is not None, level=logging.DEBUG)
    folder = settings.home / "locks"
    with contextlib.ExitStack() as held:
        if writable(shared_folder(settings.root)):
            note_home(settings.root, settings.home)
        with _lock(folder / GATE, settings, wait=60):
            held.enter_context(_lock(folder / f"{name}.lock", settings))
        yield held.enter_context(noted(settings, name))


@contextlib.contextmanager
def _lock(path: Path, settings: Settings, wait: float = 0) -> Generator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path).acquire(timeout=wait)
    except Timeout as error:
        raise BusyError(
            "another retraining is running in this checkout", found=holder_of(path), fix="wait for it (mtl status)"
        ) from error
    except OSError as error:
        raise MtlError(
            f"whether others work in {path.parent} cannot be told", found=str(error), fix="let this user write there"
        ) from error
    with held:
        with contextlib.suppress(OSError):
            sign_lock(path, settings.home)
        yield


@contextlib.contextmanager
def workspace(settings: Settings, overrides: Sequence[str], name: str) -> Generator[Path]:
    """The folder in which the stages run.

    Without overrides it is the checkout, so that `dvc metrics diff` and the like show the run. With them, or if another
    run works in the checkout (of whichever home), or if it is read-only, it is a copy of the checkout's files with the
    changed params.yaml, sharing the DVC cache: the user's files are never touched, two runs never write to one file, and a
    killed run leaves them as they are.

    Args:
        name: of the run; a copy is called like it.
    """
    with contextlib.ExitStack() as held:
        if not overrides and os.access(settings.root, os.W_OK) and _takes_checkout(settings, held):
            yield settings.root
        else:
            yield held.enter_context(_copied(settings, overrides, name))


def _takes_checkout(settings: Settings, held: contextlib.ExitStack) -> bool:
    """Whether nobody else works in the checkout and its cache can be written to; from now on this run does."""
    if not writable(cache_folder(settings.root)):
        return False
    try:
        held.enter_context(_lock(shared_folder(settings.root) / CHECKOUT, settings))
    except BusyError:
        return False
    return True


@contextlib.contextmanager
def _copied(settings: Settings, overrides: Sequence[str], name: str) -> Generator[Path]:
    folder = settings.home / "workspaces" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        copy_files(settings.root, folder)
        if overrides:
            write_params(folder / "params.yaml", overrides)
        lend(settings.root, folder, cache=usable_cache(settings), urls=usable_urls(settings))
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


def usable_cache(settings: Settings) -> Path:
    """The checkout's DVC cache, or one of the home's own where nothing can be written to it."""
    cache = cache_folder(settings.root)
    return cache if writable(cache) else settings.home / "dvc-cache"


def usable_urls(settings: Settings) -> dict[str, str]:
    """Remotes that are folders of this machine: where nothing can be written to one in the checkout, the home has it."""
    found = {name: url for name, url in remotes(settings.root).items() if "://" not in url}
    own = {name: url for name, url in found.items() if Path(url).is_relative_to(settings.root)}
    return {name: str(settings.home / "dvc-remote") for name, url in own.items() if not writable(Path(url))}


def effective_params(root: Path, overrides: Sequence[str]) -> dict[str, object]:
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
