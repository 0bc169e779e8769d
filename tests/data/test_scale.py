"""What is kept in a file because memory has no room for it makes no difference to what is fetched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mtl.data.raw.rows import RawSample
from mtl.data.spec import DatasetSpec
from mtl.storage import shelf
from tests.data.test_formats import TASKS, WRITERS, configured, fetched

NAMES = ("image_folder", "coco", "mask_pairs", "webdataset", "table")


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("duplicates", ["drop", "keep"])
@pytest.mark.parametrize("split", ["random", "given"])
def test_what_leaves_memory_changes_no_raw_data(
    duplicates: str,
    split: str,
    scenes: list[RawSample],
    spec: DatasetSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sets that are joined, disagree, name one file twice and have copies within and across them."""
    sets: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        folder = tmp_path / name
        folder.mkdir()
        sets[name] = {"path": str(folder)} | WRITERS[name](folder, scenes[:24], spec)
        if name == "webdataset":
            sets[name]["id_prefix"] = f"{name}/"
    photos = sorted((tmp_path / "image_folder").rglob("*.png"))
    shutil.copy(photos[0], photos[0].with_name("zz-copy.png"))
    shutil.copy(photos[-1], photos[0].with_name("zz-other-label.png"))
    photos[1].write_bytes(b"no image")
    sets["again"] = sets["image_folder"] | {"id_prefix": "again/", "target": "kind"}
    how = {"type": "given"} if split == "given" else {"type": "random", "val": 0.2, "test": 0.2}
    config = configured(sets, {"species": TASKS["species"]}, split=how, duplicates=duplicates)
    fetched(config, tmp_path / "near")
    monkeypatch.setattr(shelf, "NEAR", 2)
    monkeypatch.setattr("mtl.data.sources.files.SOME", 3)
    fetched(config, tmp_path / "far")
    near = written(tmp_path / "near")
    assert near == written(tmp_path / "far")
    assert near.keys() >= {"spec.json", "account.json", "problems.json", "train.parquet"}
    assert (b"zz-other-label" in near["problems.json"]) == (duplicates == "drop" or split == "given")
