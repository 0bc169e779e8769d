"""Pictures of a comparison: weights over time, and how far the tasks' gradients conflict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from mtl.compare.results import ComparisonTable, Cosines, MethodRow

matplotlib.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(folder: Path, table: ComparisonTable) -> None:
    """weights.png and conflict.png (if gradients were compared)."""
    rows = [row for row in table.rows if isinstance(row, MethodRow)]
    moving = [row for row in rows if any(row.weights[0] != later for later in row.weights[1:])]
    if moving:
        _draw_weights(folder / "weights.png", moving)
    if table.cosines:
        _draw_cosines(folder / "conflict.png", table.cosines, table.tasks)


def _draw_weights(path: Path, rows: list[MethodRow]) -> None:
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3.2 * columns, 2.4 * lines), squeeze=False, sharex=True)
    for axis in axes.flat[len(rows) :]:
        axis.axis("off")
    for axis, row in zip(axes.flat, rows, strict=False):
        for task in row.weights[0]:
            axis.plot(range(1, len(row.weights) + 1), [w[task] for w in row.weights], marker=".", label=task)
        axis.set_title(row.method, fontsize=9)
        weights = [weight for epoch in row.weights for weight in epoch.values()]
        if np.nanmax(weights) > 10 * np.nanmin(weights):  # else a logarithmic axis has one mark or none
            axis.set_yscale("symlog", linthresh=0.1)
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=6)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("weight of the task's gradient", fontsize=9)
    _save(figure, path)


def _draw_cosines(path: Path, cosines: dict[str, Cosines], tasks: tuple[str, ...]) -> None:
    """A line for each level at which gradients were compared, a matrix for each epoch."""
    columns = max(len(found.epochs) for found in cosines.values())
    shape = (3.2 * columns, 3.4 * len(cosines))
    figure, axes = plt.subplots(len(cosines), columns, figsize=shape, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for line, (level, found) in zip(axes, cosines.items(), strict=True):
        for epoch, (axis, matrix) in enumerate(zip(line, found.epochs, strict=False)):
            values = np.array(matrix, dtype=np.float64)  # NaN for a pair that no step had
            axis.axis("on")
            axis.imshow(values, cmap="RdBu", vmin=-1, vmax=1)
            axis.set_title(f"{found.method}, at the {level}, epoch {epoch + 1}", fontsize=8)
            axis.set_xticks(range(len(tasks)), tasks, rotation=45, fontsize=7, ha="right", rotation_mode="anchor")
            axis.set_yticks(range(len(tasks)), tasks, fontsize=7)
            for i, j in np.ndindex(*values.shape):
                colour = "white" if abs(values[i, j]) > 0.6 else "black"
                shown = "–" if np.isnan(values[i, j]) else f"{values[i, j]:.2f}"
                axis.text(j, i, shown, ha="center", va="center", fontsize=6, color=colour)
    figure.suptitle("cosine between the tasks' gradients of what they share", fontsize=9)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
