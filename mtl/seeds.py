"""Random streams, named in one table: a stream depends on the run's seed, its number here and its indices alone.

`SeedSequence(seed, spawn_key=(stream, *indices))` of NumPy, whose values are the same on every machine and in every version: five
or more 32-bit words, the fifth the stream's number, so no stream has another's values whatever the indices. A stream always has
the same indices. A new one gets a new number; the number of one that is gone is not given again.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What is drawn at random, with its indices."""

    INITIAL_WEIGHTS = 1
    """Of a network before training. No index."""
    FORWARD = 2
    """Inside a network: dropout. Optimizer step, micro-batch, rank."""
    SAMPLE_ORDER = 3
    """Of an epoch. Epoch."""
    AUGMENTATION = 4
    """Of a global batch. Epoch, step of the epoch."""
    MIXING = 5
    """Which sources a global batch has, and in which order. Optimizer step."""
    MIXING_ORDER = 6
    """Of a source's samples. Source, cycle through it."""
    WEIGHTING = 7
    """Weights of tasks that are drawn. Step of the method."""
    AGGREGATION = 8
    """Orders and signs in which gradients are joined. Step of the method."""
    STATIC_WEIGHTS = 9
    """Vectors of a comparison. No index."""
    REFERENCE_EMBEDDINGS = 10
    """Which images of a reference are compared, and permutations of them. No index."""
    USUAL_BATCHES = 11
    """Of a reference's own groups, by which a shift is called unusual. No index."""
    LATENCY = 12
    """Pixels of the image that is timed. No index."""
    CROPS = 13
    """Which part of each image of a global batch is shown. Epoch, step of the epoch."""
    COLOURS = 14
    """Which operations change its colours. Epoch, step of the epoch."""
    ERASING = 15
    """Which rectangle of it is filled. Epoch, step of the epoch."""
    JOINS = 16
    """Which images of a global batch come together, and how. Epoch, step of the epoch."""


def generator(seed: int, stream: Stream, *indices: int) -> np.random.Generator:
    """A stream's numbers."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, stream, indices)))


def torch_seed(seed: int, stream: Stream, *indices: int) -> int:
    """A stream as a seed of a library that has generators of its own: from 0 to 2⁶³ - 1."""
    return int(_sequence(seed, stream, indices).generate_state(1, np.uint64)[0]) >> 1


def _sequence(seed: int, stream: Stream, indices: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(int(stream), *indices))


# Streams older than the table. What was drawn from them is kept for years and compared with what is drawn today (a data set; the
# resamples on which two versions are judged), so they keep their words. These are four at most: none is a stream of the table.


def scene(seed: int, split: int, index: int) -> np.random.Generator:
    """One image of the source `zoo`. (Each split's first shares its numbers with `parts`: these shuffle, it draws a picture.)"""
    return _of_words(seed, split, index)


def single(seed: int, split: int, source: int, index: int) -> np.random.Generator:
    """One image of a source of `sources`. (As `scene` with `parts`: the first of the first source.)"""
    return _of_words(seed, split, source, index)


def parts(seed: int, kind: int) -> np.random.Generator:
    """Which of the glyphs of a kind each split may use."""
    return _of_words(seed, kind)


def resampling(seed: int, num_samples: int) -> np.random.Generator:
    """Of test samples, for intervals and paired comparisons."""
    return _of_words(seed, num_samples, 7)


def corruption(index: int) -> np.random.Generator:
    """Of a test image."""
    return _of_words(index, 11)


def tie(draw: float) -> np.random.Generator:
    """Of classes that an answer without an image cannot tell apart; draw: the sample's own number from 0 to 1."""
    return np.random.Generator(np.random.PCG64(int(draw * 2**48)))


def _of_words(*words: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(words))
