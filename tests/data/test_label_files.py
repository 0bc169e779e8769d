"""Files that name classes: what is in them, or why they are none; whatever they hold, never an error of Python's."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.data.formats.label_files import Label, is_label_file, label_files, names_in, read_labels
from mtl.data.onboard.propose import propose
from mtl.errors import DataError, MtlError
from mtl.storage.file_tree import FileTree
from tests.data.paired import PLAIN, Tree, tree

__all__ = ["tree"]
NAMES = (
    *(
        "labelmap.txt",
        "label_colors.txt",
        "class_dict.csv",
        "_classes.csv",
        "obj.names",
        "classes.txt",
        "objectInfo150.txt",
    ),
    *("dataset_meta.json", "id2label.json", "classes.json", "config_v2.0.json", "dataset.json"),
)


def test_names_say_which_files_they_are() -> None:
    assert all(is_label_file(name) for name in NAMES)
    assert not any(is_label_file(name) for name in ("train.txt", "notes.json", "train.csv", "my_labelmap.txt.bak"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cat\ndog\n", [(0, "cat"), (1, "dog")]),
        ("1 cat\n2 big dog\n", [(1, "cat"), (2, "big dog")]),
        ("/a/airfield 0\n/b/beach 1\n", [(0, "/a/airfield"), (1, "/b/beach")]),
        ("7 up\n7 down\n", [(0, "7 up"), (1, "7 down")]),
        ("", []),
    ],
)
def test_lists_of_names_with_and_without_numbers(text: str, found: list[tuple[int, str]]) -> None:
    assert [(label.value, label.name) for label in names_in(text)] == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.json", '{"cat": Infinity}'),
        ("classes.json", '{"cat": [1, 2]}'),
        ("classes.json", "[" * 100_000),
        ("classes.json", '[{"id": 1}]'),
        ("classes.json", "null"),
        ("class_dict.csv", "name,r,g,b\ncat,1,2\n"),
        ("class_dict.csv", "name,r,g,b\ncat,1,2,300\n"),
        ("class_dict.csv", "r,g,b\n1,2,3\n"),
        ("classes.txt", "cat\ncat\n"),
        ("labelmap.txt", "cat:1,2::\n"),
        ("objectInfo150.txt", "Idx\tName\n1\n"),
        ("label_colors.txt", "1 2 cat\n"),
    ],
)
def test_what_names_no_classes_is_refused(name: str, text: str) -> None:
    with pytest.raises(DataError, match=r"does not name classes"):
        read_labels(name, text)


def test_rows_without_a_name_are_no_classes() -> None:
    assert read_labels("class_dict.csv", "name,r,g,b\ncat,1,2,3\n,0,0,0\n") == [Label("cat", None, "#010203")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["0", "1", "cat"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["labels", "label_map", "name", "id", "color", "0", "cat"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(JSON, st.sampled_from([name for name in NAMES if name.endswith("json")]))
def test_whatever_a_json_file_holds(document: object, name: str) -> None:
    try:
        found = read_labels(name, json.dumps(document))
    except MtlError:
        return
    assert all(isinstance(label.name, str) and label.name for label in found)


@given(
    st.text(alphabet="abc019,:;\t\n #\"'\0é", max_size=60),
    st.sampled_from([n for n in NAMES if not n.endswith("json")]),
)
def test_whatever_a_text_holds(text: str, name: str) -> None:
    header = "Idx\tName\n" if name.startswith("object") else "name,r,g,b\n" if name.endswith("csv") else ""
    for given_ in (text, header + text):
        try:
            found = read_labels(name, given_)
        except MtlError:
            continue
        assert all(isinstance(label.name, str) and label.name for label in found)


def test_files_of_other_encodings_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes("käse\n".encode("latin-1"))
    (tmp_path / "labels.txt").write_bytes("\ufeffKäse\nBrot\n".encode("utf-16"))
    found = label_files(FileTree(str(tmp_path)))
    assert [label.name for label in found["labels.txt"]] == ["Käse", "Brot"]
    assert found.keys() == {"labels.txt"}


def test_damaged_trees_are_proposed_or_refused(tree: Tree) -> None:
    """Masks and the files that name their classes, with bytes changed, cut off or repeated."""
    chance = random.Random(3)
    names = {"classes.txt": "background\ncat\ndog\n", "class_dict.csv": "name,r,g,b\nbg,0,0,0\ncat,1,1,1\ndog,2,2,2\n"}
    names["id2label.json"] = json.dumps({"0": "background", "1": "cat", "2": "dog"})
    for i in range(6):
        tree.pair(f"images/{i}.png", f"masks/{i}.png", i, PLAIN)
    for round_ in range(60):
        for name in names:
            (tree.root / name).unlink(missing_ok=True)
        name = chance.choice([*names])
        (tree.root / name).write_bytes(damaged(names[name].encode(), chance))
        victim = tree.root / "masks" / f"{round_ % 6}.png"
        whole = victim.read_bytes()
        victim.write_bytes(damaged(whole, chance))
        said = ""
        try:
            propose(str(tree.root))
        except MtlError as error:
            said = str(error)
        assert "could not be looked at" not in said
        victim.write_bytes(whole)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed; or the end cut off."""
    found = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found[: chance.randrange(len(found) + 1)] if chance.random() < 0.4 else found)
