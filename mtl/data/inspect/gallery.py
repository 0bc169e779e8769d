"""Samples with their targets drawn on them, and plots of a data set: for people to look at before they train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import pyplot as plt

from mtl.data.drawn import DRAWINGS
from mtl.data.inspect.drawing import as_rgb, mosaic
from mtl.data.inspect.tiles import Caption, captioned, enlarged
from mtl.data.kinds import KINDS
from mtl.data.shards.manifest import Manifest
from mtl.data.shards.shards import Shard, unpack
from mtl.data.spec import SPLITS, DatasetSpec, TargetSpec
from mtl.reports.figure import save_figure

TILE = 160
"""Pixels of the longer side of a drawn image, at least."""
CAPTION = Caption(step=14, left=2, first=11, room=6, size=0.35)


Wanted = tuple[str, int | None]
"""A target and one of its classes; None: any sample."""


def sheets(
    folder: Path, manifest: Manifest, split: str, wanted: list[Wanted], columns: int = 6, rows: int = 2
) -> dict[Wanted, np.ndarray]:
    """uint8 RGB pictures of samples of one split with all their targets, by class; none where no sample has it."""
    tiles: dict[Wanted, list[np.ndarray]] = {}
    open_ = list(wanted)
    for identifier, sample in _samples(folder, manifest, split):
        fitting = [w for w in open_ if w[1] is None or has(sample.get(w[0]), w[1], manifest.spec.targets[w[0]])]
        if fitting:
            tile = draw(identifier, sample, manifest.spec)
            for each in fitting:
                tiles.setdefault(each, []).append(tile)
            open_ = [w for w in open_ if len(tiles.get(w, [])) < columns * rows]
        if not open_:
            break
    return {w: mosaic(tiles[w], columns) for w in wanted if w in tiles}


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


def draw(identifier: str, sample: dict[str, Any], spec: DatasetSpec) -> np.ndarray:
    """One image with its targets on it, and a line a target below."""
    image = as_rgb(sample["image"])
    canvas, scale = enlarged(image, TILE)
    lines = [identifier[-26:]]
    for name, target in spec.targets.items():
        value = sample.get(name)
        if value is None:
            lines.append(f"{name}: not known")
            continue
        if target.kind in DRAWINGS:
            canvas = DRAWINGS[target.kind](canvas, value, target, scale)
        lines.append(f"{name}: {KINDS[target.kind].words(value, target)}")
    tile = captioned(canvas, lines, CAPTION, len(spec.targets) + 1)
    return cv2.copyMakeBorder(tile, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def plot_balance(path: Path, balance: dict[str, dict[str, int]], title: str) -> None:
    """Bars: how many of each class are in each split."""
    figure, axis = plt.subplots(figsize=(max(5.0, 0.35 * len(balance) + 2), 3.2))
    bottom = np.zeros(len(balance))
    for split in SPLITS:
        numbers = np.array([row[split] for row in balance.values()])
        axis.bar(list(balance), numbers, bottom=bottom, label=split)
        bottom += numbers
    axis.set(title=title, ylabel="number")
    axis.tick_params(axis="x", rotation=60)
    axis.legend(fontsize=8)
    save_figure(figure, path)


def plot_sizes(path: Path, sizes: Sequence[Sequence[int]]) -> None:
    """Widths and heights; the area of a dot is the number of images."""
    figure, axis = plt.subplots(figsize=(4.2, 3.8))
    table = np.array(sizes, float).reshape(-1, 3)
    largest = table[:, 2].max(initial=1.0)
    axis.scatter(table[:, 0], table[:, 1], s=10 + 200 * table[:, 2] / largest, alpha=0.5)
    axis.set(title="sizes before any operation", xlabel="width, pixels", ylabel="height, pixels")
    axis.grid(alpha=0.3)
    save_figure(figure, path)
