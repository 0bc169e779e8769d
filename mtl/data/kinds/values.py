"""`value`: one number per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtl.data.kinds.base import Arrays, ArrowType, Kind
from mtl.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor  # noqa: F401  # ruff does not read it in a base's brackets

    from mtl.data.prepare.picture import Picture
    from mtl.data.spec import TargetSpec

LARGEST = float(np.finfo(np.float32).max)
"""Of a value: shards keep 32 bits."""


class Value(Kind[float, float, "Tensor"]):
    """A number."""

    name = "value"
    task = "regression"

    def column(self) -> ArrowType:
        import pyarrow as pa

        return pa.float64()

    def leave(self, name: str, value: float, spec: TargetSpec, picture: Picture) -> float:
        if not abs(value) <= LARGEST:  # nor what is no number
            raise DataError(
                f"{name} is no number of 32 bits", found=str(value), fix="leave it out where it is not known"
            )
        return value

    def pack(
        self, name: str, values: Sequence[float | None], spec: TargetSpec, size: tuple[int, int]
    ) -> dict[str, np.ndarray]:
        return {name: np.array([np.nan if v is None else v for v in values], np.float32)}

    def unpack(self, arrays: Arrays, name: str, index: int) -> float:
        return arrays[name][index].item()

    def words(self, value: float, spec: TargetSpec) -> str:
        return f"{value:g}"
