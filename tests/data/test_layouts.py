"""Data sets as people have them: what init proposes of each, and what a person would write, gives what was drawn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtl.codecs.maps import decode_depth, decode_mask
from mtl.config import read_params
from mtl.config.params import parse
from mtl.data.kinds import KINDS
from mtl.data.onboard.propose import propose
from mtl.data.raw.account import read_account
from mtl.data.raw.rows import FileRef, RawSample, read_problems, read_split
from mtl.data.sources.files import fetch_files
from mtl.data.spec import SPLITS, DatasetSpec
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from mtl.storage.members import Member
from tests.conftest import ROOT
from tests.data.layouts import LAYOUTS, NUMBER, Layout, box, kind, page, part

READ = [one for one in LAYOUTS if not one.refused]


def number(sample: RawSample) -> int:
    """Which picture it is, by its file's name; of one in a table, by its place there."""
    name = str(sample.image)
    if isinstance(sample.image, FileRef) and (member := Member.parse(sample.image.name)):
        name = member.name or f"im{member.cell[0]}"
    found = re.findall(r"im(\d+)", name)
    return int(found[-1])


def read(config: dict[str, Any], folder: Path) -> tuple[DatasetSpec, dict[int, tuple[str, RawSample]]]:
    """Fetch: picture → its split and sample."""
    chosen = parse({**read_params(ROOT / "params.yaml"), **config}).data.source
    spec = fetch_files(chosen, 0, folder / "raw", folder / "home" / "downloads")  # type: ignore[arg-type]
    assert read_problems(folder / "raw") == []
    account = read_account(folder / "raw")
    assert account.annotations == ()
    assert [files.unaccounted.files for files in account.files] == [() for _ in account.files]
    return spec, {number(s): (split, s) for split in SPLITS for s in read_split(folder / "raw", split, spec)}


def compare(
    layout: Layout, spec: DatasetSpec, samples: dict[int, tuple[str, RawSample]], names: dict[str, str]
) -> None:
    """Every picture says what it was drawn to say."""
    assert set(samples) == set(range(NUMBER))
    for i, (_, sample) in samples.items():
        name = names.get(kind(i), kind(i))
        for target, what in spec.targets.items():
            value: Any = sample.targets.get(target)
            if i in layout.unlabelled:
                assert value is None
            elif what.kind == "label":
                assert what.classes[value] == name
            elif what.kind == "boxes":
                ((*sides, label),) = [row[:5] for row in value]
                assert what.classes[int(label)] == name
                assert np.abs(np.array(sides) - box(i)).max() < 0.01
            elif what.kind == "depth":
                depth = decode_depth(FileTree(spec.roots[value.owner]).read(value.name), what.scale)
                x1, y1, x2, y2 = box(i)
                assert np.allclose(depth[y1:y2, x1:x2], 1.5 + i / 1000)
                assert np.isclose(depth, 4.0).sum() == depth.size - (y2 - y1) * (x2 - x1)
            elif what.kind == "mask":
                data = FileTree(spec.roots[value.owner]).read(value.name) if isinstance(value, FileRef) else value
                mask = decode_mask(data, len(what.classes), what.values, what.ignored)
                x1, y1, x2, y2 = box(i)
                assert what.classes[mask[(y1 + y2) // 2, (x1 + x2) // 2]] == name
                inside = mask == mask[(y1 + y2) // 2, (x1 + x2) // 2]
                assert inside[y1:y2, x1:x2].all()
                assert inside.sum() == (y2 - y1) * (x2 - x1)


@pytest.mark.parametrize("layout", READ, ids=[one.name for one in READ])
def test_what_is_proposed_is_what_is_there(layout: Layout, tmp_path: Path) -> None:
    given = layout.build(tmp_path / "given") or tmp_path / "given"
    proposal = propose(str(given))
    assert {name: task["type"] for name, task in proposal.tasks.items()} == layout.tasks
    spec, samples = read(proposal.sections, tmp_path)
    compare(layout, spec, samples, layout.names)
    if layout.splits:
        assert {i: split for i, (split, _) in samples.items()} == {i: part(i) for i in range(NUMBER)}


@pytest.mark.parametrize("layout", READ, ids=[one.name for one in READ])
def test_what_a_person_writes_is_what_is_there(layout: Layout, tmp_path: Path) -> None:
    given = layout.build(tmp_path / "given") or tmp_path / "given"
    assert layout.by_hand is not None
    split = {"type": "given"} if layout.splits else {"type": "random", "val": 0.2, "test": 0.2}
    sections = propose(str(given)).sections
    sections["data"]["source"] = {"type": "files", "sets": layout.by_hand(str(given)), "split": split}
    spec, samples = read(sections, tmp_path)
    assert {name: KINDS[what.kind].task for name, what in spec.targets.items()} == layout.tasks
    shown = {name for what in spec.targets.values() for name in what.classes}
    names = layout.names if set(layout.names.values()) <= shown else {}
    compare(layout, spec, samples, names)


@pytest.mark.parametrize("layout", [one for one in LAYOUTS if one.refused], ids=lambda one: one.name)
def test_what_cannot_be_known_is_refused_with_the_reason(layout: Layout, tmp_path: Path) -> None:
    given = layout.build(tmp_path / "given") or tmp_path / "given"
    with pytest.raises(DataError, match=layout.refused):
        propose(str(given))


def test_the_page_is_made_of_the_table() -> None:
    assert (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8") == page(), (
        "run python -m tests.data.layouts > docs/layouts.md"
    )
