"""The template of `mtl new`, as Copier wants it: a git repository with a tag for each version that the wheel has.

The repository is made anew from the wheel's folders each time, in a temporary folder, with the same commits everywhere: a project that
a colleague made with an older mtl is merged on any machine. What the project remembers is no path but `git+mtl:template`, and git is
told, for as long as Copier works, where that is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from packaging.version import Version

from flows.checkout.git import git
from mtl.errors import MtlError

ADDRESS = "git+mtl:template"
ANSWERS = ".copier-answers.yml"
TEMPLATES = Path(__file__).with_name("templates")
_WHO = {"NAME": "mtl", "EMAIL": "mtl@localhost", "DATE": "2000-01-01T00:00:00+0000"}


def versions(templates: Path = TEMPLATES) -> list[str]:
    """Of the template, oldest first: the versions of mtl in which it changed."""
    return sorted((path.name for path in templates.iterdir() if (path / "copier.yaml").exists()), key=Version)


def mtl_version() -> str:
    """Of the mtl that is installed.

    Raises:
        MtlError: it is not installed, but found in a folder.
    """
    try:
        return version("mtl")
    except PackageNotFoundError as error:
        raise MtlError(
            "mtl is not installed here", fix="pip install its wheel, or make setup in its checkout"
        ) from error


def source_of_mtl() -> tuple[str, Path | None]:
    """What pip can install this mtl from: what it was installed from; and the wheel, if that is a file which is still there."""
    import json

    number = mtl_version()
    origin: dict[str, Any] = json.loads(distribution("mtl").read_text("direct_url.json") or "{}")
    url = str(origin.get("url", ""))
    if not url:
        return f"mtl=={number}", None
    if not url.startswith("file:"):
        vcs = origin.get("vcs_info", {})
        return (f"mtl @ {vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url), None
    from urllib.parse import unquote, urlsplit

    wheel = Path(unquote(urlsplit(url).path))
    if wheel.suffix != ".whl":  # a checkout: the wheel is to be built there
        return f"wheels/mtl-{number}-py3-none-any.whl", None
    return f"wheels/{wheel.name}", wheel if wheel.is_file() else None


@contextlib.contextmanager
def repository(templates: Path = TEMPLATES) -> Generator[str]:
    """Copier's address of the template, for as long as the block lasts; its newest tag is the last of `versions`."""
    with tempfile.TemporaryDirectory(prefix="mtl-template-") as scratch:
        root = Path(scratch, "template")
        changes = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _WHO.items()}
        with _environment(changes):
            git(Path(scratch), "init", "--quiet", "--initial-branch=main", str(root))
            for name in versions(templates):
                _commit(root, templates / name, name)
        count = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
        told = {
            "GIT_CONFIG_COUNT": str(count + 1),
            f"GIT_CONFIG_KEY_{count}": f"url.{root.as_uri()}.insteadOf",
            f"GIT_CONFIG_VALUE_{count}": ADDRESS.removeprefix("git+"),
            "COPIER_CACHE_DIR": str(Path(scratch, "cache")),
        }
        from plumbum import local  # by which Copier calls git: it has its own copy of the environment

        with _environment(told), local.env(**told):
            yield ADDRESS


def _commit(root: Path, folder: Path, name: str) -> None:
    git(root, "rm", "-r", "--quiet", "--ignore-unmatch", ".")
    shutil.copytree(folder, root, dirs_exist_ok=True)
    git(root, "-c", "core.autocrlf=false", "add", "--all", "--force", ".")
    git(root, "-c", "commit.gpgSign=false", "commit", "--quiet", "--allow-empty", "--message", name)
    git(root, "-c", "tag.gpgSign=false", "tag", name)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
