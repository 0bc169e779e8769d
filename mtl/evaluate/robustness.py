"""Corrupted images, under which metrics are to hold.

The corruptions and their third of five severities are those of CIFAR-10-C (Hendrycks & Dietterich 2019), for images of
32 pixels; what has a length grows with the image.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch

from mtl import seeds
from mtl.config.evaluate import Corruption
from mtl.data.loading.loader import Batch, Split, as_images, collate


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image + rng.normal(0, 0.08 * 255, image.shape)


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.7 * min(image.shape[:2]) / 32))
    return blurred.reshape(image.shape)  # OpenCV drops a single channel's axis


def _brightness(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image + 0.15 * 255


def _contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mean = image.mean((0, 1), keepdims=True)
    return (image - mean) * 0.4 + mean


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colours as three channels, any other channel as a grey picture."""
    pixels = image.round().clip(0, 255).astype(np.uint8)
    groups = [slice(0, 3), *(slice(c, c + 1) for c in range(3, pixels.shape[2]))] if pixels.shape[2] >= 3 else None
    out = np.empty_like(pixels)
    for group in groups or [slice(c, c + 1) for c in range(pixels.shape[2])]:
        ok, data = cv2.imencode(".jpg", pixels[..., group], [cv2.IMWRITE_JPEG_QUALITY, 58])
        assert ok
        out[..., group] = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)).reshape(pixels[..., group].shape)
    return out


CORRUPTIONS: dict[Corruption, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise": _noise,
    "blur": _blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "jpeg": _jpeg,
}


def corrupt(pixels: np.ndarray, kind: Corruption, seed: int) -> np.ndarray:
    """uint8 [height, width, channels] → the same, corrupted; the same seed gives the same pixels."""
    rng = seeds.corruption(seed)
    return CORRUPTIONS[kind](pixels.astype(np.float32), rng).round().clip(0, 255).astype(np.uint8)


def damaged(split: Split, kind: Corruption, indices: np.ndarray) -> Batch:
    """A batch whose images are damaged; what is true of them is what was true before."""
    batch = collate(split, indices)
    batch.undamaged = batch.images
    pixels = split.rows(indices)["image"]
    found = np.stack([corrupt(image, kind, int(i)) for image, i in zip(pixels, indices, strict=True)])
    batch.images = as_images(torch.from_numpy(found), split.manifest.statistics)
    return batch
