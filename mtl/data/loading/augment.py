"""Augmentation of a whole batch at once; targets that lie in the image move with it, by one affine map.

What happens to a sample depends on the seed, the epoch and the sample's place in the global batch alone, so any
number of workers augments alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mtl.config.augment import AugmentConfig
from mtl.data.kinds import KINDS
from mtl.data.loading.loader import CPU, Batch, Split, as_images, as_targets, gathered, on_device
from mtl.seeds import Stream, generator


@dataclass(frozen=True)
class Changes:
    """What is done to each of n samples.

    matrix: float32 [n, 2, 3], from output to input in coordinates -1 to 1, of square images: see `on`.
    colour: float32 [n, 3]: added brightness (of 1), factor of contrast, factor of saturation.
    draws: float64 [n], from 0 to 1, for tasks that make their own targets.
    """

    matrix: np.ndarray
    colour: np.ndarray
    draws: np.ndarray

    def at(self, samples: np.ndarray) -> Changes:
        """Those of some samples: their indices in the global batch."""
        return Changes(self.matrix[samples], self.colour[samples], self.draws[samples])

    def on(self, height: int, width: int) -> np.ndarray:
        """The matrices for images of a size, as `affine_grid` takes them: float32 [n, 2, 3].

        From -1 to 1 are as many pixels as a side has; so that a turn is one in pixels, it is another matrix where sides
        differ. Shifts are rounded to whole pixels: a mask knows no halves, and would lie beside its image.
        """
        found = self.matrix.copy()
        found[:, 0, 1] *= height / width
        found[:, 1, 0] *= width / height
        half = np.array([width, height], np.float32) / 2
        found[:, :, 2] = np.round(found[:, :, 2] * half) / half
        return found


def draw_changes(config: AugmentConfig, seed: int, epoch: int, step: int, num_samples: int) -> Changes:
    """Draw for a whole global batch."""
    rng = generator(seed, Stream.AUGMENTATION, epoch, step)
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


@dataclass(frozen=True)
class BatchMotion:
    """The affine maps of a batch, as `mtl.data.kinds` ask them; all of it on the images' device.

    matrix: float32 [n, 2, 3], from output to input as `Changes.on` gives them; forward: its inverse; scales: float32 [n];
    mirrored: bool [n]; sides: float32 [2], width and height; grid: float32 [n, height, width, 2], where in the images the
    pixels come from.
    """

    matrix: torch.Tensor
    forward: torch.Tensor
    scales: torch.Tensor
    mirrored: torch.Tensor
    sides: torch.Tensor
    grid: torch.Tensor

    @classmethod
    def of(cls, changes: Changes, height: int, width: int, device: torch.device = CPU) -> BatchMotion:
        """For images of one size. A few numbers per image are computed on the host, and copied."""
        matrix = changes.on(height, width)
        linear = matrix[:, :, :2].astype(np.float64)
        areas = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
        last = np.broadcast_to([0.0, 0.0, 1.0], (len(matrix), 1, 3))
        forward = np.linalg.inv(np.concatenate([matrix.astype(np.float64), last], 1))[:, :2].astype(np.float32)
        scales, sides = (np.abs(areas) ** -0.5).astype(np.float32), np.array([width, height], np.float32)
        maps = on_device(matrix, device)
        grid = F.affine_grid(maps, [len(matrix), 1, height, width], align_corners=False)
        placed, factor, mirrored, size = (on_device(part, device) for part in (forward, scales, areas < 0, sides))
        return cls(maps, placed, factor, mirrored, size, grid)

    def classes(self, masks: torch.Tensor) -> torch.Tensor:
        """uint8 [n, height, width] → int64: the nearest class; reflected at the border like the pixels."""
        return _sample(masks[:, None].float(), self.grid, "nearest")[:, 0].round().long()

    def measures(self, values: torch.Tensor) -> torch.Tensor:
        """float32 [n, c, height, width], NaN unknown: linear between what is known, where that is half at least."""
        return _sample_measures(values, self.grid)

    def directions(self, vectors: torch.Tensor) -> torch.Tensor:
        """float32 [n, 3, height, width] of unit vectors in the image's axes, which turn with it."""
        moved = _mirror_normals(_sample_measures(vectors, self.grid), self.grid)
        return _turn_normals(moved, self.matrix, self.sides)

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

    def size(self) -> torch.Tensor:
        """float32 [2], pixels: width and height."""
        return self.sides

    def scale(self) -> torch.Tensor:
        """float32 [n]: pixels of the changed image per pixel of what it was, along a side: the root of the ratio of areas."""
        return self.scales


def augmented(split: Split, indices: np.ndarray, changes: Changes, device: torch.device = CPU) -> Batch:
    """The samples at `indices` as a batch on a device, changed there."""
    rows = gathered(split, indices, device)
    pixels = rows["image"].permute(0, 3, 1, 2).float()
    motion = BatchMotion.of(changes, pixels.shape[2], pixels.shape[3], device)
    pixels = _sample(pixels, motion.grid, "bilinear")
    pixels = _recolour(pixels, on_device(changes.colour, device))
    targets = {n: KINDS[t.kind].move(rows[n], motion, t) for n, t in split.spec.targets.items()}
    return Batch(
        ids=[split.ids[i] for i in indices],
        images=as_images(pixels.permute(0, 2, 3, 1), split.manifest.statistics),
        targets={name: as_targets(split, name, value) for name, value in targets.items()},
        present={name: rows[f"{name}.present"] for name in split.spec.targets},
        draws=on_device(changes.draws, device),
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


def _sample_measures(values: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """[n, c, h, w] with NaN unknown: linear between what is known, where that is half at least, else NaN."""
    known = torch.isfinite(values).all(1, keepdim=True)
    weight = _sample(known.float(), grid, "bilinear")
    found = _sample(torch.where(known, values, 0.0), grid, "bilinear") / weight.clamp(min=1e-4)
    return torch.where(weight > 0.5 - 1e-4, found, torch.nan)


def _sample(values: torch.Tensor, grid: torch.Tensor, mode: str) -> torch.Tensor:
    """Values [n, c, h, w] where the grid says; reflected at the border."""
    return F.grid_sample(values, grid, mode=mode, padding_mode="reflection", align_corners=False)


def _mirror_normals(normals: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Where the border is reflected the surface is mirrored: sampled unit vectors [n, 3, h, w], grid [n, h, w, 2]."""
    odd = ((grid + 1) / 2).floor().remainder(2).permute(0, 3, 1, 2)
    return torch.cat([normals[:, :2] * (1 - 2 * odd), normals[:, 2:]], 1)


def _turn_normals(normals: torch.Tensor, matrix: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    """Directions in the image plane turn and flip with it: unit vectors [n, 3, h, w] stay unit vectors.

    A zoom turns none of them: it is the camera's. What slants stretches of a surface is as a slope is, inverse to them.
    """
    half = sides / 2
    backward = matrix[:, :, :2] * half[:, None] / half  # of pixels: as the slopes of a surface go
    area = backward[:, 0, 0] * backward[:, 1, 1] - backward[:, 0, 1] * backward[:, 1, 0]
    turn = backward.transpose(1, 2) / area.abs().sqrt()[:, None, None]
    plane = torch.einsum("nij,njhw->nihw", turn, normals[:, :2])
    return F.normalize(torch.cat([plane, normals[:, 2:]], 1), dim=1)
