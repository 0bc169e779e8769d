"""What of a checkout differs from its commit, as a patch that others may read: code, and no credentials."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from flows.checkout.git import PATCH, GitError, git, names
from flows.checkout.installed import PINS
from mtl.data.raw.listings import FOLDER
from mtl.output.redaction import CREDENTIAL_FILES, secret_in_file

CODE = ("mtl", "flows", PINS)
"""Folders whose files a run may use though git does not track them; elsewhere it is Python alone."""
CREDENTIAL_FOLDERS = (".aws", ".ssh", ".gnupg", ".azure", ".kube", ".docker", ".gcloud", ".config")
BY_NAME = "its name says that it is for credentials"
NOT_CODE = "git does not track it, and it is no code"
OTHERS = "a git repository of its own, whose state no commit of this one names"
LARGEST = 8 * 2**20
"""Bytes of a file in a patch; a version is no place for data."""


@dataclass
class Difference:
    """A patch against the commit, and what is not in it.

    Attributes:
        changed: whether anything differs.
        untracked: files that git does not track, in the patch all the same.
        left_out: file → why it is not in the patch.
    """

    patch: bytes = b""
    changed: bool = False
    untracked: list[str] = field(default_factory=list[str])
    left_out: dict[str, str] = field(default_factory=dict[str, str])

    def lines(self) -> list[str]:
        """What a person is told of it."""
        taken = [f"not tracked by git, and kept with the version: {path}" for path in self.untracked]
        return taken + [f"not kept with the version: {path} ({why})" for path, why in self.left_out.items()]


def difference(root: Path) -> Difference:
    """What differs from the commit. The index is left as it is. The user's images are not in it: they have hashes of their
    own.

    Raises:
        GitError: git cannot tell; or code that a run uses cannot be kept: it is too large, or another repository's.
    """
    with tempfile.TemporaryDirectory() as scratch:
        index = _Index(root, Path(scratch, "index"))
        found = Difference()
        known = set(names(git(root, "ls-files", "-z")))
        new = [*names(index.git("ls-files", "-z", "--others", "--exclude-standard", *_WHERE)), *ignored_code(root)]
        found.untracked = [path for path in new if path not in known]
        untracked = set(found.untracked)
        paths = list(dict.fromkeys([*index.changed(), *new]))
        found.changed = bool(paths)
        found.left_out = {path: why for path in paths if (why := _unfit(root, path, untracked=path in untracked))}
        _refuse_lost_code(found.left_out)
        chosen = [path for path in paths if path not in found.left_out]
        index.take(chosen)
        if secret_in_file(index.git("diff-index", "--cached", "--text", *PATCH, "HEAD")):
            _leave_out_secrets(index, chosen, found)
        found.untracked = [path for path in found.untracked if path not in found.left_out]
        found.patch = index.git("diff-index", "--cached", *PATCH, "HEAD")
        return found


def ignored_code(root: Path) -> list[str]:
    """Files that git ignores in folders of code: a run uses them all the same."""
    folders = [folder for folder in CODE if (root / folder).is_dir()]
    if not folders:
        return []
    found = names(git(root, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", *folders))
    return [path for path in found if "__pycache__" not in path and not path.endswith((".pyc", "/"))]


_WHOLE = ("--relative", "--no-renames", "--ignore-submodules=none")
_WHERE = ("--", ".", f":(exclude){FOLDER}", ":(exclude)dvc.lock")


class _Index:
    """An index of its own, which begins as the commit: it hides nothing, as the user's may (`--assume-unchanged`)."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root, self.path = root, path
        self.git("read-tree", "HEAD")

    def git(self, *words: str, given: bytes | None = None) -> bytes:
        return git(self.root, *words, index=self.path, given=given)

    def changed(self) -> list[str]:
        """Files that differ from the commit; of a sparse checkout, those that are not there do not."""
        self.git("update-index", "-q", "--really-refresh", "--unmerged", "--ignore-missing", "--ignore-submodules")
        flags = names(git(self.root, "ls-files", "-t", "-z"))
        absent = {line[2:] for line in flags if line.startswith("S ") and not os.path.lexists(self.root / line[2:])}
        found = names(self.git("diff-index", "--name-only", "-z", *_WHOLE, "HEAD", *_WHERE))
        return [path for path in found if path not in absent]

    def take(self, paths: Iterable[str]) -> None:
        """The commit, with these files as they are now."""
        self.git("read-tree", "HEAD")
        listed = b"".join(os.fsencode(path) + b"\0" for path in paths)
        self.git("update-index", "--add", "--remove", "--replace", "-z", "--stdin", given=listed)


def _leave_out_secrets(index: _Index, chosen: list[str], found: Difference) -> None:
    """Of the files that are taken, leave out those whose difference holds a secret, in what was or what is."""
    for path in chosen:
        words = ("diff-index", "--cached", "--text", *PATCH, "HEAD", "--", path)
        if what := secret_in_file(index.git("--literal-pathspecs", *words)):
            found.left_out[path] = f"it holds {what}"
    index.take(path for path in chosen if path not in found.left_out)


def _unfit(root: Path, path: str, *, untracked: bool) -> str | None:
    """Why a file is no part of a patch, whatever is in it."""
    parts = PurePosixPath(path.lower())
    if any(part in CREDENTIAL_FOLDERS for part in parts.parts[:-1]):
        return BY_NAME
    if parts.suffix != ".py" and any(fnmatchcase(parts.name, pattern) for pattern in CREDENTIAL_FILES):
        return BY_NAME
    if path.endswith("/") or ((root / path).is_dir() and not (root / path).is_symlink()):
        return OTHERS
    if untracked and not (parts.suffix == ".py" or parts.parts[0] in CODE):
        return NOT_CODE
    size = (root / path).lstat().st_size if os.path.lexists(root / path) else 0
    if size > LARGEST:
        return f"{size / 2**20:,.0f} MiB; at most {LARGEST / 2**20:.0f} MiB of a file are kept"
    return None


def _refuse_lost_code(left_out: dict[str, str]) -> None:
    """What lies in folders of code is what a run is made of: without it nobody could build the version again.

    Raises:
        GitError: some of it cannot be kept.
    """
    lost = [f"{path}: {why}" for path, why in left_out.items() if path.split("/")[0] in CODE and why != BY_NAME]
    if lost:
        more = f"; and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise GitError(
            "code that a version is made of could not be kept with it",
            found=lost[0] + more,
            fix=f"commit it; or move it out of {' and '.join(CODE)} (weights and data: into data/, or dvc add)",
        )
