"""`mtl new`: a project of a user's own, and bringing it up to a newer mtl."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from flows.checkout.git import GitError, git, git_says
from flows.checkout.installed import PINS, pin, shipped
from flows.project.template import ADDRESS, ANSWERS, TEMPLATES, mtl_version, repository, source_of_mtl, versions
from mtl.config import read_params
from mtl.config.schema import schema
from mtl.errors import ConfigError, MtlError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
LOCKS = {"requirements.lock": "requirements.lock", "build.lock": "infra/build.lock"}
"""Files of mtl's own that a project has: an update replaces them."""
SCHEMA = "params.schema.json"
"""What an editor checks params.yaml by, as its first line says: of the installed mtl, as the locks are."""


def create(folder: Path) -> list[str]:
    """Make a project in a folder that is not there yet, with a first commit if it is no part of a repository; what is to be said.

    Raises:
        ConfigError: the folder's name is none for a model.
        MtlError: there is something in the folder.
    """
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise ConfigError(
            "a project's name is its model's in the registry, too",
            found=repr(name),
            fix="letters, digits, dots, hyphens and underscores; a letter or a digit first",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MtlError(f"{folder} is there already", fix="another name; or mtl new --update in it, if it is a project")
    with repository() as address:
        _copier("copy", folder, src_path=address, vcs_ref=versions()[-1], data=_answers(name))
    _own_params(folder, name)
    _take_locks(folder)
    _take_wheel(folder)
    return _first_commit(folder)


def update(root: Path, templates: Path = TEMPLATES) -> list[str]:
    """Bring a project up to the installed mtl: the template's changes are merged with the user's, the locks replaced, and
    params.yaml left as it is. Files whose changes contradict each other.

    Raises:
        MtlError: the folder is no project, has uncommitted changes, or was made by a newer mtl.
    """
    answers, known = read_answers(root), versions(templates)
    if answers.get("_src_path") != ADDRESS or answers.get("_commit") not in known:
        raise MtlError(
            "the project was made from a template that this mtl does not have",
            found=f"{answers.get('_src_path')} {answers.get('_commit')}; known are {', '.join(known)}",
            fix="install the mtl that made it, or a newer one",
        )
    if changed := git(root, "status", "--porcelain", "--", ".").decode().splitlines():
        raise MtlError(
            "the project has uncommitted changes",
            found=", ".join(line[3:] for line in changed[:5]),
            fix="git add and git commit them (dvc.lock, too: it is of the last run): an update is looked at by git diff",
        )
    with repository(templates):
        _copier("update", root, vcs_ref=known[-1], data=_answers(answers["name"]), overwrite=True, conflict="inline")
    _take_locks(root)
    _take_wheel(root)
    listed = git(root, "diff", "--name-only", "--diff-filter=U", "--relative", "-z").decode()
    return [path for path in listed.split("\0") if path]


def read_answers(root: Path) -> dict[str, str]:
    """What a project was made from.

    Raises:
        MtlError: the folder is none.
    """
    if not (root / ANSWERS).exists():
        raise MtlError(
            "this is no project that mtl new made",
            found=f"no {ANSWERS} in {root}",
            fix="cd to it; mtl new NAME makes one",
        )
    return {key: str(value) for key, value in read_params(root / ANSWERS).items()}


def _answers(name: str) -> dict[str, str]:
    return {"name": name, "mtl_version": mtl_version(), "mtl_from": source_of_mtl()[0]}


def _copier(what: str, folder: Path, **words: Any) -> None:
    import copier
    from copier.errors import CopierError
    from plumbum import ProcessExecutionError

    run = copier.run_copy if what == "copy" else copier.run_update
    try:
        run(dst_path=str(folder), defaults=True, quiet=True, **words)
    except (CopierError, ProcessExecutionError) as error:  # the second of git, which it calls
        raise MtlError(
            "the template cannot be applied", found=str(error), fix="mend what it names, and run the command again"
        ) from error


def _own_params(folder: Path, name: str) -> None:
    """mtl's own params.yaml, with the project's names in the registry: from now on it is the user's."""
    from ruamel.yaml import YAML

    text = shipped("params.yaml").read_text(encoding="utf-8")
    value = name if YAML(typ="safe").load(name) == name else json.dumps(name)  # 2024 is a number, and no is false
    for key in ("experiment", "model"):
        text, found = re.subn(rf"^  {key}: .*$", f"  {key}: {value}", text, count=1, flags=re.MULTILINE)
        assert found, key
    (folder / "params.yaml").write_text(text.replace(f"=docs/{SCHEMA}", f"={SCHEMA}", 1), encoding="utf-8")


def _take_locks(folder: Path) -> None:
    """What the environment is made of, which settings there are, and which code each stage runs."""
    for name, path in LOCKS.items():
        shutil.copyfile(shipped(name), folder / path)
    (folder / SCHEMA).write_text(schema(), encoding="utf-8")
    (folder / PINS).mkdir(exist_ok=True)
    pin(folder)


def _take_wheel(folder: Path) -> None:
    """The wheel that this mtl was installed from, if it is at hand: whoever clones the project has it, too."""
    source, wheel = source_of_mtl()
    if wheel is not None and wheel.resolve() != (folder / source).resolve():
        (folder / source).parent.mkdir(exist_ok=True)
        shutil.copyfile(wheel, folder / source)


def _first_commit(folder: Path) -> list[str]:
    if git_is_around(folder):
        return [f"{folder} is part of a git repository: git add and git commit it there (a version names a commit)"]
    git(folder, "init", "--quiet")
    git(folder, "add", "--all", ".")
    try:
        git(folder, "commit", "--quiet", "--message", f"A project, by mtl {mtl_version()}")
    except GitError:  # git does not know who commits
        return [
            "next, for a version names a commit: git config user.name, git config user.email, git commit -m 'A project'"
        ]
    return []


def git_is_around(folder: Path) -> bool:
    """Whether a folder lies in a git repository."""
    try:
        return git_says(folder, "rev-parse", "--is-inside-work-tree")
    except GitError:
        return False
