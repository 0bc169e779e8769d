"""The threads that decode a batch's images; OpenCV's decoders hold no lock of Python's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np

from mtl.config.workers import cores
from mtl.data.codecs.base import ImageCodec

FEW = 4
"""Images that are decoded at once by whoever asks: handing them on would take as long."""


def decode_all(codec: ImageCodec, codes: Sequence[np.ndarray], out: np.ndarray) -> None:
    """Decode each code (uint8 [bytes]) into its row of `out` [n, height, width, …]; the same for any number of threads."""

    def one(row: int) -> None:
        out[row] = codec.decode(codes[row], out.shape[1:], out.dtype)

    number = cores()
    if number < 2 or len(codes) < FEW:
        for row in range(len(codes)):
            one(row)
    else:
        list(_pool(os.getpid(), number).map(one, range(len(codes))))


@cache
def _pool(process: int, number: int) -> ThreadPoolExecutor:
    """One for each process: threads do not survive a fork."""
    return ThreadPoolExecutor(number, "decode")
