"""CVAT for images 1.1: every kind of shape, the labels of the task, subsets, and what is refused by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl.codecs.maps import decode_mask
from mtl.config.files import CvatSet
from mtl.data.formats import Reading
from mtl.data.formats.cvat import read_cvat
from mtl.data.onboard.propose import propose
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.data.drawn import picture, written
from tests.data.test_account import adds_up
from tests.data.test_propose import run

BOX = '<box label="dog" occluded="0" source="manual" xtl="24.00" ytl="12.00" xbr="40.00" ybr="36.00" z_order="0"><attribute name="age">3</attribute></box>'
LABELS = "".join(
    f"<label><name>{name}</name><color>#{colour}</color><type>any</type><attributes/>{extra}</label>"
    for name, colour, extra in (("dog", "ff0000", ""), ("cat", "00ff00", ""), ("paw", "0000ff", "<parent>dog</parent>"))
)


def image(*shapes: str, name: str = "a.png", width: int = 64, height: int = 48, more: str = "") -> str:
    return f'<image id="0" name="{name}" {more} width="{width}" height="{height}">{"".join(shapes)}</image>'


def document(*images: str, labels: str = LABELS, kind: str = "task") -> str:
    meta = f"<meta><{kind}><id>1</id><name>pets</name><labels>{labels}</labels></{kind}><dumped>now</dumped></meta>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{"".join(images)}</annotations>'


def read(folder: Path, **chosen: Any) -> Reading:
    return read_cvat(CvatSet(format="cvat", path=str(folder), **chosen), FileTree(str(folder)))


def scene(folder: Path, *shapes: str, **more: Any) -> Path:
    picture(folder / "images" / "a.png", 0)
    written(folder / "annotations.xml", document(image(*shapes, **more)))
    return folder


def test_boxes_and_classes_are_those_of_the_task(tmp_path: Path) -> None:
    found = read(scene(tmp_path, BOX))
    assert found.targets["objects"].classes == ("dog", "cat")
    assert found.entries[0].targets == {"objects": [[24, 12, 40, 36, 0]]}


RUNS = "0, 8, 2, 6"  # of a rectangle 8 wide and 2 high: a row, then its last six pixels


@pytest.mark.parametrize(
    ("shape", "box", "inside", "outside"),
    [
        ('<polygon label="cat" points="8.0,12.0;24.0,12.0;8.0,36.0"/>', [8, 12, 24, 36], (14, 10), (34, 22)),
        (
            f'<mask label="cat" rle="{RUNS}" left="10" top="20" width="8" height="2"/>',
            [10, 20, 18, 22],
            (21, 12),
            (21, 11),
        ),
        ('<ellipse label="cat" cx="32" cy="24" rx="20" ry="8"/>', [12, 16, 52, 32], (24, 50), (17, 14)),
        ('<ellipse label="cat" cx="32" cy="24" rx="20" ry="8" rotation="90"/>', [24, 4, 40, 44], (6, 32), (24, 44)),
    ],
)
def test_outlines_are_drawn(shape: str, box: list[float], inside: Any, outside: Any, tmp_path: Path) -> None:
    found = read(scene(tmp_path, shape), masks="regions")
    assert np.allclose(found.entries[0].targets["objects"], [[*box, 1.0]], atol=0.05)
    spec = found.targets["regions"]
    regions = decode_mask(found.entries[0].targets["regions"], len(spec.classes), spec.values, spec.ignored)
    assert regions[inside] == 2
    assert regions[outside] == 0


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 200.0])
def test_of_a_rotated_box_the_upright_box_around_is_taken(degrees: float, tmp_path: Path) -> None:
    found = read(scene(tmp_path, BOX.replace("<box ", f'<box rotation="{degrees}" ')))
    c, s = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    width, height = 16 * c + 24 * s, 16 * s + 24 * c
    wanted = [32 - width / 2, 24 - height / 2, 32 + width / 2, 24 + height / 2, 0]
    assert np.allclose(found.entries[0].targets["objects"], [wanted])
    assert bool(found.notes) == (degrees > 0)


def test_of_a_cuboid_the_box_around_is_taken(tmp_path: Path) -> None:
    corners = {"tl": (10, 10), "bl": (10, 30), "tr": (20, 12), "br": (20, 32)}
    near = " ".join(f'x{k}1="{x}" y{k}1="{y}"' for k, (x, y) in corners.items())
    far = " ".join(f'x{k}2="{x + 15}" y{k}2="{y - 5}"' for k, (x, y) in corners.items())
    found = read(scene(tmp_path, f'<cuboid label="dog" {near} {far}/>'))
    assert found.entries[0].targets == {"objects": [[10, 5, 35, 32, 0]]}


def test_what_is_no_region_is_passed_over_and_counted(tmp_path: Path) -> None:
    points = '<points label="dog" points="1,2;3,4"/><polyline label="dog" points="1,2;3,4"/><tag label="cat"/>'
    skeleton = '<skeleton label="dog"><points label="paw" points="1,2"/></skeleton>'
    found = read(scene(tmp_path, BOX, points, skeleton))
    assert len(found.entries[0].targets["objects"]) == 1
    assert dict(found.notes) == {
        "keypoints, passed over": 1,
        "lines, passed over": 1,
        "tags of whole images, passed over": 1,
        "skeletons, passed over": 1,
    }


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<box label="cow" xtl="1" ytl="1" xbr="9" ybr="9"/>', "unknown class"),
        ('<box xtl="1" ytl="1" xbr="9" ybr="9"/>', "unknown class"),
        ('<box label="dog" xtl="1" ytl="1" xbr="9"/>', "ybr is no number"),
        ('<box label="dog" xtl="9" ytl="1" xbr="1" ybr="9"/>', "no area"),
        ('<polygon label="dog" points="1,2;3"/>', "not x,y"),
        ('<polygon label="dog" points="a,b"/>', "no numbers"),
        ('<mask label="dog" rle="1, 2" left="0" top="0" width="8" height="2"/>', "not as long"),
        ('<mask label="dog" rle="16" left="0" top="0" width="8" height="2"/>', "empty"),
        ('<mask label="dog" rle="0, 16" left="0" top="0" width="-8" height="-2"/>', "no place"),
        ('<hexagon label="dog"/>', "no shape"),
    ],
)
def test_a_shape_that_cannot_be_used_costs_itself(shape: str, reason: str, tmp_path: Path) -> None:
    found = read(scene(tmp_path, BOX, shape))
    (problem,) = found.problems
    assert reason in problem.reason
    assert problem.loses == "annotation"
    assert found.entries[0].targets == {"objects": [[24, 12, 40, 36, 0]]}
    only = read(scene(tmp_path, shape))
    lost = {problem.id for problem in only.problems if problem.loses == "image"}
    assert lost == {"a"}  # that nothing is in it, nobody has said


def test_an_image_without_shapes_has_none_and_subsets_are_splits(tmp_path: Path) -> None:
    names = {"Train": "train", "Validation": "val", "Test": "test", "default": None}
    for seed, subset in enumerate(names):
        picture(tmp_path / "images" / subset / "a.png", seed)
    written(tmp_path / "annotations.xml", document(*(image(more=f'subset="{s}"') for s in names), kind="project"))
    found = read(tmp_path)
    assert {entry.id: entry.split for entry in found.entries} == {f"{s}/a": split for s, split in names.items()}
    assert all(entry.targets == {"objects": []} for entry in found.entries)


def test_declared_classes_take_and_order_labels(tmp_path: Path) -> None:
    found = read(scene(tmp_path, BOX, BOX.replace("dog", "cat")), classes=("cat",))
    assert found.entries[0].targets == {"objects": [[24, 12, 40, 36, 0]]}
    with pytest.raises(DataError, match="none of the declared classes"):
        read(tmp_path, classes=("cow",))


def test_sizes_in_the_file_are_those_that_shapes_were_drawn_in(tmp_path: Path) -> None:
    assert read(scene(tmp_path, BOX, width=128, height=96)).entries[0].targets == {"objects": [[12, 6, 20, 18, 0]]}
    (problem,) = read(scene(tmp_path, BOX, width=100, height=10)).problems
    assert "100×10" in problem.reason


def test_images_that_are_not_there_are_named(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 0)
    written(tmp_path / "annotations.xml", document(image(BOX), image(BOX, name="gone.png"), image(BOX)))
    found = read(tmp_path)
    assert len(found.entries) == 1
    assert [p.reason.split(";")[0] for p in found.problems] == [
        "gone.png is not there",
        "the file has this image twice",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            document('<track id="0" label="dog"><box frame="0" xtl="1" ytl="1" xbr="9" ybr="9"/></track>'),
            "CVAT for video",
        ),
        (document(image(), labels=""), "names no labels"),
        ("<annotation><object/></annotation>", "not CVAT's XML"),
        ("<annotations>", "not XML"),
        ('<!DOCTYPE a [<!ENTITY x "y">]>' + document(image(BOX)).partition("\n")[2], "entities"),
    ],
)
def test_other_documents_are_refused_by_name(text: str, reason: str, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 0)
    written(tmp_path / "annotations.xml", text)
    with pytest.raises(DataError, match=reason):
        read(tmp_path)


def given_set(folder: Path, shape: str = BOX, files: tuple[str, ...] = ("annotations.xml",)) -> None:
    seed = 0
    for number, file in enumerate(files):
        images: list[str] = []
        for subset, count in (("train", 8), ("val", 4), ("test", 4)):
            for i in range(count):
                seed += 1
                name = f"{subset}_{number}_{i}.png"
                picture(folder / "images" / subset / name, seed)
                images.append(image(shape, name=name, more=f'subset="{subset}"'))
        written(folder / file, document(*images))


@pytest.mark.parametrize("files", [("annotations.xml",), ("task_1.xml", "task_2.xml")])
@pytest.mark.parametrize("outlined", [True, False])
def test_a_task_is_proposed_with_its_splits(outlined: bool, files: tuple[str, ...], tmp_path: Path) -> None:
    shape = '<polygon label="cat" points="8.0,12.0;24.0,12.0;8.0,36.0"/>' if outlined else BOX
    given_set(tmp_path / "given", shape, files)
    proposal = propose(str(tmp_path / "given"))
    assert proposal.format == "cvat"
    assert set(proposal.tasks) == ({"objects", "regions"} if outlined else {"objects"})
    splits, account = run(proposal, tmp_path)
    assert {s: len(ids) for s, ids in splits.items()} == {
        s: n * len(files) for s, n in (("train", 8), ("val", 4), ("test", 4))
    }
    (found,) = account.files
    assert adds_up(found)
    assert found.used == found.found


@pytest.mark.parametrize("shape", ['<points label="dog" points="1,2"/>', '<tag label="dog"/>', ""])
def test_what_has_no_region_is_refused_with_what_it_has(shape: str, tmp_path: Path) -> None:
    given_set(tmp_path, shape)
    with pytest.raises(DataError, match=r"looks like cvat(.|\n)*only boxes, polygons"):
        propose(str(tmp_path))


def test_a_truncated_document_is_refused(tmp_path: Path) -> None:
    """Its folders are not taken for classes."""
    for i in range(20):
        picture(tmp_path / ("north", "south")[i % 2] / f"{i}.png", i)
    path = written(tmp_path / "annotations.xml", document(image(BOX))[:-40])
    with pytest.raises(DataError, match=r"looks like cvat(.|\n)*not XML"):
        propose(str(tmp_path))
    path.write_text("<annotations><anything/></annotations>")  # of somebody else
    assert propose(str(tmp_path)).format == "image_folder"


many = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.text(
    alphabet=st.characters(exclude_characters='<&"', exclude_categories=("C",)), max_size=8
) | st.floats().map(str)


@many
@given(
    kind=st.sampled_from(["box", "polygon", "mask", "ellipse", "cuboid"]),
    values=st.lists(WORDS, min_size=8, max_size=8),
)
def test_anything_in_a_shape_is_a_box_or_a_problem(tmp_path: Path, kind: str, values: list[str]) -> None:
    names = {
        "box": ("xtl", "ytl", "xbr", "ybr", "rotation"),
        "polygon": ("points",),
        "mask": ("rle", "left", "top", "width", "height"),
        "ellipse": ("cx", "cy", "rx", "ry", "rotation"),
        "cuboid": ("xtl1", "ytl1"),
    }[kind]
    attributes = " ".join(f'{name}="{value}"' for name, value in zip(names, values, strict=False))
    found = read(scene(tmp_path, f'<{kind} label="dog" {attributes}/>'), masks="regions")
    for box in found.entries[0].targets.get("objects", []):
        assert np.isfinite(box).all()
    assert found.entries[0].targets or found.problems
