"""Real aerial photographs with boxes, as COCO files: from `mtl data init` to a detector that finds trees."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from mtl.config import read_params
from mtl.config.params import parse
from mtl.data.onboard.propose import propose
from mtl.data.prepare.prepare import prepare
from mtl.data.sources.files import fetch_files
from mtl.data.sources.trees import grid_tiles, load_trees, random_tile
from mtl.evaluate.evaluation import evaluate_weights
from mtl.train.launch import train
from tests.conftest import ROOT


def write_coco(folder: Path, downloads: Path) -> None:
    """Tiles of the training photograph, and of others for validation and test."""
    import numpy as np

    photographs, _ = load_trees(downloads)
    rng = np.random.default_rng(0)
    document: dict[str, list[dict[str, object]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "tree"}],
    }
    for split, photos in photographs.items():
        tiles = (
            [random_tile(photos, rng, 64) for _ in range(1200)]
            if split == "train"
            else grid_tiles(photos, 64, 48 if split == "val" else 64)
        )
        for number, (image, boxes) in enumerate(tiles):
            path = folder / split / f"{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image[..., ::-1])
            identifier = len(document["images"])
            size = {"height": 64, "width": 64, "file_name": f"{split}/{path.name}"}
            document["images"].append({"id": identifier, **size})
            for x1, y1, x2, y2 in boxes.tolist():
                box: dict[str, object] = {
                    "id": len(document["annotations"]),
                    "image_id": identifier,
                    "category_id": 1,
                    "iscrowd": 0,
                }
                document["annotations"].append(box | {"bbox": [x1, y1, x2 - x1, y2 - y1]})
    (folder / "annotations.json").write_text(json.dumps(document))


@pytest.mark.long
def test_coco_of_real_photographs_trains_a_detector(downloads: Path, tmp_path: Path) -> None:
    given = tmp_path / "trees"
    write_coco(given, downloads)
    proposal = propose(str(given))
    assert proposal.format == "coco"
    assert proposal.tasks == {"objects": {"type": "detection"}}
    values = {**read_params(ROOT / "params.yaml"), **proposal.sections}
    values["data"]["source"]["split"] = {
        "type": "stratified",
        "over": ["objects"],
        "table": str(tmp_path / "splits.csv"),
    }
    rows = [f"{p.parent.name}/{p.stem},{p.parent.name}" for p in sorted(given.rglob("*.png"))]
    (tmp_path / "splits.csv").write_text("\n".join(["id,split", *rows]) + "\n")
    values["train"] |= {"epochs": 12, "batch_size": 32}
    values["augment"] |= {"flip": 0.5, "rotate": 0.0}
    config = parse(values)
    fetch_files(config.data.source, 0, tmp_path / "raw", tmp_path / "cache")  # type: ignore[arg-type]
    prepare(config.data, tmp_path / "raw", tmp_path / "prepared")
    final = train(config, tmp_path / "prepared", tmp_path / "home", from_scratch=True)
    report = evaluate_weights(config, tmp_path / "prepared", final / "weights.safetensors").report
    found = report.primary("objects").value
    assert found is not None
    assert found > 0.15, f"mAP50 {found:.3f}"  # of a photograph that no training tile comes from
