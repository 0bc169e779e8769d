"""The two-stage detection head: proposals from anchors, then each proposal judged on its own features."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.ops import batched_nms, roi_align

from mtl.model.blocks import conv_block
from mtl.precision import at_least_float32

POOL = 4
"""Cells per side into which a proposal's features are pooled."""


class FasterRCNNHead(nn.Module):
    """Faster R-CNN (Ren et al. 2015) on one level: [n, c, h, w] → one row per image.

    A row holds, one after the other: objectness of every anchor, its four deltas, the proposals' boxes in pixels, their
    class logits (the last is background), their own deltas. `unpack` takes it apart.
    """

    def __init__(
        self, channels: int, hidden: int, num_classes: int, stride: int, anchors: tuple[float, ...], proposals: int
    ) -> None:
        super().__init__()
        self.stride, self.num_proposals, self.num_classes = stride, proposals, num_classes
        self.register_buffer("sides", torch.tensor(anchors), persistent=False)
        self.sides: torch.Tensor
        self.first = conv_block(channels, hidden)
        self.objectness = nn.Conv2d(hidden, len(anchors), 1)
        self.deltas = nn.Conv2d(hidden, 4 * len(anchors), 1)
        nn.init.constant_(self.objectness.bias, -4.0)  # pyright: ignore[reportArgumentType]  # 2 % of anchors hold one
        nn.init.normal_(self.deltas.weight, std=0.01)
        self.second = nn.Sequential(nn.Linear(channels * POOL**2, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.refine = nn.Linear(hidden, 4)
        nn.init.normal_(self.refine.weight, std=0.01)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        number, _, height, width = features.shape
        hidden = self.first(features)
        objectness = at_least_float32(self.objectness(hidden)).permute(0, 2, 3, 1).reshape(number, -1)
        deltas = at_least_float32(self.deltas(hidden)).permute(0, 2, 3, 1).reshape(number, -1, 4)
        anchors = anchor_boxes(height, width, self.stride, self.sides.to(deltas))
        proposals = self._propose(objectness.detach(), deltas.detach(), anchors, height, width)
        pooled = roi_align(at_least_float32(features), list(proposals), POOL, 1.0 / self.stride, aligned=True)
        second = torch.nn.functional.silu(self.second(pooled.flatten(1)))
        logits = at_least_float32(self.classes(second)).view(number, -1)
        refined = at_least_float32(self.refine(second)).view(number, -1)
        return torch.cat([objectness, deltas.flatten(1), proposals.flatten(1), logits, refined], 1)

    @torch.no_grad()
    def _propose(
        self, objectness: torch.Tensor, deltas: torch.Tensor, anchors: torch.Tensor, height: int, width: int
    ) -> torch.Tensor:
        """The best boxes of each image after NMS, [n, proposals, 4]; what is missing is the whole image."""
        size = torch.tensor([width, height, width, height], device=deltas.device) * self.stride
        boxes = torch.minimum(move(deltas, anchors).clamp(min=0), size.to(deltas))
        whole = torch.cat([torch.zeros(2, device=size.device), size[2:]]).to(deltas)
        found = whole.repeat(len(boxes), self.num_proposals, 1)
        for image, (scores, candidates) in enumerate(zip(objectness, boxes, strict=True)):
            top = scores.topk(min(4 * self.num_proposals, len(scores))).indices
            top = top[((candidates[top, 2:] - candidates[top, :2]).amin(1) >= 1.0)]
            kept = top[batched_nms(candidates[top], scores[top], torch.zeros_like(top), 0.7)][: self.num_proposals]
            found[image, : len(kept)] = candidates[kept]
        return found


def anchor_boxes(height: int, width: int, stride: int, sides: torch.Tensor) -> torch.Tensor:
    """Squares of each side around every cell's centre, [height · width · sides, 4] in pixels."""
    ys, xs = torch.meshgrid(
        torch.arange(height, device=sides.device), torch.arange(width, device=sides.device), indexing="ij"
    )
    centres = (torch.stack([xs, ys, xs, ys], -1).reshape(-1, 1, 4) + 0.5) * stride
    half = sides.view(-1, 1) / 2 * torch.tensor([-1.0, -1.0, 1.0, 1.0], device=sides.device)
    return (centres.to(sides) + half.to(sides)).reshape(-1, 4)


def move(deltas: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Anchors [..., 4] moved by deltas [..., 4] (Girshick 2014): shifts in sides, logarithms of ratios."""
    origin, unit = (anchors[..., :2] + anchors[..., 2:]) / 2, anchors[..., 2:] - anchors[..., :2]
    centre = origin + deltas[..., :2] * unit
    half = unit * torch.exp(deltas[..., 2:].clamp(max=4.0)) / 2  # at most 55 times the anchor
    return torch.cat([centre - half, centre + half], -1)


def unpack(
    rows: torch.Tensor, num_anchors: int, num_proposals: int, num_classes: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """objectness [n, anchors], deltas [n, anchors, 4], proposals [n, k, 4], logits [n, k, classes + 1], [n, k, 4]."""
    sizes = [num_anchors, 4 * num_anchors, 4 * num_proposals, (num_classes + 1) * num_proposals, 4 * num_proposals]
    objectness, deltas, proposals, logits, refined = rows.split(sizes, 1)
    number = len(rows)
    return (
        objectness,
        deltas.view(number, -1, 4),
        proposals.view(number, -1, 4),
        logits.reshape(number, -1, num_classes + 1),
        refined.reshape(number, -1, 4),
    )
