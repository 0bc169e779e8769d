"""Formats of annotation tools: what people drew and said, however the tool writes it."""

from __future__ import annotations

import base64
import copy
import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mtl.config.files import FilesSource
from mtl.data.formats import FORMATS, Reading
from mtl.data.formats.brush import decode_brush
from mtl.data.onboard.propose import propose
from mtl.data.raw.account import read_account
from mtl.data.raw.rows import FileRef, read_split
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.data.test_damage import ANYTHING
from tests.data.test_formats import configured, fetched
from tests.data.tool_files import (
    BOX,
    CORNERS,
    DOCUMENTS,
    HEIGHT,
    WIDTH,
    bitmap_of,
    coco,
    datumaro,
    label_studio,
    labelme,
    mask,
    picture,
    place,
    png,
    region,
    supervisely,
    via,
    write,
)


def read(section: dict[str, Any]) -> Reading:
    """What a set of the source holds."""
    source = FilesSource.model_validate({"type": "files", "sets": {"own": section}}, strict=False)
    chosen = source.sets["own"]
    return FORMATS[chosen.format](chosen, FileTree(chosen.path))


def objects(reading: Reading, number: int = 0) -> list[tuple[float | str, ...]]:
    """Class and corners of an entry's boxes."""
    classes = reading.targets["objects"].classes
    return [(classes[int(row[4])], *row[:4]) for row in reading.entries[number].targets["objects"]]


def pixels(mask_: bytes) -> np.ndarray:
    """uint8 [height, width]: class indices, and 255."""
    return np.asarray(Image.open(io.BytesIO(mask_)))


def names(reading: Reading, number: int = 0) -> np.ndarray:
    """The class of every pixel of an entry's mask; ? of those that are not known."""
    classes = reading.targets["regions"].classes
    return np.array([*classes, *["?"] * (256 - len(classes))])[pixels(reading.entries[number].targets["regions"])]


@pytest.mark.parametrize("form", DOCUMENTS)
def test_the_only_object_is_read(form: str, tmp_path: Path) -> None:
    reading = read(place(tmp_path, form))
    assert not reading.problems
    (entry,) = reading.entries
    assert np.allclose([row[:4] for row in entry.targets["objects"]], [BOX])
    assert objects(reading)[0][0] == "dog"
    outlined = form not in (
        "label_studio",
        "createml",
        "via",
    )  # rectangles: of their pixels nobody knows which are the object's
    assert (names(reading) == np.where(mask(), "dog" if outlined else "?", "background")).all()


def paths(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to everything in a document."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [above, *(path for key, value in inside for path in paths(value, (*above, key)))]


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The document with another value somewhere."""
    if not path:
        return value
    found = copy.deepcopy(document)
    item = found
    for key in path[:-1]:
        item = item[key]
    item[path[-1]] = value
    return found


some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("form", DOCUMENTS)
@some
@given(data=st.data())
def test_anything_anywhere_is_read_or_explained(form: str, tmp_path: Path, data: st.DataObject) -> None:
    document = DOCUMENTS[form][1]()
    where = data.draw(st.sampled_from(paths(document)))
    section = place(tmp_path, form, changed(document, where, data.draw(ANYTHING)))
    try:
        reading = read(section)
    except DataError:
        return
    for entry in reading.entries:
        rows = np.array(entry.targets.get("objects", [])).reshape(-1, 5)
        assert np.isfinite(rows).all()
        if "regions" in entry.targets:
            assert {*np.unique(pixels(entry.targets["regions"]))} <= {
                *range(len(reading.targets["regions"].classes)),
                255,
            }


# LabelMe


def shapes(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return labelme() | {"shapes": [{"label": "dog", **item} for item in items]} | more


def test_labelme_reads_every_shape(tmp_path: Path) -> None:
    cut = np.full((10, 20), 255, np.uint8)
    items = (
        {"shape_type": "rectangle", "points": [[24, 16], [4, 6]]},
        {"shape_type": "circle", "points": [[14, 11], [14, 16]]},
        {"shape_type": "mask", "points": [[4, 6], [23, 15]], "mask": base64.b64encode(png(cut)).decode()},
        {"shape_type": "rotation", "points": [[4, 6], [24, 6], [24, 16], [4, 16]]},
        {"shape_type": "point", "points": [[4, 6]]},
        {"shape_type": "linestrip", "points": [[4, 6], [5, 7], [9, 9]]},
        {"label": "__ignore__", "points": [[4, 6], [24, 6], [24, 16]]},
        {"shape_type": "polygon", "points": [[4, 6], [24, 6]]},
        {"shape_type": "mask", "points": [[4, 6], [23, 15]], "mask": "no base64!"},
    )
    reading = read(place(tmp_path, "labelme", shapes(*items)))
    wanted = [("dog", *BOX), ("dog", 9.0, 6.0, 19.0, 16.0), ("dog", *BOX), ("dog", *BOX)]
    assert np.allclose([row[1:] for row in objects(reading)], [row[1:] for row in wanted])  # type: ignore[arg-type]
    assert sum(n for note, n in reading.notes.items() if "passed over" in note) == 3
    assert len(reading.problems) == 2
    assert all(problem.loses == "annotation" for problem in reading.problems)


def test_labelme_joins_groups_and_keeps_its_class_order(tmp_path: Path) -> None:
    left, right = [[4, 6], [10, 6], [10, 16], [4, 16]], [[18, 6], [24, 6], [24, 16], [18, 16]]
    items = ({"points": left, "group_id": 1}, {"points": right, "group_id": 1}, {"points": left, "label": "ant"})
    section = place(tmp_path, "labelme", shapes(*items))
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nzebra\ndog\nant\n")
    reading = read(section)
    assert reading.targets["objects"].classes == ("zebra", "dog", "ant")
    assert objects(reading) == [("dog", *BOX), ("ant", 4.0, 6.0, 10.0, 16.0)]
    assert names(reading)[10, 20] == "dog"
    assert names(reading)[10, 14] == "background"


@pytest.mark.parametrize("mention", ["..\\pictures\\a.png", "/home/me/a.png", "renamed.jpg"])
def test_labelme_finds_its_picture_or_has_it_in_itself(mention: str, tmp_path: Path) -> None:
    picture(tmp_path / "pictures" / "a.png")
    write(tmp_path / "json" / "a.json", labelme() | {"imagePath": mention})
    held = base64.b64encode(png(np.zeros((HEIGHT, WIDTH, 3), np.uint8))).decode()
    write(tmp_path / "json" / "b.json", labelme() | {"imagePath": "b.jpg", "imageData": held})
    write(tmp_path / "json" / "c.json", labelme() | {"imagePath": "c.jpg", "imageData": None})
    reading = read({"format": "labelme", "path": str(tmp_path)})
    images = [entry.image for entry in reading.entries]
    assert images[0] == FileRef("pictures/a.png")
    assert isinstance(images[1], bytes)
    assert objects(reading, 1) == [("dog", *BOX)]
    assert [(p.file, p.loses) for p in reading.problems] == [("json/c.json", "image")]
    assert reading.documents == {"json/a.json", "json/b.json"}


def test_labelme_flags_are_labels(tmp_path: Path) -> None:
    """A picture without a file has none."""
    section = place(tmp_path, "labelme") | {"flags": "flags"}
    picture(tmp_path / "b.png", 1)
    (tmp_path / "broken.json").write_text('{"shapes": [')
    reading = read(section)
    assert reading.targets["flags"].classes == ("wet",)
    assert [entry.targets.keys() for entry in reading.entries] == [{"objects", "regions", "flags"}, set()]
    assert [problem.file for problem in reading.problems] == ["broken.json"]


def test_a_size_of_another_time_is_scaled(tmp_path: Path) -> None:
    reading = read(place(tmp_path, "labelme", labelme() | {"imageWidth": 80, "imageHeight": 60}))
    assert objects(reading) == [("dog", *(side / 2 for side in BOX))]


WEB = """<?xml version="1.0" encoding="gb2312"?><annotation><filename>a.jpg</filename><folder>one</folder>
<imagesize><nrows>30</nrows><ncols>40</ncols></imagesize>{objects}</annotation>"""


def outline(name: str, known: int, whole: str = "", more: str = "", corners: list[float] = CORNERS) -> str:
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in zip(corners[::2], corners[1::2], strict=True))
    parts = f"<parts><hasparts></hasparts><ispartof>{whole}</ispartof></parts>"
    return f"<object><name>{name}</name><id>{known}</id>{parts}{more}<polygon>{points}</polygon></object>"


def test_labelme_of_the_web(tmp_path: Path) -> None:
    picture(tmp_path / "Images/one/a.png")
    found = [
        outline("狗", 0, more="<type>bounding_box</type>"),
        outline("狗", 1, whole="0"),  # the same thing, drawn again
        outline("猫", 2, whole="0", corners=[1, 1, 9, 1, 9, 4]),  # a part of another kind
        outline("狗", 3, more="<deleted>1</deleted>"),
        "<object><name>猫</name><id>4</id><segm><mask>m.png</mask></segm></object>",
        "<object><name>猫</name><id>5</id><segm><mask>gone.png</mask></segm></object>",
    ]
    (tmp_path / "Masks/one").mkdir(parents=True)
    (tmp_path / "Masks/one/m.png").write_bytes(png(mask() * 255))
    (tmp_path / "Annotations/one").mkdir(parents=True)
    (tmp_path / "Annotations/one/a.xml").write_bytes(WEB.format(objects="".join(found)).encode("gb2312"))
    (tmp_path / "Annotations/one/b.xml").write_text(WEB.format(objects="<polygon>")[:99])
    reading = read({"format": "labelme", "path": str(tmp_path), "masks": "regions"})
    assert objects(reading) == [("狗", *BOX), ("猫", 1.0, 1.0, 9.0, 4.0), ("猫", *BOX)]
    assert len(reading.problems) == 1
    assert reading.documents == {"Annotations/one/a.xml", "Masks/one/m.png"}


# Label Studio


def tasks(*results: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """One task, annotated by so many people."""
    (task,) = label_studio()
    people = [{"id": n, "updated_at": f"2024-0{n + 1}-01", "result": result} for n, result in enumerate(results)]
    return [task | {"annotations": people} | more]


def label_studio_reading(folder: Path, document: Any, **section: Any) -> Reading:
    return read(place(folder, "label_studio", document) | section)


def test_label_studio_reads_every_region(tmp_path: Path) -> None:
    value = region()["value"]
    points = [[10, 20], [60, 20], [60, 160 / 3], [10, 160 / 3]]
    regions = [
        region(),
        region(value={"points": points, "polygonlabels": ["dog"]}, type="polygonlabels"),
        region(value={"x": 35, "y": 110 / 3, "radiusX": 25, "radiusY": 50 / 3, "ellipselabels": ["dog"]}),
        region(value={"format": "rle", "rle": brush_of(mask()), "brushlabels": ["dog"]}, type="brushlabels"),
        region(value=value | {"x": 60.0, "y": 20.0, "rotation": 90, "width": 25.0, "height": 200 / 3}),
        region(value={"x": 5, "y": 5, "width": 1, "keypointlabels": ["dog"]}, type="keypointlabels"),
        region(id="two", type="rectangle", value={k: v for k, v in value.items() if k != "rectanglelabels"}),
        region(
            id="two",
            type="labels",
            value={**{k: v for k, v in value.items() if k != "rectanglelabels"}, "labels": ["cat"]},
        ),
        region(image_rotation=90),
    ]
    reading = label_studio_reading(tmp_path, tasks(regions))
    found = np.array([row[1:] for row in objects(reading)], float)
    assert np.allclose(found, [BOX] * 6, atol=0.01)
    assert [row[0] for row in objects(reading)] == ["dog"] * 5 + ["cat"]
    assert ["turned picture" in problem.reason for problem in reading.problems] == [True]


CHOICES = {"kind": {"column": "kind", "kind": "label"}, "stars": {"column": "stars", "kind": "value"}}


def answer(name: str, **value: Any) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "image", "type": "x", "value": value}


def test_label_studio_answers_are_targets(tmp_path: Path) -> None:
    results = [region(), answer("kind", choices=["wet"]), answer("stars", rating=4), answer("tags", choices=["b", "a"])]
    results.append(answer("r", choices=["sharp"]))  # of the region r, not of the picture
    targets = CHOICES | {"tags": {"column": "tags", "kind": "labels"}}
    reading = label_studio_reading(tmp_path, tasks(results), targets=targets)
    (entry,) = reading.entries
    assert (entry.targets["kind"], entry.targets["stars"], entry.targets["tags"]) == (0, 4.0, [0, 1])
    assert reading.targets["kind"].classes == ("wet",)
    # Nobody answered: it is not known, and not 'none of them'.
    reading = label_studio_reading(tmp_path, tasks([region()]), targets=targets)
    assert reading.entries[0].targets.keys() == {"objects", "regions"}


def test_label_studio_in_rows_says_the_same(tmp_path: Path) -> None:
    value = region()["value"] | {"original_width": WIDTH, "original_height": HEIGHT}
    row = {
        "id": 7,
        "image": "/data/local-files/?d=deep%2Fa.png",
        "box": [value],
        "kind": "wet",
        "stars": [{"rating": 4}],
    }
    rows = [row | {"annotator": 1, "annotation_id": 3, "updated_at": "2024", "lead_time": 2.5}]
    reading = label_studio_reading(tmp_path, rows, targets=CHOICES)
    assert np.allclose(objects(reading)[0][1:], BOX)  # type: ignore[arg-type]
    assert (reading.entries[0].targets["kind"], reading.entries[0].targets["stars"]) == (0, 4.0)


@pytest.mark.parametrize(
    "mention",
    [
        "/data/upload/1/0a1b2c3d-a.png",
        "s3://bucket/raw/a.png",
        "https://host/files/a.png?X-Amz-Signature=f00",
        "/data/local-files/?d=mine/a.png",
        "/tasks/7/presign/?fileuri=" + base64.b64encode(b"gs://bucket/a.png").decode(),
        "a%2Epng",
    ],
)
def test_label_studio_pictures_are_found(mention: str, tmp_path: Path) -> None:
    reading = label_studio_reading(tmp_path, tasks([region()], data={"page": "7", "picture": mention}), image="picture")
    assert [entry.image for entry in reading.entries] == [FileRef("a.png")]


def test_label_studio_without_annotations_is_not_labelled(tmp_path: Path) -> None:
    skipped = [{"id": 1, "was_cancelled": True, "result": [region()]}]
    guesses = [{"id": 1, "result": [region()], "score": 0.9}]
    for people in ([], skipped):
        reading = label_studio_reading(tmp_path, tasks(annotations=people, predictions=guesses))
        assert [entry.targets for entry in reading.entries] == [{}]
        assert any("not labelled" in note for note in reading.notes)
    reading = label_studio_reading(tmp_path, tasks([]), classes=["dog"])  # somebody looked, and there is nothing
    assert reading.entries[0].targets["objects"] == []


def test_label_studio_annotators_count_where_they_agree(tmp_path: Path) -> None:
    moved = region(value=region()["value"] | {"x": 12.0})
    cat = region(value=region()["value"] | {"rectanglelabels": ["cat"]})
    wet, dry = answer("kind", choices=["wet"]), answer("kind", choices=["dry"])
    alike = label_studio_reading(tmp_path, tasks([region(), wet], [moved, wet]), targets=CHOICES)
    assert not alike.problems
    assert objects(alike)[0][1] == pytest.approx(0.12 * WIDTH)  # the latest
    apart = label_studio_reading(tmp_path, tasks([region(), wet], [cat, dry]), targets=CHOICES)
    assert [(p.loses, "disagree" in p.reason) for p in apart.problems] == [("annotation", True)] * 2
    assert [entry.targets for entry in apart.entries] == [{}]
    truth = tasks([region(), wet], [cat, dry])
    truth[0]["annotations"][0]["ground_truth"] = True
    reading = label_studio_reading(tmp_path, truth, targets=CHOICES)
    assert [row[0] for row in objects(reading)] == ["dog"]
    assert not reading.problems


def brush_of(pixels: np.ndarray) -> list[int]:
    """Label Studio's code of a mask, in which every value of four channels is written out: words of 8 bits, one run of all."""
    values = np.repeat((pixels > 0).astype(np.uint8) * 255, 4)
    bits = f"{values.size:032b}{7:05b}" + f"{15:04b}" * 4
    for start in range(0, values.size, 1 << 16):
        part = values[start : start + (1 << 16)]
        bits += f"0{0:02b}{part.size - 1:016b}" + "".join(f"{value:08b}" for value in part)
    return [int(bits[place : place + 8].ljust(8, "0"), 2) for place in range(0, len(bits), 8)]


def test_a_brush_of_label_studios_own_coder() -> None:
    code = [0, 0, 0, 192, 57, 27, 254, 39, 0, 194, 127, 246, 192, 48, 159, 253, 176, 12, 39, 255, 144, 192, 0]
    wanted = np.zeros((6, 8), np.uint8)
    wanted[1:4, 2:7] = 1
    assert (decode_brush(code, 6, 8) == wanted).all()
    for end in range(len(code) - 1):
        with pytest.raises(DataError):
            decode_brush(code[:end], 6, 8)
    with pytest.raises(DataError, match="another size"):
        decode_brush(code, 8, 6 + 1)


# Supervisely


def test_supervisely_reads_every_geometry(tmp_path: Path) -> None:
    hole = [[10, 8], [17, 8], [17, 13], [10, 13]]
    document = supervisely()
    document["objects"][0]["points"]["interior"] = [hole]
    document["objects"] += [
        {"classTitle": "cat", "geometryType": "rectangle", "points": {"exterior": [[23, 15], [4, 6]], "interior": []}},
        {
            "classTitle": "cat",
            "geometryType": "bitmap",
            "bitmap": {"origin": [30, 20], "data": bitmap_of(mask()[6:8, 4:7])},
        },
        {"classTitle": "cat", "geometryType": "point", "points": {"exterior": [[1, 1]], "interior": []}},
        {"classTitle": "cat", "geometryType": "bitmap", "bitmap": {"origin": [30, 20], "data": "eJ"}},
    ]
    reading = read(place(tmp_path, "supervisely", document))
    assert reading.targets["objects"].classes == ("cat", "dog")  # as the project lists them
    assert objects(reading) == [("dog", *BOX), ("cat", *BOX), ("cat", 30.0, 20.0, 33.0, 22.0)]
    drawn = names(reading)
    assert (drawn[6, 4], drawn[15, 23], drawn[20, 30], drawn[10, 12]) == ("dog", "dog", "cat", "?")
    assert len(reading.problems) == 1


def test_supervisely_fractions_of_pixels_end_where_they_say(tmp_path: Path) -> None:
    """What its labelling tool keeps; in whole pixels, as its SDK writes them, the last one is inside."""
    document = supervisely()
    parts = [{"exterior": [[4, 6], [10, 6], [10, 15], [4, 15]]}, {"exterior": [[20, 6], [23, 6], [23, 15], [20, 15]]}]
    document["objects"] = [
        {"classTitle": "dog", "geometryType": "rectangle", "points": {"exterior": [[4, 6], [24, 16]], "interior": []}},
        {"classTitle": "dog", "geometryType": "multipolygon", "parts": parts},
    ]
    assert objects(read(place(tmp_path, "supervisely", document))) == [("dog", 4.0, 6.0, 25.0, 17.0), ("dog", *BOX)]
    document = changed(document, ("objects", 0, "points", "exterior"), [[4.5, 6.25], [24.0, 16.0]])
    assert objects(read(place(tmp_path, "supervisely", document)))[0] == ("dog", 4.5, 6.25, 24.0, 16.0)


def test_supervisely_tags_are_labels_and_splits(tmp_path: Path) -> None:
    document = supervisely() | {"tags": [{"name": "wet"}, {"name": "val"}, {"name": "light", "value": "day"}]}
    targets = {"light": {"column": "light", "kind": "label"}}
    reading = read(place(tmp_path, "supervisely", document) | {"tags": "tags", "targets": targets})
    (entry,) = reading.entries
    assert entry.split == "val"
    assert (entry.targets["tags"], entry.targets["light"]) == ([0], 0)
    assert reading.targets["tags"].classes == ("wet",)


# CreateML, VIA, Datumaro


def test_createml_labels_without_boxes_are_labels(tmp_path: Path) -> None:
    picture(tmp_path / "b.png", 1)
    picture(tmp_path / "c.png", 2)
    items = [
        {"image": "a.png", "annotations": [{"label": "dog"}]},
        {"imagefilename": "b.png", "annotation": "cat"},
        {"image": "c.png", "annotations": []},
        {"image": "gone.png", "annotations": []},
    ]
    reading = read(place(tmp_path, "createml", items) | {"label": "label"})
    assert [entry.targets.get("label") for entry in reading.entries] == [1, 0, None]
    assert ["cannot be found" in problem.reason for problem in reading.problems] == [True]


VIA_SHAPES: dict[str, dict[str, Any]] = {
    "polygon": {"name": "polygon", "all_points_x": [4, 24, 24, 4], "all_points_y": [6, 6, 16, 16]},
    "ellipse": {"name": "ellipse", "cx": 14, "cy": 11, "rx": 10, "ry": 5, "theta": 0},
    "circle": {"name": "circle", "cx": 14, "cy": 11, "r": 5},
}


def test_via_in_all_its_ways(tmp_path: Path) -> None:
    regions = [{"shape_attributes": shape, "region_attributes": {"kind": "dog"}} for shape in VIA_SHAPES.values()]
    regions.append({"shape_attributes": {"name": "point", "cx": 1, "cy": 1}, "region_attributes": {"kind": "dog"}})
    document = via()
    document["a.png123"]["regions"] = regions
    wanted = [("dog", *BOX), ("dog", *BOX), ("dog", 9.0, 6.0, 19.0, 16.0)]
    first = document["a.png123"] | {"regions": {str(n): region for n, region in enumerate(regions)}}  # VIA 1
    for number, way in enumerate((document, {"_via_img_metadata": document, "_via_settings": {}}, {"a.png123": first})):
        reading = read(place(tmp_path / str(number), "via", way))
        assert [row[0] for row in objects(reading)] == [row[0] for row in wanted]
        assert np.allclose([row[1:] for row in objects(reading)], [row[1:] for row in wanted])  # type: ignore[arg-type]
        assert not reading.problems


def test_via_as_a_table_and_without_a_class(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    columns = ("filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes")
    rows = [
        ["a.png", 1, '{"light": "day"}', 2, 0, json.dumps(VIA_SHAPES["polygon"]), '{"kind": "dog"}'],
        ["a.png", 1, '{"light": "day"}', 2, 1, "{damaged", "{}"],
    ]
    with (tmp_path / "via.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*columns, "region_attributes"], *rows])
    reading = read({"format": "via", "path": str(tmp_path), "targets": {"light": {"column": "light", "kind": "label"}}})
    assert objects(reading) == [("dog", *BOX)]
    assert reading.entries[0].targets["light"] == 0
    assert [problem.loses for problem in reading.problems] == ["annotation"]
    document = via()
    document["a.png123"]["regions"][0]["region_attributes"] = {}
    assert objects(read(place(tmp_path / "bare", "via", document))) == [("object", *BOX)]


def test_datumaro_parts_of_a_group_are_one_object(tmp_path: Path) -> None:
    document = datumaro()
    found = document["items"][0]["annotations"]
    found += [
        {
            "type": "mask",
            "group": 0,
            "label_id": 0,
            "rle": {"size": [HEIGHT, WIDTH], "counts": [0, 30, HEIGHT * WIDTH - 30]},
        },
        {"type": "points", "group": 1, "label_id": 1, "points": [1, 2]},
        {"type": "bbox", "group": 0, "label_id": 7, "bbox": [1, 2, 3, 4]},
    ]
    reading = read(place(tmp_path, "datumaro", document) | {"labels": "labels"})
    assert objects(reading) == [("dog", *BOX), ("cat", 0.0, 0.0, 1.0, 30.0)]
    assert reading.entries[0].targets["labels"] == [0]
    assert reading.entries[0].split == "train"
    assert ["none of the categories" in problem.reason for problem in reading.problems] == [True]


# The proposal


@pytest.mark.parametrize("form", [form for form in DOCUMENTS if form != "coco"])
def test_a_set_of_every_tool_is_proposed_and_fully_used(form: str, tmp_path: Path) -> None:
    given_ = tmp_path / "set"
    for number, split in enumerate(("train", "train", "train", "val", "val", "test", "test")):
        folder = given_ / split / str(number)
        place(folder, form)
        image = folder / ("img/a.png" if form == "supervisely" else "a.png")
        for path in folder.rglob("*.json"):
            path.write_text(
                path.read_text()
                .replace("a.png", f"a{number}.png")
                .replace('"dog"', f'"{"dog" if number % 2 else "cat"}"')
            )
        if form == "datumaro":
            (folder / "annotations/train.json").rename(folder / f"annotations/{split}.json")
        picture(image, number).rename(image.with_name(f"a{number}.png"))
        if form == "supervisely":
            (folder / "ann/a.png.json").rename(folder / f"ann/a{number}.png.json")
            (folder / "meta.json").rename(given_ / "meta.json")
    proposal = propose(str(given_))
    assert proposal.format == form
    assert proposal.source["split"] == {"type": "given"}
    assert "objects" in proposal.tasks
    spec = fetched(
        configured(proposal.source["sets"], proposal.tasks, split=proposal.source["split"]), tmp_path / "raw"
    )
    assert {name for name, found in spec.targets.items() if found.kind == "boxes"} == {"objects"}
    (files,) = read_account(tmp_path / "raw").files
    assert files.unaccounted.files == ()
    assert files.found == files.used == (15 if form == "supervisely" else 14)


ELSEWHERE: dict[str, tuple[str, Any]] = {
    "Labelbox": ("export.ndjson", {"data_row": {"id": "x"}, "media_attributes": {}, "projects": {}}),
    "Labelbox, the old one": (
        "export.json",
        [{"ID": "x", "Labeled Data": "https://host/a.png", "Label": {"objects": []}}],
    ),
    "VoTT": ("x-asset.json", {"asset": {"name": "a.png"}, "regions": [], "version": "2.2.0"}),
    "Scale": ("tasks.json", [{"task_id": "1", "type": "imageannotation", "response": {"annotations": []}}]),
    "V7 Darwin": ("a.json", {"version": "2.0", "item": {"name": "a.png", "path": "/", "slots": []}, "annotations": []}),
    "BDD100K": ("labels.json", [{"name": "a.png", "labels": [{"category": "car", "box2d": {"x1": 1}}]}]),
    "SageMaker Ground Truth": ("output.manifest", {"source-ref": "s3://bucket/a.png", "boxes": {}}),
    "VGG Image Annotator 3": ("via3.json", {"project": {}, "config": {}, "metadata": {}, "view": {}, "file": {}}),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_unreadable_files_are_named_and_never_classes(name: str, tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / ("one", "two")[number % 2] / f"{number}.png", number)
    file, document = ELSEWHERE[name]
    (tmp_path / file).write_text(json.dumps(document))
    with pytest.raises(DataError, match=f"looks like {name.split(',')[0]}"):
        propose(str(tmp_path))


def test_json_that_is_none_of_this_is_left_alone(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / ("one", "two")[number % 2] / f"{number}.png", number)
    write(tmp_path / "package.json", {"name": "x", "version": "1.0.0"})
    write(tmp_path / "list.json", [1, 2, 3])
    (tmp_path / "broken.json").write_text("{")
    assert propose(str(tmp_path)).format == "image_folder"


@pytest.mark.parametrize("cut", [1, 40])
def test_truncated_annotations_are_an_error_and_no_classes(cut: int, tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / ("one", "two")[number % 2] / f"{number}.png", number)
    (tmp_path / "instances.json").write_text(json.dumps(coco())[:-cut])
    with pytest.raises(DataError, match=r"instances.json is not JSON"):
        propose(str(tmp_path))


def test_pictures_in_their_annotations_alone(tmp_path: Path) -> None:
    for number in range(20):
        held = base64.b64encode(picture(tmp_path / "x.png", number).read_bytes()).decode()
        shapes_ = [labelme()["shapes"][0] | {"label": ("cat", "dog")[number % 2]}]
        write(
            tmp_path / "set" / f"{number}.json",
            labelme() | {"imageData": held, "imagePath": "x.jpg", "shapes": shapes_},
        )
    proposal = propose(str(tmp_path / "set"))
    assert proposal.format == "labelme"
    assert {"objects", "regions", "flags"} >= proposal.tasks.keys() >= {"objects", "regions"}


def test_what_is_declared_as_not_meant_is_not_read(tmp_path: Path) -> None:
    section = place(tmp_path / "set", "labelme")
    write(tmp_path / "set" / "old" / "a.json", shapes({"points": [[1, 1], [9, 1], [9, 9]]}) | {"imagePath": "../a.png"})
    config = configured({"own": section | {"ignore": ["old/"]}}, {"objects": {"type": "detection"}})
    spec = fetched(config, tmp_path / "raw")
    (sample,) = [s for split in SPLITS for s in read_split(tmp_path / "raw", split, spec)]
    assert sample.targets["objects"] == [[*BOX, 0.0]]
    (files,) = read_account(tmp_path / "raw").files
    assert (files.found, files.used, files.ignored) == (3, 2, 1)


def test_a_second_format_of_the_same_images_is_named_as_unused(tmp_path: Path) -> None:
    """And declared as not meant."""
    given_ = tmp_path / "set"
    for number in range(20):
        picture(given_ / f"{number}.png", number)
        thing = labelme()["shapes"][0] | {"label": ("cat", "dog")[number % 2]}
        write(given_ / f"{number}.json", labelme() | {"imagePath": f"{number}.png", "shapes": [thing]})
    document = coco()
    document["images"] = [{"id": n, "file_name": f"{n}.png"} for n in range(20)]
    document["annotations"] = [
        {**document["annotations"][0], "id": n, "image_id": n, "category_id": (5, 9)[n % 2]} for n in range(20)
    ]
    write(given_ / "coco" / "all.json", document)
    proposal = propose(str(given_))
    assert proposal.format == "coco"
    assert any("also there, not proposed: labelme" in fact for fact in proposal.facts)
    fetched(configured(proposal.source["sets"], proposal.tasks, split=proposal.source["split"]), tmp_path / "raw")
    (files,) = read_account(tmp_path / "raw").files
    assert (files.used, files.ignored, files.unaccounted.number) == (21, 20, 0)


def test_two_exports_of_the_same_tasks_are_not_guessed(tmp_path: Path) -> None:
    place(tmp_path, "label_studio")
    write(tmp_path / "newer.json", label_studio())
    with pytest.raises(DataError, match="exports of the same tasks"):
        propose(str(tmp_path))
