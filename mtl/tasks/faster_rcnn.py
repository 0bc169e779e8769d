"""Faster R-CNN (Ren et al. 2015, arXiv 1506.01497) on one level.

Nothing is sampled: focal loss takes the place of the random balance of positives and negatives, so that any number of
workers computes the same. Proposals are the network's own; true boxes are not added to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Num
from torch import Tensor, nn
from torchvision.ops import box_iou, sigmoid_focal_loss

from mtl.config.tasks import Detection as DetectionConfig
from mtl.data.kinds.box_table import kinds, objects
from mtl.data.loading.padded import Tables
from mtl.model.rcnn import FasterRCNNHead, anchor_boxes, move, unpack
from mtl.objective.losses import masked
from mtl.precision import at_least_float32
from mtl.tasks.boxes import Candidates, encode

NEAR, FAR = 0.5, 0.3
"""An anchor or proposal with an IoU from NEAR on is positive, an anchor below FAR negative, between it is neither."""
NUM_PROPOSALS = 32


@dataclass
class FasterRCNN:
    """Objectness and boxes of anchors, classes and boxes of proposals."""

    on_host: ClassVar[str] = "suppression leaves as many proposals of an image as it leaves"
    config: DetectionConfig
    num_classes: int
    height: int
    width: int
    _last: tuple[Tables, Tensor, tuple[Tensor, Tensor]] | None = None

    def build_head(self, channels: int) -> nn.Module:
        """Features → one row per image."""
        config = self.config
        return FasterRCNNHead(
            channels, config.hidden, self.num_classes, config.stride, tuple(config.anchors), NUM_PROPOSALS
        )

    def target_counts(self, tables: Tables, present: Bool[Tensor, " n"]) -> list[Num[Tensor, ""]]:
        """Positive anchors twice, images times proposals, boxes."""
        states, _ = self._states(tables, present)
        positive = ((states == 1) & present[:, None]).sum()
        boxes = torch.stack([(kinds(t) == 0).sum().to(present.device) for t in tables])
        return [positive, positive, present.sum() * NUM_PROPOSALS, (boxes * present).sum()]

    def num_present(self, tables: Tables, present: Bool[Tensor, " n"]) -> Num[Tensor, ""]:
        """Images with an anchor that learns something."""
        states, _ = self._states(tables, present)
        return ((states >= 0).any(1) & present).sum()

    def loss_terms(
        self, output: Float[Tensor, "n values"], tables: Tables, present: Bool[Tensor, " n"]
    ) -> list[Float[Tensor, ""]]:
        """Objectness, the anchors' boxes, the proposals' classes, the proposals' boxes."""
        anchors = self._anchors(output.device).to(at_least_float32(output))
        parts = unpack(at_least_float32(output), len(anchors), NUM_PROPOSALS, self.num_classes)
        states = self._states(tables, present)
        images = [self._image(anchors, *rows) for rows in zip(*parts, tables, *states, strict=True)]
        return [masked(torch.stack(term), present) for term in zip(*images, strict=True)]

    def _image(
        self,
        anchors: Float[Tensor, "anchors 4"],
        objectness: Float[Tensor, " anchors"],
        deltas: Float[Tensor, "anchors 4"],
        proposals: Float[Tensor, "proposals 4"],
        logits: Float[Tensor, "proposals classes"],
        refined: Float[Tensor, "proposals 4"],
        table: Float[Tensor, "boxes columns"],
        state: Int64[Tensor, " anchors"],
        owner: Int64[Tensor, " anchors"],
    ) -> list[Float[Tensor, ""]]:
        """The four parts of one image, summed."""
        table = table.to(anchors)
        outside, table = ~_in_ignored(proposals, table), objects(table)
        chosen = state == 1
        focal = sigmoid_focal_loss(
            objectness, chosen.to(anchors), self.config.focal_alpha, self.config.focal_gamma, reduction="none"
        )
        first = F.smooth_l1_loss(
            deltas[chosen], encode(table[owner[chosen], :4], anchors[chosen]), reduction="sum", beta=0.1
        )
        near, truth = _nearest(proposals, table)
        good = near >= NEAR
        labels = torch.full_like(truth, self.num_classes)
        labels[good] = table[truth[good], 4].long()
        classes = (F.cross_entropy(logits, labels, reduction="none") * (good | outside)).sum()
        second = F.smooth_l1_loss(
            refined[good], encode(table[truth[good], :4], proposals[good]), reduction="sum", beta=0.1
        )
        nothing = 0.0 * (deltas.sum() + refined.sum())
        return [(focal * (state >= 0)).sum(), first + nothing, classes, second]

    def candidates(self, output: Float[Tensor, "n values"]) -> list[Candidates]:
        """The refined proposals."""
        anchors = self._anchors(output.device)
        _, _, proposals, logits, refined = unpack(output, len(anchors), NUM_PROPOSALS, self.num_classes)
        scores = logits.softmax(-1)[..., :-1]
        return [Candidates(b, s) for b, s in zip(move(refined, proposals), scores, strict=True)]

    def _states(
        self, tables: Tables, present: Bool[Tensor, " n"]
    ) -> tuple[Int64[Tensor, "n anchors"], Int64[Tensor, "n anchors"]]:
        """The state of every anchor and its box. Asked for several times per step: computed once."""
        if self._last is None or self._last[0] is not tables or self._last[1] is not present:
            anchors = self._anchors(present.device)
            rows = [self._anchor_state(anchors, table.to(anchors)) for table in tables]
            states, boxes = (torch.stack(part) for part in zip(*rows, strict=True))
            self._last = (tables, present, (states, boxes))
        return self._last[2]

    def _anchors(self, device: torch.device) -> Float[Tensor, "anchors 4"]:
        stride = self.config.stride
        sides = torch.tensor(self.config.anchors, device=device)
        return anchor_boxes(-(-self.height // stride), -(-self.width // stride), stride, sides)

    @staticmethod
    def _anchor_state(
        anchors: Float[Tensor, "anchors 4"], table: Float[Tensor, "boxes columns"]
    ) -> tuple[Int64[Tensor, " anchors"], Int64[Tensor, " anchors"]]:
        """Of each anchor: 1 positive, 0 negative, -1 neither; and which of the boxes that count it has. A box's best anchor
        is positive too.
        """
        ignored = _in_ignored(anchors, table)
        if len(others := table[kinds(table) > 0]):
            ignored[_best_anchors(others[:, :4].to(anchors), anchors)] = True
        table = objects(table)
        near, owner = _nearest(anchors, table)
        state = torch.where(near >= NEAR, 1, torch.where((near < FAR) & ~ignored, 0, -1))
        if len(table):
            best = _best_anchors(table[:, :4].to(anchors), anchors)
            state[best] = 1
            owner[best] = torch.arange(len(table), device=owner.device)
        return state, owner


def _best_anchors(boxes: Float[Tensor, "k 4"], anchors: Float[Tensor, "anchors 4"]) -> Int64[Tensor, " k"]:
    """The anchor of the highest IoU with each box; of a box that lies between all anchors, the nearest."""
    ious, best = box_iou(boxes, anchors).max(1)
    centres, others = ((b[:, :2] + b[:, 2:]) / 2 for b in (boxes, anchors))
    return torch.where(ious > 0, best, torch.cdist(centres, others).argmin(1))


def _in_ignored(boxes: Float[Tensor, "k 4"], table: Float[Tensor, "boxes columns"]) -> Bool[Tensor, " k"]:
    """Which boxes lie, to a half at least, in a box of the table that does not count, or are near one."""
    others = table[kinds(table) > 0][:, :4].to(boxes)
    if not len(others):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    sides = torch.minimum(boxes[:, None, 2:], others[None, :, 2:]) - torch.maximum(
        boxes[:, None, :2], others[None, :, :2]
    )
    share = sides.clamp(min=0).prod(2) / (boxes[:, 2:] - boxes[:, :2]).prod(1, keepdim=True).clamp(min=1e-6)
    return ((share >= NEAR) | (box_iou(boxes, others) >= FAR)).any(1)


def _nearest(
    boxes: Float[Tensor, "k 4"], table: Float[Tensor, "boxes columns"]
) -> tuple[Float[Tensor, " k"], Int64[Tensor, " k"]]:
    """The highest IoU of each box with a true one, and which."""
    if not len(table):
        return boxes.new_zeros(len(boxes)), torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    return box_iou(boxes, table[:, :4].to(boxes)).max(1)
