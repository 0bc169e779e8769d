"""WebDataset's tar files: what its keys mean, what is a shard and what is not, and members of all kinds."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mtl.data.onboard.propose import propose
from mtl.errors import DataError
from tests.data.small_sets import encoded, fetched, labels, pictures, read, written

COUNT = 30


def tar(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> None:
    """A tar file of these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def samples(count: int = COUNT, seed: int = 0, key: str = "{i:04d}", **members: Any) -> list[tuple[str, bytes]]:
    """A picture per key, and members by their extensions: texts, or functions of the number."""
    found: list[tuple[str, bytes]] = []
    for i in range(count):
        stem = key.format(i=i)
        found.append((f"{stem}.png", encoded(seed + i)))
        for extension, value in members.items():
            data = value(i) if callable(value) else value
            found.append((f"{stem}.{extension}", data if isinstance(data, bytes) else str(data).encode()))
    return found


def section_of(folder: Path) -> dict[str, Any]:
    (section,) = propose(str(folder)).source["sets"].values()
    assert section["format"] == "webdataset"
    return {key: value for key, value in section.items() if key != "path"}


@pytest.mark.parametrize(
    ("members", "target", "wanted"),
    [
        ({"cls": lambda i: i % 3}, "label", "1"),
        ({"CLS": lambda i: f"{i % 3}\n"}, "label", "1"),
        ({"txt": lambda i: ("cat", "dog")[i % 2]}, "txt", "dog"),
        ({"json": lambda i: json.dumps({"label": i % 3})}, "label", "1"),
        (
            {"json": lambda i: json.dumps({"Kind": ("a", "b")[i % 2], "caption": f"no {i}", "sub": {"x": 1}})},
            "kind",
            "b",
        ),
        ({"json": lambda i: json.dumps({"ok": i % 2 == 0})}, "ok", "False"),
        (
            {"json": lambda i: json.dumps({"a": None if i % 2 else "x", "tags": [["p"], ["p", "q"]][i % 2]})},
            "tags",
            ["p", "q"],
        ),
        ({"json": lambda i: json.dumps({"score": i / 7})}, "score", 1 / 7),
    ],
)
def test_init_finds_what_members_say(members: dict[str, Any], target: str, wanted: Any, tmp_path: Path) -> None:
    tar(tmp_path / "train-000.tar", samples(**members))
    section = section_of(tmp_path)
    assert set(section["targets"]) == {target}
    found = read(tmp_path, **section)
    assert labels(found, target)["0001"] == wanted
    assert found.problems == []
    assert found.documents == {"train-000.tar"}


def test_a_key_ends_at_the_first_dot_and_this_is_said(tmp_path: Path) -> None:
    tar(tmp_path / "a" / "x.tar", samples(key="v1.{i}", cls=1))
    with pytest.raises(DataError, match=r"first dot"):
        propose(str(tmp_path / "a"))
    # Dots of folders are no end of a key.
    tar(tmp_path / "b" / "x.tar", samples(key="v1.0/{i:04d}", cls=lambda i: i % 2))
    assert labels(read(tmp_path / "b", **section_of(tmp_path / "b")), "label")["v1.0/0001"] == "1"
    tar(tmp_path / "c" / "x.tar", [*samples(cls=lambda i: i % 2), ("9.a.png", encoded(99)), ("9.a.cls", b"1")])
    found = read(tmp_path / "c", **section_of(tmp_path / "c"))
    assert len(found.entries) == COUNT
    (problem,) = found.problems
    assert problem.id == "9"
    assert "first dot" in problem.reason


def test_members_of_a_key_need_not_stand_side_by_side(tmp_path: Path) -> None:
    members = samples(cls=lambda i: i % 2)
    tar(tmp_path / "x.tar", [m for m in members if m[0].endswith("png")] + [m for m in members if m[0].endswith("cls")])
    found = read(tmp_path, **section_of(tmp_path))
    assert len(labels(found, "label")) == COUNT


def test_a_bad_member_costs_its_target(tmp_path: Path) -> None:
    bad = {3: b"[1, 2]", 4: b"{", 5: b"\xff\xfe\xfd", 6: b'{"label": NaN}', 7: b'{"label": [1]}', 8: b"{}"}
    tar(tmp_path / "x.tar", samples(2 * COUNT, json=lambda i: bad.get(i, json.dumps({"label": i % 3}))))
    section = section_of(tmp_path)
    found = read(tmp_path, **section)
    assert len(found.entries) == 2 * COUNT
    assert sorted(set(range(2 * COUNT)) - {int(name) for name in labels(found, "label")}) == [*bad]
    assert sorted((p.id, p.loses) for p in found.problems) == [(f"000{i}", "annotation") for i in (3, 4, 5, 7)]
    assert all("x.tar" in problem.reason for problem in found.problems)


def test_nothing_to_learn_says_why(tmp_path: Path) -> None:
    for name, member, message in (
        ("nan", b'{"a": NaN}', "no cell has a value"),
        ("list", b"[1]", "no object of keys"),
        ("id", b"{}", "no target"),
    ):
        tar(tmp_path / name / "x.tar", samples(json=member))
        with pytest.raises(DataError, match=message):
            propose(str(tmp_path / name))


def test_the_same_key_in_two_shards_is_two_images(tmp_path: Path) -> None:
    for number in range(2):
        tar(tmp_path / "d" / f"x-{number}.tar", samples(seed=100 * number, cls=lambda i: i % 2))
    section = {"path": str(tmp_path / "d"), **section_of(tmp_path / "d")}
    _, found, account = fetched({"own": section}, tmp_path)
    assert len(found) == 2 * COUNT
    assert account.files[0].used == account.files[0].found == 2


def test_shards_say_their_split_by_name_or_folder(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        tar(tmp_path / "a" / f"{split}-000.tar", samples(9, 50 * number, f"{split}{{i}}", cls=lambda i: i % 2))
        tar(tmp_path / "b" / split / "0.tar", samples(9, 50 * number, "s{i}", cls=lambda i: i % 2))
    for name in "ab":
        found = read(tmp_path / name, **section_of(tmp_path / name))
        assert {entry.split for entry in found.entries} == {"train", "val", "test"}
    written(tmp_path / "b" / "classnames.txt", "cat\ndog\n")
    assert section_of(tmp_path / "b")["targets"]["label"]["classes"] == ["cat", "dog"]
    assert labels(read(tmp_path / "b", **section_of(tmp_path / "b")), "label")["s1"] == "dog"


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")]
)
def test_compressed_shards(suffix: str, mode: str, tmp_path: Path) -> None:
    tar(tmp_path / f"x{suffix}", samples(cls=lambda i: i % 2), mode)
    found = read(tmp_path, **section_of(tmp_path))
    assert len(found.entries) == COUNT
    assert found.documents == {f"x{suffix}"}
    (tmp_path / f"x{suffix}").rename(tmp_path / "x.tar.zst")
    with pytest.raises(DataError, match="zst"):
        propose(str(tmp_path))


def test_a_tar_left_beside_its_files_is_no_shard(tmp_path: Path) -> None:
    names = [f"{('cat', 'dog')[i % 2]}/{i}.png" for i in range(COUNT)]
    pictures(tmp_path, names)
    tar(tmp_path / "images.tar.gz", [(f"images/{name}", (tmp_path / name).read_bytes()) for name in names], "w:gz")
    proposal = propose(str(tmp_path))
    assert proposal.format == "image_folder"
    assert proposal.tasks == {"label": {"type": "classification"}}
    assert any("images.tar.gz" in fact for fact in proposal.facts)


def test_masks_and_which_member_is_the_image(tmp_path: Path) -> None:
    def mask(i: int) -> bytes:
        buffer, pixels = io.BytesIO(), np.zeros((24, 32), np.uint8)
        pixels[3:9, 3:9] = 1 + i % 2
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    members: dict[str, Any] = {"seg.png": mask}
    tar(tmp_path / "a" / "x.tar", samples(**members))
    found = read(tmp_path / "a", **section_of(tmp_path / "a"))
    assert found.targets["regions"].classes == ("background", "class_1", "class_2")
    pairs = [m for i in range(COUNT) for m in ((f"{i}.jpg", encoded(i, kind="JPEG")), (f"{i}.png", mask(i)))]
    tar(tmp_path / "b" / "x.tar", [*pairs])
    with pytest.raises(DataError, match="image"):
        propose(str(tmp_path / "b"))
    targets = {"regions": {"column": "png", "kind": "mask", "classes": ["none", "a", "b"]}}
    both = read(tmp_path / "b", format="webdataset", targets=targets)
    assert len(both.entries) == COUNT
    assert all("jpg" in str(entry.image) for entry in both.entries)
    said = read(tmp_path / "b", format="webdataset", targets={}, image="jpg")
    assert len(said.entries) == COUNT
