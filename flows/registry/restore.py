"""A version's own checkout and environment, from the registry, git and the DVC remote alone."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from filelock import FileLock

from flows.checkout.dvc import dvc
from flows.checkout.git import GitError, git, git_prefix, git_says, names
from flows.checkout.installed import ARCHIVE, is_project, lay_code, unpinned
from flows.checkout.origin import refuse_pointers
from flows.checkout.workspace import usable_cache
from flows.registry.lineage import DATA_FILES, PATCH, tracked_data
from flows.settings import Settings
from mtl.config import read_params
from mtl.data.raw.listings import FOLDER
from mtl.errors import MtlError, StageError
from mtl.registry.registry import Registry, Version
from mtl.reports.lineage import DataFiles, read_recorded
from mtl.storage.digest import file_md5, file_sha256
from mtl.storage.dvc_settings import cached_object, lend, remotes
from mtl.storage.names import checked_name

_LOG = logging.getLogger(__name__)

TRACKED = ("params.yaml", "requirements.lock", "dvc.yaml", "dvc.lock")


def restore_code(settings: Settings, registry: Registry, version: Version, folder: Path) -> Path:
    """The version's commit in `folder`, with what was not committed then and the run's own params, lock and stage graph;
    the folder of what its run kept.

    Raises:
        MtlError: git does not have the commit, or the run did not keep what is needed.
    """
    kept = folder.parent / f"{folder.name}-kept"
    for path in (folder, kept):
        shutil.rmtree(path, ignore_errors=True)
    registry.lineage(version, kept)
    missing = [name for name in TRACKED if not (kept / name).exists()]
    if missing:
        raise MtlError(
            f"version {version.number} cannot be rebuilt: its run did not keep what is needed",
            found=f"no lineage/{missing[0]} in MLflow run {version.run}",
            fix="bring a back-up back that has it (mtl restore), or make a new version: mtl retrain",
        )
    _checkout(settings.root, commit_of(version), folder)
    if version.tags.get("mtl.dirty") == "true":
        if not (kept / PATCH).exists():
            raise MtlError(
                f"version {version.number} was made from changes that nobody kept",
                found=f"no {PATCH}",
                fix="commit what it was made from, and make a new version: mtl retrain",
            )
        if (kept / PATCH).stat().st_size:
            git(folder, "apply", "--whitespace=nowarn", "-p1", "--end-of-options", str(kept / PATCH))
    refuse_pointers(folder)
    for name in TRACKED:
        shutil.copyfile(kept / name, folder / name)
    if (kept / DATA_FILES).exists():
        restore_tracked(kept, folder)
    if is_project(folder):
        _restore_installed(version, kept, folder)
    return kept


def _restore_installed(version: Version, kept: Path, folder: Path) -> None:
    """Of a project: the mtl that was installed when a version was made.

    Raises:
        MtlError: it was not kept, or is not what the version's stages depended on.
    """
    if not (kept / ARCHIVE).exists():
        what = f"version {version.number} was made by an installed mtl that nobody kept"
        found = f"no lineage/{ARCHIVE} in MLflow run {version.run}"
        raise MtlError(what, found=found, fix="make a new version, which keeps it: mtl retrain")
    lay_code(kept / ARCHIVE, folder)
    if other := unpinned(folder):
        what = f"the mtl that version {version.number} kept is not the one that its stages depended on"
        raise MtlError(
            what, found=", ".join(other[:5]), fix="nothing was run; it was made while mtl was installed anew"
        )


def restore_tracked(source: Path, folder: Path) -> None:
    """DVC's files below data/ as they were when a version was made, committed or not.

    Raises:
        DataError: one of their names leads out of the folder.
    """
    listed = read_recorded(DataFiles, source / DATA_FILES)
    outs = {checked_name(name, DATA_FILES): list(found) for name, found in (listed.root if listed else {}).items()}
    known = tracked_data(folder)
    for name in known.keys() - outs.keys():
        (folder / name).unlink()
    for name in (name for name, found in outs.items() if known.get(name) != found):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"outs": outs[name]}), encoding="utf-8")


def commit_of(version: Version) -> str:
    """The commit that a version was made of, as git names one: git would take anything else for an option, a branch or an expression.

    Raises:
        MtlError: it is none.
    """
    commit = version.tags.get("mtl.commit", "")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        what = f"what version {version.number} has as its commit is none"
        raise MtlError(what, found=repr(commit)[:100], fix="a commit has 40 hexadecimal digits; nothing was run")
    return commit


def _checkout(root: Path, commit: str, folder: Path) -> None:
    """A commit's files in a folder, with those of its submodules that the checkout has; of a repository that holds more than this
    project, the project's own folder.
    """
    # Beside the checkout's own objects, also where its history is shallow and a clone of it is refused.
    objects = git(root, "rev-parse", "--path-format=absolute", "--git-path", "objects").decode().strip()
    git(root, "init", "--quiet", "--end-of-options", str(folder))
    (folder / ".git" / "objects" / "info" / "alternates").write_text(f"{objects}\n", encoding="utf-8")
    if not git_says(folder, "cat-file", "-e", f"{commit}^{{commit}}"):
        try:
            origin = git(root, "remote", "get-url", "origin").decode().strip()
            git(folder, "fetch", "--quiet", "--depth=1", "--end-of-options", origin, commit)
        except GitError as error:
            fix = "git fetch it from wherever it was pushed, or push it there"
            raise MtlError(f"git does not have the commit {commit}", found=error.found, fix=fix) from error
    prefix = git_prefix(root)
    if prefix:
        git(folder, "read-tree", f"{commit}:{prefix}")
        git(folder, "checkout-index", "--all", "--quiet")
    else:
        git(folder, "checkout", "--quiet", "--detach", commit)
    for entry in names(git(folder, "ls-tree", "-r", "-z", f"{commit}:{prefix}")):
        mode, _, rest = entry.partition(" commit ")
        pinned, _, path = rest.partition("\t")
        if mode == "160000" and (root / path / ".git").exists():
            _checkout(root / path, pinned, folder / path)


def restore_data(settings: Settings, folder: Path) -> None:
    """The version's raw data by its DVC hash, from the cache or the remote that this checkout has.

    Raises:
        StageError: neither has it, or what the remote has is something else.
    """
    gone = [name for name, url in remotes(settings.root).items() if "://" not in url and not Path(url).exists()]
    urls = {name: str(settings.home / "dvc-remote") for name in gone}
    # DVC itself takes what comes for what was asked for, if it is not told to verify.
    lend(settings.root, folder, cache=usable_cache(settings), urls=urls, scm=True, verify=True)
    # Of the user's own files, what DVC tracks comes by hash; the rest must be in this checkout.
    tracked = [str(path.relative_to(folder)) for path in (folder / FOLDER).rglob("*.dvc")]
    for path in (settings.root / FOLDER).iterdir() if (settings.root / FOLDER).exists() else []:
        if not (folder / FOLDER / path.name).exists() and f"{FOLDER}/{path.name}.dvc" not in tracked:
            (folder / FOLDER).mkdir(exist_ok=True)
            (folder / FOLDER / path.name).symlink_to(path)
    _LOG.info("data: by DVC hash, from the cache or the remote")
    _bring(folder, "fetch", "fetch", *tracked)
    outs = read_params(folder / "dvc.lock")["stages"]["fetch"]["outs"]
    outs += [out for path in tracked for out in read_params(folder / path)["outs"]]
    for md5 in (str(out["md5"]) for out in outs if str(out.get("md5", "")).endswith(".dir")):
        _check_list(cached_object(folder, md5), md5)
    _bring(folder, "checkout", "--force", "fetch", *tracked)


def _bring(folder: Path, *words: str) -> None:
    try:
        dvc(folder, *words)
    except StageError as error:
        raise _not_what_was_pushed(error.found) from error


def _check_list(path: Path, md5: str) -> None:
    """A folder's list, before files are written under its names: one that is not in the cache after fetching was refused,
    and DVC would then read it from the remote again, and take it.
    """
    if not path.exists() or file_md5(path) != md5.removesuffix(".dir"):
        path.unlink(missing_ok=True)
        raise _not_what_was_pushed(f"no list of files with the hash {md5}")
    for entry in json.loads(path.read_bytes()):
        checked_name(str(entry["relpath"]), f"the DVC object {md5}")


def _not_what_was_pushed(found: str) -> StageError:
    return StageError(
        "the version's raw data are not in the DVC remote, or are not what was pushed",
        found=found,
        fix="what has another hash is refused: look who writes there, and push it again from a checkout that has it",
    )


def restore_environment(settings: Settings, lock: Path) -> str:
    """A Python with exactly what a lock file names: this one, if it was made from the same; or one that is built now and
    kept for the next time.

    Raises:
        StageError: it cannot be built.
    """
    if same_lock(settings, lock):
        return sys.executable
    name = file_sha256(lock)[:16]
    folder = settings.home / "environments" / name
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{name}.lock"):
        if not (folder / ".ready").exists():
            _LOG.info(f"environment: built from the version's requirements.lock ({name})")
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            _run(
                sys.executable,  # whose uv is pinned by hash
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
                "--require-hashes",
                "-r",
                str(lock),
            )
            (folder / ".ready").touch()
    return str(python)


def same_lock(settings: Settings, lock: Path) -> bool:
    """Whether a lock is the one that this environment was made from."""
    return file_sha256(lock) == file_sha256(settings.root / "requirements.lock")


def _run(*command: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, env=environment | {"UV_COMPILE_BYTECODE": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        found = "\n".join(done.stderr.strip().splitlines()[-4:])
        raise StageError("the version's environment cannot be built", found=found, fix="check the package index")
