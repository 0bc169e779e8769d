"""Scenes drawn here, with `zoo`'s targets: what a benchmark trains on where nothing can be downloaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mtl.config.data import DataConfig
from mtl.config.params import load
from mtl.data.prepare.prepare import Runner, on_cores, prepare
from mtl.data.raw.rows import RawSample, write_spec, write_split
from mtl.data.sources.scene import png
from mtl.data.sources.zoo import DIGITS, TARGETS
from mtl.data.spec import SPLITS, DatasetSpec

PARAMS = Path(__file__).parents[2] / "params.yaml"
DRAWN = 64
"""Different scenes of a split; the others repeat them, for encoding images is not what is measured."""


def write_scenes(folder: Path, side: int, train: int, others: int, codec: str = "", runner: Runner = on_cores) -> Path:
    """Prepare scenes of side×side pixels, `others` of them for each of the other splits; returns the prepared folder.

    Args:
        codec: a type of `data.codec`; empty: its default.
        runner: where they are prepared.
    """
    spec = DatasetSpec(name="scenes", targets=TARGETS)
    for number, split in enumerate(SPLITS):
        write_split(folder / "raw", split, spec, _samples(split, number, side, train if split == "train" else others))
    write_spec(folder / "raw", spec)
    prepare(data_settings(side, codec), folder / "raw", folder / "prepared", runner)
    return folder / "prepared"


def data_settings(side: int, codec: str = "") -> DataConfig:
    """How scenes of side×side pixels are prepared."""
    operations = f"[{{type: decode}}, {{type: resize, height: {side}, width: {side}}}, {{type: standardize}}]"
    coded = [f"data.codec={{type: {codec}}}"] if codec else []
    return load(PARAMS, [f"data.operations={operations}", *coded]).data


def _samples(split: str, seed: int, side: int, count: int) -> list[RawSample]:
    rng = np.random.default_rng(seed)
    drawn = [_scene(rng, side) for _ in range(min(DRAWN, count))]
    return [replace(drawn[index % len(drawn)], id=f"{split}-{index:06d}") for index in range(count)]


def _scene(rng: np.random.Generator, side: int) -> RawSample:
    """A digit's ellipse and one to three of an animal's on smooth noise."""
    image = cv2.resize(rng.integers(0, 255, (4, 4, 3), np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    regions = np.zeros((side, side), np.uint8)
    digit, species, animals = int(rng.integers(10)), int(rng.integers(10)), int(rng.integers(1, 4))
    boxes: list[list[float]] = []
    for region, label in [(1, digit), *[(2, len(DIGITS) + species)] * animals]:
        width, height = (int(n) for n in rng.integers(side // 8, side // 3, 2))
        x, y = int(rng.integers(width, side - width)), int(rng.integers(height, side - height))
        shape = ((float(x), float(y)), (float(2 * width), float(2 * height)), 0.0)
        cv2.ellipse(image, shape, tuple(int(c) for c in rng.integers(0, 255, 3)), -1)
        cv2.ellipse(regions, shape, region, -1)
        boxes.append([x - width, y - height, x + width, y + height, label])
    contents = sorted({int(box[4]) for box in boxes})
    targets = {"digit": digit, "species": species, "contents": contents, "objects": boxes, "count": float(animals)}
    return RawSample("", png(image), {**targets, "regions": png(regions)})
