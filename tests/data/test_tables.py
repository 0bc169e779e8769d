"""Tables as people have them: every cell is what its author meant, or is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mtl.data.formats.base import Reading
from mtl.data.onboard.detect_format import detect_format
from mtl.data.onboard.look import Look
from mtl.data.onboard.propose import propose
from mtl.data.raw.account import Names
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree
from tests.data.small_sets import fetched, labels, pictures, read, written

LABEL = {"label": {"column": "label", "kind": "label"}}
FORTY = [f"img/{i}.png" for i in range(40)]


def table(folder: Path, text: str | bytes, name: str = "t.csv", **section: Any) -> Reading:
    """A table with a column `label`, as a section reads it."""
    written(folder / name, text)
    return read(folder, **{"format": "table", "table": name, "targets": LABEL} | section)


def of(names: list[str], header: str = "image,label", row: str = "{name},{label}", **words: Any) -> str:
    """A table of cats and dogs."""
    kinds = words.get("labels", ("cat", "dog"))
    lines = [row.format(name=n, label=kinds[i % len(kinds)], i=i) for i, n in enumerate(names)]
    return "\n".join([header, *lines]) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures in img/."""
    pictures(tmp_path / "d", FORTY[:4])
    return tmp_path / "d"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiters_line_ends_and_marks_are_found(folder: Path, delimiter: str, ending: str, mark: bytes) -> None:
    text = of(FORTY[:4], f"image{delimiter} label", f"{{name}}{delimiter} {{label}} ").replace("\n", ending)
    found = table(folder, mark + text.encode())
    assert labels(found, "label") == {f"img/{i}": ("cat", "dog")[i % 2] for i in range(4)}
    assert found.problems == []
    assert found.documents == {"t.csv"}


def test_a_declared_delimiter_and_encoding_are_obeyed(folder: Path) -> None:
    text = "image:label\nimg/0.png:Kätzchen\n"
    found = table(folder, text.encode("latin-1"), delimiter=":", encoding="latin-1")
    assert labels(found, "label") == {"img/0": "Kätzchen"}
    with pytest.raises(DataError, match=r"not UTF-8(.|\n)*encoding"):
        table(folder, text.encode("latin-1"), delimiter=":")
    with pytest.raises(DataError, match="encoding is not known"):
        table(folder, text.encode("latin-1"), delimiter=":", encoding="latin-99")


def test_quotes_and_cells_of_several_lines(folder: Path) -> None:
    found = table(folder, 'image,label,note\n"img/0.png","a, b","two\nlines"\nimg/1.png,"5"" pipe",x\n')
    assert labels(found, "label") == {"img/0": "a, b", "img/1": '5" pipe'}
    with pytest.raises(DataError, match="line 3"):
        table(folder, 'image,label\nimg/0.png,a\nimg/1.png,"b\nimg/2.png,c\n')


def test_ragged_rows_are_named_and_empty_ones_skipped(folder: Path) -> None:
    found = table(folder, "image,label\nimg/0.png,cat\n\nimg/1.png\n,,\nimg/2.png,dog,,\nimg/3.png,dog,x\n")
    assert labels(found, "label") == {"img/0": "cat", "img/2": "dog"}
    assert [(p.file, p.reason.split(":")[0]) for p in found.problems] == [
        ("img/1.png", "t.csv, line 4"),
        ("img/3.png", "t.csv, line 7"),
    ]


def test_two_columns_of_one_name_are_refused_by_name(folder: Path) -> None:
    with pytest.raises(DataError, match=r"several columns of one name(.|\n)*label"):
        table(folder, "image,label,label\nimg/0.png,a,b\n")
    twice = pd.DataFrame([["img/0.png", "a", "b"]], columns=["image", "label", "other"])
    twice.to_parquet(folder / "t.parquet")
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["image", "label", "label"]
    pq.write_table(pa.table([pa.array(["img/0.png"])] * 3, names=names), folder / "t.parquet")
    with pytest.raises(DataError, match="several columns of one name"):
        read(folder, format="table", table="t.parquet", targets=LABEL)


@pytest.mark.parametrize("word", ["NA", "nan", "None", "NULL", "N/A", "null", "-", "?", "<NA>", ""])
def test_a_word_for_nothing_is_no_class_and_is_counted(folder: Path, word: str) -> None:
    text = f"image,label,n\nimg/0.png,cat,1\nimg/1.png,{word},{word}\nimg/2.png,dog,2\n"
    found = table(folder, text, targets=LABEL | {"n": {"column": "n", "kind": "value"}})
    assert labels(found, "label") == {"img/0": "cat", "img/2": "dog"}
    assert labels(found, "n") == {"img/0": 1.0, "img/2": 2.0}
    assert len(found.entries) == 3
    assert found.problems == []
    notes = [note for note in found.notes if note.startswith(f"cells {word} of")]
    assert len(notes) == (2 if word else 0)


def test_a_class_may_be_called_as_what_is_missing(folder: Path) -> None:
    text = "image,label\nimg/0.png,NA\nimg/1.png,DE\nimg/2.png,\n"
    declared = table(folder, text, targets={"label": {"column": "label", "kind": "label", "classes": ["DE", "NA"]}})
    assert labels(declared, "label") == {"img/0": "NA", "img/1": "DE"}
    other = table(folder, text, targets={"label": {"column": "label", "kind": "label", "missing": [""]}})
    assert labels(other, "label") == {"img/0": "NA", "img/1": "DE"}
    assert declared.notes + other.notes == {}


def test_spaces_are_no_part_of_a_label_and_case_is_named(folder: Path) -> None:
    found = table(folder, "image,label\nimg/0.png,cat \nimg/1.png, Cat\nimg/2.png,cat\nimg/3.png,dog\n")
    assert found.targets["label"].classes == ("Cat", "cat", "dog")
    assert [note for note in found.notes if "case" in note and "Cat, cat" in note]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["3,5", "4", "0,125"], [3.5, 4.0, 0.125]),
        (["1,234", "3,5", "2"], [1.234, 3.5, 2.0]),
        (["1.5", "1e3", "-2"], [1.5, 1000.0, -2.0]),
        (["1,234", "2,500", "7"], ["no number", "no number", 7.0]),
        (["1.234,5", "3,5", "2"], ["no number", 3.5, 2.0]),
        (["1 234", "1_000", "inf"], ["no number", "no number", "not finite"]),
    ],
)
def test_numbers_with_commas(folder: Path, cells: list[str], values: list[Any]) -> None:
    text = "image;n\n" + "".join(f"img/{i}.png;{cell}\n" for i, cell in enumerate(cells))
    found = table(folder, text, targets={"n": {"column": "n", "kind": "value"}})
    good = {f"img/{i}": value for i, value in enumerate(values) if not isinstance(value, str)}
    assert labels(found, "n") == good
    assert [p.loses for p in found.problems] == ["annotation"] * (3 - len(good))
    for problem, value in zip(found.problems, [v for v in values if isinstance(v, str)], strict=True):
        assert value in problem.reason
        assert "line" in problem.reason
    if cells[0] == "1,234" and len(good) == 1:
        said = table(folder, text, targets={"n": {"column": "n", "kind": "value"}}, decimal=",")
        assert labels(said, "n") == {"img/0": 1.234, "img/1": 2.5, "img/2": 7.0}


@pytest.mark.parametrize(
    ("files", "mentions", "more"),
    [
        (["train_images/a.png", "train_images/b.png"], ["a.png", "b.png"], {}),
        (["train_images/a.png", "train_images/b.png"], ["a.png", "b.png"], {"images": "train_images"}),
        (["train_images/a.png", "train_images/b.png"], ["a", "b"], {"images": "train_images"}),
        (["pics/a.b.png", "pics/b.png"], ["a.b", "b"], {}),
        (["pics/0007.png", "pics/0010.png"], ["7", "10.0"], {}),
        (["img/a.png", "img/b.png"], ["img\\a.png", ".\\img\\b.png"], {}),
        (["img/a.png", "img/b.png"], ["C:\\Users\\me\\img\\a.png", "/home/you/img/b.png"], {}),
        (["x/a.png", "y/a.png"], ["/data/x/a.png", "/data/y/a.png"], {}),
        (["img/a.JPG", "img/b.PNG"], ["img/A.jpg", "img/b.png"], {}),
        (["img/K\u00e4tzchen 1.png", "img/b.png"], ["img/Ka\u0308tzchen 1.png", "https://a.org/img/b.png"], {}),
    ],
)
def test_images_are_found_by_what_a_table_calls_them(
    tmp_path: Path, files: list[str], mentions: list[str], more: dict[str, str]
) -> None:
    pictures(tmp_path, files)
    found = table(tmp_path, of(mentions), **more)
    assert [entry.image.name for entry in found.entries if entry.image] == files  # type: ignore[union-attr]
    assert found.problems == []


@pytest.mark.parametrize(
    ("files", "mentions", "more"),
    [
        (["img/0.png", "img/1.png", "img/2.png", "other/3.png"], ["img/{i}.png"], {}),
        (["a/train/0.png", "a/train/1.png", "a/train/2.png", "a/val/3.png"], ["/home/me/train/{i}.png"], {}),
        (["0.png", "1.png", "2.png", "old/3.png"], ["{i}.png"], {}),
        (["pics/0.png", "pics/1.png", "pics/2.png", "old/3.png"], ["{i}.png"], {"images": "pics"}),
        (["pics/0.png", "pics/1.png", "pics/2.png", "old/3.png"], ["{i}"], {"images": "pics"}),
    ],
)
def test_an_image_that_is_missing_is_not_another_of_its_name(
    tmp_path: Path, files: list[str], mentions: list[str], more: dict[str, str]
) -> None:
    pictures(tmp_path, files)
    found = table(tmp_path, of([mentions[0].format(i=i) for i in range(4)]), **more)
    assert len(found.entries) == 3
    (problem,) = found.problems
    assert "is not there" in problem.reason
    assert "line 5" in problem.reason


def test_a_bad_row_is_skipped_and_every_file_accounted_for(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    pictures(folder, [*FORTY, "extra/x.png"])
    (folder / "img" / "3.png").unlink()
    text = of([n for n in FORTY if n != "img/9.png"])
    written(folder / "t.csv", text)
    section = {"path": str(folder), "format": "table", "table": "t.csv", "targets": LABEL}
    _, samples, account = fetched({"own": section}, tmp_path)
    assert len(samples) == 38
    (files,) = account.files
    assert files.found == 41
    assert files.used == 39  # 38 pictures and the table
    assert files.left_out == {"no row of t.csv names it": Names(number=1, files=("img/9.png",))}
    assert files.unaccounted.files == ("extra/x.png",)


def test_rows_that_say_the_same_are_one_and_others_are_named(folder: Path) -> None:
    text = "image,label,n\nimg/0.png,cat,1\nimg/0.png,cat,1\nimg/1.png,cat,\nimg/1.png,,2\nimg/2.png,cat,3\nimg/2.png,dog,3\n"
    found = table(folder, text, targets=LABEL | {"n": {"column": "n", "kind": "value"}})
    assert labels(found, "label") == {"img/0": "cat", "img/1": "cat"}
    assert labels(found, "n") == {"img/0": 1.0, "img/1": 2.0, "img/2": 3.0}
    assert found.notes["rows that say again what one before says of their image"] == 1
    (problem,) = found.problems
    assert problem.id == "img/2"
    assert problem.loses == "annotation"
    assert "line 6" in problem.reason
    assert "line 7" in problem.reason


def test_an_image_is_in_one_split_and_one_group(folder: Path) -> None:
    text = "image,label,split,who\nimg/0.png,cat,train,p\nimg/0.png,cat,test,p\nimg/1.png,cat,train,p\nimg/1.png,cat,train,q\nimg/2.png,dog,,p\nimg/2.png,dog,val,\n"
    found = table(folder, text, split="split", group="who")
    assert [(p.id, p.loses) for p in found.problems] == [("img/0", "image"), ("img/1", "image")]
    assert [(e.split, e.group) for e in found.entries if e.id == "img/2"] == [("val", "p")]


def test_lists_of_labels(folder: Path) -> None:
    text = "image;tags\nimg/0.png;a b\nimg/1.png;b\nimg/2.png;\nimg/3.png;['a', \"b\"]\n"
    found = table(folder, text, targets={"tags": {"column": "tags", "kind": "labels", "separator": " "}})
    assert labels(found, "tags") == {"img/0": ["a", "b"], "img/1": ["b"], "img/3": ["a", "b"]}
    long = "image,tags\nimg/0.png,a\nimg/0.png,b\nimg/1.png,b\n"
    assert labels(table(folder, long, targets={"tags": {"column": "tags", "kind": "labels"}}), "tags") == {
        "img/0": ["a", "b"],
        "img/1": ["b"],
    }


def test_columns_of_0_and_1(folder: Path) -> None:
    text = "image,rust,scab\nimg/0.png,1,0\nimg/1.png,1.0,1\nimg/2.png,0,-1\nimg/3.png,True,False\n"
    marks = {"columns": ["rust", "scab"], "kind": "labels"}
    found = table(folder, text, targets={"d": marks})
    assert labels(found, "d") == {"img/0": ["rust"], "img/1": ["rust", "scab"], "img/3": ["rust"]}
    assert sum(found.notes.values()) == 1
    one = table(folder, text, targets={"d": marks | {"kind": "label"}})
    assert labels(one, "d") == {"img/0": "rust", "img/3": "rust"}
    assert [p.id for p in one.problems] == ["img/1"]
    # Without a 0, −1 is what is not there: CelebA's.
    celeb = "image,rust,scab\nimg/0.png,1,-1\nimg/1.png,-1,-1\n"
    assert labels(table(folder, celeb, targets={"d": marks}), "d") == {"img/0": ["rust"], "img/1": []}


def test_typed_tables_say_what_a_text_would(folder: Path) -> None:
    rows = [
        {"image": "img/0.png", "label": 1, "tags": ["a", "b"], "n": 0.5, "flag": True},
        {"image": "img/1.png", "label": None, "tags": [], "n": None, "flag": False},
        {"image": "img/2.png", "label": 0, "tags": None, "n": 2, "flag": None},
    ]
    pd.DataFrame(rows).to_parquet(folder / "t.parquet")
    written(folder / "t.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "\nnot json\n")
    written(folder / "t.json", json.dumps(rows))
    targets = LABEL | {"tags": {"column": "tags", "kind": "labels"}, "n": {"column": "n", "kind": "value"}}
    targets |= {"flag": {"column": "flag", "kind": "label"}}
    for name in ("t.parquet", "t.jsonl", "t.json"):
        found = read(folder, format="table", table=name, targets=targets)
        assert labels(found, "label") == {"img/0": "1", "img/2": "0"}
        assert labels(found, "tags") == {"img/0": ["a", "b"], "img/1": []}
        assert labels(found, "n") == {"img/0": 0.5, "img/2": 2.0}
        assert labels(found, "flag") == {"img/0": "True", "img/1": "False"}
        assert [p.reason[:15] for p in found.problems] == (["t.jsonl, line 5"] if name == "t.jsonl" else [])


def test_masks_and_splits_by_columns(folder: Path) -> None:
    mask = np.zeros((24, 32), np.uint8)
    mask[3:9, 3:9] = 1
    (folder / "masks").mkdir()
    Image.fromarray(mask).save(folder / "masks" / "0_m.png")
    text = "image,m,split,who\nimg/0.png,masks/0_m.png,train,p1\nimg/1.png,masks/gone.png,valid,p1\nimg/2.png,,TEST,p2\nimg/3.png,,x,p2\n"
    targets = {"m": {"column": "m", "kind": "mask", "classes": ["none", "spot"]}}
    found = table(folder, text, targets=targets, split="split", group="who")
    assert [(e.id, e.split, e.group, "m" in e.targets) for e in found.entries] == [
        ("img/0", "train", "p1", True),
        ("img/1", "val", "p1", False),
        ("img/2", "test", "p2", False),
        ("img/3", None, "p2", False),
    ]
    (problem,) = found.problems
    assert "gone.png is not there" in problem.reason
    assert [note for note in found.notes if "no split's name" in note]


# What init makes of a folder.


def proposed(folder: Path, text: str | bytes, name: str = "t.csv", names: list[str] | None = None) -> Any:
    """The proposal for a table beside forty pictures; and its only set."""
    pictures(folder, FORTY if names is None else names)
    written(folder / name, text)
    proposal = propose(str(folder))
    sets = list(proposal.source["sets"].values())
    assert {found["format"] for found in sets} == {"table"}
    return proposal, sets[0]


def test_init_names_the_encoding_as_a_thing_to_be_checked(tmp_path: Path) -> None:
    proposal, found = proposed(tmp_path / "a", of(FORTY, labels=("Kätzchen", "Hund")).encode("latin-1"))
    assert found["encoding"] == "latin-1"
    assert any("Kätzchen" in fact and "encoding" in fact for fact in proposal.facts)
    with pytest.raises(DataError, match="not UTF-8"):
        proposed(tmp_path / "b", of(FORTY, labels=("猫", "狗")).encode("gbk"))


def test_init_finds_the_folder_that_names_are_relative_to(tmp_path: Path) -> None:
    names = [f"train_images/{i}.png" for i in range(40)]
    beside = [f"test_images/{i}.png" for i in range(35, 45)]
    pictures(tmp_path, beside, seed=100)
    written(tmp_path / "sample_submission.csv", of([f"{i}.png" for i in range(35, 45)], "image_id,label", labels="a"))
    (tmp_path / "test_images" / "7.png").write_bytes(b"another")
    proposal, found = proposed(tmp_path, of([f"{i}.png" for i in range(40)], "image_id,label"), "train.csv", names)
    assert found["images"] == "train_images"
    assert found["image"] == "image_id"
    assert any("sample_submission.csv" in fact for fact in proposal.facts)
    assert set(proposal.tasks) == {"label"}


def test_init_says_which_columns_are_no_targets(tmp_path: Path) -> None:
    header = ",id,image,label,score,count,filesize,sha1,patient_id,fold,split,url,taken_at"
    row = "{i},9{i},{name},{label},0.{i},{i}0,12{i},ab{i}ff,p{p},{f},{s},http://x/{i},2024-01-01"
    lines = [
        row.format(i=i, name=n, label=("cat", "dog")[i % 2], p=i % 9, f=i % 5, s=("train", "val", "test")[i % 3])
        for i, n in enumerate(FORTY)
    ]
    proposal, found = proposed(tmp_path, "\n".join([header, *lines]))
    assert found["targets"] == {
        "label": {"column": "label", "kind": "label"},
        "score": {"column": "score", "kind": "value"},
        "count": {"column": "count", "kind": "value"},
    }
    assert (found["split"], found["group"], found["time"]) == ("split", "patient_id", "taken_at")
    (said,) = [fact for fact in proposal.facts if "no targets" in fact]
    assert all(word in said for word in ("Unnamed: 0", "id (", "filesize", "sha1", "fold", "url"))
    assert proposal.source["split"] == {"type": "given"}


@pytest.mark.parametrize(
    ("cells", "settings"),
    [
        (["scab", "scab rust", "rust", "healthy", "rust scab"], {"kind": "labels", "separator": " "}),
        (["a|b", "a", "b"], {"kind": "labels"}),
        (["golden retriever", "black cat"], {"kind": "label"}),
        (["16 0", "0", "16", "0 16"], {"kind": "labels", "separator": " "}),
        (["true", "false"], {"kind": "label"}),
        (["0", "1", "2", "-1"], {"kind": "label", "missing": "-1"}),
        (["-1", "1"], {"kind": "label"}),
        (["0.0", "1.0", "", "2.0"], {"kind": "label"}),
        (["NA", "cat", "dog"], {"kind": "label"}),
        (["red car", "blue car", "red bus", "blue bus", "red van", "blue van"], {"kind": "label"}),
    ],
)
def test_init_says_what_a_column_is(tmp_path: Path, cells: list[str], settings: dict[str, Any]) -> None:
    proposal, found = proposed(tmp_path, of(FORTY, "image,what", labels=cells))
    column = found["targets"]["what"]
    assert column["kind"] == settings["kind"]
    assert column.get("separator") == settings.get("separator")
    assert column.get("also_missing", []) == (["-1"] if "missing" in settings else [])
    assert set(proposal.tasks) == {"what"}


@pytest.mark.parametrize(
    ("header", "cells", "kept", "reason"),
    [
        ("time_of_day", ["day", "night"], True, ""),
        ("taken", ["01.02.2024", "03.02.2024"], False, "ISO 8601"),
        ("number", ["3", "7", "9"], True, ""),
        ("body_mass_index", ["21.5", "30.25", "18.1"], True, ""),
        ("leaf_width", ["1.5", "2.5", "3.25"], True, ""),
        ("phase", ["growth", "rest"], True, ""),
        ("partition", ["0", "1", "2"], False, "train, val and test"),
        ("label_id", ["4", "7"], False, "the number of label"),
        ("price", ["1,200", "2,300", "1,400"], False, "decimal"),
    ],
)
def test_names_of_columns_do_not_mislead(
    header: str, cells: list[str], kept: bool, reason: str, tmp_path: Path
) -> None:
    lines = [f'{n};{("cat", "dog")[i % 2]};"{cells[i % len(cells)]}"' for i, n in enumerate(FORTY)]
    proposal, found = proposed(tmp_path, "\n".join([f"image;label;{header}", *lines]))
    assert (header in found["targets"]) == kept
    assert any(header in fact and reason in fact for fact in proposal.facts)
    assert "group" not in found


def test_init_puts_columns_of_0_and_1_together(tmp_path: Path) -> None:
    rows = [f"img/{i}.png,{int(i % 3 == 0)},{int(i % 2)},{int(i % 5 == 1)}" for i in range(40)]
    proposal, found = proposed(tmp_path / "a", "\n".join(["image,rust,scab,spot", *rows]))
    assert found["targets"] == {"labels": {"columns": ["rust", "scab", "spot"], "kind": "labels"}}
    assert proposal.tasks == {"labels": {"type": "multilabel"}}
    # Where most rows leave something open, each has a task of its own: what is not known is skipped.
    rows = [f"img/{i}.png,{('1', '', '0')[i % 3]},{('', '1', '0')[i % 3]},{('0', '1', '-1')[i % 3]}" for i in range(40)]
    proposal, found = proposed(tmp_path / "b", "\n".join(["image,edema,mass,cyst", *rows]))
    assert {name: column["kind"] for name, column in found["targets"].items()} == dict.fromkeys(
        ("edema", "mass", "cyst"), "label"
    )
    assert any("uncertain" in fact for fact in proposal.facts)


def test_init_joins_tables(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    pictures(folder, [f"img/{i}.png" for i in range(60)])
    written(folder / "kinds.csv", of([f"img/{i}.png" for i in range(40)], "image,kind", labels=("mono", "poly")))
    written(
        folder / "defects.csv", of([f"img/{i}.png" for i in range(20, 60)], "image,defect", labels=("no", "yes", "no"))
    )
    proposal = propose(str(folder))
    assert set(proposal.tasks) == {"kind", "defect"}
    assert set(proposal.source["sets"]) == {"kinds", "defects"}
    _, samples, account = fetched(proposal.source["sets"], tmp_path)
    assert len(samples) == 60
    assert sum({*s.targets} == {"kind", "defect"} for s in samples.values()) == 20
    assert account.files[0].unaccounted.number == 0


def test_init_takes_tables_of_splits_with_the_same_classes(tmp_path: Path) -> None:
    kinds = {"train": ("a", "b", "c"), "val": ("b", "c"), "test": ("c", "a")}
    for number, (split, classes) in enumerate(kinds.items()):
        names = [f"{split}/{i}.png" for i in range(10)]
        pictures(tmp_path, names, seed=100 * number)
        written(tmp_path / f"{split}.csv", of([f"{i}.png" for i in range(10)], "image,label", labels=classes))
    proposal = propose(str(tmp_path))
    assert {name: (s["images"], s["targets"]["label"]["classes"]) for name, s in proposal.source["sets"].items()} == {
        split: (split, ["a", "b", "c"]) for split in kinds
    }
    assert proposal.source["split"] == {"type": "given"}


def test_init_takes_a_table_without_labels_as_images_without(tmp_path: Path) -> None:
    pictures(tmp_path, [*FORTY, *(f"test/{i}.png" for i in range(5))])
    written(tmp_path / "train.csv", of(FORTY))
    written(tmp_path / "test.csv", "image\n" + "".join(f"test/{i}.png\n" for i in range(5)))
    proposal = propose(str(tmp_path))
    assert proposal.source["sets"]["test"]["targets"] == {}
    assert any("without" in fact and "test.csv" in fact for fact in proposal.facts)


def test_init_reads_a_table_without_a_line_of_names(tmp_path: Path) -> None:
    proposal, found = proposed(tmp_path, "\n".join(f"{n},{('cat', 'dog')[i % 2]}" for i, n in enumerate(FORTY)))
    assert (found["header"], found["image"]) == (False, "1")
    assert any("no line of names" in fact for fact in proposal.facts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (of([f"gone/x{i}.jpg" for i in range(40)]), "none is there"),
        (of(FORTY, "image,label,label", "{name},{label},x"), "several columns of one name"),
        (of(FORTY, labels=("cat",)), "always cat"),
        ('image,label\nimg/0.png,"cat\nimg/1.png,dog\n', "line 2"),
        (of(FORTY, "image,EncodedPixels", "{name},1 3 10 {i}"), "outlines"),
    ],
    ids=["images elsewhere", "two of one name", "one class", "an open quote", "run lengths"],
)
def test_init_refuses_a_table_by_its_fault(tmp_path: Path, text: str, message: str) -> None:
    pictures(tmp_path, FORTY)
    written(tmp_path / "t.csv", text)
    with pytest.raises(DataError, match=message):
        propose(str(tmp_path))


def test_a_table_of_something_else_is_not_taken_for_labels(tmp_path: Path) -> None:
    pictures(tmp_path, [f"{('cat', 'dog')[i % 2]}/{i}.png" for i in range(40)])
    written(tmp_path / "log.csv", "epoch,loss\n" + "".join(f"{i},0.{i}\n" for i in range(20)))
    written(tmp_path / "classes.csv", "id,name\n0,cat\n1,dog\n")
    proposal = propose(str(tmp_path))
    assert proposal.format == "image_folder"
    assert any("log.csv" in fact for fact in proposal.facts)


many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = ["img/0.png", "2", "cat", "1,5", "2.5", '"', ",", ";", "\n", "\r", "NA", "\0", "{", "é", "http://[x", "-1", "²"]
HEADERS = ["image,label,n", "image;label;n", "image,x1,y1,x2,y2,label", "id,bbox", "image,a,b,c,split,time,patient"]
ANY = st.one_of(
    st.binary(max_size=120),
    st.tuples(st.sampled_from(HEADERS), st.text(max_size=80)).map(
        lambda pair: "\n".join(pair).encode("utf-8", "replace")
    ),
    st.tuples(st.sampled_from(HEADERS), st.lists(st.sampled_from(WORDS), max_size=30)).map(
        lambda pair: (pair[0] + "\n" + "".join(pair[1])).encode()
    ),
)
NAMES = st.sampled_from(["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet"])


@many
@given(data=ANY, name=NAMES)
def test_whatever_is_in_a_table(folder: Path, data: bytes, name: str) -> None:
    targets = LABEL | {"n": {"column": "n", "kind": "value"}}
    try:
        found = table(folder, data, name, targets=targets)
    except DataError:
        return
    finally:
        (folder / name).unlink()
    for entry in found.entries:
        assert isinstance(entry.targets.get("label", 0), int)
        assert np.isfinite(entry.targets.get("n", 0.0))


@many
@given(data=ANY, name=NAMES)
def test_init_looks_at_whatever_is_in_a_table(folder: Path, data: bytes, name: str) -> None:
    written(folder / name, data)
    for finding in detect_format(Look(FileTree(str(folder)))):
        assert finding.sets or finding.facts or finding.fault
    (folder / name).unlink()
