"""Products with a Jacobian [tasks, parameters]: a few rows, millions of columns. Taken block by block, which stays in
cache; general matrix products of such shapes took two to four times as long.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

BLOCK = 1 << 18
"""Columns that are worked on at a time."""

FEW = 4
"""Rows up to which dot products of pairs are faster than a matrix product."""


def gramian_of(jacobian: Float[Tensor, "tasks parameters"]) -> Float64[Tensor, "tasks tasks"]:
    """Products of all rows: float64 [tasks, tasks]."""
    size = len(jacobian)
    found = torch.zeros(size, size, dtype=torch.float64, device=jacobian.device)
    for block in jacobian.split(BLOCK, 1):
        if size > FEW:
            found += (block @ block.T).double()
            continue
        rows = block.unbind()
        products = torch.stack([torch.dot(rows[i], rows[j]) for i in range(size) for j in range(i + 1)])
        found[*torch.tril_indices(size, size, device=found.device)] += products.double()
    return found if size > FEW else found + found.tril(-1).T


def weigh_into_first(
    weights: Float64[Tensor, " tasks"], jacobian: Float[Tensor, "tasks parameters"]
) -> Float[Tensor, " parameters"]:
    """Σ weight · row, [parameters], in the place of the first row: new memory of that size is slow."""
    factors = weights.to(jacobian).unbind()
    for block in jacobian.split(BLOCK, 1):
        block[0].mul_(factors[0])
        for row, factor in zip(block[1:], factors[1:], strict=True):
            block[0].addcmul_(row, factor)
    return jacobian[0]
