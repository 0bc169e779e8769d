"""The code of a project in which mtl is installed as a package: named by digests, and kept with each version.

In a checkout of mtl the stages' code lies beside params.yaml, and dvc.yaml names its files. In a project of a user's own it is
installed: there each stage depends on one file, `mtl_code/<stage>.sha256`, which names the modules that the stage can load and their
digests, as `sha256sum` writes them. It is written before a stage runs and belongs in git: another mtl retrains what its change costs,
and no more.
"""

from __future__ import annotations

import logging
import shutil
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import mtl
from mtl.config import read_params
from mtl.errors import DataError, MtlError
from mtl.registry.fingerprint import outs, read_stages
from mtl.storage import atomic
from mtl.storage.digest import file_sha256
from mtl.storage.names import checked_name

_LOG = logging.getLogger(__name__)
PINS = "mtl_code"
ARCHIVE = "mtl_code.zip"
"""What a version keeps of the code that made it, in its lineage."""
PACKAGE = Path(mtl.__file__).parent
_REPLACED = "look who writes there; a back-up may have it whole (mtl restore)"
_IN_CHECKOUT = {"build.lock": "infra/build.lock"}


def is_project(root: Path) -> bool:
    """Whether a folder is a project that runs the installed mtl; in a checkout of mtl, and where a version's code was laid, what
    lies there runs.
    """
    return (root / PINS).is_dir() and not (root / "mtl" / "__init__.py").exists()


def shipped(name: str) -> Path:
    """A file of mtl's repository that the wheel has, too: dvc.yaml, params.yaml, requirements.lock or build.lock."""
    installed = Path(__file__).with_name("shipped") / name
    return installed if installed.exists() else PACKAGE.parent / _IN_CHECKOUT.get(name, name)


def pin(root: Path) -> list[str]:
    """Let a project's pins be those of the mtl that is installed; the stages whose code is another one than before. Nothing
    elsewhere.

    Raises:
        MtlError: the project's stages are not those of this mtl, or its folder cannot be written to.
    """
    changed = stale(root)
    if not changed:
        return []
    refuse_other_stages(root)
    before = any((root / PINS).iterdir())
    try:
        for stage in changed:
            atomic.write(_file(root, stage), _pins(stage))
    except OSError as error:
        raise MtlError(
            f"the installed mtl is not the one that {root / PINS} names, and nothing can be written there",
            found=f"other code for {', '.join(changed)}: {error.strerror or error}",
            fix="mtl new --update where it can, and commit it; or install the mtl that it names",
        ) from error
    if before:
        _LOG.warning(f"mtl is another one than {PINS}/ named: other code for {', '.join(changed)} (commit it)")
    return changed


def stale(root: Path) -> list[str]:
    """Stages whose pins are not those of the installed mtl; none, where there is no project."""
    if not is_project(root):
        return []
    return [name for name in _graph() if not _file(root, name).exists() or _file(root, name).read_text() != _pins(name)]


def refuse_other_stages(root: Path) -> None:
    """A project's dvc.yaml may have more than mtl's stages have, but nothing else in their place: a setting that a stage reads
    and does not name would change a version without its fingerprint.

    Raises:
        MtlError: what it lacks.
    """
    own = read_stages(root)
    missing = [line for name, stage in _graph().items() for line in _missing(name, stage, own.get(name))]
    if missing:
        more = f"; and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise MtlError(
            "dvc.yaml's stages are not those of the installed mtl",
            found=missing[0] + more,
            fix="mtl new --update brings the project up to it; or install the mtl that it was made for",
        )


def _missing(name: str, wanted: dict[str, Any], own: dict[str, Any] | None) -> Iterator[str]:
    if own is None:
        yield f"no stage {name}"
        return
    if own.get("cmd") != wanted["cmd"]:
        yield f"the command of {name} is {own.get('cmd')!r} and not {wanted['cmd']!r}"
    for part in ("params", "deps"):
        lacking = set(wanted[part]) - set(own.get(part, []))
        yield from (f"{name} does not have {lost} among its {part}" for lost in sorted(lacking))
    yield from (
        f"{name} does not have {lost} among what it makes" for lost in sorted(set(outs(wanted)) - set(outs(own)))
    )


def _graph() -> dict[str, dict[str, Any]]:
    """mtl's stages as a project has them: one file of pins in the place of mtl's modules."""
    return {
        name: stage | {"deps": [_dep(name), *(dep for dep in stage["deps"] if not dep.startswith("mtl/"))]}
        for name, stage in _shipped_stages().items()
    }


@cache
def _shipped_stages() -> dict[str, dict[str, Any]]:
    stages: dict[str, dict[str, Any]] = read_params(shipped("dvc.yaml"))["stages"]
    return stages


def _dep(stage: str) -> str:
    return f"{PINS}/{stage}.sha256"


def _file(root: Path, stage: str) -> Path:
    return root / PINS / f"{stage}.sha256"


def _pins(stage: str) -> str:
    """Each module of a stage's closure with its digest."""
    deps = [dep for dep in _shipped_stages()[stage]["deps"] if dep.startswith("mtl/")]
    paths = [PACKAGE.parent / dep for dep in deps]
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return "".join(f"{file_sha256(file)}  {file.relative_to(PACKAGE.parent).as_posix()}\n" for file in sorted(files))


def keep_code(folder: Path) -> Path:
    """The installed mtl as an archive, which says nothing of when or where it was installed."""
    path = folder / ARCHIVE
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _files():
            info = zipfile.ZipInfo(file.relative_to(PACKAGE.parent).as_posix())
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, file.read_bytes())
    return path


def _files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def lay_code(archive: Path, folder: Path) -> None:
    """Put a version's code into a folder, where it comes before the installed one.

    Raises:
        DataError: the archive is none, or has other things than code of mtl.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            for name in files.namelist():
                if not checked_name(name, ARCHIVE).startswith("mtl/"):
                    raise DataError(
                        f"{ARCHIVE} has other things than code of mtl",
                        found=name,
                        fix=_REPLACED,
                    )
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(files.read(name))
    except zipfile.BadZipFile as error:
        raise DataError(
            f"{ARCHIVE} of the version cannot be read",
            found=str(error),
            fix=_REPLACED,
        ) from error


def lay_installed(folder: Path) -> None:
    """The same with the code that is installed, and its pins."""
    pin(folder)
    shutil.copytree(PACKAGE, folder / "mtl", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)


def unpinned(folder: Path) -> list[str]:
    """Modules in a folder that are not what its pins say, in words."""
    found: list[str] = []
    for pins in sorted((folder / PINS).glob("*.sha256")):
        for line in pins.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            path = folder / checked_name(name, pins.name)
            if not path.is_file() or file_sha256(path) != digest:
                found.append(name)
    return sorted(set(found))
