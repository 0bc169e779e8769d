"""Pascal VOC as people bring it: layouts, what XML files say of their image, pixels from 1 or 0, and masks by label maps."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mtl.codecs.maps import decode_mask
from mtl.config.files import VocSet
from mtl.data.formats import Entry, Reading
from mtl.data.formats.voc import read_voc
from mtl.data.formats.voc_classes import VOC, palette_colour
from mtl.data.onboard.propose import propose
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.data.drawn import picture, written
from tests.data.test_account import adds_up
from tests.data.test_propose import run

SPLITS = {"train": 8, "val": 4, "test": 4}
DOG = [24.0, 12.0, 40.0, 36.0]
"""The box of `dog()` from the corner of the first pixel."""


def thing(name: str, corners: tuple[Any, ...] = (25, 13, 40, 36), extra: str = "") -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    return f"<object><name>{name}</name>{extra}<bndbox>{''.join(f'<{k}>{v}</{k}>' for k, v in sides)}</bndbox></object>"


def dog(**more: Any) -> str:
    return thing("dog", **more)


def xml(
    *objects: str, name: str = "a.png", size: str = "<size><width>64</width><height>48</height><depth>3</depth></size>"
) -> str:
    return f"<annotation><folder>x</folder><filename>{name}</filename>{size}{''.join(objects)}</annotation>"


def read(folder: Path, **chosen: Any) -> Reading:
    return read_voc(VocSet(format="voc", path=str(folder), **chosen), FileTree(str(folder)))


def scene(folder: Path, annotation: str | bytes | None, name: str = "a", seed: int = 0, **size: int) -> Path:
    """A picture in JPEGImages with its XML file."""
    picture(folder / "JPEGImages" / f"{name}.png", seed, **size)
    if annotation is not None:
        path = folder / "Annotations" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(annotation if isinstance(annotation, bytes) else annotation.encode())
    return folder


def boxes(reading: Reading) -> dict[str, list[list[float]] | None]:
    return {entry.id: entry.targets.get("objects") for entry in reading.entries}


def notes(reading: Reading) -> dict[str, int]:
    """Counts by the first words of a note, up to a comma."""
    return {what.split(",")[0]: number for what, number in reading.notes.items()}


# Layouts. Each writes the pictures and XML files of three splits, and gives the names by split.

Layout = Callable[[Path], None]


def _each(folder: Path, image: str, annotation: str, filename: str = "{name}.jpg") -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    seed = 0
    for split, number in SPLITS.items():
        for i in range(number):
            seed += 1
            name, words = f"{split} {i}", {"split": split, "valid": split.replace("val", "valid"), "seed": seed}
            picture(folder / image.format(name=name, **words), seed)
            written(
                folder / annotation.format(name=name, **words), xml(dog(), name=filename.format(name=name, **words))
            )
            names.setdefault(split, []).append(name)
    return names


def _lists(folder: Path, names: dict[str, list[str]], line: str = "{name}") -> None:
    for split, found in names.items():
        written(folder / f"{split}.txt", "\n".join(line.format(name=name) for name in found) + "\n")


def development_kit(folder: Path) -> None:
    """As the challenge's own archive is laid out, with lists of each class."""
    root = folder / "VOCdevkit" / "VOC2012"
    names = _each(root, "JPEGImages/{name}.jpg", "Annotations/{name}.xml")
    every = names | {"trainval": names["train"] + names["val"]}
    _lists(root / "ImageSets" / "Main", every)
    _lists(root / "ImageSets" / "Layout", {"train": [f"{name} 1" for name in names["val"]]})
    for split, found in every.items():
        written(
            root / "ImageSets" / "Main" / f"dog_{split}.txt",
            "".join(f"{name}  {i % 2 * 2 - 1}\n" for i, name in enumerate(found)),
        )


def two_years(folder: Path) -> None:
    for year, split in (("VOC2007", "train"), ("VOC2012", "val"), ("VOC2013", "test")):
        names = [f"{i:06d}" for i in range(SPLITS[split])]
        for i, name in enumerate(names):
            picture(folder / year / "JPEGImages" / f"{name}.jpg", i + 10 * len(split) + int(year[-1]))
            written(folder / year / "Annotations" / f"{name}.xml", xml(dog(), name=f"{name}.jpg"))
        written(folder / year / "ImageSets" / "Main" / f"{split}.txt", "\n".join(names))


def kaggle(folder: Path) -> None:
    names = _each(folder, "images/{name}.jpg", "annotations/{name}.xml")
    _lists(folder, names, "images/{name}.jpg")


def roboflow(folder: Path) -> None:
    _each(folder, "{valid}/{name}.jpg", "{valid}/{name}.xml")


def folders_in_splits(folder: Path) -> None:
    _each(folder, "{split}/images/{name}.jpg", "{split}/Annotations/{name}.xml")


def folders_of_splits(folder: Path) -> None:
    _each(folder, "JPEGImages/{split}2017/{name}.jpg", "Annotations/{split}2017/{name}.xml")


def named_by_the_file(folder: Path) -> None:
    """XML files with numbers, that name their image."""
    names = _each(folder, "JPEGImages/{name}.jpg", "Annotations/{seed:05d}.xml")
    _lists(folder / "ImageSets" / "Main", names)


def path_of_another_machine(folder: Path) -> None:
    names = _each(folder, "images/{name}.jpg", "xmls/{seed:05d}.xml", "C:\\Users\\me\\photos\\{name}.jpg")
    _lists(folder, names)


def pets(folder: Path) -> None:
    """Oxford's pets: XML files and trimaps below annotations, numbers behind the names in lists."""
    names = _each(folder, "images/{name}.jpg", "annotations/xmls/{name}.xml")
    _lists(folder / "annotations", names, "{name} 1 1 1")
    for split in names:
        for name in names[split]:
            picture(folder / "annotations" / "trimaps" / f"{name}.png", 0)


def vott(folder: Path) -> None:
    """VoTT lists images by class alone, with their extensions, and writes places with many decimals."""
    names = _each(folder, "JPEGImages/{name}.jpg", "Annotations/{name}.xml")
    for path in (folder / "Annotations").iterdir():
        path.write_text(xml(dog(corners=("24.000000", "12.000000", "40.000000", "36.000000")), name=f"{path.stem}.jpg"))
    for split, found in names.items():
        written(folder / "ImageSets" / "Main" / f"dog_{split}.txt", "".join(f"{name}.jpg 1\n" for name in found))
    written(folder / "pascal_label_map.pbtxt", "item {\n id: 1\n name: 'dog'\n}\n")


def fiftyone(folder: Path) -> None:
    names = _each(folder, "data/{split}/{name}.jpg", "labels/{split}/{name}.xml")
    assert names


LAYOUTS = [
    *(vott, fiftyone),
    *(development_kit, two_years, kaggle, roboflow, folders_in_splits, folders_of_splits, named_by_the_file),
    *(path_of_another_machine, pets),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_proposed_with_its_splits_and_boxes(layout: Layout, tmp_path: Path) -> None:
    layout(tmp_path / "given")
    proposal = propose(str(tmp_path / "given"))
    assert proposal.format == "voc"
    splits, account = run(proposal, tmp_path)
    assert {split: len(ids) for split, ids in splits.items()} == SPLITS
    assert layout is two_years or all(i.split("/")[-1].startswith(s) for s, ids in splits.items() for i in ids)
    (files,) = account.files
    assert adds_up(files)
    assert files.unaccounted.number == (16 if layout is pets else 0)  # the trimaps
    assert files.problems == 0
    (section,) = proposal.source["sets"].values()
    found = read_voc(VocSet.model_validate(section), FileTree(section["path"]))
    assert {tuple(box) for rows in boxes(found).values() for box in rows or ()} == {(*DOG, 0.0)}


# What a file says


def test_an_empty_file_means_no_objects_and_no_file_unknown(
    tmp_path: Path,
) -> None:
    for i, annotation in enumerate((xml(dog()), xml(), None)):
        scene(tmp_path, annotation, str(i), i)
    found = read(tmp_path)
    assert boxes(found) == {"0": [[*DOG, 0.0]], "1": [], "2": None}
    assert notes(found) == {"images without an XML file": 1}


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        (thing("", (2, 3, 4, 5)), "no name"),
        (thing("cat", (20, 3, 4, 5)), "ends before it begins"),
        (thing("cat", ("a", 3, 4, 5)), "no number"),
        (thing("cat", ("inf", 3, 4, 5)), "not finite"),
        (thing("cat", (200, 300, 240, 340)), "outside the picture"),
        ("<object><name>cat</name></object>", "no bndbox"),
        ("<object><name>cat</name><robndbox><cx>9</cx><cy>9</cy><w>4</w><h>4</h><angle>1</angle></robndbox></object>", "roLabelImg"),
        ("<object><name>cat</name><polygon><x1>1</x1><y1>2</y1><x2>3</x2></polygon></object>", "no number"),
    ],
)  # fmt: skip
def test_an_object_that_cannot_be_used_costs_itself(objects: str, reason: str, tmp_path: Path) -> None:
    found = read(scene(tmp_path, xml(dog(), objects)), classes=("cat", "dog"))
    (problem,) = found.problems
    assert reason in problem.reason
    assert problem.loses == "annotation"
    assert boxes(found) == {"a": [[*DOG, 1.0]]}


def test_declared_classes_take_and_order_names(tmp_path: Path) -> None:
    found = read(scene(tmp_path, xml(dog(), thing("cat"))), classes=("cow", "dog"))
    assert boxes(found) == {"a": [[*DOG, 1.0]]}
    assert notes(found) == {"annotations of classes that are not declared": 1}
    with pytest.raises(DataError, match="cat, dog"):
        read(tmp_path, classes=("Dog",))


def test_why_there_is_no_object_is_said(tmp_path: Path) -> None:
    scene(tmp_path, xml("<object><name>cat</name><robndbox><cx>9</cx></robndbox></object>"))
    with pytest.raises(DataError, match=r"no classes(.|\n)*roLabelImg"):
        read(tmp_path)


def test_an_image_with_only_unusable_objects_is_not_background(tmp_path: Path) -> None:
    scene(tmp_path, xml("<object><name>dog</name></object>"))
    found = read(scene(tmp_path, xml(dog()), "b", 1))
    assert {problem.id for problem in found.problems if problem.loses == "image"} == {"a"}
    assert boxes(found) == {"a": None, "b": [[*DOG, 0.0]]}


@pytest.mark.parametrize(
    "encoding", ["utf-8", "UTF8", "iso-8859-1", "gb2312", "GBK", "shift_jis", "windows-1252", "utf-16"]
)
def test_the_encoding_that_a_file_declares_is_read(encoding: str, tmp_path: Path) -> None:
    name = {"gb2312": "狗", "GBK": "狗", "shift_jis": "犬", "utf-16": "狗"}.get(encoding, "Größe")
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n{xml(thing(name))}'
    found = read(scene(tmp_path, text.encode(encoding)))
    assert found.targets["objects"].classes == (name,)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'<?xml version="1.0" encoding="unicode"?>' + xml(dog()).encode(), "not known"),
        (b'<?xml version="1.0" encoding="rot13"?>' + xml(dog()).encode(), "not known"),
        (b'<?xml version="1.0" encoding="utf-16"?>' + xml(dog()).encode(), "and is not"),
        (b'<?xml version="1.0" encoding="utf-8"?>' + xml(thing("Größe")).encode("latin-1"), "not utf-8"),
        (xml(thing("Größe")).encode("latin-1"), "not UTF-8"),
        (xml(dog())[:-20].encode(), "not XML"),
        (b"", "not XML"),
        (b"<annotations></annotations>", "not Pascal VOC's"),
        ('<!DOCTYPE a [<!ENTITY x "y">]>' + xml(dog()), "entities"),
        (('<!DOCTYPE a [<!ENTITY x "y">]>' + xml(dog())).encode("utf-16"), "entities"),
    ],
)
def test_a_file_that_cannot_be_read_costs_its_image_and_is_named(
    data: bytes | str, reason: str, tmp_path: Path
) -> None:
    scene(tmp_path, data)
    found = read(scene(tmp_path, xml(dog()), "b", 1))
    assert {problem.file for problem in found.problems} == {"Annotations/a.xml", ""}
    assert all(reason in problem.reason for problem in found.problems)
    assert {problem.id for problem in found.problems if not problem.file} == {"a"}
    assert boxes(found) == {"a": None, "b": [[*DOG, 0.0]]}


@pytest.mark.parametrize(
    ("first", "chosen", "box"),
    [
        ((1, 1, 64, 48), None, [0, 0, 64, 48]),
        ((5, 5, 5, 5), None, [4, 4, 5, 5]),  # one pixel
        ((2.5, 3, 10.25, 9), None, [1.5, 2, 10.25, 9]),
        ((2, 3, 10, 9), 0, [2, 3, 10, 9]),
        ((0, 0, 10, 9), 1, [0, 0, 10, 9]),  # cut off at the border
    ],
)
def test_pixels_are_counted_from_one(first: tuple[float, ...], chosen: Any, box: list[float], tmp_path: Path) -> None:
    found = read(scene(tmp_path, xml(dog(corners=first))), first_pixel=chosen)
    assert boxes(found) == {"a": [[*box, 0.0]]}


def test_a_box_at_zero_means_pixels_count_from_zero(tmp_path: Path) -> None:
    scene(tmp_path, xml(dog(corners=(0, 8, 10, 20))))
    found = read(scene(tmp_path, xml(dog(corners=(5, 6, 15, 16))), "b", 1))
    assert boxes(found) == {"a": [[0, 8, 10, 20, 0]], "b": [[5, 6, 15, 16, 0]]}
    assert notes(found)["boxes that begin at 0"] == 1


def test_boxes_that_all_have_decimals_are_places_and_no_pixels(tmp_path: Path) -> None:
    """As CVAT, labelme and VoTT write them; VOC's own are whole, but for a few."""
    scene(tmp_path, xml(dog(corners=(24.0, 12.0, 40.0, 36.0))))
    found = read(scene(tmp_path, xml(dog(corners=(5.25, 6.0, 15.0, 16.5))), "b", 1))
    assert boxes(found) == {"a": [[*DOG, 0]], "b": [[5.25, 6, 15, 16.5, 0]]}
    assert boxes(read(tmp_path, first_pixel=1))["a"] == [[23, 11, 40, 36, 0]]


@pytest.mark.parametrize(
    ("size", "picture_size", "scale"),
    [
        ("<size><width>0</width><height>0</height></size>", (64, 48), 1.0),
        ("", (64, 48), 1.0),
        ("<size><width>wide</width><height/></size>", (64, 48), 1.0),
        ("<size><width>64</width><height>48</height></size>", (32, 24), 0.5),
    ],
)
def test_boxes_lie_where_the_declared_size_says(
    size: str, picture_size: tuple[int, int], scale: float, tmp_path: Path
) -> None:
    width, height = picture_size
    found = read(scene(tmp_path, xml(dog(), size=size), width=width, height=height))
    assert boxes(found) == {"a": [[*(side * scale for side in DOG), 0.0]]}


def test_difficult_objects_do_not_count_unless_they_are_chosen(tmp_path: Path) -> None:
    for i in range(20):
        scene(tmp_path, xml(dog(extra=f"<difficult>{int(i < 4)}</difficult><truncated>1</truncated>")), f"{i:02d}", i)
    assert boxes(read(tmp_path))["00"] == [[*DOG, 0.0, 2.0]]
    assert boxes(read(tmp_path))["10"] == [[*DOG, 0.0]]
    assert boxes(read(tmp_path, difficult=True))["00"] == [[*DOG, 0.0]]


def test_parts_of_an_object_are_none(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>26</xmin><ymin>14</ymin><xmax>30</xmax><ymax>18</ymax></bndbox></part>"
    assert boxes(read(scene(tmp_path, xml(dog(extra=part))))) == {"a": [[*DOG, 0.0]]}


OUTLINES = {
    "roboflow": "<polygon><x1>9</x1><y1>13</y1><x2>24</x2><y2>13</y2><x3>9</x3><y3>36</y3></polygon>",
    "labelme": "<polygon><pt><x>8</x><y>12</y></pt><pt><x>24</x><y>12</y></pt><pt><x>8</x><y>36</y></pt></polygon>",
}


@pytest.mark.parametrize("tool", OUTLINES)
def test_outlines_give_masks_and_boxes_where_there_are_none(tool: str, tmp_path: Path) -> None:
    """Roboflow counts pixels from 1 in both; LabelMe has no bndbox, and keeps what was deleted."""
    one = thing("dog", (9, 13, 24, 36), extra=OUTLINES[tool])
    bare = f"<object><name>dog</name>{OUTLINES[tool]}</object>"
    scene(tmp_path, xml(one if tool == "roboflow" else bare))
    deleted = "<object><name>dog</name><deleted>1</deleted></object>"
    found = read(scene(tmp_path, xml(deleted, dog()), "b", 1), masks="regions")
    assert boxes(found) == {"a": [[8, 12, 24, 36, 0]], "b": [[*DOG, 0]]}
    regions = [decode_mask(entry.targets["regions"], 2, (), (255,)) for entry in found.entries]
    assert regions[0][14, 10] == regions[0][12, 8] == 1
    assert regions[0][34, 22] == regions[0][12, 7] == 0
    assert set(np.unique(regions[1])) == {0, 255}


# Which image a file is of


def test_composed_and_decomposed_letters_are_the_same(tmp_path: Path) -> None:
    name = "Größe"
    picture(tmp_path / "images" / f"{unicodedata.normalize('NFC', name)}.png", 0)
    written(tmp_path / "annotations" / f"{unicodedata.normalize('NFD', name)}.xml", xml(dog(), name=f"{name}.png"))
    assert [*boxes(read(tmp_path)).values()] == [[[*DOG, 0.0]]]


def test_the_files_own_name_is_believed_before_the_name_in_it(tmp_path: Path) -> None:
    """Images and XML files were renamed together; what is written in them is what was."""
    scene(tmp_path, xml(dog(), name="b.png"))
    found = read(scene(tmp_path, xml(name="gone.png"), "b", 1))
    assert boxes(found) == {"a": [[*DOG, 0.0]], "b": []}
    assert notes(found)["XML files that name another image than that of their own name"] == 1


def test_the_extension_tells_images_of_the_same_name_apart(tmp_path: Path) -> None:
    scene(tmp_path, xml(dog(), name="a.jpg"))
    picture(tmp_path / "JPEGImages" / "a.jpg", 1)
    assert boxes(read(tmp_path)) == {"a": [[*DOG, 0.0]], "a.png": None}


def test_a_file_without_its_image_is_named(tmp_path: Path) -> None:
    scene(tmp_path, xml(dog()))
    written(tmp_path / "Annotations" / "gone.xml", xml(dog(), name="gone.png"))
    (problem,) = read(tmp_path).problems
    assert problem.file == "Annotations/gone.xml"
    assert "gone.xml is not there" in problem.reason


def test_two_files_of_one_image_agree_or_cost_it(tmp_path: Path) -> None:
    scene(tmp_path, xml(dog()))
    written(tmp_path / "old" / "a.xml", xml(dog()))
    found = read(tmp_path)
    assert not found.problems
    assert found.documents == {"Annotations/a.xml", "old/a.xml"}
    written(tmp_path / "old" / "a.xml", xml())
    (problem,) = read(tmp_path).problems
    assert "two XML files" in problem.reason


def test_unreadable_images_are_refused_and_folders_no_classes(tmp_path: Path) -> None:
    for i in range(20):
        name = f"{('north', 'south')[i % 2]}/{i}"
        picture(tmp_path / f"{name}.png", i)
        written(tmp_path / f"{name}.xml", '<?xml version="1.0" encoding="unicode"?>' + xml(dog()))
    with pytest.raises(DataError, match=r"looks like voc(.|\n)*not known"):
        propose(str(tmp_path))


def test_other_xml_is_left_to_the_account(tmp_path: Path) -> None:
    scene(tmp_path, xml(dog()))
    written(tmp_path / "settings.xml", "<settings/>")
    found = read(tmp_path)
    assert not found.problems
    assert "settings.xml" not in found.documents


# Lists


def test_images_in_no_list_are_left_out_with_their_files(tmp_path: Path) -> None:
    for i in range(3):
        scene(tmp_path, xml(dog()), str(i), i)
    written(tmp_path / "ImageSets" / "Main" / "train.txt", "0\n# a remark\n1\ngone\n")
    written(tmp_path / "ImageSets" / "Main" / "notes.txt", "whatever\n")
    found = read(tmp_path)
    assert {entry.id: entry.split for entry in found.entries} == {"0": "train", "1": "train"}
    assert found.left_out.keys() == {"JPEGImages/2.png", "Annotations/2.xml", "ImageSets/Main/notes.txt"}
    (problem,) = found.problems
    assert "gone" in problem.reason


def test_trainval_is_train_unless_another_list_has_the_image(tmp_path: Path) -> None:
    for i in range(4):
        scene(tmp_path, xml(dog()), str(i), i)
    written(tmp_path / "ImageSets" / "Main" / "trainval.txt", "0\n1\n2\n")
    written(tmp_path / "ImageSets" / "Main" / "val.txt", "2\n")
    written(tmp_path / "ImageSets" / "Main" / "test.txt", "3\n")
    assert {e.id: e.split for e in read(tmp_path).entries} == {"0": "train", "1": "train", "2": "val", "3": "test"}


# Masks


def segmented(
    folder: Path, pixels: np.ndarray, colours: list[str] | None = None, rgb: bool = False, number: int = 16
) -> None:
    """Pictures with boxes of a dog, and one mask for all: indices with a palette, or drawn in its colours."""
    for i in range(number):
        scene(folder, xml(dog()), f"{i:02d}", i)
        image = Image.fromarray(pixels, mode="P")
        flat = [int(c[k : k + 2], 16) for c in (colours or [palette_colour(n) for n in range(256)]) for k in (1, 3, 5)]
        image.putpalette(flat)
        path = folder / "SegmentationClass" / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        (image.convert("RGB") if rgb else image).save(path)


def drawn(dog_: int, other: int) -> np.ndarray:
    """A dog where its box is, something else beside, and a border that is not known."""
    pixels = np.zeros((48, 64), np.uint8)
    pixels[12:36, 24:40] = dog_
    pixels[12:36, 40:60] = other
    pixels[10:12] = 255
    return pixels


def classes_at(reading: Reading, folder: Path) -> dict[str, str | None]:
    """What the mask says in the dog's box, beside it, outside and on the border."""
    spec = reading.targets["regions"]
    value = reading.entries[0].targets["regions"]
    data = FileTree(str(folder)).read(value.name) if isinstance(value, FileRef) else value
    found = decode_mask(data, len(spec.classes), spec.values, spec.ignored)
    at = {"dog": found[20, 30], "beside": found[20, 50], "outside": found[2, 2], "border": found[11, 30]}
    return {where: None if index == 255 else spec.classes[index] for where, index in at.items()}


RIGHT = {"dog": "dog", "beside": "car", "outside": "background", "border": None}
MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:128,0,0::\ncar:0,128,0::\n"
COLOURS = ["#000000", "#800000", "#008000", *["#e0e0c0"] * 253]


@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize("name", ["labelmap.txt", "class_names.txt"])
def test_indices_and_colours_mean_what_the_label_map_says(name: str, rgb: bool, tmp_path: Path) -> None:
    segmented(tmp_path, drawn(1, 2), COLOURS if rgb or name == "labelmap.txt" else None, rgb)
    written(tmp_path / name, MAP if name == "labelmap.txt" else "_background_\ndog\ncar\n")
    found = read(tmp_path, masks="regions")
    assert found.targets["objects"].classes == ("dog", "car")
    assert classes_at(found, tmp_path) == RIGHT
    proposal = propose(str(tmp_path))
    assert set(proposal.tasks) == {"objects", "regions"}
    assert name in found.documents


def test_label_map_colours_win_over_reordered_indices(tmp_path: Path) -> None:
    """The palette has the map's classes in another order."""
    segmented(tmp_path, drawn(2, 1), ["#000000", "#008000", "#800000", *["#e0e0c0"] * 253])
    written(tmp_path / "labelmap.txt", MAP)
    assert classes_at(read(tmp_path, masks="regions"), tmp_path) == RIGHT


def test_a_map_without_colours_counts_from_its_background(tmp_path: Path) -> None:
    """labelme's: a class that is not known, which is -1, comes before the background."""
    segmented(tmp_path, drawn(1, 2))
    written(tmp_path / "labels.txt", "__ignore__\n_background_\ndog\ncar\n")
    assert classes_at(read(tmp_path, masks="regions"), tmp_path) == RIGHT


@pytest.mark.parametrize("lines", [("dog", "background", "car"), ("dog", "car")])
def test_background_comes_first_wherever_the_label_map_has_it(lines: tuple[str, ...], tmp_path: Path) -> None:
    """As datumaro, which writes CVAT's exports, counts; grey masks have no colours that would say so."""
    pixels = drawn(1, 2)
    segmented(tmp_path, pixels, COLOURS)
    for path in (tmp_path / "SegmentationClass").iterdir():
        Image.fromarray(pixels).save(path)
    colours = {"dog": "128,0,0", "background": "0,0,0", "car": "0,128,0"}
    written(tmp_path / "labelmap.txt", "".join(f"{name}:{colours[name]}::\n" for name in lines))
    assert classes_at(read(tmp_path, masks="regions"), tmp_path) == RIGHT


def test_a_list_of_other_names_is_no_label_map(tmp_path: Path) -> None:
    scene(tmp_path, xml(dog()))
    written(tmp_path / "labels.txt", "a.png 3\nb.png 4\n")
    found = read(tmp_path)
    assert found.targets["objects"].classes == ("dog",)
    assert found.left_out == {"labels.txt": "a list of classes that no object has"}


@pytest.mark.parametrize("value", [1, 128, 255])
def test_the_only_class_is_what_is_not_black(value: int, tmp_path: Path) -> None:
    segmented(tmp_path, drawn(1, 0))
    for path in (tmp_path / "SegmentationClass").iterdir():
        Image.fromarray(drawn(value, 0) * (np.arange(48)[:, None] >= 12).astype(np.uint8)).save(path)
    for path in (tmp_path / "Annotations").iterdir():
        path.write_text(xml(thing("lesion")))
    found = read(tmp_path, masks="regions")
    assert found.targets["regions"].classes == ("background", "lesion")
    assert classes_at(found, tmp_path) == {
        "dog": "lesion",
        "beside": "background",
        "outside": "background",
        "border": "background",
    }


def test_black_and_white_masks_are_what_the_label_map_says(tmp_path: Path) -> None:
    segmented(tmp_path, drawn(1, 0))
    for path in (tmp_path / "SegmentationClass").iterdir():
        Image.fromarray(drawn(255, 0) * (np.arange(48)[:, None] >= 12).astype(np.uint8)).save(path)
    written(tmp_path / "labelmap.txt", "background:0,0,0::\ndog:255,255,255::\n")
    assert classes_at(read(tmp_path, masks="regions"), tmp_path) == RIGHT | {
        "beside": "background",
        "border": "background",
    }


def test_the_challenges_own_classes_need_no_label_map(tmp_path: Path) -> None:
    segmented(tmp_path, drawn(1 + VOC.index("dog"), 1 + VOC.index("car")))
    found = read(tmp_path, masks="regions")
    assert classes_at(found, tmp_path) == RIGHT
    assert found.targets["objects"].classes == VOC


def test_masks_of_unexplained_values_are_refused(tmp_path: Path) -> None:
    """None of them is proposed."""
    segmented(tmp_path, drawn(1, 2))
    for i in range(16):
        written(tmp_path / "Annotations" / f"{i:02d}.xml", xml(thing("helmet"), thing("vest")))
    with pytest.raises(DataError, match="nothing says of which class"):
        read(tmp_path, masks="regions")
    found = read(tmp_path, masks="regions", classes=("vest", "helmet"))
    assert found.targets["regions"].classes == ("background", "vest", "helmet")
    proposal = propose(str(tmp_path))
    assert set(proposal.tasks) == {"objects"}
    assert any("SegmentationClass are not proposed" in fact for fact in proposal.facts)


def test_classes_that_are_left_out_do_not_count_in_masks(tmp_path: Path) -> None:
    segmented(tmp_path, drawn(1, 2), COLOURS)
    written(tmp_path / "labelmap.txt", MAP)
    found = read(tmp_path, masks="regions", classes=("dog",))
    assert classes_at(found, tmp_path) == RIGHT | {"beside": None}


def test_masks_and_what_lies_beside_them_are_accounted_for(tmp_path: Path) -> None:
    """labelme2voc and the challenge write masks of objects, pictures for people and arrays too."""
    segmented(tmp_path / "given", drawn(1, 2), COLOURS)
    given = tmp_path / "given"
    written(given / "labelmap.txt", MAP)
    for folder in ("SegmentationObject", "SegmentationClassVisualization", "SegmentationClassAug"):
        picture(given / folder / "00.png", 0)
    (given / "SegmentationClass" / "00.npy").write_bytes(b"an array")
    _, account = run(propose(str(given)), tmp_path)
    (files,) = account.files
    assert adds_up(files)
    assert files.unaccounted.number == 0
    assert {reason: [*left.files] for reason, left in files.left_out.items()} == {
        "masks of single objects, which are not read": ["SegmentationObject/00.png"],
        "a picture for people to look at": ["SegmentationClassVisualization/00.png"],
        "another mask of an image that has one": ["SegmentationClassAug/00.png"],
        "a mask that is there as a picture too": ["SegmentationClass/00.npy"],
    }


def test_masks_without_xml_are_a_set_too(tmp_path: Path) -> None:
    segmented(tmp_path, drawn(1, 2), COLOURS)
    written(tmp_path / "labelmap.txt", MAP)
    for path in (tmp_path / "Annotations").iterdir():
        path.unlink()
    picture(tmp_path / "SegmentationClass" / "gone.png", 0)
    found = read(tmp_path, boxes=None, masks="regions")
    assert [problem.file for problem in found.problems] == ["SegmentationClass/gone.png"]
    assert classes_at(found, tmp_path) == RIGHT
    assert set(propose(str(tmp_path)).tasks) == {"regions"}


# Damage

many = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.text(max_size=8) | st.integers(-(10**400), 10**400).map(str) | st.floats().map(str)


@many
@given(
    words=st.lists(WORDS, min_size=6, max_size=6),
    places=st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=3)), max_size=4),
)
def test_anything_in_an_xml_file_is_a_box_or_a_problem(
    tmp_path: Path, words: list[str], places: list[tuple[int, bytes]]
) -> None:
    data = bytearray(xml(thing(words[0], tuple(words[1:5])), dog(), name=words[5]).encode("utf-8", "replace"))
    for place, value in places:
        data[place % len(data) : place % len(data) + 1] = value
    scene(tmp_path, bytes(data))
    try:
        found = read(tmp_path, classes=("dog",), masks="regions")
    except DataError as error:
        assert "declared class" in str(error)  # noqa: PT017  # the other object is spoiled
        return
    entry: Entry = found.entries[0]
    assert "objects" in entry.targets or found.problems
    for box in entry.targets.get("objects", []):
        assert np.isfinite(box).all()
        assert box[4] == 0.0
