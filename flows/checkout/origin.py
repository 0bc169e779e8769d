"""What a run is made from, as git has it: found out before anything is trained, for afterwards it may be another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.checkout.git import GitError, git, git_says, names
from flows.checkout.uncommitted import CODE, Difference, difference
from mtl.data.raw.listings import FOLDER

POINTER = b"version https://git-lfs.github.com/spec/v1\n"
"""How a file of git-lfs begins whose content was not fetched."""
LONGEST_POINTER = 1024
MOST_SAID = 20
"""Files that git does not track, or that are not kept, which are named in the log."""


@dataclass(frozen=True)
class Origin:
    """A commit, and what differs from it.

    Attributes:
        commit: 40 hexadecimal digits.
    """

    commit: str
    difference: Difference

    @property
    def dirty(self) -> bool:
        """Whether any file of the checkout differs from the commit (dvc.lock aside, which records the run)."""
        return self.difference.changed

    def lines(self) -> list[str]:
        """What a person is told of it."""
        lines = self.difference.lines()
        more = len(lines) - MOST_SAID
        left = [f"… and {more} more files that git does not track, or that are not kept"] if more > 0 else []
        return lines[:MOST_SAID] + left


def read_origin(root: Path) -> Origin:
    """The commit of a checkout, and what differs from it.

    Raises:
        GitError: it has no commit, git does not trust it, or a version made of it could not be built again.
    """
    if not git_says(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"):
        raise GitError(
            "the checkout has no commit yet: a version must name one",
            found=f"git rev-parse HEAD fails in {root}",
            fix="git add -A && git commit",
        )
    refuse_pointers(root)
    return Origin(git(root, "rev-parse", "HEAD^{commit}").decode().strip(), difference(root))


def _used(root: Path) -> list[str]:
    """Folders of which every file is part of a version's fingerprint."""
    return [folder for folder in (*CODE, FOLDER) if (root / folder).is_dir()]


def refuse_pointers(root: Path) -> None:
    """git-lfs leaves a few lines in the place of a file that it has not fetched: a run would take them for the file.

    Raises:
        GitError: there is such a file among code or data.
    """
    words = (
        "-c",
        "core.quotePath=false",
        "grep",
        "--cached",
        "-lz",
        "-F",
        "--no-textconv",
        "-e",
        POINTER.decode().strip(),
    )
    if not _used(root) or not git_says(root, *words, "--", *_used(root)):
        return
    for path in names(git(root, *words, "--", *_used(root))):
        file = root / path
        if file.is_file() and file.stat().st_size <= LONGEST_POINTER and file.read_bytes().startswith(POINTER):
            raise GitError(
                "a file's content was not fetched by git-lfs: the run would use its pointer",
                found=path,
                fix="git lfs install && git lfs pull",
            )
