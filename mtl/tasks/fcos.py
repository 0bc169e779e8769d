"""FCOS (Tian et al. 2019, arXiv 1904.01355) on one level: each cell near a box's centre predicts the box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Num
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from mtl.config.tasks import Detection as DetectionConfig
from mtl.data.loading.padded import Padded, Tables, together
from mtl.model.heads import DetectionHead
from mtl.precision import at_least_float32
from mtl.tasks.boxes import Candidates, giou_loss


@dataclass
class FCOS:
    """Focal loss on classes, GIoU on boxes, centredness; no anchors, no sampling."""

    on_host: ClassVar[str] = ""
    config: DetectionConfig
    num_classes: int
    height: int
    width: int
    _last: tuple[Tables, Tensor, Cells] | None = None

    def build_head(self, channels: int) -> nn.Module:
        """Features → [n, classes + 5, h, w]."""
        return DetectionHead(channels, self.config.hidden, self.num_classes, self.config.num_convs)

    def target_counts(self, tables: Tables, present: Bool[Tensor, " n"]) -> list[Num[Tensor, ""]]:
        """Positive cells, of which all three parts are means."""
        return [self._assigned(tables, present).positive.sum()] * 3

    def num_present(self, tables: Tables, present: Bool[Tensor, " n"]) -> Num[Tensor, ""]:
        """Images with a cell that learns something."""
        return self._assigned(tables, present).learns.any(1).sum()

    def loss_terms(
        self, output: Float[Tensor, "n channels h w"], tables: Tables, present: Bool[Tensor, " n"]
    ) -> list[Float[Tensor, ""]]:
        """Classes, boxes, centredness."""
        cells = self._assigned(tables, present)
        positive = cells.positive
        flat = at_least_float32(output).flatten(2).transpose(1, 2)  # [n, cells, classes + 5]
        every = torch.arange(self.num_classes, device=flat.device)
        truth = (cells.label[..., None] == every) & positive[..., None]
        alpha, gamma, classes = self.config.focal_alpha, self.config.focal_gamma, flat[..., : self.num_classes]
        focal = sigmoid_focal_loss(classes, truth.to(flat), alpha, gamma, reduction="none")
        # Of all cells: to choose some of them the host would wait for how many there are.
        wanted = torch.where(positive[..., None], cells.sides.to(flat) / self.config.stride, 1.0)
        inner = flat[..., self.num_classes : self.num_classes + 4]
        giou = giou_loss(_as_boxes(inner), _as_boxes(wanted))
        # A cell outside of its box is the only one that the box has: none is nearer to its centre.
        centred = torch.where(wanted.amin(-1) > 0, centredness(wanted), 1.0)
        centre = F.binary_cross_entropy_with_logits(flat[..., -1], centred, reduction="none")
        terms = zip((cells.learns, positive, positive), (focal.sum(2), giou, centre), strict=True)
        return [torch.where(there, term, 0.0).sum() for there, term in terms]

    def candidates(self, output: Float[Tensor, "n channels h w"]) -> list[Candidates]:
        """Every cell's box for every class."""
        stride = self.config.stride
        scores = output[:, : self.num_classes].sigmoid() * output[:, -1:].sigmoid()
        scores = scores.sqrt().flatten(2).transpose(1, 2)  # [n, cells, classes]
        centres = cell_centres(output.shape[2], output.shape[3], stride, output.device)
        sides = output[:, self.num_classes : self.num_classes + 4].flatten(2).transpose(1, 2) * stride
        boxes = torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], -1)
        return [Candidates(b, s) for b, s in zip(boxes, scores, strict=True)]

    def _assigned(self, tables: Tables, present: Bool[Tensor, " n"]) -> Cells:
        """Asked for several times per step, with the same lists: computed once. A graph has no memory, and sees by itself what
        it computes twice.
        """
        if torch.compiler.is_compiling():
            return self._cells(tables, present)
        if self._last is None or self._last[0] is not tables or self._last[1] is not present:
            self._last = (tables, present, self._cells(tables, present))
        return self._last[2]

    def _cells(self, tables: Tables, present: Bool[Tensor, " n"]) -> Cells:
        stride, device = self.config.stride, present.device
        height, width = -(-self.height // stride), -(-self.width // stride)
        positive, label, sides = assign(tables, height, width, stride, self.config.radius, device, every_box=True)
        learns = positive | ~not_counting(tables, cell_centres(height, width, stride, device))
        there = present[:, None]
        return Cells(positive & there, learns & there, label, sides)


@dataclass(frozen=True)
class Cells:
    """What each cell of n images learns.

    positive: a box; learns: a box, or that there is none; sides: distances to the box's sides in pixels.
    """

    positive: Bool[Tensor, "n cells"]
    learns: Bool[Tensor, "n cells"]
    label: Int64[Tensor, "n cells"]
    sides: Float[Tensor, "n cells 4"]


def cell_centres(height: int, width: int, stride: int, device: torch.device) -> Float[Tensor, "cells 2"]:
    """Pixels x, y of the centres of all cells, row by row."""
    ys, xs = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return (torch.stack([xs, ys], -1).reshape(-1, 2) + 0.5) * stride


def assign(
    tables: Tables,
    height: int,
    width: int,
    stride: int,
    radius: float,
    device: torch.device,
    *,
    every_box: bool = False,
) -> tuple[Bool[Tensor, "n cells"], Int64[Tensor, "n cells"], Float[Tensor, "n cells 4"]]:
    """Which cell learns which box: the smallest box whose centre is within `radius` cells and that contains the cell.

    Boxes that do not count (mtl/data/kinds/box_table.py) are learnt by none.

    Args:
        every_box: a box that contains no such cell, for it is smaller than a cell, takes the nearest one, which lies outside
            of it. FCOS itself leaves it out: background to the loss, and a miss to every metric.

    Returns: positive, label, sides in pixels.
    """
    centres = cell_centres(height, width, stride, device)
    padded = together(tables, 6, device)
    boxes = padded[:, None, :, :4]
    low, high = centres[None, :, None] - boxes[..., :2], boxes[..., 2:] - centres[None, :, None]
    sides = torch.cat([low, high], -1)  # [n, cells, boxes, 4]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    near = (centres[None, :, None] - middle).abs().amax(-1) <= radius * stride
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1).expand_as(near)
    candidate = near & (sides.amin(-1) > 0) & (padded[:, None, :, 5] == 0)
    if every_box:
        candidate = _with_nearest(candidate, centres, padded, padded[..., 5] == 0)
    area = torch.where(candidate, area, torch.inf)
    best = area.argmin(-1)
    positive = candidate.any(-1)
    label = padded[..., 4].long().gather(1, best)
    chosen = sides.gather(2, best[..., None, None].expand(-1, -1, 1, 4)).squeeze(2)
    return positive, label, chosen


def not_counting(tables: Tables, centres: Float[Tensor, "cells 2"]) -> Bool[Tensor, "n cells"]:
    """Which cells' centres lie in a box that does not count, or are the nearest to one in which none lies."""
    widths = [tables.rows.shape[2]] if isinstance(tables, Padded) else [table.shape[1] for table in tables]
    if max(widths, default=5) == 5:
        return torch.zeros(len(tables), len(centres), dtype=torch.bool, device=centres.device)
    padded = together(tables, 6, centres.device)
    boxes, points = padded[:, None], centres[None, :, None]
    inside = ((points >= boxes[..., :2]) & (points < boxes[..., 2:4])).all(-1) & (boxes[..., 5] > 0)
    return _with_nearest(inside, centres, padded, padded[..., 5] > 0).any(-1)


def _with_nearest(chosen: Tensor, centres: Tensor, padded: Tensor, wanted: Tensor) -> Tensor:
    """The cells of each box, bool [n, cells, boxes], and of `wanted` boxes (bool [n, boxes]) without any the nearest."""
    lacking = ~chosen.any(1) & wanted & (padded[..., 2] > padded[..., 0])
    middle = (padded[:, None, :, :2] + padded[:, None, :, 2:4]) / 2
    nearest = (centres[None, :, None] - middle).square().sum(-1).argmin(1)
    return chosen | torch.zeros_like(chosen).scatter(1, nearest[:, None], lacking[:, None])


def centredness(sides: Float[Tensor, "*front 4"]) -> Float[Tensor, "*front"]:
    """1 at a box's centre, 0 at its sides."""
    left, top, right, bottom = sides.unbind(-1)
    horizontal = torch.minimum(left, right) / torch.maximum(left, right)
    vertical = torch.minimum(top, bottom) / torch.maximum(top, bottom)
    return (horizontal * vertical).clamp(min=0).sqrt()


def _as_boxes(sides: Tensor) -> Tensor:
    """Distances to the sides, seen from their cell, as boxes [..., 4]."""
    return torch.cat([-sides[..., :2], sides[..., 2:]], -1)
