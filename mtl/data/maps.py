"""Dense targets of numbers as PNG, the way data sets ship them."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from mtl.config import DataError
from mtl.data.header import read_header

IGNORE = 255
"""The class index of a pixel that no loss and no metric counts."""


def decode_mask(data: bytes, num_classes: int) -> np.ndarray:
    """A grey or palette image of class indices → uint8 [height, width]; 255 is ignored.

    A palette's indices are the classes, whatever its colours: OpenCV would turn them into grey values.

    Raises:
        DataError: it cannot be decoded, has colours instead of indices, or an index that is no class.
    """
    read_header(data)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in ("1", "L", "P", "I;16", "I"):
                raise DataError(
                    "a mask has colours, not class indices",
                    found=f"mode {image.mode}",
                    fix="save it as grey or palette",
                )
            mask = np.asarray(image.convert("L") if image.mode == "1" else image)
            mask = mask // 255 if image.mode == "1" else mask
    except DataError:
        raise
    except Exception as error:  # whatever PIL makes of damage
        raise DataError("a mask cannot be decoded", found=f"{type(error).__name__}: {error}") from error
    bad = mask[(mask >= num_classes) & (mask != 255)]
    if bad.size:
        raise DataError(
            "a mask has an index that is no class", found=str(int(bad[0])), fix=f"0 to {num_classes - 1}, or 255"
        )
    return mask.astype(np.uint8)


def encode_mask(mask: np.ndarray) -> bytes:
    """uint8 [height, width] of class indices → PNG."""
    return cv2.imencode(".png", mask)[1].tobytes()


def decode_depth(data: bytes, scale: float) -> np.ndarray:
    """A 16-bit PNG in steps of `scale` → float32 [height, width], NaN where it is 0.

    Raises:
        DataError: not a 16-bit grey image.
    """
    read_header(data)
    steps = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if steps is None or steps.dtype != np.uint16 or steps.ndim != 2:
        found = "nothing that can be decoded" if steps is None else f"{steps.dtype} {steps.shape}"
        raise DataError("a depth map is not a 16-bit grey PNG", found=found)
    return np.where(steps == 0, np.nan, steps * scale).astype(np.float32)


def encode_depth(depth: np.ndarray, scale: float) -> bytes:
    """float [height, width], NaN unknown → a 16-bit PNG in steps of `scale`."""
    steps = np.nan_to_num(np.round(depth / scale)).clip(0, 65535).astype(np.uint16)
    return cv2.imencode(".png", steps)[1].tobytes()


def decode_normals(data: bytes) -> np.ndarray:
    """An RGB PNG of 255 · (n + 1) / 2 → unit vectors float32 [height, width, 3], NaN where it is black.

    Raises:
        DataError: not an 8-bit colour image.
    """
    read_header(data)
    colours = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if colours is None:
        raise DataError("a map of normals cannot be decoded", found=f"{len(data)} bytes")
    vectors = colours.astype(np.float32) / 127.5 - 1.0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=2, keepdims=True), 1e-6)
    return np.where(colours.any(2, keepdims=True), vectors, np.nan).astype(np.float32)


def encode_normals(normals: np.ndarray) -> bytes:
    """Unit vectors [height, width, 3], NaN unknown → an RGB PNG."""
    colours = np.nan_to_num(np.round((normals + 1.0) * 127.5)).clip(0, 255).astype(np.uint8)
    return cv2.imencode(".png", cv2.cvtColor(colours, cv2.COLOR_RGB2BGR))[1].tobytes()
