"""In which precision numbers are computed."""

from __future__ import annotations

import torch


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """At least float32: outputs and losses are never in half precision, and doubles stay what they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
