"""Images made of several of the global batch: mixup, cutmix, mosaic.

All views of a micro-batch (`mtl.data.loading.views`) are changed together, by one grid each; then those of an image are laid over each
other. A worker reads the images of others, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from mtl.data.kinds import KINDS
from mtl.data.loading.augment import augmented
from mtl.data.loading.changes import Changes
from mtl.data.loading.loader import CPU, Batch, Split, as_targets, on_device
from mtl.data.loading.padded import Padded
from mtl.data.loading.views import Plan


class OnImages:
    """A plan on the device of the views: `mtl.data.kinds.base.Layers`."""

    def __init__(self, plan: Plan, height: int, width: int, device: torch.device) -> None:
        self.plan, number = plan, len(plan.views)
        self.views, self.shares = on_device(plan.views, device), on_device(plan.shares, device)
        self.windows = on_device(plan.windows.astype(np.float32), device)
        self.blended, self.tiled = on_device(plan.blended, device), on_device(plan.tiled, device)
        self.there = on_device(plan.views != np.arange(number)[:, None], device)
        self.alone = ~self.there.any(1)
        rows, columns = (torch.arange(size, device=device) for size in (height, width))
        left, top, right, bottom = self.windows.unbind(-1)
        down = (rows >= top[..., None]) & (rows < bottom[..., None])
        across = (columns >= left[..., None]) & (columns < right[..., None])
        self.inside = down[..., :, None] & across[..., None, :]

    def own(self, values: torch.Tensor) -> torch.Tensor:
        """[m, ...] → [n, ...]: the first view's."""
        return values[: len(self.views)]

    def mixed(self, values: torch.Tensor) -> torch.Tensor:
        """float32 [m, ...] → [n, ...]: by the views' shares of the image."""
        shares = self.shares.view(*self.shares.shape, *[1] * (values.ndim - 1))
        found = shares[:, 0] * self.own(values)
        for slot in range(1, self.views.shape[1]):
            found = found + shares[:, slot] * values[self.views[:, slot]]
        return found

    def pasted(self, values: torch.Tensor) -> torch.Tensor:
        """[m, ..., height, width] → [n, ..., height, width]: of each pixel what the view has that is seen there."""
        found = self.own(values)
        for slot in range(1, self.views.shape[1]):
            inside = self.inside[:, slot]
            inside = inside[:, None] if values.ndim == 4 else inside
            found = torch.where(inside, values[self.views[:, slot]], found)
        return found

    def images(self, images: torch.Tensor) -> torch.Tensor:
        """[m, channels, height, width] → [n, ...]: pasted, and those that are seen through each other mixed."""
        blended = self.plan.blended
        if blended.all():
            return self.mixed(images)
        found = self.pasted(images)
        return torch.where(self.blended.view(-1, 1, 1, 1), self.mixed(images), found) if blended.any() else found

    def together(self, rows: torch.Tensor, hide: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """[m, most, columns] → [n, more, columns]: the rows of all views of an image."""
        own, tables = self.own(rows), list[torch.Tensor]()
        for slot in range(1, self.views.shape[1]):
            own = hide(own, self.windows[:, slot, None])
            tables.append(rows[self.views[:, slot]] * self.there[:, slot, None, None])
        return torch.cat([own, *tables], 1)

    def all(self, present: torch.Tensor) -> torch.Tensor:
        """bool [m] → [n]: whether all views of an image have it."""
        return present[self.views].all(1)

    def any(self, present: torch.Tensor) -> torch.Tensor:
        """bool [m] → [n]: whether one has it."""
        return present[self.views].any(1)


def joined(
    split: Split, indices: np.ndarray, changes: Changes, places: np.ndarray, device: torch.device = CPU
) -> Batch:
    """The samples at some places of a global batch as a batch on a device, changed there, and joined with others of it.

    Args:
        indices, changes: of the global batch.
    """
    if changes.joins is None:
        return augmented(split, indices[places], changes.at(places), device)
    height, width = split.manifest.height, split.manifest.width
    clips = any(KINDS[target.kind].rows for target in split.spec.targets.values())
    plan = Plan.of(changes.joins, places, height, width, clips=clips)
    views = augmented(split, indices[plan.places], replace(changes.at(plan.places), cells=plan.cells), device)
    layers, number = OnImages(plan, height, width, device), len(places)
    targets, present = dict[str, torch.Tensor](), dict[str, torch.Tensor]()
    for name, target in split.spec.targets.items():
        value = views.targets[name]
        rows = value.rows if isinstance(value, Padded) else value
        targets[name], present[name] = KINDS[target.kind].join(rows, views.present[name], layers, target)
    return Batch(
        ids=views.ids[:number],
        images=layers.images(views.images),
        targets={name: as_targets(split, name, value) for name, value in targets.items()},
        present=present,
        draws=views.draws[:number],
        undamaged=None if views.undamaged is None else layers.images(views.undamaged),
    )
