"""What tables say of their images besides targets: the split, the group, the time; and which images they are of."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.data.formats.base import cell_split
from mtl.data.onboard.propose import Proposal, propose
from mtl.data.raw.rows import read_split
from mtl.data.spec import SPLITS
from mtl.errors import DataError
from tests.data.small_sets import encoded, fetched, pictures, read, written

FORTY = [f"{i}.png" for i in range(40)]
BOXES = "image,xmin,ymin,xmax,ymax,label"


def lines(header: str, row: Callable[[int], str], number: int = 40) -> str:
    """A table whose rows are made of their numbers."""
    return "\n".join([header, *(row(i) for i in range(number))]) + "\n"


def kind(i: int) -> str:
    return ("cat", "dog")[i % 2]


def section(proposal: Proposal) -> dict[str, Any]:
    (one,) = proposal.source["sets"].values()
    return one


def splits(folder: Path, sets: dict[str, Any], split: dict[str, Any]) -> dict[str, str]:
    """Id → split, as the fetch stage places it."""
    spec, _, _ = fetched(sets, folder, split=split)
    return {s.id.rsplit("/")[-1]: name for name in SPLITS for s in read_split(folder / "raw", name, spec)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty pictures in img/."""
    pictures(tmp_path / "d" / "img", FORTY)
    return tmp_path / "d"


def part(i: int) -> str:
    return ("train", "train", "train", "Validation", "TEST")[i % 5]


@pytest.mark.parametrize("column", ["split", "set", "part of the study"])
def test_a_table_of_boxes_says_the_split(folder: Path, tmp_path: Path, column: str) -> None:
    written(folder / "t.csv", lines(f"{BOXES},{column}", lambda i: f"{i}.png,2,3,20,15,{kind(i)},{part(i)}"))
    proposal = propose(str(folder))
    assert section(proposal)["split"] == column
    assert proposal.source["split"] == {"type": "given"}
    found = splits(tmp_path, proposal.source["sets"], {"type": "given"})
    assert found == {str(i): ("train", "train", "train", "val", "test")[i % 5] for i in range(40)}


def test_a_table_of_boxes_says_the_patient_and_not_the_box(folder: Path) -> None:
    def row(i: int) -> str:
        return "\n".join(f"{i}.png,{2 + k},3,20,15,{kind(i)},p{i // 2},{k}" for k in range(2))

    written(folder / "t.csv", lines(f"{BOXES},patient,track_id", row))
    assert section(propose(str(folder)))["group"] == "patient"


def test_rows_of_one_image_that_contradict_each_other_cost_it(folder: Path) -> None:
    rows = lines(f"{BOXES},patient", lambda i: f"{i}.png,2,3,20,15,{kind(i)},p{i // 2}")
    written(folder / "t.csv", rows + "0.png,5,6,20,15,cat,p7\n")
    found = read(folder, format="box_table", table="t.csv", group="patient")
    assert [(p.id, p.loses) for p in found.problems] == [("img/0", "image")]
    assert "'p0'" in found.problems[0].reason
    assert "'p7'" in found.problems[0].reason


def test_images_without_boxes_may_be_written_with_nan(folder: Path) -> None:
    empty = "nan,nan,nan,nan,nan"
    written(folder / "t.csv", lines(BOXES, lambda i: f"{i}.png,{empty if i % 2 else f'2,3,20,{9 + i % 8},cat'}"))
    proposal = propose(str(folder))
    assert set(proposal.tasks) == {"objects"}
    found = read(folder, **{k: v for k, v in section(proposal).items() if k != "path"})
    assert [len(entry.targets["objects"]) for entry in found.entries] == [(i + 1) % 2 for i in range(40)]


def test_googles_tables_of_boxes_have_no_names(folder: Path, tmp_path: Path) -> None:
    words = ("TRAIN", "TRAIN", "TRAIN", "VALIDATE", "TEST")
    rows = [f"{words[i % 5]},gs://b/img/{i}.png,{kind(i)},0.25,0.125,,,0.75,0.5,," for i in range(40)]
    written(folder / "t.csv", "\n".join(rows))
    proposal = propose(str(folder))
    assert set(proposal.tasks) == {"objects"}
    _, samples, _ = fetched(proposal.source["sets"], tmp_path, split=proposal.source["split"])
    assert {tuple(box[:4]) for s in samples.values() for box in s.targets["objects"]} == {(8.0, 3.0, 24.0, 12.0)}


def test_numbers_without_names_that_may_be_boxes_are_refused(folder: Path) -> None:
    rows = [f"img/{i}.png,{kind(i)},2,{3 + i % 3},{20 + i % 4},15" for i in range(40)]
    written(folder / "t.csv", "\n".join(rows))
    with pytest.raises(DataError, match="may be boxes"):
        propose(str(folder))


@pytest.mark.parametrize("words", [("True", "False"), ("1", "0")])
def test_a_column_of_yes_and_no_says_the_split(folder: Path, tmp_path: Path, words: tuple[str, str]) -> None:
    written(folder / "t.csv", lines("image,label,is_valid", lambda i: f"{i}.png,{kind(i)},{words[i % 4 > 0]}"))
    proposal = propose(str(folder))
    assert set(proposal.tasks) == {"label"}
    found = splits(tmp_path, proposal.source["sets"], {"type": "given"})
    assert found == {str(i): "train" if i % 4 else "val" for i in range(40)}
    assert cell_split("is_test", "yes") == "test"
    assert cell_split("is_test", "perhaps") is None


def test_two_columns_of_yes_and_no_are_no_split_alone(folder: Path) -> None:
    rows = lines("image,label,is_valid,is_test", lambda i: f"{i}.png,{kind(i)},{i % 4 == 0},{i % 4 == 1}")
    written(folder / "t.csv", rows)
    proposal = propose(str(folder))
    assert "split" not in section(proposal)
    assert any("is_valid and is_test" in fact for fact in proposal.facts)


def test_a_table_of_patients_beside_one_of_labels_is_read(folder: Path, tmp_path: Path) -> None:
    written(folder / "labels.csv", lines("image,label", lambda i: f"{i}.png,{kind(i)}"))
    written(folder / "patients.csv", lines("image,patient_id", lambda i: f"{i}.png,p{i // 4}"))
    proposal = propose(str(folder))
    assert set(proposal.tasks) == {"label"}
    found = splits(tmp_path, proposal.source["sets"], proposal.source["split"])
    assert len({(i // 4, found[str(i)]) for i in range(40)}) == 10


def test_one_patient_is_one_in_two_tables_with_and_without_gaps(folder: Path) -> None:
    written(folder / "a.csv", lines("image,label,patient", lambda i: f"{i}.png,{kind(i)},{i % 5}"))
    written(folder / "b.csv", lines("image,label,patient", lambda i: f"{i}.png,{kind(i)},{i % 5}.0"))
    targets = {"label": {"column": "label", "kind": "label"}}
    one, other = (read(folder, format="table", table=f"{n}.csv", group="patient", targets=targets) for n in "ab")
    assert [e.group for e in one.entries] == [e.group for e in other.entries] == [str(i % 5) for i in range(40)]


def test_metadata_says_groups_and_times(tmp_path: Path) -> None:
    pictures(tmp_path / "d" / "train", FORTY)
    row = "{0}.png,{1},p{2},2024-05-{3:02d}"
    text = lines("file_name,label,patient_id,taken", lambda i: row.format(i, kind(i), i // 4, 1 + i % 28))
    written(tmp_path / "d" / "train" / "metadata.csv", text)
    own = section(propose(str(tmp_path / "d")))
    assert (own["format"], own["group"], own["time"]) == ("huggingface", "patient_id", "taken")
    found = read(Path(own["path"]), **{k: v for k, v in own.items() if k != "path"})
    assert {(e.id, e.group) for e in found.entries} == {(str(i), f"p{i // 4}") for i in range(40)}
    assert found.entries[0].time == "2024-05-01"


@pytest.mark.parametrize("other", ["masks", "gt", "a_depth"])
def test_images_of_a_table_are_not_taken_for_masks(tmp_path: Path, other: str) -> None:
    pictures(tmp_path / "images", FORTY)
    pictures(tmp_path / other, FORTY, seed=100)
    written(tmp_path / "t.csv", lines("image,label", lambda i: f"{i}.png,{kind(i)}"))
    sets = propose(str(tmp_path)).source["sets"]
    assert [one["images"] for one in sets.values() if one["format"] == "table"] == ["images"]


@pytest.mark.parametrize("header", ["image,label", BOXES])
def test_names_that_are_those_of_two_folders_are_refused(tmp_path: Path, header: str) -> None:
    for number, camera in enumerate(("camera1", "camera2")):
        pictures(tmp_path / camera, FORTY, seed=100 * number)
    box = "2,3,20,15," if header == BOXES else ""
    written(tmp_path / "t.csv", lines(header, lambda i: f"{i}.png,{box}{kind(i)}"))
    with pytest.raises(DataError, match=r"0\.png may be in camera1 or in camera2"):
        propose(str(tmp_path))


def test_cells_of_objects_are_no_labels(folder: Path) -> None:
    regions = [{"image": f"img/{i}.png", "label": [{"x": 1, "y": 2, "names": [kind(i)]}]} for i in range(40)]
    written(folder / "t.json", json.dumps(regions))
    with pytest.raises(DataError, match="outlines, boxes"):
        propose(str(folder))


def test_a_class_that_the_training_split_lacks_is_named(folder: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        for label in ("cat", "dog", *(["owl"] if split == "test" else [])):
            pictures(folder / "c" / split / label, FORTY[:6], seed=1000 * number + 100 * len(label) + ord(label[0]))
    with pytest.raises(DataError, match="train lacks classes of label that other splits have: owl"):
        propose(str(folder / "c"))


def test_possible_class_folders_are_named_if_a_table_has_none(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{kind(i)}/{i}.png" for i in range(40)])
    written(tmp_path / "t.csv", lines("image,weight", lambda i: f"{i}.png,{i / 7:.2f}"))
    assert any("may be classes" in fact and "cat, dog" in fact for fact in propose(str(tmp_path)).facts)


def test_tables_whose_labels_have_nothing_in_common_are_said(folder: Path) -> None:
    written(folder / "a.csv", "image,label\n" + "".join(f"{i}.png,{kind(i)}\n" for i in range(20)))
    written(folder / "b.csv", "image,label\n" + "".join(f"{i}.png,{('yes', 'no')[i % 2]}\n" for i in range(20, 40)))
    assert any("no class of it in common" in fact for fact in propose(str(folder)).facts)


SAME = ["K\u00e4se", "Ka\u0308se", "K\u00e4se\u200b", "\ufeffK\u00e4se", "K\u00e4se\u00a0"]


def test_labels_that_look_the_same_are_one(folder: Path) -> None:
    written(folder / "t.csv", lines("image,label", lambda i: f"{i}.png,{SAME[i % 5] if i % 2 else 'dog'}"))
    written(folder / "t.json", json.dumps([{"image": f"{i}.png", "label": [SAME[i % 5]]} for i in range(40)]))
    targets = {"label": {"column": "label", "kind": "label"}}
    assert read(folder, format="table", table="t.csv", targets=targets).targets["label"].classes == ("K\u00e4se", "dog")
    targets["label"]["kind"] = "labels"
    assert read(folder, format="table", table="t.json", targets=targets).targets["label"].classes == ("K\u00e4se",)


def test_folders_that_look_the_same_are_one_class(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        pictures(tmp_path / split / SAME[number], FORTY[:8], seed=100 * number)
        pictures(tmp_path / split / "dog", FORTY[:8], seed=100 * number + 50)
    assert read(tmp_path, format="image_folder").targets["label"].classes == ("K\u00e4se", "dog")


def test_names_of_every_format_are_as_they_are_seen(tmp_path: Path) -> None:
    for i, name in enumerate(SAME):
        objects = f"<object><name>{name}</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
        written(tmp_path / "voc" / f"{i}.xml", f"<annotation><filename>{i}.png</filename>{objects}</annotation>")
        written(tmp_path / "yolo" / f"{i}.txt", "0 0.5 0.5 0.2 0.2")
    pictures(tmp_path / "voc", FORTY[:5])
    pictures(tmp_path / "yolo", FORTY[:5])
    pictures(tmp_path / "coco", FORTY[:5])
    written(tmp_path / "yolo" / "classes.txt", f"{SAME[1]}\u200b\n")
    box = {"bbox": [2, 2, 5, 5], "category_id": 1}
    document = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(5)],
        "annotations": [{"id": i, "image_id": i, **box} for i in range(5)],
        "categories": [{"id": 1, "name": SAME[1]}],
    }
    written(tmp_path / "coco" / "annotations.json", json.dumps(document))
    for form in ("voc", "yolo", "coco"):
        assert read(tmp_path / form, format=form).targets["objects"].classes == ("K\u00e4se",), form


def test_webdataset_says_groups(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train-000.tar", "w") as archive:
        for i in range(40):
            said = json.dumps({"label": kind(i), "patient_id": i // 4, "taken": "2024-05-01"}).encode()
            for name, data in ((f"{i:03d}.png", encoded(i)), (f"{i:03d}.json", said)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    own = section(propose(str(tmp_path)))
    assert (own["group"], own["time"]) == ("json:patient_id", "json:taken")
    found = read(tmp_path, **{k: v for k, v in own.items() if k != "path"})
    assert [(e.group, e.time) for e in found.entries] == [(str(i // 4), "2024-05-01") for i in range(40)]


@pytest.mark.parametrize("form", ["image_folder", "yolo"])
def test_a_splits_and_patients_table_works_with_any_format(tmp_path: Path, form: str) -> None:
    names = [f"{kind(i)}/{i}.png" if form == "image_folder" else f"images/{i}.png" for i in range(40)]
    pictures(tmp_path / "d", names)
    if form == "yolo":
        written(tmp_path / "d" / "classes.txt", "cat\ndog\n")
        for i in range(40):
            written(tmp_path / "d" / "labels" / f"{i}.txt", f"{i % 2} 0.5 0.5 0.2 0.2")
    written(tmp_path / "d" / "s.csv", lines("image,patient,split", lambda i: f"{names[i]},p{i // 10},{part(i // 10)}"))
    proposal = propose(str(tmp_path / "d"))
    assert proposal.format == form
    assert proposal.source["split"] == {"type": "given", "judged_on": "val"}
    spec, samples, _ = fetched(proposal.source["sets"], tmp_path, split=proposal.source["split"])
    assert set(spec.targets) == {"label" if form == "image_folder" else "objects"}
    assert {(s.id.rsplit("/")[-1], s.group) for s in samples.values()} == {(str(i), f"p{i // 10}") for i in range(40)}
    found = splits(tmp_path, proposal.source["sets"], proposal.source["split"])
    assert found == {str(i): "train" if i < 30 else "val" for i in range(40)}


def test_a_table_of_other_images_too_is_left_to_be_declared(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{kind(i)}/{i}.png" for i in range(40)])
    written(tmp_path / "s.csv", lines("image,patient", lambda i: f"{kind(i)}/{i}.png,p{i // 4}", number=60))
    assert {one["format"] for one in propose(str(tmp_path)).source["sets"].values()} == {"image_folder"}


def test_the_column_of_boxes_classes_is_no_task_of_its_own(tmp_path: Path) -> None:
    columns = {
        "image": [{"bytes": encoded(i), "path": None} for i in range(20)],
        "bboxes": [[[20.0, 14.0, 10.0, 8.0]] for _ in range(20)],
        "labels": [[kind(i)] for i in range(20)],
    }
    pq.write_table(pa.table(columns), tmp_path / "train-00000-of-00001.parquet")
    assert set(section(propose(str(tmp_path)))["targets"].values()) == {"bboxes"}
