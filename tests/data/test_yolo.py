"""YOLO as people bring it: layouts of a dozen tools, lines of five kinds, and every text file accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl.codecs.maps import decode_mask
from mtl.config.files import YoloSet
from mtl.data.formats import Reading
from mtl.data.formats.yolo import read_yolo
from mtl.data.onboard.propose import propose
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.data.drawn import picture, written
from tests.data.test_account import adds_up
from tests.data.test_propose import run

SPLITS = {"train": 8, "val": 4, "test": 4}
LINE = "1 0.5 0.5 0.25 0.5\n"
BOX = [24.0, 12.0, 40.0, 36.0, 1.0]
"""The line's box in a picture of 64×48."""


def read(folder: Path, **chosen: Any) -> Reading:
    return read_yolo(YoloSet(format="yolo", path=str(folder), **chosen), FileTree(str(folder)))


def notes(reading: Reading) -> dict[str, int]:
    """Counts by the first words of a note, up to a comma."""
    return {what.split(",")[0]: number for what, number in reading.notes.items()}


def reasons(reading: Reading) -> list[str]:
    return [problem.reason for problem in reading.problems]


def scene(folder: Path, label: str | None = LINE, name: str = "a", seed: int = 0, **size: int) -> Path:
    """A picture in images/ with its labels."""
    picture(folder / "images" / f"{name}.png", seed, **size)
    if label is not None:
        written(folder / "labels" / f"{name}.txt", label)
    return folder


# Layouts. Each gives the path of an image's picture and labels, and writes what the tool puts beside.

Layout = Callable[[Path], tuple[str, str]]


def ultralytics(folder: Path) -> tuple[str, str]:
    written(
        folder / "data.yaml", "path: .\ntrain: images/train\nval: images/val\ntest: images/test\nnames: [cat, dog]\n"
    )
    return "images/{split}/{name}", "labels/{split}/{name}.txt"


def any_yaml_name(folder: Path) -> tuple[str, str]:
    written(folder / "pets.yml", "path: ../datasets/pets  # another machine's\ntrain: images/train2017\nval: images/val2017\n"
            "test: images/test2017\nnames:\n  0: cat\n  1: dog\n")  # fmt: skip
    return "images/{split}2017/{name}", "labels/{split}2017/{name}.txt"


def one_level_below(folder: Path) -> tuple[str, str]:
    written(folder / "notes.md", "beside the set")
    written(
        folder / "pets" / "dataset.yaml", "train: images/train\nval: images/val\ntest: images/test\nnames: [cat, dog]\n"
    )
    return "pets/images/{split}/{name}", "pets/labels/{split}/{name}.txt"


def yaml_elsewhere(folder: Path) -> tuple[str, str]:
    written(folder / "configs" / "pets.yaml", "path: /home/me/pets\ntrain: train/images\nval: val/images\ntest: test/images\n"
            "nc: 2\nnames: ['cat', 'dog']\n")  # fmt: skip
    return "{split}/images/{name}", "{split}/labels/{name}.txt"


def roboflow(folder: Path) -> tuple[str, str]:
    written(folder / "data.yaml", "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
            "names: ['cat', 'dog']\n\nroboflow:\n  workspace: me\n  version: 1\n")  # fmt: skip
    written(folder / "README.roboflow.txt", "exported")
    return "{roboflow}/images/{name}", "{roboflow}/labels/{name}.txt"


def roboflow_darknet(folder: Path) -> tuple[str, str]:
    for split in ("train", "valid", "test"):
        written(folder / split / "_darknet.labels", "cat\ndog\n")
    return "{roboflow}/{name}", "{roboflow}/{name}.txt"


def lists_of_paths(folder: Path) -> tuple[str, str]:
    _lists(folder, "./images/{name}")
    written(folder / "data.yaml", "train: train.txt\nval: val.txt\ntest: test.txt\nnames: [cat, dog]\n")
    return "images/{name}", "labels/{name}.txt"


def lists_of_another_machine(folder: Path) -> tuple[str, str]:
    _lists(folder, "C:\\Users\\me\\pets\\images\\{name}")
    written(
        folder / "data.yaml",
        "train: D:/pets/train.txt\nval: D:/pets/val.txt\ntest: D:/pets/test.txt\nnames: [cat, dog]\n",
    )
    return "images/{name}", "labels/{name}.txt"


def lists_of_folders(folder: Path) -> tuple[str, str]:
    written(
        folder / "data.yaml",
        "train:\n  - images/train\n  - images/more\nval: [images/val]\ntest: [images/test]\nnames: [cat, dog]\n",
    )
    picture(folder / "images" / "more" / "train_more.jpg", 99)
    written(folder / "labels" / "more" / "train_more.txt", LINE)
    return "images/{split}/{name}", "labels/{split}/{name}.txt"


def darknet(folder: Path) -> tuple[str, str]:
    _lists(folder, "data/obj/{name}")
    written(folder / "obj.data", "classes= 2\ntrain  = data/train.txt\nvalid  = data/val.txt\ntest = data/test.txt\n"
            "names = data/obj.names\nbackup = backup/\n")  # fmt: skip
    written(folder / "obj.names", "cat\ndog\n\n")
    return "obj/{name}", "obj/{name}.txt"


def cvat(folder: Path) -> tuple[str, str]:
    written(
        folder / "obj.data", "classes = 2\nnames = obj.names\ntrain = train.txt\nvalid = valid.txt\ntest = test.txt\n"
    )
    written(folder / "obj.names", "cat\ndog\n")
    _lists(folder, "obj_{cvat}_data/{name}", valid="valid")
    return "obj_{cvat}_data/{name}", "obj_{cvat}_data/{name}.txt"


def labelimg(folder: Path) -> tuple[str, str]:
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "classes.txt").write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\n")
    written(folder / "val" / "classes.txt", "cat\n")  # the classes that were met until then
    return "{split}/{name}", "{split}/{name}.txt"


def labels_beside_classes(folder: Path) -> tuple[str, str]:
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "classes.txt").write_bytes("cat\r\ndog\r\n".encode("utf-16"))
    return "images/{split}/{name}", "labels/{split}/{name}.txt"


def label_studio(folder: Path) -> tuple[str, str]:
    written(folder / "classes.txt", "cat\ndog")
    written(folder / "notes.json", {"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}], "info": {}})
    return "images/{split}/{name}", "labels/{split}/{name}.txt"


def datumaro_loose(folder: Path) -> tuple[str, str]:
    written(folder / "obj.names", "cat\ndog\n")
    return "Images/{split}/{name}", "Annotations/{split}/{name}.txt"


def images_at_the_top(folder: Path) -> tuple[str, str]:
    written(folder / "coco.yaml", "train: train2017\nval: val2017\ntest: test2017\nnames: {0: cat, 1: dog}\n")
    return "{split}2017/{name}", "labels/{split}2017/{name}.txt"


def fiftyone(folder: Path) -> tuple[str, str]:
    written(folder / "obj.names", "cat\ndog")
    names = [f"data/{split}/{split} {i}.jpg" for split, number in SPLITS.items() for i in range(number)]
    written(folder / "images.txt", "\n".join(names))
    return "data/{split}/{name}", "data/{split}/{name}.txt"


def cvat_ultralytics(folder: Path) -> tuple[str, str]:
    _lists(folder, "images/{split}/{name}")
    written(
        folder / "data.yaml", "names:\n  0: cat\n  1: dog\npath: .\ntest: test.txt\ntrain: train.txt\nval: val.txt\n"
    )
    return "images/{split}/{name}", "labels/{split}/{name}.txt"


def _lists(folder: Path, path: str, valid: str = "val") -> None:
    """train.txt, val.txt and test.txt of the images that `laid_out` makes."""
    for split, number in SPLITS.items():
        names = [path.format(name=f"{split} {i}.jpg", split=split, cvat=CVAT[split]) for i in range(number)]
        written(folder / f"{valid if split == 'val' else split}.txt", "\n".join(names) + "\n")


CVAT = {"train": "train", "val": "valid", "test": "test"}
LAYOUTS = [
    *(ultralytics, any_yaml_name, one_level_below, yaml_elsewhere, roboflow, roboflow_darknet, lists_of_paths),
    *(lists_of_another_machine, lists_of_folders, darknet, cvat, labelimg, labels_beside_classes, label_studio),
    *(datumaro_loose, images_at_the_top, fiftyone, cvat_ultralytics),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_proposed_with_its_classes_splits_and_boxes(layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    image, label = layout(folder)
    seed = 0
    for split, number in SPLITS.items():
        for i in range(number):
            seed += 1
            stem, words = f"{split} {i}", {"split": split, "roboflow": CVAT[split], "cvat": CVAT[split]}
            picture(folder / image.format(name=f"{stem}.jpg", **words), seed)
            written(folder / label.format(name=stem, **words), LINE)
    proposal = propose(str(folder))
    assert proposal.format == "yolo"
    assert proposal.tasks == {"objects": {"type": "detection"}}
    splits, account = run(proposal, tmp_path)
    for split, ids in splits.items():
        assert len([found for found in ids if found.split("/")[-1].startswith(split)]) == len(ids)
        assert len(ids) >= SPLITS[split]
    (files,) = account.files
    assert adds_up(files)
    assert files.unaccounted.number == files.problems == 0
    reading = read_yolo(YoloSet.model_validate(_own(proposal)), FileTree(_own(proposal)["path"]))
    assert reading.targets["objects"].classes == ("cat", "dog")
    assert all(entry.targets == {"objects": [BOX]} for entry in reading.entries)


def _own(proposal: Any) -> dict[str, Any]:
    (section,) = proposal.source["sets"].values()
    return section


# Images without labels, labels without images


def test_an_image_without_a_text_file_shows_nothing(tmp_path: Path) -> None:
    for i in range(4):
        scene(tmp_path, LINE if i else None, str(i), i)
    found = read(tmp_path, classes=("cat", "dog"))
    assert {entry.id: entry.targets for entry in found.entries}["0"] == {"objects": []}
    assert found.notes["images without a text file, in which there is nothing"] == 1
    unknown = read(tmp_path, classes=("cat", "dog"), background=False)
    assert {entry.id: entry.targets for entry in unknown.entries}["0"] == {}


def test_a_split_without_any_text_file_is_not_labelled(tmp_path: Path) -> None:
    """Images for testing, whose labels nobody has given, are no images in which there is nothing."""
    ultralytics(tmp_path)
    for split in ("train", "val", "test"):
        for i in range(3):
            picture(tmp_path / "images" / split / f"{i}.jpg", i)
            if split != "test" and i:
                written(tmp_path / "labels" / split / f"{i}.txt", LINE)
    found = {entry.id: entry.targets for entry in read(tmp_path).entries}
    assert found["test/0"] == {}
    assert found["train/0"] == {"objects": []}
    assert found["train/1"] == {"objects": [BOX]}


def test_labels_without_their_image_are_named(tmp_path: Path) -> None:
    scene(tmp_path)
    written(tmp_path / "labels" / "gone.txt", LINE)
    found = read(tmp_path, classes=("cat", "dog"))
    (problem,) = found.problems
    assert problem.file == "labels/gone.txt"
    assert "gone.txt" in problem.reason


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("labels/a.txt", "images/a.jpg"),
        ("labels/a.TXT", "images/a.JPG"),
        ("labels/a.jpg.txt", "images/a.jpg"),
        ("labels/IMG_1.txt", "images/img_1.jpg"),
        ("labels/a b.v2 (1).txt", "images/a b.v2 (1).jpg"),
        ("images/a.txt", "images/a.jpg"),
        ("labels/a.txt", "images/north/a.jpg"),
        ("labels/train/a.txt", "images/a.jpg"),
        ("train_labels/a.txt", "train_images/a.jpg"),
        ("bboxes/txt/a.txt", "pictures/a.jpg"),
        ("train/labels/a.txt", "train/a.jpg"),
        ("labels/training/a.txt", "images/train/a.jpg"),
    ],
)
def test_labels_are_found_where_people_put_them(label: str, image: str, tmp_path: Path) -> None:
    picture(tmp_path / Path(image).with_suffix(".png"), 0).rename(tmp_path / image)
    picture(tmp_path / "masks" / Path(image).name, 1)  # what is no picture of the set
    written(tmp_path / label, LINE)
    (entry,) = read(tmp_path, classes=("cat", "dog")).entries
    assert entry.targets == {"objects": [BOX]}


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("train/labels/a.txt", "valid/images/a.jpg"),
        ("labels/north/a.txt", "images/south/a.jpg"),
        ("north/a.txt", "south/a.jpg"),
    ],
)
def test_labels_are_not_given_to_another_image_of_the_same_name(label: str, image: str, tmp_path: Path) -> None:
    picture(tmp_path / image, 0)
    for path in (image, label):
        other = Path(path).with_stem("b").with_suffix(".jpg")
        picture(tmp_path / other, 1)
    written(tmp_path / label, LINE)
    found = read(tmp_path, classes=("cat", "dog"))
    assert [problem.file for problem in found.problems] == [label]
    assert {e.id: e.targets for e in found.entries}[image.removeprefix("images/").rsplit(".")[0]] == {}


def test_images_beside_labels_are_not_taken_for_masks(tmp_path: Path) -> None:
    for i, folder in enumerate(("mask", "no mask")):
        picture(tmp_path / folder / f"{i}.png", i)
        written(tmp_path / folder / f"{i}.txt", LINE)
    found = read(tmp_path, classes=("cat", "dog"))
    assert {entry.id: entry.targets for entry in found.entries} == {
        n: {"objects": [BOX]} for n in ("mask/0", "no mask/1")
    }


def test_two_label_files_of_one_image_are_a_problem(tmp_path: Path) -> None:
    scene(tmp_path)
    written(tmp_path / "old" / "a.txt", "0 0.5 0.5 0.1 0.1\n")
    found = read(tmp_path, classes=("cat", "dog"))
    assert [problem.file for problem in found.problems] == ["old/a.txt"]
    assert found.entries[0].targets == {"objects": [BOX]}


def test_other_texts_are_left_to_the_account(tmp_path: Path) -> None:
    scene(tmp_path)
    written(tmp_path / "thoughts.txt", "label the rest\n")
    found = read(tmp_path, classes=("cat", "dog"))
    assert not found.problems
    assert "thoughts.txt" not in found.documents | found.left_out.keys()


# Lines


@pytest.mark.parametrize(
    ("line", "box", "note"),
    [
        ("1 0.5 0.5 0.25 0.5", BOX, None),
        ("1\t0.5  0.5 0.25 0.5  ", BOX, None),
        ("1.0 0.5 0.5 0.25 0.5", BOX, None),
        ("1 0.5 0.5 0.25 0.5 0.93", BOX, "boxes with a confidence"),
        ("1 0.375 0.25 0.625 0.25 0.625 0.75 0.375 0.75", BOX, "outlines"),  # an oriented box
        ("1 0.375 0.25 0.625 0.25 0.5 0.75", BOX, "outlines"),
        ("1 0.375 0.25 0.625 0.25 0.5 0.75 0.87", BOX, "outlines with a confidence"),
        ("1 0.5 0.5 0.25 0.5 0.45 0.5 2 0.52 0.4 0 0.5 0.6 1", BOX, "poses"),
        ("1 0.5 0.5 1.0001 1.0", [0, 0, 64, 48, 1], None),
        ("1 0.9 0.5 0.3 0.5", [48, 12, 64, 36, 1], "boxes that reach beyond their picture"),
    ],
)
def test_a_line_is_the_box_that_it_says(line: str, box: list[float], note: str | None, tmp_path: Path) -> None:
    found = read(scene(tmp_path, line + "\n"), classes=("cat", "dog"))
    assert not found.problems
    assert np.allclose(found.entries[0].targets["objects"], [box])
    assert note is None or notes(found)[note] == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1 320 240 64 48", "in pixels"),
        ("1 10 10 40 10 40 40", "in pixels"),
        ("1 0.5 0.5 0.2 0.2 1.57", "no confidence"),
        ("1 0.5 -0.5 0.2 0.2", "negative"),
        ("1 0.5 0.5 0.2", "no box"),
        ("1 0.5 0.5 nan 0.2", "no box"),
        ("1 0.5 half 0.2 0.2", "not numbers"),
        ("1,0.5,0.5,0.2,0.2", "no box"),
        ("7 0.5 0.5 0.2 0.2", "unknown class"),
        ("-1 0.5 0.5 0.2 0.2", "unknown class"),
        ("1.5 0.5 0.5 0.2 0.2", "unknown class"),
        ("cow 0.5 0.5 0.2 0.2", "unknown class"),
        ("1 0.5 0.5 0 0.2", "no area"),
    ],
)
def test_a_line_that_cannot_be_used_costs_itself(line: str, reason: str, tmp_path: Path) -> None:
    found = read(scene(tmp_path, f"0 0.5 0.5 0.5 0.5\n{line}\n"), classes=("cat", "dog"))
    (problem,) = found.problems
    assert reason in problem.reason
    assert "labels/a.txt" in problem.reason
    assert problem.loses == "annotation"
    assert found.entries[0].targets == {"objects": [[16.0, 12.0, 48.0, 36.0, 0.0]]}


def test_an_image_with_only_unusable_lines_is_not_background(tmp_path: Path) -> None:
    scene(tmp_path, "1 320 240 64 48\n")
    found = read(scene(tmp_path, LINE, "b", 1), classes=("cat", "dog"))
    lost = {problem.id for problem in found.problems if problem.loses == "image"}
    assert lost == {"a"}
    assert {e.id: e.targets for e in found.entries} == {"a": {}, "b": {"objects": [BOX]}}


def test_a_line_that_says_the_same_again_is_left_out(tmp_path: Path) -> None:
    found = read(scene(tmp_path, LINE + "1 0.50 0.5 0.25 0.5\n" + LINE), classes=("cat", "dog"))
    assert found.entries[0].targets == {"objects": [BOX]}
    assert notes(found) == {"lines that say the same again": 2}


def test_keypoints_are_told_from_outlines_by_what_data_yaml_says(tmp_path: Path) -> None:
    line = "0 0.5 0.5 0.25 0.5 " + " ".join(["0.45 0.5"] * 4)  # 13 words: an outline of six corners, but for kpt_shape
    scene(tmp_path, line)
    written(tmp_path / "data.yaml", "names: [cat]\nkpt_shape: [4, 2]\n")
    found = read(tmp_path)
    assert found.entries[0].targets == {"objects": [[*BOX[:4], 0.0]]}
    assert "poses" in notes(found)


def test_outlines_become_masks_and_joined_rings_two_regions(tmp_path: Path) -> None:
    """As converters from COCO write an object of two parts: one line, with a seam without width."""
    seam = "0 0.125 0.25 0.375 0.25 0.375 0.75 0.125 0.75 0.125 0.25 0.625 0.25 0.875 0.25 0.875 0.75 0.625 0.75 0.625 0.25 0.125 0.25"
    found = read(scene(tmp_path, f"{seam}\n1 0.5 0.05 0.25 0.1\n"), classes=("cat", "dog"), masks="regions")
    assert found.targets["regions"].classes == ("background", "cat", "dog")
    regions = decode_mask(found.entries[0].targets["regions"], 3, (), (255,))
    assert regions[24, 15] == regions[24, 50] == 1
    assert regions[24, 32] == 0
    assert set(np.unique(regions[:5, 24:40])) == {255}  # a box says nothing of its pixels
    assert found.entries[0].targets["objects"][0] == [8.0, 12.0, 56.0, 36.0, 0.0]


def test_masks_are_proposed_where_all_lines_are_outlines(tmp_path: Path) -> None:
    ultralytics(tmp_path)
    for split, number in SPLITS.items():
        for i in range(number):
            picture(tmp_path / "images" / split / f"{i}.jpg", 10 * len(split) + i)
            written(
                tmp_path / "labels" / split / f"{i}.txt",
                "0 0.2 0.2 0.8 0.2 0.5 0.8\n1 0.1 0.1 0.2 0.1 0.2 0.3 0.1 0.3 0.05 0.2\n",
            )
    assert _own(propose(str(tmp_path)))["masks"] == "regions"
    for path in tmp_path.rglob("labels/*/*.txt"):
        path.write_text("0 0.2 0.2 0.8 0.2 0.8 0.8 0.2 0.8\n")
    assert _own(propose(str(tmp_path)))["masks"] == "regions"
    for path in tmp_path.rglob("labels/*/*.txt"):
        path.write_text("0 0.2 0.3 0.7 0.2 0.8 0.7 0.3 0.8\n")  # oriented boxes: no outlines of what is in them
    assert "masks" not in _own(propose(str(tmp_path)))
    for path in tmp_path.rglob("labels/*/*.txt"):
        path.write_text("0 0.5 0.5 0.4 0.4 0.4 0.6 2 0.5 0.5 1\n")  # two keypoints each
    assert "masks" not in _own(propose(str(tmp_path)))


def test_lines_of_dota_are_read_where_labels_stand(tmp_path: Path) -> None:
    """Roboflow's YOLOv5 with oriented boxes: corners in pixels, the class's name, and whether it is difficult."""
    for i in range(22):
        picture(tmp_path / "train" / "images" / f"{i}.jpg", i)
        written(
            tmp_path / "train" / "labelTxt" / f"{i}.txt",
            f"imagesource:x\ngsd:0.1\n24 12 40 12 40 36 24 36 dog {int(i == 0)}\n",
        )
    written(tmp_path / "data.yaml", "train: ../train/images\nnc: 2\nnames: ['cat', 'dog']\n")
    found = {entry.id: entry.targets["objects"] for entry in read(tmp_path).entries}
    assert found["train/images/1"] == [BOX]
    assert found["train/images/0"] == [[*BOX, 2.0]]


def test_a_turned_photograph_is_labelled_as_it_is_shown(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "a.jpg", 0, 100, 50, exif=exif)
    written(tmp_path / "a.txt", "0 0.5 0.3 0.4 0.2\n")
    assert np.allclose(read(tmp_path, classes=("x",)).entries[0].targets["objects"], [[15, 20, 35, 40, 0]])


# Classes


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("names: [cat, dog]", ("cat", "dog")),
        ("names: {1: dog, 0: cat}", ("cat", "dog")),
        ("names:\n  '0': 'cat '\n  '1': dog", ("cat", "dog")),
        ("nc: 2", ("class_0", "class_1")),
        ("nc: 2\nnames: [no, 007]", ("no", "007")),
        ("nc: 3\nnames: [cat, dog]", None),
        ("names: [cat, '']", None),
        ("names: [cat, [dog]]", None),
        ("names: {cat: 0, dog: 1}", None),
        ("names: 12", None),
        ("names: [cat, dog", None),
        ("names: [cat, dog]\ntrain: {a: b}", None),
        ("names: [cat, dog]\nkpt_shape: many", None),
    ],
)
def test_names_are_as_data_yaml_has_them(names: str, classes: tuple[str, ...] | None, tmp_path: Path) -> None:
    scene(tmp_path, "0 0.5 0.5 0.1 0.1\n" + LINE)
    written(tmp_path / "data.yaml", names + "\n")
    if classes is None:
        with pytest.raises(DataError, match=r"data\.yaml"):
            read(tmp_path)
    else:
        assert read(tmp_path).targets["objects"].classes == classes


def test_numbers_of_classes_may_have_gaps(tmp_path: Path) -> None:
    scene(tmp_path, "2 0.5 0.5 0.25 0.5\n3 0.5 0.5 0.1 0.1\n")
    written(tmp_path / "data.yaml", "names: {2: cat, 7: dog}\n")
    found = read(tmp_path)
    assert found.entries[0].targets == {"objects": [[*BOX[:4], 0.0]]}
    assert "one of [2, 7]" in reasons(found)[0]


@pytest.mark.parametrize("names", ["names: [cat, dog]\n", "names: [cat]\n"])
def test_lines_that_count_classes_from_one_are_refused(names: str, tmp_path: Path) -> None:
    last = names.count(",") + 1
    scene(tmp_path, f"1 0.5 0.5 0.1 0.1\n{last} 0.2 0.2 0.1 0.1\n")
    written(tmp_path / "data.yaml", names)
    with pytest.raises(DataError, match="from 1"):
        read(tmp_path)
    scene(tmp_path, "0 0.5 0.5 0.1 0.1\n", "b", 1)
    assert "unknown class" in reasons(read(tmp_path))[0]  # now it is a line with another class than there are


def test_declared_classes_take_and_order_those_of_the_file(tmp_path: Path) -> None:
    scene(tmp_path, "0 0.5 0.5 0.1 0.1\n" + LINE + "2 0.5 0.5 0.1 0.1\n")
    written(tmp_path / "data.yaml", "names: [cat, dog, cow]\n")
    found = read(tmp_path, classes=("dog", "cow", "horse"))
    assert found.targets["objects"].classes == ("dog", "cow", "horse")
    assert [box[4] for box in found.entries[0].targets["objects"]] == [0.0, 1.0]
    assert notes(found)["annotations of classes that are not declared"] == 1
    with pytest.raises(DataError, match="none of the declared classes"):
        read(tmp_path, classes=("boat",))


def test_files_that_contradict_each_other_are_refused_or_named(tmp_path: Path) -> None:
    scene(tmp_path)
    written(tmp_path / "data.yaml", "names: [cat, dog]\n")
    written(tmp_path / "labels" / "classes.txt", "dog\ncat\n")
    assert sum("data.yaml contradicts" in note for note in read(tmp_path).notes) == 1
    written(tmp_path / "other.yaml", "names: [dog, cat]\n")
    with pytest.raises(DataError, match="two files declare different classes"):
        read(tmp_path)
    assert read(tmp_path, data="other.yaml").targets["objects"].classes == ("dog", "cat")
    with pytest.raises(DataError, match="is not there"):
        read(tmp_path, data="third.yaml")


def test_a_model_is_no_data_set(tmp_path: Path) -> None:
    scene(tmp_path)
    written(tmp_path / "data.yaml", "names: [cat, dog]\n")
    written(tmp_path / "yolov8n.yaml", "nc: 80\nbackbone:\n  - [-1, 1, Conv, [64, 3, 2]]\n")
    assert read(tmp_path).targets["objects"].classes == ("cat", "dog")


def test_an_encoding_can_be_declared(tmp_path: Path) -> None:
    scene(tmp_path)
    (tmp_path / "classes.txt").write_bytes("猫\n狗\n".encode("gb2312"))
    with pytest.raises(DataError, match="not UTF-8"):
        read(tmp_path)
    assert read(tmp_path, encoding="gb2312").targets["objects"].classes == ("猫", "狗")


# Splits


def test_the_same_images_for_two_splits_are_in_none(tmp_path: Path) -> None:
    """As in COCO128, which is for trying out: training and validation are the same folder."""
    for i in range(4):
        scene(tmp_path, LINE, str(i), i)
    written(tmp_path / "data.yaml", "train: images\nval: images\nnames: [cat, dog]\n")
    assert {entry.split for entry in read(tmp_path).entries} == {None}


def test_an_image_in_two_lists_is_not_trained_on(tmp_path: Path) -> None:
    for i in range(4):
        scene(tmp_path, LINE, str(i), i)
    written(tmp_path / "train.txt", "images/0.png\nimages/1.png\nimages/2.png\nimages/gone.png\n")
    written(tmp_path / "val.txt", "images/2.png\n")
    written(tmp_path / "data.yaml", "train: train.txt\nval: val.txt\nnames: [cat, dog]\n")
    found = read(tmp_path)
    assert {entry.id: entry.split for entry in found.entries} == {"0": "train", "1": "train", "2": "val"}
    assert found.left_out == dict.fromkeys(("images/3.png", "labels/3.txt"), "in none of the lists of images")
    assert notes(found)["images in two splits"] == 1
    assert "gone.png" in found.problems[0].reason


def test_lists_tell_images_of_one_name_in_two_splits_apart(tmp_path: Path) -> None:
    for i, split in enumerate(("train", "val")):
        scene(tmp_path, LINE, f"{split}/{split}", i)
    written(tmp_path / "train.txt", "images/train/train.png\nimages/train/val.png\n")
    written(tmp_path / "data.yaml", "train: train.txt\nval: images/val\nnames: [cat, dog]\n")
    found = read(tmp_path)
    assert {entry.id: entry.split for entry in found.entries} == {"train/train": "train", "val/val": "val"}
    assert "in another split" in found.problems[0].reason


def test_a_list_that_nobody_declares_leaves_no_image_out(tmp_path: Path) -> None:
    for i in range(4):
        scene(tmp_path, LINE, str(i), i)
    written(tmp_path / "test.txt", "images/3.png\n")
    written(tmp_path / "classes.txt", "cat\ndog\n")
    found = read(tmp_path)
    assert {entry.id: entry.split for entry in found.entries} == {"0": None, "1": None, "2": None, "3": "test"}
    written(tmp_path / "data.yaml", "train: images\nnames: [cat, dog]\n")
    assert read(tmp_path).left_out == {"test.txt": "a list of images that data.yaml does not name"}


def test_a_split_that_is_not_there_is_said(tmp_path: Path) -> None:
    roboflow(tmp_path)
    picture(tmp_path / "train" / "images" / "a.jpg", 0)
    written(tmp_path / "train" / "labels" / "a.txt", LINE)
    found = read(tmp_path)
    assert {e.split for e in found.entries} == {"train"}
    assert "data.yaml names test: ../test/images, which is not there" in found.notes


# Detection


def test_two_sets_side_by_side_are_two_sets(tmp_path: Path) -> None:
    for place, name in enumerate(("north", "south")):
        for i in range(12):
            scene(tmp_path / name, LINE, str(i), 100 * place + i)
        written(tmp_path / name / "data.yaml", f"path: {name}\ntrain: images\nval: images\nnames: [cat, dog]\n")
    written(tmp_path / "south" / "data.yaml", "train: images\nnames: [cat, dog]\n")
    proposal = propose(str(tmp_path))
    assert {name: section["data"] for name, section in proposal.source["sets"].items()} == {
        "north": "north/data.yaml",
        "south": "south/data.yaml",
    }
    written(tmp_path / "south" / "data.yaml", "train: images\nnames: [cow]\n")
    with pytest.raises(DataError, match="two files declare different classes"):
        propose(str(tmp_path))


def test_names_without_labels_are_refused_by_name(tmp_path: Path) -> None:
    ultralytics(tmp_path)
    for i in range(12):
        picture(tmp_path / "images" / "train" / f"{i}.jpg", i)
    with pytest.raises(DataError, match="no image has a text file of labels"):
        propose(str(tmp_path))


def test_labels_without_names_of_classes_are_refused_by_name(tmp_path: Path) -> None:
    for i in range(12):
        scene(tmp_path, LINE, str(i), i)
    with pytest.raises(DataError, match=r"looks like yolo(.|\n)*does not say its classes' names"):
        propose(str(tmp_path))


@pytest.mark.parametrize("text", ["a photograph of a cat\n", "3\n", "12.5 13.5 14.5\n", "cat dog bird cow horse\n"])
def test_other_texts_beside_images_are_not_yolo(text: str, tmp_path: Path) -> None:
    for i in range(12):
        picture(tmp_path / "cat" / f"{i}.jpg", i)
        written(tmp_path / "cat" / f"{i}.txt", text)
        picture(tmp_path / "dog" / f"{i}.jpg", 50 + i)
    assert propose(str(tmp_path)).format == "image_folder"


# Damage

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = st.floats() | st.integers(-2, 3) | st.sampled_from([0.5, 1.0001, 1e300, 10**400])


@many
@given(
    label=st.binary(max_size=60) | st.lists(NUMBERS, max_size=12).map(lambda n: " ".join(map(str, n)).encode()),
    names=st.binary(max_size=80) | st.text(max_size=60).map(lambda t: f"names: {t}".encode()),
)
def test_anything_in_labels_and_names_is_a_box_or_a_problem(tmp_path: Path, label: bytes, names: bytes) -> None:
    scene(tmp_path)
    (tmp_path / "labels" / "a.txt").write_bytes(label)
    (tmp_path / "data.yaml").write_bytes(names)
    try:
        found = read(tmp_path, masks="regions")
    except DataError:
        return
    for entry in found.entries:
        for box in entry.targets.get("objects", []):
            assert np.isfinite(box).all()
            assert box[4] in range(len(found.targets["objects"].classes))
    assert found.entries[0].targets or any(problem.loses == "image" for problem in found.problems)
