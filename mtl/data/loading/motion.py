"""How the images of a batch move, and what lies in them: one affine grid, on their device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mtl.data.loading.changes import Changes
from mtl.data.loading.loader import CPU, on_device


@dataclass(frozen=True)
class BatchMotion:
    """The affine maps of a batch, as `mtl.data.kinds` ask them; all of it on the images' device.

    matrix: float32 [n, 2, 3], from output to input as `Changes.on` gives them; forward: its inverse; turns: as `Changes.turns`;
    scales: float32 [n]; mirrored: bool [n]; sides: float32 [2], width and height; grid: float32 [n, height, width, 2], where in the images the
    pixels come from; seen: float32 [n, 4], as `Cells.seen`, None: all.
    """

    matrix: torch.Tensor
    forward: torch.Tensor
    turns: torch.Tensor
    scales: torch.Tensor
    mirrored: torch.Tensor
    sides: torch.Tensor
    grid: torch.Tensor
    seen: torch.Tensor | None

    @classmethod
    def of(cls, changes: Changes, height: int, width: int, device: torch.device = CPU) -> BatchMotion:
        """For images of one size. A few numbers per image are computed on the host, and copied."""
        matrix = changes.on(height, width)
        linear = matrix[:, :, :2].astype(np.float64)
        areas = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
        last = np.broadcast_to([0.0, 0.0, 1.0], (len(matrix), 1, 3))
        forward = np.linalg.inv(np.concatenate([matrix.astype(np.float64), last], 1))[:, :2].astype(np.float32)
        scales, sides = (np.abs(areas) ** -0.5).astype(np.float32), np.array([width, height], np.float32)
        maps, turns = on_device(matrix, device), on_device(changes.turns(height, width), device)
        grid = F.affine_grid(maps, [len(matrix), 1, height, width], align_corners=False)
        placed, factor, mirrored, size = (on_device(part, device) for part in (forward, scales, areas < 0, sides))
        seen = None if changes.cells is None else on_device(changes.cells.seen, device)
        return cls(maps, placed, turns, factor, mirrored, size, grid, seen)

    def classes(self, masks: torch.Tensor) -> torch.Tensor:
        """uint8 [n, height, width] → int64: the nearest class; reflected at the border like the pixels."""
        return sampled(masks[:, None].float(), self.grid, "nearest")[:, 0].round().long()

    def measures(self, values: torch.Tensor) -> torch.Tensor:
        """float32 [n, c, height, width], NaN unknown: linear between what is known, where that is half at least."""
        return _sample_measures(values, self.grid)

    def directions(self, vectors: torch.Tensor) -> torch.Tensor:
        """float32 [n, 3, height, width] of unit vectors in the image's axes, which turn with it."""
        moved = _mirror_normals(_sample_measures(vectors, self.grid), self.grid)
        return _turn_normals(moved, self.turns, self.sides)

    def points(self, points: torch.Tensor) -> torch.Tensor:
        """float32 [n, k, 2], pixels x, y → where they are afterwards."""
        placed = points * 2 / self.sides - 1
        return (placed @ self.forward[:, :, :2].transpose(1, 2) + self.forward[:, None, :, 2] + 1) * self.sides / 2

    def hulls(self, boxes: torch.Tensor) -> torch.Tensor:
        """float32 [n, k, 4], x1, y1, x2, y2 → the upright hulls of the moved boxes, which may reach out of the image."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        corners = self.points(torch.stack([x1, y1, x2, y1, x2, y2, x1, y2], -1).unflatten(-1, (4, 2)).flatten(1, 2))
        corners = corners.unflatten(1, (-1, 4))
        return torch.cat([corners.amin(2), corners.amax(2)], -1)

    def exchanged(self, points: torch.Tensor, twins: list[int]) -> torch.Tensor:
        """[n, k, points, ...] → each point in the place of its twin in images whose left and right change places."""
        other = torch.stack([points[:, :, twin] for twin in twins], 2)
        return torch.where(self.mirrored.view(-1, *[1] * (points.ndim - 1)), other, points)

    def window(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where in the changed images something of them is seen: x, y of its first and of its last corner, each [2] or [n, 1, 2]."""
        if self.seen is None:
            return torch.zeros_like(self.sides), self.sides
        return self.seen[:, None, :2], self.seen[:, None, 2:]

    def scale(self) -> torch.Tensor:
        """float32 [n]: pixels of the changed image per pixel of what it was, along a side: the root of the ratio of areas."""
        return self.scales


def _sample_measures(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """[n, c, h, w] with NaN unknown: linear between what is known, where that is half at least, else NaN."""
    known = torch.isfinite(values).all(1, keepdim=True)
    weight = sampled(known.float(), grid, "bilinear")
    found = sampled(torch.where(known, values, 0.0), grid, "bilinear") / weight.clamp(min=1e-4)
    return torch.where(weight > 0.5 - 1e-4, found, torch.nan)


def sampled(values: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    """Values [n, c, h, w] where the grid says; reflected at the border."""
    return F.grid_sample(values, grid, mode=mode, padding_mode="reflection", align_corners=False)


def _mirror_normals(normals: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Where the border is reflected the surface is mirrored: sampled unit vectors [n, 3, h, w], grid [n, h, w, 2]."""
    odd = ((grid + 1) / 2).floor().remainder(2).permute(0, 3, 1, 2)
    return torch.cat([normals[:, :2] * (1 - 2 * odd), normals[:, 2:]], 1)


def _turn_normals(normals: torch.Tensor, matrix: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    """Directions in the image plane turn and flip with it: unit vectors [n, 3, h, w] stay unit vectors.

    A zoom turns none of them: it is the camera's, and so is a part that is stretched to the whole. What slants stretches of a surface is as a slope is, inverse to them.
    """
    half = sides / 2
    backward = matrix[:, :, :2] * half[:, None] / half  # of pixels: as the slopes of a surface go
    area = backward[:, 0, 0] * backward[:, 1, 1] - backward[:, 0, 1] * backward[:, 1, 0]
    turn = backward.transpose(1, 2) / area.abs().sqrt()[:, None, None]
    plane = torch.einsum("nij,njhw->nihw", turn, normals[:, :2])
    return F.normalize(torch.cat([plane, normals[:, 2:]], 1), dim=1)
