"""Every file is used, left out with a reason, or declared as not meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtl.data.inspect.check_lines import as_lines
from mtl.data.inspect.checks import check
from mtl.data.inspect.report import DataReport
from mtl.data.prepare.prepare import prepare
from mtl.data.raw.account import FilesOfPath, read_account
from mtl.data.raw.rows import read_problems, read_spec
from mtl.data.sources.account import summary
from mtl.errors import DataError
from tests.data.drawn import mask, picture, written
from tests.data.test_formats import configured, fetched

LABEL = {"label": {"type": "classification"}}


def checked(config: Any, folder: Path) -> DataReport:
    """The report of `mtl data check`."""
    fetched(config, folder / "raw")
    manifest = prepare(config.data, folder / "raw", folder / "prepared", refuse=False)
    return check(folder / "raw", folder / "prepared", manifest, read_spec(folder / "raw"))


def adds_up(account: FilesOfPath) -> bool:
    left = sum(one.number for one in account.left_out.values())
    parts = account.used, account.copies, account.problems, account.ignored
    return account.found == sum(parts) + left + account.not_data.number + account.unaccounted.number


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Forty images in two classes, and what lies beside them."""
    given = tmp_path / "given"
    for i in range(40):
        picture(given / ("cat", "dog")[i % 2] / f"{i}.png", i)
    for i in range(4):
        picture(given / ("cat", "dog")[i % 2] / f"{i}.jpg", 100 + i)  # another picture of the same name
    (given / "cat" / "copy.png").write_bytes((given / "cat" / "0.png").read_bytes())
    (given / "cat" / "broken.png").write_bytes(b"no picture")
    written(given / "README.md", "made by hand")
    written(given / "old.csv", "a,b\n1,2\n")
    written(given / "drafts" / "x.psd", "draft")
    return given


def test_found_is_used_and_named_and_declared(folders: Path, tmp_path: Path) -> None:
    settings = {"format": "image_folder", "path": str(folders), "ignore": ["drafts/"]}
    report = checked(configured({"own": settings}, LABEL), tmp_path)
    (account,) = report.files
    assert adds_up(account)
    assert account.found == 49
    assert account.copies == 1
    assert account.ignored == 1
    assert account.not_data.files == ("README.md",)
    assert account.unaccounted.files == ("old.csv",)
    assert account.used == 45  # the broken one is found out when it is decoded
    assert sum(report.samples.values()) == 44
    assert [q.id for q in report.quarantined] == ["cat/broken"]
    assert not report.is_clean
    lines = "\n".join(as_lines(report))
    assert "49 = 45 used, 1 copies of others, 1 no data, 1 ignored as declared, 1 used by no set" in lines
    assert "old.csv" in lines


def test_what_is_declared_as_not_meant_leaves_a_clean_check(folders: Path, tmp_path: Path) -> None:
    (folders / "cat" / "broken.png").unlink()
    settings = {"format": "image_folder", "path": str(folders), "ignore": ["drafts/", "*.csv"]}
    report = checked(configured({"own": settings}, LABEL), tmp_path)
    assert report.is_clean
    assert summary(read_account(tmp_path / "raw")) == []


def test_two_files_that_differ_in_their_extension_are_two_images(folders: Path, tmp_path: Path) -> None:
    settings = {"format": "image_folder", "path": str(folders)}
    fetched(configured({"own": settings}, LABEL), tmp_path / "raw")
    assert read_problems(tmp_path / "raw") == []
    assert read_account(tmp_path / "raw").files[0].copies == 1


def coco_of(folder: Path, boxes: list[list[float]], **extra: Any) -> dict[str, Any]:
    images = [
        {"id": i, "file_name": picture(folder / f"{i}.png", i).name, "width": 64, "height": 48} for i in range(20)
    ]
    annotations = [
        {"id": 100 * i + n, "image_id": i, "category_id": 1, "bbox": box}
        for i in range(20)
        for n, box in enumerate(boxes)
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}], **extra}
    written(folder / "annotations.json", document)
    return {"format": "coco", "path": str(folder)}


def test_bad_boxes_cost_themselves_and_too_many_stop_prepare(tmp_path: Path) -> None:
    settings = coco_of(tmp_path / "given", [[1, 2, 9, 9], [5, 5, 9, 9], [3, 3, 0, 9], [90, 90, 9, 9]])
    config = configured({"own": settings}, {"objects": {"type": "detection"}})
    report = checked(config, tmp_path)
    assert report.quarantined == ()
    assert len(report.annotations) == 40
    assert report.num_annotations == 80
    assert sum(report.balance["objects"]["cat"].values()) == 40
    assert not report.is_clean
    assert "20 × own: a box has no area" in "\n".join(as_lines(report))
    with pytest.raises(DataError, match="40 of 80 annotations"):
        prepare(config.data, tmp_path / "raw", tmp_path / "prepared")
    allowed = config.data.model_copy(update={"max_bad_fraction": 0.5})
    prepare(allowed, tmp_path / "raw", tmp_path / "prepared")


def test_a_check_of_nothing_that_can_be_used_says_why(tmp_path: Path) -> None:
    settings = coco_of(tmp_path / "given", [[1, 2, 9, 9]]) | {"images": "pictures"}
    report = checked(configured({"own": settings}, {"objects": {"type": "detection"}}), tmp_path)
    assert len(report.quarantined) == 20
    assert all("pictures/" in q.reason and "is not there" in q.reason for q in report.quarantined)
    assert report.empty == ("train", "val", "test")
    assert "the train split is empty" in as_lines(report)


def test_several_sets_of_one_folder_are_accounted_together(tmp_path: Path) -> None:
    given = tmp_path / "given"
    coco_of(given / "images", [[1, 2, 9, 9]])
    for i in range(22):
        mask(given / "masks" / f"{i}.png", i)
    sets = {
        "boxes": {"format": "coco", "path": str(given), "annotations": "images/annotations.json", "images": "images"},
        "masks": {"format": "mask_pairs", "path": str(given), "classes": ["background", "thing"]},
    }
    tasks = {"objects": {"type": "detection"}, "regions": {"type": "segmentation"}}
    report = checked(configured(sets, tasks), tmp_path)
    (account,) = report.files
    assert adds_up(account)
    assert (account.found, account.used, account.problems) == (43, 41, 2)
    assert sum(report.samples.values()) == 20
    assert [found for found, _ in report.annotations] == ["20", "21"]


def test_a_file_is_one_image_whatever_two_sets_call_it(tmp_path: Path) -> None:
    given = tmp_path / "given"
    coco_of(given / "images", [[1, 2, 9, 9]])
    rows = [f"images/{i}.png,{i % 2}" for i in range(20)]
    written(given / "table.csv", "\n".join(["image,kind", *rows]) + "\n")
    columns = {"kind": {"column": "kind", "kind": "label"}}
    sets = {
        "boxes": {"format": "coco", "path": str(given), "annotations": "images/annotations.json", "images": "images"},
        "kinds": {"format": "table", "path": str(given), "targets": columns},
    }
    config = configured(sets, {"objects": {"type": "detection"}, "kind": {"type": "classification"}})
    report = checked(config, tmp_path)
    assert sum(report.samples.values()) == 20
    assert report.copies_dropped == 0
    assert sum(sum(n.values()) for n in report.balance["kind"].values()) == 20


def test_the_account_is_a_document(folders: Path, tmp_path: Path) -> None:
    fetched(configured({"own": {"format": "image_folder", "path": str(folders)}}, LABEL), tmp_path / "raw")
    account = json.loads((tmp_path / "raw" / "account.json").read_text())
    assert set(account) == {"files", "annotations", "num_annotations", "notes"}
