"""The tables of rows of a batch's images, as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Padded(Sequence[Tensor]):
    """Tables whose first four columns are a box, of n images; rows of zeros fill them up: no box is without width.

    As a sequence it has each image's own rows, for which the host waits.

    rows: float32 [n, most, columns]
    """

    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        found = self.rows[index]
        return found[found[:, 2] > found[:, 0]]

    def to(self, device: torch.device) -> Padded:
        """The same on a device."""
        return Padded(self.rows.to(device, non_blocking=True))


Tables = Padded | Sequence[Tensor]
"""The tables of a batch: together, or one by one."""


def filled(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Tables of n images as float32 [n, most, columns]. There is room for a power of two of rows: few batches have shapes of
    their own.
    """
    most = max([len(table) for table in tables] + [1])
    rows = np.zeros((len(tables), 1 << (most - 1).bit_length(), max(t.shape[1] for t in tables)), np.float32)
    for slot, table in enumerate(tables):
        rows[slot, : len(table), : table.shape[1]] = table
    return rows


def together(tables: Tables, columns: int, device: torch.device) -> Tensor:
    """Tables as one tensor [n, most, columns]; columns that a table lacks are zeros."""
    if isinstance(tables, Padded):
        rows = tables.rows.to(device)
        return torch.nn.functional.pad(rows, (0, columns - rows.shape[2]))
    found = torch.zeros(len(tables), max([len(t) for t in tables] + [1]), columns, device=device)
    for slot, table in enumerate(tables):
        found[slot, : len(table), : table.shape[1]] = table
    return found
