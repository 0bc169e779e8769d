"""Draw what is done to each sample of a global batch.

It depends on the seed, the epoch and the sample's place in the global batch alone, so any number of workers augments alike. Each
change that is newer than the first seven has a random stream of its own: it moves no other's numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mtl.config.augment import AugmentConfig
from mtl.data.loading.changes import PHOTOMETRIC, WAYS, Changes, Erased, Joins, Operations, Rectangles
from mtl.seeds import Stream, generator

MOST_OPERATIONS, LARGEST_MAGNITUDE = 10, 30
"""Of `augment.rand_augment`."""
TRIES = 10
"""Rectangles that are drawn for one that lies in the image, as torchvision does."""


def draw_changes(
    config: AugmentConfig, seed: int, epoch: int, step: int, num_samples: int, sources: Sequence[str] = ()
) -> Changes:
    """Draw for a whole global batch.

    Args:
        sources: of each sample, where `config.sources` tells them apart.
    """
    names = sorted(set(sources)) or [""]
    configs = [config.of(name) for name in names]
    which = np.searchsorted(names, sources) if len(sources) else np.zeros(num_samples, np.int64)
    each = [configs[i] for i in which]
    rng = generator(seed, Stream.AUGMENTATION, epoch, step)
    u = rng.uniform(-1.0, 1.0, (num_samples, 8))
    rotate, scale, mirrored, translate, brightness, contrast, saturation = (
        column[which] for column in _amounts(configs)
    )
    angle = u[:, 0] * rotate
    zoom = np.exp(u[:, 1] * scale)
    flip = np.where((u[:, 2] + 1) / 2 < mirrored, -1.0, 1.0)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    matrix = np.empty((num_samples, 2, 3), np.float32)
    matrix[:, 0] = np.stack([flip * cos, -sin, 2 * translate * u[:, 3]], 1)
    matrix[:, 1] = np.stack([flip * sin, cos, 2 * translate * u[:, 4]], 1)
    colour = np.stack([u[:, 5] * brightness, 1 + u[:, 6] * contrast, 1 + u[:, 7] * saturation], 1)
    draws = rng.uniform(0.0, 1.0, num_samples)
    return Changes(
        matrix,
        colour.astype(np.float32),
        draws,
        _parts(each, seed, epoch, step),
        _operations(each, seed, epoch, step),
        _erased(each, seed, epoch, step),
        draw_joins(each, which, seed, epoch, step),
    )


def _amounts(configs: Sequence[AugmentConfig]) -> np.ndarray:
    """float64 [7, configs]: how large each change may be."""
    rows = [
        (math.radians(c.rotate), math.log1p(c.scale), c.flip, c.translate, c.brightness, c.contrast, c.saturation)
        for c in configs
    ]
    return np.array(rows).T


def _parts(configs: Sequence[AugmentConfig], seed: int, epoch: int, step: int) -> Rectangles | None:
    """Of each sample, as its config says."""
    crops = [config.crop for config in configs]
    if not any(crops):
        return None
    whole = ((1.0, 1.0), (1.0, 1.0))
    limits = np.array([whole if crop is None else (crop.scale, crop.ratio) for crop in crops])
    rows, fits = _rectangles(generator(seed, Stream.CROPS, epoch, step), limits)
    # Where none lies in the image: the whole, cut to the nearest ratio.
    nearest = np.clip(1.0, limits[:, 1, 0], limits[:, 1, 1])
    widest = np.stack([np.minimum(nearest, 1.0), np.minimum(1 / nearest, 1.0)], 1)
    rows[~fits] = np.concatenate([widest, np.full_like(widest, 0.5)], 1)[~fits]
    return Rectangles(rows)


def _operations(configs: Sequence[AugmentConfig], seed: int, epoch: int, step: int) -> Operations | None:
    """Of each sample, as its config says. As many numbers are drawn whatever it says."""
    wanted = [config.rand_augment for config in configs]
    if not any(wanted):
        return None
    most = max(found.num_ops for found in wanted if found)
    u = generator(seed, Stream.COLOURS, epoch, step).uniform(0.0, 1.0, (len(configs), MOST_OPERATIONS, 2))
    which, amounts = np.zeros((len(configs), most), np.int64), np.zeros((len(configs), most), np.float32)
    for i, found in enumerate(wanted):
        if found is not None:
            of = np.array([PHOTOMETRIC.index(name) for name in found.operations])
            which[i, : found.num_ops] = of[(u[i, : found.num_ops, 0] * len(of)).astype(int)]
            signs = np.where(u[i, : found.num_ops, 1] < 0.5, -1.0, 1.0)
            amounts[i, : found.num_ops] = signs * (found.magnitude / LARGEST_MAGNITUDE)
    return Operations(which, amounts)


def _erased(configs: Sequence[AugmentConfig], seed: int, epoch: int, step: int) -> Erased | None:
    """Of each sample, as its config says; a rectangle without area in those that are left as they are."""
    wanted = [config.erasing for config in configs]
    if not any(wanted):
        return None
    rng = generator(seed, Stream.ERASING, epoch, step)
    limits = np.array([((1.0, 1.0), (1.0, 1.0)) if w is None else (w.scale, w.ratio) for w in wanted])
    rows, fits = _rectangles(rng, limits)
    chosen = rng.uniform(0.0, 1.0, len(configs)) < np.array([w.probability if w else 0.0 for w in wanted])
    fill = rng.normal(0.0, 1.0, (len(configs), 4))
    fill[[w is None or w.fill == "mean" for w in wanted]] = 0.0
    rows[~(chosen & fits), :2] = 0.0
    return Erased(Rectangles(rows), fill.astype(np.float32))


def _rectangles(rng: np.random.Generator, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `Rectangles` [n, 4], and whether each lies in the image; limits [n, 2, 2]: the smallest and largest area and ratio."""
    u, places = rng.uniform(0.0, 1.0, (len(limits), TRIES, 2)), rng.uniform(0.0, 1.0, (len(limits), 2))
    (smallest, largest), (flattest, steepest) = limits[:, 0].T[..., None], np.log(limits[:, 1]).T[..., None]
    area = smallest + (largest - smallest) * u[..., 0]
    ratio = np.exp(flattest + (steepest - flattest) * u[..., 1])
    sides = np.sqrt(np.stack([area * ratio, area / ratio], -1))
    fits: np.ndarray = np.all(sides <= 1.0, axis=-1)
    return np.concatenate([sides[np.arange(len(limits)), fits.argmax(1)], places], 1), np.any(fits, axis=1)


def draw_joins(configs: Sequence[AugmentConfig], sources: np.ndarray, seed: int, epoch: int, step: int) -> Joins | None:
    """Which samples of a global batch come together: those of one source alone, which have their targets in common.

    Args:
        configs: of each sample.
        sources: int64 [samples], a number of each one's source.
    """
    limits = np.cumsum([[config.joins[way] for way in WAYS[1:]] for config in configs], 1)
    if not limits.any():
        return None
    from scipy.special import betaincinv  # half a second to import, which most trainings need not wait for

    rng, number = generator(seed, Stream.JOINS, epoch, step), len(configs)
    order, u = rng.permutation(number), rng.uniform(0.0, 1.0, (number, 5))
    others = np.zeros((number, 3), np.int64)
    alone = np.zeros(number, bool)
    for source in np.unique(sources):
        ring = order[sources[order] == source]
        others[ring] = np.stack([np.roll(ring, -k) for k in (1, 2, 3)], 1)
        alone[ring] = len(ring) == 1
    how = np.where(alone, 0, (u[:, :1] < limits).argmax(1) + 1) * (u[:, 0] < limits[:, -1])
    parts = [
        config.mixup if way == WAYS.index("mixup") else config.cutmix for config, way in zip(configs, how, strict=True)
    ]
    alphas = np.array([part.alpha if part else 1.0 for part in parts])
    return Joins(how, others, betaincinv(alphas, alphas, u[:, 4]), u[:, 1:3], u[:, 3])
