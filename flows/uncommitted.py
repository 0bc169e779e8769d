"""What of a checkout differs from its commit, as a patch that others may read: code, and no credentials."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mtl.config import MtlError
from mtl.data.remote import FOLDER
from mtl.redaction import CREDENTIAL_FILES, secret_in_file

CODE = ("mtl", "flows")
"""Folders whose files a run may use though git does not track them; elsewhere it is Python alone."""
CREDENTIAL_FOLDERS = (".aws", ".ssh", ".gnupg", ".azure", ".kube", ".docker", ".gcloud", ".config")
BY_NAME = "its name says that it is for credentials"
NOT_CODE = "git does not track it, and it is no code"


@dataclass
class Difference:
    """A patch against the commit, and what is not in it.

    Attributes:
        untracked: files that git does not track, in the patch all the same.
        left_out: file → why it is not in the patch.
    """

    patch: bytes = b""
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
        MtlError: git cannot tell.
    """
    with tempfile.TemporaryDirectory() as scratch:
        index = _Index(root, Path(scratch, "index"))
        found = Difference()
        known = set(_names(_git(root, "ls-files", "-z")))
        new = _names(index.git("ls-files", "-z", "--others", "--exclude-standard", *_WHERE))
        found.untracked = [path for path in new if path not in known]
        untracked = set(found.untracked)
        paths = [*index.changed(), *new]
        found.left_out = {path: why for path in paths if (why := _unfit(path, untracked=path in untracked))}
        chosen = [path for path in paths if path not in found.left_out]
        index.take(chosen)
        if secret_in_file(index.git("diff", "--cached", "--text", *_PLAIN, "HEAD")):
            _leave_out_secrets(index, chosen, found)
        found.untracked = [path for path in found.untracked if path not in found.left_out]
        found.patch = index.git("diff", "--cached", "--binary", *_PLAIN, "HEAD")
        return found


_WHERE = ("--", ".", f":(exclude){FOLDER}", ":(exclude)dvc.lock")
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--relative")


class _Index:
    """An index of its own, which begins as the commit."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root, self.environment = root, os.environ | {"GIT_INDEX_FILE": str(path)}
        self.git("read-tree", "HEAD")

    def git(self, *words: str, given: bytes | None = None) -> bytes:
        return _git(self.root, *words, environment=self.environment, given=given)

    def changed(self) -> list[str]:
        return _names(self.git("diff", "--name-only", "-z", *_PLAIN, "HEAD", *_WHERE))

    def take(self, paths: Iterable[str]) -> None:
        """The commit, with these files as they are now."""
        self.git("read-tree", "HEAD")
        listed = b"".join(os.fsencode(path) + b"\0" for path in paths)
        self.git("update-index", "--add", "--remove", "--replace", "-z", "--stdin", given=listed)


def _leave_out_secrets(index: _Index, chosen: list[str], found: Difference) -> None:
    """Of the files that are taken, leave out those whose difference holds a secret, in what was or what is."""
    for path in chosen:
        text = index.git("--literal-pathspecs", "diff", "--cached", "--text", *_PLAIN, "HEAD", "--", path)
        if what := secret_in_file(text):
            found.left_out[path] = f"it holds {what}"
    index.take(path for path in chosen if path not in found.left_out)


def _unfit(path: str, *, untracked: bool) -> str | None:
    """Why a file is no part of a patch, whatever is in it."""
    parts = PurePosixPath(path.lower())
    if any(part in CREDENTIAL_FOLDERS for part in parts.parts[:-1]):
        return BY_NAME
    if parts.suffix != ".py" and any(fnmatchcase(parts.name, pattern) for pattern in CREDENTIAL_FILES):
        return BY_NAME
    if untracked and (path.endswith("/") or not (parts.suffix == ".py" or parts.parts[0] in CODE)):
        return NOT_CODE
    return None


def _names(listed: bytes) -> list[str]:
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def _git(root: Path, *words: str, environment: dict[str, str] | None = None, given: bytes | None = None) -> bytes:
    command = ["git", "-C", str(root), *words]
    done = subprocess.run(command, env=environment, input=given, capture_output=True, check=False)
    if done.returncode:
        raise MtlError("git cannot say what differs from the commit", found=done.stderr.decode(errors="replace")[:300])
    return done.stdout
