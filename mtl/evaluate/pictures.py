"""Pictures of a test run: predictions drawn on images, confusion, precision-recall, reliability, training curves."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn

from mtl.data.inspect.drawing import as_rgb, mosaic
from mtl.data.inspect.tiles import Caption, captioned, enlarged
from mtl.data.loading.loader import Split, collate
from mtl.reports import EpochRow
from mtl.reports.figure import save_figure
from mtl.reports.pictures import NAME as PICTURES
from mtl.reports.pictures import Picture, Pictures
from mtl.tasks import Task
from mtl.tasks.base import Scorer
from mtl.tasks.reconstruction import Reconstruction

CAPTION = Caption(step=18, left=4, first=15, room=8, size=0.45)
TILE = 320
"""Pixels of the longer side of a drawn image, at least."""
ON_TOP = ("boxes", "keypoints")
"""Kinds that are drawn over what fills the image."""
Kind = Literal["good", "bad"]


def draw_curves(folder: Path, scorers: dict[str, Scorer], history: Sequence[EpochRow]) -> None:
    """confusion.png, reliability.png, precision_recall.png and history.png."""
    curves = {name: scorer.curves() for name, scorer in scorers.items()}
    _draw_confusions(folder / "confusion.png", {n: c["confusion"] for n, c in curves.items() if c.get("confusion")})
    _draw_lines(
        folder / "reliability.png",
        {
            n: [(float(r["confidence"]), float(r["accuracy"])) for r in c["reliability"]]
            for n, c in curves.items()
            if "reliability" in c
        },
        ("mean confidence", "accuracy"),
        diagonal=True,
    )
    _draw_lines(
        folder / "precision_recall.png",
        {
            n: [(float(r["recall"]), float(r["precision"])) for r in c["precision_recall"]]
            for n, c in curves.items()
            if "precision_recall" in c
        },
        ("recall", "precision at IoU 0.5"),
    )
    losses: dict[str, list[tuple[float, float]]] = {
        k: [(row.epoch + 1, row.metrics[k]) for row in history] for k in history[0].metrics if k.endswith("/loss")
    }
    _draw_lines(folder / "history.png", losses, ("epoch", "training loss"))


def _draw_confusions(path: Path, tables: dict[str, list[dict[str, Any]]]) -> None:
    figure, axes = plt.subplots(1, max(len(tables), 1), figsize=(5.5 * max(len(tables), 1), 5), squeeze=False)
    for axis, (name, rows) in zip(axes[0], tables.items(), strict=False):
        names = sorted({row[key] for row in rows for key in ("actual", "predicted")})
        index = {value: i for i, value in enumerate(names)}
        counts = np.zeros((len(names), len(names)))
        for row in rows:
            counts[index[row["actual"]], index[row["predicted"]]] += 1
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.set(title=f"{name}: share of the actual class", xlabel="predicted", ylabel="actual")
        axis.set_xticks(range(len(names)), names, rotation=60)
        axis.set_yticks(range(len(names)), names)
        for i, j in zip(*np.nonzero(shares >= 0.05), strict=True):
            axis.text(
                j,
                i,
                f"{shares[i, j]:.2f}"[1:],
                ha="center",
                va="center",
                fontsize=7,
                color="w" if shares[i, j] > 0.5 else "k",
            )
    save_figure(figure, path)


def _draw_lines(
    path: Path, lines: dict[str, list[tuple[float, float]]], labels: tuple[str, str], diagonal: bool = False
) -> None:
    figure, axis = plt.subplots(figsize=(5, 4))
    for name, points in lines.items():
        axis.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else None, label=name)
    if diagonal:
        axis.plot([0, 1], [0, 1], "k:", linewidth=1)
    axis.set(xlabel=labels[0], ylabel=labels[1])
    axis.grid(alpha=0.3)
    if lines:
        axis.legend(fontsize=8)
    save_figure(figure, path)


def draw_predictions(
    folder: Path, model: nn.Module, tasks: dict[str, Task], scorers: dict[str, Scorer], split: Split, num_pictures: int
) -> None:
    """pictures.json, and sheets of the same as good.png and bad.png: the test images that went best and worst over all tasks,
    with their predictions.
    """
    goodness = np.stack([_ranks(s.sample_scores()) for n, s in scorers.items() if not tasks[n].config.auxiliary]).mean(
        0
    )
    order = np.argsort(goodness, kind="stable")
    half = min(max(num_pictures // 2, 1), len(order))
    # Good ones are drawn from the best tenth, evenly, so that they are not all of one kind.
    best = order[::-1][: max(half, len(order) // 10)]
    pictures: list[Picture] = []
    chosen: dict[Kind, np.ndarray] = {"bad": order[:half], "good": best[:: max(1, len(best) // half)][:half]}
    for name, indices in chosen.items():
        drawn = draw_images(model, tasks, split, np.sort(indices))
        tiles = [_tile(each, len(tasks)) for each in drawn.values()]
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(mosaic(tiles, 3), cv2.COLOR_RGB2BGR))
        pictures += [each.picture(identifier, name) for identifier, each in drawn.items()]
    text = Pictures(pictures=tuple(pictures)).model_dump_json()
    (folder / PICTURES).write_text(text + "\n", encoding="utf-8")


@torch.inference_mode()
def draw_images(model: nn.Module, tasks: dict[str, Task], split: Split, indices: np.ndarray) -> dict[str, Drawn]:
    """Id → what the model says of each sample at `indices`, drawn on its image, in that order."""
    model.eval()
    batch = collate(split, indices)
    for task in tasks.values():
        task.derive(batch)
    outputs = model(batch.images, batch.views)
    predictions = {n: task.predict(outputs[n]) for n, task in tasks.items()}
    return {found: _drawn(batch, i, tasks, predictions, split) for i, found in enumerate(batch.ids)}


@dataclass(frozen=True)
class Drawn:
    """An image with what the model says of it: uint8 RGB [height, width, 3]; beside: its reconstruction, if a task makes one."""

    image: np.ndarray
    beside: np.ndarray | None
    lines: list[str]

    def picture(self, identifier: str, kind: Kind) -> Picture:
        """As a page shows it."""
        beside = None if self.beside is None else _png(self.beside)
        return Picture(id=identifier, kind=kind, drawn=_png(self.image), beside=beside, lines=tuple(self.lines))


def _drawn(batch: Any, index: int, tasks: dict[str, Task], predictions: dict[str, list[Any]], split: Split) -> Drawn:
    """One image with everything drawn on it, and a line for each task."""
    shown = as_rgb(split.rows(np.array([split.ids.index(batch.ids[index])]))["image"][0])
    plain, scale = enlarged(shown, TILE)
    drawn: np.ndarray = plain
    beside: np.ndarray | None = None
    lines: list[str] = []
    for name, task in sorted(tasks.items(), key=lambda one: one[1].kind in ON_TOP):
        prediction = predictions[name][index]
        if isinstance(task, Reconstruction):
            beside = task.draw(plain, prediction, scale)
        else:
            drawn = task.draw(drawn, prediction, scale)
    for name, task in tasks.items():
        present = batch.present.get(task.target_name)
        if present is None or bool(present[index]):
            lines.append(task.caption(predictions[name][index], batch, index))
    return Drawn(drawn, beside, lines)


def _tile(drawn: Drawn, num_lines: int) -> np.ndarray:
    """For a sheet. Room for every task, present or not: all tiles of a sheet have one size."""
    both = drawn.image if drawn.beside is None else np.hstack([drawn.image, drawn.beside])
    tile = captioned(both, drawn.lines, CAPTION, num_lines)
    return cv2.copyMakeBorder(tile, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _png(image: np.ndarray) -> str:
    """In base64."""
    ok, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert ok
    return base64.b64encode(data.tobytes()).decode()


def _ranks(values: np.ndarray) -> np.ndarray:
    """0 for the worst to 1 for the best; a half where unknown."""
    known = ~np.isnan(values)
    ranks = np.full(len(values), 0.5)
    order = np.argsort(values[known], kind="stable")
    place = np.empty(len(order))
    place[order] = np.linspace(0, 1, len(order)) if len(order) > 1 else 0.5
    ranks[known] = place
    return ranks
