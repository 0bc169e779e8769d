"""One small valid annotation in every tool's format: what its own reader must read rightly, and no damage may upset."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30
BOX = (4.0, 6.0, 24.0, 16.0)
"""x1, y1, x2, y2 of the only object, a dog; another class, cat, comes first where classes are declared."""
CORNERS = [4.0, 6.0, 24.0, 6.0, 24.0, 16.0, 4.0, 16.0]


def picture(path: Path, seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A picture of noise, another for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write(path: Path, document: Any) -> Path:
    """A JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def mask() -> np.ndarray:
    """uint8 [height, width]: 1 in the box."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[6:16, 4:24] = 1
    return found


def coco() -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 9, "bbox": [4, 6, 20, 10], "area": 200, "segmentation": [CORNERS]}
        ],
    }


def labelme() -> dict[str, Any]:
    shape = {"label": "dog", "shape_type": "polygon", "points": np.reshape(CORNERS, (4, 2)).tolist(), "group_id": None}
    return {"version": "5", "flags": {"wet": True, "dry": False}, "imagePath": "a.png", "imageData": None} | {
        "shapes": [shape],
        "imageWidth": WIDTH,
        "imageHeight": HEIGHT,
    }


def region(**more: Any) -> dict[str, Any]:
    """A rectangle of Label Studio's."""
    value = {"x": 10.0, "y": 20.0, "width": 50.0, "height": 100 / 3, "rotation": 0, "rectanglelabels": ["dog"]}
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {
        "id": "r",
        "from_name": "box",
        "to_name": "image",
        "type": "rectanglelabels",
        "value": value,
        **sizes,
    } | more


def label_studio() -> list[dict[str, Any]]:
    choice = {"id": "c", "from_name": "kind", "to_name": "image", "type": "choices", "value": {"choices": ["wet"]}}
    annotation = {"id": 3, "completed_by": 1, "was_cancelled": False, "result": [region(), choice]}
    return [
        {"id": 7, "data": {"image": "/data/upload/1/0a1b2c3d-a.png"}, "annotations": [annotation], "predictions": []}
    ]


def supervisely() -> dict[str, Any]:
    ring = [[4, 6], [23, 6], [23, 15], [4, 15]]
    thing = {"classTitle": "dog", "geometryType": "polygon", "points": {"exterior": ring, "interior": []}, "tags": []}
    return {"size": {"width": WIDTH, "height": HEIGHT}, "tags": [{"name": "wet"}], "objects": [thing]}


META = {"classes": [{"title": "cat", "shape": "polygon"}, {"title": "dog", "shape": "polygon"}], "tags": []}


def bitmap_of(pixels: np.ndarray) -> str:
    """As Supervisely packs a bitmap."""
    return base64.b64encode(zlib.compress(png(pixels * 255))).decode()


def createml() -> list[dict[str, Any]]:
    sides = {"x": 14.0, "y": 11.0, "width": 20.0, "height": 10.0}
    return [{"image": "a.png", "annotations": [{"label": "dog", "coordinates": sides}]}]


def via() -> dict[str, Any]:
    shape = {"name": "rect", "x": 4, "y": 6, "width": 20, "height": 10}
    regions = [{"shape_attributes": shape, "region_attributes": {"kind": "dog"}}]
    return {"a.png123": {"filename": "a.png", "size": 123, "regions": regions, "file_attributes": {"light": "day"}}}


def datumaro() -> dict[str, Any]:
    labels = [{"name": "cat", "parent": ""}, {"name": "dog", "parent": ""}]
    found = [
        {"id": 1, "type": "bbox", "group": 1, "label_id": 1, "bbox": [4, 6, 20, 10], "attributes": {}},
        {"id": 1, "type": "polygon", "group": 1, "label_id": 1, "points": CORNERS, "attributes": {}},
        {"id": 0, "type": "label", "group": 0, "label_id": 0, "attributes": {}},
    ]
    item = {"id": "a", "annotations": found, "image": {"path": "a.png", "size": [HEIGHT, WIDTH]}}
    return {"categories": {"label": {"labels": labels}}, "items": [item], "infos": {}}


DOCUMENTS = {
    "coco": ("annotations.json", coco),
    "labelme": ("a.json", labelme),
    "label_studio": ("export.json", label_studio),
    "supervisely": ("ann/a.png.json", supervisely),
    "createml": ("boxes.json", createml),
    "via": ("via.json", via),
    "datumaro": ("annotations/train.json", datumaro),
}
"""Format → file, and what stands in it."""


def place(folder: Path, form: str, document: Any = None) -> dict[str, Any]:
    """A folder with one annotated picture, and its section."""
    name, make = DOCUMENTS[form]
    picture(folder / ("img/a.png" if form == "supervisely" else "a.png"))
    write(folder / name, make() if document is None else document)
    if form == "supervisely":
        write(folder / "meta.json", META)
    return {"format": form, "path": str(folder), "masks": "regions"} | ({"annotations": name} if form == "coco" else {})
