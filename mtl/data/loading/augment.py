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
from mtl.data.loading.loader import Batch, Split, as_images, as_tensors
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
    """The affine maps of a batch, as `mtl.data.kinds` ask them.

    matrix: float32 [n, 2, 3], from output to input as `Changes.on` gives them; grid: float32 [n, height, width, 2], where in
    the images the pixels come from.
    """

    matrix: np.ndarray
    grid: torch.Tensor
    height: int
    width: int

    @classmethod
    def of(cls, changes: Changes, height: int, width: int) -> BatchMotion:
        """For images of one size."""
        matrix = changes.on(height, width)
        size = [len(matrix), 1, height, width]
        return cls(matrix, F.affine_grid(torch.from_numpy(matrix), size, align_corners=False), height, width)

    def classes(self, masks: torch.Tensor) -> torch.Tensor:
        """uint8 [n, height, width] → int64: the nearest class; reflected at the border like the pixels."""
        return _sample(masks[:, None].float(), self.grid, "nearest")[:, 0].round().long()

    def measures(self, values: torch.Tensor) -> torch.Tensor:
        """float32 [n, c, height, width], NaN unknown: linear between what is known, where that is half at least."""
        return _sample_measures(values, self.grid)

    def directions(self, vectors: torch.Tensor) -> torch.Tensor:
        """float32 [n, 3, height, width] of unit vectors in the image's axes, which turn with it."""
        moved = _mirror_normals(_sample_measures(vectors, self.grid), self.grid)
        return _turn_normals(moved, torch.from_numpy(self.matrix))

    def points(self, index: int, points: torch.Tensor) -> torch.Tensor:
        """float32 [..., 2], pixels x, y of the image `index` → where they are afterwards."""
        full = np.vstack([self.matrix[index].astype(np.float64), [0.0, 0.0, 1.0]])
        forward = torch.from_numpy(np.linalg.inv(full)[:2]).float()
        size = self.size()
        return (((points * 2 / size - 1) @ forward[:, :2].T + forward[:, 2]) + 1) * size / 2

    def size(self) -> torch.Tensor:
        """float32 [2], pixels: width and height."""
        return torch.tensor([self.width, self.height], dtype=torch.float32)

    def scale(self, index: int) -> float:
        """Pixels of the changed image per pixel of what it was, along a side: the root of the ratio of areas."""
        return abs(float(np.linalg.det(self.matrix[index, :, :2]))) ** -0.5

    def mirrors(self, index: int) -> bool:
        """Whether left and right of the image `index` change places."""
        return float(np.linalg.det(self.matrix[index, :, :2])) < 0


def augmented(split: Split, indices: np.ndarray, changes: Changes) -> Batch:
    """The samples at `indices` as a batch, changed."""
    rows = split.rows(indices)
    pixels = torch.from_numpy(rows["image"]).permute(0, 3, 1, 2).float()
    motion = BatchMotion.of(changes, *pixels.shape[2:])
    pixels = _sample(pixels, motion.grid, "bilinear")
    pixels = _recolour(pixels, torch.from_numpy(changes.colour))
    targets = {n: KINDS[t.kind].move(as_tensors(rows[n]), motion, t) for n, t in split.spec.targets.items()}
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


def _turn_normals(normals: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Directions in the image plane turn and flip with it: unit vectors [n, 3, h, w] stay unit vectors.

    A zoom turns none of them: it is the camera's. What slants stretches of a surface is as a slope is, inverse to them.
    """
    height, width = normals.shape[2:]
    half = torch.tensor([width, height]).to(matrix) / 2
    backward = matrix[:, :, :2] * half[:, None] / half  # of pixels: as the slopes of a surface go
    turn = backward.transpose(1, 2) / torch.linalg.det(backward).abs().sqrt()[:, None, None]
    plane = torch.einsum("nij,njhw->nihw", turn, normals[:, :2])
    return F.normalize(torch.cat([plane, normals[:, 2:]], 1), dim=1)
