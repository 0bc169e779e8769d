"""Data sets of Hugging Face: their features are read, in whatever container and under whatever name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mtl.data.formats.base import Reading
from mtl.data.onboard.propose import propose
from mtl.data.raw.account import Names
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.data.small_sets import encoded, fetched, labels, pictures, read, written

datasets.disable_progress_bars()
ROWS = 24
SIZE = (64, 48)
CORNERS = np.array([[1.0, 2.0, 24.0, 18.0], [36.0, 30.0, 63.0, 47.0]])
PARQUET = "data/train-00000-of-00001.parquet"
CLASSES = datasets.ClassLabel(names=["cat", "dog"])
FLOATS = datasets.List(datasets.List(datasets.Value("float32"), 4))


def images(rows: int = ROWS, seed: int = 0) -> list[Any]:
    return [{"bytes": encoded(seed + i, SIZE), "path": None} for i in range(rows)]


def saved(folder: Path, columns: dict[str, Any], features: dict[str, Any], file: str = PARQUET) -> None:
    """A Parquet file as the hub has it."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, datasets.Features(features)).to_parquet(str(folder / file))


def plain(folder: Path, columns: dict[str, Any], file: str = PARQUET) -> None:
    """A Parquet file that does not say what its columns are."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / file)


def section_of(folder: Path) -> dict[str, Any]:
    """The only set that init proposes, without its path."""
    (section,) = propose(str(folder)).source["sets"].values()
    assert section["format"] == "huggingface"
    return {key: value for key, value in section.items() if key != "path"}


def proposed(folder: Path) -> Reading:
    """What the proposal reads."""
    return read(folder, **section_of(folder))


FORMS = {
    "xywh": lambda b: np.hstack([b[:, :2], b[:, 2:] - b[:, :2]]),
    "xyxy": lambda b: b,
    "cxcywh": lambda b: np.hstack([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]]),
}


@pytest.mark.parametrize(
    "key", ["category", "categories", "category_id", "class_label", "classes", "labels", "name", "what"]
)
@pytest.mark.parametrize("kind", ["classes", "text"])
def test_the_class_of_objects_is_found_by_its_type(key: str, kind: str, tmp_path: Path) -> None:
    values = [0, 1] if kind == "classes" else ["helmet", "vest"]
    feature = datasets.ClassLabel(names=["helmet", "vest"]) if kind == "classes" else datasets.Value("string")
    objects = {"bbox": FORMS["xywh"](CORNERS).tolist(), key: values, "id": [7, 8], "area": [368.0, 459.0]}
    features = {"bbox": FLOATS, key: datasets.List(feature), "id": datasets.List(datasets.Value("int64"))}
    features |= {"area": datasets.List(datasets.Value("float32"))}
    saved(tmp_path, {"image": images(), "objects": [objects] * ROWS}, {"image": datasets.Image(), "objects": features})
    found = proposed(tmp_path)
    assert found.targets["objects"].classes == ("helmet", "vest")
    assert found.entries[3].targets["objects"] == [[*CORNERS[0], 0.0], [*CORNERS[1], 1.0]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("layout", ["structs", "lists", "columns"])
def test_the_form_of_boxes_is_declared_or_the_only_one(form: str, relative: bool, layout: str, tmp_path: Path) -> None:
    scale = np.array([*SIZE, *SIZE], float) if relative else 1.0
    boxes = (FORMS[form](CORNERS) / scale).tolist()
    classes = [0, 1]
    columns: dict[str, Any] = {"image": images()}
    features: dict[str, Any] = {"image": datasets.Image()}
    if layout == "structs":
        columns["objects"] = [[{"bbox": b, "label": c} for b, c in zip(boxes, classes, strict=True)]] * ROWS
        features["objects"] = datasets.List({"bbox": datasets.List(datasets.Value("float64"), 4), "label": CLASSES})
    elif layout == "lists":
        columns["objects"] = [{"bbox": boxes, "label": classes}] * ROWS
        features["objects"] = {
            "bbox": datasets.List(datasets.List(datasets.Value("float64"))),
            "label": datasets.List(CLASSES),
        }
    else:
        columns |= {"boxes": [boxes] * ROWS, "labels": [classes] * ROWS}
        features |= {"boxes": datasets.List(datasets.List(datasets.Value("float64"))), "labels": datasets.List(CLASSES)}
    saved(tmp_path, columns, features)
    column = "boxes" if layout == "columns" else "objects"
    declared = read(tmp_path, format="huggingface", targets={"objects": column}, boxes=form)
    assert np.allclose(declared.entries[5].targets["objects"], np.hstack([CORNERS, [[0], [1]]]), atol=1e-4)
    if form == "cxcywh" and not relative:  # nobody writes it: it is to be declared
        return
    found = read(tmp_path, format="huggingface", targets={"objects": column})
    assert np.allclose(found.entries[5].targets["objects"], declared.entries[5].targets["objects"], atol=1e-4)
    assert [note for note in found.notes if note.startswith("boxes read as")]


def test_ambiguous_boxes_are_refused_unless_areas_decide(tmp_path: Path) -> None:
    objects = {"bbox": [[2.0, 3.0, 10.0, 12.0]], "label": [1]}
    features = {"bbox": FLOATS, "label": datasets.List(CLASSES)}
    saved(
        tmp_path / "a",
        {"image": images(), "objects": [objects] * ROWS},
        {"image": datasets.Image(), "objects": features},
    )
    with pytest.raises(DataError, match=r"nothing says(.|\n)*xyxy(.|\n)*xywh(.|\n)*boxes"):
        propose(str(tmp_path / "a"))
    objects["area"] = [120.0]
    features["area"] = datasets.List(datasets.Value("float32"))
    saved(
        tmp_path / "b",
        {"image": images(), "objects": [objects] * ROWS},
        {"image": datasets.Image(), "objects": features},
    )
    assert proposed(tmp_path / "b").entries[0].targets["objects"] == [[2.0, 3.0, 12.0, 15.0, 1.0]]


def test_objects_without_a_class_are_not_one_without_a_word(tmp_path: Path) -> None:
    for name, more in (("none", {}), ("two", {"label": [0, 1], "kind": [1, 0]})):
        objects = {"bbox": CORNERS.tolist(), **more}
        features = {"bbox": FLOATS, **{key: datasets.List(CLASSES) for key in more}}
        saved(
            tmp_path / name,
            {"image": images(), "objects": [objects] * ROWS},
            {"image": datasets.Image(), "objects": features},
        )
        with pytest.raises(DataError, match="says the class"):
            propose(str(tmp_path / name))
    one = {"objects": {"column": "objects", "kind": "label", "classes": ["face"]}}
    found = read(tmp_path / "none", format="huggingface", targets=one, boxes="xyxy")
    assert found.targets["objects"].classes == ("face",)
    assert len(found.entries[0].targets["objects"]) == 2
    chosen = read(tmp_path / "two", format="huggingface", targets={"objects": "objects"}, boxes="xyxy", category="kind")
    assert [box[4] for box in chosen.entries[0].targets["objects"]] == [1.0, 0.0]


def test_a_declared_size_is_what_boxes_are_measured_in(tmp_path: Path) -> None:
    objects = {"bbox": (2 * CORNERS).tolist(), "label": [0, -1]}
    columns = {"image": images(), "objects": [objects] * ROWS, "width": [128] * ROWS, "height": [96] * ROWS}
    whole = datasets.Value("int32")
    features = {"image": datasets.Image(), "width": whole, "height": whole}
    saved(tmp_path, columns, features | {"objects": {"bbox": FLOATS, "label": datasets.List(whole)}})
    written(tmp_path / "trainer_state.json", "{}")
    found = read(tmp_path, format="huggingface", targets={"objects": "objects"})
    assert found.targets["objects"].classes == ("0",)
    assert found.entries[0].targets["objects"] == [[*CORNERS[0], 0.0]]
    assert len(found.problems) == ROWS


def test_a_bad_object_is_skipped_and_unknown_is_no_label(tmp_path: Path) -> None:
    good = {"bbox": CORNERS.tolist(), "label": [0, 1]}
    bad = [
        {"bbox": [*CORNERS[:1].tolist(), [1.0, 2.0, 3.0]], "label": [0, 1]},
        {"bbox": CORNERS.tolist(), "label": [0, -1]},
        {"bbox": CORNERS.tolist(), "label": [0]},
        {"bbox": [], "label": []},
        None,
    ]
    columns = {
        "image": [*images(9)[:8], None],
        "objects": [good, good, good, *bad, good],
        "tags": [[0], [0, 1], [], [0, None], [-1], None, [1], [1], [1]],
        "label": [0, 1, -1, None, 1, 0, 1, 0, 1],
    }
    features = {
        "image": datasets.Image(),
        "objects": {"bbox": datasets.List(datasets.List(datasets.Value("float32"))), "label": datasets.List(CLASSES)},
        "tags": datasets.List(CLASSES),
        "label": CLASSES,
    }
    saved(tmp_path, columns, features)
    targets = {"objects": "objects", "tags": "tags", "label": "label"}
    found = read(tmp_path, format="huggingface", targets=targets, boxes="xyxy")
    assert [len(e.targets["objects"]) if "objects" in e.targets else None for e in found.entries] == [
        2,
        2,
        2,
        1,
        1,
        None,
        0,
        None,
    ]
    assert list(labels(found, "tags").values()) == [["cat"], ["cat", "dog"], [], ["dog"], ["dog"]]
    assert list(labels(found, "label").values()) == ["cat", "dog", "dog", "cat", "dog", "cat"]
    assert [(p.id, p.loses) for p in found.problems] == [
        ("train/00000008", "image"),
        *[(f"train/0000000{i}", "annotation") for i in (3, 4, 5)],
        *[(f"train/0000000{i}", "annotation") for i in (3, 4)],
    ]
    assert all("row" in p.reason for p in found.problems)


def test_text_and_numbers_and_flags_as_labels(tmp_path: Path) -> None:
    rows = range(ROWS)
    columns = {
        "picture": images(),
        "label": [("cat", "dog ", None)[i % 3] for i in rows],
        "tags": [[("a", "b")[i % 2]] for i in rows],
        "stage": [i % 3 - (i == 4) for i in rows],
        "is_new": [i % 2 == 0 for i in rows],
        "score": [i / 7 for i in rows],
        "sound": [b"x"] * ROWS,
        "caption": [f"picture {i}" for i in rows],
    }
    kinds = {
        "stage": "int64",
        "is_new": "bool",
        "score": "float32",
        "sound": "binary",
        "caption": "string",
        "label": "string",
    }
    features = {"picture": datasets.Image(), "tags": datasets.List(datasets.Value("string"))}
    features |= {name: datasets.Value(kind) for name, kind in kinds.items()}
    saved(tmp_path, columns, features)
    found = proposed(tmp_path)
    assert {name: (spec.kind, spec.classes) for name, spec in found.targets.items()} == {
        "label": ("label", ("cat", "dog")),
        "tags": ("labels", ("a", "b")),
        "stage": ("label", ("0", "1", "2")),
        "is_new": ("label", ("False", "True")),
        "score": ("value", ()),
    }
    assert sum("label" in entry.targets for entry in found.entries) == 16
    facts = " ".join(propose(str(tmp_path)).facts)
    assert "sound" in facts
    assert "caption" in facts


@pytest.mark.parametrize("how", ["bytes", "struct", "path"])
def test_images_in_columns_of_other_types(how: str, tmp_path: Path) -> None:
    pictures(tmp_path, [f"pics/{i}.png" for i in range(ROWS)], SIZE)
    data = {"bytes": [encoded(i, SIZE) for i in range(ROWS)], "struct": images()}
    data["path"] = [{"bytes": None, "path": f"{i}.png"} for i in range(ROWS)]
    plain(tmp_path, {"img": data[how], "label": [("cat", "dog")[i % 2] for i in range(ROWS)]})
    section = section_of(tmp_path)
    _, samples, _ = fetched({"own": {"path": str(tmp_path), **section}}, tmp_path / "out")
    assert len(samples) == ROWS
    place = FileTree(str(tmp_path))
    seen = {place.read(sample.image.name) for sample in samples.values() if isinstance(sample.image, FileRef)}
    assert seen == {encoded(i, SIZE) for i in range(ROWS)}


def test_the_card_says_what_the_file_does_not(tmp_path: Path) -> None:
    plain(tmp_path, {"image": images(), "label": [i % 2 for i in range(ROWS)]})
    assert labels(proposed(tmp_path), "label")["train/00000001"] == "1"
    card = "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: label\n    dtype:\n      class_label:\n        names:\n          '0': cat\n          '1': dog\n---\n# Cats\n"
    written(tmp_path / "README.md", card)
    assert labels(proposed(tmp_path), "label")["train/00000001"] == "dog"
    (tmp_path / "README.md").unlink()
    infos = {
        "default": {
            "features": {"image": {"_type": "Image"}, "label": {"names": ["ant", "bee"], "_type": "ClassLabel"}}
        }
    }
    written(tmp_path / "dataset_infos.json", json.dumps(infos))
    assert labels(proposed(tmp_path), "label")["train/00000001"] == "bee"


@pytest.mark.parametrize(
    "files",
    [
        [
            "data/train-00000-of-00002.parquet",
            "data/train-00001-of-00002.parquet",
            "data/validation-00000-of-00001.parquet",
            "data/test-00000-of-00001-a1b2c3.parquet",
        ],
        ["train/0000.parquet", "train/0001.parquet", "val/0000.parquet", "test/0000.parquet"],
        [
            "default/train/0000.parquet",
            "default/valid/0000.parquet",
            "default/test/0000.parquet",
            "default/test/0001.parquet",
        ],
        ["train.parquet", "dev.parquet", "test.parquet"],
    ],
)
def test_files_say_their_splits(files: list[str], tmp_path: Path) -> None:
    for number, file in enumerate(files):
        saved(
            tmp_path,
            {"image": images(6, 6 * number), "label": [0, 1] * 3},
            {"image": datasets.Image(), "label": CLASSES},
            file,
        )
    found = proposed(tmp_path)
    assert len(found.entries) == 6 * len(files) == len({entry.id for entry in found.entries})
    assert {entry.split for entry in found.entries} == {"train", "val", "test"}
    assert found.documents == {*files}


def test_several_data_sets_in_one_folder_are_named(tmp_path: Path) -> None:
    for name in ("large", "small"):
        saved(
            tmp_path,
            {"image": images(4), "label": [0, 1] * 2},
            {"image": datasets.Image(), "label": CLASSES},
            f"{name}/train-00000-of-00001.parquet",
        )
    with pytest.raises(DataError, match=r"several data sets(.|\n)*large, small"):
        propose(str(tmp_path))


def test_what_save_to_disk_wrote(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": CLASSES})
    splits = {
        name: datasets.Dataset.from_dict({"image": images(8, 8 * number), "label": [0, 1] * 4}, features)
        for number, name in enumerate(("train", "validation", "test"))
    }
    datasets.DatasetDict(**splits).save_to_disk(str(tmp_path / "d"))
    found = proposed(tmp_path / "d")
    assert [sum(entry.split == split for entry in found.entries) for split in ("train", "val", "test")] == [8, 8, 8]
    _, _, account = fetched({"own": {"path": str(tmp_path / "d"), **section_of(tmp_path / "d")}}, tmp_path)
    assert account.files[0].unaccounted.number == 0
    state = json.loads((tmp_path / "d" / "train" / "state.json").read_text())
    written(tmp_path / "d" / "train" / "state.json", json.dumps(state | {"_indices_files": [{"filename": "x.arrow"}]}))
    with pytest.raises(DataError, match="selection of rows"):
        propose(str(tmp_path / "d"))


def test_images_of_masks_are_masks(tmp_path: Path) -> None:
    import io

    def mask(value: int) -> dict[str, Any]:
        buffer, pixels = io.BytesIO(), np.zeros(SIZE[::-1], np.uint8)
        pixels[5:9, 5:9] = value
        Image.fromarray(pixels).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    columns = {"image": images(), "annotation": [mask(i % 3) for i in range(ROWS)]}
    saved(tmp_path, columns, {"image": datasets.Image(), "annotation": datasets.Image()})
    found = proposed(tmp_path)
    assert found.targets["annotation"].kind == "mask"
    assert found.targets["annotation"].classes == ("background", "class_1", "class_2")
    assert FileTree(str(tmp_path)).read(found.entries[2].targets["annotation"].name) == mask(2)["bytes"]
    saved(tmp_path / "b", {"a": images(2), "b": images(2)}, {"a": datasets.Image(), "b": datasets.Image()})
    with pytest.raises(DataError, match="several could"):
        propose(str(tmp_path / "b"))


def test_masks_of_0_and_255_are_two_classes(tmp_path: Path) -> None:
    import io

    buffer, pixels = io.BytesIO(), np.zeros(SIZE[::-1], np.uint8)
    pixels[5:9, 5:9] = 255
    Image.fromarray(pixels).save(buffer, "PNG")
    masks = [{"bytes": buffer.getvalue(), "path": None}] * ROWS
    saved(tmp_path, {"image": images(), "mask": masks}, {"image": datasets.Image(), "mask": datasets.Image()})
    spec = proposed(tmp_path).targets["mask"]
    assert (spec.classes, spec.values) == (("background", "object"), (0, 255))


def metadata(kind: str, rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Rows beside images, as `imagefolder` has them."""
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), folder / "metadata.parquet")
    elif kind == "jsonl":
        written(folder / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        written(folder / "metadata.csv", "\n".join(lines))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_images_with_metadata(kind: str, tmp_path: Path) -> None:
    for number, split in enumerate(("train", "validation", "test")):
        pictures(tmp_path / "d" / split, [f"{i}.png" for i in range(9)], SIZE, seed=20 * number)
        rows = [{"file_name": f"{i}.png", "label": ("cat", "dog")[i % 2], "score": i / 4} for i in range(8)]
        metadata(kind, rows, tmp_path / "d" / split)
    proposal = propose(str(tmp_path / "d"))
    assert proposal.format == "huggingface"
    assert proposal.tasks == {"label": {"type": "classification"}, "score": {"type": "regression"}}
    assert proposal.source["split"] == {"type": "given"}
    _, samples, account = fetched(proposal.source["sets"], tmp_path, split={"type": "given"})
    assert {i for i in samples if i.startswith("validation")} == {f"validation/{i}" for i in range(8)}
    (files,) = account.files
    assert files.left_out == {
        "no row of the metadata names it": Names(number=3, files=("test/8.png", "train/8.png", "validation/8.png"))
    }
    assert files.unaccounted.number == 0


def test_metadata_with_objects_and_masks(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{i}.png" for i in range(ROWS)], SIZE)
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[3:9, 3:9] = 1
    (tmp_path / "m").mkdir()
    rows = []
    for i in range(ROWS):
        Image.fromarray(np.roll(mask, i)).save(tmp_path / "m" / f"{i}.png")
        objects = {"bbox": FORMS["xywh"](CORNERS).tolist(), "categories": [0, 1]}
        rows.append({"file_name": f"{i}.png", "mask_file_name": f"m/{i}.png", "objects": objects})
    metadata("jsonl", rows, tmp_path)
    found = proposed(tmp_path)
    assert {name: spec.kind for name, spec in found.targets.items()} == {"objects": "boxes", "mask": "mask"}
    assert found.entries[0].targets["objects"] == [[*CORNERS[0], 0.0], [*CORNERS[1], 1.0]]
    assert found.entries[0].targets["mask"] == FileRef("m/0.png")


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path / "a" / PARQUET, b"PAR1nothing")
    written(tmp_path / "b" / "metadata.jsonl", '{"file_name": "0.png"}\nfile_name\n')
    written(tmp_path / "c" / "state.json", "[]")
    written(tmp_path / "c" / "data-00000-of-00001.arrow", b"")
    for name in "abc":
        pictures(tmp_path / name, ["0.png"])
        with pytest.raises(DataError, match="huggingface"):
            propose(str(tmp_path / name))


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 300), st.floats(), st.text(max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["bbox", "category", "id"]), inner, max_size=3)
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(objects=st.lists(JUNK, min_size=1, max_size=3), label=JUNK)
def test_whatever_is_in_metadata(objects: list[Any], label: Any, tmp_path: Path) -> None:
    pictures(tmp_path, ["0.png", "1.png"], SIZE)
    rows = [{"file_name": f"{i % 2}.png", "objects": found, "label": label} for i, found in enumerate(objects)]
    written(tmp_path / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    for targets in ({"objects": "objects"}, {"label": "label"}):
        try:
            found = read(tmp_path, format="huggingface", targets=targets, boxes="xywh")
        except DataError:
            continue
        for entry in found.entries if "objects" in targets and found.targets["objects"].kind == "boxes" else []:
            assert all(np.isfinite(box).all() for box in entry.targets.get("objects", []))
