"""Many images and their pictures: none takes another's place, whatever they are called and wherever they lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import pyarrow.parquet as pq
import pytest

from mtl.config.params import Config
from mtl.reports.prediction import Counts
from mtl.serving import batch
from mtl.serving.batch import predict_all
from mtl.serving.export import write_table
from mtl.serving.picture_names import picture_names
from mtl.serving.sources import Chosen, choose
from mtl.storage.store import Store
from tests.conftest import package_of
from tests.data.small_sets import encoded, pictures


@pytest.fixture(scope="module")
def package(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_of(bundle, tmp_path_factory.mktemp("package"))


def predicted(config: Config, package: Path, images: Sequence[Path | str], out: Path) -> list[dict[str, Any]]:
    """The rows of a prediction with pictures."""
    predict_all(config, package, choose([str(path) for path in images]), str(out), ["masks", "overlays"])
    write_table(Store(str(out)))
    return pq.read_table(out / "predictions.parquet").to_pylist()


def whole(rows: list[dict[str, Any]], out: Path) -> None:
    """Each row has a mask and an overlay, and no other row has the same."""
    assert {row["_error"] for row in rows} == {None}
    for kind in ("masks/regions", "overlays"):
        files = [out / kind / f"{row['_file']}.png" for row in rows]
        assert len({*files}) == len(rows) == sum(p.is_file() for p in (out / kind).rglob("*.png"))
        for path in files:
            assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.daily(situation="images of one name in several folders, each with its masks")
def test_one_name_in_two_folders(config: Config, package: Path, tmp_path: Path) -> None:
    names = [f"{folder}/{number}.png" for folder in ("left", "right", "right/deep") for number in range(3)]
    pictures(tmp_path / "in", names)
    for number, images in enumerate(([tmp_path / "in"], [tmp_path / "in" / side for side in ("left", "right")])):
        out = tmp_path / str(number)
        rows = predicted(config, package, images, out)
        assert sorted(row["_file"] for row in rows) == sorted(names)
        whole(rows, out)
        for row in rows:  # the mask is the one of this image's own prediction
            image, mask = (cv2.imread(str(path)) for path in (row["_path"], out / f"masks/regions/{row['_file']}.png"))
            assert image is not None and mask is not None and image.shape[:2] == mask.shape[:2]
    # Again, there is nothing to do.
    found = predict_all(config, package, choose([str(tmp_path / "in")]), str(tmp_path / "0"), ["overlays", "masks"])
    assert found == Counts(images=9, failed=0, made=0)


@pytest.mark.daily(situation="images whose names differ in little, or in what some systems do not take")
def test_names_that_some_system_takes_for_one(config: Config, package: Path, tmp_path: Path) -> None:
    names = ["a/b.png", "a_b.png", "a__b.png", "A.png", "a.png", "x.jpg", "x.png", "c\\d.png", "c/d.png", "C:x.png"]
    names += [
        "new\nline.png",
        "100%.png",
        "100%25.png",
        "q?#*.png",
        "é.png",
        "e\u0301.png",
        " .png",
        f"{'x' * 240}.png",
    ]
    names += ["t~1.png", "f.png", "f.png.png/g.png", "dot./h.png", "CON.png", "-rf.png", "$(id).png"]
    pictures(tmp_path / "in", names)
    (tmp_path / "in" / os.fsdecode(b"\xff.png")).write_bytes(encoded(99))
    rows = predicted(config, package, [tmp_path / "in"], tmp_path / "out")
    assert len(rows) == len(names) + 1
    whole(rows, tmp_path / "out")
    assert len({row["_file"].casefold() for row in rows}) == len(rows)
    called = {Path(row["_path"]).relative_to(tmp_path / "in").as_posix(): row["_file"] for row in rows}
    for usual in ("a/b.png", "a_b.png", "x.jpg", "x.png", " .png", "$(id).png"):
        assert called[usual] == usual


def test_the_same_names_in_any_order(tmp_path: Path) -> None:
    chosen = [Chosen(place, name, "1") for place in ("/in/a", "/in/a-b", "/in/a/b") for name in ("x.png", "X.png")]
    names = picture_names(chosen)
    assert len({name.casefold() for name in names}) == len(names)
    assert picture_names(chosen[::-1]) == names[::-1]
    assert picture_names([Chosen("s3://one/a", "x.png", "1"), Chosen("s3://one/b", "x.png", "1")]) == [
        "a/x.png",
        "b/x.png",
    ]
    elsewhere = [Chosen("s3://one/a", "x.png", "1"), Chosen("/one/a", "x.png", "1")]
    assert picture_names(elsewhere) == ["s3%3A/one/a/x.png", "one/a/x.png"]


@pytest.mark.slow
@pytest.mark.daily(situation="mtl predict of few images starts no Ray, and answers as with Ray")
def test_the_same_answers_without_ray(
    config: Config, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "in", [f"{number}.png" for number in range(20)], size=(64, 64))
    chosen = choose([str(tmp_path / "in")])

    def forbidden(*_: Any) -> Any:
        raise AssertionError("Ray was started")

    with monkeypatch.context() as patch:
        patch.setattr(batch, "cluster", forbidden)
        predict_all(config, package, chosen, str(tmp_path / "alone"), ["parquet"])
    monkeypatch.setattr(batch, "FEW", 0)
    predict_all(config, package, chosen, str(tmp_path / "ray"), ["parquet"])
    alone, ray = (next(iter((tmp_path / name / "parts").glob("*.parquet"))).read_bytes() for name in ("alone", "ray"))
    assert alone == ray
