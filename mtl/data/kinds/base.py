"""What a kind of target is, from a raw data set's value to what a batch holds of it.

A raw value becomes, with its image, what a shard keeps (`enter`, the operations, `leave`), then an array of a shard (`pack`,
`unpack`), then a part of a batch (`collate`, `move`). Tensors are asked for their methods alone, so that whoever reads a
raw data set does not import PyTorch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from mtl.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from mtl.data.prepare.picture import Picture
    from mtl.data.spec import TargetSpec

Raw = TypeVar("Raw")
"""A raw value, as the column of a raw data set has it."""
Kept = TypeVar("Kept")
"""What a shard keeps of it."""
Part = TypeVar("Part")
"""A batch's part: a tensor."""
Arrays = Mapping[str, np.ndarray]
"""The arrays of a shard, or of some rows of it, by name."""
ArrowType = object
"""A `pyarrow.DataType`: pyarrow itself has no types."""


class Motion(Protocol):
    """The affine maps by which the images of a batch are changed (`mtl.data.loading.augment`); targets move by the same."""

    def classes(self, masks: Tensor) -> Tensor:
        """uint8 [n, height, width] → int64: the nearest class; reflected at the border like the pixels."""
        ...

    def measures(self, values: Tensor) -> Tensor:
        """float32 [n, c, height, width], NaN unknown: linear between what is known, where that is half at least."""
        ...

    def directions(self, vectors: Tensor) -> Tensor:
        """float32 [n, 3, height, width] of unit vectors in the image's axes, which turn with it."""
        ...

    def points(self, points: Tensor) -> Tensor:
        """float32 [n, k, 2], pixels x, y → where they are afterwards."""
        ...

    def hulls(self, boxes: Tensor) -> Tensor:
        """float32 [n, k, 4], x1, y1, x2, y2 → the upright hulls of the moved boxes, which may reach out of the image."""
        ...

    def exchanged(self, points: Tensor, twins: list[int]) -> Tensor:
        """[n, k, points, ...] → each point in the place of its twin in images whose left and right change places."""
        ...

    def window(self) -> tuple[Tensor, Tensor]:
        """Where in the changed images something of them is seen: x, y of its first and of its last corner, each [2] or [n, 1, 2]."""
        ...

    def scale(self) -> Tensor:
        """float32 [n]: pixels of the changed image per pixel of what it was, along a side: the root of the ratio of areas."""
        ...


class Layers(Protocol):
    """How images are made of several (`mtl.data.loading.layers`): of m views, of which the first n are the images' own."""

    alone: Tensor
    """bool [n]: which are of one view."""
    blended: Tensor
    """bool [n]: of which one view is seen through another (mixup)."""
    tiled: Tensor
    """bool [n]: which are four views side by side (mosaic)."""

    def own(self, values: Tensor) -> Tensor:
        """[m, ...] → [n, ...]: the first view's."""
        ...

    def mixed(self, values: Tensor) -> Tensor:
        """float32 [m, classes] → [n, classes]: by the views' shares of the image."""
        ...

    def pasted(self, values: Tensor) -> Tensor:
        """[m, ..., height, width] → [n, ..., height, width]: of each pixel what the view has that is seen there."""
        ...

    def together(self, rows: Tensor, hide: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """[m, most, columns] → [n, more, columns]: the rows of all views of an image. hide: (rows, window float32 [n, 1, 4]) → the
        rows of what is still seen when another view covers the window.
        """
        ...

    def all(self, present: Tensor) -> Tensor:
        """bool [m] → [n]: whether all views of an image have it."""
        ...

    def any(self, present: Tensor) -> Tensor:
        """bool [m] → [n]: whether one has it."""
        ...


class Kind(ABC, Generic[Raw, Kept, Part]):
    """One kind of target. It has no state: a target's own facts are in its `TargetSpec`."""

    name: ClassVar[str]
    task: ClassVar[str]
    """The type of task that is proposed for it."""
    encoded: ClassVar[bool] = False
    """Whether a raw value is an encoded image, which may lie in a file of its own."""
    rows: ClassVar[bool] = False
    """Whether an image has any number of rows of it, which begin with a box: a batch's tensor has a place for each of the
    most that an image has, [n, most, columns], and rows of zeros fill it up (`mtl.data.loading.padded`).
    """
    balanced: ClassVar[bool] = False
    """Whether `classes_of` tells a raw value's classes, by which a split can be balanced."""
    exclusive: ClassVar[bool] = False
    """Whether an image has one class of it at most: of two that look alike and have two, one is labelled wrongly."""
    first_class: ClassVar[int] = 0
    """The first class of which a page shows samples: the one before it is the background."""

    @abstractmethod
    def column(self) -> ArrowType:
        """The pyarrow type of a raw value."""

    def check_spec(self, spec: TargetSpec) -> None:  # most kinds ask nothing
        """Refuse a spec that says too little.

        Raises:
            ValueError: what is wrong.
        """

    def faults(self, spec: TargetSpec, values: Sequence[Raw]) -> str:
        """Why raw values (of all images that have the target) cannot be learnt; empty if they can."""
        return ""

    def classes_of(self, value: Raw) -> list[int]:
        """The classes of a raw value, one by one, by which a split is balanced."""
        raise NotImplementedError

    def enter(self, name: str, value: Raw, spec: TargetSpec, picture: Picture) -> bool:
        """Put what moves with the image into the picture; whether it lies somewhere in it.

        Raises:
            DataError: the value is none of this kind.
        """
        return False

    @abstractmethod
    def leave(self, name: str, value: Raw, spec: TargetSpec, picture: Picture) -> Kept:
        """What a shard keeps of a raw value, after the operations.

        Raises:
            DataError: the value cannot be used.
        """

    @abstractmethod
    def pack(
        self, name: str, values: Sequence[Kept | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        """The arrays of a shard from what `leave` gave of each sample, None where a sample has none; size: height, width."""

    def unpack(self, arrays: Arrays, name: str, index: int) -> Kept:
        """What `leave` gave of one sample."""
        return arrays[name][index]

    def collate(self, value: Part) -> Part:
        """A batch's part from the tensor of its samples' arrays, on the same device."""
        return value

    def move(self, value: Part, motion: Motion, spec: TargetSpec) -> Part:
        """The same, of images that are changed."""
        return self.collate(value)

    def join(self, value: Part, present: Tensor, layers: Layers, spec: TargetSpec) -> tuple[Part, Tensor]:
        """Of images that are made of several: from what `move` gave of each view, and whether it is there. Most kinds know
        nothing of such an image.
        """
        return layers.own(value), layers.own(present) & layers.alone  # type: ignore[return-value, arg-type]

    def count(self, arrays: Arrays, name: str, spec: TargetSpec) -> Counter[int]:
        """Class → how many of a shard's samples have it; of a kind with `rows`, how many rows."""
        return Counter()

    def has(self, value: Kept, label: int) -> bool:
        """Whether what `unpack` gives has a class."""
        return bool(np.any(value == label))

    @abstractmethod
    def words(self, value: Kept, spec: TargetSpec) -> str:
        """What `unpack` gives, in a few words."""


class OfObjects(ABC):
    """A kind whose targets are made of COCO's objects, beside their boxes and masks."""

    setting: ClassVar[str]
    """The setting of a COCO set that names the target."""

    @abstractmethod
    def of_categories(self, categories: Sequence[Mapping[str, object]]) -> TargetSpec:
        """The target from the categories that are among the set's classes, in the order of these.

        Raises:
            DataError: they do not have what it takes.
        """

    @abstractmethod
    def points(self, annotation: Mapping[str, object], spec: TargetSpec) -> list[list[float]]:
        """What of an object moves with the image: x, y of each point in the annotation's frame; the same number of all.

        Raises:
            DataError: they are none.
        """

    @abstractmethod
    def row(
        self, annotation: Mapping[str, object], spec: TargetSpec, placed: PlacedObject, points: np.ndarray
    ) -> list[float] | None:
        """The object's row of a raw value, from its points in the picture's own pixels; None for none.

        Raises:
            DataError: the annotation is none.
        """


@dataclass(frozen=True)
class PlacedObject:
    """An object in the picture's own pixels: its box x1, y1, x2, y2; its class's name; 0, or why it does not count
    (`mtl.data.kinds.box_table`); the picture's area per area of the annotation's frame; and its width and height.
    """

    box: tuple[float, float, float, float]
    category: str
    kind: float
    area: float
    size: tuple[int, int]


def no_class(name: str, found: object, num_classes: int, what: str = "is no class") -> DataError:
    """A label that the target does not know."""
    return DataError(f"{name} {what}", found=str(found), fix=f"0 to {num_classes - 1}")
