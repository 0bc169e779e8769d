"""Augmentation of a whole batch at once; boxes and masks move with the image.

What happens to a sample depends on the seed, the epoch and the sample's place in the global batch alone, so any
number of workers augments alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from mtl.config import AugmentConfig
from mtl.data.boxes import kinds
from mtl.data.loader import Batch, Split, as_images

MIN_VISIBLE = 0.3
"""A box of which a smaller share stays inside the image is dropped; one that does not count, when nothing stays."""


@dataclass(frozen=True)
class Changes:
    """What is done to each of n samples.

    matrix: float32 [n, 2, 3], from output to input in coordinates -1 to 1, as `affine_grid` takes it.
    colour: float32 [n, 3]: added brightness (of 1), factor of contrast, factor of saturation.
    draws: float64 [n], from 0 to 1, for tasks that make their own targets.
    """

    matrix: np.ndarray
    colour: np.ndarray
    draws: np.ndarray

    def at(self, places: np.ndarray) -> Changes:
        """Those of the samples at some places of the global batch."""
        return Changes(self.matrix[places], self.colour[places], self.draws[places])


def draw_changes(config: AugmentConfig, seed: int, epoch: int, step: int, num_samples: int) -> Changes:
    """Draw for a whole global batch."""
    rng = np.random.Generator(np.random.PCG64([seed, epoch, step, 1]))
    u = rng.uniform(-1.0, 1.0, (num_samples, 8))
    angle = u[:, 0] * math.radians(config.rotate)
    zoom = np.exp(u[:, 1] * math.log1p(config.scale))
    flip = np.where((u[:, 2] + 1) / 2 < config.flip, -1.0, 1.0)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    matrix = np.empty((num_samples, 2, 3), np.float32)
    matrix[:, 0] = np.stack([flip * cos, -sin, 2 * config.translate * u[:, 3]], 1)
    matrix[:, 1] = np.stack([flip * sin, cos, 2 * config.translate * u[:, 4]], 1)
    colour = np.stack([u[:, 5] * config.brightness, 1 + u[:, 6] * config.contrast, 1 + u[:, 7] * config.saturation], 1)
    return Changes(matrix, colour.astype(np.float32), rng.uniform(0.0, 1.0, num_samples))


def augmented(split: Split, indices: np.ndarray, changes: Changes) -> Batch:
    """The samples at `indices` as a batch, changed."""
    rows = split.rows(indices)
    pixels = torch.from_numpy(rows["image"]).permute(0, 3, 1, 2).float()
    size = [len(indices), 1, *pixels.shape[2:]]
    grid = F.affine_grid(torch.from_numpy(changes.matrix), size, align_corners=False)
    pixels = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    pixels = _recolour(pixels, torch.from_numpy(changes.colour))
    targets: dict[str, Any] = {}
    for name, target in split.spec.targets.items():
        if target.kind == "boxes":
            tables = [torch.from_numpy(table) for table in rows[name]]
            targets[name] = [_move_boxes(t, m, size[2], size[3]) for t, m in zip(tables, changes.matrix, strict=True)]
        elif target.kind == "mask":
            targets[name] = _move_masks(torch.from_numpy(rows[name]), grid)
        elif target.kind == "depth":
            targets[name] = _sample(torch.from_numpy(rows[name])[:, None], grid)[:, 0]
        elif target.kind == "normals":
            moved = _sample(torch.from_numpy(rows[name]).permute(0, 3, 1, 2), grid)
            targets[name] = _turn_normals(moved, torch.from_numpy(changes.matrix))
        else:
            targets[name] = torch.from_numpy(rows[name])
    return Batch(
        ids=[split.ids[i] for i in indices],
        images=as_images(pixels.permute(0, 2, 3, 1), split.manifest.statistics),
        targets=targets,
        present={name: torch.from_numpy(rows[f"{name}.present"]) for name in split.spec.targets},
        draws=torch.from_numpy(changes.draws),
    )


def _recolour(pixels: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast and saturation of the first three channels (or the first, if grey)."""
    shown = 3 if pixels.shape[1] >= 3 else 1
    brightness, contrast, saturation = (colour[:, i].view(-1, 1, 1, 1) for i in range(3))
    image = pixels[:, :shown]
    grey = image.mean(1, keepdim=True)
    image = grey + (image - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    image = (mean + (image - mean) * contrast + 255.0 * brightness).clamp(0.0, 255.0)
    return torch.cat([image, pixels[:, shown:]], 1)


def _move_masks(masks: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Nearest class; reflected at the border like the pixels."""
    return _sample(masks[:, None].float(), grid)[:, 0].round().long()


def _sample(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Nearest values [n, c, h, w]; reflected at the border like the pixels."""
    return F.grid_sample(values, grid, mode="nearest", padding_mode="reflection", align_corners=False)


def _turn_normals(normals: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Directions in the image plane turn and flip with it: unit vectors [n, 3, h, w] stay unit vectors."""
    forward = torch.linalg.inv(matrix[:, :, :2])
    forward = forward / torch.linalg.det(forward).abs().sqrt()[:, None, None]
    plane = torch.einsum("nij,njhw->nihw", forward, normals[:, :2])
    return torch.cat([plane, normals[:, 2:]], 1)


def _move_boxes(table: torch.Tensor, matrix: np.ndarray, height: int, width: int) -> torch.Tensor:
    """The upright hull of each moved box, clipped; boxes that have left the image are dropped."""
    if not len(table):
        return table
    full = np.vstack([matrix.astype(np.float64), [0.0, 0.0, 1.0]])
    forward = torch.from_numpy(np.linalg.inv(full)[:2]).float()
    size = torch.tensor([width, height], dtype=torch.float32)
    corners = table[:, [0, 1, 2, 1, 2, 3, 0, 3]].view(-1, 4, 2) * 2 / size - 1
    corners = ((corners @ forward[:, :2].T + forward[:, 2]) + 1) * size / 2
    low, high = corners.amin(1), corners.amax(1)
    clipped_low, clipped_high = low.clamp(min=0), torch.minimum(high, size)
    visible = (clipped_high - clipped_low).clamp(min=0).prod(1) / (high - low).prod(1)
    moved = torch.cat([clipped_low, clipped_high, table[:, 4:]], 1)
    return moved[torch.where(kinds(table) == 0, visible >= MIN_VISIBLE, visible > 0)]
