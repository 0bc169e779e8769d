"""Boxes as rows: which columns they are, what their numbers mean, and of which images nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.data.formats.base import Reading
from mtl.data.kinds.box_table import CROWD
from mtl.data.onboard.propose import propose
from mtl.errors import DataError
from tests.data.small_sets import fetched, pictures, read, written

SIZE = (64, 48)
RIGHT = [[8.0, 6.0, 24.0, 18.0], [40.0, 30.0, 60.0, 45.0]]
"""x1, y1, x2, y2 of a cat and a dog, in every picture of 64×48."""
NAMES = [f"{i}.png" for i in range(20)]


def boxes(reading: Reading) -> dict[str, list[Any]]:
    """Id → class and corners of each box."""
    classes = reading.targets["objects"].classes
    return {
        entry.id: [(classes[int(box[4])], *np.round(box[:4], 2).tolist(), *box[5:]) for box in entry.targets["objects"]]
        for entry in reading.entries
        if "objects" in entry.targets
    }


EVERY = [("cat", *RIGHT[0]), ("dog", *RIGHT[1])]


def shares(box: list[float]) -> list[float]:
    return [v / s for v, s in zip(box, (*SIZE, *SIZE), strict=True)]


def sides(box: list[float]) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def centre(box: list[float]) -> list[float]:
    return [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, *sides(box)[2:]]


def rows(names: list[str], line: str, change: Any = list, header: str = "") -> str:
    """Two boxes for each image."""
    found = [header] if header else []
    for name in names:
        for label, box in (("cat", RIGHT[0]), ("dog", RIGHT[1])):
            a, b, c, d = (f"{v:g}" for v in change(box))
            found.append(line.format(n=name, stem=name.split(".")[0], c=label, a=a, b=b, x=c, y=d))
    return "\n".join(found) + "\n"


def open_images(box: list[float]) -> list[float]:
    x1, y1, x2, y2 = shares(box)
    return [x1, x2, y1, y2]


LAYOUTS: dict[str, tuple[str, dict[str, str]]] = {
    "retinanet": ("", {"annotations.csv": rows(NAMES, "img/{n},{a},{b},{x},{y},{c}")}),
    "deepforest": (
        "img",
        {"a.csv": rows(NAMES, "{n},{a},{b},{x},{y},{c}", list, "image_path,xmin,ymin,xmax,ymax,label")},
    ),
    "tensorflow": (
        "",
        {
            "labels.csv": rows(
                NAMES, "{n},64,48,{c},{a},{b},{x},{y}", list, "filename,width,height,class,xmin,ymin,xmax,ymax"
            )
        },
    ),
    "tensorflow in shares": (
        "",
        {
            "labels.csv": rows(
                NAMES, "{n},64,48,{c},{a},{b},{x},{y}", shares, "filename,width,height,class,xmin,ymin,xmax,ymax"
            )
        },
    ),
    "open images": (
        "",
        {
            "train-annotations-bbox.csv": rows(
                NAMES,
                "{stem},xclick,/m/{c},1,{a},{b},{x},{y},0,0,0,0,0",
                open_images,
                "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside",
            ),
            "class-descriptions-boxable.csv": "/m/zebra,zebra\n/m/cat,cat\n/m/dog,dog\n",
        },
    ),
    "sides": ("", {"b.csv": rows(NAMES, "{n};{c};{a};{b};{x};{y}", sides, "image;label;x;y;w;h")}),
    "centres": (
        "",
        {
            "b.csv": rows(
                NAMES,
                "{n},{c},{a},{b},{x},{y}",
                lambda b: shares(centre(b)),
                "image,label,x_center,y_center,width,height",
            )
        },
    ),
    "centres in pixels": ("", {"b.csv": rows(NAMES, "{n},{c},{a},{b},{x},{y}", centre, "image,label,cx,cy,w,h")}),
    "a list": (
        "",
        {
            "train.csv": rows(
                NAMES, '{stem},64,48,"[{a}, {b}, {x}, {y}]",{c}', sides, "image_id,width,height,bbox,source"
            )
        },
    ),
    "named with dots": (
        "",
        {
            "GT.csv": rows(
                NAMES,
                "{n};64;48;{a};{b};{x};{y};{c}",
                list,
                "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId",
            )
        },
    ),
    "json lines": (
        "",
        {"b.jsonl": rows(NAMES, '{{"file_name": "{n}", "bbox": [{a}, {b}, {x}, {y}], "category": "{c}"}}', sides)},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_init_reads_boxes_as_they_were_drawn(layout: str, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    pictures(folder, [f"img/{name}" for name in NAMES], SIZE)
    for name, text in LAYOUTS[layout][1].items():
        written(folder / name, text)
    proposal = propose(str(folder))
    assert proposal.tasks == {"objects": {"type": "detection"}}
    (section,) = proposal.source["sets"].values()
    found = read(folder, **{k: v for k, v in section.items() if k != "path"})
    wanted = [("object" if layout == "a list" else c, *box) for c, *box in EVERY]
    assert boxes(found) == {f"img/{i}": wanted for i in range(20)}
    assert found.problems == []
    _, _, account = fetched(proposal.source["sets"], tmp_path)
    assert account.files[0].used == account.files[0].found


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("retinanet", "open images")])
def test_by_hand_the_table_alone_is_enough(layout: str, tmp_path: Path) -> None:
    pictures(tmp_path, [f"img/{name}" for name in NAMES], SIZE)
    ((name, text),) = LAYOUTS[layout][1].items()
    written(tmp_path / name, text)
    found = read(tmp_path, format="box_table", table=name)
    assert [box[1:] for box in boxes(found)["img/3"]] == [box[1:] for box in EVERY]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures."""
    pictures(tmp_path, NAMES[:4], SIZE)
    return tmp_path


def test_no_box_is_background_and_no_row_is_unknown(folder: Path) -> None:
    text = "0.png,8,6,24,18,cat\n1.png,,,,,\n2.png,0,0,0,0,cat\n"
    written(folder / "a.csv", text)
    found = read(folder, format="box_table", table="a.csv", header=False)
    assert boxes(found) == {"0": [EVERY[0]], "1": [], "2": []}
    assert found.left_out == {"3.png": "no row of a.csv names it"}
    assert found.targets["objects"].classes == ("cat",)


def test_a_bad_box_costs_itself(folder: Path) -> None:
    text = "image,x1,y1,x2,y2,label\n0.png,8,6,24,18,cat\n0.png,9,6,,18,cat\n0.png,9,9,9,20,cat\n0.png,a,1,2,3,cat\n"
    text += "0.png,1,1,9,9,\n0.png,300,300,310,310,cat\n1.png,8,6,70,18,cat\ngone.png,1,1,9,9,cat\ngone.png,2,2,9,9,cat\n0.png,8,6,24,18,cat\n"
    written(folder / "a.csv", text)
    found = read(folder, format="box_table", table="a.csv")
    assert boxes(found) == {"0": [EVERY[0]], "1": [("cat", 8.0, 6.0, 64.0, 18.0)]}
    assert [(p.id, p.loses) for p in found.problems].count(("0", "annotation")) == 5
    assert [p.id for p in found.problems if p.loses == "image"] == ["gone.png"]
    assert all("line" in p.reason for p in found.problems)
    assert found.notes["boxes that are listed twice, taken once"] == 1


def test_groups_are_crowds_and_names_come_from_the_descriptions(folder: Path) -> None:
    header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
    lines = [f"{i % 4},/m/b,0.1,0.5,0.{j}1,0.9,{int(i == 0 and j == 0)}\n" for i in range(4) for j in range(8)]
    written(folder / "a.csv", header + "".join(lines))
    written(folder / "names.csv", "/m/a,apple\n/m/b,bee\n")
    found = read(folder, format="box_table", table="a.csv", names="names.csv")
    assert found.targets["objects"].classes == ("bee",)
    assert [box[5:] for box in boxes(found)["0"]] == [(CROWD,), *[(0.0,)] * 7]
    assert found.documents == {"a.csv", "names.csv"}


def test_another_tool_s_table_is_refused_by_name(folder: Path) -> None:
    header = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    written(folder / "via.csv", f"{header}\n0.png,1,{{}},1,0,{{}},{{}}\n")
    with pytest.raises(DataError, match="format: via"):
        read(folder, format="box_table", table="via.csv")


def test_declared_classes_choose_and_order(folder: Path) -> None:
    written(folder / "a.csv", rows(NAMES[:4], "{n},{a},{b},{x},{y},{c}", list, "image,x1,y1,x2,y2,label"))
    found = read(folder, format="box_table", table="a.csv", classes=["dog", "cow"])
    assert boxes(found)["0"] == [("dog", *RIGHT[1])]
    assert found.notes["boxes of classes that are not declared, passed over"] == 4
    with pytest.raises(DataError, match="none of the declared classes"):
        read(folder, format="box_table", table="a.csv", classes=["cow"])


def test_a_declared_size_scales_boxes(folder: Path) -> None:
    text = rows(
        NAMES[:4],
        "{n},128,96,{a},{b},{x},{y},{c}",
        lambda b: [2 * v for v in b],
        "filename,width,height,xmin,ymin,xmax,ymax,class",
    )
    written(folder / "a.csv", text)
    assert boxes(read(folder, format="box_table", table="a.csv"))["0"] == EVERY


def test_columns_that_are_not_what_they_are_called_are_refused(folder: Path) -> None:
    written(folder / "a.csv", rows(NAMES[:4], "{n},{a},{b},{x},{y},{c}", sides, "image,x1,y1,x2,y2,label"))
    with pytest.raises(DataError, match=r"not x1, y1, x2, y2(.|\n)*form"):
        read(folder, format="box_table", table="a.csv")
    assert boxes(read(folder, format="box_table", table="a.csv", form="xywh"))["0"] == EVERY


def test_numbers_that_may_be_several_things_are_refused(folder: Path) -> None:
    written(folder / "a.csv", 'image,bbox,label\n0.png,"[2, 3, 10, 12]",cat\n')
    with pytest.raises(DataError, match=r"nothing says(.|\n)*xyxy(.|\n)*xywh"):
        read(folder, format="box_table", table="a.csv")
    found = read(folder, format="box_table", table="a.csv", form="xyxy")
    assert boxes(found)["0"] == [("cat", 2.0, 3.0, 10.0, 12.0)]


@pytest.mark.parametrize("form", ["xyxy", "xywh"])
def test_how_numbers_are_spread_says_what_they_are(form: str, folder: Path) -> None:
    """All boxes lie in their pictures as either: but a right corner moves with the left one, and a width does not."""
    place = np.random.default_rng(0).integers(0, 9, (40, 2))
    size = np.random.default_rng(1).integers(15, 20, (40, 2))
    numbers = np.hstack([place, size + (place if form == "xyxy" else 0)])
    lines = [f'{i % 4},"{[*map(int, row)]}",cat' for i, row in enumerate(numbers)]
    written(folder / "a.csv", "\n".join(["image,bbox,label", *lines]))
    found = read(folder, format="box_table", table="a.csv")
    assert boxes(found)["0"] == [
        ("cat", *map(float, (*p, *(p + s)))) for p, s in zip(place[::4], size[::4], strict=True)
    ]


def test_several_boxes_in_a_cell(folder: Path) -> None:
    text = (
        "image_id;what;species\n"
        "0;[{'x': 8, 'y': 6, 'width': 16, 'height': 12}, {'x': 40, 'y': 30, 'width': 20, 'height': 15}];star\n1;[];star\n"
    )
    written(folder / "a.csv", text)
    found = read(folder, format="box_table", table="a.csv", box=["what"], delimiter=";")
    assert boxes(found) == {"0": [("star", *RIGHT[0]), ("star", *RIGHT[1])], "1": []}


def test_roboflow_has_a_table_in_each_split(tmp_path: Path) -> None:
    header = "filename,width,height,class,xmin,ymin,xmax,ymax"
    for number, split in enumerate(("train", "valid", "test")):
        pictures(tmp_path / split, NAMES[:8], SIZE, seed=50 * number)
        written(tmp_path / split / "_annotations.csv", rows(NAMES[:8], "{n},64,48,{c},{a},{b},{x},{y}", list, header))
    proposal = propose(str(tmp_path))
    assert len(proposal.source["sets"]) == 3
    assert proposal.source["split"] == {"type": "given"}
    _, samples, _ = fetched(proposal.source["sets"], tmp_path / "out", split={"type": "given"})
    assert len(samples) == 24
    assert {len(s.targets["objects"]) for s in samples.values()} == {2}


def test_classes_csv_says_the_order(tmp_path: Path) -> None:
    pictures(tmp_path, NAMES, SIZE)
    written(tmp_path / "annotations.csv", rows(NAMES, "{n},{a},{b},{x},{y},{c}"))
    written(tmp_path / "classes.csv", "dog,0\ncat,1\nowl,2\n")
    proposal = propose(str(tmp_path))
    assert proposal.source["sets"]["images"]["classes"] == ["dog", "cat", "owl"]
    assert any("classes.csv" in fact for fact in proposal.facts)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            rows(["g1.png", "g2.png"], "{n},{a},{b},{x},{y},{c}", list, "image,x1,y1,x2,y2,label"),
            "none is there",
        ),
        ("a.csv", 'image,bbox,label\n0.png,"[2, 3, 10, 12]",cat\n', "nothing says"),
    ],
    ids=["images elsewhere", "undecided"],
)
def test_init_refuses_boxes_by_their_fault(folder: Path, name: str, text: str, message: str) -> None:
    written(folder / name, text)
    with pytest.raises(DataError, match=message):
        propose(str(folder))
