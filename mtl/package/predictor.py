"""Predictions for images as users have them: encoded bytes in, one typed row a picture out."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mtl.config import DataError
from mtl.data.loader import as_images
from mtl.data.manifest import Statistics
from mtl.data.maps import encode_depth, encode_normals
from mtl.data.operations import Picture, run
from mtl.package.bundle import read_bundle
from mtl.tasks import Task

BATCH = 64


class Predictor:
    """A bundle, ready to predict. Preprocessing is the same code with the same settings as in training."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tasks, self.bundle = read_bundle(folder)
        image = self.bundle.image
        self.statistics = Statistics(mean=image.mean, std=image.std)

    @torch.inference_mode()
    def predict(self, images: list[bytes]) -> list[dict[str, Any]]:
        """Encoded images (PNG, JPEG …) → one row each, with coordinates in pixels of the image that came in.

        Per task: classification and rotation `<task>` and `<task>_score`; multi-label `<task>`, a list of classes,
        and `<task>_scores`, of all classes; regression `<task>`; detection `<task>`, a list of {label, score, x1, y1,
        x2, y2}; and in base64 as PNG: segmentation and edges class indices, depth 16 bits in steps of the target's
        scale, normals as colours, reconstruction the image at the model's own size.

        Raises:
            DataError: an image cannot be decoded; the message names its place in the list.
        """
        rows: list[dict[str, Any]] = []
        for start in range(0, len(images), BATCH):
            pictures = [self._prepare(data, start + i) for i, data in enumerate(images[start : start + BATCH])]
            pixels = torch.from_numpy(np.stack([picture.image for picture in pictures]))
            outputs = self.model(as_images(pixels, self.statistics))
            found = {name: task.predict(outputs[name]) for name, task in self.tasks.items()}
            for i, picture in enumerate(pictures):
                row: dict[str, Any] = {}
                for name, task in self.tasks.items():
                    row |= _typed(name, task, found[name][i], picture)
                rows.append(row)
        return rows

    def _prepare(self, data: bytes, index: int) -> Picture:
        try:
            return run(self.bundle.operations, Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=data))
        except DataError as error:
            raise DataError(f"image {index}: {error.what}", found=error.found, fix="send a PNG or JPEG") from error


def as_bytes(value: Any) -> bytes:
    """An image given as bytes, as base64 text, or as a path.

    Raises:
        DataError: none of these.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise DataError("an image is neither bytes nor base64 text", found=f"{value[:40]!r}…") from error
    raise DataError("an image is neither bytes nor base64 text", found=type(value).__name__)


def _typed(name: str, task: Task, prediction: dict[str, Any], picture: Picture) -> dict[str, Any]:
    """One task's columns."""
    if task.serves == "label":
        return {name: prediction["label"], f"{name}_score": float(max(prediction["scores"]))}
    if task.serves == "labels":
        return {name: prediction["labels"], f"{name}_scores": [float(score) for score in prediction["scores"]]}
    if task.serves == "value":
        return {name: float(prediction["value"])}
    if task.serves == "boxes":
        offset, scale = np.array(picture.offset * 2), np.array(picture.scale * 2)
        boxes = (prediction["boxes"] - offset) / scale
        return {
            name: [
                {"label": task.target.classes[int(label)], "score": float(score)}
                | dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True))
                for box, label, score in zip(boxes, prediction["labels"], prediction["scores"], strict=True)
            ]
        }
    if "mask" in prediction:
        return {name: _png(_to_source(prediction["mask"], picture))}
    if "map" in prediction:
        data = encode_depth(_to_source(prediction["map"], picture), task.target.scale)
        return {name: base64.b64encode(data).decode()}
    if "normals" in prediction:
        data = encode_normals(_to_source(prediction["normals"], picture))
        return {name: base64.b64encode(data).decode()}
    return {
        name: _png(
            cv2.cvtColor(prediction["pixels"][..., :3], cv2.COLOR_RGB2BGR)
            if prediction["pixels"].shape[2] >= 3
            else prediction["pixels"][..., 0]
        )
    }


def _to_source(mask: np.ndarray, picture: Picture) -> np.ndarray:
    """A mask at the model's size → at the size of the image that came in, without the padding."""
    height, width = mask.shape[:2]
    left, top = (round(v) for v in picture.offset)
    inner = mask[top : height - top or None, left : width - left or None] if left or top else mask
    size = (round(inner.shape[1] / picture.scale[0]), round(inner.shape[0] / picture.scale[1]))
    return cv2.resize(inner, size, interpolation=cv2.INTER_NEAREST)


def _png(image: np.ndarray) -> str:
    ok, data = cv2.imencode(".png", image)
    assert ok
    return base64.b64encode(data.tobytes()).decode()
