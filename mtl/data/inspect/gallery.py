"""Samples with their targets drawn on them, and plots of a data set: for people to look at before they train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from mtl.data.drawn import DRAWINGS
from mtl.data.inspect.drawing import as_rgb
from mtl.data.inspect.tiles import enlarged
from mtl.data.kinds import KINDS
from mtl.data.shards.manifest import Manifest
from mtl.data.shards.shards import Shard, unpack
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec
from mtl.reports.charts import bars, dots

TILE = 256
"""Pixels of the longer side of a drawn image, at least."""
QUALITY = 80
"""Of a page's pictures, of 100."""

Wanted = tuple[str, int | None]
"""A target and one of its classes; None: any sample."""


@dataclass(frozen=True)
class Sample:
    """One image with its targets on it: uint8 RGB [height, width, 3], and a line for each target."""

    id: str
    image: np.ndarray
    lines: list[str]

    def webp(self) -> bytes:
        """The image, small enough for a page of hundreds."""
        options = [cv2.IMWRITE_WEBP_QUALITY, QUALITY]
        ok, data = cv2.imencode(".webp", cv2.cvtColor(self.image, cv2.COLOR_RGB2BGR), options)
        assert ok
        return data.tobytes()


def samples_of(
    folder: Path, manifest: Manifest, split: str, wanted: Sequence[Wanted], number: int
) -> dict[Wanted, list[Sample]]:
    """Samples of one split with all their targets, by class, so many of each at most; none where no sample has it."""
    found: dict[Wanted, list[Sample]] = {}
    open_ = list(wanted)
    for identifier, sample in _samples(folder, manifest, split):
        fitting = [w for w in open_ if w[1] is None or has(sample.get(w[0]), w[1], manifest.spec.targets[w[0]])]
        if fitting:
            drawn = draw(identifier, sample, manifest.spec)
            for each in fitting:
                found.setdefault(each, []).append(drawn)
            open_ = [w for w in open_ if len(found.get(w, [])) < number]
        if not open_:
            break
    return {w: found[w] for w in wanted if w in found}


def _samples(folder: Path, manifest: Manifest, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """From all shards in turn, so that the first few are not of one kind."""
    opened = [Shard(folder / record.file) for record in manifest.of(split)]
    for index in range(max((len(shard.ids) for shard in opened), default=0)):
        for shard in opened:
            if index < len(shard.ids):
                yield shard.ids[index], unpack(shard, manifest.spec, index)


def has(value: Any, label: int, target: TargetSpec) -> bool:
    """Whether what a sample has of a target, None if nothing, holds a class."""
    return value is not None and KINDS[target.kind].has(value, label)


def draw(identifier: str, sample: dict[str, Any], spec: DatasetSpec) -> Sample:
    """One image with its targets on it."""
    canvas, scale = enlarged(as_rgb(sample["image"]), TILE)
    lines: list[str] = []
    for name, target in spec.targets.items():
        value = sample.get(name)
        if value is None:
            lines.append(f"{name}: not known")
            continue
        if target.kind in DRAWINGS:
            canvas = DRAWINGS[target.kind](canvas, value, target, scale)
        lines.append(f"{name}: {KINDS[target.kind].words(value, target)}")
    return Sample(identifier, canvas, lines)


def plot_balance(balance: dict[str, dict[str, int]], title: str) -> Markup:
    """SVG: how many of each class are in each split."""
    return bars(title, {name: {s: row[s] for s in SPLITS if s in row} for name, row in balance.items()}, "number")


def plot_sizes(sizes: Sequence[Sequence[int]]) -> Markup:
    """SVG: widths and heights; the area of a dot is the number of images."""
    found = [(float(width), float(height), float(number)) for width, height, number in sizes]
    return dots("Sizes before any operation", found, "width, pixels", "height, pixels")
