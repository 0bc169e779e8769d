"""Detection: boxes with labels, by one of two methods on the same features and torchvision's parts."""

from __future__ import annotations

from typing import ClassVar, Generic

import cv2
import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torchvision.ops import batched_nms
from typing_extensions import TypeVar

from mtl.config.tasks import Detection as DetectionConfig
from mtl.data.inspect.labels import Spot, write_labels
from mtl.data.kinds.box_table import objects
from mtl.data.loading.loader import Batch
from mtl.precision import at_least_float32
from mtl.tasks.average_precision import Matches, average_precisions, common_locations, match, precision_recall
from mtl.tasks.base import Curves, Direction, Scorer, Task
from mtl.tasks.faster_rcnn import FasterRCNN
from mtl.tasks.fcos import FCOS
from mtl.tasks.predictions import Objects
from mtl.tasks.weighted import mean_known

METHODS: dict[str, type[FCOS] | type[FasterRCNN]] = {"fcos": FCOS, "faster_rcnn": FasterRCNN}
SHOWN = 0.4
"""Score from which on a box is drawn and counted; average precision takes all."""
NUM_FINE_RESAMPLES = 200
"""mAP50:95 costs ten times mAP50: its interval comes from this many resamples."""
Found = TypeVar("Found", bound=Objects, default=Objects)


class Detection(Task[DetectionConfig, Objects]):
    """What `method` finds, after NMS within each class; judged as COCO does."""

    kind = "boxes"
    answer = "boxes"
    primary = "map50"
    directions: ClassVar[dict[str, Direction]] = {"map50": "max", "map50_95": "max"}

    def __post_init__(self) -> None:
        kind = METHODS[self.config.method]
        self.method = kind(self.config, len(self.target.classes), self.image.height, self.image.width)

    @property
    def on_host(self) -> str:
        return self.method.on_host

    def build_head(self, channels: int) -> nn.Module:
        return self.method.build_head(channels)

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        return self.method.target_counts(batch.targets[self.target_name], batch.present[self.target_name])

    def num_present(self, batch: Batch) -> Num[Tensor, ""]:
        return self.method.num_present(batch.targets[self.target_name], batch.present[self.target_name])

    def loss_terms(self, output: Float[Tensor, "n ..."], batch: Batch) -> list[Float[Tensor, ""]]:
        return self.method.loss_terms(output, batch.targets[self.target_name], batch.present[self.target_name])

    def predict(self, output: Float[Tensor, "n ..."]) -> list[Objects]:
        size = torch.tensor([self.image.width, self.image.height] * 2, device=output.device)
        found = self.method.candidates(at_least_float32(output))
        return [self._suppress(c.scores, torch.minimum(c.boxes.clamp(min=0), size)) for c in found]

    def _suppress(self, scores: Float[Tensor, "cells classes"], boxes: Float[Tensor, "cells 4"]) -> Objects:
        """The best boxes after NMS within each class."""
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

    def scorer(self) -> Scorer[Objects]:
        return DetectionScorer[Objects](self.target_name, self.target.classes)

    def blind(self, truths: list[np.ndarray]) -> Objects:
        """The same boxes in every image: of each class those places where most boxes lie, the most frequent first."""
        found: list[tuple[float, int, np.ndarray]] = []
        for c in range(len(self.target.classes)):
            boxes = np.concatenate([table[table[:, 4] == c, :4] for table in map(objects, truths)])
            found += [
                (share / len(truths), c, box) for share, box in common_locations(boxes, self.config.max_detections)
            ]
        found = sorted(found, key=lambda one: -one[0])[: self.config.max_detections]
        return {
            "boxes": np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
            "labels": np.array([c for _, c, _ in found], np.int64),
            "scores": np.array([min(share, 1.0) for share, _, _ in found], np.float32),
        }

    def caption(self, prediction: Objects, batch: Batch, index: int) -> str:
        shown = int((prediction["scores"] >= SHOWN).sum())
        return f"{self.name}: {shown} boxes (are {len(objects(batch.targets[self.target_name][index]))})"

    def draw(self, canvas: np.ndarray, prediction: Objects, scale: int) -> np.ndarray:
        canvas, labels = np.ascontiguousarray(canvas), list[tuple[str, Spot]]()
        for box, label, score in zip(prediction["boxes"], prediction["labels"], prediction["scores"], strict=True):
            if score < SHOWN:
                continue
            x1, y1, x2, y2 = (round(float(v) * scale) for v in box)
            cv2.rectangle(canvas, (x1, y1), (x2, y2), (80, 255, 80), 1 if scale < 4 else 2)
            labels.append((f"{self.target.classes[int(label)]} {score:.2f}", (x1, y1, x2, y2)))
        return write_labels(canvas, labels)


class DetectionScorer(Scorer[Found, Matches], Generic[Found]):
    """A row per sample: its detections matched to its boxes."""

    def __init__(self, target: str, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.target, self.classes = target, classes

    def add(self, predictions: list[Found], batch: Batch) -> None:
        tables, present = batch.targets[self.target], batch.present[self.target].tolist()
        for prediction, table, there in zip(predictions, tables, present, strict=True):
            row: Matches | None = None
            if there:
                truth = table.cpu().numpy()
                row = match(prediction["boxes"], prediction["labels"], prediction["scores"], truth, len(self.classes))
            self.rows.append(row)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        coarse, fine = self.precisions(weights, 1), self.precisions(weights[:NUM_FINE_RESAMPLES], 10)
        return {"map50": mean_known(coarse[:, 0].T), "map50_95": mean_known(fine.mean(1).T)}

    def primary(self, weights: np.ndarray, name: str) -> np.ndarray:
        assert name == Detection.primary
        return mean_known(self.precisions(weights, 1)[:, 0].T)

    def precisions(self, weights: np.ndarray, num_thresholds: int) -> np.ndarray:
        """AP by resample, threshold and class."""
        return average_precisions(self.rows, weights, len(self.classes), num_thresholds)

    def support(self) -> dict[str, int]:
        have = [row.num_boxes > 0 for row in self.rows if row is not None]
        counts = np.sum(have, axis=0) if have else np.zeros(len(self.classes), int)
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def sample_scores(self) -> np.ndarray:
        """F1 of the detections with a score of at least SHOWN at IoU 0.5."""
        values: list[float] = []
        for row in self.rows:
            if row is None:
                values.append(np.nan)
                continue
            shown = (row.scores >= SHOWN) & ~row.ignored[0]
            values.append(2 * row.hits[0][shown].sum() / max(shown.sum() + row.num_boxes.sum(), 1))
        return np.array(values, np.float64)

    def curves(self) -> Curves:
        return {
            "precision_recall": [
                {"recall": r, "precision": p} for r, p in precision_recall(self.rows, len(self.classes))
            ]
        }
