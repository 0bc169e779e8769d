"""A group is in one split, whatever the split's type, while the data set grows; and what is placed stays."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.config.files import FilesSource, FoldsSplit, GivenSplit, RandomSplit, StratifiedSplit, TimeSplit
from mtl.data.formats.base import Entry, Problem
from mtl.data.inspect.check_lines import as_lines
from mtl.data.inspect.checks import check
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.assignment import Assigned, assign, copies_apart
from mtl.data.raw.groups import Image, group_of
from mtl.data.raw.rows import (
    FileRef,
    RawSample,
    RawSplit,
    read_problems,
    read_spec,
    read_split,
    write_spec,
    write_split,
)
from mtl.data.raw.splits import AnySplit, read_rows, splitter, write_table
from mtl.data.sources.files import fetch_files
from mtl.data.sources.joined import Joined, join
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec
from mtl.entrypoints import split as split_stage
from mtl.errors import DataError
from mtl.storage.shelf import Shelf
from tests.conftest import set_params
from tests.data.test_formats import configured

SHARES: Any = {"val": 0.25, "test": 0.25}
FIRST = r"^([^/]+)/"
SPEC = DatasetSpec(name="made", targets={"kind": TargetSpec(kind="label", classes=("a", "b"))})


def every_type(table: Path, group: str) -> list[AnySplit]:
    """Each type of split."""
    return [
        RandomSplit(type="random", group=group, **SHARES),
        FoldsSplit(type="folds", folds=3, index=1, group=group, test=0.25),
        StratifiedSplit(type="stratified", over=("kind",), table=str(table), group=group, **SHARES),
        TimeSplit(type="time", val_from=date(2026, 3, 1), test_from=date(2026, 4, 1), group=group),
        GivenSplit(type="given", group=group),
    ]


@st.composite
def pictures(draw: st.DrawFn) -> list[Image]:
    """Images in order of arrival: of few groups, by a column or by their folder; some are copies; days and splits at will."""
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, 5), st.integers(0, 5), st.integers(0, 14), st.sampled_from(SPLITS), st.integers(1, 5)
            ),
            min_size=1,
            max_size=24,
        )
    )
    has_column = draw(st.booleans())
    return [
        Image(f"g{folder}/{n:02d}", f"{n}" if content > 9 else f"c{content}", split, f"p{column}" if has_column else None,
              f"2026-{month:02d}-10")
        for n, (folder, column, content, split, month) in enumerate(rows)
    ]  # fmt: skip


def placed(images: Sequence[Image], kind: AnySplit) -> Shelf[Assigned]:
    """As the fetch stage with `duplicates: keep` does it; every image is placed, or it is said why not."""
    choose = splitter(kind, images)
    apart = dict(copies_apart(images, kind, choose))
    found, problems = assign([image for image in images if image.id not in apart], kind, choose)
    assert found.keys() | dict(problems).keys() | apart.keys() == {image.id for image in images}
    assert not found.keys() & (dict(problems).keys() | apart.keys())
    return found


@settings(max_examples=60, deadline=None)
@given(everything=pictures(), steps=st.lists(st.integers(1, 24), min_size=1, max_size=3), order=st.randoms())
@pytest.mark.parametrize("number", range(5), ids=["random", "folds", "stratified", "time", "given"])
def test_no_group_is_in_two_splits_and_no_old_image_moves(
    number: int, everything: list[Image], steps: list[int], order: Any
) -> None:
    group = "" if everything[0].group else FIRST
    with TemporaryDirectory() as folder:
        kind = every_type(Path(folder, "splits.csv"), group)[number]
        before: dict[str, str] = {}
        for step in [*sorted(steps), len(everything)]:
            images = everything[:step]
            order.shuffle(images)
            found = placed(images, kind)
            splits: dict[str, set[str]] = {}
            for image in images:
                if image.id in found:
                    splits.setdefault(f"group {group_of(image, kind)}", set()).add(found[image.id].split)
                    if number < 3:
                        splits.setdefault(f"copies {image.content}", set()).add(found[image.id].split)
            assert all(len(where) == 1 for where in splits.values())
            now = {one: place.split for one, place in found.items()}
            moved = {(before[one], now[one]) for one in now.keys() & before.keys() if now[one] != before[one]}
            if isinstance(kind, GivenSplit) and any(image.split == "val" for image in images):
                moved -= {("val", "train")}  # drawn for as long as the sets had no val of their own
            assert not moved
            if isinstance(kind, StratifiedSplit):
                split_stage.extend_table(
                    [
                        RawSample(one, b"", {"kind": len(one) % 2}, key=one, group=place.group)
                        for one, place in found.items()
                    ],
                    kind,
                    SPEC,
                )
                now = {row.id: row.split for row in read_rows(Path(kind.table))}
            before |= now


# --- with files


@dataclass(frozen=True)
class Row:
    """A picture of a table: its patient, and what a split may go by."""

    name: str
    patient: str
    split: str = "train"
    day: str = "2026-01-01"
    kind: str = "a"


Source = Callable[..., FilesSource]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Writes a table set of patients' pictures where the stage will look for it; what reads it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))

    def write(rows: list[Row], split: dict[str, Any], **more: Any) -> FilesSource:
        Path("given/images").mkdir(parents=True, exist_ok=True)
        lines = ["image,patient,split,day,kind"]
        for number, row in enumerate(rows):
            path = Path("given", row.name)
            if not path.exists():
                noise = np.random.default_rng(number).integers(0, 255, (24, 24, 3), np.uint8)
                cv2.imwrite(str(path), noise)
            lines.append(f"{row.name},{row.patient},{row.split},{row.day},{row.kind}")
        Path("given/table.csv").write_text("\n".join(lines) + "\n")
        columns = {
            "targets": {"kind": {"column": "kind", "kind": "label"}},
            "group": "patient",
            "split": "split",
            "time": "day",
        }
        sets = {"own": {"format": "table", "path": "given", **columns}}
        config = configured(sets | more.pop("sets", {}), {"kind": {"type": "classification"}}, split=split, **more)
        assert isinstance(config.data.source, FilesSource)
        return config.data.source

    return write


def fetched(source: FilesSource) -> tuple[dict[str, str], dict[str, str]]:
    """id → split, and id → why it is left out."""
    raw = Path("raw")
    spec = fetch_files(source, 0, raw, Path("home/downloads"))
    return {s.id: name for name in SPLITS for s in read_split(raw, name, spec)}, dict(read_problems(raw))


def patients(count: int, each: int = 3) -> list[Row]:
    """Pictures of patients, a class per patient."""
    return [Row(f"images/{p}-{n}.png", f"p{p}", kind="ab"[p % 2]) for p in range(count) for n in range(each)]


def by_patient(rows: list[Row], splits: dict[str, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows:
        if (one := Path(row.name).with_suffix("").as_posix()) in splits:
            found.setdefault(row.patient, set()).add(splits[one])
    return found


def run_stage(source: FilesSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mtl data split`."""
    from tests.conftest import ROOT

    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    set_params(
        Path("params.yaml"),
        f"data.source={json.dumps(source.model_dump(mode='json'))}",
        "tasks={kind: {type: classification}}",
    )
    monkeypatch.setattr("sys.argv", ["split", "--json"])
    split_stage.main()


STRATIFIED = {"type": "stratified", "over": ["kind"], "table": "data/splits.csv", **SHARES}


def test_a_table_assigns_whole_patients_and_their_later_images(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = patients(20)
    run_stage(source(rows, STRATIFIED), monkeypatch)
    first, problems = fetched(source(rows, STRATIFIED))
    assert problems == {}
    assert len(first) == 60
    assert Counter(split for (split,) in by_patient(rows, first).values()) == {"train": 10, "val": 5, "test": 5}
    # A picture more of each patient, before the table knows of it and after.
    more = rows + [Row(f"images/{p}-new.png", f"p{p}") for p in range(20)]
    for _ in range(2):
        later, problems = fetched(source(more, STRATIFIED))
        assert problems == {}
        assert first.items() <= later.items()
        assert all(len(splits) == 1 for splits in by_patient(more, later).values())
        run_stage(source(more, STRATIFIED), monkeypatch)
    # The pictures that placed them are gone: the table remembers the patients.
    other = [Row(f"images/{p}-other.png", f"p{p}") for p in range(20)]
    last, _ = fetched(source(other, STRATIFIED))
    assert by_patient(other, last) == by_patient(rows, first)
    # Another name for every patient moves nothing.
    renamed = [Row(row.name, f"new-{row.patient}", kind=row.kind) for row in rows]
    assert fetched(source(renamed, STRATIFIED))[0] == first


def test_a_table_without_groups_assigns_the_related_images(source: Source) -> None:
    rows = patients(12)
    write_table(Path("data/splits.csv"), {f"images/{p}-0": SPLITS[p % 3] for p in range(12)})
    assert Path("data/splits.csv").read_text().startswith("id,split\n")
    found, problems = fetched(source(rows, STRATIFIED))
    assert problems == {}
    assert by_patient(rows, found) == {f"p{p}": {SPLITS[p % 3]} for p in range(12)}


def test_a_table_that_divides_a_group_is_refused_by_name(source: Source) -> None:
    write_table(Path("data/splits.csv"), {"images/3-0": "train", "images/3-1": "test", "images/4-0": "val"})
    with pytest.raises(DataError, match=r"1 group.* in several splits") as refused:
        fetched(source(patients(6), STRATIFIED))
    assert "p3: images/3-1 in test, images/3-0 in train" in str(refused.value)
    assert "p4" not in str(refused.value)
    Path("data/splits.csv").write_text("id,split\na,train\na,test\n")
    with pytest.raises(DataError, match="a is in two splits"):
        fetched(source(patients(6), STRATIFIED))


def test_sets_that_divide_a_group_lose_it_and_say_so(source: Source) -> None:
    rows = [*patients(6), Row("images/0-9.png", "p0", split="test"), Row("images/9-0.png", "p9", split="val")]
    found, problems = fetched(source(rows, {"type": "given"}))
    assert by_patient(rows, found) == {f"p{p}": {"train"} for p in range(1, 6)} | {"p9": {"val"}}
    assert set(problems) == {"images/0-0", "images/0-1", "images/0-2", "images/0-9"}
    assert "its group 'p0' is in several splits" in problems["images/0-9"]
    assert "3 in train, 1 in test" in problems["images/0-9"]


def test_by_time_a_group_stays_where_it_began(source: Source) -> None:
    days = {"type": "time", "val_from": "2026-03-01", "test_from": "2026-04-01"}
    rows = [
        *(Row(f"images/a{m}.png", "a", day=f"2026-0{m}-10") for m in (1, 3, 4)),
        *(Row(f"images/b{m}.png", "b", day=f"2026-0{m}-10") for m in (3, 5)),
        Row("images/c.png", "c", day="2026-06-01"),
    ]
    found, problems = fetched(source(rows, days))
    assert found == {"images/a1": "train", "images/b3": "val", "images/c": "test"}
    assert set(problems) == {"images/a3", "images/a4", "images/b5"}


@pytest.mark.parametrize("duplicates", ["keep", "drop"])
def test_copies_are_in_one_split_or_in_none(source: Source, duplicates: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies without a group stay together; of two patients, they are left out if the patients are apart."""
    rows = [*patients(8), Row("images/lone.png", ""), Row("images/zz-lone.png", "")]
    source(rows, STRATIFIED)
    picture = Path("given/images/lone.png").read_bytes()
    Path("given/images/zz-lone.png").write_bytes(picture)
    held = {f"images/{p}-{n}": "test" if p == 1 else "train" for p in range(8) for n in range(3)}
    write_table(Path("data/splits.csv"), held | {"images/zz-lone": "val"})
    found, problems = fetched(source(rows, STRATIFIED, duplicates=duplicates))
    assert problems == {}
    wanted = {"images/zz-lone": "val"} | ({"images/lone": "val"} if duplicates == "keep" else {})
    assert {one: split for one, split in found.items() if "lone" in one} == wanted
    run_stage(source(rows, STRATIFIED, duplicates=duplicates), monkeypatch)
    assert fetched(source(rows, STRATIFIED, duplicates=duplicates))[0] == found
    for target, apart in (("images/1-0.png", True), ("images/2-1.png", False)):
        Path("given", target).write_bytes(Path("given/images/0-0.png").read_bytes())
        found, problems = fetched(source(rows, STRATIFIED, duplicates=duplicates))
        assert ("images/0-0" in found) == (not apart)
        assert set(problems) == ({"images/0-0", "images/1-0"} if apart else set())
        cv2.imwrite(str(Path("given", target)), np.full((24, 24, 3), 7, np.uint8))


def test_sets_that_disagree_about_an_image_are_a_problem(source: Source) -> None:
    rows = patients(4)
    other = Path("given/other.csv")
    more = {
        "other": {
            "format": "table", "path": "given", "table": "other.csv", "group": "patient", "split": "split", "time": "day",
            "targets": {"size": {"column": "size", "kind": "value"}},
        }
    }  # fmt: skip
    made = source(rows, {"type": "given"}, sets=more)
    other.write_text(
        "image,patient,split,day,size\n"
        "images/0-0.png,p1,train,2026-01-01,1\n"
        "images/0-1.png,p0,test,2026-01-01,1\n"
        "images/0-2.png,p0,train,2026-01-02,1\n"
        "images/1-0.png,p1,train,2026-01-01,1\n"
        "images/2-0.png,,,,1\n"
    )
    found, problems = fetched(made)
    assert set(problems) == {"images/0-0", "images/0-1", "images/0-2"}
    assert "different things are said of its group: 'p0', 'p1'" in problems["images/0-0"]
    assert "of its split" in problems["images/0-1"]
    assert "of its time" in problems["images/0-2"]
    assert len(found) == 9


def test_sets_that_disagree_about_a_slice_are_a_problem() -> None:
    problems: list[Problem] = []
    joined: Shelf[Joined] = Shelf()
    for site in ("north", "south"):
        join(joined, Entry("a", FileRef("a.png"), {}, slices={"site": site}), {"image": "1"}, problems)
    assert [problem.reason for problem in problems] == ["different things are said of its site: 'north', 'south'"]


def test_check_names_divided_groups_and_images_in_none(source: Source, tmp_path: Path) -> None:
    made = source([*patients(5), Row("images/alone.png", "")], {"type": "random", **SHARES})
    fetched(made)
    config = configured({"own": made.sets["own"].model_dump(mode="json")}, {"kind": {"type": "classification"}})
    spec = read_spec(Path("raw"))
    manifest = prepare(config.data, Path("raw"), Path("prepared"))
    report = check(Path("raw"), Path("prepared"), manifest, spec)
    assert report.divided_groups == {}
    assert "groups in several splits: 0" in as_lines(report)
    assert "1 images are in no group" in "".join(report.warnings)
    samples = [s for name in SPLITS for s in read_split(Path("raw"), name, spec)]
    for number, name in enumerate(SPLITS):
        write_split(Path("raw"), name, spec, samples[number::3])
    report = check(Path("raw"), Path("prepared"), manifest, spec)
    assert set(report.divided_groups) == {f"p{p}" for p in range(5)}
    assert "groups in several splits: 5" in as_lines(report)
    assert "5 groups lie in several splits" in report.warnings


def test_a_raw_data_set_of_before_there_were_groups_is_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    spec = SPEC.model_copy(update={"targets": {}})
    write_split(tmp_path, "train", spec, [RawSample("a", b"x", {}, group="p"), RawSample("b", b"y", {})])
    write_spec(tmp_path, spec)
    assert [s.group for s in read_split(tmp_path, "train", spec)] == ["p", ""]
    assert list(RawSplit(tmp_path, "train", spec).groups()) == ["p"]
    table = pq.read_table(tmp_path / "train.parquet").drop_columns([".group"])
    pq.write_table(table, tmp_path / "train.parquet")
    assert [s.group for s in read_split(tmp_path, "train", spec)] == ["", ""]
    assert list(RawSplit(tmp_path, "train", spec).groups()) == []
