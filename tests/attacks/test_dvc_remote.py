"""The DVC remote: what lies there is not taken for what was asked for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from flows.checkout.dvc import dvc
from flows.registry.restore import restore_data
from flows.settings import Settings
from mtl.data.raw.listings import FOLDER
from mtl.errors import StageError

STAGE = "stages: {fetch: {cmd: mkdir -p raw && echo good > raw/a, outs: [raw]}}\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout whose raw data are in a remote alone."""
    root = tmp_path / "deep" / "root"
    (root / FOLDER).mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    dvc(root, "init", "--quiet")
    dvc(root, "remote", "add", "--quiet", "--default", "team", str(tmp_path / "remote"))
    (root / "dvc.yaml").write_text(STAGE)
    dvc(root, "repro", "--quiet")
    dvc(root, "push", "--quiet")
    subprocess.run(["rm", "-rf", str(root / ".dvc" / "cache"), str(root / "raw")], check=True)
    return root


def restored(root: Path, tmp_path: Path) -> Path:
    """A folder beside it, into which a version's data are brought."""
    folder = tmp_path / "deep" / "version"
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    dvc(folder, "init", "--quiet")
    for name in ("dvc.yaml", "dvc.lock"):
        (folder / name).write_bytes((root / name).read_bytes())
    restore_data(Settings(root, root / ".mtl", "sqlite://", None), folder)
    return folder


def put(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.slow
def test_what_was_pushed_comes_back(root: Path, tmp_path: Path) -> None:
    assert (restored(root, tmp_path) / "raw" / "a").read_text() == "good\n"


@pytest.mark.slow
@pytest.mark.attack(boundary="bucket writer", attack="an image swapped in the DVC remote")
def test_a_swapped_object_is_refused(root: Path, tmp_path: Path) -> None:
    (data,) = (p for p in (tmp_path / "remote").rglob("*") if p.is_file() and p.suffix != ".dir")
    put(data, b"evil\n")
    with pytest.raises(StageError, match="not what was pushed"):
        restored(root, tmp_path)
    assert not (tmp_path / "deep" / "version" / "raw" / "a").exists()


@pytest.mark.slow
@pytest.mark.attack(boundary="bucket writer", attack="a folder's list in the DVC remote that names ../../pwned")
def test_a_list_that_names_a_path_is_refused(root: Path, tmp_path: Path) -> None:
    (listing,) = (tmp_path / "remote").rglob("*.dir")
    entries = json.loads(listing.read_bytes())
    put(listing, json.dumps([{**entries[0], "relpath": "../../pwned"}]).encode())
    with pytest.raises(StageError, match="not what was pushed"):
        restored(root, tmp_path)
    assert not list(tmp_path.rglob("pwned"))
