"""What a network learns of objects with points: heatmaps, and of each object where it points to. Nothing is read on the host."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mtl.data.kinds.keypoints import KIND, LABEL, POINTS
from mtl.data.loading.padded import Tables, together


@dataclass(frozen=True)
class Targets:
    """Of n images with at most m objects of k points, in cells.

    centre_heat, point_heat: gaussians, 1 at their cell.
    centre_known, point_known: whether anything is known there.
    counts: an object that counts; labelled: a point of one, that is labelled.
    centre_cell, point_cell: x and y.
    box: width, height, and from the cell's middle to the centre; offset: from the centre's cell's middle to each point;
    point_inside: from the cell's middle to the point.
    """

    centre_heat: Float[Tensor, "n classes h w"]
    centre_known: Bool[Tensor, "n classes h w"]
    point_heat: Float[Tensor, "n k h w"]
    point_known: Bool[Tensor, "n k h w"]
    counts: Bool[Tensor, "n m"]
    labelled: Bool[Tensor, "n m k"]
    centre_cell: Int64[Tensor, "n m 2"]
    point_cell: Int64[Tensor, "n m k 2"]
    box: Float[Tensor, "n m 4"]
    offset: Float[Tensor, "n m k 2"]
    point_inside: Float[Tensor, "n m k 2"]


def targets_of(
    tables: Tables,
    present: Bool[Tensor, " n"],
    numbers: tuple[int, int],
    size: tuple[int, int],
    cell: float,
    sigma: float,
) -> Targets:
    """Args:
    tables: n of [objects, 7 + 3 · k], in pixels (mtl/data/kinds/keypoints.py).
    present: of other images nothing is known.
    numbers: of classes and of points.
    size: height and width in cells; cell: pixels; sigma: of the gaussians, in cells.
    """
    classes, k = numbers
    rows = together(tables, POINTS + 3 * k, present.device)
    there = (rows[..., 2] > rows[..., 0]) & present[:, None]
    counts = there & (rows[..., KIND] == 0)
    points = rows[..., POINTS:].unflatten(-1, (k, 3))
    labelled = counts[..., None] & (points[..., 2] > 0)
    limits = (size[1] - 1, size[0] - 1)
    low, high = rows[..., :2] / cell, rows[..., 2:4] / cell
    middle, places = (low + high) / 2, points[..., :2] / cell
    centre_cell, point_cell = (_cells(p, limits) for p in (middle, places))
    boxed = _inside(low, high, size)  # [n, m, h, w]
    ignored = (boxed & (there & ~counts)[..., None, None]).any(1, keepdim=True)
    centre_heat = torch.zeros(len(tables), classes, *size, device=rows.device)
    point_heat = torch.zeros(len(tables), k, *size, device=rows.device)
    unlabelled = torch.zeros_like(point_heat, dtype=torch.bool)
    for m in range(rows.shape[1]):
        around = _gaussians(centre_cell[:, m, None], size, sigma)  # [n, 1, h, w]
        mine = (rows[:, m, None, LABEL] == torch.arange(classes, device=rows.device)) & counts[:, m, None]
        centre_heat = torch.maximum(centre_heat, around * mine[..., None, None])
        point_heat = torch.maximum(
            point_heat, _gaussians(point_cell[:, m], size, sigma) * labelled[:, m, :, None, None]
        )
        unlabelled |= boxed[:, m, None] & (there[:, m, None] & ~labelled[:, m])[..., None, None]
    known = present[:, None, None, None]
    return Targets(
        centre_heat=centre_heat,
        centre_known=(known & ~ignored).expand_as(centre_heat),
        point_heat=point_heat,
        point_known=known & (~unlabelled | (point_heat == 1)),
        counts=counts,
        labelled=labelled,
        centre_cell=centre_cell,
        point_cell=point_cell,
        box=torch.cat([high - low, middle - centre_cell - 0.5], -1),
        offset=places - centre_cell[:, :, None] - 0.5,
        point_inside=places - point_cell - 0.5,
    )


def _cells(places: Float[Tensor, "*front 2"], limits: tuple[int, int]) -> Int64[Tensor, "*front 2"]:
    """The cells x, y of places that are given in cells."""
    return torch.stack([places[..., i].floor().clamp(0, limit) for i, limit in enumerate(limits)], -1).long()


def _gaussians(cells: Int64[Tensor, "n k 2"], size: tuple[int, int], sigma: float) -> Float[Tensor, "n k h w"]:
    """Around cells x, y, exactly 1 there."""
    across, down = (torch.arange(side, device=cells.device) for side in (size[1], size[0]))
    x = torch.exp(-(across - cells[..., :1]).square() / (2 * sigma**2))
    y = torch.exp(-(down - cells[..., 1:]).square() / (2 * sigma**2))
    return y[..., :, None] * x[..., None, :]


def _inside(
    low: Float[Tensor, "n m 2"], high: Float[Tensor, "n m 2"], size: tuple[int, int]
) -> Bool[Tensor, "n m h w"]:
    """Which cells touch a box."""
    across, down = (torch.arange(side, device=low.device) for side in (size[1], size[0]))
    x = (across + 1 > low[..., :1]) & (across < high[..., :1])
    y = (down + 1 > low[..., 1:]) & (down < high[..., 1:])
    return y[..., :, None] & x[..., None, :]
