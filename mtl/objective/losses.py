"""Losses as sums with counts, so that any number of workers can normalise them by the global count."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

IGNORE = 255


@dataclass
class Term:
    """One part of a task's loss: weight · sum / count, the count taken over all workers.

    sum, count: scalars; count has no gradient.
    """

    sum: torch.Tensor
    count: torch.Tensor
    weight: float = 1.0


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, present: torch.Tensor, smoothing: float) -> Term:
    """Over images. logits [n, classes], labels int64 [n], present bool [n]."""
    labels = torch.where(present, labels, torch.zeros_like(labels))
    losses = F.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=smoothing)
    return masked(losses, present)


def masked(losses: torch.Tensor, present: torch.Tensor) -> Term:
    """Sum of the present images' losses [n]; zero, yet in the graph, if none is."""
    return Term(torch.where(present, losses, losses * 0.0).sum(), present.sum())


def pixel_cross_entropy(logits: torch.Tensor, masks: torch.Tensor) -> Term:
    """Over pixels. logits [n, classes, h, w], masks int64 [n, h, w] with 255 ignored."""
    losses = F.cross_entropy(logits.float(), masks, ignore_index=IGNORE, reduction="sum")
    return Term(losses, (masks != IGNORE).sum())


def dice(logits: torch.Tensor, masks: torch.Tensor, present: torch.Tensor) -> Term:
    """1 - Dice (Milletari et al. 2016), a mean over classes, each image by itself, so that counts add up."""
    known = (masks != IGNORE).unsqueeze(1)
    probabilities = logits.float().softmax(1) * known
    truth = F.one_hot(masks.clamp(max=logits.shape[1] - 1), logits.shape[1]).permute(0, 3, 1, 2) * known
    overlap = (probabilities * truth).sum((2, 3))
    total = probabilities.sum((2, 3)) + truth.sum((2, 3))
    return masked(1.0 - ((2 * overlap + 1.0) / (total + 1.0)).mean(1), present)
