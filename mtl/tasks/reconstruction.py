"""Reconstruction: the image itself, unsupervised. Usually auxiliary."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Num, UInt8
from torch import Tensor, nn

from mtl.config.tasks import Reconstruction as ReconstructionConfig
from mtl.data.inspect.drawing import as_rgb
from mtl.data.loading.loader import Batch
from mtl.model.heads import DenseHead
from mtl.precision import at_least_float32
from mtl.tasks.base import Direction, ImageSpec, Scorer, Task
from mtl.tasks.predictions import Pixels
from mtl.tasks.weighted import weighted_mean

STARTS = 100
"""Images around which a blind answer is looked for, at most."""
MOST_WEIGHT = 0.5 + 1e-9
"""Of one image in such an answer."""
LEAST_ERROR = 255.0**2 * 1e-10
"""Squared error of a value at the highest PSNR, 100 dB."""


class Reconstruction(Task[ReconstructionConfig, Pixels]):
    """Smooth L1 on standardized pixels; PSNR on pixels from 0 to 1."""

    primary = "psnr"
    directions: ClassVar[dict[str, Direction]] = {"psnr": "max"}
    units: ClassVar[dict[str, str]] = {"psnr": "dB"}

    def build_head(self, channels: int) -> nn.Module:
        return DenseHead(channels, self.config.hidden, self.image.channels, self.config.stride)

    def target_counts(self, batch: Batch) -> list[Num[Tensor, ""]]:
        return [batch.images.new_full((), batch.images.numel(), dtype=torch.int64)]

    def num_present(self, batch: Batch) -> Num[Tensor, ""]:
        return batch.images.new_full((), len(batch.images), dtype=torch.int64)

    def loss_terms(self, output: Float[Tensor, "n channels rows columns"], batch: Batch) -> list[Float[Tensor, ""]]:
        return [F.smooth_l1_loss(at_least_float32(self.in_image(output)), batch.originals, reduction="sum")]

    def predict(self, output: Float[Tensor, "n channels rows columns"]) -> list[Pixels]:
        return [{"pixels": image} for image in to_pixels(at_least_float32(self.in_image(output)).cpu(), self.image)]

    def scorer(self) -> Scorer[Pixels]:
        return ReconstructionScorer(self)

    def truths(self, batch: Batch) -> list[np.ndarray]:
        return list(to_pixels(batch.originals.cpu(), self.image))

    def blind(self, truths: list[np.ndarray]) -> Pixels:
        """The mean image, or one that many are near to: their mean has a larger mean error, yet a better mean PSNR."""
        images = np.stack(truths)
        weights = _weights_of_best(images.reshape(len(images), -1).astype(np.float64))
        return {"pixels": np.tensordot(weights, images, 1).round().astype(np.uint8)}

    def caption(self, prediction: Pixels, batch: Batch, index: int) -> str:
        truth = to_pixels(batch.originals[index : index + 1], self.image)[0]
        return f"{self.name}: {psnr(prediction['pixels'], truth):.1f} dB"

    def draw(self, canvas: np.ndarray, prediction: Pixels, scale: int) -> np.ndarray:
        return cv2.resize(as_rgb(prediction["pixels"]), canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def to_pixels(images: Float[Tensor, "n c h w"], spec: ImageSpec) -> UInt8[np.ndarray, "n h w c"]:
    """Pixels of standardized images."""
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (spec.mean, spec.std))
    return ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _weights_of_best(images: np.ndarray) -> np.ndarray:
    """Of images [n, values], those whose weighted mean has the best mean PSNR to all: of sum 1, [n].

    At the best, an image's weight is inverse to its squared error. So it is looked for around some of the images, from all
    but the image itself on, beside the plain mean. What is one image for the most part would be learnt by heart.
    """
    count, values = images.shape
    centred = images - images.mean(0)
    products = centred @ centred.T
    squares = products.diagonal()
    starts = np.unique(np.linspace(0, count - 1, STARTS).astype(int)) if count > 2 else np.zeros(0, int)

    def errors(weights: np.ndarray) -> np.ndarray:
        joint = weights @ products
        own = (joint * weights).sum(1, keepdims=True)
        return np.maximum((own - 2 * joint + squares) / values, LEAST_ERROR)

    weights = 1.0 / errors(np.eye(count)[starts])
    weights[np.arange(len(starts)), starts] = 0.0
    for _ in range(10):
        weights /= weights.sum(1, keepdims=True)
        weights = 1.0 / errors(weights)
    weights /= weights.sum(1, keepdims=True)
    several = weights[weights.max(1, initial=0.0) <= MOST_WEIGHT]
    candidates = np.vstack([np.full(count, 1 / count), several])
    return candidates[np.log(errors(candidates)).mean(1).argmin()]


class ReconstructionScorer(Scorer[Pixels, float]):
    """A row per sample: its PSNR in dB."""

    def __init__(self, task: Reconstruction) -> None:
        super().__init__()
        self.task = task

    def add(self, predictions: list[Pixels], batch: Batch) -> None:
        truths = to_pixels(batch.originals.cpu(), self.task.image)
        self.rows += [psnr(p["pixels"], truth) for p, truth in zip(predictions, truths, strict=True)]

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"psnr": weighted_mean(weights, np.array(self.rows, np.float64))}

    def sample_scores(self) -> np.ndarray:
        return np.array(self.rows, np.float64)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of uint8 images in dB, at most 100."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float(min(100.0, 10 * np.log10(255.0**2 / max(error, 1e-12))))
