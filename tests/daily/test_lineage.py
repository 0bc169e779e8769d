"""What a version is said to be made from: true whatever git is told by its user, or found out before anything is trained."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from flows.checkout.git import GitError
from flows.checkout.origin import POINTER, read_origin
from flows.checkout.uncommitted import LARGEST
from flows.checkout.workspace import copy_files
from flows.registry.restore import _checkout, git
from flows.retraining.gate_settings import gate_changes
from flows.versions.diff import _short
from mtl.errors import ConfigError
from mtl.registry.fingerprint import content_digest
from mtl.registry.mlflow_params import as_params
from mtl.registry.tracking import Tracker
from tests.conftest import ROOT, mtl
from tests.daily import situation

TEXT = "".join(f"line {number} \t\n\n" for number in range(40))


def run(folder: Path, *words: str) -> str:
    """Git as its user has it."""
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder, with nothing but a name in git's configuration."""
    folder = tmp_path / "user"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (folder / ".gitconfig").write_text('[user]\nname = t\nemail = t@example.com\n[protocol "file"]\nallow = always\n')
    return folder


@pytest.fixture
def checkout(home: Path, tmp_path: Path) -> Path:
    """A checkout of two commits."""
    folder = tmp_path / "checkout"
    for name, text in {"mtl/a.py": TEXT, "mtl/gone.py": "x = 1\n", "flows/b.py": "y = 1\n", "notes.md": "n\n"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, folder / name)
    (folder / "data").mkdir()
    (folder / ".gitignore").write_text("data/\n__pycache__/\n")
    run(folder, "init", "-q", "-b", "main")
    commit(folder)
    (folder / "mtl" / "a.py").write_text(TEXT + "z = 1\n")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    run(folder, "add", "-A")
    run(folder, "commit", "-qm", "one")


def change(folder: Path) -> None:
    """Of every kind: changed, new, gone, renamed, another mode, a link, no text, no newline at the end, odd names."""
    code = folder / "mtl"
    (code / "a.py").write_text(TEXT.replace("line 20", "Zeile 20") + "z = 2")
    (code / "new ü\t.py").write_text("u = 1\r\n")
    (code / "gone.py").rename(code / "moved.py")
    (code / "table.bin").write_bytes(bytes(range(256)))
    (code / "link.py").symlink_to("a.py")
    (folder / "flows" / "b.py").chmod(0o755)


def content(folder: Path) -> dict[str, tuple[bool, bytes]]:
    """The code of a checkout: name → whether it may be run, and what it has."""
    paths = [path for part in ("mtl", "flows") for path in (folder / part).rglob("*") if not path.is_dir()]
    return {
        path.relative_to(folder).as_posix(): (bool(path.stat().st_mode & stat.S_IXUSR), path.read_bytes())
        for path in paths
        if ".git" not in path.parts
    }


def rebuilt(checkout: Path, folder: Path) -> dict[str, tuple[bool, bytes]]:
    """What `mtl reproduce` makes of a checkout's commit and patch."""
    shutil.rmtree(folder, ignore_errors=True)
    origin = read_origin(checkout)
    _checkout(checkout, origin.commit, folder)
    if origin.difference.patch:
        patch = folder.parent / "the.patch"
        patch.write_bytes(origin.difference.patch)
        git(folder, "apply", "--whitespace=nowarn", str(patch))
    return content(folder)


CONFIGURATIONS = {
    "external": '[diff]\nexternal = /bin/true\n[diff "x"]\ncommand = /bin/true\n',
    "prefixes": "[diff]\nnoprefix = true\n",
    "mnemonic": "[diff]\nmnemonicPrefix = true\nrelative = true\n",
    "colours": "[color]\nui = always\ndiff = always\n[diff]\ncolorMoved = zebra\nwsErrorHighlight = all\n[core]\npager = /bin/false\n",
    "hunks": "[diff]\ncontext = 0\ninterHunkContext = 40\nalgorithm = patience\nrenames = copies\nsuppressBlankEmpty = true\n",
    "listings": "[status]\nshowUntrackedFiles = no\n[diff]\nignoreSubmodules = all\n[core]\nuntrackedCache = true\nquotePath = false\n",
    "converted": '[diff "x"]\ntextconv = /bin/true\nbinary = true\n',
    "programs": "[core]\nfsmonitor = /bin/false\nhooksPath = {home}/hooks\n[init]\ntemplateDir = {home}/template\n[apply]\nwhitespace = error\n",
}


@situation("a user whose git configuration changes how differences look")
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_patch_does_not_obey_the_users_configuration(checkout: Path, home: Path, tmp_path: Path, name: str) -> None:
    hook = home / "hooks" / "post-checkout"
    for path in (hook, home / "template" / "hooks" / "post-checkout"):
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\nexit 7\n")
        path.chmod(0o755)
    (home / "config" / "git").mkdir(parents=True)
    (home / "config" / "git" / "attributes").write_text("*.py diff=x\n")
    change(checkout)
    text = CONFIGURATIONS[name].replace("{home}", str(home))
    (home / ".gitconfig").write_text((home / ".gitconfig").read_text() + text)
    assert rebuilt(checkout, tmp_path / "there") == content(checkout)


@situation("a retraining that a git hook starts")
def test_a_hooks_environment_names_another_repository(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "init", "-q", "other")
    change(checkout)
    expected = read_origin(checkout)
    for name, value in {
        "GIT_DIR": "other/.git",
        "GIT_INDEX_FILE": "other/.git/index",
        "GIT_WORK_TREE": "other",
    }.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "/bin/true")
    assert read_origin(checkout) == expected
    assert rebuilt(checkout, tmp_path / "there") == content(checkout)


@situation("a checkout that belongs to another user")
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_another_users_checkout_is_said_and_not_unknown(checkout: Path) -> None:
    os.chown(checkout, 12345, 12345)
    os.chown(checkout / ".git", 12345, 12345)
    for ask in (read_origin, lambda root: gate_changes(root, {}, override=True, why="x")):
        with pytest.raises(GitError, match="belongs to another user") as caught:
            ask(checkout)
        assert f"safe.directory '{checkout}'" in caught.value.fix
    run(checkout, "config", "--global", "--add", "safe.directory", str(checkout))
    assert len(read_origin(checkout).commit) == 40


@situation("a checkout without a commit, or none of git's")
def test_without_a_commit_nothing_begins(home: Path, checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    with pytest.raises(GitError, match="is no git checkout"):
        read_origin(checkout)
    run(checkout, "init", "-q")
    with pytest.raises(GitError, match="no commit yet"):
        read_origin(checkout)


@situation("files that git was told not to look at")
@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_what_git_was_told_not_to_see(checkout: Path, tmp_path: Path, flag: str) -> None:
    run(checkout, "update-index", flag, "mtl/a.py")
    assert not read_origin(checkout).dirty
    (checkout / "mtl" / "a.py").write_text("z = 3\n")
    assert run(checkout, "status", "--porcelain") == ""  # git says that nothing has changed
    assert read_origin(checkout).dirty
    assert rebuilt(checkout, tmp_path / "there") == content(checkout)


@situation("code that git ignores, and is used")
def test_ignored_code_is_kept(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".gitignore").write_text("data/\n__pycache__/\nmine.*\n")
    commit(checkout)
    (checkout / "mtl" / "mine.py").write_text("m = 1\n")
    (checkout / "mtl" / "__pycache__").mkdir()
    (checkout / "mtl" / "__pycache__" / "a.pyc").write_bytes(b"?")
    origin = read_origin(checkout)
    assert origin.difference.untracked == ["mtl/mine.py"]
    (tmp_path / "copy").mkdir()
    copy_files(checkout, tmp_path / "copy")
    assert (tmp_path / "copy" / "mtl" / "mine.py").exists()
    there = rebuilt(checkout, tmp_path / "there")
    assert there["mtl/mine.py"] == (False, b"m = 1\n")


@situation("a git repository inside the checkout")
def test_a_nested_repository(checkout: Path) -> None:
    for name in ("tools", "mtl/theirs"):
        folder = checkout / name
        folder.mkdir(parents=True)
        (folder / "x.py").write_text("x = 1\n")
        run(folder, "init", "-q")
        commit(folder)
        if name == "tools":
            assert "repository of its own" in read_origin(checkout).difference.left_out["tools/"]
    with pytest.raises(GitError, match="could not be kept") as caught:
        read_origin(checkout)
    assert "mtl/theirs/" in caught.value.found


@situation("submodules")
def test_submodules_are_rebuilt_or_refused(checkout: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "x.py").write_text("x = 1\n")
    run(library, "init", "-q")
    commit(library)
    run(checkout, "submodule", "--quiet", "add", str(library), "mtl/library")
    commit(checkout)
    assert not read_origin(checkout).dirty
    assert rebuilt(checkout, tmp_path / "there") == content(checkout)
    (tmp_path / "copy").mkdir()
    copy_files(checkout, tmp_path / "copy")
    assert (tmp_path / "copy" / "mtl" / "library" / "x.py").exists()
    (checkout / "mtl" / "library" / "x.py").write_text("x = 2\n")
    with pytest.raises(GitError, match="could not be kept"):
        read_origin(checkout)
    commit(checkout / "mtl" / "library")
    with pytest.raises(GitError, match="could not be kept"):
        read_origin(checkout)
    commit(checkout)
    assert rebuilt(checkout, tmp_path / "there") == content(checkout)


@situation("huge files that git does not track")
def test_huge_files(checkout: Path) -> None:
    (checkout / "notes.md").write_bytes(b"n" * (LARGEST + 1))
    (checkout / "weights.bin").write_bytes(bytes(LARGEST + 1))
    found = read_origin(checkout).difference
    assert "8 MiB" in found.left_out["notes.md"]
    assert "weights.bin" in found.left_out
    assert len(found.patch) < 1000
    (checkout / "mtl" / "weights.bin").write_bytes(bytes(LARGEST + 1))
    with pytest.raises(GitError, match="could not be kept") as caught:
        read_origin(checkout)
    assert "mtl/weights.bin" in caught.value.found


@situation("file names that are not UTF-8")
def test_names_of_other_bytes(checkout: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"gr\xfcn.txt")
    (checkout / odd).write_text("x")
    origin = read_origin(checkout)
    lines = origin.lines()
    assert len(lines) == 1
    (tmp_path / "copy").mkdir()
    copy_files(checkout, tmp_path / "copy")
    assert (tmp_path / "copy" / odd).exists()
    (checkout / "mtl" / odd).write_text("x")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        content_digest(checkout / "mtl")
    assert "gr\\xfcn.txt" in caught.value.found


@situation("files of git-lfs that were not fetched")
def test_pointers_are_no_files(checkout: Path) -> None:
    path = checkout / "mtl" / "weights.txt"
    path.write_bytes(POINTER + b"oid sha256:00\nsize 12\n")
    commit(checkout)
    with pytest.raises(GitError, match="git-lfs"):
        read_origin(checkout)
    path.write_bytes(b"what it should be")
    read_origin(checkout)


@situation("a shallow clone, a detached commit, a git worktree")
@pytest.mark.parametrize("kind", ["shallow", "detached", "worktree", "shared"])
def test_kinds_of_checkouts(checkout: Path, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    if kind == "shallow":
        run(tmp_path, "clone", "-q", "--depth=1", f"file://{checkout}", str(other))
    elif kind == "shared":
        run(tmp_path, "clone", "-q", "--shared", str(checkout), str(other))
    elif kind == "worktree":
        run(checkout, "worktree", "add", "-q", str(other))
    else:
        run(tmp_path, "clone", "-q", str(checkout), str(other))
        run(other, "checkout", "-q", "--detach", "HEAD~1")
    change(other)
    assert read_origin(other).commit == run(other, "rev-parse", "HEAD")
    assert rebuilt(other, tmp_path / "there") == content(other)


@situation("a checkout in a folder of a larger repository")
def test_a_folder_of_a_larger_repository(checkout: Path, tmp_path: Path) -> None:
    (checkout / "elsewhere").mkdir()
    inner = checkout / "inner"
    (inner / "mtl").mkdir(parents=True)
    (inner / "mtl" / "a.py").write_text("a = 1\n")
    (inner / "dvc.lock").write_text("1\n")
    commit(checkout)
    (inner / "dvc.lock").write_text("2\n")
    (checkout / "elsewhere" / "x.py").write_text("others work here")
    assert not read_origin(inner).dirty
    (inner / "mtl" / "a.py").write_text("a = 2\n")
    patch = read_origin(inner).difference.patch
    assert b"a/mtl/a.py b/mtl/a.py" in patch
    assert b"elsewhere" not in patch
    _checkout(inner, read_origin(inner).commit, tmp_path / "there")
    (tmp_path / "the.patch").write_bytes(patch)
    git(tmp_path / "there", "apply", str(tmp_path / "the.patch"))
    assert content(tmp_path / "there") == content(inner)


@situation("a sparse checkout")
def test_what_a_sparse_checkout_leaves_away_is_no_change(checkout: Path, tmp_path: Path) -> None:
    (checkout / "docs").mkdir()
    (checkout / "docs" / "x.md").write_text("x")
    commit(checkout)
    run(checkout, "sparse-checkout", "set", "mtl", "flows")
    assert not (checkout / "docs").exists()
    assert not read_origin(checkout).dirty
    change(checkout)
    assert rebuilt(checkout, tmp_path / "there") == content(checkout)


@situation("a checkout that nobody can name is refused before anything is trained")
def test_the_command_says_it_first(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    done = mtl(checkout, "retrain", PYTHONPATH=str(ROOT))  # the copy has no code
    assert done.returncode == 2
    assert "is no git checkout" in done.stderr
    assert "Traceback" not in done.stderr


@situation("a thousand class names, and names that MLflow does not take")
def test_long_and_odd_settings_are_compared_whole(tmp_path: Path, database: Path) -> None:
    classes = [f"class number {number}" for number in range(1000)]
    others = [*classes[:-1], "another"]
    long, other = (as_params({"classes": chosen})["classes"] for chosen in (classes, others))
    assert as_params({"classes": list(classes)})["classes"] == long != other
    assert "classes.a,b (c)" not in as_params({"classes": {"a,b (c)": 1}})
    shutil.copyfile(database, tmp_path / "mlflow.db")
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", "e", tmp_path.as_uri())
    odd = ("a,b (c)", "../x", "/a", "a//b", "..", "x" * 300, "", "ü", "%", "a\n", "fine.name")
    tree: dict[str, object] = {"classes": classes, "more": dict.fromkeys(odd, 1), **dict.fromkeys(odd, 2)}
    run = tracker.open_run("f" * 64, "a")
    tracker.log_params(run, tree)
    tracker.log_params(run, tree)  # once more: a run that goes on
    assert len(tracker.client.get_run(run).data.params) == len(as_params(tree)) == 1 + 2 * len(odd)


def test_where_two_long_values_differ_is_shown() -> None:
    first, second = ([f"class {number}" for number in range(1000)] for _ in range(2))
    second[500] = "another"
    one, other = _short(first, second)
    assert "class 500" in one
    assert "another" in other
    assert _short(None, 1) == ["absent", "1"]
