"""`zoo`: scenes composed of real parts. Each has one digit and one to three animals of one species."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtl.config.data import ZooSource
from mtl.data.raw import RawSample, write_spec, write_split
from mtl.data.sources.parts import SPECIES, Parts, load_parts
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec

DIGITS = tuple(str(digit) for digit in range(10))
TARGETS = {
    "digit": TargetSpec(kind="label", classes=DIGITS),
    "species": TargetSpec(kind="label", classes=SPECIES),
    "objects": TargetSpec(kind="boxes", classes=DIGITS + SPECIES),
    "regions": TargetSpec(kind="mask", classes=("background", "digit", "animal")),
    "count": TargetSpec(kind="value", unit="animals"),
}
# Sizes are shares of the image's side; 25-35 and 20-31 of 64 pixels.
DIGIT_SIZE, ANIMAL_SIZE = (0.39, 0.55), (0.31, 0.48)
MAX_ROTATION = 12.0  # degrees
MIN_CONTRAST = 60.0  # of 255, in luminance, between an object and what is behind it
MAX_OVERLAP = 0.12  # of the smaller of two boxes
LUMINANCE = np.array([0.299, 0.587, 0.114])


def fetch_zoo(settings: ZooSource, seed: int, folder: Path, cache: Path) -> DatasetSpec:
    """Compose all splits into `folder`. A scene depends on the seed, its split and its index alone."""
    parts, sources, notes = load_parts(seed, cache)
    spec = DatasetSpec(
        name="zoo", targets=TARGETS, slices=("background", "animals"), sources=tuple(sources), notes=notes
    )
    sizes = {"train": settings.num_train, "val": settings.num_val, "test": settings.num_test}
    for number, split in enumerate(SPLITS):
        samples: list[RawSample] = []
        for index in range(sizes[split]):
            rng = np.random.Generator(np.random.PCG64([seed, number, index]))
            samples.append(compose(parts[split], rng, settings.image_size, f"{split}-{index:06d}"))
        write_split(folder, split, spec, samples)
    write_spec(folder, spec)
    return spec


def compose(parts: Parts, rng: np.random.Generator, size: int, identifier: str) -> RawSample:
    """One scene of `size`×`size` pixels, encoded as PNG, with all its targets."""
    names = list(parts.photographs)
    background = names[rng.integers(len(names))]
    canvas = _crop(parts.photographs[background], rng, size).astype(np.float32)
    regions = np.zeros((size, size), np.uint8)
    boxes: list[list[float]] = []
    species = int(rng.integers(len(SPECIES)))
    candidates = np.nonzero(parts.silhouettes.labels == species)[0]
    animals = rng.choice(candidates, size=int(rng.integers(1, 4)), replace=False)
    digit = int(rng.integers(len(parts.digits.labels)))
    label = int(parts.digits.labels[digit])
    _place(canvas, regions, boxes, rng, parts.digits.images[digit], label, 1, DIGIT_SIZE)
    num_animals = 0
    for animal in animals:
        glyph = parts.silhouettes.images[animal]
        num_animals += _place(canvas, regions, boxes, rng, glyph, len(DIGITS) + species, 2, ANIMAL_SIZE)
    canvas += rng.normal(0.0, rng.uniform(0.0, 8.0), canvas.shape)
    return RawSample(
        id=identifier,
        image=_png(cv2.cvtColor(canvas.clip(0, 255).astype(np.uint8), cv2.COLOR_RGB2BGR)),
        targets={
            "digit": label,
            "species": species if num_animals else None,
            "objects": boxes,
            "regions": _png(regions),
            "count": float(num_animals),
        },
        slices={"background": background, "animals": str(num_animals)},
    )


def _crop(photograph: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    height, width = photograph.shape[:2]
    side = int(rng.integers(min(size, height, width), min(height, width, 3 * size // 2) + 1))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return cv2.resize(photograph[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)


def _place(
    canvas: np.ndarray,
    regions: np.ndarray,
    boxes: list[list[float]],
    rng: np.random.Generator,
    glyph: np.ndarray,
    label: int,
    region: int,
    sizes: tuple[float, float],
) -> bool:
    """Draw one glyph where it hides nothing; False if no place was found."""
    size = len(canvas)
    for _ in range(40):
        alpha = _warp(glyph, rng, size, sizes)
        ys, xs = np.nonzero(alpha > 0.5)
        if len(ys) < 12:
            continue
        box = [float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)]
        if any(_overlap(box, other) > MAX_OVERLAP for other in boxes):
            continue
        behind = float((canvas[ys, xs] @ LUMINANCE).mean())
        canvas += alpha[..., None] * (_colour(rng, behind) - canvas)
        regions[alpha > 0.5] = region
        boxes.append([*box, float(label)])
        return True
    return False


def _warp(glyph: np.ndarray, rng: np.random.Generator, size: int, sizes: tuple[float, float]) -> np.ndarray:
    """The glyph's ink as coverage 0 to 1 on the canvas, at a random place inside it."""
    side = rng.uniform(*sizes) * size
    matrix = cv2.getRotationMatrix2D((14.0, 14.0), rng.uniform(-MAX_ROTATION, MAX_ROTATION), side / 28.0)
    matrix[:, 2] += rng.uniform(side / 2, size - side / 2, 2) - 14.0
    return cv2.warpAffine(glyph, matrix, (size, size), flags=cv2.INTER_LINEAR).astype(np.float32) / 255.0


def _colour(rng: np.random.Generator, behind: float) -> np.ndarray:
    """A random colour far enough in luminance from what is behind it."""
    for _ in range(50):
        colour = rng.uniform(0.0, 255.0, 3)
        if abs(float(colour @ LUMINANCE) - behind) >= MIN_CONTRAST:
            return colour
    return np.full(3, 255.0 if behind < 128 else 0.0)


def _overlap(a: list[float], b: list[float]) -> float:
    """Intersection over the smaller box."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return width * height / smaller


def _png(image: Any) -> bytes:
    ok, data = cv2.imencode(".png", image)
    assert ok
    return data.tobytes()
