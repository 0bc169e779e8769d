"""Boxes on their way from a network to a list of detections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LEAST = 1e-7
"""Of an area that something is divided by."""


@dataclass(frozen=True)
class Candidates:
    """What a method proposes for one image: boxes in pixels, scores from 0 to 1."""

    boxes: Float[Tensor, "k 4"]
    scores: Float[Tensor, "k classes"]


def giou_loss(boxes: Float[Tensor, "*front 4"], others: Float[Tensor, "*front 4"]) -> Float[Tensor, "*front"]:
    """1 - generalized IoU (Rezatofighi et al. 2019) of pairs, as torchvision's, which waits for the device to look where boxes
    meet.
    """
    (x1, y1, x2, y2), (u1, v1, u2, v2) = boxes.unbind(-1), others.unbind(-1)
    width, height = torch.minimum(x2, u2) - torch.maximum(x1, u1), torch.minimum(y2, v2) - torch.maximum(y1, v1)
    shared = torch.where((width > 0) & (height > 0), width * height, 0.0)
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared
    hull = (torch.maximum(x2, u2) - torch.minimum(x1, u1)) * (torch.maximum(y2, v2) - torch.minimum(y1, v1))
    return 1.0 - (shared / (union + LEAST) - (hull - union) / (hull + LEAST))


def encode(boxes: Float[Tensor, "*front 4"], anchors: Float[Tensor, "*front 4"]) -> Float[Tensor, "*front 4"]:
    """Boxes seen from their anchors: the inverse of `mtl.model.rcnn.move`."""
    centre, side = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    origin, unit = (anchors[..., :2] + anchors[..., 2:]) / 2, anchors[..., 2:] - anchors[..., :2]
    return torch.cat([(centre - origin) / unit, torch.log(side.clamp(min=1e-3) / unit)], -1)
