"""Augmentation of a whole batch at once; targets that lie in the image move with it, by one affine map.

What happens to a sample depends on the seed, the epoch and the sample's place in the global batch alone, so any
number of workers augments alike.
"""

from __future__ import annotations

import numpy as np
import torch

from mtl.data.kinds import KINDS
from mtl.data.loading.changes import Changes, Erased
from mtl.data.loading.draws import draw_changes
from mtl.data.loading.loader import CPU, Batch, Split, as_images, as_targets, gathered, on_device
from mtl.data.loading.motion import BatchMotion, sampled
from mtl.data.loading.photometric import operated

__all__ = ["Changes", "augmented", "draw_changes"]


def augmented(split: Split, indices: np.ndarray, changes: Changes, device: torch.device = CPU) -> Batch:
    """The samples at `indices` as a batch on a device, changed there."""
    rows = gathered(split, indices, device)
    pixels = rows["image"].permute(0, 3, 1, 2).float()
    motion = BatchMotion.of(changes, pixels.shape[2], pixels.shape[3], device)
    pixels = sampled(pixels, motion.grid, "bilinear")
    shown = split.manifest.colours
    pixels = _recolour(pixels, on_device(changes.colour, device), shown)
    if changes.operations is not None:
        pixels = torch.cat([operated(pixels[:, :shown], changes.operations), pixels[:, shown:]], 1)
    images = as_images(pixels.permute(0, 2, 3, 1), split.manifest.statistics)
    targets = {n: KINDS[t.kind].move(rows[n], motion, t) for n, t in split.spec.targets.items()}
    return Batch(
        ids=[split.ids[i] for i in indices],
        images=images if changes.erased is None else _erase(images, changes.erased),
        targets={name: as_targets(split, name, value) for name, value in targets.items()},
        present={name: rows[f"{name}.present"] for name in split.spec.targets},
        draws=on_device(changes.draws, device),
        undamaged=None if changes.erased is None else images,
    )


def _recolour(pixels: torch.Tensor, colour: torch.Tensor, shown: int) -> torch.Tensor:
    """Brightness, contrast and saturation of the channels that are seen."""
    brightness, contrast, saturation = (colour[:, i].view(-1, 1, 1, 1) for i in range(3))
    image = pixels[:, :shown]
    grey = image.mean(1, keepdim=True)
    image = grey + (image - grey) * saturation
    mean = grey.mean((2, 3), keepdim=True)
    image = (mean + (image - mean) * contrast + 255.0 * brightness).clamp(0.0, 255.0)
    return torch.cat([image, pixels[:, shown:]], 1)


def _erase(images: torch.Tensor, erased: Erased) -> torch.Tensor:
    """Standardized images with their rectangles filled, in all channels: others would tell what was there."""
    height, width = images.shape[2:]
    left, top, wide, high = on_device(erased.areas.on(height, width), images.device).T[..., None]
    rows, columns = (torch.arange(size, device=images.device) for size in (height, width))
    down, across = (rows >= top) & (rows < top + high), (columns >= left) & (columns < left + wide)
    channels = np.minimum(np.arange(images.shape[1]), 3)
    fill = on_device(erased.fill[:, channels], images.device)[..., None, None]
    return torch.where((down[:, :, None] & across[:, None])[:, None], fill, images)
