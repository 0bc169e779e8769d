"""Samples with their targets drawn on them, and plots of a data set: for people to look at before they train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np

from mtl.data.manifest import Manifest
from mtl.data.shards import Shard, unpack
from mtl.data.spec import SPLITS, DatasetSpec

matplotlib.use("Agg")
from matplotlib import pyplot as plt

TILE = 160
"""Pixels of the longer side of a drawn image, at least."""
COLOURS = (np.array(plt.get_cmap("tab20").colors) * 255).astype(np.uint8)  # pyright: ignore[reportAttributeAccessIssue]
LINE = 14


def sheet(
    folder: Path, manifest: Manifest, split: str, target: str, label: int | None, columns: int = 6, rows: int = 2
) -> np.ndarray | None:
    """uint8 RGB: samples of one split, of one class of a target if there is one, with all their targets; None if none."""
    tiles: list[np.ndarray] = []
    for identifier, sample in _samples(folder, manifest, split):
        if label is None or has(sample.get(target), label, manifest.spec.targets[target].kind):
            tiles.append(draw(identifier, sample, manifest.spec))
        if len(tiles) == columns * rows:
            break
    if not tiles:
        return None
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])


def _samples(folder: Path, manifest: Manifest, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """From all shards in turn, so that the first few are not of one kind."""
    opened = [Shard(folder / record.file) for record in manifest.of(split)]
    for index in range(max((len(shard.ids) for shard in opened), default=0)):
        for shard in opened:
            if index < len(shard.ids):
                yield shard.ids[index], unpack(shard, manifest.spec, index)


def has(value: Any, label: int, kind: str) -> bool:
    """Whether a target holds a class."""
    if value is None:
        return False
    if kind == "label":
        return value == label
    if kind == "labels":
        return bool(value[label])
    if kind == "boxes":
        return bool((value[:, 4] == label).any())
    return bool((value == label).any())


def draw(identifier: str, sample: dict[str, Any], spec: DatasetSpec) -> np.ndarray:
    """One image with its boxes and masks on it, depth beside it, and a line a target below."""
    image = sample["image"]
    image = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    scale = max(1, round(TILE / max(image.shape[:2])))
    size = (image.shape[1] * scale, image.shape[0] * scale)
    canvas = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_NEAREST)
    lines = [identifier[-26:]]
    for name, target in spec.targets.items():
        value = sample.get(name)
        if value is None:
            lines.append(f"{name}: not known")
        elif target.kind == "mask":
            mask = cv2.resize(value, size, interpolation=cv2.INTER_NEAREST)
            shade = (canvas * 0.5 + COLOURS[mask % len(COLOURS)] * 0.5).astype(np.uint8)
            canvas = np.where(((mask > 0) & (mask != 255))[..., None], shade, canvas)
            lines.append(f"{name}: " + ", ".join(target.classes[c] for c in np.unique(value) if 0 < c < 255))
        elif target.kind == "boxes":
            for x1, y1, x2, y2, label in value * np.array([scale, scale, scale, scale, 1.0]):
                colour = tuple(int(c) for c in COLOURS[int(label) % len(COLOURS)])
                cv2.rectangle(canvas, (round(x1), round(y1)), (round(x2) - 1, round(y2) - 1), colour, 1)
            lines.append(f"{name}: {len(value)} boxes")
        else:
            lines.append(f"{name}: {_words(value, target.kind, target.classes)}")
    text = np.full((LINE * (len(spec.targets) + 1) + 6, size[0], 3), 255, np.uint8)
    for row, line in enumerate(lines):
        cv2.putText(text, line, (2, 11 + LINE * row), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    tile = np.vstack([canvas, text])
    return cv2.copyMakeBorder(tile, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _words(value: Any, kind: str, classes: tuple[str, ...]) -> str:
    if kind == "label":
        return classes[value]
    if kind == "labels":
        return ", ".join(classes[c] for c in np.flatnonzero(value).tolist())
    if kind == "value":
        return f"{value:g}"
    known = value[~np.isnan(value)]
    return f"{known.min():g} to {known.max():g}" if known.size else "unknown"


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
    _save(figure, path)


def plot_sizes(path: Path, sizes: Sequence[Sequence[int]]) -> None:
    """Widths and heights; the area of a dot is the number of images."""
    figure, axis = plt.subplots(figsize=(4.2, 3.8))
    table = np.array(sizes, float).reshape(-1, 3)
    largest = table[:, 2].max(initial=1.0)
    axis.scatter(table[:, 0], table[:, 1], s=10 + 200 * table[:, 2] / largest, alpha=0.5)
    axis.set(title="sizes before any operation", xlabel="width, pixels", ylabel="height, pixels")
    axis.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)
