"""`boxes`: labelled boxes, of which some may not count (mtl/data/kinds/box_table.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtl.data.kinds.base import Arrays, ArrowType, Kind, Layers, Motion
from mtl.data.kinds.box_table import as_table, kinds, objects
from mtl.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from mtl.data.prepare.picture import Picture
    from mtl.data.spec import TargetSpec

MIN_VISIBLE = 0.3
"""A box of which a smaller share stays inside the image is dropped; one that does not count, when nothing stays."""
Region = tuple[float, float, float, float]
"""Where the picture lies in the image: x1, y1, x2, y2."""


class Boxes(Kind[list[list[float]], np.ndarray, "Tensor"]):
    """Rows of x1, y1, x2, y2, label; with a sixth number where some do not count."""

    name = "boxes"
    task = "detection"
    rows = True
    balanced = True

    def column(self) -> ArrowType:
        import pyarrow as pa

        return pa.list_(pa.list_(pa.float64()))

    def faults(self, spec: TargetSpec, values: Sequence[list[list[float]]]) -> str:
        return "" if any(values) else "no image has a box; no task"

    def classes_of(self, value: list[list[float]]) -> list[int]:
        return [int(box[4]) for box in value if not any(box[5:])]

    def enter(self, name: str, value: list[list[float]], spec: TargetSpec, picture: Picture) -> bool:
        table = as_table(value)
        picture.points[name] = table[:, :4].reshape(-1, 2)
        return bool(len(table))

    def leave(self, name: str, value: list[list[float]], spec: TargetSpec, picture: Picture) -> np.ndarray:
        corners = picture.points[name].reshape(-1, 4)
        table = np.concatenate([corners, as_table(value)[:, 4:]], axis=1)
        check_boxes(name, table, len(spec.classes), picture.region)
        return table

    def pack(
        self, name: str, values: Sequence[np.ndarray | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        rows = [np.zeros((0, 5), np.float32) if v is None else v for v in values]
        table = np.concatenate([row[:, :5] for row in rows]).astype(np.float32)
        return {
            f"{name}.boxes": np.ascontiguousarray(table[:, :4]),
            f"{name}.labels": table[:, 4].astype(np.int64),
            f"{name}.kinds": np.concatenate([kinds(row) for row in rows]).astype(np.uint8),
            f"{name}.offsets": np.cumsum([0, *(len(r) for r in rows)]).astype(np.int64),
        }

    def unpack(self, arrays: Arrays, name: str, index: int) -> np.ndarray:
        """float32 [k, 5] x1, y1, x2, y2, label; [k, 6] if some do not count."""
        begin, end = arrays[f"{name}.offsets"][index : index + 2]
        marks = arrays[f"{name}.kinds"][begin:end] if f"{name}.kinds" in arrays else np.zeros(0)
        table = np.empty((end - begin, 6 if marks.any() else 5), np.float32)
        table[:, :4] = arrays[f"{name}.boxes"][begin:end]
        table[:, 4] = arrays[f"{name}.labels"][begin:end]
        table[:, 5:] = marks[:, None] if marks.any() else 0
        return table

    def move(self, value: Tensor, motion: Motion, spec: TargetSpec) -> Tensor:
        moved, visible = clipped(value, motion)
        return moved * stays(value, visible, kinds(value) == 0)[..., None]

    def join(self, value: Tensor, present: Tensor, layers: Layers, spec: TargetSpec) -> tuple[Tensor, Tensor]:
        return layers.together(value, _hidden), layers.all(present) & ~layers.blended

    def count(self, arrays: Arrays, name: str, spec: TargetSpec) -> Counter[int]:
        marks = arrays.get(f"{name}.kinds", np.zeros(len(arrays[f"{name}.labels"]), np.uint8))
        return Counter(arrays[f"{name}.labels"][marks == 0].tolist())

    def has(self, value: np.ndarray, label: int) -> bool:
        return bool((objects(value)[:, 4] == label).any())

    def words(self, value: np.ndarray, spec: TargetSpec) -> str:
        ignored = int((kinds(value) > 0).sum())
        return f"{len(value) - ignored} boxes" + (f", {ignored} ignored" if ignored else "")


def clipped(rows: Tensor, motion: Motion) -> tuple[Tensor, Tensor]:
    """Rows [n, most, columns] with the upright hull of each moved box, clipped; and the share of it that is visible."""
    hulls, moved, (first, last) = motion.hulls(rows[..., :4]), rows.clone(), motion.window()
    moved[..., :2], moved[..., 2:4] = hulls[..., :2].maximum(first), hulls[..., 2:].minimum(last)
    inside = (moved[..., 2:4] - moved[..., :2]).clamp(min=0).prod(-1)
    return moved, inside / (hulls[..., 2:] - hulls[..., :2]).prod(-1)


def covered(rows: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [n, most, columns] with the hull of what is left of each box beside a window, float32 [n, 1, 4], and which share that is."""
    (x1, y1, x2, y2), (left, top, right, bottom) = rows[..., :4].unbind(-1), window.unbind(-1)
    wide, high = (
        (x2.minimum(right) - x1.maximum(left)).clamp(min=0),
        (y2.minimum(bottom) - y1.maximum(top)).clamp(min=0),
    )
    share = 1 - wide * high / ((x2 - x1) * (y2 - y1)).clamp(min=1e-9)
    tall, broad = (top <= y1) & (bottom >= y2) & (wide > 0), (left <= x1) & (right >= x2) & (high > 0)
    found = rows.clone()
    found[..., 0] = _chosen(tall & (left <= x1), right.minimum(x2), x1)
    found[..., 1] = _chosen(broad & (top <= y1), bottom.minimum(y2), y1)
    found[..., 2] = _chosen(tall & (right >= x2), left.maximum(x1), x2)
    found[..., 3] = _chosen(broad & (bottom >= y2), top.maximum(y1), y2)
    return found, share


def _chosen(truth: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """As `torch.where`, which is not imported here."""
    return one.where(truth, other)


def _hidden(rows: Tensor, window: Tensor) -> Tensor:
    found, share = covered(rows, window)
    return found * stays(rows, share, kinds(rows) == 0)[..., None]


def stays(rows: Tensor, visible: Tensor, counts: Tensor) -> Tensor:
    """Which boxes stay, of which a share is visible; others have left the image, and those without width are none."""
    return (rows[..., 2] > rows[..., 0]) & ((counts & (visible >= MIN_VISIBLE)) | (~counts & (visible > 0)))


def check_boxes(name: str, table: np.ndarray, num_classes: int, region: Region) -> None:
    """Refuse what is no box of the picture, and clip in place those that reach out of it by less than half a pixel.

    Raises:
        DataError: a box lies elsewhere, has no area or no class.
    """
    if not len(table):
        return
    x1, y1, x2, y2 = region
    (left, top), (right, bottom) = table[:, :2].min(0), table[:, 2:4].max(0)
    if not (left >= x1 - 0.5 and top >= y1 - 0.5 and right <= x2 + 0.5 and bottom <= y2 + 0.5):  # nor what is no number
        where = f"{x2 - x1:g}×{y2 - y1:g}"
        raise DataError(f"{name} has a box outside the image of {where}", found=str(table[:, :4].tolist()))
    table[:, 0:4:2] = table[:, 0:4:2].clip(x1, x2)
    table[:, 1:4:2] = table[:, 1:4:2].clip(y1, y2)
    if (table[:, 2] <= table[:, 0]).any() or (table[:, 3] <= table[:, 1]).any():
        raise DataError(f"{name} has a box without area", found=str(table[:, :4].tolist()))
    if table[:, 4].min() < 0 or table[:, 4].max() >= num_classes:
        raise DataError(f"{name} has a label that is no class", found=str(table[:, 4].tolist()))
