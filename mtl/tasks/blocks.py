"""Blocks of pixels that have a blind answer together, where single pixels are known too rarely for one each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

ENOUGH = 5
"""Known values that a block's answer is made of, or as many as there are images: of fewer it would be learnt by heart, of
many more, in a larger block, it would be worse than what a network knows of the place."""


def smallest(counts: np.ndarray, num_images: int) -> Iterator[tuple[int, np.ndarray]]:
    """For each pixel the smallest square block around it that is known often enough, or all pixels: the blocks' side, a power
    of two, and the pixels that have such a block, bool [height, width].

    Where images know all their pixels, each pixel is a block, few as they may be: a network knows by heart where things
    mostly are, too.

    counts: images that know each pixel, [height, width].
    """
    side, left = 1, np.ones(counts.shape, bool)
    while left.any():
        known = on_pixels(sums_of(counts, side), side, counts.shape)
        chosen = left & ((known >= min(ENOUGH, num_images)) | (side >= max(counts.shape)))
        if chosen.any():
            yield side, chosen
        left &= ~chosen
        side *= 2


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
