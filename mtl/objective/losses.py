"""Losses as sums, so that any number of workers can normalise them by the global count.

A term of a task's loss is (sum, count): the loss is the sum over all workers divided by the count over all workers.
Sums depend on outputs, counts on targets alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mtl.config.masks import IGNORE
from mtl.precision import at_least_float32


def masked(losses: Float[Tensor, " n"], present: Bool[Tensor, " n"]) -> Float[Tensor, ""]:
    """Sum of the present images' losses [n]; zero, yet in the graph, if none is."""
    return torch.where(present, losses, torch.zeros_like(losses)).sum()


def cross_entropy(
    logits: Float[Tensor, "n classes"],
    labels: Int64[Tensor, " n"] | Float[Tensor, "n classes"],
    present: Bool[Tensor, " n"],
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Over present images; labels may be shares of the classes."""
    if labels.is_floating_point():
        labels = labels.to(at_least_float32(logits))
    else:
        labels = torch.where(present, labels, torch.zeros_like(labels))
    return masked(
        F.cross_entropy(at_least_float32(logits), labels, reduction="none", label_smoothing=smoothing), present
    )


def pixel_cross_entropy(logits: Float[Tensor, "n classes h w"], masks: Int64[Tensor, "n h w"]) -> Float[Tensor, ""]:
    """Over pixels; 255 in a mask is ignored."""
    return F.cross_entropy(at_least_float32(logits), masks, ignore_index=IGNORE, reduction="sum")


def dice(
    logits: Float[Tensor, "n classes h w"], masks: Int64[Tensor, "n h w"], present: Bool[Tensor, " n"]
) -> Float[Tensor, ""]:
    """1 - Dice with sums in the denominator (Drozdzal et al. 2016, arXiv 1608.04117), plus one above and below: a mean over
    classes, each image by itself, so that counts add up. Milletari et al.'s V-Net has sums of squares there instead.
    """
    known = (masks != IGNORE).unsqueeze(1)
    probabilities = at_least_float32(logits).softmax(1) * known
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    truth = (masks.unsqueeze(1) == classes) & known
    overlap = (probabilities * truth).sum((2, 3))
    total = probabilities.sum((2, 3)) + truth.sum((2, 3))
    return masked(1.0 - ((2 * overlap + 1.0) / (total + 1.0)).mean(1), present)
