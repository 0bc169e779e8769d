"""Predictions for images as users have them: encoded bytes in, one typed row per picture out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from pydantic import JsonValue

from mtl.config.operations import Decode, Orient
from mtl.data.inspect.drawing import as_rgb
from mtl.data.loading.loader import as_images
from mtl.data.prepare.operations import run
from mtl.data.prepare.picture import Picture
from mtl.data.shards.manifest import Statistics
from mtl.errors import DataError
from mtl.package.bundle import read_bundle
from mtl.tasks.answers import answer_of

Row = dict[str, JsonValue]
"""Column → what is answered for one image."""
BATCH = 64

Input = bytes | Path | np.ndarray


class Predictor:
    """A bundle, ready to predict. Preprocessing is the same code with the same settings as in training."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tasks, self.bundle = read_bundle(folder)
        image = self.bundle.image
        self.statistics = Statistics(mean=image.mean, std=image.std)

    def predict(self, images: Sequence[Input]) -> list[Row]:
        """Images → one row each, with coordinates in pixels of the image that came in.

        An image is encoded bytes (PNG, JPEG …), a file's Path, or an array, uint8 [height, width, 3], RGB.

        Per task: classification and rotation `<task>` and `<task>_score`; multi-label `<task>`, a list of classes,
        and `<task>_scores`, of all classes; regression `<task>`; detection `<task>`, a list of {label, score, x1, y1,
        x2, y2}; and in base64 as PNG: segmentation and edges class indices, depth 16 bits in steps of the target's
        scale, normals as colours, reconstruction the image at the model's own size.

        Raises:
            DataError: an image cannot be decoded; the message names its place in the list.
        """
        rows: list[Row] = []
        for index, answer in enumerate(self.answers(images)):
            if isinstance(answer, DataError):
                what = f"image {index}: {answer.what}"
                raise DataError(what, found=answer.found, fix="send a PNG or JPEG") from answer
            rows.append(answer)
        return rows

    @torch.inference_mode()
    def answers(self, images: Sequence[Input]) -> list[Row | DataError]:
        """As `predict`; an image that cannot be used has its error in its place, and the others their rows."""
        answers: list[Row | DataError] = []
        for start in range(0, len(images), BATCH):
            pictures = [self.prepare(image) for image in images[start : start + BATCH]]
            rows = iter(self._rows([picture for picture in pictures if isinstance(picture, Picture)]))
            answers += [next(rows) if isinstance(picture, Picture) else picture for picture in pictures]
        return answers

    def shown(self, encoded: bytes) -> np.ndarray:
        """The image in whose pixels the rows' coordinates are, as uint8 RGB [height, width, 3]."""
        first = [operation for operation in self.bundle.operations if isinstance(operation, Decode | Orient)]
        return as_rgb(run(first, Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=encoded)).image)

    def _rows(self, pictures: list[Picture]) -> list[Row]:
        if not pictures:
            return []
        pixels = torch.from_numpy(np.stack([picture.image for picture in pictures]))
        outputs = self.model(as_images(pixels, self.statistics))
        found = {name: task.predict(outputs[name]) for name, task in self.tasks.items()}
        rows: list[Row] = []
        for i, picture in enumerate(pictures):
            row: Row = {}
            for name, task in self.tasks.items():
                row |= answer_of(task).row(name, task, found[name][i], picture)
            rows.append(row)
        return rows

    def prepare(self, image: Input) -> Picture | DataError:
        """An image as the model takes it, before it is standardized; or why there is none."""
        try:
            encoded = _encoded(image)
            return run(self.bundle.operations, Picture(image=np.zeros((0, 0, 0), np.uint8), encoded=encoded))
        except DataError as error:
            return error


def _encoded(image: Input) -> bytes:
    if isinstance(image, Path):
        try:
            return image.read_bytes()
        except OSError as error:
            raise DataError(f"{image} cannot be read", found=str(error)) from error
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            found = f"{image.dtype} {list(image.shape)}"
            raise DataError("an array is no image: uint8 [height, width, 3], RGB, is one", found=found)
        ok, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 0])
        assert ok
        return data.tobytes()
    return image


def as_input(value: object) -> bytes | np.ndarray:
    """An image as requests and data frames carry it: bytes, base64 text, or an array. No path: a server that read the
    files which a request names would show them to whoever asks.

    Raises:
        DataError: none of these.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise DataError("an image is neither bytes nor base64 text", found=f"{value[:40]!r}…") from error
    raise DataError("an image is neither bytes nor base64 text", found=type(value).__name__)
