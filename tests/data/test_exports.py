"""What other tools export, unchanged: every export is read as its source was, or refused by its name.

`exports/make.py` wrote them; `exports/README.md` says with which versions.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.codecs.maps import decode_mask
from mtl.data.onboard.proposal import Proposal
from mtl.data.onboard.propose import propose
from mtl.data.raw.account import read_account
from mtl.data.raw.rows import FileRef, RawSample, read_problems, read_split
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.conftest import ROOT
from tests.data.test_formats import configured, fetched

EXPORTS = ROOT / "tests" / "exports"
TRUTH: dict[str, Any] = json.loads((EXPORTS / "truth.json").read_text())
SIZE = (48, 64)


@dataclass(frozen=True)
class Row:
    """What is to come of an export: these targets, as the source has them; or, in these words, a refusal. Either if both are there.

    split: whether the format says it. named: whether it says classes. apart: pixels by which the format lets a box's side differ,
    and a mask's edge. single: whether the format keeps one object of an image.
    """

    boxes: bool = False
    masks: bool = False
    label: bool = False
    named: bool = True
    split: bool = True
    apart: float = 0.01
    single: bool = False
    refused: str = ""


ROWS = {
    "datumaro_arrow": Row(refused="Datumaro's Arrow files"),
    "datumaro_camvid": Row(masks=True),
    "datumaro_cifar": Row(refused="CIFAR"),
    "datumaro_cityscapes": Row(masks=True),
    "datumaro_coco": Row(boxes=True, masks=True),
    "datumaro_coco_captions": Row(refused="captions"),
    "datumaro_coco_image_info": Row(refused="images without annotations"),
    "datumaro_coco_instances": Row(boxes=True, masks=True),
    "datumaro_coco_labels": Row(refused="labels without boxes"),
    "datumaro_coco_panoptic": Row(masks=True),
    "datumaro_coco_person_keypoints": Row(boxes=True),
    "datumaro_coco_stuff": Row(boxes=True, masks=True),
    "datumaro_cvat": Row(boxes=True),
    "datumaro_datumaro": Row(boxes=True, masks=True, label=True),
    "datumaro_datumaro_binary": Row(refused="Datumaro's binary files"),
    "datumaro_dota": Row(boxes=True, refused="DOTA"),
    "datumaro_icdar_text_localization": Row(refused="ICDAR"),
    "datumaro_icdar_text_segmentation": Row(refused="ICDAR"),
    "datumaro_icdar_word_recognition": Row(refused="ICDAR"),
    "datumaro_image_dir": Row(refused="no format that is known"),
    "datumaro_image_zip": Row(refused="a folder of archives"),
    "datumaro_imagenet": Row(label=True, split=False),
    "datumaro_imagenet_txt": Row(label=True),
    "datumaro_imagenet_with_subset_dirs": Row(label=True),
    "datumaro_kitti": Row(boxes=True, apart=1.0),
    "datumaro_kitti_detection": Row(boxes=True, apart=1.0),
    "datumaro_kitti_segmentation": Row(masks=True, refused="looks like kitti"),
    "datumaro_label_me": Row(boxes=True, masks=True),
    "datumaro_lfw": Row(refused="LFW"),
    "datumaro_market1501": Row(refused="Market-1501"),
    "datumaro_mnist": Row(refused="MNIST"),
    "datumaro_mnist_csv": Row(refused="MNIST"),
    "datumaro_mot_seq_gt": Row(refused="MOT"),
    "datumaro_mots_png": Row(refused="MOTS"),
    "datumaro_mvtec_classification": Row(label=True),
    "datumaro_mvtec_detection": Row(refused="MVTec"),
    "datumaro_mvtec_segmentation": Row(refused="MVTec"),
    "datumaro_open_images": Row(boxes=True, apart=1.0),
    "datumaro_segment_anything": Row(refused="Segment Anything"),
    "datumaro_vgg_face2": Row(boxes=True, named=False, single=True),
    "datumaro_voc": Row(boxes=True, apart=1.0),
    "datumaro_voc_action": Row(boxes=True, apart=1.0),
    "datumaro_voc_classification": Row(label=True, refused="looks like voc"),
    "datumaro_voc_detection": Row(boxes=True, apart=1.0),
    "datumaro_voc_instance_segmentation": Row(masks=True),
    "datumaro_voc_layout": Row(boxes=True, apart=1.0),
    "datumaro_voc_segmentation": Row(masks=True),
    "datumaro_wider_face": Row(refused="WIDER FACE"),
    "datumaro_yolo": Row(boxes=True, apart=0.1),
    "datumaro_yolo_ultralytics": Row(boxes=True, apart=0.1),
    "supervision_coco": Row(boxes=True),
    "supervision_coco_masks": Row(boxes=True, masks=True, apart=1.0),
    "supervision_createml": Row(boxes=True),
    "supervision_folders": Row(label=True),
    "supervision_labelme": Row(boxes=True, masks=True, apart=1.0),
    "supervision_voc": Row(boxes=True, apart=1.0),
    "supervision_voc_masks": Row(boxes=True, apart=1.0),
    "supervision_yolo": Row(boxes=True, apart=0.1),
    "supervision_yolo_masks": Row(boxes=True, masks=True, apart=1.1),
    "labelme": Row(boxes=True, masks=True),
    "label_studio_coco": Row(boxes=True, split=False),
    "label_studio_csv": Row(label=True, split=False),
    "label_studio_json": Row(boxes=True, label=True, split=False),
    "label_studio_json_min": Row(boxes=True, label=True, split=False),
    "label_studio_voc": Row(boxes=True, split=False, apart=1.0),
    "label_studio_yolo": Row(boxes=True, split=False, apart=0.1),
    "supervisely": Row(boxes=True, masks=True, label=True),
}


def test_every_export_has_a_row() -> None:
    assert {path.stem for path in EXPORTS.glob("*.zip")} == ROWS.keys()


@pytest.mark.parametrize("name", sorted(ROWS))
def test_an_export_is_read_as_its_source_or_refused_by_name(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    reads = row.boxes or row.masks or row.label
    try:
        proposal = propose(str(EXPORTS / f"{name}.zip"))
    except DataError as error:
        if not row.refused or row.refused not in str(error):
            raise
        return
    assert reads, f"proposed as {proposal.format}"
    spec, samples = everything(proposal, tmp_path)
    assert samples.keys() == TRUTH.keys()
    for scene, (split, sample) in samples.items():
        if row.split:
            assert split == TRUTH[scene]["split"]
        compare(row, scene, sample, spec)


def everything(proposal: Proposal, folder: Path) -> tuple[DatasetSpec, dict[str, tuple[str, RawSample]]]:
    """What the proposal gives: scene → split and sample. No file may be left over."""
    config = configured(proposal.source["sets"], proposal.tasks, split=proposal.source["split"])
    spec = fetched(config, folder / "raw")
    assert read_problems(folder / "raw") == []
    account = read_account(folder / "raw")
    assert account.annotations == ()
    assert [files.unaccounted.files for files in account.files] == [()] * len(account.files)
    found: dict[str, tuple[str, RawSample]] = {}
    for split in SPLITS:
        for sample in read_split(folder / "raw", split, spec):
            match = re.search(r"(train|val|test)_\d\d", sample.id)
            assert match, sample.id
            found[match.group()] = (split, sample)
    return spec, found


def target(spec: DatasetSpec, kind: str, sample: RawSample) -> tuple[Any, TargetSpec]:
    """The value of the target of a kind, and what it is."""
    names = [name for name, found in spec.targets.items() if found.kind == kind]
    assert len(names) == 1, f"targets of kind {kind}: {names}"
    return sample.targets[names[0]], spec.targets[names[0]]


def compare(row: Row, scene: str, sample: RawSample, spec: DatasetSpec) -> None:
    things = TRUTH[scene]["things"][: 1 if row.single else None]
    if row.boxes:
        boxes, what = target(spec, "boxes", sample)
        found = sorted((what.classes[int(box[4])], *box[:4]) for box in boxes)
        wanted = sorted((t["label"], t["x"], t["y"], t["x"] + t["width"], t["y"] + t["height"]) for t in things)
        if not row.named:
            found, wanted = (sorted(("", *box[1:]) for box in boxes_) for boxes_ in (found, wanted))
        assert [box[0] for box in found] == [box[0] for box in wanted]
        sides = np.array([box[1:] for box in found]) - np.array([box[1:] for box in wanted])
        assert np.abs(sides).max() <= row.apart
    if row.masks:
        mask, what = target(spec, "mask", sample)
        data = FileTree(spec.roots[mask.owner]).read(mask.name) if isinstance(mask, FileRef) else mask
        regions = decode_mask(data, len(what.classes), what.values, what.ignored)
        names = np.array([*what.classes, *["background"] * (256 - len(what.classes))])[regions]
        wanted_mask = np.full(SIZE, "background", names.dtype)
        for thing in things:
            x, y, w, h = (thing[side] for side in ("x", "y", "width", "height"))
            wanted_mask[y : y + h // 2, x : x + w] = thing["label"]
            wanted_mask[y : y + h, x : x + w // 2] = thing["label"]
        assert (names == wanted_mask)[inside(wanted_mask) if row.apart >= 1.0 else ...].all()
    if row.label:
        label, what = target(spec, "label", sample)
        assert what.classes[label] == things[0]["label"]


def decoded(mask: bytes | FileRef, spec: DatasetSpec) -> np.ndarray:
    """Class indices of a mask, here or in a file, whose values its target may declare."""
    data = FileTree(spec.roots[mask.owner]).read(mask.name) if isinstance(mask, FileRef) else mask
    (found,) = [found for found in spec.targets.values() if found.kind == "mask"]
    declared = {name: getattr(found, name) for name in ("values", "ignored") if name in type(found).model_fields}
    return decode_mask(data, len(found.classes), **declared)


def inside(mask: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours are all of their own class."""
    padded = np.pad(mask, 1, mode="edge")
    height, width = mask.shape
    around = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.all([neighbour == mask for neighbour in around], axis=0)
