"""COCO as tools write it: one small file in each of their ways, and what stands beside it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl.data.formats import Reading
from mtl.data.kinds.box_table import CROWD, DIFFICULT
from mtl.data.onboard.propose import propose
from mtl.data.raw.account import read_account
from mtl.data.raw.rows import read_problems, read_split
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from tests.data.test_formats import configured, fetched
from tests.data.test_tools import names, objects, pixels, read
from tests.data.tool_files import BOX, CORNERS, HEIGHT, WIDTH, coco, mask, picture, write

Document = dict[str, Any]


def found(folder: Path, document: Document, file: str = "annotations.json", **section: Any) -> Reading:
    """What is read of a file beside one picture."""
    if not (folder / "a.png").exists():
        picture(folder / "a.png")
    write(folder / file, document)
    return read({"format": "coco", "path": str(folder), "annotations": file, "masks": "regions"} | section)


def with_annotation(**changes: Any) -> Document:
    document = coco()
    document["annotations"][0] |= changes
    return document


def runs() -> list[int]:
    """Uncompressed counts of the object, column by column."""
    flat = mask().ravel("F")
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    return [after - before for before, after in itertools.pairwise(edges)]


def compressed() -> str:
    from faster_coco_eval.core import mask as rle

    return rle.encode(np.asfortranarray(mask()))["counts"].decode()


SIZE = [HEIGHT, WIDTH]
OUTLINES: dict[str, Any] = {
    "polygons": [CORNERS],
    "a polygon without a list around it, as VIA has it": CORNERS,
    "a polygon of pairs": [np.reshape(CORNERS, (4, 2)).tolist()],
    "counts": {"size": SIZE, "counts": runs()},
    "compressed counts": {"size": SIZE, "counts": compressed()},
    "bytes that Python's str() made a text": {"size": SIZE, "counts": str(compressed().encode())},
    "codes in a list": [{"size": SIZE, "counts": compressed()}],
}


@pytest.mark.parametrize("outline", OUTLINES.values(), ids=OUTLINES)
@pytest.mark.parametrize("box", [[4, 6, 20, 10], None, [], [0, 0, 0, 0]], ids=["box", "null", "empty", "zeros"])
def test_outlines_however_they_are_written_and_boxes_from_them(outline: Any, box: Any, tmp_path: Path) -> None:
    reading = found(tmp_path, with_annotation(segmentation=outline, bbox=box))
    assert not reading.problems
    assert objects(reading) == [("dog", *BOX)]
    assert (names(reading) == np.where(mask(), "dog", "background")).all()


@pytest.mark.parametrize(
    ("image", "category", "listed"),
    [("1", "9", (1, 9)), (1.0, 9.0, (1, 9)), ("1.0", "9.0", (1, "9")), (" img_1 ", "c-9", ("img_1", "c-9"))],
)
def test_ids_are_the_same_however_they_are_written(
    image: Any, category: Any, listed: tuple[Any, Any], tmp_path: Path
) -> None:
    document = with_annotation(image_id=image, category_id=category)
    document["images"][0]["id"], document["categories"][1]["id"] = listed
    reading = found(tmp_path, document)
    assert not reading.problems
    assert objects(reading) == [("dog", *BOX)]


@pytest.mark.parametrize(
    "size", [{}, {"width": 0, "height": 0}, {"width": None, "height": None}, {"width": "40", "height": "30"}]
)
def test_a_size_that_is_not_said_is_the_pictures(size: Document, tmp_path: Path) -> None:
    document = coco()
    document["images"][0] = {"id": 1, "file_name": "a.png", **size}
    assert objects(found(tmp_path, document)) == [("dog", *BOX)]


@pytest.mark.parametrize(
    ("mention", "file"),
    [
        ("/content/data/train/a.png", "train/a.png"),
        ("C:\\Users\\me\\images\\a.png", "images/a.png"),
        ("../../label-studio/data/upload/1/0a1b2c3d-a.png", "images/a.png"),
        ("images\\0a1b2c3d-a.png", "images/0a1b2c3d-a.png"),
        ("a%20b.png", "images/a b.png"),
        ("s3://bucket/deep/a.png", "deep/a.png"),
        ("deep/er/a.png", "images/deep/er/a.png"),
        ("a.jpg", "images/a.png"),
    ],
)
def test_images_are_found_however_they_are_named(mention: str, file: str, tmp_path: Path) -> None:
    picture(tmp_path / file)
    document = coco()
    document["images"][0]["file_name"] = mention
    write(tmp_path / "annotations.json", document)
    reading = read({"format": "coco", "path": str(tmp_path)})
    assert not reading.problems
    assert [entry.image.name for entry in reading.entries] == [file]  # type: ignore[union-attr]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_texts_with_a_mark_and_numbers_that_are_none(encoding: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    document = with_annotation(score=float("nan"))
    document["annotations"].append({**document["annotations"][0], "id": 2, "bbox": [float("nan"), 6, 20, 10]})
    (tmp_path / "annotations.json").write_text(json.dumps(document), encoding=encoding)
    reading = read({"format": "coco", "path": str(tmp_path)})
    assert objects(reading) == [("dog", *BOX)]
    assert ["a box is not four numbers" in p.reason for p in reading.problems] == [True]
    assert [p.loses for p in reading.problems] == ["annotation"]


def test_a_box_that_is_turned_is_what_it_covers(tmp_path: Path) -> None:
    """As CVAT exports it: the box before, and an angle clockwise."""
    document = with_annotation(segmentation=[], bbox=[10, 10, 12, 4], attributes={"rotation": 90.0})
    assert np.allclose(objects(found(tmp_path, document))[0][1:], [14, 6, 18, 18])  # type: ignore[arg-type]


def test_shares_of_the_picture_are_coordinates_too(tmp_path: Path) -> None:
    """As Azure exports them."""
    document = with_annotation(segmentation=[], bbox=[0.1, 0.2, 0.5, 1 / 3])
    reading = found(tmp_path, document)
    assert np.allclose(objects(reading)[0][1:], BOX)  # type: ignore[arg-type]
    assert reading.notes["boxes given as shares of their picture"] == 1


def test_corners_for_boxes_and_lvis_are_refused(tmp_path: Path) -> None:
    document = coco()
    document["annotations"] = [
        {"id": i, "image_id": 1, "category_id": 9, "bbox": [4, 6, 24 + i, 16], "area": (20 + i) * 10} for i in range(3)
    ]
    with pytest.raises(DataError, match="x1, y1, x2, y2"):
        found(tmp_path, document)
    document = coco()
    document["images"][0] |= {"neg_category_ids": [5], "not_exhaustive_category_ids": []}
    with pytest.raises(DataError, match="LVIS"):
        found(tmp_path, document)
    with pytest.raises(DataError, match="LVIS"):
        propose(str(tmp_path))


def test_categories_as_tools_write_them(tmp_path: Path) -> None:
    document = with_annotation()
    document["categories"] = [
        {"id": 0, "name": "background"},
        {"id": 1, "name": "zoo", "supercategory": "none"},  # Roboflow's project, which nothing is of
        {"id": 9, "name": " dog ", "supercategory": "zoo"},
        {"id": 10, "name": "dog", "supercategory": "zoo"},
        {"id": 11, "name": "ant", "supercategory": "zoo"},
    ]
    document["annotations"] += [
        {**document["annotations"][0], "id": 2, "category_id": c, "bbox": [1, 1, 5, 5]} for c in (10, 0)
    ]
    reading = found(tmp_path, document)
    assert reading.targets["objects"].classes == ("dog", "ant")
    assert reading.targets["regions"].classes == ("background", "dog", "ant")
    assert len(reading.entries[0].targets["objects"]) == 2
    assert sum(n for note, n in reading.notes.items() if "none of the classes" in note) == 1


@pytest.mark.parametrize("declared", [["Dog", "ant"], [" dog", "ant"], ["dog"]])
def test_declared_classes_select_and_may_be_written_differently(declared: list[str], tmp_path: Path) -> None:
    document = coco()
    document["annotations"].append({**document["annotations"][0], "id": 2, "category_id": 5})
    reading = found(tmp_path, document, classes=declared)
    assert reading.targets["objects"].classes == tuple(declared)
    assert [row[0] for row in objects(reading)] == declared[:1]
    assert not reading.problems


@pytest.mark.parametrize(("mark", "kind"), [("iscrowd", CROWD), ("ignore", DIFFICULT)])
def test_boxes_that_do_not_count(mark: str, kind: float, tmp_path: Path) -> None:
    document = coco()
    document["annotations"] += [
        {**document["annotations"][0], "id": 2, "bbox": [1, 1, 5, 5], "segmentation": [], mark: 1}
    ]
    assert [row[5] for row in found(tmp_path, document).entries[0].targets["objects"]] == [0.0, kind]
    assert [len(row) for row in found(tmp_path, document, crowd=True).entries[0].targets["objects"]] == [5, 5]
    for annotation in document["annotations"]:
        annotation[mark] = 1  # a tool that marks all means nothing by it
    assert [len(row) for row in found(tmp_path, document).entries[0].targets["objects"]] == [5, 5]


def test_declared_classes_of_which_there_is_none_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the declared classes"):
        found(tmp_path, coco(), classes=["fish"])
    # The masks' background is index 0, whether it is declared or not.
    reading = found(tmp_path, coco(), classes=["background", "dog"])
    assert reading.targets["regions"].classes == ("background", "dog")


def test_what_is_listed_twice_is_one(tmp_path: Path) -> None:
    document = coco()
    document["images"].append({**document["images"][0]})
    document["images"].append({**document["images"][0], "id": 2})
    document["annotations"].append({**document["annotations"][0]})
    document["annotations"].append({**document["annotations"][0], "id": 5, "image_id": 2})
    document["annotations"].append({**document["annotations"][0], "id": 6, "image_id": 2, "category_id": 5})
    reading = found(tmp_path, document)
    assert not reading.problems
    assert objects(reading) == [("dog", *BOX), ("cat", *BOX)]
    assert sum(reading.notes.values()) == 3


def test_one_id_of_two_images_costs_them_alone(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", 1)
    picture(tmp_path / "c.png", 2)
    document = coco()
    document["images"] += [{"id": 1, "file_name": "b.png"}, {"id": 2, "file_name": "c.png"}]
    document["annotations"].append({**document["annotations"][0], "id": 2, "image_id": 2})
    reading = found(tmp_path, document)
    assert [entry.id for entry in reading.entries] == ["c"]
    assert {p.file for p in reading.problems if p.loses == "image"} == {"a.png", "b.png"}


def test_images_that_are_not_here_are_one_reason_or_none(tmp_path: Path) -> None:
    document = coco()
    document["images"] += [{"id": n, "file_name": f"{n}.png", "width": 9, "height": 9} for n in range(2, 9)]
    reading = found(tmp_path, document)
    assert len(reading.problems) == 7
    assert len({problem.reason.split(";")[0] for problem in reading.problems}) == 1
    reading = found(tmp_path, document, partial=True)
    assert not reading.problems
    assert [n for note, n in reading.notes.items() if "not here" in note] == [7]
    assert len(reading.entries) == 1


def split_set(folder: Path, files: dict[str, str], count: int = 4, name: str = "{split}{n}.png", **more: Any) -> None:
    """A COCO file per split. files: split → its annotations; pictures lie in folders called like the splits."""
    for seed, (split, file) in enumerate(files.items()):
        document: Document = {"images": [], "annotations": [], "categories": coco()["categories"]}
        for n in range(count):
            called = name.format(split=split, n=n)
            picture(folder / split / called, 100 * seed + n)
            document["images"].append({"id": n, "file_name": called, "width": WIDTH, "height": HEIGHT})
            document["annotations"].append(
                {**coco()["annotations"][0], "id": n, "image_id": n, "category_id": (5, 9)[n % 2]} | more
            )
        write(folder / file, document)


LAYOUTS = {
    "Roboflow": {s: f"{s}/_annotations.coco.json" for s in ("train", "valid", "test")},
    "a file per split": {s: f"{s}.json" for s in ("train", "val", "test")},
    "COCO": {f"{s}2017": f"annotations/instances_{s}2017.json" for s in ("train", "val", "test")},
    "a folder per split": {s: f"annotations/{s}/instances.json" for s in ("train", "val", "test")},
    "names before": {s: f"annotations/{s}_annotations_v2.json" for s in ("train", "val", "test")},
}


@pytest.mark.parametrize("name", ["{split}{n}.png", "{n}.png"], ids=["own names", "same names"])
@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_splits_are_those_that_files_and_folders_say(files: dict[str, str], name: str, tmp_path: Path) -> None:
    split_set(tmp_path / "set", files, name=name)
    proposal = propose(str(tmp_path / "set"))
    assert proposal.source["split"] == {"type": "given"}
    config = configured(proposal.source["sets"], proposal.tasks, split=proposal.source["split"])
    spec = fetched(config, tmp_path / "raw")
    assert read_problems(tmp_path / "raw") == []
    for split, folder in zip(SPLITS, files, strict=True):
        samples = list(read_split(tmp_path / "raw", split, spec))
        assert [sample.image.name.split("/")[0] for sample in samples] == [folder] * 4  # type: ignore[union-attr]


def test_what_stands_beside_objects_is_named_and_accounted_for(tmp_path: Path) -> None:
    """COCO's own zip of annotations, and pictures of a part of them."""
    given = tmp_path / "set"
    split_set(given, {s: f"annotations/instances_{s}.json" for s in ("train2017", "val2017")}, count=8)
    instances = json.loads((given / "annotations/instances_train2017.json").read_text())
    persons = [{**a, "keypoints": [5, 7, 2], "num_keypoints": 1} for a in instances["annotations"][::2]]
    stuff = {"categories": [{"id": 92, "name": "sky"}]}
    others = {
        "person_keypoints_train2017": instances | {"annotations": persons},
        "captions_train2017": instances | {"annotations": [{"id": 1, "image_id": 0, "caption": "a dog"}]},
        "stuff_train2017": instances
        | {"annotations": [{**a, "category_id": 92} for a in instances["annotations"]]}
        | stuff,
        "panoptic_train2017": instances | {"annotations": [{"image_id": 0, "file_name": "0.png", "segments_info": []}]},
        "image_info_test2017": {"images": [{"id": 1, "file_name": "x.png"}], "categories": instances["categories"]},
        "instances_unlabeled2017": instances | {"images": [{"id": n, "file_name": f"u{n}.png"} for n in range(9)]},
    }
    for name, document in others.items():
        write(given / "annotations" / f"{name}.json", document)
    write(given / "results.json", [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}])
    proposal = propose(str(given))
    assert proposal.source["sets"].keys() == {"instances_train2017", "instances_val2017"}
    for name in [*others, "results"]:
        assert sum(f"{name}.json" in fact for fact in proposal.facts) == 1
    config = configured(proposal.source["sets"], proposal.tasks, split=proposal.source["split"])
    fetched(config, tmp_path / "raw")
    (files,) = read_account(tmp_path / "raw").files
    assert files.unaccounted.number == 0
    assert (files.used, files.ignored) == (18, 7)


def test_missing_images_are_declared_unless_all_are_missing(tmp_path: Path) -> None:
    given = tmp_path / "set"
    split_set(given, {"val2017": "annotations/instances_val2017.json"}, count=30)
    for path in sorted((given / "val2017").iterdir())[:18]:
        path.unlink()
    proposal = propose(str(given))
    assert proposal.source["sets"]["images"]["partial"] is True
    assert any("18 of the images that it lists are not here" in fact for fact in proposal.facts)
    for path in (given / "val2017").iterdir():
        path.unlink()
    picture(given / "other" / "z.png")
    with pytest.raises(DataError, match="none of the 30 images"):
        propose(str(given))


def test_two_files_of_the_same_images_are_not_joined_in_silence(tmp_path: Path) -> None:
    given = tmp_path / "set"
    split_set(given, {s: f"annotations/{s}.json" for s in ("train", "val", "test")})
    parts = [json.loads((given / f"annotations/{s}.json").read_text()) for s in ("train", "val", "test")]
    whole: Document = {"categories": parts[0]["categories"], "images": [], "annotations": []}
    for number, part in enumerate(parts):
        whole["images"] += [{**image, "id": f"{number}_{image['id']}"} for image in part["images"]]
        whole["annotations"] += [{**a, "image_id": f"{number}_{a['image_id']}"} for a in part["annotations"]]
    write(given / "annotations/all.json", whole)
    proposal = propose(str(given))
    assert proposal.source["sets"].keys() == {"train", "val", "test"}
    assert any("annotations/all.json" in fact for fact in proposal.facts)
    parts[0]["annotations"] = parts[0]["annotations"][:2]
    write(given / "annotations/all.json", parts[0])
    with pytest.raises(DataError, match="annotate the same images"):
        propose(str(given))


def test_predictions_are_refused_by_name(tmp_path: Path) -> None:
    for n in range(12):
        picture(tmp_path / "images" / f"{n}.png", n)
    write(
        tmp_path / "results.json",
        [{"image_id": n, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.5} for n in range(12)],
    )
    with pytest.raises(DataError, match=r"predictions, which are no labels"):
        propose(str(tmp_path))


def test_an_image_that_may_be_two_files_is_not_guessed(tmp_path: Path) -> None:
    split_set(tmp_path, {"one": "all.json"}, name="{n}.png")
    for n in range(4):
        picture(tmp_path / "two" / f"{n}.png", 50 + n)
    with pytest.raises(DataError, match="may be several files"):
        propose(str(tmp_path))


def test_masks_that_are_boxes_are_said(tmp_path: Path) -> None:
    split_set(tmp_path, {"images": "all.json"}, count=20)
    assert "every outline is its box: the masks say no more than the boxes" in propose(str(tmp_path)).facts


def panoptic(folder: Path, split: str, count: int = 3) -> None:
    """Pictures with sky above, a dog in its box, and nothing known below."""
    document: Document = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 3, "name": "sky", "isthing": 0}, {"id": 9, "name": "dog", "isthing": 1}],
    }
    for n in range(count):
        name = f"{split}{n}.png"
        picture(folder / split / name, n + 10 * len(split))
        ids = np.where(mask() > 0, 70_000, 300).astype(np.uint32)
        ids[25:] = 0
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], 2).astype(np.uint8)
        (folder / f"panoptic_{split}").mkdir(exist_ok=True)
        Image.fromarray(colours).save(folder / f"panoptic_{split}" / name)
        segments = [
            {"id": 300, "category_id": 3, "iscrowd": 0},
            {"id": 70_000, "category_id": 9, "bbox": [4, 6, 20, 10]},
        ]
        document["images"].append({"id": n, "file_name": name, "width": WIDTH, "height": HEIGHT})
        document["annotations"].append({"image_id": n, "file_name": name, "segments_info": segments})
    write(folder / f"panoptic_{split}.json", document)


def test_panoptic_segments_are_masks_of_all_and_boxes_of_things(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        panoptic(tmp_path / "set", split)
    proposal = propose(str(tmp_path / "set"))
    assert proposal.format == "coco_panoptic"
    assert set(proposal.tasks) == {"objects", "regions"}
    config = configured(proposal.source["sets"], proposal.tasks, split={"type": "given"})
    spec = fetched(config, tmp_path / "raw")
    assert spec.targets["regions"].classes == ("background", "sky", "dog")
    assert spec.targets["objects"].classes == ("dog",)
    wanted = np.where(mask() > 0, 2, 1)
    wanted[25:] = 255
    for split in SPLITS:
        for sample in read_split(tmp_path / "raw", split, spec):
            assert sample.targets["objects"] == [[*BOX, 0.0]]
            assert (pixels(sample.targets["regions"]) == wanted).all()
    (files,) = read_account(tmp_path / "raw").files
    assert files.unaccounted.number == 0
    assert read_problems(tmp_path / "raw") == []


def test_a_damaged_map_of_segments_costs_its_image(tmp_path: Path) -> None:
    panoptic(tmp_path, "train")
    (tmp_path / "panoptic_train/train0.png").write_bytes(b"none")
    (tmp_path / "panoptic_train/train1.png").unlink()
    reading = read({"format": "coco_panoptic", "path": str(tmp_path), "annotations": "panoptic_train.json"})
    assert [entry.id for entry in reading.entries] == ["train/train2"]
    assert {problem.file for problem in reading.problems} == {"train/train0.png", "train/train1.png"}
