"""Boxes on their way from a network to a list of detections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Tables = list[Float[Tensor, "_ _"]]
"""The boxes of each image, [boxes, 5 or 6] (mtl/data/kinds/box_table.py)."""


@dataclass(frozen=True)
class Candidates:
    """What a method proposes for one image: boxes in pixels, scores from 0 to 1."""

    boxes: Float[Tensor, "k 4"]
    scores: Float[Tensor, "k classes"]


def encode(boxes: Float[Tensor, "*front 4"], anchors: Float[Tensor, "*front 4"]) -> Float[Tensor, "*front 4"]:
    """Boxes seen from their anchors: the inverse of `mtl.model.rcnn.move`."""
    centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    origin, unit = (anchors[..., :2] + anchors[..., 2:]) / 2, anchors[..., 2:] - anchors[..., :2]
    return torch.cat([(centre - origin) / unit, torch.log(side.clamp(min=1e-3) / unit)], -1)
