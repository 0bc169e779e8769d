"""Heads: one level of shared features → a task's raw output."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from mtl.model.blocks import conv_block
from mtl.precision import at_least_float32


class VotingHead(nn.Module):
    """[n, c, h, w] → [n, out]: every place votes for every class, and a smooth maximum over places counts.

    Log-sum-exp pooling (Pinheiro & Collobert 2015): unlike a mean it finds one small object, and unlike learned
    attention it has a gradient towards the right place from the first step.
    """

    def __init__(self, channels: int, hidden: int, out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_block(channels, hidden), conv_block(hidden, hidden))
        self.votes = nn.Conv2d(hidden, out, 1)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        votes = at_least_float32(self.votes(self.body(features))).flatten(2)
        return votes.logsumexp(-1) - math.log(votes.shape[-1]) + self.bias


class MeanPoolHead(nn.Module):
    """[n, c, h, w] → [n]: one number from the mean over places (a count grows with it)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_block(channels, hidden), conv_block(hidden, hidden))
        self.out = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.out(at_least_float32(self.body(features)).mean((2, 3))).squeeze(-1)


class DenseHead(nn.Module):
    """[n, c, h, w] → [n, out, h·stride, w·stride]: each cell predicts all of its pixels (pixel shuffle)."""

    def __init__(self, channels: int, hidden: int, out: int, stride: int) -> None:
        super().__init__()
        # Above 4 pixels per cell, a shuffle of all of them would be the largest layer: resize the rest.
        self.shuffle = next(s for s in (4, 3, 2, 1) if stride % s == 0)
        self.rest = stride // self.shuffle
        self.body = conv_block(channels, hidden)
        self.out = nn.Conv2d(hidden, out * self.shuffle**2, 3, 1, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        dense = at_least_float32(F.pixel_shuffle(self.out(self.body(features)), self.shuffle))
        if self.rest > 1:
            dense = F.interpolate(dense, scale_factor=float(self.rest), mode="bilinear", align_corners=False)
        return dense


class DetectionHead(nn.Module):
    """FCOS (Tian et al. 2019): [n, c, h, w] → class logits, distances to the four sides in cells, centredness.

    The output is one tensor [n, num_classes + 5, h, w]: classes, left, top, right, bottom, centredness.
    """

    def __init__(self, channels: int, hidden: int, num_classes: int, num_convs: int) -> None:
        super().__init__()
        self.classes = self._branch(channels, hidden, num_convs)
        self.boxes = self._branch(channels, hidden, num_convs)
        self.class_out = nn.Conv2d(hidden, num_classes, 3, 1, 1)
        self.box_out = nn.Conv2d(hidden, 5, 3, 1, 1)
        # Focal loss starts from a prior of 1 % positives (Lin et al. 2017).
        nn.init.normal_(self.class_out.weight, std=0.01)
        assert self.class_out.bias is not None
        nn.init.constant_(self.class_out.bias, -math.log(99.0))

    @staticmethod
    def _branch(channels: int, hidden: int, num_convs: int) -> nn.Sequential:
        return nn.Sequential(*(conv_block(channels if i == 0 else hidden, hidden) for i in range(num_convs)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        classes = at_least_float32(self.class_out(self.classes(features)))
        boxes = at_least_float32(self.box_out(self.boxes(features)))
        return torch.cat([classes, F.softplus(boxes[:, :4] + 1.0), boxes[:, 4:]], 1)


class KeypointHead(nn.Module):
    """CenterNet (Zhou et al. 2019): [n, c, h, w] → [n, classes + 4 + 3 · points + 2, h · upsample, w · upsample].

    Logits of the centres by class; width and height, and where in its cell the centre is; offsets from the centre to each
    point, x before y; logits of each point; and where in its cell a point is. All but logits are in cells.
    """

    def __init__(self, channels: int, hidden: int, num_classes: int, num_points: int, upsample: int) -> None:
        super().__init__()
        self.upsample = upsample
        self.body = nn.Sequential(conv_block(channels, hidden), conv_block(hidden, hidden))
        self.sizes = (num_classes, 4 + 2 * num_points, num_points, 2)
        self.branches = nn.ModuleList(self._branch(hidden, out) for out in self.sizes)
        for number in (0, 2):  # a prior of 1 % positives (Lin et al. 2017)
            last: nn.Module = self.branches[number][-1]  # pyright: ignore[reportIndexIssue]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.normal_(last.weight, std=0.01)
            nn.init.constant_(last.bias, -math.log(99.0))

    @staticmethod
    def _branch(hidden: int, out: int) -> nn.Sequential:
        return nn.Sequential(conv_block(hidden, hidden), nn.Conv2d(hidden, out, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found = self.body(features)
        if self.upsample > 1:
            found = F.interpolate(found, scale_factor=float(self.upsample), mode="bilinear", align_corners=False)
        return torch.cat([at_least_float32(branch(found)) for branch in self.branches], 1)
