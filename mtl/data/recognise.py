"""What format a folder, an archive or a bucket may be in, by the names of its files and a look into a few."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, TypeVar

from mtl.config import DataError
from mtl.data.formats.base import split_of
from mtl.data.maps import decode_mask
from mtl.data.place import Place
from mtl.data.raw import FileRef

SAMPLED = 64
"""Images whose size is looked at."""


Item = TypeVar("Item")


def candidates(place: Place) -> Iterator[dict[str, dict[str, Any]]]:
    """Sets worth trying, by name, the most particular first."""
    for found in _settings(place):
        yield found if "format" not in found else {"images": found}


def _settings(place: Place) -> Iterator[dict[str, Any]]:
    names = place.names()
    base = {"path": place.path}
    if any(n.endswith((".tar", ".tgz", ".tar.gz")) for n in names):
        yield base | {"format": "webdataset", "targets": _members(place)}
    if "state.json" in names or "dataset_dict.json" in names:
        yield base | {"format": "huggingface", "targets": _features(place)}
    documents = {n: found for n in names if n.endswith(".json") and (found := _coco_document(place, n)) is not None}
    sets = {n: base | _coco(place, n, document) for n, document in documents.items()}
    if len(sets) > 1:
        classes = list(dict.fromkeys(c for document in documents.values() for c in _categories(document)))
        yield {
            _identifier(PurePosixPath(n).stem): found | {"classes": classes, "id_prefix": f"{PurePosixPath(n).stem}/"}
            for n, found in sets.items()
        }
    else:
        yield from sets.values()
    if any(n.endswith(".xml") for n in names):
        masks = any(n.startswith("SegmentationClass/") for n in names)
        yield base | {"format": "voc", "boxes": "objects"} | ({"masks": "regions"} if masks else {})
    if any(n in names for n in ("data.yaml", "dataset.yaml", "classes.txt")):
        yield base | {"format": "yolo", "boxes": "objects"}
    for table in (n for n in names if "/" not in n and n.endswith((".csv", ".parquet"))):
        settings = _table(place, table)
        if settings:
            yield base | settings
    if any(n.endswith(".parquet") for n in names):
        yield base | {"format": "huggingface", "targets": _features(place)}
    yield from _pairs(place)
    yield base | {"format": "image_folder", "target": "label"}


def _coco_document(place: Place, name: str) -> dict[str, Any] | None:
    """What a file of annotations says; None if it is none."""
    try:
        document = json.loads(place.read(name))
    except (ValueError, DataError):
        return None
    lists = ("images", "annotations", "categories")
    return document if isinstance(document, dict) and all(isinstance(document.get(k), list) for k in lists) else None


def _coco(place: Place, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """Boxes, and masks if every object has one."""
    folder = _common_folder(place, name, document["images"])
    settings = {"format": "coco", "annotations": name, "images": folder, "boxes": "objects"}
    annotations = document["annotations"]
    masks = bool(annotations) and all(isinstance(a, dict) and a.get("segmentation") for a in annotations)
    return settings | ({"masks": "regions"} if masks else {})


def _categories(document: dict[str, Any]) -> list[str]:
    return [str(c.get("name")) for c in document["categories"] if isinstance(c, dict)]


def _common_folder(place: Place, annotations: str, images: list[Any]) -> str:
    """The folder that the annotations' file names are relative to."""
    first = images[:1]
    name = str(first[0].get("file_name", "")) if first and isinstance(first[0], dict) else ""
    folders = [n[: len(n) - len(name)].strip("/") for n in place.images() if n == name or n.endswith(f"/{name}")]
    # Where several have a file of this name, the one that is called like the annotations: train2017 and val2017.
    stem = PurePosixPath(annotations).stem
    return max(folders, key=lambda f: (bool(f) and f.split("/")[-1] in stem, -len(f)), default="") if name else ""


def _table(place: Place, table: str) -> dict[str, Any] | None:
    """Columns by what their cells look like."""
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    data = io.BytesIO(place.read(table))
    try:
        rows = (pq.read_table(data) if table.endswith(".parquet") else pc.read_csv(data)).to_pylist()
    except Exception:  # whatever it is, it is no table
        return None
    if not rows:
        return None
    columns = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0]}
    images = next((n for n, cells in columns.items() if cells and all(str(c) in place for c in cells[:SAMPLED])), None)
    if images is None:
        return None
    settings: dict[str, Any] = {"format": "table", "table": table, "image": images, "targets": {}}
    for name, cells in columns.items():
        lower = name.lower()
        if name == images or not cells:
            continue
        if lower == "split" and all(split_of(str(c)) for c in cells):
            settings["split"] = name
        elif lower in ("time", "date", "timestamp"):
            settings["time"] = name
        elif lower.endswith(("_id", "group", "patient")):
            settings["group"] = name
        elif kind := _kind(cells):
            settings["targets"][_identifier(name)] = {"column": name, "kind": kind}
    return settings if settings["targets"] else None


def _kind(cells: list[Any]) -> str | None:
    if all(isinstance(c, float) for c in cells):
        return "value"
    distinct = len(set(map(str, cells)))
    if all(isinstance(c, int) for c in cells) and distinct > 20:
        return "value"
    if any("|" in str(c) for c in cells):
        return "labels"
    return "label" if distinct <= max(2, len(cells) // 2) else None


def _identifier(name: str) -> str:
    found = re.sub(r"\W+", "_", name.lower()).strip("_")
    return found if found[:1].isalpha() else f"t_{found}"


def _pairs(place: Place) -> Iterator[dict[str, Any]]:
    """Folders of images and of maps with the same names."""
    folders = sorted({n.split("/")[0] for n in place.images() if "/" in n})
    images = next((f for f in folders if f.lower() in ("images", "image", "img", "imgs", "rgb", "jpegimages")), None)
    for folder in folders if images else []:
        lower = folder.lower()
        if any(word in lower for word in ("depth", "disparity")):
            yield {"path": place.path, "format": "depth_pairs", "images": images, "depths": folder}
        elif any(word in lower for word in ("mask", "label", "segmentation", "annotation")):
            names = _mask_names(place.read(name) for name in some(place.images(folder)))
            if names:
                yield {"path": place.path, "format": "mask_pairs", "images": images, "masks": folder, "classes": names}


def _mask_names(masks: Iterable[bytes]) -> list[str] | None:
    """A name for every index up to the largest in some masks, 255 aside; None if they are no masks."""
    largest = 0
    try:
        for data in masks:
            mask = decode_mask(data, 256)
            largest = max(largest, int(mask[mask != 255].max(initial=0)))
    except DataError:
        return None
    return ["background", *(f"class_{number}" for number in range(1, largest + 1))] if largest else None


def _members(place: Place) -> dict[str, Any]:
    from mtl.data.formats.webdataset import inline, samples_of

    tar = place.names(suffixes=(".tar", ".tar.gz", ".tgz"))[0]
    found: dict[str, Any] = {}
    samples = list(islice(samples_of(place, tar), SAMPLED))
    masks = (sample["seg.png"].value for sample in samples if "seg.png" in sample)
    names = _mask_names(place.read(mask.name) if isinstance(mask, FileRef) else mask for mask in masks)
    if names:
        found["regions"] = {"column": "seg.png", "kind": "mask", "classes": names}
    for sample in samples:
        if "cls" in sample:
            found["label"] = {"column": "cls", "kind": "label"}
        for key, value in json.loads(inline(sample, "json") or b"{}").items():
            if isinstance(value, float):
                found[_identifier(key)] = {"column": f"json:{key}", "kind": "value"}
            elif isinstance(value, str):
                found[_identifier(key)] = {"column": f"json:{key}", "kind": "label"}
    return found


def _features(place: Place) -> dict[str, str]:
    """Columns of a Hugging Face data set that can be targets."""
    from mtl.data.formats.huggingface import features_of, spec_of, splits_of

    found: dict[str, str] = {}
    (first, *_), *_ = splits_of(place).values()
    for column, feature in features_of(place, first).items():
        if column != "image":
            try:
                spec_of(column, feature)
            except DataError:
                continue
            found[_identifier(column)] = column
    return found


def some(items: Sequence[Item]) -> Sequence[Item]:
    """A few of many, evenly."""
    return items[:: max(1, len(items) // SAMPLED)][:SAMPLED]
