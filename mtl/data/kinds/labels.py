"""`label`: one class per image; `labels`: any number of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtl.data.kinds.base import Arrays, ArrowType, Kind, Layers, no_class

if TYPE_CHECKING:
    from torch import Tensor

    from mtl.data.prepare.picture import Picture
    from mtl.data.spec import TargetSpec

ABSENT_LABEL = -1


class Label(Kind[int, int, "Tensor"]):
    """A class."""

    name = "label"
    task = "classification"
    balanced = True
    exclusive = True

    def column(self) -> ArrowType:
        import pyarrow as pa

        return pa.int64()

    def faults(self, spec: TargetSpec, values: Sequence[int]) -> str:
        if len(spec.classes) >= 2:
            return ""
        return f"one class, {', '.join(spec.classes)}; there is nothing to tell apart, so no task"

    def classes_of(self, value: int) -> list[int]:
        return [value]

    def leave(self, name: str, value: int, spec: TargetSpec, picture: Picture) -> int:
        if not 0 <= value < len(spec.classes):
            raise no_class(name, value, len(spec.classes))
        return value

    def pack(
        self, name: str, values: Sequence[int | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        return {name: np.array([ABSENT_LABEL if v is None else v for v in values], np.int64)}

    def unpack(self, arrays: Arrays, name: str, index: int) -> int:
        return arrays[name][index].item()

    def join(self, value: Tensor, present: Tensor, layers: Layers, spec: TargetSpec) -> tuple[Tensor, Tensor]:
        """A share of each class: float32 [n, classes]."""
        classes = value.new_ones(len(spec.classes)).cumsum(0) - 1
        return layers.mixed((value[:, None] == classes).float()), layers.all(present) & ~layers.tiled

    def count(self, arrays: Arrays, name: str, spec: TargetSpec) -> Counter[int]:
        return Counter(arrays[name][arrays[f"{name}.present"]].tolist())

    def has(self, value: int, label: int) -> bool:
        return value == label

    def words(self, value: int, spec: TargetSpec) -> str:
        return spec.classes[value]


class Labels(Kind[list[int], np.ndarray, "Tensor"]):
    """Any number of classes."""

    name = "labels"
    task = "multilabel"
    balanced = True

    def column(self) -> ArrowType:
        import pyarrow as pa

        return pa.list_(pa.int64())

    def classes_of(self, value: list[int]) -> list[int]:
        return list(value)

    def leave(self, name: str, value: list[int], spec: TargetSpec, picture: Picture) -> np.ndarray:
        row = np.zeros(len(spec.classes), np.uint8)
        if value and not 0 <= min(value) <= max(value) < len(spec.classes):
            raise no_class(name, value, len(spec.classes), "has a label that is no class")
        row[value] = 1
        return row

    def pack(
        self, name: str, values: Sequence[np.ndarray | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        absent = np.zeros(len(spec.classes), np.uint8)
        return {name: np.stack([absent if v is None else v for v in values])}

    def join(self, value: Tensor, present: Tensor, layers: Layers, spec: TargetSpec) -> tuple[Tensor, Tensor]:
        return layers.mixed(value.float()), layers.all(present) & ~layers.tiled

    def count(self, arrays: Arrays, name: str, spec: TargetSpec) -> Counter[int]:
        present = arrays[f"{name}.present"]
        return Counter({c: int(n) for c, n in enumerate(arrays[name][present].sum(0, dtype=np.int64))})

    def has(self, value: np.ndarray, label: int) -> bool:
        return bool(value[label])

    def words(self, value: np.ndarray, spec: TargetSpec) -> str:
        return ", ".join(spec.classes[c] for c in np.flatnonzero(value).tolist())
