"""Detection: boxes with labels. FCOS (Tian et al. 2019, arXiv 1904.01355) on one level, on torchvision's parts."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import batched_nms, generalized_box_iou_loss, sigmoid_focal_loss

from mtl.data.loader import Batch
from mtl.model.heads import DetectionHead
from mtl.objective.losses import masked
from mtl.precision import precise
from mtl.tasks.average_precision import Matches, average_precisions, match, precision_recall
from mtl.tasks.base import Direction, Scorer, Task, mean_known

NUM_FINE_RESAMPLES = 200
"""mAP50:95 costs ten times mAP50: its interval comes from this many resamples."""


class Detection(Task):
    """Anchor-free: each cell near a box's centre predicts its class and the distances to its four sides."""

    kind = "boxes"
    serves = "boxes"
    primary = "map50"
    directions: ClassVar[dict[str, Direction]] = {"map50": "max", "map50_95": "max"}

    def build_head(self, channels: int) -> nn.Module:
        return DetectionHead(channels, self.config.hidden, len(self.target.classes), self.config.num_convs)

    def counts(self, batch: Batch) -> list[torch.Tensor]:
        positive, _, _ = self._assigned(batch)
        return [positive.sum()] * 3

    def terms(self, output: torch.Tensor, batch: Batch) -> list[torch.Tensor]:
        present = batch.present[self.target_name]
        num_classes = len(self.target.classes)
        positive, label, sides = self._assigned(batch)
        flat = precise(output).flatten(2).transpose(1, 2)  # [n, cells, classes + 5]
        truth = F.one_hot(label, num_classes) * positive.unsqueeze(-1)
        focal = sigmoid_focal_loss(
            flat[..., :num_classes], truth.to(flat), self.config.focal_alpha, self.config.focal_gamma, reduction="none"
        )
        found = flat[positive]
        wanted = sides[positive].to(flat) / self.config.stride
        giou = generalized_box_iou_loss(_as_boxes(found[:, num_classes : num_classes + 4]), _as_boxes(wanted))
        centre = F.binary_cross_entropy_with_logits(found[:, -1], centredness(wanted), reduction="none")
        nothing = 0.0 * flat.sum()  # keeps all outputs in the graph where there is no box
        return [masked(focal.sum((1, 2)), present), giou.sum() + nothing, centre.sum()]

    def _assigned(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        height, width = (-(-size // self.config.stride) for size in batch.images.shape[2:])
        tables = batch.targets[self.target_name]
        positive, label, sides = assign(
            tables, height, width, self.config.stride, self.config.radius, batch.images.device
        )
        return positive & batch.present[self.target_name][:, None], label, sides

    def predict(self, output: torch.Tensor) -> list[Any]:
        num_classes, stride = len(self.target.classes), self.config.stride
        scores = output[:, :num_classes].sigmoid() * output[:, -1:].sigmoid()
        scores = scores.sqrt().flatten(2).transpose(1, 2)  # [n, cells, classes]
        centres = cell_centres(output.shape[2], output.shape[3], stride, output.device)
        sides = output[:, num_classes : num_classes + 4].flatten(2).transpose(1, 2) * stride
        boxes = torch.cat([centres - sides[..., :2], centres + sides[..., 2:]], -1)
        size = torch.tensor([self.image.width, self.image.height] * 2, device=output.device)
        boxes = torch.minimum(boxes.clamp(min=0), size)
        return [self._suppress(s, b) for s, b in zip(scores, boxes, strict=True)]

    def _suppress(self, scores: torch.Tensor, boxes: torch.Tensor) -> dict[str, np.ndarray]:
        """scores [cells, classes], boxes [cells, 4] → the best boxes after NMS within each class."""
        cells, labels = torch.nonzero(scores > self.config.score_threshold, as_tuple=True)
        kept_scores = scores[cells, labels]
        if len(cells) > 300:
            top = kept_scores.topk(300).indices
            cells, labels, kept_scores = cells[top], labels[top], kept_scores[top]
        kept = batched_nms(boxes[cells], kept_scores, labels, self.config.nms_threshold)[: self.config.max_detections]
        return {
            "boxes": boxes[cells[kept]].cpu().numpy(),
            "labels": labels[kept].cpu().numpy(),
            "scores": kept_scores[kept].cpu().numpy(),
        }

    def scorer(self) -> Scorer:
        return DetectionScorer(self.target_name, self.target.classes)

    def caption(self, prediction: Any, batch: Batch, index: int) -> str:
        shown = int((prediction["scores"] >= 0.4).sum())
        return f"{self.name}: {shown} boxes (are {len(batch.targets[self.target_name][index])})"

    def draw(self, canvas: np.ndarray, prediction: Any, scale: int) -> np.ndarray:
        canvas = np.ascontiguousarray(canvas)
        for box, label, score in zip(prediction["boxes"], prediction["labels"], prediction["scores"], strict=True):
            if score < 0.4:
                continue
            x1, y1, x2, y2 = (round(float(v) * scale) for v in box)
            cv2.rectangle(canvas, (x1, y1), (x2, y2), (80, 255, 80), 1)
            text = f"{self.target.classes[int(label)]} {score:.2f}"
            for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(
                    canvas, text, (x1 + 2, y1 + 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, thickness, cv2.LINE_AA
                )
        return canvas


def cell_centres(height: int, width: int, stride: int, device: torch.device) -> torch.Tensor:
    """Pixels x, y of the centres of all cells, row by row: [height · width, 2]."""
    ys, xs = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return (torch.stack([xs, ys], -1).reshape(-1, 2) + 0.5) * stride


def assign(
    tables: list[torch.Tensor], height: int, width: int, stride: int, radius: float, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Which cell learns which box: the smallest box whose centre is within `radius` cells and that contains the cell.

    Returns: positive bool [n, cells], label int64 [n, cells], sides float32 [n, cells, 4] in pixels.
    """
    centres = cell_centres(height, width, stride, device)
    most = max([len(t) for t in tables] + [1])
    padded = torch.zeros(len(tables), most, 5, device=device)
    for i, table in enumerate(tables):
        padded[i, : len(table)] = table
    boxes = padded[:, None, :, :4]
    low, high = centres[None, :, None] - boxes[..., :2], boxes[..., 2:] - centres[None, :, None]
    sides = torch.cat([low, high], -1)  # [n, cells, boxes, 4]
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    near = (centres[None, :, None] - middle).abs().amax(-1) <= radius * stride
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1).expand_as(near)
    candidate = near & (sides.amin(-1) > 0)
    area = torch.where(candidate, area, torch.inf)
    best = area.argmin(-1)
    positive = candidate.any(-1)
    label = padded[..., 4].long().gather(1, best)
    chosen = sides.gather(2, best[..., None, None].expand(-1, -1, 1, 4)).squeeze(2)
    return positive, label, chosen


def centredness(sides: torch.Tensor) -> torch.Tensor:
    """1 at a box's centre, 0 at its sides: [k, 4] → [k]."""
    left, top, right, bottom = sides.unbind(-1)
    horizontal = torch.minimum(left, right) / torch.maximum(left, right)
    vertical = torch.minimum(top, bottom) / torch.maximum(top, bottom)
    return (horizontal * vertical).clamp(min=0).sqrt()


def _as_boxes(sides: torch.Tensor) -> torch.Tensor:
    """Distances to the sides, seen from their cell, as boxes [k, 4]."""
    return torch.cat([-sides[:, :2], sides[:, 2:]], 1)


class DetectionScorer(Scorer):
    """A row a sample: its detections matched to its boxes."""

    def __init__(self, target: str, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.target, self.classes = target, classes

    def add(self, predictions: list[Any], batch: Batch) -> None:
        tables, present = batch.targets[self.target], batch.present[self.target].tolist()
        for prediction, table, there in zip(predictions, tables, present, strict=True):
            row: Matches | None = None
            if there:
                truth = table.cpu().numpy()
                row = match(prediction["boxes"], prediction["labels"], prediction["scores"], truth, len(self.classes))
            self.rows.append(row)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        blocks = [weights[i : i + 100] for i in range(0, len(weights), 100)]
        coarse = np.concatenate([average_precisions(self.rows, b, len(self.classes), 1) for b in blocks])
        fine = np.concatenate(
            [average_precisions(self.rows, b, len(self.classes), 10) for b in blocks[: NUM_FINE_RESAMPLES // 100]]
        )
        return {"map50": mean_known(coarse[:, 0].T), "map50_95": mean_known(fine.mean(1).T)}

    def goodness(self) -> np.ndarray:
        """F1 of the detections with a score of at least 0.4 at IoU 0.5."""
        values: list[float] = []
        for row in self.rows:
            if row is None:
                values.append(np.nan)
                continue
            shown = row.scores >= 0.4
            values.append(2 * row.hits[0][shown].sum() / max(shown.sum() + row.num_boxes.sum(), 1))
        return np.array(values, np.float64)

    def curves(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "precision_recall": [
                {"recall": r, "precision": p} for r, p in precision_recall(self.rows, len(self.classes))
            ]
        }
