"""Whatever ends a writer, a file is what it was or what it was to be."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mtl.storage import atomic
from tests.conftest import ROOT


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    atomic.write(path, "old")
    atomic.write(path, "new ✓")
    assert path.read_text(encoding="utf-8") == "new ✓"
    assert [found.name for found in tmp_path.iterdir()] == ["report.json"]


def test_a_writer_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    atomic.write(path, b"old")

    def fail() -> None:
        with atomic.replacing(path) as scratch:
            scratch.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["table.csv"]


def test_a_killed_writer_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    atomic.write(path, b"old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom mtl.storage import atomic\n"
        "with atomic.replacing(Path(sys.argv[1])) as scratch:\n"
        "    scratch.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False).returncode < 0
    assert path.read_bytes() == b"old"
    atomic.write(path, b"new")  # what the other left is not in the way
    assert path.read_bytes() == b"new"


def test_it_is_on_the_disk_before_and_after_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace
    kinds = {True: "folder", False: "file"}

    def noted_sync(number: int) -> None:
        done.append(kinds[stat.S_ISDIR(os.fstat(number).st_mode)])
        sync(number)

    def noted_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    atomic.write(tmp_path / "a", b"x")
    assert done == ["file", "rename", "folder"]


def test_a_private_file_is_never_for_a_moment_another_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    move = atomic.move
    monkeypatch.setattr(atomic, "move", lambda a, b: (seen.append(stat.S_IMODE(a.stat().st_mode)), move(a, b)))
    old = os.umask(0)
    try:
        atomic.write(tmp_path / "key", b"secret", 0o600)
        atomic.write(tmp_path / "report", b"for all")
    finally:
        os.umask(old)
    assert seen == [0o600, 0o666]


def test_a_planted_temporary_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"untouched")
    (tmp_path / "report.tmp").symlink_to(tmp_path / "target")
    atomic.write(tmp_path / "report", b"x")
    assert (tmp_path / "target").read_bytes() == b"untouched"


def test_nobody_else_renames_what_it_has_written() -> None:
    """One place knows how: `.replace(path)` and `.rename(path)` of paths stand nowhere else."""
    allowed = {
        "mtl/storage/atomic.py",
        "mtl/registry/package_cache.py",
        "flows/versions/predict.py",
    }  # folders, that nobody had before
    for folder in ("mtl", "flows"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            found = [line for line in text.splitlines() if "scratch.replace(" in line or "os.replace(" in line]
            found += [line for line in text.splitlines() if "os.rename(" in line or ".rename(" in line]
            assert not found or path.relative_to(ROOT).as_posix() in allowed, (path, found)
