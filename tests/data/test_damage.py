"""Damaged images, annotations and archives by the thousand: a clear message or the right label, never anything else."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mtl.codecs.maps import decode_depth, decode_mask
from mtl.config.files import CocoSet, HuggingFaceSet, TableSet, VocSet, WebDatasetSet, YoloSet
from mtl.data.formats.coco import read_coco
from mtl.data.formats.huggingface import read_huggingface
from mtl.data.formats.table import read_table
from mtl.data.formats.voc import read_voc
from mtl.data.formats.webdataset import read_webdataset
from mtl.data.formats.yolo import read_yolo
from mtl.data.prepare.operations import decode
from mtl.data.raw.rows import FileRef
from mtl.errors import DataError
from mtl.storage.file_tree import FileTree

PIXELS = np.random.default_rng(3).integers(0, 255, (24, 32, 3), np.uint8)
many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encoded(kind: str, pixels: np.ndarray = PIXELS) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def damage(data: bytes, cut: int, places: list[tuple[int, int]]) -> bytes:
    """Bytes changed at some places, and the end cut off."""
    broken = bytearray(data)
    for place, value in places:
        broken[place % len(broken)] = value
    return bytes(broken[: len(broken) - cut % len(broken)])


CUTS = st.integers(0, 5000)
PLACES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "AVIF", "JPEG2000"])
@many
@given(cut=CUTS, places=PLACES)
def test_a_damaged_image_is_decoded_or_explained(kind: str, cut: int, places: list[tuple[int, int]]) -> None:
    try:
        found = decode(damage(encoded(kind), cut, places))
    except DataError:
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3
    if kind == "PNG" and not (cut % 5000):
        return
    if kind == "PNG":
        assert (found == PIXELS).all()  # a checksum guards every chunk


@many
@given(cut=st.integers(1, 400))
def test_a_cut_off_photograph_is_not_used(cut: int) -> None:
    """Decoders fill the rest with grey: a label for half an image is a wrong label."""
    data = encoded("JPEG", np.random.default_rng(4).integers(0, 255, (64, 64, 3), np.uint8))
    with pytest.raises(DataError):
        decode(data[: len(data) - 2 - cut])


@many
@given(cut=CUTS, places=PLACES)
def test_a_damaged_mask_has_no_class_that_is_none(cut: int, places: list[tuple[int, int]]) -> None:
    mask = np.random.default_rng(5).integers(0, 3, (16, 16), np.uint8)
    try:
        found = decode_mask(damage(encoded("PNG", mask), cut, places), 3)
        assert set(np.unique(found)) <= {0, 1, 2, 255}
        assert found.shape != (16, 16) or (found == mask).all()
    except DataError:
        pass
    with contextlib.suppress(DataError):
        decode_depth(damage(encoded("PNG", mask.astype(np.uint16)), cut, places), 0.001)


def leaf() -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.floats(), st.text(max_size=3))


ANYTHING = st.recursive(
    leaf(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One image."""
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    return tmp_path


def right(boxes: Any) -> bool:
    """The only box and class that the undamaged files have."""
    return np.allclose(np.array(boxes, float), [[2.0, 3.0, 12.0, 13.0, 1.0]])


COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 32, "height": 24}],
    "categories": [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 9, "bbox": [2, 3, 10, 10], "segmentation": [[2, 3, 12, 3, 12, 13]]}
    ],
}


@many
@given(path=st.sampled_from(["images", "categories", "annotations"]), data=st.data())
def test_coco_with_anything_in_it(folder: Path, path: str, data: st.DataObject) -> None:
    document = json.loads(json.dumps(COCO))
    item = document[path][0]
    where = data.draw(st.sampled_from([path, *item]))
    if where == path and where not in item:
        document[path] = data.draw(ANYTHING)
    else:
        item[where] = data.draw(ANYTHING)
    (folder / "annotations.json").write_text(json.dumps(document))
    try:
        found = read_coco(CocoSet(format="coco", path=str(folder), masks="regions"), FileTree(str(folder)))
    except DataError:
        return
    for entry in found.entries:
        for box in entry.targets["objects"]:
            assert len(box) == 5
            assert all(isinstance(number, float) for number in box)
        if "regions" in entry.targets:
            decode_mask(entry.targets["regions"], 3)


@many
@given(text=st.one_of(st.text(max_size=60), st.lists(st.floats(), max_size=8).map(lambda n: " ".join(map(str, n)))))
def test_yolo_with_anything_in_it(folder: Path, text: str) -> None:
    (folder / "classes.txt").write_text("cat\ndog\n")
    (folder / "a.txt").write_text(text, encoding="utf-8")
    found = read_yolo(YoloSet(format="yolo", path=str(folder)), FileTree(str(folder)))
    (entry,) = found.entries
    assert entry.targets or found.problems
    assert all(box[4] in (0.0, 1.0) and np.isfinite(box).all() for box in entry.targets.get("objects", []))


XML = b"<annotation><object><name>dog</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>13</ymax></bndbox></object></annotation>"


@many
@given(cut=st.integers(0, 150), places=PLACES)
def test_voc_with_damage(folder: Path, cut: int, places: list[tuple[int, int]]) -> None:
    (folder / "a.xml").write_bytes(damage(XML, cut, places))
    settings_ = VocSet(format="voc", path=str(folder), classes=("cat", "dog"))
    try:
        found = read_voc(settings_, FileTree(str(folder)))
    except DataError:
        return
    for entry in found.entries:
        for box in entry.targets.get("objects", []):
            assert np.isfinite(box).all()
            assert box[4] in (0.0, 1.0)


@many
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=100).map(lambda t: ("image,label,n\n" + t).encode())))
def test_a_table_with_anything_in_it(folder: Path, data: bytes) -> None:
    (folder / "table.csv").write_bytes(data)
    columns = {"label": {"column": "label", "kind": "label", "classes": ("x",)}, "n": {"column": "n", "kind": "value"}}
    chosen = TableSet.model_validate({"format": "table", "path": str(folder), "targets": columns})
    try:
        found = read_table(chosen, FileTree(str(folder)))
    except DataError:
        return
    for entry in found.entries:
        assert entry.targets.get("label", 0) == 0
        assert np.isfinite(entry.targets.get("n", 0.0))


@many
@given(cut=CUTS, places=PLACES)
def test_a_damaged_archive_gives_its_files_or_an_error(tmp_path: Path, cut: int, places: list[tuple[int, int]]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/a.png", encoded("PNG"))
        archive.writestr("dog/b.png", encoded("PNG", PIXELS[::-1]))
    (tmp_path / "x.zip").write_bytes(damage(buffer.getvalue(), cut, places))
    try:
        place = FileTree(str(tmp_path / "x.zip"))
        for name in place.images():
            wanted = PIXELS if name == "cat/a.png" else PIXELS[::-1]
            found = decode(place.read(name))
            assert name not in ("cat/a.png", "dog/b.png") or (found == wanted).all()
    except DataError:
        pass


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@many
@given(cut=CUTS, places=PLACES)
def test_a_damaged_tar_gives_all_of_its_files_or_an_error(
    tmp_path: Path, cut: int, places: list[tuple[int, int]]
) -> None:
    (tmp_path / "x.tar").write_bytes(
        damage(tar_of({"cat/a.png": encoded("PNG"), "dog/b.png": encoded("PNG", PIXELS[::-1])}), cut, places)
    )
    try:
        place = FileTree(str(tmp_path / "x.tar"))
        assert set(place.names()) == {"cat/a.png", "dog/b.png"}  # a header has a checksum, an end is wanted
        for name in place.images():
            assert (decode(place.read(name)) == (PIXELS if name == "cat/a.png" else PIXELS[::-1])).all()
    except DataError:
        pass


@many
@given(cut=CUTS, places=PLACES)
def test_damaged_webdataset_shards(tmp_path: Path, cut: int, places: list[tuple[int, int]]) -> None:
    files = {"a.png": encoded("PNG"), "a.cls": b"0", "b.png": encoded("PNG", PIXELS[::-1]), "b.cls": b"1"}
    (tmp_path / "x.tar").write_bytes(damage(tar_of(files), cut, places))
    columns = {"label": {"column": "cls", "kind": "label", "classes": ("x", "y")}}
    place = FileTree(str(tmp_path))
    try:
        found = read_webdataset(
            WebDatasetSet.model_validate({"format": "webdataset", "path": str(tmp_path), "targets": columns}), place
        )
    except DataError:
        return
    assert {entry.id for entry in found.entries} | {problem.id for problem in found.problems} == {"a", "b"}
    for entry in found.entries:
        assert entry.targets.get("label", 0) in (0, 1)
        assert isinstance(entry.image, FileRef)
        with contextlib.suppress(DataError):
            assert (decode(place.read(entry.image.name)) == (PIXELS if entry.id == "a" else PIXELS[::-1])).all()


def test_data_after_the_end_of_a_tar_are_reported(tmp_path: Path) -> None:
    first, second = tar_of({"a.png": encoded("PNG"), "a.cls": b"0"}), tar_of({"b.png": encoded("PNG"), "b.cls": b"0"})
    columns = {"label": {"column": "cls", "kind": "label", "classes": ("x",)}}
    settings_ = WebDatasetSet.model_validate({"format": "webdataset", "path": str(tmp_path), "targets": columns})
    (tmp_path / "x.tar").write_bytes(first)
    assert len(read_webdataset(settings_, FileTree(str(tmp_path))).entries) == 1
    end = -(-len(first.rstrip(b"\0")) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    for broken, message in ((first + second, "another one was appended"), (first[:end], "is cut off")):
        (tmp_path / "x.tar").write_bytes(broken)
        with pytest.raises(DataError, match=message):
            read_webdataset(settings_, FileTree(str(tmp_path)))


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
@many
@given(cut=CUTS, places=PLACES)
def test_damaged_huggingface_files(
    kind: str, tables: Path, tmp_path: Path, cut: int, places: list[tuple[int, int]]
) -> None:
    name = "train.parquet" if kind == "parquet" else "data.arrow"
    (tmp_path / name).write_bytes(damage((tables / kind).read_bytes(), cut, places))
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    settings_ = HuggingFaceSet.model_validate(
        {"format": "huggingface", "path": str(tmp_path), "targets": {"label": "label"}}
    )
    place = FileTree(str(tmp_path))
    try:
        found = read_huggingface(settings_, place)
    except DataError:
        return
    for entry in found.entries:
        assert isinstance(entry.image, FileRef)
        with contextlib.suppress(DataError):
            pixels = decode(place.read(entry.image.name))
            assert pixels.shape == PIXELS.shape
            assert any((pixels == wanted).all() for wanted in (PIXELS, PIXELS[::-1]))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images with labels, as `datasets` writes them: the files `arrow` and `parquet`."""
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    images = [{"bytes": encoded("PNG", pixels), "path": None} for pixels in (PIXELS, PIXELS[::-1])]
    rows = datasets.Dataset.from_dict({"image": images, "label": [0, 1]}, features)
    folder = tmp_path_factory.mktemp("tables")
    rows.save_to_disk(str(folder / "saved"))
    rows.to_parquet(str(folder / "parquet"))
    (arrow,) = (folder / "saved").glob("*.arrow")
    arrow.rename(folder / "arrow")
    return folder


def test_run_length_masks_are_those_of_pycocotools() -> None:
    from faster_coco_eval.core import mask as rle

    from mtl.data.formats.runs import draw_runs

    rng = np.random.default_rng(6)
    for _ in range(200):
        mask = (rng.random((int(rng.integers(1, 40)), int(rng.integers(1, 40)))) < rng.random()).astype(np.uint8)
        code = rle.encode(np.asfortranarray(mask))
        given = {"size": list(mask.shape), "counts": code["counts"].decode()}
        assert (draw_runs(given, *mask.shape) == mask).all()
