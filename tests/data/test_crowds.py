"""Boxes that do not count (crowds, difficult ones) from the files of others to losses and metrics."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mtl.codecs.maps import decode_mask
from mtl.config import read_params
from mtl.config.files import CocoSet, VocSet
from mtl.config.params import Config, parse
from mtl.config.tasks import Detection as DetectionConfig
from mtl.data.formats.coco import read_coco
from mtl.data.formats.voc import read_voc
from mtl.data.inspect.check_lines import as_lines
from mtl.data.inspect.checks import check
from mtl.data.kinds import KINDS
from mtl.data.kinds.box_table import CROWD, DIFFICULT, as_table, kinds, objects
from mtl.data.kinds.boxes import MIN_VISIBLE
from mtl.data.loading.augment import augmented, draw_changes
from mtl.data.loading.loader import Split, collate
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.rows import read_spec
from mtl.data.shards import shards
from mtl.data.sources.files import fetch_files
from mtl.data.spec import DatasetSpec, TargetSpec
from mtl.errors import DataError
from mtl.model.rcnn import anchor_boxes
from mtl.storage.file_tree import FileTree
from mtl.tasks import build_tasks
from mtl.tasks.base import ImageSpec
from mtl.tasks.faster_rcnn import FasterRCNN
from mtl.tasks.fcos import cell_centres, not_counting
from tests.conftest import ROOT

SIDE, NUM_IMAGES = 64, 24
ONE, MANY = [8.0, 8.0, 28.0, 28.0], [32.0, 0.0, 64.0, 64.0]
"""A box, and a crowd's."""


def rectangle(corners: list[float]) -> list[list[float]]:
    x1, y1, x2, y2 = corners
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


def run_lengths(corners: list[float]) -> dict[str, Any]:
    """A rectangle as COCO codes crowds: runs by columns."""
    x1, y1, x2, y2 = (int(v) for v in corners)
    mask = np.zeros((SIDE, SIDE), int)
    mask[y1:y2, x1:x2] = 1
    flat = mask.T.ravel().tolist()
    runs = [len(list(run)) for _, run in itertools.groupby(flat)]
    return {"size": [SIDE, SIDE], "counts": [0] * flat[0] + runs}


def coco(folder: Path, crowd_every: int = 1, *, all_marked: bool = False) -> CocoSet:
    """Images of noise with a car each, and a crowd of people in some."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(NUM_IMAGES):
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(folder / f"{number:02d}.png")
        images.append({"id": number, "file_name": f"{number:02d}.png", "height": SIDE, "width": SIDE})
        mine = [(ONE, 2, rectangle(ONE), all_marked)]
        mine += [(MANY, 1, run_lengths(MANY), True)] if number % crowd_every == 0 else []
        for corners, category, region, marked in mine:
            box = [corners[0], corners[1], corners[2] - corners[0], corners[3] - corners[1]]
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": category, "bbox": box}
                | {"segmentation": region, "iscrowd": int(marked), "area": box[2] * box[3]}
            )
    names = [{"id": 1, "name": "person"}, {"id": 2, "name": "car"}]
    document = {"images": images, "annotations": annotations, "categories": names}
    (folder / "annotations.json").write_text(json.dumps(document))
    return CocoSet(format="coco", path=str(folder), masks="regions")


def voc(folder: Path, *, all_marked: bool = False) -> VocSet:
    """Images of one colour with a cat each, difficult in every second, or in all."""
    corners = "<xmin>9</xmin><ymin>9</ymin><xmax>28</xmax><ymax>28</ymax>"
    for number in range(NUM_IMAGES):
        Image.fromarray(np.full((SIDE, SIDE, 3), 9 * number, np.uint8)).save(folder / f"{number:02d}.png")
        flag = int(all_marked or number % 2 == 0)
        cat = f"<object><name>cat</name><difficult>{flag}</difficult><bndbox>{corners}</bndbox></object>"
        (folder / f"{number:02d}.xml").write_text(f"<annotation>{cat}</annotation>")
    return VocSet(format="voc", path=str(folder))


def configured(settings: CocoSet) -> Config:
    split = {"type": "random", "val": 0.2, "test": 0.2}
    resize = {"type": "resize", "height": SIDE, "width": SIDE}
    sets = {"own": settings.model_dump()}
    data = {
        "source": {"type": "files", "sets": sets, "split": split},
        "operations": [{"type": "decode"}, {"type": "orient"}, resize, {"type": "standardize"}],
        "shard_size": 8,
    }
    tasks = {"objects": {"type": "detection"}, "regions": {"type": "segmentation"}}
    return parse({**read_params(ROOT / "params.yaml"), "data": data, "tasks": tasks})


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """A prepared set of which every second image has a crowd."""
    (tmp_path / "given").mkdir()
    config = configured(coco(tmp_path / "given", crowd_every=2))
    fetch_files(config.data.source, 0, tmp_path / "raw", tmp_path / "cache" / "downloads")  # type: ignore[arg-type]
    prepare(config.data, tmp_path / "raw", tmp_path / "prepared")
    return Split(tmp_path / "prepared", "train")


def test_a_crowd_is_read_as_a_region_that_does_not_count(tmp_path: Path) -> None:
    settings = coco(tmp_path, crowd_every=2)
    found = read_coco(settings, FileTree(str(tmp_path)))
    with_crowd, without = (found.entries[number].targets for number in (0, 1))
    assert with_crowd["objects"] == [[*ONE, 1.0, 0.0], [*MANY, 0.0, CROWD]]
    assert without["objects"] == [[*ONE, 1.0]], "five numbers, as ever, where every box counts"
    mask = decode_mask(with_crowd["regions"], 3)
    assert (mask[:, 32:] == 255).all()
    assert (mask[8:28, 8:28] == 2).all()
    assert found.notes == {"boxes marked iscrowd: what is found there does not count": NUM_IMAGES // 2}
    kept = read_coco(settings.model_copy(update={"crowd": True}), FileTree(str(tmp_path)))
    assert kept.entries[0].targets["objects"] == [[*ONE, 1.0], [*MANY, 0.0]]
    assert (decode_mask(kept.entries[0].targets["regions"], 3)[:, 32:] == 1).all()
    assert not kept.notes


def test_masks_that_are_all_marked_crowd_are_read_as_objects(tmp_path: Path) -> None:
    found = read_coco(coco(tmp_path, all_marked=True), FileTree(str(tmp_path)))
    assert all(len(box) == 5 for entry in found.entries for box in entry.targets["objects"])
    assert not any((decode_mask(entry.targets["regions"], 3) == 255).any() for entry in found.entries)
    assert found.notes == {"boxes marked iscrowd, too many to mean it: taken for objects": 2 * NUM_IMAGES}
    assert not found.problems


def test_an_object_in_a_crowd_keeps_its_pixels(tmp_path: Path) -> None:
    settings = coco(tmp_path)
    document = json.loads((tmp_path / "annotations.json").read_text())
    whole = [0.0, 0.0, 64.0, 64.0]
    document["annotations"][1] |= {"segmentation": run_lengths(whole), "bbox": whole}
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    mask = decode_mask(read_coco(settings, FileTree(str(tmp_path))).entries[0].targets["regions"], 3)
    assert (mask == 2).sum() == 400
    assert (mask == 255).sum() == SIDE**2 - 400


def test_difficult_boxes_of_voc_do_not_count(tmp_path: Path) -> None:
    settings = voc(tmp_path)
    found = read_voc(settings, FileTree(str(tmp_path)))
    box = [8.0, 8.0, 28.0, 28.0, 0.0]
    assert found.entries[0].targets["objects"] == [[*box, DIFFICULT]]
    assert found.entries[1].targets["objects"] == [box]
    assert found.notes == {"boxes marked difficult: what is found there does not count": NUM_IMAGES // 2}
    kept = read_voc(settings.model_copy(update={"difficult": True}), FileTree(str(tmp_path)))
    assert [entry.targets["objects"] for entry in kept.entries] == [[box]] * NUM_IMAGES
    every = read_voc(voc(tmp_path, all_marked=True), FileTree(str(tmp_path)))
    assert [entry.targets["objects"] for entry in every.entries] == [[box]] * NUM_IMAGES
    assert every.notes == {"boxes marked difficult, too many to mean it: taken for objects": NUM_IMAGES}


def test_crowds_reach_batches_and_the_check_counts_objects(split: Split, tmp_path: Path) -> None:
    tables = collate(split, np.arange(len(split))).targets["objects"]
    assert {tuple(table.shape) for table in tables} == {(1, 6), (2, 6)}  # a batch's tables have one width
    assert all(objects(table).tolist() == [[*ONE, 1.0]] for table in tables)
    crowded = next(table for table in tables if len(table) == 2)
    assert kinds(crowded).tolist() == [0.0, CROWD]
    given = read_spec(tmp_path / "raw")
    report = check(tmp_path / "raw", tmp_path / "prepared", split.manifest, given)
    assert report.balance["objects"]["person"] == {"train": 0, "val": 0, "test": 0}
    assert f"boxes marked iscrowd: what is found there does not count: {NUM_IMAGES // 2}" in as_lines(report)
    assert "objects: fewer than 10 samples to train on: person (0)" in report.warnings


def test_old_shards_are_read_and_new_ones_survive_a_copy(tmp_path: Path) -> None:
    spec = DatasetSpec(name="t", targets={"o": TargetSpec(kind="boxes", classes=("a",))})
    tables = [[[1, 2, 3, 4, 0, 0], [5, 6, 7, 8, 0, CROWD]], [[1, 2, 3, 4, 0]], []]
    samples = [{"image": np.zeros((8, 8, 3), np.uint8), "o": as_table(rows)} for rows in tables]
    arrays = shards.pack(spec, samples, 8, 8)
    for name, wanted in (("now", tables), ("before", [[row[:5] for row in rows] for rows in tables])):
        shards.write(tmp_path / name, arrays, list("abc"), list("abc"), {})
        shard = shards.Shard(tmp_path / name)
        assert [KINDS["boxes"].unpack(shard.arrays, "o", i).tolist() for i in range(3)] == wanted
        again = shards.pack(spec, [shards.unpack(shard, spec, i) for i in range(3)], 8, 8)
        assert (again["o.kinds"] == arrays.pop("o.kinds", np.zeros(3))).all()


def test_rows_of_other_lengths_are_refused() -> None:
    for rows in ([[1, 2, 3, 4]], [[1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 1]], [[1] * 7]):
        with pytest.raises(DataError, match="a box is not"):
            as_table(rows)
    assert as_table([]).shape == (0, 5)


@pytest.mark.parametrize("method", ["fcos", "faster_rcnn"])
def test_a_detector_learns_nothing_in_a_crowd(method: str) -> None:
    """Its output there has no gradient; outside, and at a box that counts, it has; as if the crowd were not there."""
    config = DetectionConfig(type="detection", method=method)  # type: ignore[arg-type]
    image = ImageSpec(SIDE, SIDE, 3, (0.5,) * 3, (0.25,) * 3)
    task = build_tasks({"o": config}, {"o": TargetSpec(kind="boxes", classes=("a", "b"))}, image)["o"]
    torch.manual_seed(0)
    inner = torch.tensor([[40.0, 8.0, 60.0, 28.0, 0.0]])
    crowd = torch.tensor([[*MANY, 1.0, CROWD]])
    features, present = torch.randn(1, 8, SIDE // 4, SIDE // 4), torch.tensor([True])
    head = task.build_head(8)

    def gradient(rows: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        output = head(features).detach().requires_grad_()
        sum(task.method.loss_terms(output, [rows], present)).backward()  # type: ignore[attr-defined]
        assert output.grad is not None
        return output.grad, [int(count) for count in task.method.target_counts([rows], present)]  # type: ignore[attr-defined]

    alone, counts = gradient(torch.nn.functional.pad(inner, (0, 1)))
    found, more = gradient(torch.cat([torch.nn.functional.pad(inner, (0, 1)), crowd]))
    plain, same = gradient(inner)
    assert torch.equal(alone, plain)
    assert counts == more == same
    silent = (alone != 0) & (found == 0)
    assert torch.equal(torch.where(silent, 0.0, alone), found), "what is left is what it was"
    if method == "fcos":
        right = found[0, :2, :, 8:].abs().sum(0) > 0
        assert int(right.sum()) == int((alone[0, 2:6].abs().sum(0) > 0).sum()), "only the box' own cells"
        assert (found[0, :2, :, :8] != 0).all()
    else:
        assert 0.2 < silent.sum() / (alone != 0).sum() < 0.8
    only, none = gradient(crowd)
    assert (only[0, :2, :, 8:] == 0).all() if method == "fcos" else (only != 0).sum() < (alone != 0).sum()
    assert not any(none[:2])


def test_a_difficult_box_smaller_than_a_cell_masks_its_cell() -> None:
    """Nothing is learned at its cell."""
    centres = cell_centres(4, 4, 8, torch.device("cpu"))
    tiny = torch.tensor([[8.5, 16.5, 10.5, 18.5, 0.0, DIFFICULT]])
    assert torch.nonzero(not_counting([tiny, tiny[:0], tiny[:, :5]], centres)).tolist() == [[0, 9]]
    state, _ = FasterRCNN._anchor_state(anchor_boxes(4, 4, 8, torch.tensor([8.0, 16.0])), tiny)
    assert torch.nonzero(state < 0).flatten().tolist() == [18], "the smaller one of the cell's two anchors"


def test_a_crowd_stays_as_long_as_any_of_it_is_in_the_image(config: Config, split: Split) -> None:
    strong = config.augment.model_copy(update={"translate": 0.45, "rotate": 0.0, "scale": 0.0})
    indices = np.arange(len(split)).repeat(8)
    moved = augmented(split, indices, draw_changes(strong, 0, 0, 0, len(indices))).targets["objects"]
    crowded = [table for before, table in zip(split.rows(indices)["objects"], moved, strict=True) if len(before) == 2]
    areas = [float((t[:, 2:4] - t[:, :2]).prod(1)[kinds(t) > 0].sum()) / (32 * 64) for t in crowded]
    assert all(area > 0 for area in areas), "half the image at most has left"
    assert min(areas) < MIN_VISIBLE
