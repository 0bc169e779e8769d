"""Blocks of pixels that have a blind answer together, where single pixels are known too rarely for one each."""

from __future__ import annotations

import numpy as np

ENOUGH = 20
"""Known values that a block's answer is made of, or as many as there are images: of fewer it would be learnt by heart."""
LEFT_OUT = 0.1
"""Share of the known values that may lie in blocks with fewer."""


def side_of(counts: np.ndarray, num_images: int) -> int:
    """The side of the smallest square blocks of which most are known often enough: a power of two. It is 1 where images
    know all their pixels, few as they may be: a network knows by heart where things mostly are, too.

    counts: images that know each pixel, [height, width].
    """
    side = 1
    while side < max(counts.shape):
        sums = sums_of(counts, side)
        if sums[sums < least(num_images)].sum() <= LEFT_OUT * sums.sum():
            break
        side *= 2
    return side


def least(num_images: int) -> int:
    """Known values from which on a block has an answer of its own."""
    return min(ENOUGH, num_images)


def values_of(maps: np.ndarray, side: int, unknown: float = np.nan) -> np.ndarray:
    """All values of each block: [n, ..., height, width] → [n · side², ..., rows, columns]; `unknown` beyond the border."""
    *front, height, width = maps.shape
    rows, columns = -(-height // side), -(-width // side)
    beyond = [(0, 0)] * len(front) + [(0, rows * side - height), (0, columns * side - width)]
    split = np.pad(maps, beyond, constant_values=unknown).reshape(*front, rows, side, columns, side)
    return np.moveaxis(split, (-3, -1), (1, 2)).reshape(-1, *front[1:], rows, columns)


def sums_of(counts: np.ndarray, side: int) -> np.ndarray:
    """Sums of each block: [..., height, width] → [..., rows, columns]."""
    return values_of(counts[None], side, 0).sum(0)


def on_pixels(answers: np.ndarray, side: int, size: tuple[int, ...]) -> np.ndarray:
    """Every pixel with its block's answer: [..., rows, columns] → [..., height, width]."""
    return answers.repeat(side, -2).repeat(side, -1)[..., : size[-2], : size[-1]]
