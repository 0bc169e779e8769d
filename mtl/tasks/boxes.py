"""Boxes on their way from a network to a list of detections."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Candidates:
    """What a method proposes for one image: boxes [k, 4] in pixels, scores [k, classes] from 0 to 1."""

    boxes: torch.Tensor
    scores: torch.Tensor


def encode(boxes: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Boxes [..., 4] seen from their anchors [..., 4]: the inverse of `mtl.model.rcnn.move`."""
    centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    origin, unit = (anchors[..., :2] + anchors[..., 2:]) / 2, anchors[..., 2:] - anchors[..., :2]
    return torch.cat([(centre - origin) / unit, torch.log(side.clamp(min=1e-3) / unit)], -1)
