"""`mtl data gc` keeps what registered versions need, though no file here names it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.checkout.dvc import dvc
from flows.settings import Settings
from mtl.config import read_params
from tests.conftest import clean_environment, mtl


def objects(checkout: Path) -> set[str]:
    """Every object in the DVC cache."""
    root = checkout / ".dvc" / "cache" / "files" / "md5"
    return {"".join(path.parts[-2:]) for path in root.glob("*/*")}


def test_another_s_lock_is_not_said_to_be_this_checkout_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails while something is done with what can go is told as it is: something may have been removed by then."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    from flows.registry import garbage

    git = ("git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run([*git, "init", "-q"], check=True)
    dvc(tmp_path, "init", "-q")
    subprocess.run([*git, "commit", "-q", "-m", "a project"], check=True)
    monkeypatch.setattr(garbage, "registries", lambda settings, model: ([], []))
    settings = Settings(tmp_path, tmp_path / ".mtl", "sqlite://", None)
    for error in (LockError("another repository's"), DvcException("a remote is out of reach")):
        with pytest.raises(type(error), match=str(error)), garbage.garbage(settings, "m", remote=False):
            raise error


def test_versions_keep_their_data_and_the_rest_goes(retrained: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    shutil.copytree(retrained, here, symlinks=True)
    stages = read_params(here / "dvc.lock")["stages"]
    needed = {out["md5"] for name in ("prepare", "package") for out in stages[name]["outs"]}
    assert needed <= objects(here)
    (here / "old.bin").write_bytes(b"no version was ever made of this")
    environment = clean_environment()
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "old.bin"], cwd=here, env=environment, check=True)
    (orphan,) = (out["md5"] for out in read_params(here / "old.bin.dvc")["outs"])
    assert orphan in objects(here)
    for name in ("old.bin", "old.bin.dvc", "dvc.lock"):
        (here / name).unlink()
    shutil.rmtree(here / "outputs")
    assert mtl(here, "relocate").returncode == 0  # it is a copy
    done = mtl(here, "data", "gc", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    after = objects(here)
    assert orphan not in after
    assert needed <= after


def test_without_an_answer_nothing_goes(retrained: Path) -> None:
    before = objects(retrained)
    done = mtl(retrained, "data", "gc")
    assert done.returncode == 1
    assert "nothing was changed" in done.stderr
    assert objects(retrained) == before
