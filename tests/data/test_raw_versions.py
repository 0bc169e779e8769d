"""Raw data under DVC: added, or imported from where it grows. A new image is one new hash, and the objects of its shard."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mtl.config import read_params
from mtl.data.raw.rows import RawSample, read_split
from mtl.data.spec import DatasetSpec
from tests.conftest import dvc, mtl, set_params
from tests.data.test_formats import image_folder
from tests.flows.test_garbage import objects


@pytest.fixture
def here(checkout: Path, tmp_path: Path) -> Path:
    """A checkout of our own, with nothing made yet."""
    folder = tmp_path / "here"
    shutil.copytree(checkout, folder, ignore=shutil.ignore_patterns("outputs", ".mtl", "dvc.lock", "cache"))
    return folder


def lock(folder: Path) -> dict[str, str]:
    """Path → hash of what fetch and prepare read and wrote."""
    stages = read_params(folder / "dvc.lock")["stages"]
    return {e["path"]: e["md5"] for name in ("fetch", "prepare") for k in ("deps", "outs") for e in stages[name][k]}


@pytest.mark.parametrize("way", ["add", "import-url"])
def test_a_new_image_is_one_hash_and_one_shard(
    way: str, here: Path, raw: Path, spec: DatasetSpec, tmp_path: Path
) -> None:
    scenes: list[RawSample] = [s for s in read_split(raw, "train", spec) if "species" in s.targets]
    photos = here / "data" / "photos"
    source = photos if way == "add" else tmp_path / "grows"
    image_folder(source, scenes, spec)
    dvc(here, "add", "-q", "data/photos") if way == "add" else dvc(here, "import-url", "-q", str(source), "data/photos")
    assert mtl(here, "data", "init", "data/photos", "--yes").returncode == 0
    dvc(here, "repro", "-q", "prepare")
    before, had = lock(here), objects(here)
    first = sorted(source.rglob("*.png"))[0]
    new = first.with_name("zz-new.png")
    new.write_bytes(first.read_bytes() + b"\0")
    if way == "add":
        dvc(here, "add", "-q", "data/photos")
    else:  # as before every retraining
        assert "nothing changed" in mtl(here, "data", "sync").stdout
        set_params(here / "params.yaml", "data.update_imports=true")
        assert "changed: data/photos.dvc" in mtl(here, "data", "sync").stdout
        assert "nothing changed" in mtl(here, "data", "sync").stdout
    assert (photos / new.relative_to(source)).exists()
    dvc(here, "repro", "-q", "prepare")
    after = lock(here)
    changed = {path for path in before if before[path] != after[path]}
    assert {"data", "outputs/raw", "outputs/prepared"} <= changed
    assert not any(path.startswith("mtl/") for path in changed)
    # The image, its folder's list, its shard, the manifest, the raw index and report files, and lists of folders.
    assert len(objects(here) - had) <= 12
    if way == "import-url":
        shutil.rmtree(source)
        done = mtl(here, "retrain")
        assert done.returncode == 2
        assert "an import of DVC cannot be brought up to date" in done.stderr
        assert "does not exist" in done.stderr
