"""Batches for training and evaluation, gathered from memory-mapped shards without worker processes."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl.data.kinds import KINDS
from mtl.data.loading.ahead import ahead
from mtl.data.loading.padded import Padded, filled
from mtl.data.shards import manifest as manifests
from mtl.data.shards.gather import gather_rows
from mtl.data.shards.manifest import Statistics
from mtl.data.shards.opening import open_shards
from mtl.data.spec import DatasetSpec

CPU = torch.device("cpu")


@dataclass
class Batch:
    """Images and targets of one forward pass.

    images: float32 [n, channels, height, width], standardized.
    targets, by name, as `mtl.data.kinds` collate them: label int64 [n] · labels uint8 [n, classes] · value float32 [n] ·
        mask int64 [n, height, width] (255 ignored) · depth float32 [n, height, width] · normals float32 [n, 3, height, width]
        (NaN unknown) · boxes: `Padded`, of each image float32 [k, 5] x1, y1, x2, y2, label in pixels, or [k, 6]
        (mtl/data/kinds/box_table.py).
    present, by name: bool [n], whether the sample has this target.
    draws: float64 [n], a random number from 0 to 1 for each sample, for tasks that make their own targets.
    views, by task: images of its own that a task looks at, beside the batch's.
    undamaged: the images before they were damaged, of which tasks make their own targets; None if they were not.
    """

    ids: list[str]
    images: torch.Tensor
    targets: dict[str, Any]
    present: dict[str, torch.Tensor]
    draws: torch.Tensor
    views: dict[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    undamaged: torch.Tensor | None = None

    @property
    def originals(self) -> torch.Tensor:
        """The images as they were, whatever the model is shown: [n, channels, height, width]."""
        return self.images if self.undamaged is None else self.undamaged

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; from there to the host it is waited for."""
        options: dict[str, Any] = {"non_blocking": device.type != "cpu"}
        return Batch(
            ids=self.ids,
            images=self.images.to(device, **options),
            targets={name: _move(value, device) for name, value in self.targets.items()},
            present={name: value.to(device, **options) for name, value in self.present.items()},
            draws=self.draws.to(device, **options),
            views={name: value.to(device, **options) for name, value in self.views.items()},
            undamaged=None if self.undamaged is None else self.undamaged.to(device, **options),
        )

    def tensors(self) -> Iterator[torch.Tensor]:
        """All of it."""
        for value in (self.images, self.draws, *self.targets.values(), *self.present.values(), *self.views.values()):
            yield from [value.rows] if isinstance(value, Padded) else value if isinstance(value, list) else [value]
        if self.undamaged is not None:
            yield self.undamaged


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, list):
        return [item.to(device) for item in value]
    return value.to(device) if isinstance(value, Padded) else value.to(device, non_blocking=device.type != "cpu")


class Split:
    """One split of a prepared data set: random access to any set of samples by their index.

    Args:
        split: `test` is what versions are judged on: the validation split, where a data set without test images says so;
            `name` is that of the split that it is.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.manifest = folder, manifests.read(folder)
        self.spec: DatasetSpec = self.manifest.spec
        self.name = self.spec.judged_on if split == "test" else split
        self._shards = open_shards(folder, self.manifest, self.name)
        self._starts = np.cumsum([0, *self._shards.sizes])
        self.ids = list(self._shards.ids)
        self._at = np.arange(len(self.ids))

    def only(self, chosen: np.ndarray) -> Split:
        """The same split with those samples alone that `chosen` (bool [samples]) marks."""
        part = copy.copy(self)
        part.ids = [found for found, wanted in zip(self.ids, chosen, strict=True) if wanted]
        part._at = self._at[chosen]  # noqa: SLF001 (its own class)
        return part

    @property
    def places(self) -> np.ndarray | None:
        """Which of the whole split's samples these are, int64 [samples]; None: all."""
        return None if len(self._at) == self._starts[-1] else self._at

    def digests(self) -> list[str]:
        """Of each sample: 96 bits of its id, its encoded image and its targets, before any operation."""
        keys = self._shards.keys
        named = zip(self.ids, (keys[i] for i in self._at), strict=True)
        return [hashlib.sha256(f"{found}\0{key}".encode()).hexdigest()[:24] for found, key in named]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(
        self, indices: np.ndarray, empty: Callable[..., np.ndarray] = np.empty, *, decode: bool = True
    ) -> dict[str, Any]:
        """Arrays of the samples at `indices`, in that order: uint8 images and targets as the shards hold them; of kinds with
        rows, lists of tables. Threads may call it.

        Args:
            empty: as NumPy's, what makes the arrays: they may lie in memory from which a device can copy.
            decode: false leaves images as JPEGs, where they are, for a device that decodes (`mtl/data/codecs/device.py`): `image`
                is then a list of their codes.
        """
        indices = self._at[indices]
        where = np.searchsorted(self._starts, indices, side="right") - 1
        return gather_rows(self._shards, self.spec, where, indices - self._starts[where], empty, decode=decode)

    def shard_sizes(self) -> list[int]:
        """How many of its samples each shard has, in their order."""
        where = np.searchsorted(self._starts, self._at, side="right") - 1
        return np.bincount(where, minlength=len(self._starts) - 1).tolist()

    def expect(self, reading: Iterator[np.ndarray]) -> None:
        """The samples that will be read next, indices of a step after the other: shards that lie elsewhere are fetched in time."""
        starts, at = self._starts, self._at
        self._shards.expect(np.searchsorted(starts, at[indices], side="right") - 1 for indices in reading)

    def present(self, target: str) -> np.ndarray:
        """Which samples have a target: bool [samples]."""
        return self._shards.present(target)[self._at]

    def spread(self, count: int) -> np.ndarray:
        """Indices of at most `count` samples, evenly over the split."""
        return spread(len(self), count)

    def slices(self) -> dict[str, list[str]]:
        """Attribute → its value for every sample."""
        every = {name: self._shards.slices(name) for name in self.spec.slices}
        return {n: [values[i] for i in self._at] for n, values in every.items()}


def spread(size: int, count: int) -> np.ndarray:
    """Indices of at most `count` of `size` samples, evenly over them."""
    return np.unique(np.linspace(0, size - 1, min(count, size)).astype(int))


def as_images(pixels: torch.Tensor, statistics: Statistics) -> torch.Tensor:
    """uint8 or float [n, height, width, channels] of 0 to 255 → standardized float32 [n, channels, height, width]."""
    mean, std = (on_device(v, pixels.device) for v in (statistics.mean, statistics.std))
    return ((pixels.float() / 255.0 - mean) / std).permute(0, 3, 1, 2)


def on_device(values: Sequence[float] | np.ndarray, device: torch.device) -> torch.Tensor:
    """Numbers as a tensor on a device, whose present work is not waited for; floats as float32."""
    found = torch.as_tensor(values)
    found = found.float() if found.is_floating_point() and not isinstance(values, np.ndarray) else found
    return found if device.type == "cpu" else found.pin_memory().to(device, non_blocking=True)


def gathered(split: Split, indices: np.ndarray, device: torch.device) -> dict[str, torch.Tensor]:
    """The samples at `indices` on a device, as the shards hold them; tables padded.

    For a GPU they are gathered in pinned memory, which torch keeps and uses again once it is copied.
    """
    rows = split.rows(indices) if device.type == "cpu" else split.rows(indices, _pinned)
    arrays = {name: filled(value) if isinstance(value, list) else value for name, value in rows.items()}
    return {name: torch.from_numpy(value).to(device, non_blocking=True) for name, value in arrays.items()}


def _pinned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    return torch.empty(shape, dtype=kind, pin_memory=True).numpy()


def as_targets(split: Split, name: str, value: torch.Tensor) -> Any:
    """What a batch holds of a target from its tensor."""
    return Padded(value) if KINDS[split.spec.targets[name].kind].rows else value


def collate(split: Split, indices: np.ndarray, device: torch.device = CPU) -> Batch:
    """The samples at `indices` as a batch on a device, not augmented."""
    rows = gathered(split, indices, device)
    kinds = {name: KINDS[target.kind] for name, target in split.spec.targets.items()}
    ids = [split.ids[i] for i in indices]
    return Batch(
        ids=ids,
        images=as_images(rows["image"], split.manifest.statistics),
        targets={name: as_targets(split, name, kind.collate(rows[name])) for name, kind in kinds.items()},
        present={name: rows[f"{name}.present"] for name in kinds},
        draws=on_device(np.array([_draw(i) for i in ids], np.float64), device),
    )


def _draw(identifier: str) -> float:
    """A number from 0 to 1 that a sample always has, whatever it is scored beside."""
    return int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:6], "big") / 2**48


def sequential(
    split: Split, batch_size: int, rank: int = 0, world_size: int = 1, device: torch.device = CPU
) -> Iterator[Batch]:
    """All samples in order, or a rank's contiguous share of them; loaded ahead."""
    bounds = np.linspace(0, len(split), world_size + 1).astype(int)
    starts = range(bounds[rank], bounds[rank + 1], batch_size)
    wanted = (np.arange(start, min(start + batch_size, bounds[rank + 1])) for start in starts)
    return ahead(partial(collate, split, device=device), wanted, device)
