"""`tasks:` what the model learns. One class per task type; the docstring's first line is its description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mtl.config.follows import CLASSES, LIES, MADE, NO_CLASS, NO_NUMBER, NO_SHARES, NOT_SAID, OF_A_PART, STAYS
from mtl.config.section import Count, Fraction, NonNegative, Positive, Section


class TaskConfig(Section):
    """What every task has."""

    follows: ClassVar[Mapping[str, str]] = STAYS
    """Change of `augment` → how the target follows it. One that is missing is refused: of a type that says nothing of it nobody
    knows whether the target is still true.
    """
    why_not: ClassVar[Mapping[str, str]] = {}
    """Change that is refused → why."""

    target: str = Field(default="", description="the data's target to learn; the task's own name if empty")
    weight: NonNegative = Field(default=1.0, description="what the method's weight of the task is multiplied by")
    auxiliary: bool = Field(
        default=False,
        description="trained and reported, left out of the gate, of Δm and of what weighs the other tasks; it weighs `weight` "
        "times the mean of the others' factors, at most `weight`",
    )
    stride: Count = Field(default=4, description="pixels of the image per cell of the features read")

    def refusal(self, change: str) -> str:
        """Why the target does not follow a change of `augment`; empty if it does."""
        return "" if change in self.follows else self.why_not.get(change, NOT_SAID)


class WholeImage(TaskConfig):
    """Its target is of all that is in the image; of a part it may be another one."""

    crop_invariant: bool = Field(
        default=False,
        description="whether the target is the same of a part of the image (an age, a season; not a count): allows augment.crop",
    )

    def refusal(self, change: str) -> str:
        if change == "crop" and not self.crop_invariant:
            return OF_A_PART
        return super().refusal(change)


class Classification(TaskConfig):
    """One label per image: all places vote, cross-entropy with label smoothing."""

    follows, why_not = CLASSES, NO_CLASS
    type: Literal["classification"]
    label_smoothing: Fraction = Field(default=0.05, description="share of the target spread over all classes")
    hidden: Count = Field(default=64, description="channels of the head")
    floor: Fraction | None = Field(
        default=None, description="accuracy that the task must reach before it has a champion"
    )


class MultiLabel(WholeImage):
    """Any number of labels per image: a sigmoid per class, binary cross-entropy."""

    follows, why_not = CLASSES | {"crop": "stays, if crop_invariant"}, NO_CLASS
    type: Literal["multilabel"]
    hidden: Count = Field(default=64, description="channels of the head")
    threshold: Fraction = Field(default=0.5, description="probability from which a label is given")
    floor: Fraction | None = Field(
        default=None, description="mean average precision that the task must reach before it has a champion"
    )


class Detection(TaskConfig):
    """Boxes with labels: anchor-free (FCOS: focal and GIoU losses) or Faster R-CNN, NMS."""

    follows, why_not = LIES, NO_SHARES
    type: Literal["detection"]
    method: Literal["fcos", "faster_rcnn"] = Field(
        default="fcos", description="one stage without anchors, or two stages with them, on the same features"
    )
    anchors: tuple[Positive, ...] = Field(
        default=(16.0, 24.0, 32.0), description="faster_rcnn: sides of the square anchors, in pixels"
    )
    hidden: Count = Field(default=64, description="channels of the head")
    num_convs: Count = Field(default=2, description="convolutions of each of the head's two branches")
    focal_alpha: Fraction = Field(default=0.25, description="weight of positives in the focal loss")
    focal_gamma: NonNegative = Field(default=2.0, description="how much easy cells are discounted")
    radius: Positive = Field(default=1.5, description="cells around a box's centre that are positive")
    score_threshold: Fraction = Field(default=0.02, description="boxes below it are not kept")
    nms_threshold: Fraction = Field(default=0.5, description="IoU above which the weaker of two boxes goes")
    max_detections: Count = Field(default=20, description="boxes kept per image")
    floor: Fraction | None = Field(default=None, description="mAP50 that the task must reach before it has a champion")


class Keypoints(TaskConfig):
    """Objects with named points: heatmaps of centres and points, joined by offsets (CenterNet); judged by OKS."""

    follows, why_not = LIES, NO_SHARES
    type: Literal["keypoints"]
    hidden: Count = Field(default=64, description="channels of the head")
    upsample: Literal[1, 2] = Field(
        default=1, description="cells of the heatmaps per cell of the features, along a side"
    )
    sigma: Positive = Field(default=1.0, description="standard deviation of the heatmaps' gaussians, in their cells")
    oks_sigmas: tuple[Positive, ...] = Field(
        default=(),
        description="how far off people place each point, of an object's size; COCO's for COCO's names, else 1 / points",
    )
    score_threshold: Fraction = Field(default=0.02, description="objects below it are not kept")
    point_threshold: Fraction = Field(
        default=0.1, description="a point is moved to a peak of its heatmap from this height"
    )
    max_detections: Count = Field(default=20, description="objects kept per image")
    floor: Fraction | None = Field(
        default=None, description="OKS-mAP that the task must reach before it has a champion"
    )


class Segmentation(TaskConfig):
    """A class for each pixel: cross-entropy plus Dice."""

    follows, why_not = LIES, NO_SHARES
    type: Literal["segmentation"]
    hidden: Count = Field(default=32, description="channels of the head")
    dice: NonNegative = Field(default=1.0, description="weight of the Dice loss beside cross-entropy")
    floor: Fraction | None = Field(default=None, description="mIoU that the task must reach before it has a champion")


class Regression(WholeImage):
    """One number per image: smooth L1."""

    follows, why_not = STAYS | {"crop": "stays, if crop_invariant"}, NO_NUMBER
    type: Literal["regression"]
    hidden: Count = Field(default=64, description="channels of the head")
    beta: Positive = Field(default=0.5, description="where smooth L1 turns from quadratic to linear, in target units")
    floor: Positive | None = Field(
        default=None, description="mean absolute error that the task must not exceed before it has a champion"
    )


class Reconstruction(TaskConfig):
    """The image itself, unsupervised: smooth L1 on pixels, PSNR."""

    follows = MADE
    type: Literal["reconstruction"]
    hidden: Count = Field(default=32, description="channels of the head")
    floor: NonNegative | None = Field(
        default=None, description="PSNR in dB that the task must reach before it has a champion"
    )


class Depth(TaskConfig):
    """A number for each pixel, such as depth: L1."""

    follows, why_not = LIES, NO_SHARES
    type: Literal["depth"]
    hidden: Count = Field(default=32, description="channels of the head")
    floor: Positive | None = Field(
        default=None, description="mean absolute error that the task must not exceed before it has a champion"
    )


class Normals(TaskConfig):
    """A direction for each pixel, such as surface normals: 1 - cosine."""

    follows, why_not = LIES, NO_SHARES
    type: Literal["normals"]
    hidden: Count = Field(default=32, description="channels of the head")
    floor: Positive | None = Field(
        default=None, description="mean angle in degrees that the task must not exceed before it has a champion"
    )


class Rotation(TaskConfig):
    """By which quarter turns a copy of the image was turned: self-supervised."""

    follows = MADE
    type: Literal["rotation"]
    hidden: Count = Field(default=64, description="channels of the head")
    label_smoothing: Fraction = Field(default=0.0, description="share of the target spread over all turns")
    floor: Fraction | None = Field(
        default=None, description="accuracy that the task must reach before it has a champion"
    )


class Edges(TaskConfig):
    """Where Canny finds edges in the image: self-supervised."""

    follows = MADE
    type: Literal["edges"]
    hidden: Count = Field(default=32, description="channels of the head")
    dice: NonNegative = Field(default=1.0, description="weight of the Dice loss beside cross-entropy")
    low: NonNegative = Field(default=50.0, description="Canny's lower threshold, of 255")
    high: NonNegative = Field(default=150.0, description="Canny's upper threshold, of 255")
    floor: Fraction | None = Field(default=None, description="mIoU that the task must reach before it has a champion")


AnyTask = Annotated[
    Classification
    | MultiLabel
    | Regression
    | Detection
    | Keypoints
    | Segmentation
    | Depth
    | Normals
    | Reconstruction
    | Rotation
    | Edges,
    Field(discriminator="type"),
]
