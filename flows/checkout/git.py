"""Git, asked by programs and not by people: whatever its user has configured, it answers the same.

Who owns a checkout, credentials, filters (git-lfs) and addresses stay the user's own; what changes how differences look, which
files are listed, and what runs beside does not count.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mtl.errors import MtlError

# Of hooks and of people's shells: they name another repository, index or program, or say how paths are meant.
_FOREIGN = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"),
    *("GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS", "GIT_PAGER", "GIT_TRACE", "GIT_CEILING_DIRECTORIES"),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
)
_NEUTRAL = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.quotePath": "true",
    "color.ui": "false",
    "submodule.recurse": "false",
    "advice.detachedHead": "false",
    "clone.defaultRemoteName": "origin",
    "init.templateDir": "",
}
PATCH = (
    *("--patch", "--binary", "--full-index", "--relative", "--no-renames", "--unified=3", "--diff-algorithm=myers"),
    *("--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "--line-prefix="),
    *("--submodule=short", "--ignore-submodules=none", "--ws-error-highlight=none", f"-O{os.devnull}"),
)
"""How a patch is asked for that `git apply` takes anywhere: relative to the folder that git is asked in."""


class GitError(MtlError):
    """Git cannot say, or do, what a version's lineage needs."""


def git(folder: Path, *words: str, given: bytes | None = None, index: Path | None = None) -> bytes:
    """What a git command prints.

    Args:
        given: its standard input.
        index: in place of the checkout's own.

    Raises:
        GitError: it failed; where git does not trust the checkout, or it is none, the message says what to do.
    """
    done = _run(folder, words, given, index)
    if done.returncode:
        raise _explained(folder, words[0], done.stderr.decode(errors="replace").strip())
    return done.stdout


def git_says(folder: Path, *words: str) -> bool:
    """Whether a git command that asks for yes or no says yes.

    Raises:
        GitError: the folder is no checkout, or git does not trust it.
    """
    git(folder, "rev-parse", "--git-dir")
    return _run(folder, words, None, None).returncode == 0


def names(listed: bytes) -> list[str]:
    """Paths of a list that git ends with zeros (`-z`); bytes that are no UTF-8 as Python's paths have them."""
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def _run(
    folder: Path, words: tuple[str, ...], given: bytes | None, index: Path | None
) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}
    environment |= {"GIT_INDEX_FILE": str(index)} if index else {}
    settings = [word for key, value in _NEUTRAL.items() for word in ("-c", f"{key}={value}")]
    command = ["git", "--no-pager", "-C", str(folder), *settings, *words]
    try:
        return subprocess.run(command, env=environment, input=given, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise GitError("git is not installed", found=str(error), fix="install it: lineage names a commit") from error


def _explained(folder: Path, command: str, said: str) -> GitError:
    if "dubious ownership" in said:
        return GitError(
            f"git does not trust {folder}: it belongs to another user, so no commit can be named",
            found=said.splitlines()[0],
            fix=f"git config --global --add safe.directory '{folder}', if you trust it; or give it to yourself (chown)",
        )
    if "not a git repository" in said:
        return GitError(
            f"{folder} is no git checkout, so no commit can be named",
            found=said.splitlines()[0],
            fix="git clone it; or git init, git add -A, git commit",
        )
    return GitError(
        f"git {command} failed", found=said[:500], fix="what git says is to be mended; mtl doctor looks at the rest"
    )


def git_prefix(root: Path) -> str:
    """Where a checkout is in its repository; empty: it is the repository."""
    return git(root, "rev-parse", "--show-prefix").decode().strip()
