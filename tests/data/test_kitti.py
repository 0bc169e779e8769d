"""KITTI's objects: lines of fifteen words, regions that nobody has labelled, and layouts of others who write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtl.config.files import KittiSet
from mtl.data.formats import Reading
from mtl.data.formats.kitti import read_kitti
from mtl.data.onboard.propose import propose
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.data.drawn import picture, written
from tests.data.test_account import adds_up
from tests.data.test_propose import run


def line(name: str = "Car", box: str = "24.00 12.00 40.00 36.00") -> str:
    return f"{name} 0.00 0 -1.57 {box} 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n"


DONT_CARE = "DontCare -1 -1 -10 2.00 3.00 9.00 8.00 -1 -1 -1 -1000 -1000 -1000 -10\n"


def read(folder: Path, **chosen: Any) -> Reading:
    return read_kitti(KittiSet(format="kitti", path=str(folder), **chosen), FileTree(str(folder)))


def scene(folder: Path, text: str | None, name: str = "000000", seed: int = 0) -> Path:
    picture(folder / "image_2" / f"{name}.png", seed)
    if text is not None:
        written(folder / "label_2" / f"{name}.txt", text)
    return folder


def test_pixels_count_from_zero_and_classes_follow_kitti(tmp_path: Path) -> None:
    found = read(scene(tmp_path, line("Misc") + line("Car") + line("Tractor") + line("Pedestrian")))
    assert found.targets["objects"].classes == ("Car", "Pedestrian", "Misc", "Tractor")
    assert found.entries[0].targets["objects"][1] == [24, 12, 40, 36, 0]


def test_detections_in_dont_care_regions_do_not_count(tmp_path: Path) -> None:
    found = read(scene(tmp_path, line("Car") + DONT_CARE + line("Van")))
    assert found.entries[0].targets["objects"] == [
        [24, 12, 40, 36, 0, 0],
        [2, 3, 9, 8, 0, 1],
        [2, 3, 9, 8, 1, 1],
        [24, 12, 40, 36, 1, 0],
    ]


def test_declared_types_are_taken_and_others_passed_over(tmp_path: Path) -> None:
    found = read(scene(tmp_path, line("Car") + line("Van")), classes=("Van", "Tram"))
    assert found.entries[0].targets["objects"] == [[24, 12, 40, 36, 0]]
    assert sum("not declared" in note for note in found.notes) == 1
    with pytest.raises(DataError, match="no object of a class"):
        read(tmp_path, classes=("Boat",))


def test_an_empty_file_is_nothing_and_a_missing_one_no_label(tmp_path: Path) -> None:
    for i, text in enumerate((line(), "", None)):
        scene(tmp_path, text, f"{i:06d}", i)
    written(tmp_path / "label_2" / "000009.txt", line())
    found = read(tmp_path)
    assert [entry.targets for entry in found.entries] == [{"objects": [[24, 12, 40, 36, 0]]}, {"objects": []}, {}]
    assert [problem.file for problem in found.problems] == ["label_2/000009.txt"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("Car 0 0 0 1 2 3 4\n", "not KITTI's"),
        ("Car 0 0 0 1 2 3 four 1 1 1 1 1 1 1\n", "not KITTI's"),
        ("0 0 0 0 1 2 30 40 1 1 1 1 1 1 1\n", "not KITTI's"),
        (line(box="24 12 nan 36"), "not KITTI's"),
        (line(box="24 12 20 36"), "no area"),
    ],
)
def test_a_line_that_cannot_be_used_costs_itself(bad: str, reason: str, tmp_path: Path) -> None:
    found = read(scene(tmp_path, line() + bad))
    (problem,) = found.problems
    assert reason in problem.reason
    assert problem.loses == "annotation"
    assert len(found.entries[0].targets["objects"]) == 1
    scene(tmp_path, bad)
    found = read(scene(tmp_path, line(), "000001", 1))
    lost = {problem.id for problem in found.problems if problem.loses == "image"}
    assert lost == {"000000"}  # that nothing is in it, nobody has said


def training_and_testing(folder: Path) -> None:
    for i in range(20):
        scene(folder / "training", line() + DONT_CARE, f"{i:06d}", i)
        written(folder / "training" / "calib" / f"{i:06d}.txt", "P0: 7.2 0 6.1\n")
        (folder / "training" / "velodyne").mkdir(exist_ok=True)
        (folder / "training" / "velodyne" / f"{i:06d}.bin").write_bytes(b"points")
    for i in range(4):
        picture(folder / "testing" / "image_2" / f"{i:06d}.png", 100 + i)


def with_lists(folder: Path) -> None:
    for i in range(20):
        scene(folder, line(), f"{i:06d}", i)
    for split, numbers in (
        ("train", range(12)),
        ("val", range(12, 16)),
        ("test", range(16, 20)),
        ("trainval", range(16)),
    ):
        written(folder / "ImageSets" / f"{split}.txt", "".join(f"{i:06d}\n" for i in numbers))


def tao(folder: Path) -> None:
    for i in range(20):
        picture(folder / "images" / f"{i}.jpg", i)
        written(folder / "labels" / f"{i}.txt", line("road_sign"))


def subsets(folder: Path) -> None:
    for i in range(20):
        split = ("train", "train", "train", "val", "test")[i % 5]
        picture(folder / "image_2" / split / f"{i}.jpg", i)
        written(folder / "label_2" / split / f"{i}.txt", line())


@pytest.mark.parametrize("layout", [training_and_testing, with_lists, tao, subsets])
def test_a_layout_is_proposed(layout: Callable[[Path], None], tmp_path: Path) -> None:
    layout(tmp_path / "given")
    proposal = propose(str(tmp_path / "given"))
    assert proposal.format == "kitti"
    splits, account = run(proposal, tmp_path)
    assert {s: len(ids) for s, ids in splits.items()} == {"train": 12, "val": 4, "test": 4} or layout not in (
        with_lists,
        subsets,
    )
    (files,) = account.files
    assert adds_up(files)
    assert files.unaccounted.number == files.problems == 0
    assert sum(left.number for left in files.left_out.values()) == (40 if layout is training_and_testing else 0)


def test_tracking_is_refused_by_name(tmp_path: Path) -> None:
    for i in range(4):
        picture(tmp_path / "image_02" / "0000" / f"{i:06d}.png", i)
    written(tmp_path / "label_02" / "0000.txt", "".join(f"{i} 0 {line()}" for i in range(4)))
    with pytest.raises(DataError, match="tracking"):
        propose(str(tmp_path))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.floats().map(str) | st.text(max_size=4), max_size=18), data=st.binary(max_size=20))
def test_anything_in_a_file_is_a_box_or_a_problem(tmp_path: Path, words: list[str], data: bytes) -> None:
    scene(tmp_path, "Car " + " ".join(words), "000001", 1)
    scene(tmp_path, None, "000002", 2)
    (tmp_path / "label_2" / "000002.txt").write_bytes(data)
    found = read(scene(tmp_path, line()))
    assert found.entries[0].targets == {
        "objects": [[24, 12, 40, 36, float(found.targets["objects"].classes.index("Car"))]]
    }
    for entry in found.entries:
        assert np.isfinite([box[:5] for box in entry.targets.get("objects", [])]).all()
