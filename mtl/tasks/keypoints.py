"""Keypoints: any number of objects per image, each with named points (Zhou et al. 2019, arXiv 1904.07850, of one stage)."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Num
from torch import Tensor, nn

from mtl.config.tasks import Keypoints as KeypointsConfig
from mtl.data.kinds.keypoints import KIND, LABEL, POINTS
from mtl.data.kinds.skeleton import skeleton_of
from mtl.data.loading.loader import Batch
from mtl.data.loading.padded import Tables
from mtl.errors import ConfigError
from mtl.model.heads import KeypointHead
from mtl.precision import at_least_float32
from mtl.tasks.average_precision import common_locations
from mtl.tasks.base import Direction, Scorer, Task
from mtl.tasks.detection import SHOWN
from mtl.tasks.keypoint_targets import Targets, targets_of
from mtl.tasks.oks import PRIMARY, KeypointScorer, sigmas_of
from mtl.tasks.predictions import ObjectsWithPoints

SIZE_WEIGHT = 0.1
"""Of the box beside the other parts, as CenterNet has it."""
WITHIN = 0.3
"""How far from where its object puts it a peak may be that a point is moved to, as a share of the box's longer side."""


class Keypoints(Task[KeypointsConfig, ObjectsWithPoints]):
    """A heatmap of centres finds objects; each points to its points, which move to the nearest peak of their own heatmap."""

    kind = "keypoints"
    answer = "keypoints"
    primary = PRIMARY
    directions: ClassVar[dict[str, Direction]] = {"oks_map": "max", "oks_map50": "max"}

    def __post_init__(self) -> None:
        self.skeleton = skeleton_of(self.target)
        self.sigmas = sigmas_of(self.skeleton.points, self.config.oks_sigmas)
        if len(self.sigmas) != len(self.skeleton.points):
            raise ConfigError(
                f"tasks.{self.name}.oks_sigmas are not one per point",
                found=f"{len(self.sigmas)} for {len(self.skeleton.points)} points",
                fix=f"give them for {', '.join(self.skeleton.points)}, or none",
            )
        self.cell = self.config.stride / self.config.upsample
        self._last: tuple[Tables, Tensor, Targets] | None = None

    def build_head(self, channels: int) -> nn.Module:
        config = self.config
        return KeypointHead(
            channels, config.hidden, len(self.target.classes), len(self.skeleton.points), config.upsample
        )

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        learnt = self._learnt(batch)
        objects, points = learnt.counts.sum(), learnt.labelled.sum()
        return [objects, objects, points, points, points]

    def num_present(self, batch: Batch) -> Num[Tensor, ""]:
        return self._learnt(batch).centre_known.flatten(1).any(1).sum()

    def loss_terms(self, output: Float[Tensor, "n channels rows columns"], batch: Batch) -> list[Float[Tensor, ""]]:
        learnt, (centres, boxes, offsets, points, inside) = self._learnt(batch), self._parts(at_least_float32(output))
        width = output.shape[3]
        found_boxes = _at(boxes, learnt.centre_cell, width)  # [n, objects, 4]
        found_offsets = _at(offsets, learnt.centre_cell, width).unflatten(-1, (-1, 2))
        found_inside = _at(inside, learnt.point_cell.flatten(1, 2), width).view_as(learnt.point_inside)
        box = F.l1_loss(found_boxes, learnt.box, reduction="none")
        box = torch.cat([box[..., :2] * SIZE_WEIGHT, box[..., 2:]], -1).sum(-1)
        offset = F.l1_loss(found_offsets, learnt.offset, reduction="none").sum(-1)
        within = F.l1_loss(found_inside, learnt.point_inside, reduction="none").sum(-1)
        return [
            _focal(centres, learnt.centre_heat, learnt.centre_known),
            torch.where(learnt.counts, box, 0.0).sum(),
            torch.where(learnt.labelled, offset, 0.0).sum(),
            _focal(points, learnt.point_heat, learnt.point_known),
            torch.where(learnt.labelled, within, 0.0).sum(),
        ]

    def _parts(self, output: Tensor) -> tuple[Tensor, ...]:
        """Logits of centres, boxes (width, height, x, y in its cell), offsets, logits of points, x and y in their cell."""
        number = len(self.skeleton.points)
        return output.split([len(self.target.classes), 4, 2 * number, number, 2], 1)

    def _learnt(self, batch: Batch) -> Targets:
        """Asked for several times per step, with the same lists: computed once. A graph has no memory, and sees by itself what
        it computes twice.
        """
        tables, present = batch.targets[self.target_name], batch.present[self.target_name]
        if torch.compiler.is_compiling():
            return self._targets(tables, present)
        if self._last is None or self._last[0] is not tables or self._last[1] is not present:
            self._last = (tables, present, self._targets(tables, present))
        return self._last[2]

    def _targets(self, tables: Tables, present: Bool[Tensor, " n"]) -> Targets:
        stride, upsample = self.config.stride, self.config.upsample
        height, width = (-(-side // stride) * upsample for side in (self.image.height, self.image.width))
        numbers = (len(self.target.classes), len(self.skeleton.points))
        return targets_of(tables, present, numbers, (height, width), self.cell, self.config.sigma)

    def predict(self, output: Float[Tensor, "n channels rows columns"]) -> list[ObjectsWithPoints]:
        centres, boxes, offsets, points, inside = (
            part.cpu().numpy() for part in self._parts(_peaks(at_least_float32(output), self))
        )
        return [self._found(*parts) for parts in zip(centres, boxes, offsets, points, inside, strict=True)]

    def _found(
        self, centres: np.ndarray, boxes: np.ndarray, offsets: np.ndarray, points: np.ndarray, inside: np.ndarray
    ) -> ObjectsWithPoints:
        """One image: centres and points are peaks' heights, 0 elsewhere, [classes or points, h, w]."""
        order = np.argsort(-centres.ravel(), kind="stable")[: self.config.max_detections]
        order = order[centres.ravel()[order] > self.config.score_threshold]
        labels, ys, xs = np.unravel_index(order, centres.shape)
        cells = np.stack([xs, ys], 1) + 0.5
        middle, side = cells + boxes[2:, ys, xs].T, np.maximum(boxes[:2, ys, xs].T, 0.0)
        corners = np.concatenate([middle - side / 2, middle + side / 2], 1) * self.cell
        places = (cells[:, None] + offsets[:, ys, xs].T.reshape(len(order), -1, 2)) * self.cell
        scores = np.zeros(places.shape[:2])
        reach = WITHIN * side.max(1, initial=0.0) * self.cell
        for number, peaks in enumerate(points):
            rows, columns = np.nonzero(peaks > self.config.point_threshold)
            if not len(rows):
                continue
            found = (np.stack([columns, rows], 1) + 0.5 + inside[:, rows, columns].T) * self.cell
            apart = np.linalg.norm(places[:, number, None] - found[None], axis=-1)
            near = apart.argmin(1)
            moves = apart.min(1) <= reach
            places[moves, number] = found[near[moves]]
            scores[moves, number] = peaks[rows, columns][near[moves]]
        size = np.array([self.image.width, self.image.height])
        return {
            "boxes": corners.clip(0, np.tile(size, 2)).astype(np.float32),
            "labels": labels.astype(np.int64),
            "scores": centres.ravel()[order].astype(np.float32),
            "points": np.concatenate([places.clip(0, size), scores[..., None]], -1).astype(np.float32),
        }

    def scorer(self) -> Scorer[ObjectsWithPoints]:
        return KeypointScorer(self.target_name, self.target.classes, self.sigmas)

    def blind(self, truths: list[np.ndarray]) -> ObjectsWithPoints:
        """The same objects in every image: where most boxes lie, with the median pose in each."""
        found: list[tuple[float, int, np.ndarray, np.ndarray]] = []
        for c in range(len(self.target.classes)):
            rows = np.concatenate([table[(table[:, LABEL] == c) & (table[:, KIND] == 0)] for table in truths])
            pose = _median_pose(rows)
            for share, box in common_locations(rows[:, :4], self.config.max_detections):
                found.append((share / len(truths), c, box, box[:2] + pose * (box[2:] - box[:2])))
        found = sorted(found, key=lambda one: -one[0])[: self.config.max_detections]
        points = np.array([points for _, _, _, points in found]).reshape(len(found), len(self.skeleton.points), 2)
        return {
            "boxes": np.array([box for _, _, box, _ in found], np.float32).reshape(-1, 4),
            "labels": np.array([c for _, c, _, _ in found], np.int64),
            "scores": np.array([min(share, 1.0) for share, _, _, _ in found], np.float32),
            "points": np.concatenate([points, np.zeros((*points.shape[:2], 1))], -1).astype(np.float32),
        }

    def caption(self, prediction: ObjectsWithPoints, batch: Batch, index: int) -> str:
        shown, truth = int((prediction["scores"] >= SHOWN).sum()), batch.targets[self.target_name][index]
        return f"{self.name}: {shown} objects (are {int((truth[:, KIND] == 0).sum())})"

    def draw(self, canvas: np.ndarray, prediction: ObjectsWithPoints, scale: int) -> np.ndarray:
        canvas = np.ascontiguousarray(canvas)
        for points in prediction["points"][prediction["scores"] >= SHOWN]:
            places = [(round(float(x) * scale), round(float(y) * scale)) for x, y in points[:, :2]]
            for a, b in self.skeleton.edges:
                cv2.line(canvas, places[a], places[b], (80, 255, 80), 1, cv2.LINE_AA)
            for place in places:
                cv2.circle(canvas, place, 2, (255, 80, 80), -1)
        return canvas


def _at(values: Tensor, cells: Tensor, width: int) -> Tensor:
    """values [n, c, h, w] at cells x, y, int64 [n, k, 2] → [n, k, c]."""
    index = cells[..., 1] * width + cells[..., 0]
    return values.flatten(2).transpose(1, 2).gather(1, index[..., None].expand(-1, -1, values.shape[1]))


def _focal(logits: Tensor, heat: Tensor, known: Tensor) -> Tensor:
    """Focal loss of heatmaps (Law & Deng 2018), summed: cells near a peak count less against it, those not known not at all."""
    chance = logits.sigmoid()
    hit = (1 - chance).square() * F.logsigmoid(logits)
    miss = (1 - heat).pow(4) * chance.square() * F.logsigmoid(-logits)
    return -torch.where(known, torch.where(heat == 1, hit, miss), 0.0).sum()


def _peaks(output: Tensor, task: Keypoints) -> Tensor:
    """The output with logits of centres and of points as heights from 0 to 1, 0 where a neighbour is higher."""
    number, classes = len(task.skeleton.points), len(task.target.classes)
    parts = list(output.split([classes, 4 + 2 * number, number, 2], 1))
    for place in (0, 2):
        heights = parts[place].sigmoid()
        parts[place] = torch.where(F.max_pool2d(heights, 3, 1, 1) == heights, heights, 0.0)
    return torch.cat(parts, 1)


def _median_pose(rows: np.ndarray) -> np.ndarray:
    """Where in its box each point is, [points, 2], from 0 to 1: the median of those that are labelled, else the middle."""
    points = rows[:, POINTS:].reshape(len(rows), (rows.shape[1] - POINTS) // 3, 3).astype(np.float64)
    side = np.maximum(rows[:, 2:4] - rows[:, :2], 1e-6)[:, None]
    inside = np.where(points[..., 2:] > 0, (points[..., :2] - rows[:, None, :2]) / side, np.nan)
    pose = np.full(inside.shape[1:], 0.5)
    known = np.flatnonzero((~np.isnan(inside[..., 0])).sum(0))
    if len(known):
        pose[known] = np.nanmedian(inside[:, known], 0)
    return pose
