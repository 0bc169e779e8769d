"""What every pixel has: `mask`, a class; `depth`, a number; `normals`, a direction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtl.config.masks import IGNORE
from mtl.data.kinds.base import Arrays, ArrowType, Kind, Layers, Motion

if TYPE_CHECKING:
    from torch import Tensor

    from mtl.data.prepare.picture import Picture
    from mtl.data.spec import TargetSpec


class _Encoded(Kind[bytes, np.ndarray, "Tensor"]):
    """A raw value is a PNG, which lies on the image."""

    encoded = True

    def column(self) -> ArrowType:
        import pyarrow as pa

        return pa.binary()

    def join(self, value: Tensor, present: Tensor, layers: Layers, spec: TargetSpec) -> tuple[Tensor, Tensor]:
        """What is not there is not known in its pixels; the others teach."""
        return layers.pasted(value), layers.any(present) & ~layers.blended


class Mask(_Encoded):
    """A class per pixel."""

    name = "mask"
    task = "segmentation"
    first_class = 1

    def enter(self, name: str, value: bytes, spec: TargetSpec, picture: Picture) -> bool:
        from mtl.codecs.maps import decode_mask

        picture.masks[name] = decode_mask(value, len(spec.classes), spec.values, spec.ignored)
        return True

    def leave(self, name: str, value: bytes, spec: TargetSpec, picture: Picture) -> np.ndarray:
        return picture.masks[name]

    def pack(
        self, name: str, values: Sequence[np.ndarray | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        absent = np.full(size, IGNORE, np.uint8)
        return {name: np.stack([absent if v is None else v for v in values])}

    def collate(self, value: Tensor) -> Tensor:
        return value.long()

    def move(self, value: Tensor, motion: Motion, spec: TargetSpec) -> Tensor:
        return motion.classes(value)

    def count(self, arrays: Arrays, name: str, spec: TargetSpec) -> Counter[int]:
        there = arrays[name][arrays[f"{name}.present"]]
        return Counter(c for mask in there for c in np.unique(mask).tolist() if c != IGNORE)

    def words(self, value: np.ndarray, spec: TargetSpec) -> str:
        return ", ".join(spec.classes[c] for c in np.unique(value) if 0 < c < IGNORE)


class Depth(_Encoded):
    """A number per pixel."""

    name = "depth"
    task = "depth"

    def enter(self, name: str, value: bytes, spec: TargetSpec, picture: Picture) -> bool:
        from mtl.codecs.maps import decode_depth

        picture.maps[name] = decode_depth(value, spec.scale)
        return True

    def leave(self, name: str, value: bytes, spec: TargetSpec, picture: Picture) -> np.ndarray:
        return picture.maps[name]

    def pack(
        self, name: str, values: Sequence[np.ndarray | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        absent = np.full(size, np.nan, np.float32)
        return {name: np.stack([absent if v is None else v for v in values])}

    def move(self, value: Tensor, motion: Motion, spec: TargetSpec) -> Tensor:
        return motion.measures(value[:, None])[:, 0]

    def words(self, value: np.ndarray, spec: TargetSpec) -> str:
        known = value[~np.isnan(value)]
        return f"{known.min():g} to {known.max():g}" if known.size else "unknown"


class Normals(Depth):
    """A direction per pixel: x to the right and y down as in the image."""

    name = "normals"
    task = "normals"

    def enter(self, name: str, value: bytes, spec: TargetSpec, picture: Picture) -> bool:
        from mtl.codecs.maps import decode_normals

        picture.maps[name] = decode_normals(value)
        return True

    def pack(
        self, name: str, values: Sequence[np.ndarray | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        absent = np.full((*size, 3), np.nan, np.float32)
        return {name: np.stack([absent if v is None else v for v in values])}

    def collate(self, value: Tensor) -> Tensor:
        return value.permute(0, 3, 1, 2).contiguous()

    def move(self, value: Tensor, motion: Motion, spec: TargetSpec) -> Tensor:
        return motion.directions(value.permute(0, 3, 1, 2))
